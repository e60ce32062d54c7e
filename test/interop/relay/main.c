/* SPDX-License-Identifier: MIT */
/* A path between QUIC clients and a server that a test makes as bad as it likes: delay, loss,
 * corruption, duplication, reordering, a rate with a queue, ECN marks, outages, and a NAT that
 * rebinds.  It works on loopback and between network namespaces.
 *
 * Trains stay whole on the way through, unless a fault hits one of their datagrams or their times
 * of arrival differ, so that it keeps up with several Gbit/s. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>

#include "test/interop/relay/batch.h"
#include "test/interop/relay/flows.h"
#include "test/interop/relay/link.h"
#include "test/interop/relay/options.h"
#include "test/interop/relay/parcels.h"
#include "test/interop/relay/program.h"

enum { EVENTS_MAX = 64, RECEIVES_PER_EVENT = 4 };

#define NEVER UINT64_MAX

struct relay {
    struct relay_options options;
    struct flows flows;
    struct parcels parcels;
    struct batch *batch;
    struct link up;
    struct link down;
    uint64_t rebind_at_ns;
    uint64_t rebound_count;
    uint64_t refused_count;   /* datagrams that the kernel did not send */
    uint64_t forgotten_count; /* bytes that found no memory */
    bool has_begun;
};

/* ---- In ---- */

/* A parcel that grows while datagrams with one time of arrival and one mark follow each other. */
struct packing {
    struct parcel *parcel; /* NULL: none is begun */
    size_t room;
    uint32_t flow;
    bool is_up;
};

static void ship(struct relay *relay, struct packing *packing)
{
    if (packing->parcel == NULL)
        return;
    size_t size = packing->parcel->size;
    if (!parcels_add(&relay->parcels, packing->parcel))
        relay->forgotten_count += size;
    packing->parcel = NULL;
}

static bool fits(const struct packing *packing, const struct link_verdict *verdict, size_t size)
{
    const struct parcel *parcel = packing->parcel;
    return parcel != NULL && parcel->due_ns == verdict->due_ns && parcel->ecn == verdict->ecn &&
           size <= parcel->segment_size && parcel->size % parcel->segment_size == 0 &&
           parcel->size + size <= packing->room;
}

static void pack(struct relay *relay, struct packing *packing, const struct link_verdict *verdict,
                 const uint8_t *data, size_t size, size_t room)
{
    if (!fits(packing, verdict, size)) {
        ship(relay, packing);
        packing->parcel = parcel_create(room);
        packing->room = room;
        if (packing->parcel == NULL) {
            relay->forgotten_count += size;
            return;
        }
        packing->parcel->due_ns = verdict->due_ns;
        packing->parcel->ecn = verdict->ecn;
        packing->parcel->flow = packing->flow;
        packing->parcel->is_up = packing->is_up;
        packing->parcel->segment_size = size;
        packing->parcel->size = 0;
    }
    memcpy(packing->parcel->data + packing->parcel->size, data, size);
    packing->parcel->size += size;
}

static void take_train(struct relay *relay, const struct batch_train *train, uint32_t flow,
                       bool is_up, uint64_t now_ns)
{
    struct link *link = is_up ? &relay->up : &relay->down;
    struct packing packing = {.flow = flow, .is_up = is_up};
    for (size_t at = 0; at < train->size; at += train->segment_size) {
        size_t left = train->size - at;
        size_t size = left < train->segment_size ? left : train->segment_size;
        struct link_verdict verdict = link_pass_flow(link, &relay->flows.items[flow].bad_run[is_up],
                                                     now_ns, size, train->ecn);
        if (verdict.is_dropped)
            continue;
        if (verdict.is_corrupted)
            train->data[at + verdict.corrupt_at] ^= verdict.corrupt_with;
        /* With a rate each has a time of its own: a parcel holds one. */
        size_t room = link_spreads(&link->config) ? size : left;
        pack(relay, &packing, &verdict, train->data + at, size, room);
        if (!verdict.is_duplicated)
            continue;
        ship(relay, &packing);
        pack(relay, &packing, &verdict, train->data + at, size, size);
        ship(relay, &packing);
    }
    ship(relay, &packing);
}

static void begin(struct relay *relay, uint64_t now_ns)
{
    relay->has_begun = true;
    link_init(&relay->up, &relay->options.up, relay->options.seed, now_ns);
    link_init(&relay->down, &relay->options.down, relay->options.seed + 1, now_ns);
    if (relay->options.rebind_ns != 0)
        relay->rebind_at_ns = now_ns + relay->options.rebind_ns;
}

static void receive(struct relay *relay, uint32_t key)
{
    struct batch_train trains[BATCH_TRAINS];
    bool is_up = key < FLOWS_DOORS_MAX;
    uint32_t flow = key - FLOWS_DOORS_MAX;
    int fd = is_up ? relay->flows.doors[key].fd : relay->flows.items[flow].fd;
    for (int i = 0; i < RECEIVES_PER_EVENT; i++) {
        size_t count = batch_receive(relay->batch, fd, trains);
        uint64_t now_ns = program_now_ns();
        if (count > 0 && !relay->has_begun)
            begin(relay, now_ns);
        for (size_t t = 0; t < count; t++) {
            if (is_up) {
                int found = flows_find(&relay->flows, key, trains[t].from, now_ns);
                if (found < 0)
                    continue;
                flow = (uint32_t)found;
            }
            take_train(relay, &trains[t], flow, is_up, now_ns);
        }
        if (count < BATCH_TRAINS)
            break;
    }
}

/* ---- Out ---- */

static int socket_of(const struct relay *relay, const struct parcel *parcel)
{
    const struct flow *flow = &relay->flows.items[parcel->flow];
    return parcel->is_up ? flow->fd : relay->flows.doors[flow->door].fd;
}

/* Sends what has arrived by now, in runs of one socket. */
static void deliver(struct relay *relay, uint64_t now_ns)
{
    struct parcel *parcels[BATCH_SENDS];
    struct batch_send sends[BATCH_SENDS];
    for (;;) {
        size_t count = 0;
        int fd = -1;
        struct parcel *first;
        while (count < BATCH_SENDS && (first = parcels_first(&relay->parcels)) != NULL &&
               first->due_ns <= now_ns && (count == 0 || socket_of(relay, first) == fd)) {
            const struct flow *flow = &relay->flows.items[first->flow];
            fd = socket_of(relay, first);
            parcels[count] = parcels_take(&relay->parcels);
            sends[count++] = (struct batch_send){
                .to = first->is_up ? NULL : &flow->client,
                .data = first->data,
                .size = first->size,
                .segment_size = first->segment_size,
                .ecn = first->ecn,
            };
        }
        if (count == 0)
            return;
        if (fd >= 0)
            relay->refused_count += batch_send(relay->batch, fd, sends, count, relay->options.gso);
        while (count > 0)
            free(parcels[--count]);
    }
}

static void rebind_if_due(struct relay *relay, uint64_t now_ns)
{
    if (now_ns < relay->rebind_at_ns)
        return;
    uint32_t moved = flows_rebind(&relay->flows, relay->options.rebinds_address);
    relay->rebound_count++;
    relay->rebind_at_ns =
        relay->options.rebind_period_ns != 0 ? now_ns + relay->options.rebind_period_ns : NEVER;
    printf("rebound %u\n", moved);
    (void)fflush(stdout);
}

/* ---- The program ---- */

static void print_report(const struct relay *relay)
{
    printf("{\"up\": {");
    link_print(&relay->up, stdout);
    printf("}, \"down\": {");
    link_print(&relay->down, stdout);
    printf("}, \"flows\": %u, \"rebound\": %" PRIu64 ", \"refused\": %" PRIu64
           ", \"forgotten_bytes\": %" PRIu64 "}\n",
           relay->flows.used, relay->rebound_count, relay->refused_count, relay->forgotten_count);
}

static void wait_and_receive(struct relay *relay, const sigset_t *unblocked)
{
    struct epoll_event events[EVENTS_MAX];
    uint64_t now_ns = program_now_ns();
    uint64_t until_ns = relay->rebind_at_ns;
    const struct parcel *first = parcels_first(&relay->parcels);
    if (first != NULL && first->due_ns < until_ns)
        until_ns = first->due_ns;
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec wait = {.tv_sec = (time_t)(wait_ns / PROGRAM_NS_PER_S),
                            .tv_nsec = (long)(wait_ns % PROGRAM_NS_PER_S)};
    int count = epoll_pwait2(relay->flows.poll_fd, events, EVENTS_MAX,
                             until_ns == NEVER ? NULL : &wait, unblocked);
    for (int i = 0; i < count; i++)
        receive(relay, events[i].data.u32);
}

static int run(struct relay *relay)
{
    sigset_t unblocked;
    program_block_signals(&unblocked);
    for (uint32_t i = 0; i < relay->flows.door_count; i++) {
        char text[64];
        batch_format_address(&relay->flows.doors[i].listen, text);
        printf("listening at %s\n", text);
    }
    (void)fflush(stdout);
    while (!program_was_ended()) {
        wait_and_receive(relay, &unblocked);
        uint64_t now_ns = program_now_ns();
        rebind_if_due(relay, now_ns);
        deliver(relay, now_ns);
    }
    print_report(relay);
    return EXIT_SUCCESS;
}

int main(int argc, char **argv)
{
    static struct relay relay;
    int status;
    if (!relay_options_parse(&relay.options, argc, argv, &status))
        return status;
    memcpy(relay.flows.doors, relay.options.doors, sizeof(relay.flows.doors));
    memcpy(relay.flows.via, relay.options.via, sizeof(relay.flows.via));
    relay.flows.door_count = relay.options.door_count;
    relay.flows.via_count = relay.options.via_count;
    relay.flows.gro = relay.options.gro;
    relay.rebind_at_ns = NEVER;
    parcels_init(&relay.parcels, relay.options.memory_bytes);
    relay.batch = batch_create();
    int e = relay.batch != NULL ? flows_open(&relay.flows) : -ENOMEM;
    if (e == 0) {
        status = run(&relay);
    } else {
        fprintf(stderr, "relay: %s\n", strerror(-e));
        status = EXIT_FAILURE;
    }
    flows_close(&relay.flows);
    parcels_deinit(&relay.parcels);
    link_deinit(&relay.up);
    link_deinit(&relay.down);
    batch_destroy(relay.batch);
    return status;
}
