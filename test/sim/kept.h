/* SPDX-License-Identifier: MIT */
#ifndef QS_KEPT_H
#define QS_KEPT_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/wire/stateless.h"
#include "test/sim/net.h"

/* 0-RTT that came before its Initial: a server's host keeps a few such datagrams, as
 * engine/net/early.c does. */

enum { QS_KEPT_MAX = 9 };

struct qs_kept {
    struct qs_wire *wires[QS_KEPT_MAX]; /* the oldest first */
    uint32_t count;
    uint64_t given_count; /* to connections, in all */
};

/* Takes a datagram if it begins with a 0-RTT packet and there is room.  Returns whether it did. */
bool qs_kept_add(struct qs_kept *kept, struct qs_wire *wire);
/* Gives the oldest one to `dcid` back, or NULL. */
struct qs_wire *qs_kept_take(struct qs_kept *kept, const struct sp_cid *dcid);
void qs_kept_deinit(struct qs_kept *kept);

#endif
