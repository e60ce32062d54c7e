/* SPDX-License-Identifier: MIT */
/* One direction of ip-relay, in virtual time. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "test/relay/line.h"
#include "test/support/ip_packets.h"

enum { SEGMENT = 1000, ECT_1 = 1, ECT_0 = 2, CE = 3, ARRIVALS_MAX = 100000 };

#define US UINT64_C(1000)
#define MS UINT64_C(1000000)
#define S  UINT64_C(1000000000)

/* A segment that has arrived. */
struct arrival {
    uint64_t at_ns;
    uint32_t train; /* as it was put in */
    uint32_t index;
    uint32_t parcel; /* with which it came */
    uint8_t ecn;
};

struct world {
    struct store store;
    struct line line;
    struct ip_sample sample;
    struct arrival arrivals[ARRIVALS_MAX];
    uint32_t count;
    uint32_t parcels;
    uint8_t scratch[PACKET_SIZE_MAX];
    uint32_t changed_bytes;
    bool is_l4s; /* what is put in has ECT(1) instead of ECT(0) */
};

static void world_deinit(struct world *w)
{
    line_deinit(&w->line);
    store_deinit(&w->store);
}
QT_FIXTURE(world, world_deinit)

static void begin(struct world *w, const char *text, struct line_config config)
{
    const char *wrong = text[0] != 0 ? link_parse(text, &config.link) : NULL;
    if (wrong != NULL)
        fail_msg("%s %s", text, wrong);
    line_deinit(&w->line);
    store_deinit(&w->store);
    store_init(&w->store, 64 << 20);
    assert_true(line_init(&w->line, &config, &w->store, 1, 10 * S));
    w->count = w->parcels = w->changed_bytes = 0;
}

/* Puts a train of `count` segments in.  Its number is in the address of the sender. */
static void put(struct world *w, uint8_t protocol, uint32_t train, uint32_t count, uint64_t now_ns)
{
    ip_make(&w->sample, 4, protocol, (size_t)count * SEGMENT, SEGMENT);
    w->sample.data[12] = (uint8_t)(train >> 16);
    w->sample.data[13] = (uint8_t)(train >> 8);
    w->sample.data[14] = (uint8_t)train;
    if (w->is_l4s)
        w->sample.data[1] = ECT_1;
    line_take(&w->line, &w->sample.vnet, w->sample.data, w->sample.size, now_ns);
}

static void note(struct world *w, const struct parcel_item *parcel, uint64_t now_ns)
{
    struct packet_cut cut;
    line_cut(&w->line, parcel, w->scratch, &cut);
    const uint8_t *sent = parcel->slot->packet.data + parcel->slot->packet.head_size;
    for (size_t i = 0; i < cut.payload_size; i++)
        w->changed_bytes += cut.payload[i] != sent[(size_t)parcel->first * SEGMENT + i];
    for (uint32_t i = 0; i < parcel->count; i++) {
        assert_true(w->count < ARRIVALS_MAX);
        w->arrivals[w->count++] = (struct arrival){
            .at_ns = now_ns,
            .train = (uint32_t)cut.head[12] << 16 | ip_get(cut.head + 13),
            .index = parcel->first + i,
            .parcel = w->parcels,
            .ecn = cut.head[1] & 3,
        };
    }
    w->parcels++;
}

/* Lets time pass, as far as something is under way. */
static void pass(struct world *w, uint64_t until_ns)
{
    uint64_t next_ns;
    while ((next_ns = line_next_ns(&w->line)) < until_ns) {
        struct parcel_item *parcel;
        while ((parcel = line_give(&w->line, next_ns)) != NULL) {
            note(w, parcel, next_ns);
            store_parcel_free(&w->store, parcel);
        }
    }
}

static void drain(struct world *w)
{
    pass(w, WHEEL_NEVER);
    assert_int_equal(w->store.parcels_used, 0);
    assert_int_equal(w->store.slots_used, 0);
}

static void a_train_that_is_delayed_stays_whole(void **state)
{
    struct world *w = *state;
    begin(w, "delay=10ms", (struct line_config){0});
    put(w, IPPROTO_TCP, 1, 40, 10 * S);
    drain(w);
    assert_int_equal(w->count, 40);
    assert_int_equal(w->parcels, 1);
    assert_int_equal(w->arrivals[39].at_ns, 10 * S + 10 * MS);
    assert_int_equal(w->changed_bytes, 0);
    assert_int_equal(w->line.counts.trains_in, 1);
    assert_int_equal(w->line.counts.trains_out, 1);
    assert_int_equal(w->line.counts.packets_out, 40);
    assert_int_equal(w->line.counts.bytes_out, 40 * (SEGMENT + 52));
    assert_int_equal(w->line.link.counts.bytes, 40 * (SEGMENT + 52));
}

static void loss_takes_segments_and_not_trains(void **state)
{
    struct world *w = *state;
    begin(w, "every=4", (struct line_config){0});
    put(w, IPPROTO_UDP, 1, 10, 10 * S);
    drain(w);
    static const uint32_t indexes[] = {0, 1, 2, 4, 5, 6, 8, 9};
    assert_int_equal(w->count, QT_COUNT(indexes));
    for (uint32_t i = 0; i < w->count; i++)
        assert_int_equal(w->arrivals[i].index, indexes[i]);
    assert_int_equal(w->parcels, 3);

    begin(w, "every=4", (struct line_config){.keeps_whole = true});
    for (uint32_t train = 1; train <= 8; train++)
        put(w, IPPROTO_UDP, train, 10, 10 * S);
    drain(w);
    assert_int_equal(w->count, 60);
    assert_int_equal(w->parcels, 6);
}

/* 1,028 bytes of IP take 1.028 ms. */
static void a_rate_spreads_a_train(void **state)
{
    struct world *w = *state;
    begin(w, "rate=8mbit,delay=5ms", (struct line_config){.join_ns = 50 * US});
    put(w, IPPROTO_UDP, 1, 10, 10 * S);
    drain(w);
    assert_int_equal(w->parcels, 10);
    for (uint64_t i = 0; i < 10; i++)
        assert_int_equal(w->arrivals[i].at_ns, 10 * S + 5 * MS + (i + 1) * 1028 * US);

    /* Faster: what arrives within 50 us comes together, when the last of it is there. */
    begin(w, "rate=822400kbit", (struct line_config){.join_ns = 50 * US}); /* 10 us each */
    put(w, IPPROTO_UDP, 1, 12, 10 * S);
    drain(w);
    assert_int_equal(w->parcels, 2);
    assert_int_equal(w->arrivals[0].at_ns, 10 * S + 60 * US);
    assert_int_equal(w->arrivals[11].at_ns, 10 * S + 120 * US);

    begin(w, "rate=822400kbit", (struct line_config){.join_ns = 50 * US, .splits = true});
    put(w, IPPROTO_UDP, 1, 12, 10 * S);
    drain(w);
    assert_int_equal(w->parcels, 12);
    assert_int_equal(w->arrivals[0].at_ns, 10 * S + 10 * US);
}

/* Two trains come at one time.  Segments with ECT(1) go before the others, but for the one that
 * leaves already, and those that have waited for a millisecond are marked.  [RFC9332] */
static void a_queue_for_l4s_serves_segments(void **state)
{
    struct world *w = *state;
    begin(w, "rate=82240kbit,queue=100k,delay=5ms,l4s=on", (struct line_config){.join_ns = MS});
    put(w, IPPROTO_UDP, 1, 20, 10 * S);
    w->is_l4s = true;
    put(w, IPPROTO_UDP, 2, 20, 10 * S);
    w->is_l4s = false;
    drain(w);
    assert_int_equal(w->count, 40);
    assert_int_equal(w->parcels, 40); /* 100 us each */
    uint32_t next[3] = {0}, marked = 0;
    for (uint64_t i = 0; i < 40; i++) {
        const struct arrival *one = &w->arrivals[i];
        assert_int_equal(one->at_ns, 10 * S + 5 * MS + (i + 1) * 100 * US);
        assert_int_equal(one->index, next[one->train]++);
        assert_int_equal(one->train, (i > 0 && i <= 15) || (i > 16 && i <= 21) ? 2 : 1);
        assert_int_equal(one->ecn, one->train == 1 ? ECT_0 : i <= 10 ? ECT_1 : CE);
        marked += one->ecn == CE;
    }
    assert_int_equal(w->line.link.counts.marked, marked);
    assert_int_equal(w->line.link.counts.overflowed, 0);
    assert_true(spate_histogram_percentile(&w->line.link.waits, 100) >= 3 * MS);

    /* What does not fit is dropped, and what still waits in the end is freed. */
    begin(w, "rate=8mbit,queue=10280,l4s=on", (struct line_config){0});
    put(w, IPPROTO_UDP, 1, 20, 10 * S);
    assert_int_equal(w->line.link.counts.overflowed, 10);
    pass(w, 10 * S + 2 * MS);
    assert_int_equal(w->count, 1);
    assert_int_equal(line_next_ns(&w->line), 10 * S + 2 * 1028 * US);
}

static void a_queue_drops_the_tail_of_a_train(void **state)
{
    struct world *w = *state;
    begin(w, "rate=8mbit,queue-packets=5", (struct line_config){0});
    put(w, IPPROTO_TCP, 1, 40, 10 * S);
    drain(w);
    assert_int_equal(w->count, 5);
    assert_int_equal(w->arrivals[4].index, 4);
    assert_int_equal(w->line.link.counts.overflowed, 35);
}

static void marks_are_those_of_single_segments(void **state)
{
    struct world *w = *state;
    begin(w, "rate=8mbit,ce-queue=5000", (struct line_config){.join_ns = 1 * S});
    put(w, IPPROTO_UDP, 1, 10, 10 * S);
    drain(w);
    assert_int_equal(w->count, 10);
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(w->arrivals[i].ecn, i < 5 ? ECT_0 : CE);
    assert_int_equal(w->parcels, 2);
}

static void what_is_late_is_overtaken(void **state)
{
    struct world *w = *state;
    begin(w, "delay=20ms,reorder-every=7,reorder-by=4ms", (struct line_config){0});
    for (uint32_t train = 0; train < 10; train++)
        put(w, IPPROTO_TCP, train, 10, 10 * S + train * MS);
    drain(w);
    assert_int_equal(w->count, 100);
    for (uint32_t i = 0; i < 100; i++) {
        const struct arrival *a = &w->arrivals[i];
        bool is_late = (a->train * 10 + a->index + 1) % 7 == 0;
        assert_int_equal(a->at_ns, 10 * S + (a->train + 20 + (is_late ? 4 : 0)) * MS);
        assert_true(i == 0 || a->at_ns >= w->arrivals[i - 1].at_ns);
    }
}

/* Everything at once: what the link did not drop arrives once, and twice if it says so. */
static void nothing_gets_lost_that_was_not_dropped(void **state)
{
    struct world *w = *state;
    begin(w,
          "rate=200mbit,queue=300k,delay=30ms,jitter=3ms,loss=2%,bursts=0.1%:20%,reorder=5%,"
          "reorder-by=40ms,duplicate=3%,ce=10%",
          (struct line_config){.join_ns = 50 * US});
    uint64_t random = 7;
    uint64_t now_ns = 10 * S;
    uint32_t sent = 0;
    for (uint32_t train = 0; train < 2000; train++) {
        random = random * UINT64_C(6364136223846793005) + 1;
        uint32_t count = 1 + (uint32_t)(random >> 40) % 40;
        put(w, train % 2 == 0 ? IPPROTO_TCP : IPPROTO_UDP, train, count, now_ns);
        sent += count;
        now_ns += (random >> 20) % MS;
        pass(w, now_ns);
    }
    drain(w);
    const struct link_counts *c = &w->line.link.counts;
    assert_int_equal(c->seen, sent);
    assert_true(c->lost > 0 && c->overflowed > 0 && c->duplicated > 0 && c->reordered > 0);
    assert_int_equal(w->count, sent - c->lost - c->overflowed + c->duplicated);
    assert_int_equal(w->line.counts.packets_out, w->count);
    assert_int_equal(w->changed_bytes, 0);
}

static void a_seed_gives_one_run(void **state)
{
    struct world *w = *state;
    uint64_t hash[2] = {0, 0};
    for (int run = 0; run < 2; run++) {
        begin(w, "rate=50mbit,jitter=3ms,loss=5%,duplicate=3%,reorder=9%,reorder-by=2ms",
              (struct line_config){0});
        for (uint32_t train = 0; train < 200; train++)
            put(w, IPPROTO_UDP, train, 10, 10 * S + train * MS);
        drain(w);
        for (uint32_t i = 0; i < w->count; i++)
            hash[run] = hash[run] * 31 + w->arrivals[i].at_ns + w->arrivals[i].index;
    }
    assert_int_equal(hash[0], hash[1]);
}

static void a_changed_byte_arrives_over_udp_and_is_a_loss_over_tcp(void **state)
{
    struct world *w = *state;
    begin(w, "corrupt-list=3+5,delay=1ms", (struct line_config){0});
    put(w, IPPROTO_UDP, 1, 10, 10 * S);
    drain(w);
    assert_int_equal(w->count, 10);
    assert_int_equal(w->parcels, 5);
    assert_int_equal(w->changed_bytes, 2);

    begin(w, "corrupt-list=3+5,delay=1ms", (struct line_config){0});
    put(w, IPPROTO_TCP, 1, 10, 10 * S);
    drain(w);
    assert_int_equal(w->count, 8);
    assert_int_equal(w->changed_bytes, 0);
}

static void memory_has_a_bound_and_is_used_again(void **state)
{
    struct world *w = *state;
    begin(w, "delay=1s", (struct line_config){0});
    store_deinit(&w->store);
    store_init(&w->store, 4 << 20);
    for (uint32_t round = 0; round < 3; round++) {
        for (uint32_t i = 0; i < 100; i++)
            put(w, IPPROTO_TCP, i, 40, (10 + 2 * round) * S);
        assert_true(w->store.bytes <= 4 << 20);
        drain(w);
        assert_in_range(w->count, 40 * 40, 70 * 40);
        assert_int_equal(w->line.counts.forgotten_count,
                         (round + 1) * 100 * 40 - (round + 1) * w->count);
        w->count = 0;
    }
}

static void neighbours_are_looked_for_in_vain(void **state)
{
    struct world *w = *state;
    begin(w, "first=1", (struct line_config){0});
    ip_make(&w->sample, 6, IPPROTO_UDP, 100, SEGMENT);
    w->sample.data[24] = 0xff;
    w->sample.data[25] = 0x02;
    line_take(&w->line, &w->sample.vnet, w->sample.data, w->sample.size, 10 * S);
    assert_int_equal(w->line.link.counts.seen, 0);
    put(w, IPPROTO_UDP, 1, 2, 12 * S);
    drain(w);
    assert_int_equal(w->count, 1);
    assert_int_equal(w->line.link.start_ns, 12 * S); /* its time begins with the first packet */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, a_train_that_is_delayed_stays_whole),
        QT_TEST(world, loss_takes_segments_and_not_trains),
        QT_TEST(world, a_rate_spreads_a_train),
        QT_TEST(world, a_queue_for_l4s_serves_segments),
        QT_TEST(world, a_queue_drops_the_tail_of_a_train),
        QT_TEST(world, marks_are_those_of_single_segments),
        QT_TEST(world, what_is_late_is_overtaken),
        QT_TEST(world, nothing_gets_lost_that_was_not_dropped),
        QT_TEST(world, a_seed_gives_one_run),
        QT_TEST(world, a_changed_byte_arrives_over_udp_and_is_a_loss_over_tcp),
        QT_TEST(world, memory_has_a_bound_and_is_used_again),
        QT_TEST(world, neighbours_are_looked_for_in_vain),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
