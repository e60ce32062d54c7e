/* SPDX-License-Identifier: MIT */
#include "bench/load/json.h"

#include <inttypes.h>
#include <math.h>

struct json json_of(FILE *file)
{
    return (struct json){.file = file};
}

static void write_key(struct json *j, const char *key)
{
    if (j->depth > 0)
        fprintf(j->file, "%s\n%*s", j->has_members ? "," : "", (int)(j->depth * 2), "");
    if (key != NULL)
        fprintf(j->file, "\"%s\": ", key);
    j->has_members = true;
}

static void begin(struct json *j, const char *key, char bracket)
{
    write_key(j, key);
    fputc(bracket, j->file);
    j->depth++;
    j->has_members = false;
}

static void end(struct json *j, char bracket)
{
    j->depth--;
    if (j->has_members)
        fprintf(j->file, "\n%*s", (int)(j->depth * 2), "");
    fputc(bracket, j->file);
    if (j->depth == 0)
        fputc('\n', j->file);
    j->has_members = true;
}

void json_begin(struct json *j, const char *key)
{
    begin(j, key, '{');
}

void json_end(struct json *j)
{
    end(j, '}');
}

void json_begin_list(struct json *j, const char *key)
{
    begin(j, key, '[');
}

void json_end_list(struct json *j)
{
    end(j, ']');
}

void json_text(struct json *j, const char *key, const char *value)
{
    write_key(j, key);
    fputc('"', j->file);
    for (const char *c = value; *c != 0; c++) {
        unsigned char byte = (unsigned char)*c;
        if (byte == '"' || byte == '\\')
            fprintf(j->file, "\\%c", byte);
        else if (byte < 0x20)
            fprintf(j->file, "\\u%04x", byte);
        else
            fputc(byte, j->file);
    }
    fputc('"', j->file);
}

void json_integer(struct json *j, const char *key, uint64_t value)
{
    write_key(j, key);
    fprintf(j->file, "%" PRIu64, value);
}

void json_number(struct json *j, const char *key, double value)
{
    if (!isfinite(value)) {
        json_null(j, key);
        return;
    }
    write_key(j, key);
    fprintf(j->file, "%.6f", value);
}

void json_bool(struct json *j, const char *key, bool value)
{
    write_key(j, key);
    fputs(value ? "true" : "false", j->file);
}

void json_null(struct json *j, const char *key)
{
    write_key(j, key);
    fputs("null", j->file);
}
