/* SPDX-License-Identifier: MIT */
#ifndef SE_SHARD_H
#define SE_SHARD_H

#include <stdatomic.h>

#include <spate/engine.h>
#include <spate/stats.h>

#include "engine/admit.h"
#include "engine/buffers.h"
#include "engine/conn.h"
#include "engine/conn_table.h"
#include "engine/entropy.h"
#include "engine/events.h"
#include "engine/memory.h"
#include "engine/port.h"
#include "engine/ring_mpsc.h"
#include "engine/rx.h"
#include "engine/spin.h"
#include "engine/wheel.h"
#include "proto/conn/conn.h"
#include "uring/bufring.h"
#include "uring/ring.h"
#include "uring/send.h"
#include "uring/wake.h"

/* A shard: one ring, its sockets, its connections, and the turn that moves them.
 *
 *     turn:  posts -> send what connections have -> one io_uring_enter
 *            -> completions, cut and routed -> connections, a batch each
 *            -> timers -> events to the application
 *
 * Everything here belongs to the thread that runs the turns, except what says otherwise. */

enum {
    SE_POSTS_MAX = 1024,              /* that wait; beyond: spate_shard_post() says -EAGAIN */
    SE_POSTS_PER_TURN = 256,          /* so that a chain of posts cannot stop the network */
    SE_COMPLETIONS_BATCH = 64,        /* copied off the ring at a time .. */
    SE_COMPLETIONS_PER_TURN = 512,    /* .. and handled before timers and events get their turn */
    SE_TRAINS_PER_TURN = 8,           /* of one connection, so that one cannot take all slots */
    SE_SEND_BYTES_PER_TURN = 1 << 20, /* see shard_tx.c */
};

/* Event counters since the shard started. */
struct se_counts {
    struct spate_shard_stats own;      /* what the shard counts itself; the other fields stay 0 */
    struct su_recv_counts recv_closed; /* sum over ports that were closed */
    struct sp_stats conns_closed;      /* sum over connections that were freed */
};

struct spate_shard {
    struct spate_engine *engine;
    const struct spate_config *config;
    const struct sc_fused *fused; /* the engine's */
    uint32_t index;
    int error; /* of the ring: the shard is dead */
    bool is_bound;
    uint64_t now_ns;

    struct su_ring ring;
    struct su_bufring bufring;
    struct su_send send;
    struct su_wake wake;

    struct se_memory memory;
    struct sp_config proto_config;
    struct sp_pools pools;
    struct sb_pool conn_pool; /* spate_conn */
    struct se_buffers copies;
    struct se_entropy entropy;
    struct sc_reset *reset;

    struct se_table cids;
    struct se_table tokens;
    struct se_conn_slot *slots; /* conns_max of them */
    uint32_t slots_made;        /* from here on never used */
    uint32_t slot_free;         /* a chain, or SE_CONN_NONE */
    uint32_t conn_count;
    uint32_t handshake_count;
    struct sb_link all;
    struct sb_link send_pending;
    struct sb_link event_pending;
    struct sb_link drained;
    struct se_wheel wheel;
    struct se_spin spin;
    uint64_t waited_trains;  /* send.counts.trains at the last wait */
    bool is_wait_cut;        /* the last wait ended, and nothing had come */
    uint64_t timer_slack_ns; /* that time-outs of sleeps are late by design */
    long preempted_count;    /* ru_nivcsw of getrusage() when last asked */

    struct se_admit admit;
    struct se_rx rx;
    struct se_events events;
    struct se_counts counts;
    struct se_port ports[SE_PORTS_MAX];
    uint64_t ports_used; /* bit i: ports[i] is not free */

    /* Any thread. */
    atomic_bool is_wake_wanted; /* set by spate_shard_wake(), cleared by the turn */
    struct se_mpsc posts;
    struct se_mpsc_cell post_cells[SE_POSTS_MAX];
};

/* Makes a shard in `*shard`, which is zeroed.  On failure se_shard_deinit() is still needed.
 * `reset_key` is the engine's, 32 bytes. */
SB_MUST_USE int se_shard_init(struct spate_shard *shard, const uint8_t *reset_key,
                              struct spate_error *error);
void se_shard_deinit(struct spate_shard *shard);

/* Makes the calling thread the shard's.  0 or a negative errno. */
SB_MUST_USE int se_shard_bind(struct spate_shard *shard);

/* Lets go of everything that the kernel holds: from the shard's thread, once. */
void se_shard_stop(struct spate_shard *shard);

/* Sends what connections have.  True if there is more and slots for it. */
bool se_shard_send(struct spate_shard *shard);

/* Hands the queue to the kernel and waits for completions and calls, for at most `wait_ns` and not
 * beyond the next timer; then reads the clock.  Returns 0, or an errno that ends the shard. */
SB_MUST_USE int se_shard_wait(struct spate_shard *shard, uint64_t wait_ns);

/* Measures what a sleep costs here, with some short ones: about a millisecond, once. */
void se_shard_calibrate(struct spate_shard *shard);

/* Sends one datagram that belongs to no connection, back to where one came from; dropped if no
 * slot is free. */
void se_shard_send_stray(struct se_port *port, const struct sp_path *path, const uint8_t *data,
                         size_t size);

/* A train is over. */
void se_shard_on_sent(struct spate_shard *shard, const struct su_sent *sent);

/* True if there were any. */
bool se_shard_run_posts(struct spate_shard *shard);
void se_shard_run_timers(struct spate_shard *shard);

#endif
