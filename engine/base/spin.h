/* SPDX-License-Identifier: MIT */
#ifndef SE_SPIN_H
#define SE_SPIN_H

#include <stdbool.h>
#include <stdint.h>

/* Decides how long a shard spins before it sleeps, for each wait, from the lengths of past waits.
 *
 * A sleep costs CPU time (`sleep_cpu_ns`: switching away and back) and ends late
 * (`sleep_late_ns`: the CPU has to wake up).  The shard measures both while it runs.  On a virtual
 * CPU each is tens of microseconds, more than a request takes.  Their sum is the cost of a sleep.
 * The price of a sleep is SE_SPIN_PRICE times its cost, because a peer waits for the answer.
 *
 * The past waits T of a shard give each window a cost:
 *
 *     cost(window) = sum over T of   T                if T <= window: it ends while spinning
 *                                    window + price   if T > window
 *
 * The shard spins for twice the cheapest window, the longest one if several are equally cheap, so
 * that it does not miss a wait that is a little longer than usual.  It never spins for longer than
 * SE_SPIN_WINDOW times the cost of a sleep.  This bound alone keeps the cost of a wait below twice
 * the least possible cost, for any sequence of waits (the ski rental problem).  A wait that a call
 * of another thread ends counts only if it was shorter than the cost of a sleep.  Waits after a
 * send, when an answer or an ACK is due, and waits without a send before them have separate counts.
 *
 * Four rules bound the spinning:
 *
 *   limit   The configuration's spin_ns bounds every window.
 *   share   Spinning adds at most SE_SPIN_SHARE times the CPU time that the shard would take if it
 *           only slept.  If waits are rare (fewer than one per SE_SPIN_RARE times the cost of a
 *           sleep), spinning adds at most a tenth of that CPU time.
 *   hold    If other threads take this CPU for more than 1 / SE_SPIN_LOSS of the time in which the
 *           shard wants to spin, the shard only sleeps for SE_SPIN_HOLD times the lost time.  Each
 *           repetition doubles that period.
 *   probe   Two ends that both sleep make each other's waits long, where spinning would make
 *           them short.  If most waits end between the longest window and the limit, the shard now
 *           and then spins up to the limit, or a millisecond, for SE_SPIN_PROBE_WAITS waits.  Each
 *           probe that changes nothing doubles the time to the next.
 *
 * The numbers are chosen by open and closed loops of requests: bench/README.md, "How to wait".
 *
 * Time is an argument.  Threads: the shard's. */

#define SE_SPIN_PRICE       6
#define SE_SPIN_WINDOW      4
#define SE_SPIN_SHARE       8
#define SE_SPIN_RARE        8
#define SE_SPIN_LOSS        4
#define SE_SPIN_HOLD        64
#define SE_SPIN_PROBE_WAITS 16
#define SE_SPIN_BUCKETS     24 /* two per octave from 0.5 us on; the last: 1 ms and longer */

enum se_wait_kind {
    SE_WAIT_QUIET, /* nothing was sent since the wait before */
    SE_WAIT_SENT,
    SE_WAIT_KINDS,
};

/* The past waits of one kind, as counts per length; the older, the less they weigh. */
struct se_spin_past {
    uint16_t counts[SE_SPIN_BUCKETS];
    uint32_t total;
    uint32_t unseen; /* waits since the window was chosen */
    uint64_t window_ns;
};

struct se_spin {
    uint64_t limit_ns; /* 0: never spins; SB_NEVER: never sleeps; else: adaptive */
    uint64_t sleep_cpu_ns;
    uint64_t sleep_late_ns;
    struct se_spin_past past[SE_WAIT_KINDS];

    enum se_wait_kind kind; /* of the wait in progress, or of the last one */
    uint64_t start_ns;      /* when the wait of `kind` began */
    uint64_t active_ns;     /* when the first wait since the last send or receive began */
    uint64_t end_ns;        /* when the last wait ended */
    uint64_t cycle_ns;      /* time from one wait to the next, smoothed */
    uint64_t credit_ns;     /* time that spinning may still take, for the rule "share" */

    uint64_t spun_ns; /* recent time spent spinning, for the rule "hold" */
    uint64_t lost_ns; /* the part of spun_ns that other threads took */
    uint64_t hold_ns;
    uint64_t hold_until_ns;
    uint32_t probe_left; /* waits of the probe in progress */
    uint64_t probe_pause_ns;
    uint64_t probe_next_ns;
};

/* How a wait ended. */
struct se_wait_result {
    uint64_t end_ns;
    uint64_t spun_ns; /* the part of the wait that was spent spinning */
    bool has_slept;
    bool has_work;  /* a completion or a call ended it */
    bool is_call;   /* a call of another thread ended it: perhaps no peer waits for an answer */
    bool is_timeup; /* its longest duration was over */
};

/* Initializes a spin without measurements.  Its first waits spin for as long as allowed. */
void se_spin_init(struct se_spin *spin, uint64_t limit_ns, uint64_t now_ns);

/* Returns true if past waits decide: the spin neither always spins nor always sleeps. */
static inline bool se_spin_is_adaptive(const struct se_spin *spin)
{
    return spin->limit_ns != 0 && spin->limit_ns != UINT64_MAX;
}

/* Sets the cost of a sleep, as measured before the first wait. */
void se_spin_calibrate(struct se_spin *spin, uint64_t cpu_ns, uint64_t late_ns);

/* Records one measured sleep: its CPU time, and how late it ended.  0: not measured. */
void se_spin_measure(struct se_spin *spin, uint64_t cpu_ns, uint64_t late_ns);

/* Returns the cost of a sleep in nanoseconds. */
uint64_t se_spin_cost_ns(const struct se_spin *spin);

/* Begins a wait that ends at `until_ns` at the latest.  Returns how long to spin before sleeping,
 * which may be longer than the wait.  `is_resumed`: nothing was sent or received since the last
 * wait ended, so that this wait continues it; `kind` is then ignored. */
uint64_t se_spin_begin(struct se_spin *spin, enum se_wait_kind kind, bool is_resumed,
                       uint64_t now_ns, uint64_t until_ns);

/* Ends the wait that se_spin_begin() began, and records its length. */
void se_spin_end(struct se_spin *spin, const struct se_wait_result *result);

/* Records that other threads had this CPU for `lost_ns` while the shard was spinning. */
void se_spin_on_loss(struct se_spin *spin, uint64_t now_ns, uint64_t lost_ns);

#endif
