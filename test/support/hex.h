/* SPDX-License-Identifier: MIT */
#ifndef QT_HEX_H
#define QT_HEX_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

/* Bytes of a test vector. */
struct qt_hex {
    size_t size;
    uint8_t bytes[1500];
};

static inline uint8_t qt_hex_digit(char c)
{
    const char *digits = "0123456789abcdef";
    const char *at = strchr(digits, c);
    assert_non_null(at);
    return (uint8_t)(at - digits);
}

/* Decodes lower case hexadecimal; include "test/support/qt.h" before. */
static inline struct qt_hex qt_hex(const char *text)
{
    struct qt_hex hex = {.size = strlen(text) / 2};
    assert_int_equal(strlen(text) % 2, 0);
    assert_true(hex.size <= sizeof(hex.bytes));
    for (size_t i = 0; i < hex.size; i++)
        hex.bytes[i] = (uint8_t)(qt_hex_digit(text[2 * i]) << 4 | qt_hex_digit(text[2 * i + 1]));
    return hex;
}

#endif
