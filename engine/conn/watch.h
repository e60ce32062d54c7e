/* SPDX-License-Identifier: MIT */
#ifndef SE_WATCH_H
#define SE_WATCH_H

#include <spate/event.h>

/* What a part of the engine that keeps connections (engine/pool/) learns of one, beside the
 * application's events.  A connection has at most one watch, which its owner sets and clears. */
struct se_watch {
    /* Called when SPATE_EVENT_CONNECTED is queued.  May not call the connection. */
    void (*on_connected)(struct se_watch *watch);
    /* Called once: when SPATE_EVENT_CLOSED is queued, or with NULL when the shard ends and no event
     * follows.  The connection must not be used after it.  May not make a connection. */
    void (*on_closed)(struct se_watch *watch, const struct spate_close *close);
};

#endif
