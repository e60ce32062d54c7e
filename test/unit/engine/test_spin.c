/* SPDX-License-Identifier: MIT */
/* How long a shard spins: in virtual time, with machines whose sleeps have a known cost. */

#include "test/support/qt.h"

#include "bench/load/arrivals.h"
#include "engine/base/spin.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"

#define LIMIT_NS (500 * SB_US)

/* ---- a shard on a machine ---- */

struct machine {
    uint64_t cpu_ns;  /* of a sleep */
    uint64_t late_ns; /* how much later a sleep ends than it should */
};

static const struct machine virtual_cpu = {.cpu_ns = 20 * SB_US, .late_ns = 25 * SB_US};

/* What waiting has cost. */
struct bill {
    uint64_t waits;
    uint64_t sleeps;
    uint64_t cpu_ns; /* of spinning and of sleeping */
    uint64_t late_ns;
    uint64_t wait_ns;
};

struct shard {
    struct se_spin spin;
    const struct machine *machine;
    uint64_t fixed_window_ns; /* SB_NEVER: se_spin decides; else another stack, with this window */
    struct bill bill;
};

static void shard_init(struct shard *shard, const struct machine *machine, uint64_t limit_ns)
{
    *shard = (struct shard){.machine = machine, .fixed_window_ns = SB_NEVER};
    se_spin_init(&shard->spin, limit_ns, 0);
    se_spin_calibrate(&shard->spin, machine->cpu_ns, machine->late_ns);
}

/* The shard waits from `start_ns` for what comes at `arrival_ns`.  Returns when it acts on it. */
static uint64_t wait_for(struct shard *shard, uint64_t start_ns, uint64_t arrival_ns)
{
    uint64_t window_ns = shard->fixed_window_ns;
    if (window_ns == SB_NEVER)
        window_ns = se_spin_begin(&shard->spin, SE_WAIT_SENT, false, start_ns, SB_NEVER);
    struct se_wait_result result = {.has_work = true};
    uint64_t needed_ns = sb_time_since(arrival_ns, start_ns);
    result.has_slept = needed_ns > window_ns;
    result.spun_ns = SB_MIN(needed_ns, window_ns);
    result.end_ns = start_ns + needed_ns + (result.has_slept ? shard->machine->late_ns : 0);
    shard->bill.waits++;
    shard->bill.wait_ns += needed_ns;
    shard->bill.cpu_ns += result.spun_ns;
    if (result.has_slept) {
        shard->bill.sleeps++;
        shard->bill.cpu_ns += shard->machine->cpu_ns;
        shard->bill.late_ns += shard->machine->late_ns;
    }
    if (shard->fixed_window_ns == SB_NEVER)
        se_spin_end(&shard->spin, &result);
    return result.end_ns;
}

/* ---- two shards that ask and answer ---- */

struct pair {
    struct shard client;
    struct shard server;
    uint64_t flight_ns;
    uint64_t work_ns;
    uint64_t now_ns;         /* when the client asks */
    uint64_t server_from_ns; /* since when the server waits */
};

static void pair_init(struct pair *pair, const struct machine *client, const struct machine *server)
{
    *pair = (struct pair){.flight_ns = 2 * SB_US, .work_ns = 3 * SB_US};
    shard_init(&pair->client, client, LIMIT_NS);
    shard_init(&pair->server, server, LIMIT_NS);
}

/* Returns the time of the round trip. */
static uint64_t round_trip(struct pair *pair)
{
    uint64_t asked_ns = pair->now_ns;
    uint64_t answered_ns =
        wait_for(&pair->server, pair->server_from_ns, asked_ns + pair->flight_ns);
    answered_ns += pair->work_ns;
    pair->server_from_ns = answered_ns;
    uint64_t end_ns = wait_for(&pair->client, asked_ns, answered_ns + pair->flight_ns);
    pair->now_ns = end_ns + pair->work_ns;
    return end_ns - asked_ns;
}

/* Lets both learn that waits are long. */
static void fall_asleep(struct pair *pair)
{
    for (uint32_t i = 0; i < 200; i++) {
        (void)round_trip(pair);
        pair->now_ns += 10 * SB_MS;
        /* The client's own waits would stay short: they are long as well. */
        pair->now_ns = wait_for(&pair->client, pair->now_ns, pair->now_ns + 10 * SB_MS);
    }
}

/* Returns how many of `count` round trips were slept through by at least one end. */
static uint32_t slow_trips(struct pair *pair, uint32_t count)
{
    uint32_t slow = 0;
    uint64_t sleeps = pair->client.bill.sleeps + pair->server.bill.sleeps;
    for (uint32_t i = 0; i < count; i++) {
        (void)round_trip(pair);
        uint64_t now = pair->client.bill.sleeps + pair->server.bill.sleeps;
        slow += now != sleeps;
        sleeps = now;
    }
    return slow;
}

static const uint64_t costs_us[] = {1, 2, 5, 10, 25, 50, 100, 200};

static void two_ends_are_fast_from_the_first_request(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(costs_us); i++) {
        const struct machine machine = {costs_us[i] * SB_US, costs_us[i] * SB_US};
        struct pair pair;
        pair_init(&pair, &machine, &machine);
        if (machine.cpu_ns + machine.late_ns <= 4 * SB_US)
            continue; /* to sleep is cheaper than a round trip there */
        assert_int_equal(slow_trips(&pair, 1000), 0);
    }
}

static void two_sleeping_ends_wake_each_other_up(void **state)
{
    (void)state;
    for (size_t i = 2; i < QT_COUNT(costs_us); i++) {
        for (size_t k = 2; k < QT_COUNT(costs_us); k++) {
            const struct machine client = {costs_us[i] * SB_US, costs_us[i] * SB_US};
            const struct machine server = {costs_us[k] * SB_US, costs_us[k] * SB_US};
            struct pair pair;
            pair_init(&pair, &client, &server);
            fall_asleep(&pair);
            (void)slow_trips(&pair, 100);
            assert_in_range(slow_trips(&pair, 1000), 0, 10);
        }
    }
}

/* It spins for a few microseconds after each answer, and its sleeps last longer than our price. */
static void a_probe_finds_a_peer_that_spins_only_briefly(void **state)
{
    (void)state;
    static const struct machine ours = {5 * SB_US, 5 * SB_US};
    static const struct machine theirs = {5 * SB_US, 150 * SB_US};
    struct pair pair;
    pair_init(&pair, &ours, &theirs);
    pair.server.fixed_window_ns = 8 * SB_US;
    fall_asleep(&pair);
    pair.server.bill = (struct bill){0};
    uint64_t start_ns = pair.now_ns;
    while (pair.now_ns < start_ns + SB_S)
        (void)round_trip(&pair);
    assert_in_range(slow_trips(&pair, 1000), 0, 10);
}

/* Where a probe finds nothing, probing costs little. */
static void a_peer_that_always_sleeps_costs_few_probes(void **state)
{
    (void)state;
    static const struct machine ours = {5 * SB_US, 5 * SB_US};
    static const struct machine theirs = {5 * SB_US, 150 * SB_US};
    struct pair pair;
    pair_init(&pair, &ours, &theirs);
    pair.server.fixed_window_ns = 0;
    (void)slow_trips(&pair, 1000);
    pair.client.bill = (struct bill){0};
    uint64_t start_ns = pair.now_ns;
    while (pair.now_ns < start_ns + 60 * SB_S)
        (void)round_trip(&pair);
    const struct bill *bill = &pair.client.bill;
    uint64_t sleeping_ns = bill->waits * (ours.cpu_ns + pair.work_ns);
    assert_true(bill->sleeps < bill->waits); /* it does look */
    assert_true(bill->cpu_ns + bill->waits * pair.work_ns < sleeping_ns * 105 / 100);
}

/* ---- Open loop ---- */

/* A server gets `count` requests at random times, `mean_ns` apart on average. */
static struct bill serve_at_random(uint64_t limit_ns, uint64_t mean_ns, uint32_t count)
{
    struct shard server;
    shard_init(&server, &virtual_cpu, limit_ns);
    struct arrivals arrivals;
    arrivals_init(&arrivals, 1e9 / (double)mean_ns, true, 7, 0);
    uint64_t now_ns = 0;
    for (uint32_t i = 0; i < count + 1000; i++) {
        if (i == 1000)
            server.bill = (struct bill){0}; /* it has learned by now */
        uint64_t arrival_ns = SB_MAX(arrivals_peek_ns(&arrivals), now_ns);
        arrivals_advance(&arrivals);
        now_ns = wait_for(&server, now_ns, arrival_ns) + 5 * SB_US;
    }
    server.bill.cpu_ns += (uint64_t)count * 5 * SB_US;
    return server.bill;
}

static void rare_requests_are_slept_for(void **state)
{
    (void)state;
    for (uint64_t mean_us = 500; mean_us <= 20000; mean_us *= 2) {
        struct bill sleeping = serve_at_random(0, mean_us * SB_US, 10000);
        struct bill adaptive = serve_at_random(LIMIT_NS, mean_us * SB_US, 10000);
        assert_true(adaptive.cpu_ns <= sleeping.cpu_ns * 115 / 100);
        assert_true(adaptive.late_ns <= sleeping.late_ns);
    }
}

static void frequent_requests_are_spun_for(void **state)
{
    (void)state;
    for (uint64_t mean_us = 8; mean_us <= 100; mean_us = mean_us * 5 / 4 + 1) {
        struct bill spinning = serve_at_random(SB_NEVER, mean_us * SB_US, 10000);
        struct bill adaptive = serve_at_random(LIMIT_NS, mean_us * SB_US, 10000);
        assert_true(2 * adaptive.sleeps < adaptive.waits); /* the median is that of spinning */
        assert_true(adaptive.cpu_ns <= spinning.cpu_ns * 115 / 100);
    }
}

/* A probe is bounded too, where the limit is not. */
static void a_large_limit_does_not_keep_an_idle_shard_awake(void **state)
{
    (void)state;
    static const uint64_t limits_ns[] = {100 * SB_MS, 10 * SB_S, SB_NEVER - 1};
    for (size_t i = 0; i < QT_COUNT(limits_ns); i++) {
        struct shard shard;
        shard_init(&shard, &virtual_cpu, limits_ns[i]);
        uint64_t now_ns = 0;
        for (uint32_t wait = 0; wait < 3000; wait++)
            now_ns = wait_for(&shard, now_ns, now_ns + 400 * SB_US);
        shard.bill = (struct bill){0};
        for (uint32_t wait = 0; wait < 100; wait++)
            now_ns = wait_for(&shard, now_ns, now_ns + 10 * SB_S);
        assert_true(shard.bill.cpu_ns <= 64 * SB_MS);
    }
}

/* ---- what any decision may cost ---- */

/* Waits of one length, then of another: with the price in it, the bill is at most twice that of who
 * knew the lengths, and a constant for learning. */
static void no_length_of_waits_costs_more_than_twice_the_best(void **state)
{
    (void)state;
    static const uint64_t lengths_us[] = {1, 3, 10, 30, 60, 100, 170, 190, 250, 400, 1000, 20000};
    for (size_t i = 0; i < QT_COUNT(lengths_us); i++) {
        for (size_t k = 0; k < QT_COUNT(lengths_us); k++) {
            struct shard shard;
            shard_init(&shard, &virtual_cpu, LIMIT_NS);
            uint64_t price_ns = SE_SPIN_PRICE * se_spin_cost_ns(&shard.spin);
            uint64_t now_ns = 0;
            uint64_t best_ns = 0;
            for (uint32_t wait = 0; wait < 2000; wait++) {
                uint64_t wait_ns = lengths_us[wait < 1000 ? i : k] * SB_US;
                now_ns = wait_for(&shard, now_ns, now_ns + wait_ns);
                best_ns += SB_MIN(wait_ns, price_ns);
            }
            uint64_t spun_ns = shard.bill.cpu_ns - shard.bill.sleeps * virtual_cpu.cpu_ns;
            uint64_t paid_ns = spun_ns + shard.bill.sleeps * price_ns;
            assert_true(paid_ns <= 2 * best_ns + 64 * price_ns);
        }
    }
}

static void an_idle_shard_sleeps(void **state)
{
    (void)state;
    static const uint64_t lengths_ms[] = {1, 10, 25, 1000};
    for (size_t i = 0; i < QT_COUNT(lengths_ms); i++) {
        struct shard shard;
        shard_init(&shard, &virtual_cpu, LIMIT_NS);
        uint64_t now_ns = 0;
        for (uint32_t wait = 0; wait < 5000; wait++)
            now_ns = wait_for(&shard, now_ns, now_ns + lengths_ms[i] * SB_MS);
        uint64_t sleeps_ns = shard.bill.sleeps * virtual_cpu.cpu_ns;
        assert_true(shard.bill.cpu_ns - sleeps_ns <= sleeps_ns * 11 / 100);
    }
}

/* Nobody is known to wait for the answer. */
static void calls_of_other_threads_are_spun_for_if_they_come_soon(void **state)
{
    (void)state;
    static const struct {
        uint64_t wait_ns;
        bool spins;
    } rows[] = {{10 * SB_US, true}, {40 * SB_US, true}, {60 * SB_US, false}, {SB_MS, false}};
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        struct se_spin spin;
        se_spin_init(&spin, LIMIT_NS, 0);
        se_spin_calibrate(&spin, virtual_cpu.cpu_ns, virtual_cpu.late_ns);
        uint64_t now_ns = 0;
        uint64_t window_ns = 0;
        for (uint32_t wait = 0; wait < 1000; wait++) {
            window_ns = se_spin_begin(&spin, SE_WAIT_QUIET, false, now_ns, SB_NEVER);
            struct se_wait_result result = {
                .end_ns = now_ns + rows[i].wait_ns,
                .spun_ns = SB_MIN(window_ns, rows[i].wait_ns),
                .has_slept = window_ns < rows[i].wait_ns,
                .has_work = true,
                .is_call = true,
            };
            result.end_ns += result.has_slept ? virtual_cpu.late_ns : 0;
            se_spin_end(&spin, &result);
            now_ns = result.end_ns + SB_US;
        }
        assert_int_equal(window_ns >= rows[i].wait_ns, rows[i].spins);
    }
}

/* Timers alone end its waits, and a program that turns with short waits resumes them. */
static void a_loop_of_short_turns_spins_once(void **state)
{
    (void)state;
    struct se_spin spin;
    se_spin_init(&spin, LIMIT_NS, 0);
    se_spin_calibrate(&spin, virtual_cpu.cpu_ns, virtual_cpu.late_ns);
    uint64_t spun_ns = 0;
    uint64_t now_ns = 0;
    for (uint32_t turn = 0; turn < 1000; turn++) {
        uint64_t until_ns = now_ns + 100 * SB_US;
        uint64_t window_ns = se_spin_begin(&spin, SE_WAIT_QUIET, turn > 0, now_ns, until_ns);
        struct se_wait_result result = {
            .end_ns = until_ns,
            .spun_ns = SB_MIN(window_ns, 100 * SB_US),
            .has_slept = window_ns < 100 * SB_US,
            .is_timeup = true,
        };
        spun_ns += result.spun_ns;
        se_spin_end(&spin, &result);
        now_ns = until_ns;
    }
    assert_true(spun_ns <= SE_SPIN_WINDOW * se_spin_cost_ns(&spin));
}

static void a_timer_that_is_due_before_a_sleep_could_end_is_spun_for(void **state)
{
    (void)state;
    struct shard shard;
    shard_init(&shard, &virtual_cpu, LIMIT_NS);
    uint64_t now_ns = 0;
    for (uint32_t wait = 0; wait < 1000; wait++)
        now_ns = wait_for(&shard, now_ns, now_ns + 10 * SB_MS);
    uint64_t cost_ns = virtual_cpu.cpu_ns + virtual_cpu.late_ns;
    shard.spin.credit_ns = SB_S;
    assert_int_equal(se_spin_begin(&shard.spin, SE_WAIT_SENT, false, now_ns, now_ns + cost_ns),
                     cost_ns);
    assert_int_equal(se_spin_begin(&shard.spin, SE_WAIT_SENT, false, now_ns, now_ns + cost_ns + 1),
                     0);
}

/* ---- other threads on the CPU ---- */

static uint64_t window_at(struct se_spin *spin, uint64_t now_ns)
{
    return se_spin_begin(spin, SE_WAIT_SENT, false, now_ns, SB_NEVER);
}

static void spin_for(struct se_spin *spin, uint64_t *now_ns, uint64_t spun_ns)
{
    (void)window_at(spin, *now_ns);
    *now_ns += spun_ns;
    se_spin_end(spin,
                &(struct se_wait_result){.end_ns = *now_ns, .spun_ns = spun_ns, .has_work = true});
}

static void a_shared_cpu_ends_the_spinning_for_longer_each_time(void **state)
{
    (void)state;
    struct se_spin spin;
    se_spin_init(&spin, LIMIT_NS, 0);
    uint64_t now_ns = 0;
    uint64_t before_ns = 0;
    for (uint32_t round = 0; round < 20; round++) {
        for (uint32_t i = 0; spin.hold_until_ns <= now_ns; i++) {
            assert_true(i < 100);
            assert_true(window_at(&spin, now_ns) > 0);
            spin_for(&spin, &now_ns, 10 * SB_US);
            se_spin_on_loss(&spin, now_ns, 10 * SB_US);
        }
        assert_int_equal(window_at(&spin, now_ns), 0);
        uint64_t hold_ns = spin.hold_until_ns - now_ns;
        assert_true(hold_ns == 2 * before_ns || before_ns == 0 || hold_ns == 4 * SB_S);
        before_ns = hold_ns;
        now_ns = spin.hold_until_ns;
    }
    assert_int_equal(before_ns, 4 * SB_S);
    /* Calm for long enough, and it begins anew. */
    now_ns += 60 * SB_S;
    for (uint32_t i = 0; i < 100 && spin.hold_until_ns <= now_ns; i++)
        se_spin_on_loss(&spin, now_ns, 10 * SB_US);
    assert_in_range(spin.hold_until_ns - now_ns, 1, 100 * SB_MS);
}

static void a_cpu_that_is_taken_now_and_then_does_not_end_it(void **state)
{
    (void)state;
    struct se_spin spin;
    se_spin_init(&spin, LIMIT_NS, 0);
    uint64_t now_ns = 0;
    for (uint32_t round = 0; round < 1000; round++) {
        for (uint32_t i = 0; i < 100; i++)
            spin_for(&spin, &now_ns, 10 * SB_US);
        se_spin_on_loss(&spin, now_ns, 200 * SB_US);
        assert_true(window_at(&spin, now_ns) > 0);
    }
}

static void one_long_pause_ends_it_for_a_moment_only(void **state)
{
    (void)state;
    struct se_spin spin;
    se_spin_init(&spin, LIMIT_NS, 0);
    se_spin_on_loss(&spin, SB_S, 10 * SB_S);
    assert_int_equal(window_at(&spin, SB_S), 0);
    assert_true(window_at(&spin, SB_S + 100 * SB_MS) > 0);
}

/* ---- bounds ---- */

static void the_two_extremes_never_change_their_mind(void **state)
{
    (void)state;
    static const uint64_t limits[] = {0, SB_NEVER};
    for (size_t i = 0; i < QT_COUNT(limits); i++) {
        struct shard shard;
        shard_init(&shard, &virtual_cpu, limits[i]);
        uint64_t now_ns = 0;
        for (uint64_t wait = 0; wait < 100; wait++) {
            assert_true(window_at(&shard.spin, now_ns) == limits[i]);
            now_ns = wait_for(&shard, now_ns, now_ns + wait * SB_MS);
        }
    }
}

static void the_limit_bounds_every_window(void **state)
{
    (void)state;
    static const uint64_t limits_ns[] = {1, 63, 1000, 10000, 100000, 1000000, 1000000000};
    for (size_t i = 0; i < QT_COUNT(limits_ns); i++) {
        struct shard shard;
        shard_init(&shard, &virtual_cpu, limits_ns[i]);
        uint64_t now_ns = 0;
        for (uint64_t wait = 0; wait < 2000; wait++) {
            uint64_t wait_ns = wait * 7919 % 400000;
            uint64_t until_ns = wait % 3 == 0 ? now_ns + 20 * SB_US : SB_NEVER;
            assert_true(se_spin_begin(&shard.spin, SE_WAIT_SENT, false, now_ns, until_ns) <=
                        limits_ns[i]);
            now_ns = wait_for(&shard, now_ns, now_ns + wait_ns);
        }
    }
}

static void a_measure_that_is_off_moves_the_cost_little(void **state)
{
    (void)state;
    static const uint64_t samples_ns[] = {1, SB_S, SB_NEVER};
    for (size_t i = 0; i < QT_COUNT(samples_ns); i++) {
        struct se_spin spin;
        se_spin_init(&spin, LIMIT_NS, 0);
        se_spin_calibrate(&spin, 20 * SB_US, 20 * SB_US);
        uint64_t before_ns = se_spin_cost_ns(&spin);
        se_spin_measure(&spin, samples_ns[i], samples_ns[i]);
        assert_in_range(se_spin_cost_ns(&spin), before_ns * 3 / 4, before_ns * 5 / 4);
        for (uint32_t k = 0; k < 100; k++)
            se_spin_measure(&spin, samples_ns[i], samples_ns[i]);
        assert_in_range(se_spin_cost_ns(&spin), 2 * SB_US, 400 * SB_US);
    }
}

static void the_cost_follows_what_is_measured(void **state)
{
    (void)state;
    struct se_spin spin;
    se_spin_init(&spin, LIMIT_NS, 0);
    for (uint32_t i = 0; i < 100; i++) {
        se_spin_measure(&spin, 40 * SB_US, 0);
        se_spin_measure(&spin, 0, 60 * SB_US);
    }
    assert_in_range(se_spin_cost_ns(&spin), 98 * SB_US, 100 * SB_US);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(two_ends_are_fast_from_the_first_request),
        cmocka_unit_test(two_sleeping_ends_wake_each_other_up),
        cmocka_unit_test(a_probe_finds_a_peer_that_spins_only_briefly),
        cmocka_unit_test(a_peer_that_always_sleeps_costs_few_probes),
        cmocka_unit_test(rare_requests_are_slept_for),
        cmocka_unit_test(frequent_requests_are_spun_for),
        cmocka_unit_test(no_length_of_waits_costs_more_than_twice_the_best),
        cmocka_unit_test(an_idle_shard_sleeps),
        cmocka_unit_test(calls_of_other_threads_are_spun_for_if_they_come_soon),
        cmocka_unit_test(a_large_limit_does_not_keep_an_idle_shard_awake),
        cmocka_unit_test(a_loop_of_short_turns_spins_once),
        cmocka_unit_test(a_timer_that_is_due_before_a_sleep_could_end_is_spun_for),
        cmocka_unit_test(a_shared_cpu_ends_the_spinning_for_longer_each_time),
        cmocka_unit_test(a_cpu_that_is_taken_now_and_then_does_not_end_it),
        cmocka_unit_test(one_long_pause_ends_it_for_a_moment_only),
        cmocka_unit_test(the_two_extremes_never_change_their_mind),
        cmocka_unit_test(the_limit_bounds_every_window),
        cmocka_unit_test(a_measure_that_is_off_moves_the_cost_little),
        cmocka_unit_test(the_cost_follows_what_is_measured),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
