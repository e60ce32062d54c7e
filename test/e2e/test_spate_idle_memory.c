/* SPDX-License-Identifier: MIT */
/* What a connection takes when nothing goes on, by the slope over many: the resident memory of each
 * end rises by so much per connection, and so does what its shard counts.  The bounds are those of
 * README.md, "Memory", and of <spate/engine.h>.
 *
 * The clients are another process.  Each end has few slots, and all connections rest before it is
 * read: an idle one does after a second, and empty blocks go back in the seconds after it.
 *
 * SPATE_TEST_LONG=1 in the environment takes 20,000 connections instead of 5,000. */

#include "test/support/other_client.h"

#include <malloc.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum {
    FEW = 1000, /* where the slope begins */
    MANY = 5000,
    MANY_IN_LONG = 20000,
    HANDSHAKES = 20, /* at a time */

    /* The contract. */
    IDLE_BYTES_MAX = 8192,
    STREAM_BYTES_MAX = 1024,    /* one open stream more */
    AWAKE_BYTES_MAX = 6 * 1024, /* a connection in use more than an idle one, without its data */
};

#define S_NS UINT64_C(1000000000)

/* In the order in which they are read. */
enum stage { STAGE_FEW, STAGE_MANY, STAGE_STREAMS, STAGE_AWAKE, STAGES };

static uint32_t many(void)
{
    const char *text = getenv("SPATE_TEST_LONG");
    return text != NULL && text[0] == '1' ? MANY_IN_LONG : MANY;
}

static void configure(struct spate_config *config)
{
    config->receive_slots = 16;
    config->transmit_slots = 16;
    config->conns_max = MANY_IN_LONG + 1;
    config->idle_timeout_ns = 0;
    config->handshake_timeout_ns = 0;
}

static void configure_openssl(struct spate_config *config)
{
    configure(config);
    config->crypto = SPATE_CRYPTO_OPENSSL;
}

/* Runs an end until all of its connections rest: nothing changes for longer than it takes one to
 * fall idle, and empty blocks to go back. */
static void run_until_rest(struct pw_end *end)
{
    uint64_t bytes = 0;
    uint64_t since_ns = pw_now_ns();
    uint64_t end_ns = since_ns + 60 * S_NS;
    while (pw_now_ns() < since_ns + 4 * S_NS) {
        pw_wait(end, 50000000);
        if (pw_stats(end).memory_bytes_now != bytes)
            since_ns = pw_now_ns();
        bytes = pw_stats(end).memory_bytes_now;
        if (pw_now_ns() > end_ns)
            return;
    }
}

/* ---- The other process ---- */

static void connect_up_to(struct pw *w, struct spate_conn **conns, uint32_t count)
{
    uint32_t begun = w->client.connected_count;
    while (w->client.connected_count < count) {
        for (; begun < count && begun < w->client.connected_count + HANDSHAKES; begun++)
            conns[begun] = pw_connect(w);
        pw_wait(&w->client, 1000000);
    }
}

/* Each connection sends a byte on a stream of its own, or on that which it has. */
static void send_on_each(struct pw *w, struct spate_conn **conns, uint64_t *ids, bool opens)
{
    for (uint32_t i = 0; i < many(); i++) {
        if (opens && spate_stream_open(conns[i], true, &ids[i]) != 0)
            _exit(2);
        if (spate_stream_send(conns[i], ids[i], "x", 1, false, 0) != 0)
            _exit(3);
        if (i % 8 == 0)
            pw_wait(&w->client, 0);
    }
    while (w->client.sent_count < (opens ? 1 : 2) * many())
        pw_wait(&w->client, 1000000);
}

/* Goes through the stages: begins one when told to, and reports what it reads at its end. */
static void run_client(struct pw *w, const int *pipes)
{
    int from_server = pipes[0], to_server = pipes[3];
    static struct spate_conn *conns[MANY_IN_LONG];
    static uint64_t ids[MANY_IN_LONG];
    for (enum stage stage = STAGE_FEW; stage < STAGES; stage++) {
        if (stage <= STAGE_MANY)
            connect_up_to(w, conns, stage == STAGE_FEW ? FEW : many());
        else
            send_on_each(w, conns, ids, stage == STAGE_STREAMS);
        if (stage != STAGE_AWAKE)
            run_until_rest(&w->client);
        struct memory_reading reading = memory_read(&w->client);
        char go;
        if (write(to_server, &reading, sizeof(reading)) != sizeof(reading) ||
            read(from_server, &go, 1) != 1)
            _exit(4);
    }
    for (;;)
        pw_wait(&w->client, 100000000);
}

/* ---- This one ---- */

/* Serves until the client reports. */
static struct memory_reading serve_until_report(struct pw *w, int from_client)
{
    struct memory_reading reading;
    uint64_t end_ns = pw_now_ns() + 120 * S_NS;
    struct pollfd poll_fd = {.fd = from_client, .events = POLLIN};
    while (poll(&poll_fd, 1, 0) == 0) {
        pw_wait(&w->server, 1000000);
        assert_true(pw_now_ns() < end_ns);
    }
    assert_int_equal(read(from_client, &reading, sizeof(reading)), sizeof(reading));
    return reading;
}

/* Prints what a connection takes from `before` to `after`, and holds it to the bound. */
static void judge(const char *who, const char *what, struct memory_reading before,
                  struct memory_reading after, uint32_t count, int64_t bytes_max)
{
    int64_t resident = (after.resident_bytes - before.resident_bytes) / count;
    int64_t counted = (after.counted_bytes - before.counted_bytes) / count;
    print_message("%s, %s: %lld bytes resident, %lld counted; at most %lld\n", who, what,
                  (long long)resident, (long long)counted, (long long)bytes_max);
    assert_true(resident <= bytes_max);
    assert_true(counted <= bytes_max);
}

static void judge_all(const char *who, const struct memory_reading at[STAGES])
{
    judge(who, "idle", at[STAGE_FEW], at[STAGE_MANY], many() - FEW, IDLE_BYTES_MAX);
    judge(who, "a stream", at[STAGE_MANY], at[STAGE_STREAMS], many(), STREAM_BYTES_MAX);
    judge(who, "in use", at[STAGE_STREAMS], at[STAGE_AWAKE], many(), AWAKE_BYTES_MAX);
}

static bool is_served(struct pw *w)
{
    return w->server.connected_count == many();
}

static void measure(void (*config_of)(struct spate_config *))
{
    int pipes[4];
    (void)malloc_trim(0);
    struct pw *w = pw_create(&(struct pw_config){.server = config_of, .client = config_of});
    assert_int_equal(pipe(pipes), 0);
    assert_int_equal(pipe(pipes + 2), 0);
    for (int i = 0; i < 4; i++)
        (void)owned_fd(pipes[i]);
    other_client_start(w, config_of, run_client, pipes);

    struct memory_reading server[STAGES], client[STAGES];
    for (enum stage stage = STAGE_FEW; stage < STAGES; stage++) {
        client[stage] = serve_until_report(w, pipes[2]);
        if (stage != STAGE_AWAKE)
            run_until_rest(&w->server);
        server[stage] = memory_read(&w->server);
        assert_int_equal(write(pipes[1], "", 1), 1);
    }
    assert_true(is_served(w));
    judge_all("server", server);
    judge_all("client", client);
}

static void an_idle_connection_takes_what_was_promised(void **state)
{
    (void)state;
    measure(configure);
}

static void with_openssl_it_takes_no_more(void **state)
{
    (void)state;
    measure(configure_openssl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, an_idle_connection_takes_what_was_promised),
        QT_TEST(owned, with_openssl_it_takes_no_more),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
