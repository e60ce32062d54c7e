/* SPDX-License-Identifier: MIT */
/* A thread per shard but the first.  All that a thread's server has counted is taken by a post to
 * its shard, so nothing of it is shared but the bytes for the progress line. */

#include "bench/load/crew.h"

#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <spate/spate.h>

#include "bench/load/clock.h"
#include "bench/load/cpu.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/server.h"

#define IDLE_WAIT_NS  (100 * NS_PER_MS)
#define SAMPLE_WAIT_S 5

struct worker {
    struct crew *crew;
    struct server *server;
    pthread_t thread;
    int cpu;
    bool has_thread;
    struct failure failure; /* written before has_failed is set */
    atomic_bool has_failed;
    atomic_bool has_sample; /* `sample` belongs to the caller's thread again */
    _Atomic uint64_t payload_bytes;
    struct sample sample;
};

struct crew {
    struct server *first;
    struct worker *workers; /* worker_count of them: for shards 1 and up */
    uint32_t worker_count;
    atomic_bool is_leaving; /* after it was set, goodbye_ns is read */
    uint64_t goodbye_ns;
};

static void *work(void *argument)
{
    struct worker *w = argument;
    cpu_move(w->cpu);
    while (!atomic_load(&w->crew->is_leaving)) {
        if (!server_turn(w->server, IDLE_WAIT_NS, &w->failure)) {
            atomic_store(&w->has_failed, true);
            return NULL;
        }
        atomic_store_explicit(&w->payload_bytes, server_payload_bytes(w->server),
                              memory_order_relaxed);
    }
    if (w->crew->goodbye_ns > 0)
        server_say_goodbye(w->server, w->crew->goodbye_ns);
    return NULL;
}

/* The program's signals are for its first thread. */
static bool start(struct worker *w, struct failure *failure)
{
    sigset_t all;
    sigset_t before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before);
    int error = pthread_create(&w->thread, NULL, work, w);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    w->has_thread = error == 0;
    return w->has_thread || failure_set(failure, "no thread for a shard: %s", strerror(error));
}

static bool open_workers(struct crew *c, const struct options *o, int avoid,
                         struct failure *failure)
{
    uint32_t count = spate_engine_shard_count(server_engine(c->first));
    bool is_spread = o->server_cpu == CPU_DEFAULT;
    c->workers = calloc(count, sizeof(*c->workers));
    if (c->workers == NULL)
        return failure_set(failure, "out of memory");
    for (uint32_t i = 1; i < count; i++) {
        struct worker *w = &c->workers[c->worker_count];
        w->crew = c;
        w->cpu = is_spread ? cpu_of_shard(i, avoid) : CPU_ANY;
        if (!server_open_beside(c->first, i, &w->server, failure))
            return false;
        c->worker_count++;
        if (!start(w, failure))
            return false;
    }
    return true;
}

bool crew_open(const struct options *o, int avoid, struct crew **ret, struct failure *failure)
{
    struct crew *c = calloc(1, sizeof(*c));
    if (c == NULL)
        return failure_set(failure, "out of memory");
    if (!server_open(o, &c->first, failure) || !open_workers(c, o, avoid, failure)) {
        crew_close(c);
        return false;
    }
    *ret = c;
    return true;
}

const struct server *crew_first(const struct crew *c)
{
    return c->first;
}

bool crew_turn(struct crew *c, uint64_t wait_ns, struct failure *failure)
{
    for (uint32_t i = 0; i < c->worker_count; i++)
        if (atomic_load_explicit(&c->workers[i].has_failed, memory_order_acquire))
            return failure_set(failure, "%s", c->workers[i].failure.text);
    return server_turn(c->first, wait_ns, failure);
}

uint64_t crew_payload_bytes(const struct crew *c)
{
    uint64_t bytes = server_payload_bytes(c->first);
    for (uint32_t i = 0; i < c->worker_count; i++)
        bytes += atomic_load_explicit(&c->workers[i].payload_bytes, memory_order_relaxed);
    return bytes;
}

static void take_sample(struct spate_shard *shard, void *argument)
{
    struct worker *w = argument;
    (void)shard;
    server_sample_shard(w->server, &w->sample);
    atomic_store(&w->has_sample, true);
}

void crew_sample(struct crew *c, struct sample *ret)
{
    const struct timespec pause = {.tv_nsec = 10 * NS_PER_US};
    for (uint32_t i = 0; i < c->worker_count; i++) {
        struct worker *w = &c->workers[i];
        atomic_store(&w->has_sample, false);
        if (spate_shard_post(server_shard(w->server), take_sample, w) != 0)
            atomic_store(&w->has_sample, true); /* it has failed: what it had counted last */
    }
    server_sample(c->first, ret);
    uint64_t end_ns = clock_now_ns() + SAMPLE_WAIT_S * NS_PER_S;
    for (uint32_t i = 0; i < c->worker_count; i++) {
        struct worker *w = &c->workers[i];
        while (!atomic_load(&w->has_sample) && clock_now_ns() < end_ns)
            (void)nanosleep(&pause, NULL);
        if (atomic_load(&w->has_sample))
            sample_add(ret, &w->sample);
    }
}

/* The threads close their connections for at most `goodbye_ns`, and end. */
static void leave(struct crew *c, uint64_t goodbye_ns)
{
    c->goodbye_ns = goodbye_ns;
    atomic_store(&c->is_leaving, true);
    for (uint32_t i = 0; i < c->worker_count; i++)
        spate_shard_wake(server_shard(c->workers[i].server));
}

static void join(struct crew *c)
{
    for (uint32_t i = 0; i < c->worker_count; i++) {
        if (c->workers[i].has_thread)
            (void)pthread_join(c->workers[i].thread, NULL);
        c->workers[i].has_thread = false;
    }
}

void crew_say_goodbye(struct crew *c, uint64_t wait_ns)
{
    leave(c, wait_ns);
    server_say_goodbye(c->first, wait_ns);
    join(c);
}

void crew_close(struct crew *c)
{
    if (c == NULL)
        return;
    leave(c, 0);
    join(c);
    server_close(c->first); /* with the engine of all */
    for (uint32_t i = 0; i < c->worker_count; i++)
        server_close(c->workers[i].server);
    free(c->workers);
    free(c);
}
