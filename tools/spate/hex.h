/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HEX_H
#define SPATE_HEX_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Writes two hexadecimal digits per byte: 2 * size characters, no zero byte. */
void hex_write(const uint8_t *data, size_t size, char *ret);

/* Reads `digits` hexadecimal digits into digits / 2 bytes.  Returns false if there is anything
 * else, or an odd number of them; `ret` may have been written to then. */
bool hex_read(const char *text, size_t digits, uint8_t *ret);

#endif
