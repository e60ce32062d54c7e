/* SPDX-License-Identifier: MIT */
#ifndef SC_X25519_TABLE_H
#define SC_X25519_TABLE_H

/* What public keys of X25519 are added up from, and what the parts of X25519 leave to
 * crypto/x25519.c to wipe.  For crypto/x25519*.c alone. */

#include <stdint.h>

#include "crypto/field25519.h"
#include "crypto/x25519.h"

enum {
    SC_X25519_ROWS = 32,
    SC_X25519_ROW_POINTS = 8,
    SC_X25519_DIGITS = 2 * SC_X25519_ROWS,
    SC_X25519_SUMS = 4,
};

/* A point (x, y): x = X/Z, y = Y/Z, x y = T/Z. */
struct sc_x25519_point {
    struct sc_field X, Y, Z, T;
};

enum { SC_X25519_ENTRY_LIMBS = 3 * SC_FIELD_LIMBS };

/* 1 to 8 times a point (x, y), as y + x, y - x, 2 d x y, all tight.  A limb of all eight entries is
 * a cache line, and a vector: so a digit reads all lines of its row, and picks from each in the
 * same way. */
struct sc_x25519_row {
    _Alignas(64) uint64_t limbs[SC_X25519_ENTRY_LIMBS][SC_X25519_ROW_POINTS];
};

/* More than these functions, and those of crypto/x25519.c, put on the stack. */
enum { SC_X25519_STACK_BYTES = 16384 };

/* Four sums of points, with AVX-512 IFMA: the digits with odd indices of the rows 0 to 15, those of
 * the rows 16 to 31, and the digits with even indices of both.  The limbs are loose. */
void sc_x25519_sums_ifma(const struct sc_x25519_row table[SC_X25519_ROWS],
                         const int8_t digits[SC_X25519_DIGITS],
                         struct sc_x25519_point ret[SC_X25519_SUMS]);

/* The shared secret, with AVX-512 IFMA. */
void sc_x25519_ladder_ifma(const uint8_t secret[SC_X25519_SIZE], const uint8_t peer[SC_X25519_SIZE],
                           uint8_t ret[SC_X25519_SIZE]);

#endif
