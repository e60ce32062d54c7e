/* SPDX-License-Identifier: MIT */
#ifndef SE_WAITS_H
#define SE_WAITS_H

#include <spate/conn.h>

#include "proto/base/instruments.h"
#include "proto/conn/conn.h"

enum {
    SE_WAITS_KINDS = SPATE_WAIT_CLOSED + 1,
};

/* What a connection has waited for, so far and now.
 *
 * Invariant: the sum of total_ns[] == since_ns - when the connection was made. */
struct se_waits {
    uint64_t since_ns;   /* of `now` */
    uint64_t held_bytes; /* of slices that the application holds */
    enum spate_wait now;
    uint64_t total_ns[SE_WAITS_KINDS]; /* without the time since `since_ns` */
};

static inline void se_waits_init(struct se_waits *waits, uint64_t now_ns)
{
    *waits = (struct se_waits){.since_ns = now_ns, .now = SPATE_WAIT_SHARD};
}

/* From now on the connection waits for `next`. */
static inline void se_waits_set(struct se_waits *waits, enum spate_wait next, uint64_t now_ns)
{
    if (!SB_HAS_INSTRUMENT(WAITS))
        return;
    if (now_ns > waits->since_ns) {
        waits->total_ns[waits->now] += now_ns - waits->since_ns;
        waits->since_ns = now_ns;
    }
    waits->now = next;
}

/* Returns what the reason of sp_conn_send_wait() is called for the application.  `has_slices`: it
 * holds some, which it could be busy with. */
enum spate_wait se_waits_kind_of(enum sp_wait reason, bool has_slices);

/* The connection has sent all that it may: looks why it does not go on. */
void se_waits_look(struct spate_conn *conn);

/* The host itself holds the connection back: SPATE_WAIT_LIMIT or SPATE_WAIT_SLOT. */
void se_waits_hold_back(struct spate_conn *conn, enum spate_wait wait);

/* The application got, or has given back, `bytes` in slices. */
static inline void se_waits_hold(struct se_waits *waits, uint64_t bytes)
{
    waits->held_bytes += bytes;
}

static inline void se_waits_release(struct se_waits *waits, uint64_t bytes)
{
    waits->held_bytes -= bytes < waits->held_bytes ? bytes : waits->held_bytes;
}

/* Adds what was waited for until `now_ns` to the statistics. */
void se_waits_give(const struct se_waits *waits, uint64_t now_ns, struct spate_conn_stats *stats);

#endif
