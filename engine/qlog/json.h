/* SPDX-License-Identifier: MIT */
#ifndef SE_JSON_H
#define SE_JSON_H

#include <inttypes.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"

/* Text of JSON in memory of the caller.  Fails once and stays failed, as sb_writer does. */
struct se_json {
    char *start;
    char *at;
    char *end;
    bool failed;
};

static inline struct se_json se_json_of(char *out, size_t room)
{
    return (struct se_json){.start = out, .at = out, .end = out + room};
}

/* Appends text, as printf() makes it. */
__attribute__((format(printf, 2, 3))) void se_json_put(struct se_json *json, const char *format,
                                                       ...);

/* Appends bytes as a string of hexadecimal digits. */
void se_json_hex(struct se_json *json, struct sb_bytes bytes);

/* Appends bytes as a string.  What is not printable ASCII is escaped, one byte as one character. */
void se_json_text(struct se_json *json, struct sb_bytes bytes);

/* Appends nanoseconds as a number of milliseconds. */
void se_json_ms(struct se_json *json, uint64_t ns);

#endif
