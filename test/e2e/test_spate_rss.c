/* SPDX-License-Identifier: MIT */
/* The budget is what the process shows: memory_bytes_now rises with the connections as the resident
 * memory does.
 *
 * The clients are another process, so that each role is compared by itself.  The slots, which are
 * not part of the budget, are few and warm before the comparison begins. */

#include "test/support/spate_world.h"

#include <malloc.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/wait.h>
#include <unistd.h>

enum {
    CONNS_WARM = 300,
    CONNS = 2000,    /* besides those */
    HANDSHAKES = 20, /* at a time: what OpenSSL frees after one, the next one uses */
    PERCENT_MAX = 10,
};

/* What is compared: bytes of a process, and of its shard's budget. */
struct reading {
    int64_t resident_bytes;
    int64_t counted_bytes;
};

static void few_slots(struct spate_config *config)
{
    config->receive_slots = 16;
    config->transmit_slots = 16;
    config->idle_timeout_ns = 0;
    config->handshake_timeout_ns = 0;
}

static void openssl(struct spate_config *config)
{
    few_slots(config);
    config->crypto = SPATE_CRYPTO_OPENSSL;
}

static struct reading read_now(const struct pw_end *end)
{
    unsigned long size = 0, resident = 0;
    (void)malloc_trim(0); /* what OpenSSL has freed after handshakes is not counted */
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%lu %lu", &size, &resident), 2);
    assert_int_equal(fclose(file), 0);
    return (struct reading){
        .resident_bytes = (int64_t)resident * sysconf(_SC_PAGESIZE),
        .counted_bytes = (int64_t)pw_stats(end).memory_bytes_now,
    };
}

static struct reading rise(struct reading before, struct reading after)
{
    return (struct reading){
        .resident_bytes = after.resident_bytes - before.resident_bytes,
        .counted_bytes = after.counted_bytes - before.counted_bytes,
    };
}

static void connect_up_to(struct pw *w, uint32_t count)
{
    uint64_t patience_ns = pw_now_ns() + 3 * PW_PATIENCE_NS;
    uint32_t begun = w->client.connected_count;
    while (w->client.connected_count < count) {
        for (; begun < count && begun < w->client.connected_count + HANDSHAKES; begun++)
            (void)pw_connect(w);
        pw_wait(&w->client, 1000000);
        assert_true(pw_now_ns() < patience_ns);
    }
}

/* The other process: connects, and writes what that took.  `w` has only a client. */
static void run_client(struct pw *w, int to_server)
{
    connect_up_to(w, CONNS_WARM);
    struct reading before = read_now(&w->client);
    connect_up_to(w, CONNS_WARM + CONNS);
    pw_for(w, 100000000);
    struct reading rose = rise(before, read_now(&w->client));
    assert_int_equal(write(to_server, &rose, sizeof(rose)), sizeof(rose));
    for (;;)
        pw_wait(&w->client, 100000000);
}

/* Ends with the test, and does not run its tear-down. */
static pid_t start_client(const struct pw *w, void (*config_of)(struct spate_config *),
                          int to_server)
{
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid != 0)
        return pid;
    static struct pw own;
    struct spate_config config;
    struct spate_error error = {""};
    spate_config_init(&config);
    config_of(&config);
    config.backend = pw_backend();
    own = (struct pw){.client = {.name = "client", .tls = w->client.tls},
                      .address = w->address,
                      .address_size = w->address_size};
    if (spate_engine_create(&config, &own.client.engine, &error) != 0)
        _exit(1);
    own.client.shard = spate_engine_shard(own.client.engine, 0);
    run_client(&own, to_server);
    _exit(0);
}

static void stop_client(void *pid)
{
    (void)kill(*(pid_t *)pid, SIGKILL);
    (void)waitpid(*(pid_t *)pid, NULL, 0);
}

static void compare(const char *who, struct reading rose)
{
    print_message("%s: %lld bytes resident and %lld counted per connection\n", who,
                  (long long)rose.resident_bytes / CONNS, (long long)rose.counted_bytes / CONNS);
    int64_t difference = rose.resident_bytes - rose.counted_bytes;
    assert_true(rose.resident_bytes > 0);
    assert_true(llabs(difference) * 100 <= PERCENT_MAX * rose.resident_bytes);
}

static bool is_warm(struct pw *w)
{
    return w->server.connected_count >= CONNS_WARM;
}

static bool has_all(struct pw *w)
{
    return w->server.connected_count == CONNS_WARM + CONNS;
}

static void compare_both(void (*config_of)(struct spate_config *))
{
    static pid_t pid;
    int ends[2];
    (void)malloc_trim(0); /* what an earlier test has freed would be used again */
    struct pw *w = pw_create(&(struct pw_config){.server = config_of, .client = config_of});
    assert_int_equal(pipe(ends), 0);
    (void)owned_fd(ends[0]);
    (void)owned_fd(ends[1]);
    pid = start_client(w, config_of, ends[1]);
    (void)owned_add(&pid, stop_client);

    pw_until(w, is_warm);
    struct reading before = read_now(&w->server);
    pw_until(w, has_all);
    pw_for(w, 100000000);
    struct reading server = rise(before, read_now(&w->server));
    struct reading client;
    assert_int_equal(read(ends[0], &client, sizeof(client)), sizeof(client));
    compare("server", server);
    compare("client", client);
}

static void the_budget_is_what_the_process_shows(void **state)
{
    (void)state;
    compare_both(few_slots);
}

static void the_budget_is_what_the_process_shows_with_openssl_alone(void **state)
{
    (void)state;
    compare_both(openssl);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, the_budget_is_what_the_process_shows),
        QT_TEST(owned, the_budget_is_what_the_process_shows_with_openssl_alone),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
