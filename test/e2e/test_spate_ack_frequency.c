/* SPDX-License-Identifier: MIT */
/* ACK frequency over real sockets: draft-ietf-quic-ack-frequency. */

#include "test/support/spate_world.h"

enum { TRANSFER_SIZE = 4000000 };

static uint8_t bytes[TRANSFER_SIZE];

/* What the next pair of engines gets. */
static bool server_has, client_has;

static void server_config(struct spate_config *config)
{
    config->ack_frequency = server_has;
}

static void client_config(struct spate_config *config)
{
    config->ack_frequency = client_has;
}

static bool has_arrived(struct pw *w)
{
    return w->server.bytes_in >= sizeof(bytes) && w->server.fin_count > 0;
}

/* The client sends in bulk: its window grows beyond what needs no frame. */
static void each_side_asks_for_acks_if_both_have_the_extension(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        server_has = (i & 1) != 0;
        client_has = (i & 2) != 0;
        struct pw *w =
            pw_create(&(struct pw_config){.server = server_config, .client = client_config});
        struct spate_conn *conn = pw_connected(w);
        uint64_t id;
        assert_int_equal(spate_stream_open(conn, true, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, bytes, sizeof(bytes), true, 1), 0);
        pw_until(w, has_arrived);
        struct spate_conn_stats client, server;
        spate_conn_stats(conn, &client);
        spate_conn_stats(w->server.conn, &server);
        print_message("    server %d, client %d: %d frames, %d ACKs of %d packets\n", server_has,
                      client_has, (int)client.ack_frequencies_out, (int)server.acks_out,
                      (int)server.packets_in);
        assert_int_equal(client.ack_frequencies_out > 0, server_has && client_has);
        /* The last one may be under way when all has arrived. */
        assert_int_equal(server.ack_frequencies_in > 0, server_has && client_has);
        assert_true(server.ack_frequencies_in <= client.ack_frequencies_out);
        assert_int_equal(server.ack_frequencies_out, 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_side_asks_for_acks_if_both_have_the_extension),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
