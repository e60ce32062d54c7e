/* SPDX-License-Identifier: MIT */
/* Connections that wait in the line of a flow group: while the group is open they wait for nothing
 * but a turn and a transmit slot.  The group's limit is set by the test, so that it stays open. */

#include "test/support/spate_world.h"

#include <arpa/inet.h>
#include <string.h>
#include <unistd.h>

#include "engine/conn/conn.h"
#include "engine/shard/shard.h"
#include "proto/conn/impl.h"

#define MS UINT64_C(1000000)

/* Limits of a group in bytes: shut for everybody, open for all. */
#define SHUT UINT64_C(1)
#define WIDE (UINT64_C(1) << 30)

enum { BYTES = 64 << 20, SAMPLES = 40 };

static const uint8_t bytes[BYTES];

static void configure(struct spate_config *config)
{
    config->spin_ns = 0;
    config->pacing = false;
}

static struct pw *make_world(uint32_t conns, void (*client)(struct spate_config *config))
{
    struct pw *w = pw_create(&(struct pw_config){.server = configure, .client = client});
    for (uint32_t i = 0; i < conns; i++) {
        struct spate_conn *conn = pw_connected(w);
        uint64_t id;
        assert_int_equal(spate_stream_open(conn, true, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, bytes, BYTES, true, 0), 0);
    }
    return w;
}

/* A turn of the client, whose groups have this limit. */
static void turn(struct pw *w, uint64_t limit_bytes, uint64_t wait_ns)
{
    struct se_groups *groups = &w->client.shard->groups;
    for (uint32_t i = 0; i < QT_COUNT(groups->groups); i++)
        if (groups->groups[i].member_count > 0)
            groups->groups[i].limit_bytes = limit_bytes;
    pw_wait(&w->client, wait_ns);
}

static bool has_received(struct pw_end *end, uint64_t *count)
{
    uint64_t before = *count;
    *count = pw_stats(end).receives;
    return *count != before;
}

/* The server takes and answers all; then all members wait in the line of their group, and no packet
 * waits for them. */
static void line_up(struct pw *w)
{
    uint64_t at_server = 0, at_client = 0;
    while (has_received(&w->server, &at_server))
        pw_wait(&w->server, 0);
    while (has_received(&w->client, &at_client)) {
        turn(w, SHUT, 0);
        turn(w, SHUT, 0);
    }
}

/* Returns how many connections wait in the line of an open group, and for nothing else. */
static uint32_t waiting_count(const struct spate_shard *shard)
{
    uint32_t count = 0;
    SB_LIST_EACH(link, &shard->groups.waiting) {
        const struct se_group *group = SB_CONTAINER_OF(link, struct se_group, waiting_link);
        count += se_group_is_open(group) ? group->line_count : 0;
    }
    return sb_list_is_empty(&shard->send_pending) ? count : 0;
}

/* A turn sends a part of what waits.  A host that polls must come back for the rest at once. */
static void a_host_comes_back_for_an_open_line(void **state)
{
    (void)state;
    struct pw *w = make_world(200, configure); /* more than a turn sends */
    assert_true(spate_shard_fd(w->client.shard) >= 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint32_t count = 0;
    while (count < SAMPLES && pw_now_ns() < end_ns) {
        line_up(w);
        turn(w, WIDE, 0);
        if (waiting_count(w->client.shard) == 0)
            continue;
        count++;
        assert_int_equal(spate_shard_deadline_ns(w->client.shard), 0);
    }
    assert_int_equal(count, SAMPLES);
}

static void configure_one_slot(struct spate_config *config)
{
    configure(config);
    config->transmit_slots = 1;
}

/* The one slot is free again when the kernel has sent: nothing else comes, and nobody sleeps. */
static void a_line_goes_on_when_a_slot_is_free(void **state)
{
    (void)state;
    struct pw *w = make_world(16, configure_one_slot);
    struct spate_shard *shard = w->client.shard;
    assert_true(spate_shard_fd(shard) >= 0);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    uint32_t count = 0, short_count = 0;
    uint32_t looks = 0;
    while (count < SAMPLES && pw_now_ns() < end_ns) {
        looks++;
        line_up(w);
        uint64_t received = pw_stats(&w->client).receives;
        uint64_t start_ns = pw_now_ns();
        bool is_quiet = spate_shard_deadline_ns(shard) > start_ns + 10 * MS;
        turn(w, WIDE, 50 * MS);
        bool is_sample =
            is_quiet && waiting_count(shard) > 0 && pw_stats(&w->client).receives == received;
        count += is_sample;
        short_count += is_sample && pw_now_ns() - start_ns < 4 * MS;
    }
    assert_int_equal(count, SAMPLES);
    print_message("%u of %u short, %u looks\n", short_count, count, looks);
    assert_in_range(short_count, SAMPLES * 3 / 4, SAMPLES); /* a busy machine takes the CPU away */
}

static void configure_paced(struct spate_config *config)
{
    config->spin_ns = 0;
}

/* Lets time pass, and an end take and answer all that has come. */
static void run_late(struct pw_end *end)
{
    uint64_t received = 0;
    (void)usleep(2000);
    (void)has_received(end, &received);
    do
        pw_wait(end, 0);
    while (has_received(end, &received));
}

/* Round trips are long, as they are where many are served, and by themselves the pacers know short
 * bursts only.  The mean counts trains with nothing but an ACK, too: it is 7, and was 3. */
static void members_in_line_send_whole_trains(void **state)
{
    (void)state;
    enum { CONNS = 64, ROUNDS_BEFORE = 60, ROUNDS = 100 };
    struct pw *w = make_world(0, configure_paced);
    struct spate_conn *conns[CONNS];
    for (uint32_t i = 0; i < CONNS; i++)
        conns[i] = pw_connect(w);
    while (w->client.connected_count < CONNS) {
        run_late(&w->server);
        run_late(&w->client);
    }
    for (uint32_t i = 0; i < CONNS; i++) {
        uint64_t id;
        assert_int_equal(spate_stream_open(conns[i], true, &id), 0);
        assert_int_equal(spate_stream_send(conns[i], id, bytes, BYTES, true, 0), 0);
    }
    struct spate_shard_stats before;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        run_late(&w->server);
        run_late(&w->client);
        if (i == ROUNDS_BEFORE)
            before = pw_stats(&w->client);
    }
    struct spate_shard_stats after = pw_stats(&w->client);
    uint64_t trains = after.sends - before.sends;
    double length = (double)(after.datagrams_out - before.datagrams_out) / (double)trains;
    print_message("%llu trains of %.1f datagrams\n", (unsigned long long)trains, length);
    assert_true(length > 6);
}

static bool is_in_turns(const struct spate_conn *conn)
{
    return conn->flow.group != NULL && conn->proto->loss.turn_trains > 0;
}

/* Its path may be slow, and its window alone may hold it back: it need not stand in line again. */
static void one_that_the_others_have_left_has_its_own_pace_again(void **state)
{
    (void)state;
    struct pw *w = make_world(2, configure_paced);
    struct sb_link *all = &w->client.shard->all;
    struct spate_conn *first = SB_CONTAINER_OF(all->next, struct spate_conn, all_link);
    struct spate_conn *second = SB_CONTAINER_OF(all->prev, struct spate_conn, all_link);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_in_turns(first) || !is_in_turns(second)) {
        assert_true(pw_now_ns() < end_ns);
        turn(w, SHUT, 0);
        pw_wait(&w->server, 0);
    }
    spate_conn_close(first, 0, NULL);
    while (w->client.closed_count == 0) {
        assert_true(pw_now_ns() < end_ns);
        turn(w, WIDE, 0);
        pw_wait(&w->server, 0);
    }
    uint64_t sent = pw_stats(&w->client).datagrams_out;
    while (pw_stats(&w->client).datagrams_out < sent + 100) {
        assert_true(pw_now_ns() < end_ns);
        pw_wait(&w->server, 0);
        turn(w, WIDE, 0);
    }
    assert_int_equal(second->proto->loss.turn_trains, 0);
}

static bool has_many_in_flight(struct pw *w)
{
    const struct se_group_member *flow = &w->client.conn->flow;
    return flow->group != NULL && flow->in_flight_bytes > 40000;
}

static bool both_are_connected(struct pw *w)
{
    return w->client.connected_count > 0 && w->server.connected_count > 0;
}

static bool all_has_come(struct pw *w)
{
    return w->server.fin_count > 0;
}

/* What the client has sent last stays at the relay when `is_done` returns true. */
static void pass_until(struct pw *w, struct pw_relay *relay, bool (*is_done)(struct pw *w))
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    for (;;) {
        assert_true(pw_now_ns() < end_ns);
        pw_wait(&w->server, 0);
        pw_relay_pass(relay);
        pw_wait(&w->client, 0);
        if (is_done(w))
            return;
        pw_relay_pass(relay);
    }
}

/* As pw_relay_pass(), but the path from the client's old address is dead. */
static void pass_but_from(struct pw_relay *relay, const struct sockaddr_storage *old)
{
    uint8_t data[PW_DATAGRAM_MAX];
    struct sockaddr_storage from = {0};
    socklen_t from_size = sizeof(from);
    ssize_t size;
    while ((size = recvfrom(relay->to_client, data, sizeof(data), 0, (struct sockaddr *)&from,
                            &from_size)) > 0) {
        if (memcmp(&from, old, sizeof(struct sockaddr_in)) == 0)
            continue;
        memcpy(&relay->client, &from, sizeof(from));
        relay->client_size = from_size;
        (void)send(relay->to_server, data, (size_t)size, 0);
    }
    while ((size = recv(relay->to_server, data, sizeof(data), 0)) > 0)
        (void)sendto(relay->to_client, data, (size_t)size, 0, (struct sockaddr *)&relay->client,
                     relay->client_size);
}

/* All of it fits the relay's sockets. */
static void configure_small_window(struct spate_config *config)
{
    configure_paced(config);
    config->stream_window_bytes = config->stream_window_bytes_max = 96 << 10;
    config->conn_window_bytes = config->conn_window_bytes_max = 96 << 10;
}

/* A client moves, because its old path has lost all that was in flight: that is no sign that the
 * socket's buffer of the peer, which is the same, was full. */
static void what_a_member_loses_by_moving_is_no_overflow(void **state)
{
    (void)state;
    enum { ROUNDS = 5, SIZE = 4 << 20 };
    struct sockaddr_in local = {.sin_family = AF_INET,
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK + 1)};
    for (uint32_t round = 0; round < ROUNDS; round++) {
        struct pw *w = pw_create(
            &(struct pw_config){.server = configure_small_window, .client = configure_paced});
        struct pw_relay *relay = pw_relay_create(w);
        uint64_t id;
        (void)pw_connect_through(w, relay);
        pass_until(w, relay, both_are_connected);
        assert_int_equal(spate_stream_open(w->client.conn, true, &id), 0);
        assert_int_equal(spate_stream_send(w->client.conn, id, bytes, SIZE, true, 0), 0);
        pass_until(w, relay, has_many_in_flight);
        const struct sockaddr_storage old = relay->client;
        assert_int_equal(
            spate_conn_migrate(w->client.conn, (struct sockaddr *)&local, sizeof(local), NULL), 0);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (!all_has_come(w)) {
            assert_true(pw_now_ns() < end_ns);
            pw_wait(&w->client, 0);
            pass_but_from(relay, &old);
            pw_wait(&w->server, 0);
        }
        struct spate_conn_stats stats;
        spate_conn_stats(w->client.conn, &stats);
        assert_true(stats.packets_lost >= SE_GROUP_TRAIN_MIN);
        const struct se_groups *groups = &w->client.shard->groups;
        for (uint32_t i = 0; i < QT_COUNT(groups->groups); i++)
            assert_int_equal(groups->groups[i].lowered_ns, 0);
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_host_comes_back_for_an_open_line),
        QT_TEST(owned, a_line_goes_on_when_a_slot_is_free),
        QT_TEST(owned, members_in_line_send_whole_trains),
        QT_TEST(owned, one_that_the_others_have_left_has_its_own_pace_again),
        QT_TEST(owned, what_a_member_loses_by_moving_is_no_overflow),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
