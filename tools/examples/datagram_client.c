/* SPDX-License-Identifier: MIT */
/* Sends a message (DATAGRAM frame) every millisecond to datagram_server.c, and prints how long each
 * took there and back, and how many were lost: QUIC acknowledges messages and never sends them
 * again.
 *
 *     datagram_client PORT CA-FILE COUNT */

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/examples/client.h"
#include "tools/examples/number.h"

#define EVERY_NS UINT64_C(1000000)
#define LAST_NS  UINT64_C(1000000000) /* the longest wait for the last answers */

/* What a message has in it.  It comes back as it was sent, so it needs no order of bytes. */
struct ping {
    uint64_t number, sent_ns;
};

struct pings {
    struct client client;
    struct spate_conn *conn; /* NULL before the handshake */
    uint64_t wanted, sent, answered, lost;
    struct spate_histogram trips_ns;
    bool has_ended;
};

static void send_one(struct pings *pings)
{
    const struct ping ping = {pings->sent, spate_shard_now_ns(pings->client.shard)};
    pings->sent++;
    /* -EAGAIN: the path is slower than we are.  This message would come late: it is lost. */
    if (spate_conn_datagram_send(pings->conn, &ping, sizeof(ping), ping.number, SPATE_FOREVER,
                                 SPATE_DATAGRAM_COPY) != 0)
        pings->lost++;
}

static void hear(struct pings *pings, struct spate_slice *slice)
{
    struct ping ping;
    if (slice->size == sizeof(ping)) {
        memcpy(&ping, slice->data, sizeof(ping));
        spate_histogram_record(&pings->trips_ns,
                               spate_shard_now_ns(pings->client.shard) - ping.sent_ns);
        pings->answered++;
    }
    spate_slice_release(pings->client.shard, slice);
}

static void handle(struct pings *pings, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CONNECTED) {
        pings->conn = event->conn;
    } else if (event->kind == SPATE_EVENT_DATAGRAM) {
        hear(pings, &event->u.datagram.slice);
    } else if (event->kind == SPATE_EVENT_DATAGRAMS_SENT) {
        for (size_t i = 0; i < event->u.datagrams_sent.count; i++)
            pings->lost += event->u.datagrams_sent.results[i].fate != SPATE_DATAGRAM_ACKED;
    } else if (event->kind == SPATE_EVENT_CLOSED) {
        fprintf(stderr, "the connection has ended: %s\n", event->u.close.reason);
        pings->has_ended = true;
    }
}

/* Returns 0, or 1 if the connection ended before all was sent. */
static int run(struct pings *pings)
{
    struct spate_shard *shard = pings->client.shard;
    struct spate_event events[64];
    uint64_t due_ns = spate_shard_now_ns(shard);
    while (!pings->has_ended && pings->answered + pings->lost < pings->wanted) {
        uint64_t now_ns = spate_shard_now_ns(shard);
        bool is_due = pings->conn != NULL && now_ns >= due_ns;
        if (is_due && pings->sent == pings->wanted)
            break; /* not all were answered */
        if (is_due) {
            send_one(pings);
            due_ns = now_ns + (pings->sent < pings->wanted ? EVERY_NS : LAST_NS);
        }
        uint64_t wait_ns = pings->conn != NULL && due_ns > now_ns ? due_ns - now_ns : LAST_NS;
        if (client_turn(&pings->client, wait_ns) != 0)
            return 1;
        uint32_t count = spate_shard_events(shard, events, 64);
        for (uint32_t i = 0; i < count; i++)
            handle(pings, &events[i]);
    }
    return pings->has_ended ? 1 : 0;
}

int main(int argc, char **argv)
{
    struct pings pings = {0};
    struct spate_config config;
    if (argc != 4) {
        fprintf(stderr, "usage: %s PORT CA-FILE COUNT\n", argv[0]);
        return 1;
    }
    if (!number_read(argv[3], UINT32_MAX, &pings.wanted))
        return 1;
    spate_histogram_init(&pings.trips_ns);
    spate_config_init(&config);
    config.message_frame_size_max = 65535;
    int result = client_open(&pings.client, &config, argv[1], argv[2]);
    if (result == 0)
        result = run(&pings);
    if (result == 0)
        printf("%lu sent, %lu answered, %lu lost; there and back: half in %lu us, 99 %% in %lu\n",
               (unsigned long)pings.sent, (unsigned long)pings.answered, (unsigned long)pings.lost,
               (unsigned long)spate_histogram_percentile(&pings.trips_ns, 50) / 1000,
               (unsigned long)spate_histogram_percentile(&pings.trips_ns, 99) / 1000);
    client_close(&pings.client);
    return result;
}
