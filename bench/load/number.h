/* SPDX-License-Identifier: MIT */
#ifndef LOAD_NUMBER_H
#define LOAD_NUMBER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Numbers as people write them on a command line.  All parsers take the whole text or
 * nothing: no sign, no blanks, no rest.  *ret is untouched on failure. */

/* "1500", "64K", "1.5G", "2Gi": K M G T are powers of 1000, Ki Mi Gi Ti of 1024. */
bool number_parse_size(const char *text, uint64_t *ret);

/* "5", "0.25", "1e6".  Not negative, not infinite. */
bool number_parse_decimal(const char *text, double *ret);

/* The shortest exact form with a power of 1000 or 1024: "10M", "1Ti", "1500". */
void number_format_size(char *ret, size_t ret_size, uint64_t value);

#endif
