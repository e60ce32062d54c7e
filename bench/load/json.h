/* SPDX-License-Identifier: MIT */
#ifndef LOAD_JSON_H
#define LOAD_JSON_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

/* Writes JSON as it goes: one member a line, indented.  Keys are ours and are not
 * escaped, texts are.  Errors show in ferror(file). */
struct json {
    FILE *file;
    uint32_t depth;
    bool has_members; /* of the innermost object or list */
};

struct json json_of(FILE *file);

/* `key` is NULL for the outermost object, and for the members of a list. */
void json_begin(struct json *j, const char *key);
void json_end(struct json *j);

void json_begin_list(struct json *j, const char *key);
void json_end_list(struct json *j);

void json_text(struct json *j, const char *key, const char *value);
void json_integer(struct json *j, const char *key, uint64_t value);
/* Six digits behind the point; null for what is not a finite number. */
void json_number(struct json *j, const char *key, double value);
void json_bool(struct json *j, const char *key, bool value);
void json_null(struct json *j, const char *key);

#endif
