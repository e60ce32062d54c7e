/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/fields.h"

#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <time.h>

#define BLANKS " \t"

void http_date_write(int64_t seconds, char ret[HTTP_DATE_SIZE])
{
    /* Not by strftime(): its names are those of the locale. */
    static const char days[7][4] = {"Sun", "Mon", "Tue", "Wed", "Thu", "Fri", "Sat"};
    static const char months[12][4] = {"Jan", "Feb", "Mar", "Apr", "May", "Jun",
                                       "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"};
    time_t time = (time_t)seconds;
    struct tm tm;
    if (gmtime_r(&time, &tm) == NULL || tm.tm_year < -1900 || tm.tm_year > 9999 - 1900) {
        time = 0;
        (void)gmtime_r(&time, &tm);
    }
    (void)snprintf(ret, HTTP_DATE_SIZE, "%s, %02u %s %04u %02u:%02u:%02u GMT", days[tm.tm_wday % 7],
                   (unsigned)tm.tm_mday % 100, months[tm.tm_mon % 12],
                   (unsigned)(tm.tm_year + 1900) % 10000, (unsigned)tm.tm_hour % 100,
                   (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

bool http_date_read(const char *text, int64_t *ret)
{
    /* strptime() takes fewer digits than a format has: the size tells. */
    static const struct {
        const char *format;
        size_t size_min;
        size_t size_max;
    } formats[] = {
        {"%a, %d %b %Y %H:%M:%S GMT", 29, 29},
        {"%A, %d-%b-%y %H:%M:%S GMT", 30, 33}, /* Sunday to Wednesday */
        {"%a %b %d %H:%M:%S %Y", 24, 24},
    };
    const size_t size = strlen(text);
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm tm = {.tm_mday = 1};
        if (size < formats[i].size_min || size > formats[i].size_max)
            continue;
        const char *end = strptime(text, formats[i].format, &tm);
        if (end == text + size) {
            *ret = (int64_t)timegm(&tm);
            return true;
        }
    }
    return false;
}

bool http_tags_have(const char *list, const char *tag, bool may_be_weak)
{
    list += strspn(list, BLANKS);
    if (*list == '*')
        return list[1 + strspn(list + 1, BLANKS)] == 0;
    while (*list != 0) {
        const bool is_weak = strncmp(list, "W/", 2) == 0;
        if (is_weak)
            list += 2;
        const char *close = *list == '"' ? strchr(list + 1, '"') : NULL;
        if (close == NULL)
            return false; /* no list of tags: nothing is in it */
        size_t size = (size_t)(close + 1 - list);
        if (size == strlen(tag) && memcmp(list, tag, size) == 0 && (!is_weak || may_be_weak))
            return true;
        list = close + 1 + strspn(close + 1, BLANKS);
        if (*list != 0 && *list != ',')
            return false;
        list += strspn(list, "," BLANKS);
    }
    return false;
}

/* Reads digits.  Returns whether there are some; numbers that do not fit are UINT64_MAX. */
static bool read_number(const char **text, uint64_t *ret)
{
    char *end;
    if (**text < '0' || **text > '9') /* strtoull() takes blanks and signs */
        return false;
    *ret = strtoull(*text, &end, 10);
    *text = end;
    return true;
}

enum http_range http_range_read(const char *text, uint64_t file_size, uint64_t *ret_first,
                                uint64_t *ret_size)
{
    static const char unit[] = "bytes=";
    const size_t unit_size = sizeof(unit) - 1;
    uint64_t first = 0;
    uint64_t last = UINT64_MAX;
    if (strncasecmp(text, unit, unit_size) != 0)
        return HTTP_RANGE_IGNORED;
    text += unit_size + strspn(text + unit_size, BLANKS);
    const bool has_first = read_number(&text, &first);
    if (*text++ != '-')
        return HTTP_RANGE_IGNORED;
    const bool has_last = read_number(&text, &last);
    if (text[strspn(text, BLANKS)] != 0 || (!has_first && !has_last) || last < first)
        return HTTP_RANGE_IGNORED;
    if (!has_first) { /* the last N bytes */
        first = last < file_size ? file_size - last : 0;
        last = UINT64_MAX;
    }
    if (first >= file_size)
        return HTTP_RANGE_OUTSIDE;
    *ret_first = first;
    *ret_size = (last < file_size ? last + 1 : file_size) - first;
    return HTTP_RANGE_PART;
}
