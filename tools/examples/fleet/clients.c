/* SPDX-License-Identifier: MIT */
/* Many clients of a fleet, each behind a NAT of its own that keeps changing.
 *
 *     fleet_clients ADDRESS PORT COUNT ROUNDS LOCAL-ADDRESS...
 *
 * In each round every NAT takes another address and port, and every client asks again which server
 * it has.  Prints one line, and exits with 0 if every request of every client was answered by the
 * server that answered its first one. */

#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/examples/client.h"
#include "tools/examples/fleet/nat.h"

enum { CLIENTS_MAX = 5000, AT_ONCE = 100, ANSWER_MAX = 8 };

#define SETTLE_NS   UINT64_C(500000000)  /* from the last handshake to its confirmation */
#define PATIENCE_NS UINT64_C(6000000000) /* for the next handshake or answer */

struct asker {
    struct spate_conn *conn; /* NULL: closed, or not begun */
    char server[ANSWER_MAX]; /* that answered first; empty: none */
    char answer[ANSWER_MAX]; /* what has come of the present one */
};

static struct nat nats[CLIENTS_MAX];
static struct nat_table table;
static struct asker askers[CLIENTS_MAX];
static struct client all;                                        /* their engine */
static uint32_t count, begun, connected, asked, answered, moved; /* moved: to another server */

static void hear(struct asker *asker, struct spate_event *event)
{
    struct spate_slice *slice = &event->u.data.slice;
    size_t used = strlen(asker->answer);
    if (used + slice->size < ANSWER_MAX)
        memcpy(asker->answer + used, slice->data, slice->size);
    spate_slice_release(all.shard, slice);
    if (!event->u.data.fin)
        return;
    if (asker->server[0] == 0)
        memcpy(asker->server, asker->answer, sizeof(asker->server));
    moved += strcmp(asker->server, asker->answer) != 0;
    answered++;
}

static void turn(void)
{
    struct spate_event events[64];
    uint32_t taken;
    if (client_turn(&all, 0) != 0)
        exit(1);
    while ((taken = spate_shard_events(all.shard, events, 64)) > 0) {
        for (uint32_t i = 0; i < taken; i++) {
            struct asker *asker = events[i].conn_user;
            if (events[i].kind == SPATE_EVENT_STREAM_DATA)
                hear(asker, &events[i]);
            else if (events[i].kind == SPATE_EVENT_CLOSED)
                asker->conn = NULL;
            connected += events[i].kind == SPATE_EVENT_CONNECTED;
        }
    }
    nat_pass_all(&table);
}

/* Returns true for `patience_ns` after the last progress, which is a number that changes. */
static bool is_patient(uint32_t progress, uint64_t patience_ns)
{
    static uint32_t before = UINT32_MAX;
    static uint64_t since_ns;
    uint64_t now_ns = spate_shard_now_ns(all.shard);
    since_ns = progress == before ? since_ns : now_ns;
    before = progress;
    return now_ns - since_ns < patience_ns;
}

static void connect_all(void)
{
    struct sockaddr_in inside;
    turn(); /* sets the clock */
    while (connected < count && is_patient(connected, PATIENCE_NS)) {
        for (; begun < count && begun < connected + AT_ONCE; begun++) {
            nat_begin(&table, begun, &inside);
            if (client_connect(&all, &inside, &askers[begun], &askers[begun].conn) != 0)
                exit(1);
        }
        turn();
    }
    while (is_patient(connected, SETTLE_NS)) /* who moves earlier is lost [RFC9000 9] */
        turn();
}

static void ask_all(void)
{
    uint64_t id;
    (void)is_patient(asked + 1, 0); /* begins */
    for (struct asker *asker = askers; asker < askers + count; asker++) {
        if (asker->conn == NULL || spate_stream_open(asker->conn, false, &id) != 0 ||
            spate_stream_send(asker->conn, id, "?", 1, true, 0) != 0)
            continue;
        memset(asker->answer, 0, sizeof(asker->answer));
        asked++;
    }
    while (answered < asked && is_patient(answered, PATIENCE_NS))
        turn();
}

/* Returns the exit status. */
static int report(uint32_t rounds)
{
    uint32_t one = 0, lost = count * (rounds + 1) - answered;
    for (uint32_t i = 0; i < count; i++)
        one += strcmp(askers[i].server, askers[0].server) == 0;
    printf("%u clients, %u and %u at their server, %u rounds, ", count, one, count - one, rounds);
    printf("%u answers, %u lost, %u of another server\n", answered, lost, moved);
    return lost == 0 && moved == 0 && one < count ? 0 : 1;
}

int main(int argc, char **argv)
{
    struct sockaddr_in fleet = {.sin_family = AF_INET};
    struct spate_config config;
    count = argc < 6 ? 0 : (uint32_t)atoi(argv[3]);
    if (count < 1 || count > CLIENTS_MAX || inet_pton(AF_INET, argv[1], &fleet.sin_addr) != 1) {
        fprintf(stderr, "usage: fleet_clients ADDRESS PORT COUNT ROUNDS LOCAL-ADDRESS...\n");
        return 1;
    }
    uint32_t rounds = (uint32_t)atoi(argv[4]);
    fleet.sin_port = htons((uint16_t)atoi(argv[2]));
    nat_table_init(&table, nats, &fleet, argv + 5, (uint32_t)argc - 5);
    spate_config_init(&config);
    config.idle_timeout_ns = 10 * PATIENCE_NS;
    if (client_create(&all, &config, "fleet", NULL) != 0)
        return 1;
    connect_all();
    ask_all();
    printf("connected %u\n", connected);
    (void)fflush(stdout);
    for (uint32_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < begun; i++)
            nat_rebind(&table, i, round);
        ask_all();
    }
    client_close(&all);
    return report(rounds);
}
