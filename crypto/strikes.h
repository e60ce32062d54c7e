/* SPDX-License-Identifier: MIT */
#ifndef SC_STRIKES_H
#define SC_STRIKES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* A strike register: which ClientHellos with 0-RTT have been seen lately.  [RFC8446 8.2]
 *
 * TLS accepts 0-RTT only if the client's idea of its ticket's age is at most SC_STRIKES_WINDOW_S
 * off.  So a ClientHello is worth a replay for that long, and is remembered for that long.  One
 * register serves all threads of a process; others do not know of it. */
struct sc_strikes;

/* OpenSSL allows 10 s, and 1 s for rounding.  [RFC8446 8.3] */
enum { SC_STRIKES_WINDOW_S = 12 };

/* Makes a register for `count_max` ClientHellos within the window, 16 bytes each.  `now_s`: of the
 * wall clock.  Returns NULL without memory. */
struct sc_strikes *sc_strikes_create(size_t count_max, uint64_t now_s);
void sc_strikes_destroy(struct sc_strikes *strikes); /* wipes; NULL is accepted */

/* Records a ClientHello by its random.  Returns true if it is certain that it was not seen before:
 * false also where there is no room, and for tickets of others from before the register in its
 * first SC_STRIKES_WINDOW_S.
 *
 *   is_own    The ticket was made beside this register, so that it has seen all that use it.
 *   issued_s  When the ticket was made.
 *
 * Threads: any. */
SB_MUST_USE bool sc_strikes_add(struct sc_strikes *strikes, const uint8_t random[32], bool is_own,
                                uint64_t issued_s, uint64_t now_s);

#endif
