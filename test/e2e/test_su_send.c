/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

/* What can go wrong on the way out, and what is done about it. */

#define SEGMENT_SIZE 1000
#define TRAIN_COUNT  20
#define TRAIN_SIZE   ((TRAIN_COUNT - 1) * SEGMENT_SIZE + 300)

/* Overwrites results of sends, in the order in which they complete. */
struct results {
    const int32_t *results; /* 0: leave it as it is */
    uint32_t count;
    uint32_t at;
};

static void inject(void *context, struct su_completion *completion)
{
    struct results *results = context;
    if (completion->op.kind != SU_OP_SEND || results->at == results->count)
        return;
    int32_t result = results->results[results->at++];
    if (result != 0)
        completion->result = result;
}

struct pair {
    struct sw *w;
    uint32_t server;
    uint32_t client;
    struct su_train train;
    struct results results;
};

static struct pair pair_create(struct sw_config config)
{
    struct pair p = {.w = sw_create(config)};
    p.server = sw_open_at(p.w, "0.0.0.0:0");
    p.client = sw_open_at(p.w, "127.0.0.1:0");
    p.train = (struct su_train){
        .socket = &p.w->sockets[p.client],
        .destination = sw_address("127.0.0.1:0"),
        .size = TRAIN_SIZE,
        .segment_size = SEGMENT_SIZE,
        .ecn = 2,
        .tag = 4711,
    };
    su_address_set_port(&p.train.destination, su_address_port(&p.w->sockets[p.server].local));
    (void)sw_turn(p.w, 0);
    return p;
}

static void pair_inject(struct pair *p, const int32_t *results, uint32_t count)
{
    p->results = (struct results){.results = results, .count = count};
    p->w->ring.inject = inject;
    p->w->ring.inject_context = &p->results;
}

/* A socket that sends no checksums cannot segment: the kernel says EINVAL to a train and takes
 * single datagrams. */
static void a_route_without_gso_gets_single_datagrams(void **state)
{
    (void)state;
    struct pair p = pair_create((struct sw_config){.slot_count = 64});
    struct sw *w = p.w;
    int one = 1;
    assert_int_equal(
        setsockopt(w->sockets[p.client].fd, SOL_SOCKET, SO_NO_CHECK, &one, sizeof(one)), 0);

    sw_commit(w, &p.train, 0);
    sw_until(w, TRAIN_COUNT, 1);
    sw_check_train(w, 0, &p.train, 0); /* in order, each once */
    assert_int_equal(w->log_count, TRAIN_COUNT);
    assert_int_equal(w->last_sent.tag, 4711);
    assert_int_equal(w->last_sent.datagram_count, TRAIN_COUNT);
    assert_int_equal(w->last_sent.failed_count, 0);
    assert_int_equal(w->last_sent.error, 0);
    assert_true(w->last_sent.is_gso_refused);
    assert_int_equal(w->send.counts.gso_fallbacks, 1);
    assert_int_equal(w->send.counts.split, 0);
    assert_int_equal(w->send.counts.datagrams_out, TRAIN_COUNT);
    assert_int_equal(w->send.counts.bytes_out, TRAIN_SIZE);

    /* From now on it is not even tried for this address, whatever the port. */
    sw_commit(w, &p.train, 100);
    sw_until(w, 2 * TRAIN_COUNT, 2);
    sw_check_train(w, TRAIN_COUNT, &p.train, 100);
    assert_int_equal(w->send.counts.gso_fallbacks, 1);
    assert_int_equal(w->send.counts.split, 1);
    assert_false(w->last_sent.is_gso_refused);

    /* Another address has to find out by itself. */
    struct su_train other = p.train;
    other.destination = sw_address("127.0.0.9:0");
    su_address_set_port(&other.destination, su_address_port(&p.train.destination));
    sw_commit(w, &other, 200);
    sw_until(w, 3 * TRAIN_COUNT, 3);
    sw_check_train(w, 2 * TRAIN_COUNT, &other, 200);
    assert_int_equal(w->send.counts.gso_fallbacks, 2);
    assert_int_equal(su_send_free_count(&w->send), w->send.slot_count);
}

static void both_errors_of_gso_split_the_train(void **state)
{
    (void)state;
    static const int32_t errors[] = {-EIO, -EINVAL};
    for (size_t i = 0; i < QT_COUNT(errors); i++) {
        struct pair p = pair_create((struct sw_config){.slot_count = 64});
        pair_inject(&p, &errors[i], 1);
        sw_commit(p.w, &p.train, 0);
        /* The injected error lies: the train has gone out, so all arrive twice. */
        sw_until(p.w, 2 * TRAIN_COUNT, 1);
        sw_check_train(p.w, 0, &p.train, 0);
        sw_check_train(p.w, TRAIN_COUNT, &p.train, 0);
        assert_true(p.w->last_sent.is_gso_refused);
        assert_int_equal(p.w->send.gso_off_count, 1);
        owned_end_all();
    }
}

static void a_single_datagram_is_not_sent_again_as_a_train(void **state)
{
    (void)state;
    static const int32_t errors[] = {-EIO, -EINVAL};
    struct pair p = pair_create((struct sw_config){0});
    pair_inject(&p, errors, 2);
    p.train.size = p.train.segment_size = 700;
    for (uint32_t i = 0; i < 2; i++) {
        sw_commit(p.w, &p.train, i);
        sw_until(p.w, i + 1, i + 1);
        assert_int_equal(p.w->last_sent.error, errors[i]);
        assert_int_equal(p.w->last_sent.failed_count, 1);
    }
    assert_int_equal(p.w->send.counts.gso_fallbacks, 0);
    assert_int_equal(p.w->send.counts.other_errors, 2);
    assert_int_equal(p.w->send.gso_off_count, 0);
}

/* EINVAL is also what a train gets whose segments are larger than the MTU: then the single ones
 * fail too, and GSO was not to blame. */
static void gso_stays_on_if_the_single_datagrams_fail_too(void **state)
{
    (void)state;
    int32_t errors[1 + TRAIN_COUNT];
    errors[0] = -EINVAL;
    for (uint32_t i = 1; i <= TRAIN_COUNT; i++)
        errors[i] = -EMSGSIZE;
    struct pair p = pair_create((struct sw_config){.slot_count = 64});
    pair_inject(&p, errors, 1 + TRAIN_COUNT);
    sw_commit(p.w, &p.train, 0);
    sw_until(p.w, 0, 1);
    assert_int_equal(p.w->last_sent.failed_count, TRAIN_COUNT);
    assert_int_equal(p.w->last_sent.error, -EMSGSIZE);
    assert_int_equal(p.w->send.counts.too_large, TRAIN_COUNT);
    assert_int_equal(p.w->send.counts.datagrams_out, 0);
    assert_int_equal(p.w->send.gso_off_count, 0);
}

static void some_of_the_single_datagrams_may_fail(void **state)
{
    (void)state;
    static const int32_t errors[] = {-EIO, 0, -ENOBUFS, 0, 0, -EAGAIN};
    struct pair p = pair_create((struct sw_config){.slot_count = 64});
    pair_inject(&p, errors, QT_COUNT(errors));
    sw_commit(p.w, &p.train, 0);
    sw_until(p.w, 0, 1);
    assert_int_equal(p.w->last_sent.failed_count, 2);
    assert_int_equal(p.w->last_sent.error, -EAGAIN);
    assert_int_equal(p.w->send.counts.queue_full, 2);
    assert_int_equal(p.w->send.counts.datagrams_out, TRAIN_COUNT - 2);
    assert_int_equal(p.w->send.gso_off_count, 1);
}

static void each_error_has_its_count_and_is_not_resent(void **state)
{
    (void)state;
    static const struct {
        int32_t error;
        size_t offset; /* of the count */
    } cases[] = {
        {-EMSGSIZE, offsetof(struct su_send_counts, too_large)},
        {-EAGAIN, offsetof(struct su_send_counts, queue_full)},
        {-ENOBUFS, offsetof(struct su_send_counts, queue_full)},
        {-ECONNREFUSED, offsetof(struct su_send_counts, refused)},
        {-ENETUNREACH, offsetof(struct su_send_counts, unreachable)},
        {-EHOSTUNREACH, offsetof(struct su_send_counts, unreachable)},
        {-ENETDOWN, offsetof(struct su_send_counts, unreachable)},
        {-EPERM, offsetof(struct su_send_counts, forbidden)},
        {-EACCES, offsetof(struct su_send_counts, forbidden)},
        {-ENOMEM, offsetof(struct su_send_counts, other_errors)},
        {-ECANCELED, offsetof(struct su_send_counts, other_errors)},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct pair p = pair_create((struct sw_config){0});
        pair_inject(&p, &cases[i].error, 1);
        sw_commit(p.w, &p.train, 0);
        sw_until(p.w, TRAIN_COUNT, 1);
        assert_int_equal(p.w->log_count, TRAIN_COUNT); /* once: the error was not real */
        assert_int_equal(p.w->last_sent.error, cases[i].error);
        assert_int_equal(p.w->last_sent.failed_count, TRAIN_COUNT);
        uint64_t count;
        memcpy(&count, (const char *)&p.w->send.counts + cases[i].offset, sizeof(count));
        assert_int_equal(count, TRAIN_COUNT);
        assert_int_equal(p.w->send.counts.datagrams_out, 0);
        owned_end_all();
    }
}

/* The kernel answers a send with the ICMP error that an earlier one caused, and does not send. */
static void a_train_that_met_an_old_refusal_is_sent_once_more(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){0});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    static struct su_socket client;
    assert_int_equal(su_socket_open(&client,
                                    &(struct su_socket_config){
                                        .local = sw_address("127.0.0.1:0"),
                                        .peer = w->sockets[server].local,
                                    },
                                    NULL),
                     0);
    (void)owned_add(&client, sw_socket_end);
    assert_int_equal(su_socket_attach(&client, &w->ring), 0);
    struct su_train train = {.socket = &client, .size = 500, .segment_size = 500};

    /* Nobody is there for the first one, and nobody reads its ICMP answer. */
    struct su_address address = w->sockets[server].local;
    su_recv_stop(&w->receivers[server]);
    for (uint32_t i = 0; i < 50 && w->receivers[server].is_armed; i++)
        (void)sw_turn(w, SB_MS);
    su_socket_close(&w->sockets[server]);
    w->socket_count = 0;
    sw_commit(w, &train, 0);
    sw_until(w, 0, 1);
    assert_int_equal(w->last_sent.error, 0);

    (void)sw_open(w, &(struct su_socket_config){.local = address});
    (void)sw_turn(w, 0);
    sw_commit(w, &train, 1);
    sw_until(w, 1, 2);
    assert_int_equal(w->last_sent.error, 0);
    assert_int_equal(w->send.counts.refused, 0);
    assert_int_equal(w->send.counts.sends, 2);
    assert_true(sw_is_filled(&w->log[0], 1));
}

/* A connected socket has a mark of its own: each train has the one that was asked for all the same.
 */
static void trains_of_a_connected_socket_are_marked_as_asked(void **state)
{
    (void)state;
    static const struct {
        const char *server, *client;
        bool is_dual;
    } pairs[] = {
        {"127.0.0.1:0", "127.0.0.1:0", false},
        {"[::1]:0", "[::1]:0", false},
        {"127.0.0.1:0", "[::]:0", true}, /* IPv4 by an IPv6 socket */
    };
    static const uint8_t marks[] = {2, 0, 1, 2, 3, 0};
    for (size_t i = 0; i < QT_COUNT(pairs); i++) {
        struct sw *w = sw_create((struct sw_config){0});
        uint32_t server = sw_open_at(w, pairs[i].server);
        uint32_t client = sw_open(w, &(struct su_socket_config){
                                         .local = sw_address(pairs[i].client),
                                         .peer = w->sockets[server].local,
                                         .is_dual = pairs[i].is_dual,
                                         .ecn = 2,
                                     });
        (void)sw_turn(w, 0);
        for (uint32_t k = 0; k < QT_COUNT(marks); k++) {
            struct su_train train = {
                .socket = &w->sockets[client], .size = 2000, .segment_size = 1000, .ecn = marks[k]};
            uint32_t before = w->log_count;
            sw_commit(w, &train, k);
            sw_until(w, before + 2, k + 1);
            for (uint32_t at = before; at < w->log_count; at++)
                assert_int_equal(w->log[at].ecn, marks[k]);
        }
        owned_end_all();
    }
}

/* Receives a datagram and returns its whole TOS, or traffic class. */
static int receive_tos(int fd, int level, int option)
{
    uint8_t bytes[2000];
    _Alignas(struct cmsghdr) uint8_t control[SU_CONTROL_RECEIVE_SIZE];
    struct iovec part = {.iov_base = bytes, .iov_len = sizeof(bytes)};
    struct msghdr message = {.msg_iov = &part,
                             .msg_iovlen = 1,
                             .msg_control = control,
                             .msg_controllen = sizeof(control)};
    assert_true(recvmsg(fd, &message, 0) > 0);
    struct cmsghdr *head = CMSG_FIRSTHDR(&message);
    while (head != NULL && (head->cmsg_level != level || head->cmsg_type != option))
        head = CMSG_NXTHDR(&message, head);
    assert_non_null(head);
    return *CMSG_DATA(head); /* IP_TOS is a byte, and IPV6_TCLASS an int of little endian */
}

/* A program, or systemd by IPTOS=, has chosen it for the socket that it hands in. */
static void the_dscp_of_an_adopted_socket_stays(void **state)
{
    (void)state;
    static const struct {
        const char *local;
        int level, option;
    } families[] = {{"127.0.0.1:0", SOL_IP, IP_TOS}, {"[::1]:0", SOL_IPV6, IPV6_TCLASS}};
    static const struct {
        int of_socket;
        uint8_t mark;
        int sent;
    } cases[] = {{0xb8, 2, 0xba}, {0xb8, 0, 0xb8}, {0xba, 0, 0xb8}, {0xba, 2, 0xba}};
    for (size_t i = 0; i < QT_COUNT(families) * QT_COUNT(cases); i++) {
        const int level = families[i % 2].level, option = families[i % 2].option;
        const int tos = cases[i / 2].of_socket;
        const struct su_socket_config config = {.local = sw_address(families[i % 2].local)};
        struct sw *w = sw_create((struct sw_config){0});
        struct su_socket given, server;
        assert_int_equal(su_socket_open(&given, &config, NULL), 0);
        (void)owned_fd(given.fd);
        assert_int_equal(su_socket_open(&server, &config, NULL), 0);
        (void)owned_fd(server.fd);
        assert_int_equal(setsockopt(given.fd, level, option, &tos, sizeof(tos)), 0);
        uint32_t client =
            sw_open(w, &(struct su_socket_config){.is_adopted = true, .fd = given.fd});
        struct su_train train = {.socket = &w->sockets[client],
                                 .destination = server.local,
                                 .size = 1000,
                                 .segment_size = 1000,
                                 .ecn = cases[i / 2].mark};
        sw_commit(w, &train, 0);
        (void)sw_turn(w, 0);
        assert_int_equal(receive_tos(server.fd, level, option), cases[i / 2].sent);
        owned_end_all();
    }
}

static void a_completion_of_an_earlier_use_of_a_slot_is_ignored(void **state)
{
    (void)state;
    struct pair p = pair_create((struct sw_config){.send_count = 1});
    struct sw *w = p.w;
    struct su_sent sent;
    sw_commit(w, &p.train, 0);
    struct su_completion late = {
        .op = {.index = 0, .generation = w->send.slots[0].generation, .kind = SU_OP_SEND},
        .result = TRAIN_SIZE,
    };
    sw_until(w, TRAIN_COUNT, 1);

    assert_false(su_send_done(&w->send, &late, &sent)); /* the slot is free */
    assert_int_equal(w->send.counts.stale, 1);
    struct su_send_slot *slot = sw_prepare(w, &p.train, 0);
    assert_false(su_send_done(&w->send, &late, &sent)); /* taken by another, not committed */
    assert_int_equal(su_send_commit(&w->send, slot, &p.train), 0);
    assert_false(su_send_done(&w->send, &late, &sent)); /* committed by another */
    assert_int_equal(w->send.counts.stale, 3);
    late.op.index = 1;
    assert_false(su_send_done(&w->send, &late, &sent)); /* no such slot */
    assert_int_equal(w->send.counts.stale, 4);
    sw_until(w, 2 * TRAIN_COUNT, 2);
    assert_int_equal(w->send.counts.stale, 4);
}

static void a_full_submission_queue_delays_and_loses_nothing(void **state)
{
    (void)state;
    static const int32_t refused = -EINVAL;
    struct pair p = pair_create((struct sw_config){.sq_count = 8, .slot_count = 64});
    struct sw *w = p.w;

    /* At commit the slot stays the caller's. */
    struct su_send_slot *slot = sw_prepare(w, &p.train, 0);
    w->ring.inject_full_count = 1;
    assert_int_equal(su_send_commit(&w->send, slot, &p.train), -EAGAIN);
    assert_int_equal(w->send.busy_count, 0);
    assert_int_equal(su_send_commit(&w->send, slot, &p.train), 0);
    sw_until(w, TRAIN_COUNT, 1);

    /* Within a resend the rest waits for su_send_maintain.  (The train itself has arrived as well:
     * the refusal is injected.) */
    pair_inject(&p, &refused, 1);
    sw_commit(w, &p.train, 50);
    assert_int_equal(su_ring_submit(&w->ring), 0);
    w->ring.inject_full_count = 1;
    (void)sw_take(w);
    assert_int_equal(w->send.stalled_count, 1);
    assert_int_equal(w->sent_count, 1);
    w->ring.inject_full_count = 3; /* two receivers and the resend: one more turn is lost */
    sw_until(w, 3 * TRAIN_COUNT, 2);
    sw_check_train(w, TRAIN_COUNT, &p.train, 50);
    sw_check_train(w, 2 * TRAIN_COUNT, &p.train, 50);
    assert_int_equal(w->send.stalled_count, 0);

    /* A train that is split at commit, with no room at all and then with room for some. */
    assert_int_equal(w->send.gso_off_count, 1);
    slot = sw_prepare(w, &p.train, 90);
    w->ring.inject_full_count = 1;
    assert_int_equal(su_send_commit(&w->send, slot, &p.train), -EAGAIN);
    su_send_abandon(&w->send, slot);
    sw_commit(w, &p.train, 90);
    sw_until(w, 4 * TRAIN_COUNT, 3);
    sw_check_train(w, 3 * TRAIN_COUNT, &p.train, 90);
    assert_int_equal(su_send_free_count(&w->send), w->send.slot_count);
}

static void slots_that_are_out_at_the_end_are_no_leak(void **state)
{
    (void)state;
    struct pair p = pair_create((struct sw_config){.send_count = 3});
    (void)sw_prepare(p.w, &p.train, 0); /* taken, never committed */
    sw_commit(p.w, &p.train, 0);        /* queued, never submitted */
    sw_commit(p.w, &p.train, 0);
    assert_int_equal(su_ring_submit(&p.w->ring), 0); /* submitted, completion never taken */
    assert_null(su_send_take(&p.w->send));
    assert_int_equal(p.w->send.counts.no_slots, 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_route_without_gso_gets_single_datagrams),
        QT_TEST(owned, both_errors_of_gso_split_the_train),
        QT_TEST(owned, a_single_datagram_is_not_sent_again_as_a_train),
        QT_TEST(owned, gso_stays_on_if_the_single_datagrams_fail_too),
        QT_TEST(owned, some_of_the_single_datagrams_may_fail),
        QT_TEST(owned, each_error_has_its_count_and_is_not_resent),
        QT_TEST(owned, a_train_that_met_an_old_refusal_is_sent_once_more),
        QT_TEST(owned, trains_of_a_connected_socket_are_marked_as_asked),
        QT_TEST(owned, the_dscp_of_an_adopted_socket_stays),
        QT_TEST(owned, a_completion_of_an_earlier_use_of_a_slot_is_ignored),
        QT_TEST(owned, a_full_submission_queue_delays_and_loses_nothing),
        QT_TEST(owned, slots_that_are_out_at_the_end_are_no_leak),
    };
    sw_require_ring();
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
