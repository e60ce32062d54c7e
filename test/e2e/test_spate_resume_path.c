/* SPDX-License-Identifier: MIT */
/* Careful resume of a path, through the public API, over real sockets. */

#include "test/support/spate_world.h"

#include <string.h>

#include "proto/base/time.h"

enum { BYTES = 4000000 };

static const uint8_t bytes[BYTES];
static uint64_t keep_ns, wanted;

static void set(struct spate_config *config)
{
    config->resume_path_ns = keep_ns;
}

static bool has_arrived(struct pw *w)
{
    return w->server.bytes_in >= wanted;
}

static uint64_t phase_of(const struct spate_conn *conn)
{
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    return stats.resume_phase;
}

static void send_all(struct pw *w, struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, BYTES, true, 1), 0);
    wanted += BYTES;
    pw_until(w, has_arrived);
}

static void close_it(struct pw *w, struct spate_conn *conn)
{
    uint32_t before = w->client.closed_count;
    spate_conn_close(conn, 0, NULL);
    for (uint32_t i = 0; i < 100 && w->client.closed_count == before; i++)
        pw_for(w, 10 * SB_MS);
    assert_int_equal(w->client.closed_count, before + 1);
    pw_for(w, 10 * SB_MS); /* it is freed in the turn after that */
}

/* The first connection knows nothing.  Of those that follow it one at a time has what was measured:
 * an idle one leaves it to the next. */
static void later_connections_resume_the_path(void **state)
{
    (void)state;
    keep_ns = 60 * SB_S;
    wanted = 0;
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    struct spate_conn *first = pw_connected(w);
    send_all(w, first);
    assert_int_equal(phase_of(first), SPATE_RESUME_NONE);
    close_it(w, first);

    struct spate_conn *second = pw_connected(w), *third = pw_connected(w);
    assert_int_equal(phase_of(second), SPATE_RESUME_RECONNAISSANCE);
    assert_int_equal(phase_of(third), SPATE_RESUME_NONE);
    close_it(w, second);
    struct spate_conn *fourth = pw_connected(w);
    assert_int_equal(phase_of(fourth), SPATE_RESUME_RECONNAISSANCE);
    send_all(w, fourth);
    print_message("    phase at the end: %lu\n", (unsigned long)phase_of(fourth));
    assert_in_range(phase_of(fourth), SPATE_RESUME_RECONNAISSANCE, SPATE_RESUME_RETREATED);
}

/* The default; and a path that is older than the setting allows. */
static void what_is_not_wanted_or_too_old_is_not_resumed(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 2; i++) {
        keep_ns = i == 0 ? 0 : SB_S;
        wanted = 0;
        struct pw *w = pw_create(&(struct pw_config){.client = set});
        struct spate_conn *first = pw_connected(w);
        send_all(w, first);
        close_it(w, first);
        pw_for(w, keep_ns);
        assert_int_equal(phase_of(pw_connected(w)), SPATE_RESUME_NONE);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, later_connections_resume_the_path),
        QT_TEST(owned, what_is_not_wanted_or_too_old_is_not_resumed),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
