/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_FIELDS_H
#define SPATE_HTTP3_FIELDS_H

#include <stdbool.h>
#include <stdint.h>

/* Values of HTTP's fields, as a peer has sent them. */

/* "Sun, 06 Nov 1994 08:49:37 GMT" and its zero byte. */
#define HTTP_DATE_SIZE 30

/* Writes a time in seconds since 1970, of a year below 10000.  [RFC9110 5.6.7] */
void http_date_write(int64_t seconds, char ret[HTTP_DATE_SIZE]);

/* Reads a date in one of the three formats.  Returns false, and leaves *ret, for anything else. */
bool http_date_read(const char *text, int64_t *ret);

/* Returns whether a list of entity tags (If-Match, If-None-Match) is "*" or has `tag`, a strong tag
 * with its quotation marks.  [RFC9110 8.8.3]
 *
 *   may_be_weak  Compare weakly: W/"x" in the list fits "x". */
bool http_tags_have(const char *list, const char *tag, bool may_be_weak);

enum http_range {
    HTTP_RANGE_IGNORED, /* no range, several, another unit, or nonsense: the answer is all bytes */
    HTTP_RANGE_PART,
    HTTP_RANGE_OUTSIDE, /* no byte of the file is in it: 416 */
};

/* Reads a Range field for a file of file_size bytes.  [RFC9110 14.1.2, 14.2]
 *
 *   *ret_first, *ret_size  Set for HTTP_RANGE_PART: 1 to file_size bytes from the first one. */
enum http_range http_range_read(const char *text, uint64_t file_size, uint64_t *ret_first,
                                uint64_t *ret_size);

#endif
