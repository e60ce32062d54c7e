/* SPDX-License-Identifier: MIT */
/* 100,000 random and mutated datagrams at a live server.
 *
 * A relay between a client and the server takes samples of every kind of packet that a
 * connection has.  Then those are sent again, whole or spoiled, from the client's own address and
 * from a stranger's, mixed with noise, while the connection goes on.  The server must
 * keep serving it, stay within its budgets all the time, and have nothing left of it in the end. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#define DATAGRAMS  100000
#define BATCH      50
#define HANDSHAKES 20

static uint64_t random_state = UINT64_C(0x9e3779b97f4a7c15);

static uint64_t random_below(uint64_t limit)
{
    random_state ^= random_state << 13;
    random_state ^= random_state >> 7;
    random_state ^= random_state << 17;
    return random_state % limit;
}

/* ---- noise ---- */

static size_t make_noise(uint8_t *data)
{
    static const uint8_t firsts[] = {0xc0, 0xc3, 0xd0, 0xe0, 0xf0, 0x40, 0x43, 0x00, 0x80, 0xff};
    size_t size = random_below(4) == 0 ? 1200 + random_below(300) : 1 + random_below(1500);
    for (size_t i = 0; i < size; i++)
        data[i] = (uint8_t)random_below(256);
    if (random_below(3) > 0) {
        data[0] = firsts[random_below(sizeof(firsts))];
        if (size > 6 && random_below(4) > 0) {
            memcpy(data + 1, "\0\0\0\1", 4);
            data[5] = (uint8_t)random_below(22);
        }
    }
    return size;
}

static size_t spoil(const struct pw_relay *r, uint8_t *data)
{
    const struct pw_sample *s = &r->samples[random_below(r->sample_count)];
    size_t size = s->size;
    memcpy(data, s->data, size);
    switch (random_below(6)) {
    case 0: /* as it is: a replay */
        break;
    case 1: /* a few bits */
        for (uint64_t flips = 1 + random_below(8); flips > 0; flips--)
            data[random_below(size)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 2: /* a few bits of the header */
        for (uint64_t flips = 1 + random_below(3); flips > 0; flips--)
            data[random_below(size < 40 ? size : 40)] ^= (uint8_t)(1 << random_below(8));
        break;
    case 3: /* cut */
        size = 1 + random_below(size);
        break;
    case 4: /* longer */
        while (size < 1500)
            data[size++] = (uint8_t)random_below(256);
        break;
    default: { /* the beginning of one, the end of another */
        const struct pw_sample *other = &r->samples[random_below(r->sample_count)];
        size_t at = random_below(size < other->size ? size : other->size);
        memcpy(data + at, other->data + at, other->size - at);
        size = other->size;
        break;
    }
    }
    return size;
}

static void throw_batch(const struct pw_relay *r, int stranger, const struct pw *w)
{
    static uint8_t data[BATCH][PW_DATAGRAM_MAX];
    struct mmsghdr messages[BATCH] = {0};
    struct iovec parts[BATCH];
    struct sockaddr_storage address = w->address;
    bool is_stranger = random_below(2) == 0;
    for (uint32_t i = 0; i < BATCH; i++) {
        size_t size = random_below(3) == 0 ? make_noise(data[i]) : spoil(r, data[i]);
        parts[i] = (struct iovec){.iov_base = data[i], .iov_len = size};
        messages[i].msg_hdr.msg_iov = &parts[i];
        messages[i].msg_hdr.msg_iovlen = 1;
        if (is_stranger) {
            messages[i].msg_hdr.msg_name = &address;
            messages[i].msg_hdr.msg_namelen = w->address_size;
        }
    }
    int sent = sendmmsg(is_stranger ? stranger : r->to_server, messages, BATCH, 0);
    assert_int_equal(sent, BATCH);
}

/* ---- the server under it ---- */

static void tight_budget(struct spate_config *config)
{
    config->handshakes_max = HANDSHAKES;
    config->handshake_timeout_ns = UINT64_C(200000000);
    config->receive_slots = 128;
}

static void step(struct pw *w, struct pw_relay *r)
{
    pw_turn(w);
    pw_relay_pass(r);
}

static void check_budget(const struct pw *w)
{
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_true(stats.handshakes_now <= HANDSHAKES);
    assert_true(stats.conns_now <= HANDSHAKES + 2);
    assert_true(stats.memory_bytes_now < UINT64_C(64) << 20);
}

static void ping(struct pw *w, struct pw_relay *r, struct spate_conn *conn)
{
    uint64_t id;
    uint64_t before = w->server.bytes_in;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (spate_stream_open(conn, true, &id) != 0 && pw_now_ns() < end_ns)
        step(w, r);
    assert_int_equal(spate_stream_send(conn, id, "ping", 4, true, 0), 0);
    while (w->server.bytes_in < before + 4 && pw_now_ns() < end_ns)
        step(w, r);
    assert_int_equal(w->server.bytes_in, before + 4);
}

static bool strangers_are_gone(struct pw *w)
{
    struct spate_shard_stats stats = pw_stats(&w->server);
    return stats.handshakes_now == 0 && stats.conns_now == 1;
}

static void a_hundred_thousand_bad_datagrams_change_nothing(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = tight_budget});
    struct pw_relay *r = pw_relay_create(w);
    int stranger = pw_udp_socket();

    struct pw through = *w; /* the same ends, another address to connect to */
    through.address_size = sizeof(through.address);
    assert_int_equal(
        getsockname(r->to_client, (struct sockaddr *)&through.address, &through.address_size), 0);
    struct spate_conn *conn = pw_connect(&through);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while ((w->server.conn == NULL || w->client.conn == NULL) && pw_now_ns() < end_ns)
        step(w, r);
    assert_ptr_equal(w->client.conn, conn);
    for (int i = 0; i < 20; i++)
        ping(w, r, conn);

    for (uint32_t i = 0; i < DATAGRAMS; i += BATCH) {
        throw_batch(r, stranger, w);
        step(w, r);
        check_budget(w);
        if (i % 5000 == 0)
            ping(w, r, conn);
    }
    ping(w, r, conn);
    struct spate_shard_stats stats = pw_stats(&w->server);
    assert_true(stats.datagrams_in >= DATAGRAMS);
    assert_true(stats.unroutable > 0 && stats.handshakes_failed > 0);
    assert_int_equal(stats.kernel_drops, 0);
    assert_int_equal(w->server.connected_count, 1);
    assert_int_equal(w->server.closed_count, 0);
    assert_int_equal(w->client.closed_count, 0);

    pw_until(w, strangers_are_gone);
    (void)pw_connected(w); /* and it takes new ones */
    assert_int_equal(w->server.connected_count, 2);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_hundred_thousand_bad_datagrams_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
