/* SPDX-License-Identifier: MIT */
#include "engine/base/spin.h"

/* The rules of spin.h.
 *
 * Recording a wait takes some nanoseconds.  choose_window() runs after every CHOOSE_INTERVAL waits
 * of a kind, and walks the counts once. */

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum {
    MEMORY = 64, /* after this number of waits all counts are halved */
    CHOOSE_INTERVAL = 8,
    COST_SMOOTHING = 8, /* a smoothed cost takes in 1/8 of each sample */
    CYCLE_SMOOTHING = 32,
    CYCLE_COSTS_MAX = 16,   /* so that some waits outweigh an hour of silence */
    CREDIT_WINDOWS_MAX = 4, /* the most credit, in windows that end without work */
    SHARE_RARE = 10,        /* if waits are rare, spinning adds at most 1/10 */
    HOLD_REPEAT = 2,        /* a loss within this many holds after a hold causes another one */
    BUCKET_FIRST_LOG = 9,   /* the first bucket ends at 2^9 ns */
};

/* Bounds of a measured cost: a clock may jump, and a hypervisor may take the CPU away. */
#define COST_NS_MIN (1 * SB_US)
#define COST_NS_MAX (200 * SB_US)
/* Used until a sleep is measured. */
#define SLEEP_CPU_NS  (5 * SB_US)
#define SLEEP_LATE_NS (10 * SB_US)

#define LOSS_MEMORY_NS     (50 * SB_MS)
#define LOST_NS_MIN        (100 * SB_US)
#define HOLD_NS_FIRST_MAX  (100 * SB_MS) /* a pause of the whole machine may happen only once */
#define HOLD_NS_MAX        (4 * SB_S)
#define PROBE_NS_MAX       (1 * SB_MS)
#define PROBE_PAUSE_NS_MIN (200 * SB_MS)
#define PROBE_PAUSE_NS_MAX (5 * SB_S)

/* ---- the cost of a sleep ---- */

uint64_t se_spin_cost_ns(const struct se_spin *spin)
{
    return spin->sleep_cpu_ns + spin->sleep_late_ns;
}

static uint64_t window_ns_max(const struct se_spin *spin)
{
    return SB_MIN(SE_SPIN_WINDOW * se_spin_cost_ns(spin), spin->limit_ns);
}

static uint64_t bounded_cost(uint64_t sample_ns)
{
    return SB_MIN(SB_MAX(sample_ns, COST_NS_MIN), COST_NS_MAX);
}

/* Moves `*cost_ns` towards the sample, which counts as three times the cost at most. */
static void smooth(uint64_t *cost_ns, uint64_t sample_ns)
{
    sample_ns = SB_MIN(bounded_cost(sample_ns), 3 * *cost_ns);
    *cost_ns = (*cost_ns * (COST_SMOOTHING - 1) + sample_ns) / COST_SMOOTHING;
}

void se_spin_calibrate(struct se_spin *spin, uint64_t cpu_ns, uint64_t late_ns)
{
    spin->sleep_cpu_ns = bounded_cost(cpu_ns);
    spin->sleep_late_ns = bounded_cost(late_ns);
    /* At the limit of "rare", so that the first wait decides. */
    spin->cycle_ns = SE_SPIN_RARE * se_spin_cost_ns(spin);
    spin->credit_ns = CREDIT_WINDOWS_MAX * window_ns_max(spin);
}

void se_spin_measure(struct se_spin *spin, uint64_t cpu_ns, uint64_t late_ns)
{
    if (cpu_ns > 0)
        smooth(&spin->sleep_cpu_ns, cpu_ns);
    if (late_ns > 0)
        smooth(&spin->sleep_late_ns, late_ns);
}

/* ---- past waits ---- */

static uint32_t bucket_of(uint64_t wait_ns)
{
    if (wait_ns < UINT64_C(1) << BUCKET_FIRST_LOG)
        return 0;
    uint32_t log = 63 - (uint32_t)__builtin_clzll(wait_ns);
    uint32_t half = (uint32_t)(wait_ns >> (log - 1)) & 1;
    return SB_MIN(1 + 2 * (log - BUCKET_FIRST_LOG) + half, (uint32_t)SE_SPIN_BUCKETS - 1);
}

/* Returns where bucket `index` ends: all waits in it are shorter. */
static uint64_t bucket_end_ns(uint32_t index)
{
    uint64_t octave_ns = UINT64_C(1) << (BUCKET_FIRST_LOG + index / 2);
    return index % 2 == 0 ? octave_ns : octave_ns + octave_ns / 2;
}

static void remember(struct se_spin_past *past, uint64_t wait_ns)
{
    past->counts[bucket_of(wait_ns)]++;
    past->total++;
    past->unseen++;
    if (past->total < MEMORY)
        return;
    past->total = 0;
    for (uint32_t i = 0; i < SE_SPIN_BUCKETS; i++) {
        past->counts[i] /= 2;
        past->total += past->counts[i];
    }
}

/* Returns the cheapest window up to `longest_ns`: the longest, if several are. */
static uint64_t cheapest_window(const struct se_spin_past *past, uint64_t price_ns,
                                uint64_t longest_ns)
{
    uint64_t window_ns = 0;
    uint64_t least_ns = past->total * price_ns; /* without spinning */
    uint64_t hit_count = 0;
    uint64_t hits_ns = 0;
    for (uint32_t i = 0; i < SE_SPIN_BUCKETS - 1; i++) {
        uint64_t end_ns = bucket_end_ns(i);
        if (end_ns > longest_ns)
            break;
        hit_count += past->counts[i];
        hits_ns += past->counts[i] * end_ns;
        uint64_t cost_ns = hits_ns + (past->total - hit_count) * (end_ns + price_ns);
        if (cost_ns <= least_ns) {
            least_ns = cost_ns;
            window_ns = end_ns;
        }
    }
    return window_ns;
}

/* Returns true if most waits are too long for a window, but within the limit. */
static bool is_worth_a_probe(const struct se_spin *spin, const struct se_spin_past *past)
{
    uint32_t count = 0;
    for (uint32_t i = bucket_of(window_ns_max(spin)); i < bucket_of(spin->limit_ns); i++)
        count += past->counts[i];
    return 2 * count > past->total;
}

static void choose_window(struct se_spin *spin, struct se_spin_past *past)
{
    uint64_t price_ns = SE_SPIN_PRICE * se_spin_cost_ns(spin);
    past->unseen = 0;
    past->window_ns = 2 * cheapest_window(past, price_ns, window_ns_max(spin));
    if (past != &spin->past[SE_WAIT_SENT])
        return;
    if (!is_worth_a_probe(spin, past)) {
        spin->probe_left = 0;
        spin->probe_pause_ns = 0;
    } else if (spin->end_ns >= spin->probe_next_ns) {
        spin->probe_left = SE_SPIN_PROBE_WAITS;
        spin->probe_pause_ns =
            SB_MIN(SB_MAX(2 * spin->probe_pause_ns, PROBE_PAUSE_NS_MIN), PROBE_PAUSE_NS_MAX);
        spin->probe_next_ns = spin->end_ns + spin->probe_pause_ns;
    }
}

/* ---- a wait ---- */

void se_spin_init(struct se_spin *spin, uint64_t limit_ns, uint64_t now_ns)
{
    *spin = (struct se_spin){
        .limit_ns = limit_ns,
        .start_ns = now_ns,
        .active_ns = now_ns,
        .end_ns = now_ns,
    };
    /* The first waits belong to a handshake, and its peer answers soon. */
    for (uint32_t i = 0; i < SE_WAIT_KINDS; i++)
        spin->past[i].window_ns = SB_NEVER;
    se_spin_calibrate(spin, SLEEP_CPU_NS, SLEEP_LATE_NS);
}

static bool are_waits_rare(const struct se_spin *spin)
{
    return spin->cycle_ns > SE_SPIN_RARE * se_spin_cost_ns(spin);
}

static void begin_cycle(struct se_spin *spin, enum se_wait_kind kind, uint64_t now_ns)
{
    uint64_t cycle_ns =
        SB_MIN(sb_time_since(now_ns, spin->active_ns), CYCLE_COSTS_MAX * se_spin_cost_ns(spin));
    spin->cycle_ns = (spin->cycle_ns * (CYCLE_SMOOTHING - 1) + cycle_ns) / CYCLE_SMOOTHING;
    spin->active_ns = now_ns;
    spin->kind = kind;
}

static bool is_probing(const struct se_spin *spin)
{
    return spin->kind == SE_WAIT_SENT && spin->probe_left > 0;
}

/* Applies the rules "limit" and "probe".  A wait has one window, however often it is resumed. */
static uint64_t window_left_ns(const struct se_spin *spin, uint64_t elapsed_ns, uint64_t left_ns)
{
    uint64_t window_ns = spin->past[spin->kind].window_ns;
    window_ns = is_probing(spin) ? SB_MIN(spin->limit_ns, PROBE_NS_MAX)
                                 : SB_MIN(window_ns, window_ns_max(spin));
    window_ns = sb_time_since(window_ns, elapsed_ns);
    /* For such a short wait a sleep would end too late. */
    if (sb_time_add(elapsed_ns, left_ns) <= se_spin_cost_ns(spin))
        window_ns = SB_MAX(window_ns, SB_MIN(left_ns, spin->limit_ns));
    return window_ns;
}

uint64_t se_spin_begin(struct se_spin *spin, enum se_wait_kind kind, bool is_resumed,
                       uint64_t now_ns, uint64_t until_ns)
{
    SB_ASSERT(kind < SE_WAIT_KINDS);
    if (!se_spin_is_adaptive(spin))
        return spin->limit_ns;
    spin->start_ns = now_ns;
    if (!is_resumed)
        begin_cycle(spin, kind, now_ns);
    if (now_ns < spin->hold_until_ns)
        return 0;
    uint64_t window_ns = window_left_ns(spin, sb_time_since(now_ns, spin->active_ns),
                                        sb_time_since(until_ns, now_ns));
    return is_probing(spin) || spin->credit_ns >= window_ns ? window_ns : 0;
}

/* Updates the credit of the rule "share".  Probes have their own bounds. */
static void settle(struct se_spin *spin, const struct se_wait_result *result)
{
    uint64_t worked_ns = sb_time_since(spin->start_ns, spin->end_ns);
    uint64_t spent_ns = is_probing(spin) ? 0 : result->spun_ns;
    if (!result->has_slept)
        spent_ns = sb_time_since(spent_ns, spin->sleep_cpu_ns); /* spinning saved a sleep */
    uint64_t asleep_ns = SB_MIN(worked_ns, SB_S) + spin->sleep_cpu_ns;
    spin->credit_ns += are_waits_rare(spin) ? asleep_ns / SHARE_RARE : SE_SPIN_SHARE * asleep_ns;
    spin->credit_ns = SB_MIN(spin->credit_ns, CREDIT_WINDOWS_MAX * window_ns_max(spin));
    spin->credit_ns = sb_time_since(spin->credit_ns, spent_ns);
}

void se_spin_end(struct se_spin *spin, const struct se_wait_result *result)
{
    if (!se_spin_is_adaptive(spin))
        return;
    struct se_spin_past *past = &spin->past[spin->kind];
    uint64_t waited_ns = sb_time_since(result->end_ns, spin->active_ns);
    bool is_resumed = spin->active_ns != spin->start_ns;
    settle(spin, result);
    spin->end_ns = result->end_ns;
    spin->spun_ns += result->spun_ns;
    if (is_probing(spin))
        spin->probe_left--;

    /* The work came before the sleep ended. */
    if (result->has_work && result->has_slept)
        waited_ns = SB_MAX(sb_time_since(waited_ns, spin->sleep_late_ns), result->spun_ns);
    bool is_long = result->is_call && waited_ns > se_spin_cost_ns(spin);
    if (result->has_work)
        remember(past, is_long ? SB_NEVER : waited_ns);
    else if (result->is_timeup && !is_resumed && waited_ns > se_spin_cost_ns(spin))
        remember(past, SB_NEVER); /* its full length is not known */
    if (past->unseen >= CHOOSE_INTERVAL)
        choose_window(spin, past);
}

/* Returns true once the lost time is too long for an accident, and a large part of the time. */
static bool is_cpu_shared(const struct se_spin *spin)
{
    return spin->lost_ns >= LOST_NS_MIN && SE_SPIN_LOSS * spin->lost_ns > spin->spun_ns;
}

void se_spin_on_loss(struct se_spin *spin, uint64_t now_ns, uint64_t lost_ns)
{
    spin->lost_ns += SB_MIN(lost_ns, HOLD_NS_MAX);
    if (is_cpu_shared(spin)) {
        bool is_repeated = now_ns <= spin->hold_until_ns + HOLD_REPEAT * spin->hold_ns;
        uint64_t doubled_ns = is_repeated ? SB_MIN(2 * spin->hold_ns, HOLD_NS_MAX) : 0;
        uint64_t first_ns = SB_MIN(SE_SPIN_HOLD * spin->lost_ns, HOLD_NS_FIRST_MAX);
        spin->hold_ns = SB_MAX(doubled_ns, first_ns);
        spin->hold_until_ns = now_ns + spin->hold_ns;
        spin->lost_ns = 0;
        spin->spun_ns = 0;
    } else if (spin->spun_ns > LOSS_MEMORY_NS) {
        spin->lost_ns /= 2;
        spin->spun_ns /= 2;
    }
}
