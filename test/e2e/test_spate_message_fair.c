/* SPDX-License-Identifier: MIT */
/* Many peers of one shard: none gets more because it sends more, and a heavy one does not make the
 * light ones wait.  Prints the figures. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#define MS UINT64_C(1000000)
/* Of each measurement; slower machines need longer for as much. */
#define MEASURE_NS (QT_SLOWER * 600 * MS)

enum {
    PEERS = 8,
    LARGE_SIZE = 100000,
    LARGE_INFLIGHT = 8,
    HEAVY_SIZE = 1000000,
    HEAVY_INFLIGHT = 12,
    SMALL_SIZE = 100,
    SAMPLES_MAX = 1 << 18,
};

/* A connection of the client, and its other side. */
struct peer {
    struct spate_messenger *messenger;
    struct spate_messenger *other;
    size_t size;       /* of its messages */
    uint32_t inflight; /* sent and not acknowledged, at most; 0: it sends requests, one at a time */
    uint32_t running;
    uint64_t sent_ns; /* of the request */
    uint64_t done;    /* messages that the server has got, or replies */
};

struct fair {
    struct pw *w;
    struct peer peers[PEERS];
    uint32_t open_count;
    bool is_measuring;
    uint64_t samples[SAMPLES_MAX]; /* latencies of requests */
    uint32_t sample_count;
};

static uint8_t bytes[HEAVY_SIZE]; /* lent again and again; the first one is the peer's number */
static uint8_t heads[PEERS];

static void start(struct peer *peer, const struct fair *fair)
{
    const struct iovec pieces[] = {{&heads[peer - fair->peers], 1}, {bytes, peer->size - 1}};
    const struct spate_message_options options = {.size = sizeof(options),
                                                  .wants_reply = peer->inflight == 0};
    uint32_t most = peer->inflight == 0 ? 1 : peer->inflight;
    while (peer->running < most &&
           spate_message_send(peer->messenger, pieces, 2, &options, NULL) == 0) {
        peer->running++;
        peer->sent_ns = pw_now_ns();
    }
}

static void on_reply(struct fair *fair, struct peer *peer)
{
    peer->running--;
    if (!fair->is_measuring)
        return;
    peer->done++;
    if (fair->sample_count < SAMPLES_MAX)
        fair->samples[fair->sample_count++] = pw_now_ns() - peer->sent_ns;
}

static void take_of_client(struct fair *fair, struct peer *peer)
{
    struct spate_message message;
    while (spate_messenger_next(peer->messenger, &message)) {
        if (message.kind == SPATE_MESSAGE_REPLY)
            on_reply(fair, peer);
        else if (message.kind == SPATE_MESSAGE_SENT && peer->inflight > 0)
            peer->running--;
        spate_message_release(peer->messenger, &message);
    }
    start(peer, fair);
}

static void take_of_server(struct fair *fair, struct spate_messenger *messenger)
{
    static const uint8_t answer[SMALL_SIZE];
    const struct iovec piece = {(void *)(uintptr_t)answer, sizeof(answer)};
    struct spate_message message;
    while (spate_messenger_next(messenger, &message)) {
        if (message.kind == SPATE_MESSAGE_REQUEST)
            assert_int_equal(spate_message_reply(messenger, message.id, &piece, 1, 0), 0);
        if (message.kind == SPATE_MESSAGE_RECEIVED && fair->is_measuring) {
            const uint8_t *first = message.pieces[0].iov_base;
            assert_in_range(*first, 0, PEERS - 1);
            fair->peers[*first].done++;
        }
        spate_message_release(messenger, &message);
    }
}

static void on_client(struct pw_end *end, struct spate_event *event)
{
    struct fair *fair = end->context;
    struct peer *peer = event->conn_user;
    if (event->kind == SPATE_EVENT_CONNECTED) {
        peer = &fair->peers[fair->open_count++];
        spate_conn_set_user(event->conn, peer);
        assert_int_equal(spate_messenger_create(event->conn, NULL, &peer->messenger, NULL), 0);
    } else if (peer == NULL || !spate_messenger_event(peer->messenger, event)) {
        pw_default(end, event);
        return;
    }
    if (fair->open_count == PEERS)
        take_of_client(fair, peer);
}

static void on_server(struct pw_end *end, struct spate_event *event)
{
    struct fair *fair = end->context;
    struct spate_messenger *messenger = event->conn_user;
    if (event->kind == SPATE_EVENT_CONNECTED) {
        assert_int_equal(spate_messenger_create(event->conn, NULL, &messenger, NULL), 0);
        spate_conn_set_user(event->conn, messenger);
    } else if (messenger == NULL || !spate_messenger_event(messenger, event)) {
        pw_default(end, event);
        return;
    }
    take_of_server(fair, messenger);
}

static struct fair *fair_make(void)
{
    struct fair *fair = owned_alloc(sizeof(*fair));
    fair->w = pw_create(&(struct pw_config){NULL});
    fair->w->client.on_event = on_client;
    fair->w->server.on_event = on_server;
    fair->w->client.context = fair->w->server.context = fair;
    for (uint32_t i = 0; i < PEERS; i++)
        heads[i] = (uint8_t)i;
    return fair;
}

/* Connects all, warms up, measures. */
static void run(struct fair *fair)
{
    for (uint32_t i = 0; i < PEERS; i++)
        (void)pw_connect(fair->w);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (fair->open_count < PEERS && pw_now_ns() < end_ns)
        pw_turn(fair->w);
    assert_int_equal(fair->open_count, PEERS);
    for (uint32_t i = 0; i < PEERS; i++)
        start(&fair->peers[i], fair);
    pw_for(fair->w, MEASURE_NS / 3);
    fair->is_measuring = true;
    pw_for(fair->w, MEASURE_NS);
    fair->is_measuring = false;
    assert_int_equal(fair->w->client.closed_count, 0);
}

struct shares {
    double jain;
    double least_over_most;
    uint64_t least;
    uint64_t sum;
};

static struct shares shares_of(const struct fair *fair, uint32_t from)
{
    double sum = 0, square_sum = 0;
    uint64_t least = UINT64_MAX, most = 0;
    for (uint32_t i = from; i < PEERS; i++) {
        uint64_t done = fair->peers[i].done;
        sum += (double)done;
        square_sum += (double)done * (double)done;
        least = done < least ? done : least;
        most = done > most ? done : most;
    }
    assert_true(most > 0);
    return (struct shares){
        .jain = sum * sum / ((PEERS - from) * square_sum),
        .least_over_most = (double)least / (double)most,
        .least = least,
        .sum = (uint64_t)sum,
    };
}

static int by_size(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a, y = *(const uint64_t *)b;
    return x < y ? -1 : x > y;
}

static uint64_t percentile_us(struct fair *fair, uint32_t percent)
{
    qsort(fair->samples, fair->sample_count, sizeof(fair->samples[0]), by_size);
    return fair->samples[(uint64_t)(fair->sample_count - 1) * percent / 100] / 1000;
}

static void peers_that_send_all_they_can_get_equal_shares(void **state)
{
    (void)state;
    struct fair *fair = fair_make();
    for (uint32_t i = 0; i < PEERS; i++)
        fair->peers[i] = (struct peer){.size = LARGE_SIZE, .inflight = LARGE_INFLIGHT};
    run(fair);
    struct shares shares = shares_of(fair, 0);
    print_message("%d peers, messages of %d bytes: %" PRIu64 " in all, Jain's index %.4f, slowest "
                  "over fastest %.2f\n",
                  PEERS, LARGE_SIZE, shares.sum, shares.jain, shares.least_over_most);
    assert_true(shares.jain > 0.95);
    assert_true(shares.least_over_most > 0.6);
}

static void a_peer_that_wants_more_gets_no_more_than_others(void **state)
{
    (void)state;
    struct fair *fair = fair_make();
    for (uint32_t i = 0; i < PEERS; i++)
        fair->peers[i] = (struct peer){.size = LARGE_SIZE, .inflight = LARGE_INFLIGHT};
    fair->peers[0].inflight = 16 * LARGE_INFLIGHT;
    run(fair);
    struct shares shares = shares_of(fair, 0);
    print_message("one with %d times as many at once: it has %" PRIu64 " of %" PRIu64
                  ", Jain's index %.4f\n",
                  16, fair->peers[0].done, shares.sum, shares.jain);
    assert_true(fair->peers[0].done < shares.sum / PEERS * 2);
    assert_true(shares.jain > 0.85);
}

static void a_heavy_peer_does_not_make_light_ones_wait(void **state)
{
    (void)state;
    struct fair *fair = fair_make();
    for (uint32_t i = 0; i < PEERS; i++)
        fair->peers[i] = (struct peer){.size = SMALL_SIZE};
    fair->peers[0] = (struct peer){.size = HEAVY_SIZE, .inflight = HEAVY_INFLIGHT};
    run(fair);
    struct shares shares = shares_of(fair, 1);
    uint64_t p50_us = percentile_us(fair, 50), p99_us = percentile_us(fair, 99);
    print_message("%d peers ask beside one that sends %" PRIu64 " messages of %d bytes: %" PRIu64
                  " replies, slowest over fastest %.2f, p50 %" PRIu64 " us, p99 %" PRIu64 " us\n",
                  PEERS - 1, fair->peers[0].done, HEAVY_SIZE, shares.sum, shares.least_over_most,
                  p50_us, p99_us);
    assert_true(fair->peers[0].done > 0);
    assert_true(shares.least_over_most > 0.6);
    assert_true(shares.least >= 20);
    assert_true(p50_us < QT_SLOWER * 20000);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, peers_that_send_all_they_can_get_equal_shares),
        QT_TEST(owned, a_peer_that_wants_more_gets_no_more_than_others),
        QT_TEST(owned, a_heavy_peer_does_not_make_light_ones_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
