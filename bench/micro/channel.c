/* SPDX-License-Identifier: MIT */
/* Channels: commands per second, and the time from a command to its datagram.
 *
 * The shard runs on the first CPU and spins; the channel's thread runs on the second.  For the
 * latency a second shard, the server, shares the first thread.  It runs no turn while a command is
 * on its way.  A command's datagram counts as sent when the turn that sends it has returned: so the
 * figure holds the send itself, with all that the kernel does in it on loopback, which the bench
 * measures alone.  The reference for the check is counting: each command is answered once. */

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <spate/spate.h>

#include "bench/micro/benches.h"
#include "engine/shard/shard.h"
#include "proto/base/time.h"

enum {
    COMMANDS = 1000000,
    COMMANDS_MAX = 8192,
    BATCH = 256, /* of one thread that is both sides */
    SENDS = 2000,
};

#define QUIET_NS 30000

/* What the two threads share. */
struct pair {
    struct spate_engine *client_engine;
    struct spate_engine *server_engine;
    struct spate_shard *client;
    struct spate_shard *server;
    struct spate_channel *channel;
    struct sockaddr_in address;
    struct spate_tls *server_tls;
    struct spate_tls *client_tls;
    _Atomic bool is_over;
    _Atomic bool is_quiet; /* only the client's shard runs turns */
    _Atomic uint64_t sent_ns;
    uint64_t answered; /* results of the thread that sends */
};

static void pin(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), &set);
    (void)sched_setaffinity(0, sizeof(set), &set); /* where it is not allowed: unpinned */
}

static struct spate_engine *make_engine(void)
{
    struct spate_config config;
    struct spate_engine *engine = NULL;
    spate_config_init(&config);
    config.spin_ns = SPATE_FOREVER;
    config.pacing = false;
    config.ack_delay_ns_max = SB_MS; /* each send waits for the acknowledgement of the last */
    micro_check(spate_engine_create(&config, &engine, NULL) == 0, "channel: an engine");
    return engine;
}

static void drop_events(struct spate_shard *shard)
{
    struct spate_event events[64];
    uint32_t count;
    while ((count = spate_shard_events(shard, events, 64)) > 0)
        for (uint32_t i = 0; i < count; i++)
            if (events[i].kind == SPATE_EVENT_STREAM_DATA)
                spate_slice_release(shard, &events[i].u.data.slice);
}

static void listen_at(struct pair *p)
{
    static const char *const alpn[] = {"bench"};
    const struct spate_self_signed_options certificate = {.size = sizeof(certificate),
                                                          .key_type = SPATE_KEY_P256};
    struct spate_listener *listener;
    struct sockaddr_storage bound;
    socklen_t size;
    char *cert = NULL;
    char *key = NULL;
    micro_check(spate_self_signed(&certificate, &cert, &key, NULL) == 0, "channel: a certificate");
    const struct spate_tls_options server = {
        .size = sizeof(server), .cert_pem = cert, .key_pem = key, .alpn = alpn, .alpn_count = 1};
    const struct spate_tls_options client = {
        .size = sizeof(client), .ca_pem = cert, .alpn = alpn, .alpn_count = 1};
    p->address =
        (struct sockaddr_in){.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    bool is_made = spate_tls_server_create(&server, &p->server_tls, NULL) == 0 &&
                   spate_tls_client_create(&client, &p->client_tls, NULL) == 0 &&
                   spate_shard_listen(p->server, (struct sockaddr *)&p->address, sizeof(p->address),
                                      p->server_tls, NULL, &listener, NULL) == 0 &&
                   spate_listener_address(listener, &bound, &size) == 0;
    micro_check(is_made, "channel: a listener");
    memcpy(&p->address, &bound, sizeof(p->address));
    spate_free(cert);
    spate_free(key);
}

/* The thread of the shards: the engines are made and destroyed here as well. */
static void *run_shards(void *argument)
{
    struct pair *p = argument;
    uint64_t trains = 0;
    uint64_t commands = 0;
    pin(0);
    while (!atomic_load_explicit(&p->is_over, memory_order_acquire)) {
        (void)spate_shard_turn(p->client, 0);
        if (p->client->send.counts.trains != trains) {
            trains = p->client->send.counts.trains;
            atomic_store_explicit(&p->sent_ns, micro_now_ns(), memory_order_release);
        }
        drop_events(p->client);
        if (p->server == NULL && commands == p->client->counts.own.channel_commands)
            (void)sched_yield(); /* other work of this CPU counts less then */
        commands = p->client->counts.own.channel_commands;
        if (p->server == NULL || atomic_load_explicit(&p->is_quiet, memory_order_acquire))
            continue;
        (void)spate_shard_turn(p->server, 0);
        drop_events(p->server);
    }
    spate_channel_destroy(p->channel); /* by the thread that runs the shard */
    spate_engine_destroy(p->client_engine);
    spate_engine_destroy(p->server_engine);
    return NULL;
}

static pthread_t start(struct pair *p, bool has_server)
{
    pthread_t thread;
    *p = (struct pair){.client_engine = make_engine()};
    p->client = spate_engine_shard(p->client_engine, 0);
    if (has_server) {
        p->server_engine = make_engine();
        p->server = spate_engine_shard(p->server_engine, 0);
        listen_at(p);
    }
    const struct spate_channel_options options = {.size = sizeof(options),
                                                  .commands_max = COMMANDS_MAX};
    micro_check(spate_channel_create(p->client, &options, &p->channel, NULL) == 0, "channel: one");
    micro_check(pthread_create(&thread, NULL, run_shards, p) == 0, "channel: a thread");
    return thread;
}

static void end(struct pair *p, pthread_t thread)
{
    atomic_store_explicit(&p->is_over, true, memory_order_release);
    (void)pthread_join(thread, NULL);
    spate_tls_destroy(p->server_tls);
    spate_tls_destroy(p->client_tls);
}

/* ---- Commands per second ---- */

static uint64_t take_all(struct spate_channel *channel)
{
    uint64_t sum = 0;
    uint32_t count;
    while (spate_channel_results(channel, &count) != NULL && count > 0)
        sum += count;
    return sum;
}

static uint64_t take_or_yield(struct spate_channel *channel)
{
    uint64_t count = take_all(channel);
    if (count == 0)
        (void)sched_yield();
    return count;
}

/* Commands to no connection: each is queued, looked up, answered and taken.  Returns ns each. */
static double run_commands(uint64_t count)
{
    static struct pair p;
    pthread_t thread = start(&p, false);
    uint64_t answered = 0;
    uint64_t start_ns = micro_now_ns();
    for (uint64_t i = 0; i < count;) {
        if (spate_channel_stream_send(p.channel, 1, 0, "x", 1, false, i) == 0)
            i++;
        else
            answered += take_or_yield(p.channel);
    }
    while (answered < count)
        answered += take_or_yield(p.channel);
    uint64_t ns = micro_now_ns() - start_ns;
    micro_check(answered == count, "channel: each command is answered once");
    end(&p, thread);
    return (double)ns / (double)count;
}

/* Both sides on one thread, in turns: the sum of what a command costs them. */
static double run_alone(uint64_t count)
{
    struct spate_engine *engine = make_engine();
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    struct spate_channel *channel = NULL;
    uint64_t answered = 0;
    bool is_queued = spate_channel_create(shard, NULL, &channel, NULL) == 0;
    (void)spate_shard_turn(shard, 0); /* the first one takes longer */
    uint64_t start_ns = micro_now_ns();
    for (uint64_t i = 0; i < count; i += BATCH) {
        for (uint64_t n = 0; n < BATCH; n++)
            is_queued &= spate_channel_stream_send(channel, 1, 0, "x", 1, false, i + n) == 0;
        (void)spate_shard_turn(shard, 0);
        answered += take_all(channel);
    }
    uint64_t ns = micro_now_ns() - start_ns;
    micro_check(is_queued && answered >= count, "channel: each command is queued and answered");
    spate_channel_destroy(channel);
    spate_engine_destroy(engine);
    return (double)ns / (double)answered;
}

/* ---- From a command to its datagram ---- */

static void spin_until_taken(struct pair *p, enum spate_event_kind kind, uint64_t *ret_conn)
{
    for (;;) {
        uint32_t count;
        const struct spate_result *results = spate_channel_results(p->channel, &count);
        for (uint32_t i = 0; i < count; i++) {
            *ret_conn = results[i].conn_id;
            if (results[i].event.kind == kind)
                return;
            micro_check(results[i].result == 0, "channel: a command is done");
        }
    }
}

/* Runs the server until it has acknowledged `count` sends, and stops it. */
static void settle(struct pair *p, uint64_t count)
{
    atomic_store_explicit(&p->is_quiet, false, memory_order_release);
    while (p->answered < count)
        p->answered += take_all(p->channel);
    atomic_store_explicit(&p->is_quiet, true, memory_order_release);
    uint64_t until_ns = micro_now_ns() + QUIET_NS; /* what follows from its last turn */
    while (micro_now_ns() < until_ns)
        p->answered += take_all(p->channel);
}

static void time_sends(double *ret_us, uint32_t count)
{
    static struct pair p;
    uint64_t conn_id = 0;
    pthread_t thread = start(&p, true);
    const struct spate_connect_options options = {.size = sizeof(options),
                                                  .address = (struct sockaddr *)&p.address,
                                                  .address_size = sizeof(p.address),
                                                  .server_name = "localhost",
                                                  .tls = p.client_tls};
    (void)spate_channel_connect(p.channel, &options, NULL, 0);
    spin_until_taken(&p, SPATE_EVENT_CONNECTED, &conn_id);
    (void)spate_channel_stream_open(p.channel, conn_id, true, NULL, 0);
    for (uint32_t i = 0; i < count; i++) {
        settle(&p, i);
        uint64_t before_ns = atomic_load_explicit(&p.sent_ns, memory_order_acquire);
        uint64_t start_ns = micro_now_ns();
        (void)spate_channel_stream_send(p.channel, conn_id, SPATE_STREAM_LAST, "0123456789", 10,
                                        false, 0);
        spate_channel_flush(p.channel);
        uint64_t sent_ns;
        while ((sent_ns = atomic_load_explicit(&p.sent_ns, memory_order_acquire)) == before_ns)
            continue;
        ret_us[i] = (double)(sent_ns - start_ns) / 1000;
    }
    settle(&p, count);
    end(&p, thread);
}

static int compare(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

/* A datagram of the same size to a socket on loopback. */
static double median_send_us(void)
{
    static double us[SENDS];
    static const uint8_t data[48];
    struct sockaddr_in to = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(to);
    int sink = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    int from = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_made = bind(sink, (struct sockaddr *)&to, size) == 0 &&
                   getsockname(sink, (struct sockaddr *)&to, &size) == 0 &&
                   connect(from, (struct sockaddr *)&to, size) == 0;
    micro_check(is_made, "channel: sockets");
    for (uint32_t i = 0; i < SENDS; i++) {
        uint8_t got[64];
        uint64_t start_ns = micro_now_ns();
        (void)!send(from, data, sizeof(data), 0);
        us[i] = (double)(micro_now_ns() - start_ns) / 1000;
        (void)!recv(sink, got, sizeof(got), 0);
    }
    (void)close(sink);
    (void)close(from);
    qsort(us, SENDS, sizeof(us[0]), compare);
    return us[SENDS / 2];
}

static void check(void)
{
    (void)run_commands(10000);
    (void)run_alone(10000);
}

static void time_all(struct micro *m)
{
    static double us[SENDS];
    double figures[MICRO_REPETITIONS_MAX];
    double sends[MICRO_REPETITIONS_MAX];
    double own[MICRO_REPETITIONS_MAX];
    cpu_set_t before;
    if (m->is_counting)
        return; /* two threads have no repeatable count */
    (void)sched_getaffinity(0, sizeof(before), &before);
    pin(1);
    for (uint32_t i = 0; i < m->repetitions; i++)
        figures[i] = run_commands(COMMANDS);
    struct micro_sample sample = micro_sample_of(figures, m->repetitions);
    sample = micro_rate(&sample, 1000); /* ns to millions a second */
    micro_row(m, &(struct micro_row){.name = "commands, answered",
                                     .unit = "M/s",
                                     .sample = &sample,
                                     .goal = MICRO_AT_LEAST,
                                     .target = 5});
    for (uint32_t i = 0; i < m->repetitions; i++)
        figures[i] = run_alone(COMMANDS);
    sample = micro_sample_of(figures, m->repetitions);
    micro_row_ns(m, "a command, both sides together", &sample, MICRO_AT_MOST, 200);
    for (uint32_t i = 0; i < m->repetitions; i++) {
        time_sends(us, SENDS / 4);
        qsort(us, SENDS / 4, sizeof(us[0]), compare);
        figures[i] = us[SENDS / 8];
        sends[i] = median_send_us();
        own[i] = figures[i] - sends[i];
    }
    (void)sched_setaffinity(0, sizeof(before), &before);
    sample = micro_sample_of(figures, m->repetitions);
    micro_row(m, &(struct micro_row){
                     .name = "call to datagram sent, p50", .unit = "us", .sample = &sample});
    sample = micro_sample_of(sends, m->repetitions);
    micro_row(m, &(struct micro_row){
                     .name = "send() of a datagram alone, p50", .unit = "us", .sample = &sample});
    sample = micro_sample_of(own, m->repetitions);
    micro_row(m, &(struct micro_row){.name = "call to submission, p50",
                                     .unit = "us",
                                     .sample = &sample,
                                     .goal = MICRO_AT_MOST,
                                     .target = 3,
                                     .note = "the difference of the two"});
}

const struct micro_bench micro_channel = {
    .name = "channel",
    .what = "commands of another thread: millions a second, and microseconds to the wire",
    .check = check,
    .time = time_all,
};
