/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_NUMBER_H
#define EXAMPLES_NUMBER_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

/* Reads a decimal number of at most `max`.  Returns false after it has said that there is none. */
static inline bool number_read(const char *text, uint64_t max, uint64_t *ret)
{
    char *end;
    errno = 0;
    *ret = strtoull(text, &end, 10);
    if (errno == 0 && text[0] >= '0' && text[0] <= '9' && *end == '\0' && *ret <= max)
        return true;
    fprintf(stderr, "%s is not a number from 0 to %llu\n", text, (unsigned long long)max);
    return false;
}

static inline bool number_read_port(const char *text, uint16_t *ret)
{
    uint64_t number;
    bool is_read = number_read(text, UINT16_MAX, &number);
    *ret = (uint16_t)number;
    return is_read;
}

#endif
