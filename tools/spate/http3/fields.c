/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/fields.h"

#include <stdio.h>
#include <string.h>
#include <strings.h>
#include <time.h>

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

bool http_date_read(const char *text, size_t size, int64_t *ret)
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
    char copy[40];
    if (size >= sizeof(copy))
        return false;
    memcpy(copy, text, size);
    copy[size] = 0;
    for (size_t i = 0; i < sizeof(formats) / sizeof(formats[0]); i++) {
        struct tm tm = {.tm_mday = 1};
        if (size < formats[i].size_min || size > formats[i].size_max)
            continue;
        const char *end = strptime(copy, formats[i].format, &tm);
        if (end == copy + size) {
            *ret = (int64_t)timegm(&tm);
            return true;
        }
    }
    return false;
}

static void skip_blanks(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t'))
        (*at)++;
}

bool http_tags_have(const char *list, size_t size, const char *tag, bool may_be_weak)
{
    const char *at = list;
    const char *end = list + size;
    const size_t tag_size = strlen(tag);
    skip_blanks(&at, end);
    if (at < end && *at == '*') {
        at++;
        skip_blanks(&at, end);
        return at == end;
    }
    while (at < end) {
        bool is_weak = end - at >= 2 && at[0] == 'W' && at[1] == '/';
        if (is_weak)
            at += 2;
        const char *close =
            at < end && *at == '"' ? memchr(at + 1, '"', (size_t)(end - at - 1)) : NULL;
        if (close == NULL)
            return false; /* no list of tags: nothing is in it */
        size_t this_size = (size_t)(close + 1 - at);
        if (this_size == tag_size && memcmp(at, tag, tag_size) == 0 && (!is_weak || may_be_weak))
            return true;
        at = close + 1;
        skip_blanks(&at, end);
        if (at < end && *at != ',')
            return false;
        while (at < end && (*at == ',' || *at == ' ' || *at == '\t'))
            at++;
    }
    return false;
}

/* Reads digits.  Returns how many; numbers that do not fit are UINT64_MAX. */
static size_t read_number(const char *at, const char *end, uint64_t *ret)
{
    size_t count = 0;
    uint64_t number = 0;
    for (; at + count < end && at[count] >= '0' && at[count] <= '9'; count++) {
        uint64_t digit = (uint64_t)(at[count] - '0');
        number = number > (UINT64_MAX - digit) / 10 ? UINT64_MAX : number * 10 + digit;
    }
    *ret = number;
    return count;
}

enum http_range http_range_read(const char *text, size_t size, uint64_t file_size,
                                uint64_t *ret_first, uint64_t *ret_size)
{
    static const char unit[] = "bytes=";
    const size_t unit_size = sizeof(unit) - 1;
    const char *end = text + size;
    if (size < unit_size || strncasecmp(text, unit, unit_size) != 0)
        return HTTP_RANGE_IGNORED;
    const char *at = text + unit_size;
    uint64_t first;
    uint64_t last;
    skip_blanks(&at, end);
    size_t first_digits = read_number(at, end, &first);
    at += first_digits;
    if (at == end || *at != '-')
        return HTTP_RANGE_IGNORED;
    at++;
    size_t last_digits = read_number(at, end, &last);
    at += last_digits;
    skip_blanks(&at, end);
    if (at != end || (first_digits == 0 && last_digits == 0))
        return HTTP_RANGE_IGNORED;
    if (first_digits > 0 && last_digits > 0 && last < first)
        return HTTP_RANGE_IGNORED;
    if (first_digits == 0) { /* the last N bytes */
        if (last == 0 || file_size == 0)
            return HTTP_RANGE_OUTSIDE;
        *ret_size = last < file_size ? last : file_size;
        *ret_first = file_size - *ret_size;
        return HTTP_RANGE_PART;
    }
    if (first >= file_size)
        return HTTP_RANGE_OUTSIDE;
    if (last_digits == 0 || last >= file_size)
        last = file_size - 1;
    *ret_first = first;
    *ret_size = last - first + 1;
    return HTTP_RANGE_PART;
}
