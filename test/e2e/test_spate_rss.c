/* SPDX-License-Identifier: MIT */
/* The budget is what the process shows: memory_bytes_now rises with the connections as the resident
 * memory does.
 *
 * The clients are another process, so that each role is compared by itself.  The slots, which are
 * not part of the budget, are few and warm before the comparison begins. */

#include "test/support/other_client.h"

#include <malloc.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define SECOND_NS UINT64_C(1000000000)

enum {
    CONNS_WARM = 300,
    CONNS = 2000,    /* besides those */
    HANDSHAKES = 20, /* at a time: what OpenSSL frees after one, the next one uses */
    PERCENT_MAX = 10,
};

static void few_slots(struct spate_config *config)
{
    config->receive_slots = 16;
    config->transmit_slots = 16;
    config->idle_timeout_ns = 0;
    config->handshake_timeout_ns = 0;
    /* No connection rests meanwhile, which it does after three PTOs: on a slow machine only a part
     * of them would, and what OpenSSL frees then lies between what others have. */
    config->ack_delay_ns_max = 10 * SECOND_NS;
}

static void openssl(struct spate_config *config)
{
    few_slots(config);
    config->crypto = SPATE_CRYPTO_OPENSSL;
}

static struct memory_reading rise(struct memory_reading before, struct memory_reading after)
{
    return (struct memory_reading){
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
static void run_client(struct pw *w, const int *to_server)
{
    connect_up_to(w, CONNS_WARM);
    struct memory_reading before = memory_read(&w->client);
    connect_up_to(w, CONNS_WARM + CONNS);
    pw_for(w, 100000000);
    struct memory_reading rose = rise(before, memory_read(&w->client));
    assert_int_equal(write(*to_server, &rose, sizeof(rose)), sizeof(rose));
    for (;;)
        pw_wait(&w->client, 100000000);
}

static void compare(const char *who, struct memory_reading rose)
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
    int ends[2];
    (void)malloc_trim(0); /* what an earlier test has freed would be used again */
    struct pw *w = pw_create(&(struct pw_config){.server = config_of, .client = config_of});
    assert_int_equal(pipe(ends), 0);
    (void)owned_fd(ends[0]);
    (void)owned_fd(ends[1]);
    other_client_start(w, config_of, run_client, &ends[1]);

    pw_until(w, is_warm);
    struct memory_reading before = memory_read(&w->server);
    pw_until(w, has_all);
    pw_for(w, 100000000);
    struct memory_reading server = rise(before, memory_read(&w->server));
    struct memory_reading client;
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
