/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_CONTROL_H
#define SPATE_RELAY_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/spate/relay/address.h"

/* The bodies of control packets, and the first message of a connection.
 *
 *     announcement   1, count of prefixes, then for each: family, bits, 16 bytes of address
 *     question       2: the target is to announce itself now
 *     hello          "SPRL", version 1, flags, 2 zeros, unit, 32 bytes of proof or of zeros; on a
 *                    unidirectional stream of each side, which ends with it */

enum {
    RELAY_ANNOUNCEMENT = 1,
    RELAY_QUESTION = 2,
    RELAY_ANNOUNCED_MAX = 32,
    RELAY_CONTROL_MAX = 2 + RELAY_ANNOUNCED_MAX * 18,
    RELAY_HELLO_SIZE = 44,
    RELAY_PROOF_SIZE = 32,
};

enum { RELAY_HELLO_PROVES = 1 }; /* flag: the proof is one */

struct relay_hello {
    uint32_t unit;
    bool proves;
    uint8_t proof[RELAY_PROOF_SIZE];
};

/* Writes an announcement with at most RELAY_ANNOUNCED_MAX prefixes at `at`, which has room for
 * RELAY_CONTROL_MAX bytes.  Returns its size. */
size_t relay_announcement_write(const struct relay_prefix *prefixes, uint32_t count, uint8_t *at);

/* Reads one.  Returns the number of prefixes, or -1 if it is malformed; `*ret` has room for
 * RELAY_ANNOUNCED_MAX. */
int relay_announcement_read(const uint8_t *at, size_t size, struct relay_prefix *ret);

void relay_hello_write(const struct relay_hello *hello, uint8_t at[RELAY_HELLO_SIZE]);
/* Returns false if it is malformed. */
bool relay_hello_read(const uint8_t *at, size_t size, struct relay_hello *ret);

#endif
