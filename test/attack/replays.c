/* SPDX-License-Identifier: MIT */
/* What others can do with what they have recorded, or made up: 0-RTT, tokens and tickets.
 *
 *     client ---- relay, which records ---- server         two engines that share one
 *                        |                                  struct spate_tls: as two shards
 *     replays, from many addresses of loopback ---- server and other
 *
 * 0-RTT is accepted once in a process, whichever of its shards gets the copy.  A token proves one
 * address once.  A ticket without its secret leads nowhere, and one that is forged costs little
 * more than none.  Keys of tickets are replaced while clients come, and nobody fails.
 *
 * usage: attack_replays [ROUNDS]   copies or connections of each attack (200) */

#include "test/attack/replay_world.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/attack/forger.h"

enum {
    HOSTS = 20,               /* of 127.0.0.x that replays come from */
    DATAGRAM_SIZE_MIN = 1200, /* [RFC9000 14.1] */
    HELLOS_AT_ONCE = 100,     /* fewer than one address may have */
    EARLY_DATAGRAMS_MAX = 32, /* kept by a shard */
    EARLY_BYTES_MAX = 256 << 10,
    HELD_MAX = 8,
    WHOLE_SHARE = 10,    /* of the rounds that many copy all packets: each waits for a timeout */
    AT_ONCE = 16,        /* connections of a crowd */
    FORGED_COST_MAX = 2, /* times a connection without a ticket; measured: 1.1 */
};

static uint32_t rounds = 200;

/* ---- Copies ---- */

/* Sends everything that the client has sent, or its first `count` datagrams, from a fresh port. */
static void replay(struct replay *r, uint32_t count, uint32_t host, bool to_other)
{
    const struct sockaddr_storage *to = to_other ? &r->other_address : &r->w->address;
    struct sockaddr_in from = {.sin_family = AF_INET,
                               .sin_addr.s_addr = htonl(INADDR_LOOPBACK + host % HOSTS)};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    assert_true(fd >= 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&from, sizeof(from)), 0);
    for (uint32_t i = 0; i < r->relay->sample_count && i < count; i++)
        (void)sendto(fd, r->relay->samples[i].data, r->relay->samples[i].size, 0,
                     (const struct sockaddr *)to, r->w->address_size);
    for (int i = 0; i < 3; i++)
        replay_turn(r);
    (void)close(fd);
}

static bool servers_are_empty(struct replay *r)
{
    return pw_stats(&r->w->server).conns_now == 0 && pw_stats(&r->other).conns_now == 0;
}

/* Copies of the ClientHello alone, each in the first packet of a connection of its own. */
static void replay_hellos(struct replay *r)
{
    struct forger forger = {.random = 1};
    uint8_t datagram[FORGER_DATAGRAM_MAX];
    int fd = pw_udp_socket();
    assert_true(r->relay->samples[0].size <= sizeof(datagram));
    memcpy(datagram, r->relay->samples[0].data, r->relay->samples[0].size);
    assert_true(forger_take(&forger, datagram, r->relay->samples[0].size));
    for (uint32_t i = 0; i < rounds; i++) {
        size_t size = forger_make(&forger, datagram);
        assert_true(size > 0);
        /* 0-RTT filled the rest of the datagram. */
        memset(datagram + size, 0, sizeof(datagram) - size);
        size = SB_MAX(size, DATAGRAM_SIZE_MIN);
        const struct sockaddr_storage *to = i % 2 == 1 ? &r->other_address : &r->w->address;
        (void)sendto(fd, datagram, size, 0, (const struct sockaddr *)to, r->w->address_size);
        replay_turn(r);
        if (i % HELLOS_AT_ONCE == HELLOS_AT_ONCE - 1)
            replay_until(r, servers_are_empty);
    }
}

static bool early_has_come(struct replay *r)
{
    return r->early_bytes == sizeof(replay_text) && r->w->client.connected_count == 2 &&
           r->w->server.connected_count == 2;
}

static void copies_of_0_rtt_are_accepted_once(void **state)
{
    (void)state;
    struct replay *r = replay_create(replay_short_handshakes);
    replay_first(r, false);
    r->offers_early = true;
    struct spate_conn *conn = replay_connect_with(r, true, NULL);
    replay_say(conn);
    replay_until(r, early_has_come);
    assert_int_equal(r->zero_rtt_count, 1);
    replay_end(r, conn);

    struct spate_shard_stats before = pw_stats(&r->w->server);
    for (uint32_t i = 0; i < rounds / WHOLE_SHARE; i++) {
        replay(r, i % 3 == 0 ? 2 : UINT32_MAX, i, false);
        replay(r, UINT32_MAX, i, true);
        replay_until(r, servers_are_empty);
        assert_int_equal(r->zero_rtt_count, 1);
        assert_int_equal(r->early_bytes, sizeof(replay_text));
    }
    replay_hellos(r);
    replay_until(r, servers_are_empty);
    assert_int_equal(r->zero_rtt_count, 1);
    assert_int_equal(r->early_bytes, sizeof(replay_text));
    struct spate_shard_stats after = pw_stats(&r->w->server);
    uint64_t begun =
        after.conns_accepted - before.conns_accepted + pw_stats(&r->other).conns_accepted;
    assert_int_equal(begun, 2 * (rounds / WHOLE_SHARE) + rounds); /* all were understood */
    assert_int_equal(after.handshakes_done, before.handshakes_done);
    print_message("%llu copies at two shards: each began a connection, none was complete, 0-RTT "
                  "accepted %u time\n",
                  (unsigned long long)begun, r->zero_rtt_count);

    /* That says nothing about others: this one is used, with the same ticket. */
    replay_say(replay_connect_with(r, false, NULL));
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (r->zero_rtt_count < 2 && pw_now_ns() < end_ns)
        replay_turn(r);
    assert_int_equal(r->zero_rtt_count, 2);
}

/* Takes a datagram of the client off the relay. */
static bool take_held(struct replay *r, struct pw_sample *ret)
{
    r->relay->client_size = sizeof(r->relay->client);
    ssize_t size = recvfrom(r->relay->to_client, ret->data, sizeof(ret->data), 0,
                            (struct sockaddr *)&r->relay->client, &r->relay->client_size);
    ret->size = size > 0 ? (size_t)size : 0;
    return size > 0;
}

static bool client_is_heard(struct replay *r)
{
    return r->w->client.connected_count == 2 && r->w->server.fin_count == 1;
}

/* The server of the copy cannot know.  That of the client refuses, and the client says it again. */
static void a_copy_that_is_faster_takes_nothing_from_the_client(void **state)
{
    (void)state;
    struct replay *r = replay_create(replay_never_retry);
    replay_first(r, false);
    r->offers_early = true;
    struct spate_conn *conn = replay_connect_with(r, true, NULL);
    replay_say(conn);
    /* What the client sends is held up, while copies go elsewhere. */
    struct pw_sample held[HELD_MAX];
    uint32_t held_count = 0;
    int attacker = pw_udp_socket();
    for (int i = 0; i < 5; i++)
        pw_wait(&r->w->client, 0);
    while (held_count < HELD_MAX && take_held(r, &held[held_count])) {
        (void)sendto(attacker, held[held_count].data, held[held_count].size, 0,
                     (struct sockaddr *)&r->other_address, r->w->address_size);
        held_count++;
    }
    while (r->zero_rtt_count == 0 && held_count > 0)
        pw_wait(&r->other, SB_MS);
    for (uint32_t i = 0; i < held_count; i++)
        (void)send(r->relay->to_server, held[i].data, held[i].size, 0);
    replay_until(r, client_is_heard);
    assert_int_equal(spate_conn_early(conn), SPATE_EARLY_REJECTED);
    assert_int_equal(r->zero_rtt_count, 1);
    assert_int_equal(r->w->server.bytes_in, sizeof(replay_text));
}

/* What looks like 0-RTT of clients whose Initials are still to come. */
static void a_flood_of_0_rtt_holds_little_memory(void **state)
{
    (void)state;
    struct replay *r = replay_create(replay_never_retry);
    replay_first(r, false);
    uint64_t before_bytes = pw_stats(&r->w->server).memory_bytes_now;
    uint64_t begin_ns = pw_now_ns();
    uint8_t packet[DATAGRAM_SIZE_MIN] = {0xd0, 0, 0, 0, 1, 8, [15] = 0x44}; /* the length */
    int fd = pw_udp_socket();
    for (uint32_t i = 0; i < 10 * rounds; i++) {
        memcpy(packet + 6, &i, sizeof(i));
        (void)sendto(fd, packet, sizeof(packet), 0, (struct sockaddr *)&r->w->address,
                     r->w->address_size);
        if (i % 10 == 9)
            replay_turn(r);
        assert_true(pw_stats(&r->w->server).memory_bytes_now - before_bytes <= EARLY_BYTES_MAX);
    }
    struct spate_shard_stats stats = pw_stats(&r->w->server);
    uint64_t windows = (pw_now_ns() - begin_ns) / (100 * SB_MS) + 1;
    assert_in_range(stats.zero_rtt_kept, 1, windows * EARLY_DATAGRAMS_MAX);
    assert_true(stats.unroutable > 0);
    assert_int_equal(stats.conns_accepted, 1);
    r->offers_early = true;
    replay_say(replay_connect_with(r, false, NULL));
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (r->early_bytes < sizeof(replay_text) && pw_now_ns() < end_ns)
        replay_turn(r);
    assert_int_equal(r->early_bytes, sizeof(replay_text));
    print_message("%u packets of nobody: %llu kept, for a moment\n", 10 * rounds,
                  (unsigned long long)stats.zero_rtt_kept);
}

static bool both_are_connected(struct replay *r)
{
    return r->w->client.connected_count == 2 && r->w->server.connected_count == 2;
}

static void copies_of_tokens_prove_nothing(void **state)
{
    (void)state;
    struct replay *r = replay_create(replay_always_retry);
    replay_first(r, true); /* the relay sees the token of its Retry */
    struct spate_conn *conn = replay_connect_with(r, true, NULL);
    replay_until(r, both_are_connected); /* and the one of its NEW_TOKEN */
    assert_int_equal(pw_stats(&r->w->server).retries_sent, 1);
    assert_int_equal(pw_stats(&r->w->server).tokens_accepted, 2);
    replay_end(r, conn);

    struct spate_shard_stats before = pw_stats(&r->w->server);
    for (uint32_t i = 0; i < rounds; i++)
        replay(r, UINT32_MAX, i, false);
    struct spate_shard_stats after = pw_stats(&r->w->server);
    assert_int_equal(after.conns_accepted, before.conns_accepted);
    assert_int_equal(after.tokens_accepted, before.tokens_accepted);
    assert_true(after.datagrams_in - before.datagrams_in >= 3 * (uint64_t)rounds);
    assert_true(after.retries_sent - before.retries_sent >= rounds);
    assert_true(after.bytes_out - before.bytes_out < after.bytes_in - before.bytes_in);
    print_message("%u copies with used tokens: no connection, %llu bytes answered to %llu\n",
                  rounds, (unsigned long long)(after.bytes_out - before.bytes_out),
                  (unsigned long long)(after.bytes_in - before.bytes_in));
}

/* ---- Crowds ---- */

static atomic_uint connected_count; /* clients of all crowds */

static void on_crowd(struct pw_end *end, struct spate_event *event)
{
    struct replay *r = end->context;
    bool is_first =
        event->kind == SPATE_EVENT_EARLY ||
        (event->kind == SPATE_EVENT_CONNECTED && spate_conn_early(event->conn) == SPATE_EARLY_NONE);
    if (r->uses_tickets)
        replay_on_client(end, event);
    else
        pw_default(end, event);
    if (is_first)
        replay_say(event->conn);
    if (event->kind == SPATE_EVENT_CONNECTED) {
        (void)atomic_fetch_add(&connected_count, 1);
        bool is_resumed = spate_conn_is_resumed(event->conn);
        r->resumed_count += is_resumed;
        r->full_count += !is_resumed;
    }
    if (event->kind == SPATE_EVENT_SENT && event->u.sent.is_acked)
        spate_conn_close(event->conn, 0, "done");
    if (event->kind == SPATE_EVENT_CLOSED) {
        r->running_count--;
        r->failed_count += event->u.close.kind != SPATE_CLOSE_APP || !event->u.close.is_local;
    }
}

/* Clients come, say something and go, AT_ONCE at a time, `rounds` in all. */
static void run_crowd(struct replay *r)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS + rounds * 10 * SB_MS;
    r->w->client.on_event = on_crowd;
    r->begun_count = r->resumed_count = r->full_count = 0;
    r->server_cpu_ns = r->w->server.fin_count = r->w->server.bytes_in = 0;
    while (r->begun_count < rounds || r->running_count > 0) {
        while (r->begun_count < rounds && r->running_count < AT_ONCE &&
               replay_connect_with(r, false, NULL) != NULL) {
            r->begun_count++;
            r->running_count++;
        }
        replay_turn(r);
        if (pw_now_ns() > end_ns)
            fail_msg("%u of %u clients have come through", r->begun_count - r->running_count,
                     rounds);
    }
    replay_until(r, replay_nothing_is_left);
    assert_int_equal(r->failed_count, 0);
    assert_int_equal(r->resumed_count + r->full_count, rounds);
    /* What each has said came once: neither lost with a rejected 0-RTT, nor doubled. */
    assert_int_equal(r->w->server.fin_count, rounds);
    assert_int_equal(r->w->server.bytes_in, rounds * sizeof(replay_text));
}

struct rotation {
    struct spate_tls *tls;
    atomic_bool is_over;
    uint32_t count;
};

/* The one before still opens after every second change.  By the count of clients, not by the clock:
 * a ticket is good for as many as are on their way, on a machine of any speed. */
static void *rotate(void *argument)
{
    struct rotation *rotation = argument;
    uint8_t keys[2][SPATE_KEY_SIZE] = {{0}};
    uint32_t changed_at = atomic_load(&connected_count);
    while (!atomic_load(&rotation->is_over)) {
        (void)nanosleep(&(struct timespec){.tv_nsec = 100 * 1000}, NULL);
        if (atomic_load(&connected_count) - changed_at < AT_ONCE)
            continue;
        changed_at += AT_ONCE;
        memcpy(keys[1], keys[0], SPATE_KEY_SIZE);
        keys[0][0] = (uint8_t)++rotation->count;
        keys[0][1] = (uint8_t)(rotation->count >> 8);
        if (spate_tls_set_ticket_keys(rotation->tls, keys, 1 + rotation->count % 2) != 0)
            return rotation;
    }
    return NULL;
}

static void nobody_fails_while_ticket_keys_are_replaced(void **state)
{
    (void)state;
    struct replay *r = replay_create(replay_never_retry);
    struct rotation rotation = {.tls = r->w->server.tls};
    pthread_t thread;
    void *wrong;
    replay_first(r, false);
    r->offers_early = r->uses_tickets = true;
    assert_int_equal(pthread_create(&thread, NULL, rotate, &rotation), 0);
    run_crowd(r);
    atomic_store(&rotation.is_over, true);
    assert_int_equal(pthread_join(thread, &wrong), 0);
    assert_null(wrong);
    print_message("%u changes of keys: %u clients resumed, %u of them with 0-RTT, %u did not\n",
                  rotation.count, r->resumed_count, r->zero_rtt_count, r->full_count);
    assert_true(rotation.count > 2);
    assert_true(r->resumed_count > 0);
    assert_true(r->full_count > 0);
}

/* Damages the server's ticket inside that of the client: an OCTET STRING in the field [10] of a
 * SSL_SESSION, which ends with a MAC.  Its name of a key stays, so that the MAC is computed. */
static void forge(struct replay *r)
{
    for (size_t i = 0; i + 6 < r->ticket_size; i++) {
        const uint8_t *at = r->ticket + i;
        bool is_field = at[0] == 0xaa && at[1] == 0x81 && at[3] == 0x04 && at[4] == 0x81 &&
                        at[2] == at[5] + 3 && i + 6 + at[5] <= r->ticket_size;
        bool is_long = at[0] == 0xaa && at[1] == 0x82 && at[4] == 0x04 && at[5] == 0x82;
        if (is_long && i + 8 < r->ticket_size) {
            size_t size = (size_t)at[6] << 8 | at[7];
            assert_true(i + 8 + size <= r->ticket_size);
            r->ticket[i + 8 + size - 1] ^= 0xff;
            return;
        }
        if (is_field) {
            r->ticket[i + 6 + at[5] - 1] ^= 0xff;
            return;
        }
    }
    fail_msg("no ticket of the server in that of the client");
}

static double cost_us(const struct replay *r)
{
    return (double)r->server_cpu_ns / 1e3 / rounds;
}

static void forged_tickets_cost_little_more_than_none(void **state)
{
    (void)state;
    struct replay *r = replay_create(replay_never_retry);
    replay_first(r, false);
    size_t ticket_size = r->ticket_size;
    r->token_size = 0;
    r->offers_early = true;

    run_crowd(r);
    double resumed_us = cost_us(r);
    assert_int_equal(r->resumed_count, rounds);
    assert_int_equal(r->zero_rtt_count, rounds);

    r->ticket_size = 0;
    run_crowd(r);
    double full_us = cost_us(r);
    assert_int_equal(r->full_count, rounds);

    r->ticket_size = ticket_size;
    forge(r);
    run_crowd(r);
    double forged_us = cost_us(r);
    assert_int_equal(r->full_count, rounds);
    assert_int_equal(r->zero_rtt_count, rounds); /* none more */
    print_message("server's CPU per connection: %.0f us resumed with 0-RTT, %.0f without a ticket, "
                  "%.0f with a forged one\n",
                  resumed_us, full_us, forged_us);
    assert_true(forged_us < FORGED_COST_MAX * full_us);
    struct spate_shard_stats stats = pw_stats(&r->w->server);
    assert_int_equal(stats.conns_now, 0);
    assert_true(stats.memory_bytes_peak < UINT64_C(64) << 20);
}

int main(int argc, char **argv)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, copies_of_0_rtt_are_accepted_once),
        QT_TEST(owned, a_copy_that_is_faster_takes_nothing_from_the_client),
        QT_TEST(owned, a_flood_of_0_rtt_holds_little_memory),
        QT_TEST(owned, copies_of_tokens_prove_nothing),
        QT_TEST(owned, nobody_fails_while_ticket_keys_are_replaced),
        QT_TEST(owned, forged_tickets_cost_little_more_than_none),
    };
    if (argc > 1)
        rounds = (uint32_t)strtoul(argv[1], NULL, 10);
    if (rounds < 10) {
        fprintf(stderr, "usage: attack_replays [ROUNDS]   (at least 10)\n");
        return 2;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
