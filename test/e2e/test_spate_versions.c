/* SPDX-License-Identifier: MIT */
/* Versions, grease and key updates over real sockets.  RFC 9368, RFC 9369, RFC 9287, RFC 9001 6. */

#include "test/support/spate_world.h"

#include <errno.h>

#define V1 UINT32_C(1)
#define V2 UINT32_C(0x6b3343cf)

/* What the next pair of engines gets. */
static enum spate_versions server_versions, client_versions;
static bool greases, spins;
static uint64_t key_update_packets;

static void server_config(struct spate_config *config)
{
    config->versions = server_versions;
    config->grease = greases;
    config->spin_bit = spins;
}

static void client_config(struct spate_config *config)
{
    config->versions = client_versions;
    config->grease = true;
    config->key_update_packets = key_update_packets;
}

static struct pw *make(enum spate_versions client, enum spate_versions server)
{
    client_versions = client;
    server_versions = server;
    return pw_create(&(struct pw_config){.server = server_config, .client = client_config});
}

static const uint8_t text[200000] =
    "bytes that are sent in the version and with the keys of the day";

static bool has_arrived(struct pw *w)
{
    return w->server.bytes_in >= sizeof(text) && w->server.fin_count > 0;
}

/* Sends a stream of 200,000 bytes to the server. */
static void transfer(struct pw *w, struct spate_conn *conn)
{
    uint64_t id;
    w->server.bytes_in = w->server.fin_count = 0;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, text, sizeof(text), true, 1), 0);
    pw_until(w, has_arrived);
}

static void both_sides_agree_on_a_version(void **state)
{
    (void)state;
    static const struct {
        enum spate_versions client;
        enum spate_versions server;
        uint32_t version;
        uint64_t refusals; /* Version Negotiation packets */
    } rows[] = {
        {SPATE_VERSIONS_BOTH, SPATE_VERSIONS_BOTH, V1, 0},
        {SPATE_VERSIONS_BOTH, SPATE_VERSIONS_PREFER_2, V2, 0},
        {SPATE_VERSIONS_PREFER_2, SPATE_VERSIONS_BOTH, V2, 0},
        {SPATE_VERSIONS_PREFER_2, SPATE_VERSIONS_ONLY_1, V1, 0},
        {SPATE_VERSIONS_BEGIN_2, SPATE_VERSIONS_BOTH, V2, 0},
        {SPATE_VERSIONS_BEGIN_2, SPATE_VERSIONS_ONLY_1, V1, 1},
        {SPATE_VERSIONS_BOTH, SPATE_VERSIONS_ONLY_2, V2, 1},
        {SPATE_VERSIONS_ONLY_1, SPATE_VERSIONS_PREFER_2, V1, 0},
        {SPATE_VERSIONS_ONLY_2, SPATE_VERSIONS_BOTH, V2, 0},
    };
    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        print_message("    client %d, server %d\n", (int)rows[i].client, (int)rows[i].server);
        greases = i % 2 == 0;
        spins = i % 3 == 0;
        struct pw *w = make(rows[i].client, rows[i].server);
        struct spate_conn *conn = pw_connect(w);
        assert_int_equal(spate_conn_version(conn), 0);
        conn = pw_connected(w);
        transfer(w, conn);
        assert_int_equal(spate_conn_version(conn), rows[i].version);
        assert_int_equal(spate_conn_version(w->server.conn), rows[i].version);
        assert_true(pw_stats(&w->server).version_negotiations >= rows[i].refusals);
        assert_true(rows[i].refusals > 0 || pw_stats(&w->server).version_negotiations == 0);
    }
}

static bool is_closed(struct pw *w)
{
    return w->client.closed_count > 0;
}

static void without_a_common_version_there_is_no_connection(void **state)
{
    (void)state;
    struct pw *w = make(SPATE_VERSIONS_ONLY_2, SPATE_VERSIONS_ONLY_1);
    (void)pw_connect(w);
    pw_until(w, is_closed);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_VERSION);
}

/* [RFC9001 6] Either side may, at any time; what cannot be done yet is done later. */
static void keys_are_updated_on_demand(void **state)
{
    (void)state;
    key_update_packets = 0;
    greases = true;
    struct pw *w = make(SPATE_VERSIONS_BEGIN_2, SPATE_VERSIONS_BOTH);
    struct spate_conn *conn = pw_connected(w);
    for (uint64_t i = 1; i <= 6; i++) {
        struct spate_conn *side = i % 2 == 0 ? conn : w->server.conn;
        for (int k = 0; k < 2; k++)
            assert_int_equal(spate_conn_update_keys(side), 0);
        struct spate_conn_stats client, server;
        do { /* one that must wait for an ACK happens later */
            transfer(w, conn);
            spate_conn_stats(conn, &client);
            spate_conn_stats(w->server.conn, &server);
        } while (client.key_updates + server.key_updates < 3 * i);
        /* The side that begins counts its own and the peer's, the other one both as one. */
        assert_int_equal(client.key_updates, i + i / 2);
        assert_int_equal(server.key_updates, i + (i + 1) / 2);
    }
    spate_conn_close(conn, 0, NULL);
    assert_int_equal(spate_conn_update_keys(conn), -ENOTCONN);
}

static void keys_are_updated_by_count(void **state)
{
    (void)state;
    key_update_packets = 100;
    struct pw *w = make(SPATE_VERSIONS_BOTH, SPATE_VERSIONS_BOTH);
    struct spate_conn *conn = pw_connected(w);
    for (int i = 0; i < 20; i++)
        transfer(w, conn);
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    assert_in_range(stats.key_updates, 4, 2 * (stats.packets_out / 100));
    key_update_packets = 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, both_sides_agree_on_a_version),
        QT_TEST(owned, without_a_common_version_there_is_no_connection),
        QT_TEST(owned, keys_are_updated_on_demand),
        QT_TEST(owned, keys_are_updated_by_count),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
