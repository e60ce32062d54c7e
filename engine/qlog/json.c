/* SPDX-License-Identifier: MIT */
#include "engine/qlog/json.h"

#include <stdarg.h>
#include <stdio.h>

#include "proto/base/time.h"

void se_json_put(struct se_json *json, const char *format, ...)
{
    if (json->failed)
        return;
    size_t room = (size_t)(json->end - json->at);
    va_list arguments;
    va_start(arguments, format);
    int size = vsnprintf(json->at, room, format, arguments);
    va_end(arguments);
    if (size < 0 || (size_t)size >= room)
        json->failed = true;
    else
        json->at += size;
}

void se_json_hex(struct se_json *json, struct sb_bytes bytes)
{
    static const char digits[] = "0123456789abcdef";
    if (json->failed || (size_t)(json->end - json->at) < 2 * bytes.size + 3) {
        json->failed = true;
        return;
    }
    *json->at++ = '"';
    for (size_t i = 0; i < bytes.size; i++) {
        *json->at++ = digits[bytes.data[i] >> 4];
        *json->at++ = digits[bytes.data[i] & 15];
    }
    *json->at++ = '"';
}

void se_json_text(struct se_json *json, struct sb_bytes bytes)
{
    se_json_put(json, "\"");
    for (size_t i = 0; i < bytes.size; i++) {
        uint8_t c = bytes.data[i];
        if (c == '"' || c == '\\')
            se_json_put(json, "\\%c", c);
        else if (c < ' ' || c > '~')
            se_json_put(json, "\\u%04x", c);
        else
            se_json_put(json, "%c", c);
    }
    se_json_put(json, "\"");
}

void se_json_ms(struct se_json *json, uint64_t ns)
{
    se_json_put(json, "%" PRIu64 ".%06" PRIu64, ns / SB_MS, ns % SB_MS);
}
