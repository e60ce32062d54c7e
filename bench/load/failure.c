/* SPDX-License-Identifier: MIT */
#include "bench/load/failure.h"

#include <stdarg.h>
#include <stdio.h>

static char printable(char c)
{
    return c >= 0x20 && c != 0x7f ? c : ' '; /* UTF-8 is negative where char is signed */
}

bool failure_set(struct failure *failure, const char *format, ...)
{
    if (failure->is_set)
        return false;

    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(failure->text, sizeof(failure->text), format, arguments);
    va_end(arguments);
    for (char *c = failure->text; *c != 0; c++) {
        if (*c == '\n' || *c == '\r' || *c == '\t')
            *c = ' ';
    }
    if (failure->text[0] == 0)
        (void)snprintf(failure->text, sizeof(failure->text), "failed without a reason");
    failure->is_set = true;
    return false;
}

void failure_clean(char *ret, size_t ret_size, const char *text)
{
    size_t i = 0;
    for (; text[i] != 0 && i + 1 < ret_size; i++)
        ret[i] = printable(text[i]);
    ret[i] = 0;
}
