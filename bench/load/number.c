/* SPDX-License-Identifier: MIT */
#include "bench/load/number.h"

#include <ctype.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static const struct unit {
    const char *name;
    uint64_t factor;
} units[] = {
    {"", 1},
    {"K", UINT64_C(1000)},
    {"M", UINT64_C(1000000)},
    {"G", UINT64_C(1000000000)},
    {"T", UINT64_C(1000000000000)},
    {"Ki", UINT64_C(1) << 10},
    {"Mi", UINT64_C(1) << 20},
    {"Gi", UINT64_C(1) << 30},
    {"Ti", UINT64_C(1) << 40},
};
static const size_t unit_count = sizeof(units) / sizeof(units[0]);

/* strtod() with what it should not take removed: signs, blanks, hex, inf and nan. */
static bool parse_prefix(const char *text, double *ret, const char **ret_end)
{
    if (!isdigit((unsigned char)text[0]) || text[1] == 'x' || text[1] == 'X')
        return false;
    char *end = NULL;
    double value = strtod(text, &end);
    if (!isfinite(value))
        return false;
    *ret = value;
    *ret_end = end;
    return true;
}

bool number_parse_decimal(const char *text, double *ret)
{
    double value = 0;
    const char *end = NULL;
    if (!parse_prefix(text, &value, &end) || *end != 0)
        return false;
    *ret = value;
    return true;
}

bool number_parse_size(const char *text, uint64_t *ret)
{
    double value = 0;
    const char *end = NULL;
    if (!parse_prefix(text, &value, &end))
        return false;

    for (size_t i = 0; i < unit_count; i++) {
        if (strcmp(end, units[i].name) != 0)
            continue;
        value *= (double)units[i].factor;
        /* A fraction of a byte is a slip, and 2^53 ends what a double holds exactly. */
        if (value > 9007199254740992.0 || value != floor(value))
            return false;
        *ret = (uint64_t)value;
        return true;
    }
    return false;
}

void number_format_size(char *ret, size_t ret_size, uint64_t value)
{
    size_t best = 0;
    for (size_t i = 1; i < unit_count && value > 0; i++) {
        if (value % units[i].factor == 0 && units[i].factor > units[best].factor)
            best = i;
    }
    (void)snprintf(ret, ret_size, "%" PRIu64 "%s", value / units[best].factor, units[best].name);
}
