/* SPDX-License-Identifier: MIT */
/* Careful resume of a path, through the public API, over real sockets. */

#include "test/support/spate_world.h"

#include <string.h>
#include <unistd.h>

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

/* What a round trip carries decides what is kept.  With turns this far apart that is a window, how
 * fast the machine may be: handshakes take as long as full windows do. */
static void slowly_until(struct pw *w, bool (*is_done)(struct pw *w))
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_done(w)) {
        assert_true(pw_now_ns() < end_ns);
        (void)usleep(2000);
        pw_turn(w);
    }
}

static bool both_are_connected(struct pw *w)
{
    return w->client.conn != NULL && w->server.conn != NULL;
}

static struct spate_conn *connected(struct pw *w)
{
    w->server.conn = w->client.conn = NULL;
    struct spate_conn *conn = pw_connect(w);
    slowly_until(w, both_are_connected);
    return conn;
}

static void send_all(struct pw *w, struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, BYTES, true, 1), 0);
    wanted += BYTES;
    slowly_until(w, has_arrived);
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
    struct spate_conn *first = connected(w);
    send_all(w, first);
    assert_int_equal(phase_of(first), SPATE_RESUME_NONE);
    close_it(w, first);

    struct spate_conn *second = connected(w), *third = connected(w);
    assert_int_equal(phase_of(second), SPATE_RESUME_RECONNAISSANCE);
    assert_int_equal(phase_of(third), SPATE_RESUME_NONE);
    close_it(w, second);
    struct spate_conn *fourth = connected(w);
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
        struct spate_conn *first = connected(w);
        send_all(w, first);
        close_it(w, first);
        pw_for(w, keep_ns);
        assert_int_equal(phase_of(connected(w)), SPATE_RESUME_NONE);
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
