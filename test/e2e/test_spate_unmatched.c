/* SPDX-License-Identifier: MIT */
/* What a server answers to datagrams that belong to no connection.  RFC 9000, sections 5.2.2,
 * 6.1 and 10.3. */

#include "test/support/spate_world.h"

#include <inttypes.h>
#include <string.h>
#include <unistd.h>

static int stranger_of(const struct pw *w)
{
    int fd = pw_udp_socket();
    assert_int_equal(connect(fd, (const struct sockaddr *)&w->address, w->address_size), 0);
    return fd;
}

/* Sends one datagram, lets the server look, and returns the size of its answer, 0 if none. */
static size_t ask(struct pw *w, int fd, const uint8_t *data, size_t size, uint8_t *ret)
{
    assert_int_equal(send(fd, data, size, 0), size);
    uint64_t before = pw_stats(&w->server).datagrams_in;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (pw_stats(&w->server).datagrams_in == before && pw_now_ns() < end_ns)
        pw_turn(w);
    pw_turn(w); /* sends the answer */
    pw_turn(w);
    ssize_t got = recv(fd, ret, PW_DATAGRAM_MAX, 0);
    return got > 0 ? (size_t)got : 0;
}

/* A long header: version, a DCID of 8 bytes, an SCID of 5. */
static size_t long_header(uint8_t *data, uint32_t version, size_t size)
{
    static const uint8_t cids[] = {8, 1, 2, 3, 4, 5, 6, 7, 8, 5, 11, 12, 13, 14, 15};
    memset(data, 0, size);
    data[0] = 0xc0;
    for (int i = 0; i < 4; i++)
        data[1 + i] = (uint8_t)(version >> (24 - 8 * i));
    memcpy(data + 5, cids, sizeof(cids));
    return size;
}

/* [RFC9000 6.1, 17.2.1] */
static void an_unknown_version_is_answered_with_ours(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    int fd = stranger_of(w);
    uint8_t data[PW_DATAGRAM_MAX];
    uint8_t answer[PW_DATAGRAM_MAX];
    size_t size = ask(w, fd, data, long_header(data, 0xbabababa, 1200), answer);
    assert_int_equal(size, 1 + 4 + 1 + 5 + 1 + 8 + 4 * 3);
    assert_true((answer[0] & 0x80) != 0);
    assert_memory_equal(answer + 1, "\0\0\0\0", 4);
    assert_memory_equal(answer + 5, "\5\13\14\15\16\17", 6); /* the CIDs have changed places */
    assert_memory_equal(answer + 11, data + 5, 9);
    uint32_t known = 0, reserved = 0;
    for (const uint8_t *version = answer + 20; version < answer + size; version += 4) {
        known += memcmp(version, "\0\0\0\1", 4) == 0;
        known += memcmp(version, "\x6b\x33\x43\xcf", 4) == 0; /* [RFC9369 3.1] */
        reserved += (version[0] & version[1] & version[2] & version[3] & 0x0f) == 0x0a;
    }
    assert_int_equal(known, 2);
    assert_int_equal(reserved, 1); /* [RFC9000 15] */
    assert_int_equal(pw_stats(&w->server).version_negotiations, 1);

    /* [RFC9000 14.1] Nothing for a small one, nothing for a Version Negotiation. */
    assert_int_equal(ask(w, fd, data, long_header(data, 0xbabababa, 1199), answer), 0);
    assert_int_equal(ask(w, fd, data, long_header(data, 0, 1200), answer), 0);
    assert_int_equal(pw_stats(&w->server).conns_now, 0);
}

/* [RFC9000 10.3, 10.3.3] */
static void a_short_packet_for_nobody_is_answered_with_a_smaller_reset(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    int fd = stranger_of(w);
    uint8_t answer[PW_DATAGRAM_MAX];
    uint8_t data[1000] = {0x40, 9, 9, 9, 9, 9, 9, 9, 9};
    for (size_t size = 1; size <= 60; size++) {
        size_t got = ask(w, fd, data, size, answer);
        assert_true(size > 21 ? got >= 21 && got < size : got == 0);
        if (got > 0)
            assert_int_equal(answer[0] & 0xc0, 0x40);
    }
    size_t got = ask(w, fd, data, sizeof(data), answer);
    assert_true(got >= 21 && got < 100);
    uint8_t again[PW_DATAGRAM_MAX];
    size_t got_again = ask(w, fd, data, sizeof(data), again);
    assert_memory_equal(answer + got - 16, again + got_again - 16, 16); /* the token is the CID's */
    data[1] = 8;
    got_again = ask(w, fd, data, sizeof(data), again);
    assert_memory_not_equal(answer + got - 16, again + got_again - 16, 16);
}

/* Runs the server until it has counted the `sent` datagrams.  What the kernel has dropped is told
 * with a later datagram, so further ones are sent; returns how many. */
static uint64_t until_counted(struct pw *w, int fd, const uint8_t *data, size_t size, uint64_t sent)
{
    uint64_t more = 0, end_ns = pw_now_ns() + PW_PATIENCE_NS;
    struct spate_shard_stats stats = pw_stats(&w->server);
    while (stats.unroutable + stats.kernel_drops < sent + more && pw_now_ns() < end_ns) {
        uint64_t before = stats.datagrams_in;
        pw_wait(&w->server, 10 * 1000000);
        stats = pw_stats(&w->server);
        if (stats.datagrams_in != before)
            continue;
        assert_int_equal(send(fd, data, size, 0), size);
        more++;
    }
    return more;
}

static void answers_to_strangers_are_rationed(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    int fd = stranger_of(w);
    uint8_t data[100] = {0x40, 1, 2, 3, 4, 5, 6, 7, 8};
    uint64_t begin_ns = pw_now_ns();
    for (int i = 0; i < 5000; i++) {
        assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
        if (i % 20 == 0)
            pw_turn(w);
    }
    uint64_t sent = 5000 + until_counted(w, fd, data, sizeof(data), 5000);
    struct spate_shard_stats stats = pw_stats(&w->server);
    uint64_t passed_ms = (pw_now_ns() - begin_ns) / 1000000;
    assert_true(stats.stateless_resets >= 100);
    assert_true(stats.stateless_resets <= 100 + passed_ms + 1); /* the burst, then 1,000 a second */
    assert_int_equal(stats.unroutable + stats.kernel_drops, sent);
}

enum { FEW_SLOTS = 8 };

static void few_slots(struct spate_config *config)
{
    config->transmit_slots = FEW_SLOTS;
}

/* Asks `count` times at once, and returns how many answers there are. */
static uint32_t ask_at_once(struct pw *w, int fd, const uint8_t *data, size_t size, uint32_t count)
{
    uint8_t answer[PW_DATAGRAM_MAX];
    uint32_t got = 0;
    uint64_t wanted = pw_stats(&w->server).datagrams_in + count;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(send(fd, data, size, 0), size);
    while (pw_stats(&w->server).datagrams_in < wanted ||
           pw_stats(&w->server).transmit_slots_free < FEW_SLOTS) {
        assert_true(pw_now_ns() < end_ns);
        pw_wait(&w->server, 0);
    }
    while (recv(fd, answer, sizeof(answer), 0) > 0)
        got++;
    return got;
}

static void answers_that_find_no_slot_do_not_count_as_sent(void **state)
{
    (void)state;
    enum { AT_ONCE = 64 };
    struct pw *w = pw_create(&(struct pw_config){.server = few_slots});
    int fd = stranger_of(w);
    uint8_t data[PW_DATAGRAM_MAX];
    size_t size = long_header(data, 0xbabababa, 1200);
    uint32_t got = ask_at_once(w, fd, data, size, AT_ONCE);
    assert_in_range(got, 1, AT_ONCE - 1);
    assert_int_equal(pw_stats(&w->server).version_negotiations, got);
    data[0] = 0x40; /* a short header */
    got = ask_at_once(w, fd, data, 100, AT_ONCE);
    assert_in_range(got, 1, AT_ONCE - 1);
    assert_int_equal(pw_stats(&w->server).stateless_resets, got);
}

/* A burst that finds no slots must not use up the answers of those who ask after it. */
static void answers_that_find_no_slot_take_no_token(void **state)
{
    (void)state;
    enum { AT_ONCE = 64, ROUNDS = 5, LATER = 20 };
    struct pw *w = pw_create(&(struct pw_config){.server = few_slots});
    int fd = stranger_of(w);
    uint8_t data[PW_DATAGRAM_MAX];
    uint8_t answer[PW_DATAGRAM_MAX];
    size_t size = long_header(data, 0xbabababa, 1200);
    uint32_t got = 0;
    for (uint32_t i = 0; i < ROUNDS && got + LATER <= 80; i++)
        got += ask_at_once(w, fd, data, size, AT_ONCE);
    for (uint32_t i = 0; i < LATER; i++)
        assert_true(ask(w, fd, data, size, answer) > 0);
}

/* Sends `count` datagrams of `size` bytes and runs the server until it has worked them off, which a
 * last one shows.  Returns how many turns it needed. */
static uint64_t turns_for(struct pw *w, int fd, size_t size, uint32_t count)
{
    static const uint8_t data[10];
    struct spate_shard_stats before = pw_stats(&w->server);
    for (uint32_t i = 0; i < count; i++)
        assert_int_equal(send(fd, data, size, 0), size);
    assert_int_equal(send(fd, data, sizeof(data), 0), sizeof(data));
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    struct spate_shard_stats now = before;
    while (now.bytes_in < before.bytes_in + size * count + sizeof(data) && pw_now_ns() < end_ns) {
        pw_wait(&w->server, 0);
        now = pw_stats(&w->server);
    }
    return now.turns - before.turns;
}

/* The first one ends the receive operation of io_uring, as each would. */
static void empty_datagrams_cost_no_turn_each(void **state)
{
    (void)state;
    enum { COUNT = 1000 };
    struct pw *w = pw_create(NULL);
    int fd = stranger_of(w);
    (void)turns_for(w, fd, 0, 1);
    uint64_t others = turns_for(w, fd, 1, COUNT);
    uint64_t turns = turns_for(w, fd, 0, COUNT);
    print_message("    %" PRIu64 " turns for %d empty ones, %" PRIu64 " for others\n", turns, COUNT,
                  others);
    assert_true(turns <= COUNT / 4);
}

static void initials_that_begin_nothing_are_dropped(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    int fd = stranger_of(w);
    uint8_t data[PW_DATAGRAM_MAX];
    uint8_t answer[PW_DATAGRAM_MAX];
    /* Well-formed, but sealed by nobody: a connection is made for it and dropped at once. */
    size_t size = long_header(data, 1, 1200);
    data[20] = 0; /* no token */
    data[21] = 0x44;
    data[22] = 0x99; /* a length of 1,177: the rest */
    assert_int_equal(ask(w, fd, data, size, answer), 0);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_int_equal(stats.handshakes_failed, 1);
    assert_int_equal(stats.conns_accepted, 0);
    assert_int_equal(stats.conns_now, 0);

    /* [RFC9000 14.1] Too small a datagram: not even that. */
    data[22] = 0x98;
    assert_int_equal(ask(w, fd, data, size - 1, answer), 0);
    assert_int_equal(pw_stats(&w->server).handshakes_failed, 1);
}

/* ---- a connection that the server has forgotten ---- */

static void until(struct pw *w, struct pw_relay *r, const uint32_t *counter, uint32_t value)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*counter < value && pw_now_ns() < end_ns) {
        pw_turn(w);
        pw_relay_pass(r);
    }
    assert_int_equal(*counter, value);
}

/* [RFC9000 10.3] The server's close is lost on its way and the server forgets the connection; the
 * client's next packet tells it, and nobody else could have. */
static void a_client_learns_that_the_server_has_forgotten_it(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct pw_relay *r = pw_relay_create(w);
    struct spate_conn *conn = pw_connect_through(w, r);
    until(w, r, &w->client.connected_count, 1);
    until(w, r, &w->server.connected_count, 1);
    /* Until HANDSHAKE_DONE has come the client repeats its Handshake packets, and nothing
     * answers long headers. */
    for (int i = 0; i < 100; i++) {
        pw_turn(w);
        pw_relay_pass(r);
    }

    r->drops_to_client = true;
    spate_conn_close(w->server.conn, 5, "lost");
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    struct spate_shard_stats stats;
    do {
        pw_turn(w);
        pw_relay_pass(r);
        stats = pw_stats(&w->server);
    } while (stats.conns_now + stats.draining_now > 0 && pw_now_ns() < end_ns);
    assert_int_equal(stats.conns_now + stats.draining_now, 0);
    assert_int_equal(w->client.closed_count, 0);

    r->drops_to_client = false;
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, "still there?", 12, true, 0), 0);
    until(w, r, &w->client.closed_count, 1);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_STATELESS_RESET);
    assert_false(w->client.close.is_local);
    assert_true(pw_stats(&w->server).stateless_resets >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, an_unknown_version_is_answered_with_ours),
        QT_TEST(owned, a_short_packet_for_nobody_is_answered_with_a_smaller_reset),
        QT_TEST(owned, answers_to_strangers_are_rationed),
        QT_TEST(owned, answers_that_find_no_slot_do_not_count_as_sent),
        QT_TEST(owned, answers_that_find_no_slot_take_no_token),
        QT_TEST(owned, empty_datagrams_cost_no_turn_each),
        QT_TEST(owned, initials_that_begin_nothing_are_dropped),
        QT_TEST(owned, a_client_learns_that_the_server_has_forgotten_it),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
