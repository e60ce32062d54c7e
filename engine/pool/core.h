/* SPDX-License-Identifier: MIT */
#ifndef SE_POOL_CORE_H
#define SE_POOL_CORE_H

#include "engine/pool/backoff.h"
#include "engine/pool/breaker.h"
#include "proto/base/compiler.h"
#include "proto/base/list.h"

/* A pool of client connections, without the connections: which peer gets how many, when the next
 * attempt is due, which one is healthy, which one gets the next work.  What opens and closes them
 * is behind struct se_pool_ops, so that tests run it in virtual time with invented peers.
 *
 *     se_pool_init(); se_pool_add()
 *     loop:  se_pool_run() when `next_ns` has come
 *            se_pool_on_connected(), se_pool_on_closed() as things happen
 *            se_pool_acquire(), se_pool_report()
 *     se_pool_drain(); se_pool_remove() for each peer that is gone
 *
 * A place for a connection is a member of its peer:
 *
 *     IDLE --connect()--> CONNECTING --on_connected()--> READY --close()--> CLOSING
 *      ^                       |                           |                   |
 *      +------ on_closed() ----+---------------------------+-------------------+
 */
enum se_member_state {
    SE_MEMBER_IDLE,       /* no connection: the next attempt is due at `due_ns` */
    SE_MEMBER_CONNECTING, /* connect() was called */
    SE_MEMBER_READY,      /* work can be given to it */
    SE_MEMBER_CLOSING,    /* close() was called */
};

/* What a connection reports about itself. */
struct se_member_load {
    bool is_open; /* false: it is closing */
    uint64_t streams;
    uint64_t rtt_ns;
    uint64_t packets_in;
    uint64_t in_flight_bytes;
};

struct se_pool;
struct se_pool_peer;

struct se_member {
    struct se_pool_peer *peer;
    enum se_member_state state;
    struct se_backoff backoff;
    bool is_suspect;     /* READY: has been silent for a part of hang_ns */
    bool is_settled;     /* READY: has been there long enough to count as a success */
    uint64_t due_ns;     /* IDLE */
    uint64_t since_ns;   /* READY: when it was connected */
    uint64_t packets_in; /* READY: at the last look */
    uint64_t asked_ns;   /* READY: since when it owes us an answer; SB_NEVER: it does not */
    void *handle;        /* connect()'s; NULL while IDLE */
};

struct se_pool_peer {
    struct sb_link link; /* in se_pool.peers */
    struct se_pool *pool;
    uint64_t id;
    struct se_breaker breaker;
    uint64_t drain_ns; /* SB_NEVER: it is in use; else: its connections are closed then at the
                          latest */
    bool is_draining;
    uint32_t member_count;
    struct se_member *members; /* borrowed */
    void *user;
};

struct se_pool_config {
    uint32_t streams_max; /* per connection; 0: no limit */
    uint64_t backoff_ns;
    uint64_t backoff_ns_max;
    uint64_t hang_ns;
    uint64_t check_ns;   /* between two looks at a connection */
    uint64_t rtt_ns_max; /* slower ones are suspect; 0: none are */
    struct se_breaker_config breaker;
};

struct se_pool_ops {
    /* Begins a connection for the member, and writes a handle, or fails with a negative errno.
     * May not call on_connected() or on_closed() for it before it returns. */
    int (*connect)(void *context, struct se_member *member, void **ret_handle);
    /* Begins to close it; on_closed() follows later.  `is_fault`: because it does not answer. */
    void (*close)(void *context, void *handle, bool is_fault);
    void (*look)(void *context, void *handle, struct se_member_load *ret);
    uint64_t (*random)(void *context);
};

/* Totals. */
struct se_pool_counts {
    uint64_t connects;        /* attempts */
    uint64_t connects_failed; /* of these, ended before they were connected */
    uint64_t conns_lost;      /* ended later, by a fault */
    uint64_t hangs;           /* closed because they did not answer */
    uint64_t acquires;        /* successful */
    uint64_t acquires_failed; /* no connection was ready */
    uint64_t breaker_openings;
};

struct se_pool {
    struct se_pool_config config;
    const struct se_pool_ops *ops; /* borrowed, like `context` */
    void *context;
    struct sb_link peers;
    uint32_t peer_count;
    uint64_t last_id;
    uint64_t next_ns; /* nothing is due before it */
    bool is_draining;
    struct se_pool_counts counts;
};

enum {
    SE_POOL_SETTLED_MS = 1000, /* a connection that lives so long was worth its attempt */
    SE_POOL_DRAIN_MS = 10,     /* between two looks whether a draining connection is unused */
};

void se_pool_init(struct se_pool *pool, const struct se_pool_config *config,
                  const struct se_pool_ops *ops, void *context);

/* Adds a peer with `member_count` members, whose first attempts are due now.  Both are borrowed
 * until se_pool_is_gone(). */
void se_pool_add(struct se_pool *pool, struct se_pool_peer *peer, struct se_member *members,
                 uint32_t member_count, uint64_t now_ns);

/* Returns the peer with the ID, or NULL. */
struct se_pool_peer *se_pool_find(const struct se_pool *pool, uint64_t id);

/* Does what is due.  Returns when to call it next; SB_NEVER: not before something has happened. */
uint64_t se_pool_run(struct se_pool *pool, uint64_t now_ns);

void se_pool_on_connected(struct se_member *member, uint64_t now_ns);
/* `is_fault`: the peer or the path is to blame, not one of the applications. */
void se_pool_on_closed(struct se_member *member, bool is_fault, uint64_t now_ns);

/* Chooses the least loaded of the connections that may be used: fewest streams, then the smallest
 * round-trip time; a suspect one only if there is no other.  `only`: of this peer; NULL: of any.
 * Returns NULL if there is none.  Looks at every member. */
struct se_member *se_pool_acquire(struct se_pool *pool, const struct se_pool_peer *only);

/* Counts a result that the application reports. */
void se_pool_report(struct se_member *member, bool is_success, uint64_t now_ns);

/* Gives a peer no more work, and closes its connections when they have no streams, or at
 * `drain_ns`. */
void se_pool_drain_peer(struct se_pool_peer *peer, uint64_t drain_ns);
/* Drains all peers. */
void se_pool_drain(struct se_pool *pool, uint64_t drain_ns);
/* Drains those that are not drained yet, without a time.  Others keep theirs. */
void se_pool_drain_others(struct se_pool *pool);

/* Returns whether a draining peer has no connection left: it can be removed. */
bool se_pool_is_gone(const struct se_pool_peer *peer);
void se_pool_remove(struct se_pool_peer *peer);

/* Returns the number of members in a state. */
uint32_t se_pool_peer_count(const struct se_pool_peer *peer, enum se_member_state state);

/* Asserts the invariants by a walk over everything. */
void se_pool_check(const struct se_pool *pool);

#endif
