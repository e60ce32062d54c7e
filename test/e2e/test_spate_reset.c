/* SPDX-License-Identifier: MIT */
/* Stateless Resets: those of a server that was killed are believed, those of others are not. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

/* ---- Two shards on one port ---- */

#define SHARD_AT 2 /* in a packet with a short header: engine/net/stray.h */

static void two_shards(struct spate_config *config)
{
    config->shard_count = 2;
}

static void turn_shard(struct spate_shard *shard)
{
    struct spate_event events[32];
    assert_true(spate_shard_turn(shard, 0) >= 0);
    while (spate_shard_events(shard, events, QT_COUNT(events)) > 0)
        continue;
}

static uint64_t resets_of(struct spate_shard *shard)
{
    struct spate_shard_stats stats;
    spate_shard_stats(shard, &stats);
    return stats.stateless_resets;
}

/* Sends the client's packet to the port once more, from a port of its own; returns the size of the
 * answer, 0 if there is none. */
static size_t ask(struct pw *w, struct spate_shard *other, const struct pw_sample *packet,
                  uint8_t *answer)
{
    int fd = pw_udp_socket();
    assert_int_equal(connect(fd, (const struct sockaddr *)&w->address, w->address_size), 0);
    assert_int_equal(send(fd, packet->data, packet->size, 0), packet->size);
    ssize_t size = -1;
    for (int i = 0; i < 20 && size <= 0; i++) {
        pw_turn(w);
        turn_shard(other);
        size = recv(fd, answer, PW_DATAGRAM_MAX, 0);
    }
    return size > 0 ? (size_t)size : 0;
}

static const struct pw_sample *last_short(const struct pw_relay *relay)
{
    for (uint32_t i = relay->sample_count; i > 0; i--)
        if ((relay->samples[i - 1].data[0] & 0x80) == 0)
            return &relay->samples[i - 1];
    fail_msg("the client sent no 1-RTT packet");
    return NULL;
}

/* [RFC9000 21.11] Whoever has seen a CID asks a shard that does not have the connection for its
 * token, from many ports, and hands the answers to the client.  The CID brings them to its own
 * shard; one that differs in the shard alone brings them to the other one. */
static void another_shard_does_not_betray_the_token(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){.server = two_shards});
    struct pw_relay *relay = pw_relay_create(w);
    struct spate_conn *conn = pw_connect_through(w, relay);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while ((w->client.connected_count == 0 || w->server.connected_count == 0) &&
           pw_now_ns() < end_ns) {
        pw_turn(w);
        pw_relay_pass(relay);
    }
    uint64_t id;
    assert_int_equal(w->server.connected_count, 1);
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    for (int i = 0; i < 100; i++) {
        pw_turn(w);
        pw_relay_pass(relay);
    }
    assert_int_equal(spate_stream_send(conn, id, "hello", 5, false, 0), 0);
    for (int i = 0; i < 100; i++) {
        pw_turn(w);
        pw_relay_pass(relay);
    }

    /* Now a second shard listens on the port. */
    struct spate_shard *other = spate_engine_shard(w->server.engine, 1);
    struct spate_listener *listener;
    struct spate_error error = {""};
    if (spate_shard_listen(other, (struct sockaddr *)&w->address, w->address_size, w->server.tls,
                           NULL, &listener, &error) != 0)
        fail_msg("%s", error.text);

    struct pw_sample packet = *last_short(relay);
    packet.data[0] |= 0x40; /* [RFC9287 3.1] without it a packet of nobody has no answer */
    uint32_t answer_count = 0;
    for (int i = 0; i < 60; i++) {
        uint8_t answer[PW_DATAGRAM_MAX];
        packet.data[SHARD_AT] = (uint8_t)(i % 2); /* the shard that the CID names */
        size_t size = ask(w, other, &packet, answer);
        if (size == 0)
            continue;
        assert_int_equal(i % 2, 1);
        answer_count++;
        assert_int_equal(sendto(relay->to_client, answer, size, 0,
                                (struct sockaddr *)&relay->client, relay->client_size),
                         size);
        pw_turn(w);
        assert_int_equal(w->client.closed_count, 0);
    }
    assert_true(answer_count > 0);
    assert_int_equal(resets_of(other), answer_count);

    /* Nor do its own packets. */
    assert_int_equal(spate_stream_send(conn, id, "again", 5, true, 0), 0);
    for (int i = 0; i < 1000; i++) {
        pw_turn(w);
        turn_shard(other);
        pw_relay_pass(relay);
    }
    assert_int_equal(w->client.closed_count, 0);
}

/* ---- A server process that is killed and started again ---- */

static const uint8_t reset_key[SPATE_KEY_SIZE] = "a key that outlives the process";

struct process {
    pid_t pid;
    int from; /* its words */
};

/* What the process says once. */
struct word {
    int result; /* of spate_shard_listen() */
    uint16_t port;
    uint64_t listen_ns;
};

static void say(int to, const struct word *word)
{
    if (write(to, word, sizeof(*word)) != (ssize_t)sizeof(*word))
        _exit(3);
}

/* The process: serves until it is killed. */
static void serve(const struct pw *w, const uint8_t *key, uint16_t port, int to)
{
    struct spate_config config;
    struct spate_engine *engine;
    struct spate_listener *listener;
    struct spate_event event;
    struct word word = {0};
    socklen_t size;
    struct sockaddr_storage address = pw_loopback(false, port, &size);
    spate_config_init(&config);
    config.backend = pw_backend();
    if (key != NULL)
        memcpy(config.reset_key, key, SPATE_KEY_SIZE);
    if (spate_engine_create(&config, &engine, NULL) != 0)
        _exit(2);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    if (spate_shard_turn(shard, 0) < 0)
        _exit(2);
    uint64_t begin_ns = pw_now_ns();
    word.result = spate_shard_listen(shard, (struct sockaddr *)&address, size, w->server.tls, NULL,
                                     &listener, NULL);
    word.listen_ns = pw_now_ns() - begin_ns;
    if (word.result == 0 && spate_listener_address(listener, &address, &size) == 0)
        word.port = ntohs(((struct sockaddr_in *)&address)->sin_port);
    say(to, &word);
    while (word.result == 0 && spate_shard_turn(shard, SPATE_FOREVER) >= 0)
        while (spate_shard_events(shard, &event, 1) > 0)
            continue;
    _exit(1);
}

static void end_process(void *object)
{
    struct process *process = object;
    if (process->pid > 0) {
        (void)kill(process->pid, SIGKILL);
        (void)waitpid(process->pid, NULL, 0);
    }
    process->pid = 0;
    if (process->from >= 0)
        (void)close(process->from);
    process->from = -1;
}

static struct process *make_process(void)
{
    struct process *process = owned_alloc(sizeof(*process));
    process->from = -1;
    return owned_add(process, end_process);
}

static struct word start(struct process *process, const struct pw *w, const uint8_t *key,
                         uint16_t port)
{
    int pipe_fds[2];
    struct word word;
    assert_int_equal(pipe2(pipe_fds, O_CLOEXEC), 0);
    process->pid = fork();
    assert_true(process->pid >= 0);
    if (process->pid == 0) {
        (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
        /* The client's ring and sockets are not for it. */
        if (dup2(pipe_fds[1], 3) != 3 || close_range(4, ~0u, 0) != 0)
            _exit(2);
        serve(w, key, port, 3);
    }
    (void)close(pipe_fds[1]);
    process->from = pipe_fds[0];
    assert_int_equal(read(process->from, &word, sizeof(word)), sizeof(word));
    return word;
}

/* A world whose server is another process. */
static struct pw *make_client(void)
{
    struct pw *w = owned_alloc(sizeof(*w));
    struct spate_config config;
    struct spate_error error = {""};
    (void)owned_add(w, pw_deinit);
    pw_make_tls(w);
    spate_config_init(&config);
    config.backend = pw_backend();
    if (spate_engine_create(&config, &w->client.engine, &error) != 0)
        fail_msg("%s", error.text);
    w->client.shard = spate_engine_shard(w->client.engine, 0);
    w->client.name = "client";
    return w;
}

static bool is_connected(struct pw *w)
{
    return w->client.conn != NULL;
}

static bool is_acked(struct pw *w)
{
    return w->client.sent_count > 0;
}

/* Connects, and waits for an acknowledgment: HANDSHAKE_DONE comes with it or before.  Without that
 * a client repeats Handshake packets, and nothing answers their long headers. */
static struct spate_conn *connect_to(struct pw *w, uint16_t port)
{
    uint64_t id;
    w->address = pw_loopback(false, port, &w->address_size);
    struct spate_conn *conn = pw_connect(w);
    pw_until(w, is_connected);
    w->client.sent_count = 0;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, "hello", 5, true, 0), 0);
    pw_until(w, is_acked);
    return conn;
}

/* Sends a few bytes; returns the time until the connection closed, UINT64_MAX if it did not within
 * `patience_ns`. */
static uint64_t time_until_closed(struct pw *w, struct spate_conn *conn, uint64_t patience_ns)
{
    uint64_t id;
    uint32_t closed_before = w->client.closed_count;
    uint64_t begin_ns = pw_now_ns();
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, "still there?", 12, true, 0), 0);
    while (w->client.closed_count == closed_before) {
        pw_wait(&w->client, 1000000);
        if (pw_now_ns() - begin_ns > patience_ns)
            return UINT64_MAX;
    }
    return pw_now_ns() - begin_ns;
}

/* A supervisor starts the server again as soon as it is dead: it gets the port, each time, and its
 * former clients learn of the restart with their next packet. */
static void a_killed_server_comes_back_and_its_clients_learn_that(void **state)
{
    (void)state;
    enum { ROUNDS = 20 };
    struct pw *w = make_client();
    uint64_t listen_ns_max = 0;
    uint64_t reset_ns_max = 0;
    struct process *server = make_process();
    struct word word = start(server, w, reset_key, 0);
    assert_int_equal(word.result, 0);
    uint16_t port = word.port;
    for (uint32_t i = 0; i < ROUNDS; i++) {
        struct spate_conn *conn = connect_to(w, port);
        end_process(server);
        word = start(server, w, reset_key, port);
        assert_int_equal(word.result, 0);
        listen_ns_max = word.listen_ns > listen_ns_max ? word.listen_ns : listen_ns_max;

        uint64_t reset_ns = time_until_closed(w, conn, PW_PATIENCE_NS);
        assert_int_equal(w->client.close.kind, SPATE_CLOSE_STATELESS_RESET);
        assert_false(w->client.close.is_local);
        assert_true(reset_ns < UINT64_C(2000000000));
        reset_ns_max = reset_ns > reset_ns_max ? reset_ns : reset_ns_max;
    }
    print_message("listening took up to %.1f ms, the reset up to %.1f ms\n",
                  (double)listen_ns_max / 1e6, (double)reset_ns_max / 1e6);
}

/* Without a key in the configuration each process has its own, and its resets mean nothing. */
static void a_server_without_a_key_cannot_end_the_connections_of_the_former_one(void **state)
{
    (void)state;
    struct pw *w = make_client();
    struct process *server = make_process();
    struct word word = start(server, w, NULL, 0);
    assert_int_equal(word.result, 0);
    struct spate_conn *conn = connect_to(w, word.port);
    end_process(server);
    word = start(server, w, NULL, word.port);
    assert_int_equal(word.result, 0);
    assert_true(time_until_closed(w, conn, 300000000) == UINT64_MAX);
}

/* A port that is really taken is refused with the same words as ever, a second
 * later. */
static void a_port_that_stays_taken_is_refused_in_time(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_listener *listener = NULL;
    struct spate_error error = {""};
    uint64_t begin_ns = pw_now_ns();
    assert_int_equal(spate_shard_listen(w->client.shard, (struct sockaddr *)&w->address,
                                        w->address_size, w->server.tls, NULL, &listener, &error),
                     -EADDRINUSE);
    uint64_t waited_ns = pw_now_ns() - begin_ns;
    assert_non_null(strstr(error.text, "bind failed: Address already in use"));
    assert_in_range(waited_ns, UINT64_C(1000000000), UINT64_C(5000000000));
    assert_null(listener);
    (void)pw_connected(w); /* the one that has it still works */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, another_shard_does_not_betray_the_token),
        QT_TEST(owned, a_killed_server_comes_back_and_its_clients_learn_that),
        QT_TEST(owned, a_server_without_a_key_cannot_end_the_connections_of_the_former_one),
        QT_TEST(owned, a_port_that_stays_taken_is_refused_in_time),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
