/* SPDX-License-Identifier: MIT */
/* The ring between threads: items per second.
 *
 * The consumer runs on the first CPU, producers on the second, the first, the second ... With more
 * threads than CPUs the figures contain their taking turns.  A side that finds the ring
 * full (or empty) yields.  The reference for the check is counting: every item of every producer
 * arrives once and in its order, or the run is wrong. */

#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <unistd.h>

#include "bench/micro/benches.h"
#include "engine/base/ring_mpsc.h"
#include "proto/base/compiler.h"

enum { CELLS = 1024, PRODUCERS_MAX = 4, NUMBER_SHIFT = 40 };

struct work {
    uint32_t producer_count;
    uint64_t count; /* items of each producer */
    _Atomic uint32_t ready_count;
    _Atomic bool is_started;
    struct se_mpsc mpsc;
    struct se_mpsc_cell cells[CELLS];
};

struct producer {
    struct work *work;
    uintptr_t name;
};

static void pin(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), &set);
    (void)sched_setaffinity(0, sizeof(set), &set); /* where it is not allowed: unpinned */
}

static void push_all(struct work *work, uintptr_t name)
{
    for (uintptr_t i = 0; i < work->count; i++) {
        struct se_post post = {.argument = (void *)(name << NUMBER_SHIFT | i)};
        while (se_mpsc_push(&work->mpsc, &post) != 0)
            sched_yield();
    }
}

static void *produce(void *argument)
{
    const struct producer *p = argument;
    pin(1 + (uint32_t)p->name);
    atomic_fetch_add(&p->work->ready_count, 1);
    while (!atomic_load(&p->work->is_started))
        sched_yield();
    push_all(p->work, p->name);
    return NULL;
}

static void pop_all(struct work *work)
{
    uintptr_t next[PRODUCERS_MAX] = {0};
    bool in_order = true;
    for (uint64_t left = work->count * work->producer_count; left > 0;) {
        struct se_post post;
        if (!se_mpsc_pop(&work->mpsc, &post)) {
            sched_yield();
            continue;
        }
        uintptr_t value = (uintptr_t)post.argument;
        uintptr_t name = value >> NUMBER_SHIFT;
        in_order &= name < work->producer_count &&
                    (value & ((UINT64_C(1) << NUMBER_SHIFT) - 1)) == next[name % PRODUCERS_MAX]++;
        left--;
    }
    micro_check(in_order, "MPSC: the order of each producer's items");
}

/* One run; returns nanoseconds an item. */
static double run(uint32_t producer_count, uint64_t total)
{
    static struct work work;
    pthread_t threads[PRODUCERS_MAX];
    struct producer producers[PRODUCERS_MAX];
    cpu_set_t before;
    (void)sched_getaffinity(0, sizeof(before), &before);
    work.producer_count = producer_count;
    work.count = total / producer_count;
    atomic_store(&work.ready_count, 0);
    atomic_store(&work.is_started, false);
    se_mpsc_init(&work.mpsc, work.cells, CELLS);
    for (uint32_t i = 0; i < producer_count; i++) {
        producers[i] = (struct producer){.work = &work, .name = i};
        micro_check(pthread_create(&threads[i], NULL, produce, &producers[i]) == 0, "a thread");
    }
    pin(0);
    while (atomic_load(&work.ready_count) < producer_count)
        sched_yield();

    uint64_t start_ns = micro_now_ns();
    atomic_store(&work.is_started, true);
    pop_all(&work);
    uint64_t ns = micro_now_ns() - start_ns;
    for (uint32_t i = 0; i < producer_count; i++)
        (void)pthread_join(threads[i], NULL);
    (void)sched_setaffinity(0, sizeof(before), &before);
    return (double)ns / (double)(work.count * producer_count);
}

static void check(void)
{
    for (uint32_t producers = 1; producers <= PRODUCERS_MAX; producers++)
        (void)run(producers, 100000);
}

static void time_one(struct micro *m, const char *name, uint32_t producers, double target)
{
    double ns[MICRO_REPETITIONS_MAX];
    for (uint32_t i = 0; i < m->repetitions; i++)
        ns[i] = run(producers, 1000000);
    struct micro_sample sample = micro_sample_of(ns, m->repetitions);
    sample = micro_rate(&sample, 1000); /* ns to millions a second */
    micro_row(m, &(struct micro_row){.name = name,
                                     .unit = "M/s",
                                     .sample = &sample,
                                     .goal = MICRO_AT_LEAST,
                                     .target = target});
}

static void time_all(struct micro *m)
{
    if (m->is_counting)
        return; /* two threads have no repeatable count */
    time_one(m, "MPSC, 1 producer", 1, 15);
    time_one(m, "MPSC, 2 producers", 2, 15);
    time_one(m, "MPSC, 3 producers", 3, 15);
    time_one(m, "MPSC, 4 producers", 4, 15);
}

const struct micro_bench micro_rings = {
    .name = "rings",
    .what = "P4: the ring between threads, in millions of items a second",
    .check = check,
    .time = time_all,
};
