/* SPDX-License-Identifier: MIT */
#ifndef SE_SHARD_H
#define SE_SHARD_H

#include <stdalign.h>
#include <stdatomic.h>
#include <sys/types.h>

#include <spate/engine.h>
#include <spate/stats.h>

#include "crypto/aead_fused.h"
#include "engine/base/buffers.h"
#include "engine/base/clock.h"
#include "engine/base/entropy.h"
#include "engine/base/group.h"
#include "engine/base/limit.h"
#include "engine/base/memory.h"
#include "engine/base/ring_mpsc.h"
#include "engine/base/spin.h"
#include "engine/base/task.h"
#include "engine/base/wheel.h"
#include "engine/conn/cids.h"
#include "engine/conn/conn.h"
#include "engine/conn/conn_table.h"
#include "engine/conn/depart.h"
#include "engine/conn/events.h"
#include "engine/conn/measured.h"
#include "engine/conn/tombstone.h"
#include "engine/net/admit.h"
#include "engine/net/budget.h"
#include "engine/net/early.h"
#include "engine/net/heard.h"
#include "engine/net/handover.h"
#include "engine/net/port.h"
#include "engine/net/retry.h"
#include "engine/net/rx.h"
#include "engine/net/stray.h"
#include "engine/qlog/log.h"
#include "engine/shard/channel.h"
#include "engine/shard/operations.h"
#include "engine/shard/shard_log.h"
#include "engine/shard/shutdown.h"
#include "engine/shard/stages.h"
#include "engine/shard/stat_file.h"
#include "proto/conn/conn.h"
#include "uring/bufring.h"
#include "uring/ring.h"
#include "uring/send.h"
#include "uring/wake.h"

/* A shard: one ring, its sockets, its connections, and the turn that moves them.
 *
 *     turn:  posts -> trains of connections -> one io_uring_enter
 *            -> completions, cut and routed -> connections, a batch each
 *            -> timers -> events to the application
 *
 * The thread that runs the turns owns all fields, except those marked "Any thread". */

enum {
    SE_POSTS_MAX = 1024,              /* waiting posts; spate_shard_post() returns -EAGAIN above */
    SE_POSTS_PER_TURN = 256,          /* so that a chain of posts cannot stop the network */
    SE_COMPLETIONS_BATCH = 64,        /* completions that are copied off the ring at once */
    SE_COMPLETIONS_PER_TURN = 512,    /* so that completions cannot delay timers and events */
    SE_TRAINS_PER_TURN = 8,           /* per connection, so that one cannot take all slots */
    SE_SEND_BYTES_PER_TURN = 1 << 20, /* of all connections: see shard_tx.c */
    /* Steps of releasing what ended connections hold, of all connections, about 50 ns each.  The
     * others wait for their next turns. */
    SE_UNWIND_STEPS_PER_TURN = 2048,
};

/* What other threads want of a shard, beside posts: none of it can be refused. */
enum se_call {
    SE_CALL_SHUTDOWN = 1,  /* shutdown_wanted */
    SE_CALL_LISTENERS = 2, /* listeners of all shards were closed: se_listen_all_close() */
    SE_CALL_QUIC_LB = 4,   /* lb_wanted */
};

/* Event counters since the shard started. */
struct se_counts {
    struct spate_shard_stats own;      /* counters of the shard itself; the other fields stay 0 */
    struct su_recv_counts recv_closed; /* sum over ports that were closed */
    struct sp_stats conns_closed;      /* sum over connections that were freed */
};

/* What is done when memory runs out: see shard_memory.c. */
struct se_relief {
    uint64_t refusals;   /* memory.refusals that were seen */
    uint64_t victim;     /* id of the last connection that was closed */
    uint64_t next_at_ns; /* no other one is closed before, while the victim still lives */
    uint64_t look_at_ns; /* until then worst_owner() is not asked again */
    bool is_unfair;      /* its last answer: a connection holds much more than its share */
    bool is_short;       /* memory is short: pools.share_bytes is set */
};

/* Of a shard whose host moves the datagrams: see <spate/io.h>. */
struct se_hosted {
    /* The host's clock; 0: it has none of its own.  Relaxed: any thread may ask for the time. */
    _Atomic uint64_t now_ns;
    uint32_t slot_count; /* slots that it was shown and has not given */
};

struct spate_shard {
    struct spate_engine *engine;
    struct se_shared_ports *shared_ports; /* borrowed from the engine */
    struct se_handover *handover;         /* borrowed from the engine */
    const struct spate_config *config;
    const struct sc_fused *fused; /* `own_fused`; before init_pools(): borrowed from the engine */
    struct sc_fused own_fused;    /* with the pools below; without functions: OpenSSL */
    struct se_qlog_shard qlog;
    struct se_shard_log log;
    uint32_t index;
    int error; /* the ring's error that ended the shard, or 0 */
    bool is_in_turn;
    bool has_rung;        /* doorbells for other shards are queued: se_strays_ring() */
    bool is_host_polling; /* between spate_shard_deadline_ns() and the next turn */
    /* Of the last se_shard_send(): somebody, in whichever line, got no transmit slot; and a line of
     * a flow group or of the rate limit could go on. */
    bool is_short_of_slots, has_more_in_line;
    uint32_t strays_sending; /* slots that se_shard_send_stray() has in flight */
    uint64_t now_ns;

    struct su_ring ring;
    struct su_bufring bufring;
    struct su_send send;
    struct su_wake wake;

    struct se_memory memory;
    uint64_t tls_bytes; /* of that, tls_bytes of all connections */
    struct sp_config proto_config;
    struct sp_pools pools;
    struct sb_pool conn_pool;     /* spate_conn */
    struct sb_pool key_pool;      /* sc_fused_key: of connections that do not rest */
    struct sb_pool schedule_pool; /* sc_fused_schedule, of the same */
    struct sc_memory crypto_memory;
    struct sb_pool exchange_pool; /* se_exchange: of messages */
    struct sb_pool segment_pool;  /* se_segment */
    struct se_buffers copies;
    struct se_entropy entropy;
    struct sc_reset *reset;
    struct se_cids own_cids; /* that it issues */

    struct se_table cids;
    struct se_table tokens;
    struct se_conn_slot *slots; /* an array of conns_max */
    uint32_t slots_made;        /* slots from this index on were never used */
    uint32_t slot_free;         /* head of the chain of free slots, or SE_CONN_NONE */
    uint32_t conn_count;
    struct se_budget budget; /* of handshakes */
    struct se_retry retry;
    struct sb_link all;
    struct sb_link send_pending;
    struct se_limit limit; /* of the rate */
    struct se_groups groups;
    struct se_measured measured;
    struct se_depart depart;
    struct sb_link event_pending;
    struct sb_link ended;  /* closed connections that reap() has to look at */
    struct sb_link asking; /* connections whose handshakes have questions */
    struct se_tombstones tombstones;
    struct sb_link unwinding; /* se_conn_destroy() was called; not all is freed yet */
    uint32_t unwind_steps;    /* left of SE_UNWIND_STEPS_PER_TURN in this turn */
    struct se_wheel wheel;
    struct sb_link tasks;         /* se_task_join() */
    struct se_timer memory_timer; /* armed while pools may have something to give back */
    uint64_t trimmed_empty_bytes; /* memory.interface.empty_bytes after the last trim */
    struct se_relief relief;
    struct se_hosted hosted;
    struct se_spin spin;
    uint64_t waited_trains;  /* send.counts.trains at the last wait */
    bool is_wait_cut;        /* the last wait ended without work: the next one continues it */
    uint64_t timer_slack_ns; /* delay that the kernel adds to the time-outs of sleeps */
    long preempted_count;    /* the last reading of ru_nivcsw of getrusage() */

    struct se_admit admit;
    struct se_early early;
    struct se_rx rx;
    struct se_heard heard;
    struct se_events events;
    struct se_counts counts;
    struct se_stages stages;
    struct se_stat *stat; /* NULL: nothing is published */
    struct se_shutdown shutdown;
    struct se_operations operations;
    struct se_port ports[SE_PORTS_MAX];
    uint64_t ports_used; /* bit i: ports[i] is not free */
    uint64_t turn_longest_ns;

    /* Any thread reads it, and the owner alone writes: when the last wait ended; 0: the shard waits
     * or does not run.  Relaxed: it is a number, and nothing goes with it. */
    _Atomic uint64_t work_since_ns;

    /* Any thread reads these; they are written once, before the first turn. */
    alignas(SB_CACHE_LINE) _Atomic pid_t owner_tid; /* runs the turns; 0 before the first */
    atomic_bool is_threaded; /* an engine thread runs the turns: set before it exists */

    /* Any thread writes from here on: see test_layout.c. */
    alignas(SB_CACHE_LINE) atomic_bool is_wake_wanted; /* spate_shard_wake(); the turn clears it */
    /* P1: bits of enum se_call are set, with release, after what they are about was written; C1:
     * read with acquire and cleared by the turn. */
    atomic_uint calls;
    _Atomic(struct se_lb *) lb_wanted; /* owned; NULL: none: engine/conn/cids.c */
    struct se_shutdown_args shutdown_wanted;
    struct se_mpsc posts;
    struct se_mpsc_cell post_cells[SE_POSTS_MAX];
    struct se_mpsc strays; /* datagrams that other shards pass on: engine/net/stray.h */
    struct se_mpsc_cell stray_cells[SE_STRAYS_MAX];
    struct se_channels channels; /* its parts and their threads: engine/shard/channel.h */
};

/* Makes a shard in `*shard`, which is zeroed.  Call se_shard_deinit() also after a failure.
 * `reset_key`: the engine's key of 32 bytes for reset tokens, from which the shard's is derived.
 * Returns 0 or a negative errno, with
 * one line in `error`. */
SB_MUST_USE int se_shard_init(struct spate_shard *shard, const uint8_t *reset_key,
                              struct spate_error *error);
void se_shard_deinit(struct spate_shard *shard);

/* Replaces the keys of reset tokens and of address tokens by those that the engine has now.  The
 * shard has had no connection yet.  Returns 0, or -ENOMEM: then the engine cannot be used. */
SB_MUST_USE int se_shard_set_keys(struct spate_shard *shard, const uint8_t *token_key,
                                  const uint8_t *reset_key);

/* Makes the ring, the slots and the doorbell of a shard for `config`, and frees them.  Returns 0,
 * or the negative errno with which se_shard_init() would fail. */
SB_MUST_USE int se_shard_try(const struct spate_config *config);

/* Makes the calling thread the owner of the shard.  Returns 0, -EPERM if another thread is, or a
 * negative errno of the ring, which ends the shard. */
SB_MUST_USE int se_shard_bind(struct spate_shard *shard);

/* Makes the calling thread the owner if the shard has none.  Returns 0 if it is the owner and its
 * own loop runs the turns; -EPERM if not, or a negative errno of the ring, which ends the shard. */
SB_MUST_USE int se_shard_claim(struct spate_shard *shard);

/* Returns true if the calling thread owns the shard, or no thread does. */
bool se_shard_is_mine(const struct spate_shard *shard);

/* Returns the host's time, 0 if the shard goes by the system's clock.  Threads: any. */
static inline uint64_t se_shard_host_ns(const struct spate_shard *shard)
{
    return atomic_load_explicit(&shard->hosted.now_ns, memory_order_relaxed);
}

/* Returns the time: the system's, or that of the host.  Threads: any. */
static inline uint64_t se_shard_clock_ns(const struct spate_shard *shard)
{
    uint64_t host_ns = se_shard_host_ns(shard);
    return SB_UNLIKELY(host_ns != 0) ? host_ns : se_clock_now_ns();
}

/* Brings the time up to date, in a call of the application that begins a period: between two turns
 * it may come long after the last one.  Within a turn the turn's own time holds.  Not for calls per
 * packet or per stream. */
static inline void se_shard_catch_up(struct spate_shard *shard)
{
    if (!shard->is_in_turn)
        shard->now_ns = se_shard_clock_ns(shard);
}

/* Runs a turn, on the thread that owns the shard: see spate_shard_turn(). */
SB_MUST_USE int se_shard_turn(struct spate_shard *shard, uint64_t wait_ns);

/* Refuses further posts and strays.  Runs the posts that wait, and drops the strays.  Call it on
 * the shard's thread, when the shard has ended.  Further calls do nothing. */
void se_shard_close_queues(struct spate_shard *shard);

/* Ends all operations in the kernel.  Call once, on the shard's thread. */
void se_shard_stop(struct spate_shard *shard);

/* Sends the trains of connections. */
void se_shard_send(struct spate_shard *shard);

/* Returns true if there is more to send, and the last se_shard_send() did not lack a slot: a turn
 * must not wait. */
bool se_shard_has_more_to_send(const struct spate_shard *shard);

/* Returns true if a turn has something to do that it has not done before: it must not wait. */
bool se_shard_has_leftovers(const struct spate_shard *shard);

/* Queues what must be in the kernel before the shard waits: resends, the doorbell's read, receivers
 * that ended. */
void se_shard_maintain(struct spate_shard *shard);

/* Returns true if there are posts or commands, or spate_shard_wake() was called. */
bool se_shard_is_called(const struct spate_shard *shard);

/* Returns when a timer, the shutdown or the rate limit has something to do; SB_NEVER: they do not.
 */
uint64_t se_shard_next_ns(const struct spate_shard *shard);

/* The same for a thread that is about to sleep: first moves the next timers to where they belong.
 */
uint64_t se_shard_sleep_ns(struct spate_shard *shard);

/* Submits the queue and waits for completions, posts and wakes, for at most `wait_ns` and not
 * beyond the next timer; then reads the clock.  Returns 0, or a negative errno that ends the shard.
 */
SB_MUST_USE int se_shard_wait(struct spate_shard *shard, uint64_t wait_ns);

/* Ends the time for which the shard has not looked at its network: it waits, or its host does, or
 * it has ended. */
void se_shard_end_work(struct spate_shard *shard, uint64_t now_ns);

/* Ends what spate_shard_deadline_ns() has begun. */
void se_shard_end_host_wait(struct spate_shard *shard);

/* Measures the cost of a sleep with some short ones.  Takes about a millisecond; called once. */
void se_shard_calibrate(struct spate_shard *shard);

/* Sends one datagram without a connection, in answer to one that came by `path`.  Drops it, and
 * returns false, if no slot is free, or such datagrams have half of all: a turn may take more first
 * packets than there are slots, and connections send in the next. */
bool se_shard_send_stray(struct se_port *port, const struct sp_path *path, const uint8_t *data,
                         size_t size);
/* Returns whether a slot is left for such a datagram. */
bool se_shard_has_stray_slot(const struct spate_shard *shard);

/* Handles the completion of a train. */
void se_shard_on_sent(struct spate_shard *shard, const struct su_sent *sent);

/* Returns whether there is room for one connection more, also in the tables: see shard_memory.c. */
bool se_shard_has_room_for_conn(struct spate_shard *shard);
/* Looks at how memory is used, and acts when it is short: see shard_memory.c.  Call once per turn.
 */
void se_shard_maintain_memory(struct spate_shard *shard);
void se_shard_on_memory_timer(struct spate_shard *shard);

/* Queues a post and wakes the shard.  Returns 0, -EAGAIN or -ESHUTDOWN.  Threads: any. */
SB_MUST_USE int se_shard_push_post(struct spate_shard *shard, const struct se_post *post);

/* Makes a call, and wakes the shard.  Threads: any. */
void se_shard_call(struct spate_shard *shard, enum se_call call);

/* Runs the waiting posts, at most SE_POSTS_PER_TURN.  Returns true if there were any. */
bool se_shard_run_posts(struct spate_shard *shard);
void se_shard_run_timers(struct spate_shard *shard);

#endif
