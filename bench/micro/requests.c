/* SPDX-License-Identifier: MIT */
/* Two engines without sockets (<spate/io.h>) on one thread: what a request executes on both sides
 * together, with 1 and with 100 in flight, and what a packet of bulk does.
 *
 * The program moves the datagrams, by a copy that is in the figures.  A request of 64 bytes opens a
 * stream and ends it, and so does its answer, of 64 bytes or of 1,024; an operation of bulk is a
 * request that a MiB answers.  Clocks are the system's: the histograms record all that they record
 * with sockets, except for what the kernel would have stamped.  Each side takes two turns for a
 * request, one that receives and one that sends, where a shard that waits for its sockets takes
 * one.
 *
 * What the instruments cost is this bench with and without them: see bench/README.md. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/io.h>
#include <spate/spate.h>

#include "bench/micro/benches.h"
#include "proto/base/compiler.h"

enum {
    REQUEST_SIZE = 64,
    BULK_SIZE = 1 << 20,
    TRAINS_MAX = 16,
    EVENTS_MAX = 64,
    PATIENCE = 100000, /* rounds in which nothing ends */
};

enum side { SERVER, CLIENT, SIDES };

struct world {
    struct spate_engine *engines[SIDES];
    struct spate_shard *shards[SIDES];
    struct spate_tls *tls[SIDES];
    struct sockaddr_in addresses[SIDES];
    struct spate_conn *conn; /* the client's; NULL: not connected yet */
    uint32_t in_flight;      /* requests at a time */
    size_t answer_size;
    uint32_t open;      /* requests without their whole answer */
    uint64_t answered;  /* requests */
    uint64_t bytes;     /* of answers */
    uint64_t datagrams; /* moved to the client */
};

static const char request[REQUEST_SIZE] = "request";
static const char answer[BULK_SIZE] = "answer";

/* Returns false while the peer allows no further stream: it counts those whose end it waits for. */
static bool send_request(struct world *w)
{
    uint64_t id = 0;
    if (spate_stream_open(w->conn, false, &id) != 0)
        return false;
    micro_check(spate_stream_send(w->conn, id, request, sizeof(request), true, 0) == 0,
                "requests: a request");
    w->open++;
    return true;
}

static void on_data(struct world *w, enum side side, struct spate_event *event)
{
    struct spate_conn *conn = event->conn;
    uint64_t id = event->stream_id;
    bool is_end = event->u.data.fin;
    if (side == CLIENT)
        w->bytes += event->u.data.slice.size;
    spate_slice_release(w->shards[side], &event->u.data.slice);
    if (!is_end)
        return;
    if (side == SERVER) {
        micro_check(spate_stream_send(conn, id, answer, w->answer_size, true, 0) == 0,
                    "requests: an answer");
        return;
    }
    w->open--;
    w->answered++;
}

static void turn(struct world *w, enum side side)
{
    struct spate_event events[EVENTS_MAX];
    uint32_t count;
    micro_check(spate_shard_turn(w->shards[side], 0) >= 0, "requests: a turn");
    while ((count = spate_shard_events(w->shards[side], events, EVENTS_MAX)) > 0) {
        for (uint32_t i = 0; i < count; i++) {
            if (events[i].kind == SPATE_EVENT_STREAM_DATA)
                on_data(w, side, &events[i]);
            else if (events[i].kind == SPATE_EVENT_CONNECTED && side == CLIENT)
                w->conn = events[i].conn;
            micro_check(events[i].kind != SPATE_EVENT_CLOSED, "requests: a connection that lasts");
        }
    }
}

/* Gives trains to the other side.  Returns how many it took. */
static uint32_t give(struct world *w, enum side to, const struct spate_train *trains,
                     uint32_t count)
{
    struct spate_slot slots[TRAINS_MAX];
    struct spate_given given[TRAINS_MAX];
    uint32_t room = spate_shard_slots(w->shards[to], slots, count);
    for (uint32_t i = 0; i < room; i++) {
        const struct spate_train *train = &trains[i];
        memcpy(slots[i].data, train->data, train->size);
        given[i] = (struct spate_given){
            .size = train->size,
            .segment_size = train->segment_size == train->size ? 0 : (uint16_t)train->segment_size,
            .ecn = train->ecn,
            .local = (const struct sockaddr *)&w->addresses[to],
            .peer = (const struct sockaddr *)&w->addresses[SIDES - 1 - to],
        };
        if (to == CLIENT)
            w->datagrams += (train->size + train->segment_size - 1) / train->segment_size;
    }
    int taken = room > 0 ? spate_shard_give(w->shards[to], given, room) : 0;
    micro_check(taken == (int)room, "requests: datagrams are taken");
    return room;
}

static void move(struct world *w, enum side from)
{
    enum side to = (enum side)(SIDES - 1 - from);
    struct spate_train trains[TRAINS_MAX];
    for (;;) {
        uint32_t count = spate_shard_trains(w->shards[from], trains, TRAINS_MAX);
        if (count == 0)
            return;
        for (uint32_t given = 0; given < count;) {
            given += give(w, to, trains + given, count - given);
            if (given < count)
                turn(w, to);
        }
        for (uint32_t i = 0; i < count; i++)
            micro_check(spate_shard_train_done(w->shards[from], trains[i].id, 0) == 0,
                        "requests: a train comes back");
    }
}

/* The client receives and sends, the server receives and sends. */
static void run_round(struct world *w)
{
    turn(w, CLIENT);
    move(w, CLIENT);
    turn(w, SERVER);
    turn(w, SERVER);
    move(w, SERVER);
    turn(w, CLIENT);
}

static void run_requests(void *context, uint64_t count)
{
    struct world *w = context;
    uint64_t end = w->answered + count;
    uint64_t last = w->answered;
    for (uint32_t patience = PATIENCE; w->answered < end; patience--) {
        micro_check(patience > 0, "requests: an answer in time");
        while (w->open < w->in_flight && w->answered + w->open < end && send_request(w))
            continue;
        run_round(w);
        if (w->answered != last)
            patience = PATIENCE;
        last = w->answered;
    }
}

static void make_tls(struct world *w)
{
    static const char *const alpn[] = {"bench"};
    const struct spate_self_signed_options self = {.size = sizeof(self),
                                                   .key_type = SPATE_KEY_P256};
    char *cert = NULL, *key = NULL;
    micro_check(spate_self_signed(&self, &cert, &key, NULL) == 0, "requests: a certificate");
    const struct spate_tls_options server = {
        .size = sizeof(server), .cert_pem = cert, .key_pem = key, .alpn = alpn, .alpn_count = 1};
    const struct spate_tls_options client = {
        .size = sizeof(client), .ca_pem = cert, .alpn = alpn, .alpn_count = 1};
    micro_check(spate_tls_server_create(&server, &w->tls[SERVER], NULL) == 0 &&
                    spate_tls_client_create(&client, &w->tls[CLIENT], NULL) == 0,
                "requests: TLS");
    spate_free(cert);
    spate_free(key);
}

/* A connection that has confirmed its handshake and found its MTU. */
static struct world *world_create(uint32_t in_flight, size_t answer_size)
{
    struct world *w = calloc(1, sizeof(*w));
    micro_check(w != NULL, "memory");
    w->in_flight = in_flight;
    w->answer_size = answer_size;
    make_tls(w);
    for (int side = 0; side < SIDES; side++) {
        struct spate_config config;
        spate_config_init(&config);
        config.backend = SPATE_BACKEND_HOST;
        config.datagram_size_max = 1472;
        micro_check(spate_engine_create(&config, &w->engines[side], NULL) == 0,
                    "requests: an engine");
        w->shards[side] = spate_engine_shard(w->engines[side], 0);
        w->addresses[side] = (struct sockaddr_in){.sin_family = AF_INET,
                                                  .sin_port = htons((uint16_t)(4433 + side)),
                                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    }
    struct spate_listener *listener = NULL;
    struct spate_conn *conn = NULL;
    const struct sockaddr *address = (const struct sockaddr *)&w->addresses[SERVER];
    micro_check(spate_shard_listen(w->shards[SERVER], address, sizeof(w->addresses[SERVER]),
                                   w->tls[SERVER], NULL, &listener, NULL) == 0 &&
                    spate_shard_connect(w->shards[CLIENT], address, sizeof(w->addresses[SERVER]),
                                        "localhost", w->tls[CLIENT], NULL, &conn, NULL) == 0,
                "requests: a connection");
    turn(w, SERVER); /* now it has slots */
    for (uint32_t i = 0; w->conn == NULL || i < 200; i++) {
        micro_check(i < PATIENCE, "requests: a handshake");
        run_round(w);
    }
    run_requests(w, 10 * in_flight);
    return w;
}

static void world_destroy(struct world *w)
{
    for (int side = SIDES - 1; side >= 0; side--) {
        spate_engine_destroy(w->engines[side]);
        spate_tls_destroy(w->tls[side]);
    }
    free(w);
}

static const struct scenario {
    const char *name;
    uint32_t in_flight;
    size_t answer_size;
} scenarios[] = {
    {"1 in flight, 64 and 64 bytes", 1, 64},
    {"100 in flight, 64 and 1,024 bytes", 100, 1024},
    {"a packet of 1 MiB", 1, BULK_SIZE},
};

static void check(void)
{
    for (size_t i = 0; i < SB_COUNT(scenarios); i++) {
        struct world *w = world_create(scenarios[i].in_flight, scenarios[i].answer_size);
        uint64_t answered = w->answered, bytes = w->bytes;
        run_requests(w, 5);
        micro_check(w->answered == answered + 5 && w->open == 0, "requests: each is answered");
        micro_check(w->bytes == bytes + 5 * w->answer_size, "requests: the answers are whole");
        world_destroy(w);
    }
}

static void time_all(struct micro *m)
{
    struct world *worlds[SB_COUNT(scenarios)];
    struct micro_subject subjects[SB_COUNT(scenarios)];
    struct micro_sample samples[SB_COUNT(scenarios)];
    for (size_t i = 0; i < SB_COUNT(scenarios); i++) {
        struct world *w = world_create(scenarios[i].in_flight, scenarios[i].answer_size);
        uint32_t items = 1;
        if (w->answer_size == BULK_SIZE) { /* per packet */
            uint64_t datagrams = w->datagrams;
            run_requests(w, 1);
            items = (uint32_t)(w->datagrams - datagrams);
        }
        worlds[i] = w;
        subjects[i] = (struct micro_subject){scenarios[i].name, run_requests, w, items};
    }
    micro_time(m, subjects, SB_COUNT(scenarios), samples);
    for (size_t i = 0; i < SB_COUNT(scenarios); i++) {
        micro_row_ns(m, scenarios[i].name, &samples[i], MICRO_REPORTED, 0);
        world_destroy(worlds[i]);
    }
}

const struct micro_bench micro_requests = {
    .name = "requests",
    .what = "requests and bulk between two engines without sockets, both sides together",
    .check = check,
    .time = time_all,
};
