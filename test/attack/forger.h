/* SPDX-License-Identifier: MIT */
#ifndef FORGER_H
#define FORGER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/types.h"

/* Makes first packets of clients that do not exist, from one of a client that does.
 *
 *     forger_take() -> forger_set_frames(), or not -> forger_make() for each */

enum { FORGER_DATAGRAM_MAX = 2048 };

struct forger {
    uint64_t random; /* not 0 */
    struct sp_cid scid;
    uint8_t payload[FORGER_DATAGRAM_MAX];
    size_t payload_size;
};

uint64_t forger_random(struct forger *forger);

/* Opens a client's first Initial packet, in place, and keeps what is in it.  Returns false if it is
 * none. */
bool forger_take(struct forger *forger, uint8_t *data, size_t size);

/* Replaces the payload by these frames and PADDING. */
void forger_set_frames(struct forger *forger, const uint8_t *frames, size_t size);

/* Seals the payload for a fresh connection ID.  Returns the size of the datagram; 0 without
 * memory. */
size_t forger_make(struct forger *forger, uint8_t out[FORGER_DATAGRAM_MAX]);

#endif
