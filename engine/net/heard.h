/* SPDX-License-Identifier: MIT */
#ifndef SE_HEARD_H
#define SE_HEARD_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"

/* Until when a shard has received what arrived.
 *
 * A turn receives a bounded number of buffers, so after a pause (the CPU went to others) or in a
 * rush datagrams wait in the socket while timers are due.  A probe timeout or an idle timeout then
 * would be about a packet that has come: thousands of connections would send everything again, and
 * the more waits, the more is sent.  So timers of a peer's silence count from `until_ns`, which
 * stands still while something waits: see sp_conn_on_deadline_heard().
 *
 * It moves on when nothing waits; and, because in a flood something always does, when as many
 * buffers have been received since `mark_ns` as the sockets can hold, or after SE_HEARD_LAG_NS:
 * then what waited at that time has been received, or the shard is so late that it makes no
 * difference.
 */
#define SE_HEARD_LAG_NS (500 * SB_MS)

/* When the next turn looks again for what may wait.  Not at once: the kernel may say for a while
 * that there is more and have nothing, and what does come ends the wait. */
#define SE_HEARD_LOOK_NS SB_MS

struct se_heard {
    uint64_t until_ns;
    uint64_t mark_ns;  /* something has waited since; 0: nothing does */
    uint64_t left;     /* buffers to receive before what waited at mark_ns has been */
    uint64_t received; /* buffers of this turn */
    uint64_t look_ns;  /* the last turn left something, or may have: look again; or SB_NEVER */
    bool is_starved;   /* a socket has more than there were slots for */
};

/* Ends the receiving of a turn that began at `now_ns`.  `is_more`: something waits still.
 * `waiting_max`: buffers that the sockets can hold; any number if nothing waits.  Returns true if
 * until_ns has moved on. */
static inline bool se_heard_turn(struct se_heard *heard, uint64_t now_ns, bool is_more,
                                 uint64_t waiting_max)
{
    uint64_t received = heard->received;
    heard->received = 0;
    heard->look_ns = is_more ? now_ns + SE_HEARD_LOOK_NS : SB_NEVER;
    if (SB_LIKELY(!is_more && !heard->is_starved)) {
        heard->until_ns = now_ns;
        heard->mark_ns = 0;
        return true;
    }
    bool is_marked = heard->mark_ns != 0;
    if (is_marked && received < heard->left && now_ns < heard->mark_ns + SE_HEARD_LAG_NS) {
        heard->left -= received;
        return false;
    }
    if (is_marked)
        heard->until_ns = heard->mark_ns;
    heard->mark_ns = now_ns;
    heard->left = waiting_max;
    return is_marked;
}

/* Returns when the next turn is due, because of what waits; SB_NEVER: nothing does.  A socket that
 * gave as much as it was asked for may be empty, and a turn finds out soon.  One that is not read
 * for lack of slots wakes nobody: then it is when until_ns moves on, whatever comes. */
static inline uint64_t se_heard_next_ns(const struct se_heard *heard)
{
    if (heard->mark_ns == 0)
        return SB_NEVER;
    uint64_t moves_ns = heard->mark_ns + SE_HEARD_LAG_NS;
    return heard->is_starved ? moves_ns : sb_time_min(heard->look_ns, moves_ns);
}

#endif
