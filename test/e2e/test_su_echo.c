/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

/* Trains of datagrams to and fro between two sockets on one ring. */

#define SEGMENT_SIZE 1252
#define TRAIN_COUNT  40
#define TRAIN_SIZE   ((TRAIN_COUNT - 1) * SEGMENT_SIZE + 700) /* the last one is shorter */

struct ends {
    const char *client;    /* where the client binds */
    const char *server;    /* where the server binds */
    const char *target;    /* what the client sends to; the port comes from the server */
    const char *seen_from; /* what the server sees the client as, without its port */
    bool is_dual;
    bool is_connected;
};

static const struct ends ends[] = {
    {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", false, false},
    {"127.0.0.1:0", "0.0.0.0:0", "127.0.0.5:0", "127.0.0.1:0", false, false},
    {"0.0.0.0:0", "0.0.0.0:0", "127.0.0.5:0", "127.0.0.1:0", false, false},
    {"[::1]:0", "[::1]:0", "[::1]:0", "[::1]:0", false, false},
    {"[::]:0", "[::]:0", "[::1]:0", "[::1]:0", false, false},
    {"127.0.0.1:0", "[::]:0", "127.0.0.5:0", "127.0.0.1:0", true, false},
    {"[::1]:0", "[::]:0", "[::1]:0", "[::1]:0", true, false},
    {"[::]:0", "[::]:0", "127.0.0.5:0", "127.0.0.1:0", true, false},
    {"127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", "127.0.0.1:0", false, true},
    {"[::1]:0", "[::1]:0", "[::1]:0", "[::1]:0", false, true},
    {"[::]:0", "[::]:0", "127.0.0.5:0", "127.0.0.1:0", true, true},
};

static bool has_ipv6(void)
{
    struct su_socket socket;
    int error =
        su_socket_open(&socket, &(struct su_socket_config){.local = sw_address("[::1]:0")}, NULL);
    su_socket_close(&socket);
    return error == 0;
}

/* [RFC9000 14.2.1] The kernel neither fragments nor obeys ICMP about the size of packets. */
static void icmp_has_no_say_in_the_size_of_datagrams(void **state)
{
    (void)state;
    const struct {
        const char *local;
        int level, option, want;
    } samples[] = {
        {"127.0.0.1:0", SOL_IP, IP_MTU_DISCOVER, IP_PMTUDISC_PROBE},
        {"[::1]:0", SOL_IPV6, IPV6_MTU_DISCOVER, IPV6_PMTUDISC_PROBE},
    };
    for (size_t i = 0; i < QT_COUNT(samples) && (i == 0 || has_ipv6()); i++) {
        struct su_socket socket;
        struct su_socket_config config = {.local = sw_address(samples[i].local)};
        assert_int_equal(su_socket_open(&socket, &config, NULL), 0);
        int value = -1;
        socklen_t size = sizeof(value);
        int error = getsockopt(socket.fd, samples[i].level, samples[i].option, &value, &size);
        su_socket_close(&socket);
        assert_int_equal(error, 0);
        assert_int_equal(value, samples[i].want);
    }
}

/* The client sends a train, the server answers from where it was asked, with the other mark. */
static void echo(const struct ends *e)
{
    struct sw *w = sw_create((struct sw_config){0});
    uint32_t server = sw_open(
        w, &(struct su_socket_config){.local = sw_address(e->server), .is_dual = e->is_dual});
    struct su_address target = sw_address(e->target);
    su_address_set_port(&target, su_address_port(&w->sockets[server].local));
    struct su_socket_config config = {.local = sw_address(e->client), .is_dual = e->is_dual};
    if (e->is_connected)
        config.peer = target;
    uint32_t client = sw_open(w, &config);
    struct su_address seen_from = sw_address(e->seen_from);
    su_address_set_port(&seen_from, su_address_port(&w->sockets[client].local));

    struct su_train ask = {
        .socket = &w->sockets[client],
        .destination = target,
        .size = TRAIN_SIZE,
        .segment_size = SEGMENT_SIZE,
        .ecn = 2,
        .tag = 99,
    };
    sw_commit(w, &ask, 1000);
    sw_until(w, TRAIN_COUNT, 1);
    assert_int_equal(w->last_sent.tag, 99);
    assert_int_equal(w->last_sent.datagram_count, TRAIN_COUNT);
    assert_int_equal(w->last_sent.failed_count, 0);
    sw_check_train(w, 0, &ask, 1000);
    for (uint32_t i = 0; i < TRAIN_COUNT; i++) {
        assert_int_equal(w->log[i].socket, server);
        assert_true(su_address_is_equal(&w->log[i].peer, &seen_from));
        assert_true(su_address_is_equal(&w->log[i].local, &target));
    }
    assert_int_equal(w->receivers[server].counts.receives, 1); /* GRO kept the train together */

    struct su_train answer = ask;
    answer.socket = &w->sockets[server];
    answer.destination = w->log[0].peer;
    answer.source = w->log[0].local;
    answer.ecn = 1;
    sw_commit(w, &answer, 5000);
    sw_until(w, 2 * TRAIN_COUNT, 2);
    sw_check_train(w, TRAIN_COUNT, &answer, 5000);
    for (uint32_t i = TRAIN_COUNT; i < w->log_count; i++) {
        assert_int_equal(w->log[i].socket, client);
        assert_true(su_address_is_equal(&w->log[i].peer, &target)); /* not 127.0.0.1 */
    }
    assert_int_equal(w->log_count, 2 * TRAIN_COUNT);
    assert_int_equal(w->send.counts.sends, 2);
    assert_int_equal(w->send.counts.datagrams_out, 2 * TRAIN_COUNT);
    assert_int_equal(w->send.counts.bytes_out, 2 * TRAIN_SIZE);
}

static void trains_come_back_over_each_family(void **state)
{
    (void)state;
    bool v6 = has_ipv6();
    for (size_t i = 0; i < QT_COUNT(ends); i++) {
        if (v6 || strchr(ends[i].server, '[') == NULL)
            echo(&ends[i]);
    }
}

static void many_trains_cost_one_system_call(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.send_count = 32, .slot_count = 64, .depth = 64});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    (void)sw_turn(w, 0); /* arms the receivers */

    struct su_train train = {
        .socket = &w->sockets[client],
        .destination = w->sockets[server].local,
        .size = TRAIN_SIZE,
        .segment_size = SEGMENT_SIZE,
    };
    uint64_t enters = w->ring.counts.enters;
    for (uint32_t i = 0; i < 32; i++)
        sw_commit(w, &train, i * TRAIN_COUNT);
    assert_null(su_send_take(&w->send)); /* all slots are with the kernel */
    assert_int_equal(w->ring.counts.enters, enters);
    assert_int_equal(su_ring_queued(&w->ring), 32);
    (void)sw_turn(w, 0);
    assert_int_equal(w->ring.counts.enters, enters + 1);
    assert_int_equal(w->sent_count, 32);
    assert_int_equal(su_send_free_count(&w->send), 32);

    sw_until(w, 32 * TRAIN_COUNT, 32);
    for (uint32_t i = 0; i < 32; i++)
        sw_check_train(w, i * TRAIN_COUNT, &train, i * TRAIN_COUNT);
    assert_int_equal(w->receivers[server].counts.arms, 1);
}

static void sizes_at_the_limits_arrive_whole(void **state)
{
    (void)state;
    static const struct {
        uint32_t size;
        uint32_t segment_size;
    } cases[] = {
        {1, 1},
        {2, 1},
        {64, 1},
        {64 * 1000, 1000},
        {1200, 1200},
        {SU_TRAIN_SIZE_MAX, 1024},
        {SU_TRAIN_SIZE_MAX, 32768},
        {SU_TRAIN_SIZE_MAX, SU_TRAIN_SIZE_MAX},
    };
    struct sw *w = sw_create((struct sw_config){0});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    uint32_t at = 0;
    for (uint32_t i = 0; i < QT_COUNT(cases); i++) {
        struct su_train train = {
            .socket = &w->sockets[client],
            .destination = w->sockets[server].local,
            .size = cases[i].size,
            .segment_size = cases[i].segment_size,
        };
        sw_commit(w, &train, at);
        uint32_t count = (train.size + train.segment_size - 1) / train.segment_size;
        sw_until(w, at + count, i + 1);
        sw_check_train(w, at, &train, at);
        at += count;
    }
    assert_int_equal(w->log_count, at);
    assert_int_equal(w->send.counts.gso_fallbacks, 0);
}

static void commit(struct sw *w, struct su_send_slot *slot, const struct su_train *train)
{
    assert_int_equal(su_send_commit(&w->send, slot, train), 0);
}

static void trains_past_the_limits_are_our_bug(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){0});
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    static const struct {
        uint32_t size;
        uint32_t segment_size;
    } cases[] = {{0, 0}, {100, 0}, {100, 101}, {65, 1}, {SU_TRAIN_SIZE_MAX + 1, 65508}};
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct su_train train = {.socket = &w->sockets[client],
                                 .destination = w->sockets[client].local,
                                 .size = cases[i].size,
                                 .segment_size = cases[i].segment_size};
        struct su_send_slot *slot = su_send_take(&w->send);
        assert_non_null(slot);
        expect_assert_failure(commit(w, slot, &train));
        su_send_abandon(&w->send, slot);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(icmp_has_no_say_in_the_size_of_datagrams),
        QT_TEST(owned, trains_come_back_over_each_family),
        QT_TEST(owned, many_trains_cost_one_system_call),
        QT_TEST(owned, sizes_at_the_limits_arrive_whole),
        QT_TEST(owned, trains_past_the_limits_are_our_bug),
    };
    sw_require_ring();
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
