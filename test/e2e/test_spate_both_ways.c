/* SPDX-License-Identifier: MIT */
/* Both ends of a connection send all they can, over real sockets: neither starves the ACKs of the
 * other, so both get on, and nobody has to probe. */

#include "test/support/spate_world.h"

#include <string.h>

#include "proto/base/time.h"

enum { BYTES = 40000000, CONGESTIONS = SPATE_CONGESTION_PRAGUE + 1 };

static const uint8_t bytes[BYTES];
static enum spate_congestion congestion;
static uint64_t rate;

static void set(struct spate_config *config)
{
    config->congestion = congestion;
    config->conn_rate_bytes_per_s_max = rate;
}

static bool have_arrived(struct pw *w)
{
    return w->server.bytes_in == BYTES && w->client.bytes_in == BYTES;
}

static bool has_one_arrived(struct pw *w)
{
    return w->server.bytes_in == BYTES || w->client.bytes_in == BYTES;
}

static void begin(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, BYTES, true, 1), 0);
}

static void assert_acknowledged(const struct spate_conn *conn)
{
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    print_message("    %lu ACKs sent, %lu received, %lu PTOs, %lu packets lost\n",
                  (unsigned long)stats.acks_out, (unsigned long)stats.acks_in,
                  (unsigned long)stats.ptos, (unsigned long)stats.packets_lost);
    assert_true(stats.ptos * 20 <= stats.acks_in + 60); /* few ACKs had to be asked for by probes */
    assert_true(stats.acks_in > 10);
}

static void run_both_ways(void)
{
    struct pw *w = pw_create(&(struct pw_config){.server = set, .client = set});
    struct spate_conn *conn = pw_connected(w);
    begin(conn);
    begin(w->server.conn);
    pw_until(w, has_one_arrived);
    /* When one direction is over, the other one is on its way.  It may be slower: here both share a
     * thread, and a controller that probes for bandwidth finds what the other one leaves. */
    uint64_t less =
        w->server.bytes_in < w->client.bytes_in ? w->server.bytes_in : w->client.bytes_in;
    print_message("    %lu of %d bytes when the other way was over\n", (unsigned long)less, BYTES);
    assert_true(less > BYTES / 10);
    pw_until(w, have_arrived);
    assert_acknowledged(conn);
    assert_acknowledged(w->server.conn);
}

static void neither_end_starves_the_other(void **state)
{
    (void)state;
    rate = 0;
    for (uint32_t i = 0; i < CONGESTIONS; i++) {
        congestion = (enum spate_congestion)i;
        run_both_ways();
    }
}

/* Paced by a limit, both ends have more to send at any time than they may. */
static void limits_do_not_hold_back_acknowledgments(void **state)
{
    (void)state;
    congestion = SPATE_CONGESTION_CUBIC;
    rate = 40000000;
    run_both_ways();
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, neither_end_starves_the_other),
        QT_TEST(owned, limits_do_not_hold_back_acknowledgments),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
