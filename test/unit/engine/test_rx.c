/* SPDX-License-Identifier: MIT */
/* Received buffers on their way to connections: cut, routed, chained, copied, given back.  There
 * is no socket: buffers are made by hand, and so is the shard, as far as they need one. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include "engine/config/config.h"
#include "engine/net/held.h"
#include "engine/shard/shard.h"
#include "proto/stream/reassembly.h"
#include "test/support/conn_pair.h"

enum { SLOTS = 16, DATAGRAM_SIZE = 40, DATAGRAMS_MAX = 64, UNKNOWN = 9 };

struct world {
    struct conn_pair pair;
    struct spate_shard *shard;
    struct spate_conn conns[2];
    struct se_port port;
    struct sb_buffer buffer;
    uint32_t released_count;
    uint8_t payload[DATAGRAMS_MAX * DATAGRAM_SIZE];
};

static struct world w;

static void on_release(struct sb_buffer *buffer)
{
    assert_ptr_equal(buffer, &w.buffer);
    w.released_count++;
}

static void write_cid(uint8_t *ret, uint8_t who)
{
    memset(ret, 0xc0 + who, SE_CID_SIZE);
}

static void add_conn(uint32_t index, enum sp_role role)
{
    struct spate_conn *conn = &w.conns[index];
    *conn = (struct spate_conn){
        .shard = w.shard,
        .proto = pair_conn(&w.pair, role),
        .port = &w.port,
        .state = SE_CONN_CONNECTED,
        .rx_first = SE_RX_NONE,
        .index = index,
    };
    sb_list_init(&conn->rx_link);
    sb_list_init(&conn->send_pending_link);
    sb_list_init(&conn->event_pending_link);
    w.shard->slots[index].conn = conn;
    uint8_t cid[SE_CID_SIZE];
    write_cid(cid, (uint8_t)index);
    assert_int_equal(se_table_insert(&w.shard->cids, cid, sizeof(cid), index), 0);
}

static int begin(void **state)
{
    static const struct spate_config config = {.shard_count = 1};
    (void)state;
    memset(&w, 0, sizeof(w));
    pair_init(&w.pair);
    pair_connect(&w.pair);
    w.shard = calloc(1, sizeof(*w.shard));
    assert_non_null(w.shard);
    w.shard->config = &config;
    w.shard->own_cids.form.size = SE_CID_SIZE;
    w.shard->slots = calloc(2, sizeof(w.shard->slots[0]));
    w.shard->bufring.slot_count = SLOTS;
    w.shard->now_ns = w.pair.now_ns;
    sb_list_init(&w.shard->rx.conns);
    sb_list_init(&w.shard->send_pending);
    sb_list_init(&w.shard->ended);
    sb_list_init(&w.shard->unwinding);
    w.shard->unwind_steps = 1;
    sb_list_init(&w.shard->event_pending);
    se_memory_init(&w.shard->memory, 1 << 20);
    se_buffers_init(&w.shard->copies, 1000, &w.shard->memory.interface);
    const struct sp_pool_limits limits = {.conns_max = 1, .streams_max = 1};
    sp_pools_init(&w.shard->pools, &limits, &w.shard->memory.interface);
    const struct se_siphash_key key = {0};
    assert_int_equal(se_table_init(&w.shard->cids, 4, key, NULL), 0);
    assert_int_equal(se_table_init(&w.shard->tokens, 4, key, NULL), 0);
    w.port.shard = w.shard;
    w.port.is_client = true; /* what leads nowhere is dropped without an answer */
    w.buffer.release = on_release;
    add_conn(0, SP_CLIENT);
    add_conn(1, SP_SERVER);
    return 0;
}

static int end(void **state)
{
    (void)state;
    se_early_expire(&w.shard->early, SB_NEVER);
    se_buffers_deinit(&w.shard->copies);
    sp_pools_deinit(&w.shard->pools);
    se_memory_deinit(&w.shard->memory);
    se_table_deinit(&w.shard->cids);
    se_table_deinit(&w.shard->tokens);
    free(w.shard->slots);
    free(w.shard);
    pair_deinit(&w.pair);
    return 0;
}

/* One buffer with a datagram for each of `who`, the last of which is shorter.  No connection can
 * open them; that they came is counted. */
static struct su_received received(const uint8_t *who, uint32_t count)
{
    assert_true(count <= DATAGRAMS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t *datagram = w.payload + i * DATAGRAM_SIZE;
        memset(datagram, 0, DATAGRAM_SIZE);
        datagram[0] = 0x40; /* a short header */
        write_cid(datagram + 1, who[i]);
    }
    w.buffer.ref_count++;
    return (struct su_received){
        .payload = w.payload,
        .size = count * DATAGRAM_SIZE - 3,
        .segment_size = DATAGRAM_SIZE,
        .buffer = &w.buffer,
    };
}

static void take(const uint8_t *who, uint32_t count)
{
    struct su_received one = received(who, count);
    se_rx_take(&w.port, &one);
}

static uint64_t arrived(uint32_t index)
{
    struct sp_stats stats;
    sp_conn_stats(w.conns[index].proto, &stats);
    return stats.datagrams_in;
}

/* Which datagrams of the payload are in the chain of a connection, as bits. */
static uint64_t chain_of(uint32_t index)
{
    const struct se_rx *rx = &w.shard->rx;
    uint64_t bits = 0;
    for (uint32_t at = w.conns[index].rx_first; at != SE_RX_NONE; at = rx->items[at].next) {
        ptrdiff_t offset = rx->items[at].data - w.payload;
        assert_int_equal(offset % DATAGRAM_SIZE, 0);
        uint64_t bit = UINT64_C(1) << offset / DATAGRAM_SIZE;
        assert_true(bit > bits); /* in order, none twice */
        bits |= bit;
    }
    return bits;
}

static void datagrams_are_chained_by_connection_in_their_order(void **state)
{
    (void)state;
    static const uint8_t who[] = {1, 0, 1, 1, UNKNOWN, 0};
    take(who, 6);
    assert_int_equal(chain_of(1), 0x0d);
    assert_int_equal(chain_of(0), 0x22);
    assert_ptr_equal(sb_list_first(&w.shard->rx.conns), &w.conns[1].rx_link);
    const struct se_rx_item *last = &w.shard->rx.items[w.conns[0].rx_last];
    assert_int_equal(last->size, DATAGRAM_SIZE - 3);
    assert_int_equal(w.shard->counts.own.datagrams_in, 6);
    assert_int_equal(w.shard->counts.own.bytes_in, 6 * DATAGRAM_SIZE - 3);
    assert_int_equal(w.shard->counts.own.unroutable, 1);
    se_rx_deliver(w.shard);
}

static void each_connection_gets_its_datagrams_and_the_buffer_goes_home(void **state)
{
    (void)state;
    static const uint8_t who[] = {0, 1, 0, 0};
    uint64_t before[] = {arrived(0), arrived(1)};
    take(who, 4);
    take(who, 2);
    assert_int_equal(w.released_count, 0);
    se_rx_deliver(w.shard);
    assert_int_equal(arrived(0) - before[0], 4);
    assert_int_equal(arrived(1) - before[1], 2);
    assert_int_equal(w.released_count, 1);
    assert_int_equal(w.buffer.ref_count, 0);
    assert_int_equal(w.shard->rx.item_count, 0);
    assert_int_equal(w.shard->rx.source_count, 0);
    assert_int_equal(w.conns[0].rx_first, SE_RX_NONE);
    /* They may have something to send now. */
    assert_true(sb_link_is_in(&w.conns[0].send_pending_link));
    se_rx_deliver(w.shard); /* with nothing gathered */
    assert_int_equal(w.released_count, 1);
}

static void more_than_one_batch_of_a_connection_is_delivered(void **state)
{
    (void)state;
    static const uint8_t who[DATAGRAMS_MAX]; /* connection 0 */
    uint64_t before = arrived(0);
    for (uint32_t i = 0; i < 3; i++)
        take(who, DATAGRAMS_MAX);
    assert_true(3 * DATAGRAMS_MAX > SP_BATCH_MAX);
    se_rx_deliver(w.shard);
    assert_int_equal(arrived(0) - before, 3 * DATAGRAMS_MAX);
}

static void what_there_is_no_room_for_waits_for_nothing(void **state)
{
    (void)state;
    static const uint8_t who[DATAGRAMS_MAX];
    /* By buffers, and by datagrams. */
    for (uint32_t i = 0; i < SE_RX_SOURCES; i++)
        take(who, 1);
    assert_int_equal(w.shard->rx.source_count, SE_RX_SOURCES);
    take(who, 1);
    assert_int_equal(w.shard->rx.source_count, 1);
    for (uint32_t i = 0; i < SE_RX_ITEMS / DATAGRAMS_MAX; i++)
        take(who, DATAGRAMS_MAX);
    assert_int_equal(w.shard->rx.source_count, 1);
    assert_int_equal(w.shard->rx.item_count, DATAGRAMS_MAX);
    se_rx_deliver(w.shard);
    assert_int_equal(w.buffer.ref_count, 0);
}

/* Keeps as much 0-RTT of one client as is kept, for the connection ID of connection 1. */
static void keep_zero_rtt(void)
{
    uint8_t cid[SE_CID_SIZE], data[DATAGRAM_SIZE] = {0};
    write_cid(cid, 1);
    struct se_early_item item = {
        .data = data,
        .size = sizeof(data),
        .dcid = sp_cid_of(cid, sizeof(cid)),
        .since_ns = w.shard->now_ns,
    };
    item.path.local = w.port.local; /* the sender is the address of no family, as in received() */
    while (se_early_keep(&w.shard->early, &w.shard->copies, &item))
        continue;
    assert_int_equal(w.shard->early.count, SE_EARLY_PER_CLIENT_MAX);
}

/* The first datagram of a buffer begins a connection; 0-RTT that waited for it must leave room for
 * the others. */
static void early_datagrams_leave_room_for_the_rest_of_a_buffer(void **state)
{
    (void)state;
    enum { COUNT = 54, EXTRA_MAX = SE_EARLY_PER_CLIENT_MAX };
    static const uint8_t filler[DATAGRAMS_MAX]; /* connection 0 */
    uint8_t who[COUNT];
    memset(who, 1, sizeof(who));
    for (uint32_t extra = 0; extra <= EXTRA_MAX + 1; extra++) {
        uint32_t fill = SE_RX_ITEMS - COUNT - extra;
        uint64_t used = w.shard->counts.own.zero_rtt_used;
        keep_zero_rtt();
        while (w.shard->rx.item_count < fill)
            take(filler, SB_MIN(fill - w.shard->rx.item_count, DATAGRAMS_MAX));
        struct su_received one = received(who, COUNT);
        static const uint8_t initial[] = {0xc0, 0, 0, 0, 1, SE_CID_SIZE};
        memcpy(w.payload, initial, sizeof(initial));
        write_cid(w.payload + sizeof(initial), 1);
        w.conns[1].state = SE_CONN_NEW;
        se_rx_take(&w.port, &one);
        w.conns[1].state = SE_CONN_CONNECTED;
        assert_int_equal(w.shard->counts.own.zero_rtt_used - used, SB_MIN(extra, EXTRA_MAX));
        assert_int_equal(w.shard->rx.item_count, fill + COUNT + SB_MIN(extra, EXTRA_MAX));
        se_rx_deliver(w.shard);
        assert_int_equal(w.buffer.ref_count, 0);
        se_early_expire(&w.shard->early, SB_NEVER);
    }
}

static void copies_are_made_when_few_slots_are_free(void **state)
{
    (void)state;
    static const uint8_t who[DATAGRAMS_MAX] = {0, UNKNOWN};
    static const struct {
        uint32_t free_count;
        uint32_t datagrams;
        uint32_t copied;
    } cases[] = {
        {SLOTS, 2, 0},
        {SLOTS / 2, 2, 0},
        {SLOTS / 2 - 1, 2, 1},             /* of a small buffer, and only what is for somebody */
        {SLOTS / 2 - 1, DATAGRAMS_MAX, 0}, /* of a large one not yet */
        {SLOTS / 4, DATAGRAMS_MAX, 0},
        {SLOTS / 4 - 1, DATAGRAMS_MAX, DATAGRAMS_MAX - 1},
    };
    assert_true(DATAGRAMS_MAX * DATAGRAM_SIZE > SE_SMALL_SIZE);
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct spate_shard_stats before = w.shard->counts.own;
        w.shard->bufring.held_count = SLOTS - cases[i].free_count;
        take(who, cases[i].datagrams);
        assert_int_equal(w.shard->counts.own.datagrams_copied - before.datagrams_copied,
                         cases[i].copied);
        const struct se_rx_item *first = &w.shard->rx.items[0];
        assert_true((first->copy != NULL) == (cases[i].copied > 0));
        assert_memory_equal(first->data, w.payload, DATAGRAM_SIZE - 3);
        se_rx_deliver(w.shard);
        assert_int_equal(w.shard->copies.small.used_count, 0);
    }
    assert_int_equal(w.shard->counts.own.receive_dropped, 0);
}

static void without_memory_for_copies_the_last_slots_are_not_pinned(void **state)
{
    (void)state;
    static const uint8_t who[] = {0, 0};
    assert_true(se_memory_charge(&w.shard->memory, 1 << 20)); /* all of it */
    w.shard->bufring.held_count = SLOTS / 2 + 1;
    take(who, 2); /* slots enough to keep them where they are */
    assert_int_equal(w.shard->rx.item_count, 2);
    assert_false(w.shard->rx.items[0].is_transient);
    assert_int_equal(w.shard->counts.own.receive_dropped, 0);
    se_rx_deliver(w.shard);

    w.shard->bufring.held_count = SLOTS;
    take(who, 2);
    assert_int_equal(w.shard->rx.item_count, 2);
    assert_true(w.shard->rx.items[0].is_transient && w.shard->rx.items[1].is_transient);
    assert_int_equal(w.shard->counts.own.receive_dropped, 2);
    assert_int_equal(w.shard->counts.own.datagrams_copied, 0);
    se_rx_deliver(w.shard);
    assert_int_equal(w.buffer.ref_count, 0);
    se_memory_refund(&w.shard->memory, 1 << 20);
}

/* What waits in a queue of the shard lies in two buffers: one pins little, the other more. */
static void after_a_batch_buffers_are_freed_that_hold_little(void **state)
{
    (void)state;
    static const uint8_t who[] = {0};
    struct sp_pools *pools = &w.shard->pools;
    struct sp_piece_store store = {
        .pool = &pools->pieces,
        .copies = &pools->copies,
        .holding = sp_holding_open(&pools->copies),
        .count_max = UINT32_MAX,
    };
    assert_non_null(store.holding);
    struct sp_reassembly reassembly;
    sp_reassembly_init(&reassembly, &store);
    const struct sb_slice slice = {.data = w.payload, .size = 500, .buffer = &w.buffer};

    for (uint32_t i = 0; i < 2; i++) {
        w.buffer.size = i == 0 ? 8 * 500 + 1 : 8 * 500; /* just too little, just enough */
        w.buffer.ref_count = 1;
        w.released_count = 0;
        assert_true(sp_reassembly_insert(&reassembly, 1 + 1000 * i, &slice));
        sb_buffer_unref(&w.buffer);
        take(who, 1);
        se_rx_deliver(w.shard);
        assert_int_equal(w.released_count, i == 0);
    }
    w.shard->bufring.held_count = SLOTS / 2;
    take(who, 1);
    se_rx_deliver(w.shard);
    assert_int_equal(w.released_count, 0); /* half of the slots are free */
    w.shard->bufring.held_count++;
    take(who, 1);
    se_rx_deliver(w.shard);
    assert_int_equal(w.released_count, 1);
    sp_reassembly_clear(&reassembly);
    sp_holding_unref(store.holding);
}

static void a_stateless_reset_finds_its_connection(void **state)
{
    (void)state;
    static const uint8_t who[] = {UNKNOWN};
    uint8_t token[SP_RESET_TOKEN_SIZE];
    memset(token, 0x77, sizeof(token));
    assert_int_equal(se_table_insert(&w.shard->tokens, token, sizeof(token), 1), 0);
    struct su_received one = received(who, 1);
    memcpy(w.payload + one.size - sizeof(token), token, sizeof(token));
    se_rx_take(&w.port, &one);
    assert_true(sp_conn_is_closed(w.conns[1].proto));
    assert_false(sp_conn_is_closed(w.conns[0].proto));
    assert_int_equal(w.shard->rx.item_count, 0);
    assert_int_equal(w.shard->counts.own.unroutable, 0);
    se_rx_deliver(w.shard);
}

/* A hand-made tombstone with a CID of its own, which answers no more for a long time. */
static void tombstones_get_what_is_for_them_and_for_no_connection(void **state)
{
    (void)state;
    enum { BURIED = 5 };
    static const uint8_t who[] = {BURIED, 0, BURIED, BURIED};
    uint8_t cid[SE_CID_SIZE];
    assert_int_equal(se_tombstones_init(&w.shard->tombstones, 1), 0);
    struct sp_tombstone *proto = &w.shard->tombstones.entries[2].proto;
    *proto = (struct sp_tombstone){
        .budget_bytes = 1000, .answer_at = 1000, .packet_size = 40, .token = "this is a token"};
    write_cid(cid, BURIED);
    assert_int_equal(se_table_insert(&w.shard->cids, cid, sizeof(cid), 2 | SE_TOMBSTONE_BIT), 0);
    assert_int_equal(
        se_table_insert(&w.shard->tokens, proto->token, SP_RESET_TOKEN_SIZE, 2 | SE_TOMBSTONE_BIT),
        0);
    take(who, 4);
    assert_int_equal(proto->datagrams_in, 3);
    assert_int_equal(chain_of(0), 0x02);
    assert_int_equal(w.shard->counts.own.unroutable, 0);
    se_rx_deliver(w.shard);

    static const uint8_t reset[] = {UNKNOWN};
    struct su_received one = received(reset, 1);
    memcpy(w.payload + one.size - SP_RESET_TOKEN_SIZE, proto->token, SP_RESET_TOKEN_SIZE);
    assert_int_equal(proto->packet_size, 40);
    se_rx_take(&w.port, &one);
    assert_int_equal(proto->packet_size, 0); /* it has fallen silent */
    assert_int_equal(w.shard->counts.own.unroutable, 0);
    se_rx_deliver(w.shard);
    assert_int_equal(w.buffer.ref_count, 0);
    se_tombstones_deinit(&w.shard->tombstones);
}

/* A timer about a silent peer waits until all that has come is received.  What may have come is
 * looked for soon. */
static void a_timer_that_is_held_waits_for_one_more_look(void **state)
{
    (void)state;
    struct spate_shard *shard = w.shard;
    uint64_t due_ns = shard->now_ns + 10 * SB_MS;
    struct se_timer timer;
    sb_list_init(&shard->limit.line);
    se_wheel_init(&shard->wheel, shard->now_ns);
    se_timer_init(&timer);
    se_wheel_set(&shard->wheel, &timer, due_ns);
    assert_ptr_equal(se_wheel_pop(&shard->wheel, due_ns + 10 * SB_MS), &timer);
    shard->now_ns = due_ns + 10 * SB_MS;
    assert_false(se_heard_turn(&shard->heard, shard->now_ns, true, 100));
    se_wheel_hold(&shard->wheel, &timer);
    assert_int_equal(se_shard_next_ns(shard), shard->now_ns + SE_HEARD_LOOK_NS);

    shard->heard.is_starved = true; /* a look would show nothing before a slot is free */
    assert_int_equal(se_shard_next_ns(shard), shard->now_ns + SE_HEARD_LAG_NS);
    shard->heard.is_starved = false;
    assert_true(se_heard_turn(&shard->heard, shard->now_ns, false, 100));
    se_wheel_release(&shard->wheel);
    assert_ptr_equal(se_wheel_pop(&shard->wheel, shard->now_ns), &timer);
    assert_true(se_shard_next_ns(shard) == SB_NEVER);
}

static void what_has_no_header_is_counted_and_dropped(void **state)
{
    (void)state;
    static const uint8_t who[] = {0};
    struct su_received one = received(who, 1);
    one.size = SE_CID_SIZE; /* a byte less than a short header */
    se_rx_take(&w.port, &one);
    one = received(who, 1);
    one.size = 0;
    se_rx_take(&w.port, &one);
    assert_int_equal(w.shard->rx.item_count, 0);
    assert_int_equal(w.shard->counts.own.unroutable, 1);
    se_rx_deliver(w.shard);
    assert_int_equal(w.buffer.ref_count, 0);
}

/* Makes connection 1 one of a server in its handshake. */
static void make_handshake(void)
{
    struct spate_conn *conn = &w.conns[1];
    conn->state = SE_CONN_HANDSHAKING;
    conn->is_server = true;
    sb_list_init(&conn->handshake.link);
    w.conns[0].since_tick = se_rx_tick(w.shard->now_ns) - SE_RX_NEWCOMER_TICKS - 1; /* none */
}

static void handshakes_wait_for_a_turn_without_requests(void **state)
{
    (void)state;
    static const uint8_t who[] = {1, 0, 1};
    struct se_rx *rx = &w.shard->rx;
    uint64_t before[] = {arrived(0), arrived(1)};
    make_handshake();
    take(who, 3);
    se_rx_deliver(w.shard);
    assert_true(rx->is_put_off);
    assert_int_equal(arrived(0) - before[0], 1);
    assert_int_equal(arrived(1) - before[1], 0);
    assert_int_equal(rx->held_count, 2);
    assert_true(se_shard_has_leftovers(w.shard)); /* the turn that follows does not wait */
    assert_int_equal(w.buffer.ref_count, 0);      /* no slot is pinned .. */
    assert_int_equal(w.shard->copies.small.used_count, 2);
    memset(w.payload, 0, sizeof(w.payload)); /* .. and another datagram may come into it */

    /* What came first is first, and the second turn with a request goes on with it. */
    rx->was_put_off = true;
    rx->is_put_off = false;
    take(who, 3);
    se_held_give(w.shard, &rx->conns);
    uint32_t first = w.conns[1].rx_first;
    uint32_t second = rx->items[first].next;
    uint32_t third = rx->items[second].next;
    assert_non_null(rx->items[first].copy);
    assert_non_null(rx->items[second].copy);
    assert_int_equal(rx->items[second].size, DATAGRAM_SIZE - 3);
    assert_ptr_equal(rx->items[third].data, w.payload);
    assert_int_equal(rx->items[w.conns[1].rx_last].next, SE_RX_NONE);
    se_rx_deliver(w.shard);
    assert_int_equal(arrived(0) - before[0], 2);
    assert_int_equal(arrived(1) - before[1], 4);
    assert_int_equal(rx->held_count, 0);
    assert_int_equal(w.shard->copies.small.used_count, 0);
    assert_false(se_shard_has_leftovers(w.shard));
}

static void without_memory_to_wait_handshakes_go_on(void **state)
{
    (void)state;
    static const uint8_t who[] = {1, 0};
    uint64_t before = arrived(1);
    make_handshake();
    assert_true(se_memory_charge(&w.shard->memory, 1 << 20)); /* all of it */
    take(who, 2);
    se_rx_deliver(w.shard);
    assert_true(w.shard->rx.is_put_off);
    assert_int_equal(arrived(1) - before, 1);
    assert_int_equal(w.shard->rx.held_count, 0);
    se_memory_refund(&w.shard->memory, 1 << 20);
}

static void what_waits_for_a_connection_goes_with_it(void **state)
{
    (void)state;
    static const uint8_t who[] = {1, 0, 1};
    uint64_t before = arrived(1);
    make_handshake();
    take(who, 3);
    se_rx_deliver(w.shard);
    assert_int_equal(w.shard->rx.held_count, 2);
    se_held_forget(&w.shard->rx, &w.conns[0]);
    assert_int_equal(w.shard->rx.held_count, 2);
    se_held_forget(&w.shard->rx, &w.conns[1]);
    assert_int_equal(w.shard->rx.held_count, 0);
    assert_int_equal(w.shard->copies.small.used_count, 0);
    se_rx_deliver(w.shard);
    assert_int_equal(arrived(1) - before, 0);
}

#define RX_TEST(name) cmocka_unit_test_setup_teardown(name, begin, end)

int main(void)
{
    const struct CMUnitTest tests[] = {
        RX_TEST(datagrams_are_chained_by_connection_in_their_order),
        RX_TEST(each_connection_gets_its_datagrams_and_the_buffer_goes_home),
        RX_TEST(more_than_one_batch_of_a_connection_is_delivered),
        RX_TEST(what_there_is_no_room_for_waits_for_nothing),
        RX_TEST(early_datagrams_leave_room_for_the_rest_of_a_buffer),
        RX_TEST(copies_are_made_when_few_slots_are_free),
        RX_TEST(without_memory_for_copies_the_last_slots_are_not_pinned),
        RX_TEST(after_a_batch_buffers_are_freed_that_hold_little),
        RX_TEST(a_stateless_reset_finds_its_connection),
        RX_TEST(tombstones_get_what_is_for_them_and_for_no_connection),
        RX_TEST(a_timer_that_is_held_waits_for_one_more_look),
        RX_TEST(what_has_no_header_is_counted_and_dropped),
        RX_TEST(handshakes_wait_for_a_turn_without_requests),
        RX_TEST(without_memory_to_wait_handshakes_go_on),
        RX_TEST(what_waits_for_a_connection_goes_with_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
