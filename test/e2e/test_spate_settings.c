/* SPDX-License-Identifier: MIT */
/* Settings of single connections, over real sockets: each one where it can be seen. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <string.h>

#include <spate/settings.h>

#include "proto/base/time.h"

#define V1 UINT32_C(1)
#define V2 UINT32_C(0x6b3343cf)

static struct spate_settings *settings_of(const struct pw_end *end,
                                          void (*change)(struct spate_config *config))
{
    struct spate_config config;
    struct spate_settings *settings = NULL;
    struct spate_error error = {""};
    spate_engine_config(end->engine, &config);
    change(&config);
    if (spate_settings_create(end->engine, &config, &settings, &error) != 0)
        fail_msg("%s", error.text);
    return settings;
}

/* Another listener of the world's server, whose address becomes that of the world. */
static struct spate_listener *listen_with(struct pw *w, struct spate_settings *settings)
{
    struct spate_error error = {""};
    struct spate_listener *listener = NULL;
    struct sockaddr_storage any = pw_loopback(false, 0, &w->address_size);
    const struct spate_listen_options options = {.size = sizeof(options),
                                                 .address = (struct sockaddr *)&any,
                                                 .address_size = w->address_size,
                                                 .tls = w->server.tls,
                                                 .settings = settings};
    if (spate_shard_listen_with(w->server.shard, &options, &listener, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(spate_listener_address(listener, &w->address, &w->address_size), 0);
    return listener;
}

static bool both_have_a_conn(struct pw *w)
{
    return w->server.conn != NULL && w->client.conn != NULL;
}

static struct spate_conn *connected_with(struct pw *w, struct spate_settings *settings)
{
    w->server.conn = w->client.conn = NULL;
    struct spate_conn *conn = pw_connect_with(w, settings);
    pw_until(w, both_have_a_conn);
    return conn;
}

static uint64_t credit_of_a_new_stream(struct spate_conn *conn)
{
    uint64_t id;
    struct spate_stream_progress progress;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_progress(conn, id, &progress), 0);
    return progress.credit_bytes;
}

/* ---- clients ---- */

static void make_short_idle(struct spate_config *config)
{
    config->idle_timeout_ns = 300 * SB_MS;
}

static bool one_is_closed(struct pw *w)
{
    return w->client.closed_count == 1;
}

static void one_connection_ends_idle_and_its_neighbour_stays(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_settings *settings = settings_of(&w->client, make_short_idle);
    struct spate_conn *patient = connected_with(w, NULL);
    (void)connected_with(w, settings);
    spate_settings_destroy(settings); /* the connection keeps them */
    pw_until(w, one_is_closed);
    assert_int_equal(w->client.close.kind, SPATE_CLOSE_IDLE);
    pw_for(w, 400 * SB_MS);
    assert_int_equal(w->client.closed_count, 1);
    spate_conn_close(patient, 0, NULL);
}

static void stay_alive(struct spate_config *config)
{
    make_short_idle(config);
    config->keep_alive_ns = 50 * SB_MS;
}

static void one_connection_keeps_itself_alive(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_settings *settings = settings_of(&w->client, stay_alive);
    struct spate_conn *conn = connected_with(w, settings);
    spate_settings_destroy(settings);
    pw_for(w, SB_S);
    assert_int_equal(w->client.closed_count, 0);
    spate_conn_close(conn, 0, NULL);
}

static void begin_2(struct spate_config *config)
{
    config->versions = SPATE_VERSIONS_BEGIN_2;
}

static void only_2(struct spate_config *config)
{
    config->versions = SPATE_VERSIONS_ONLY_2;
}

static void connections_of_one_engine_have_versions_of_their_own(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_settings *second = settings_of(&w->client, begin_2);
    struct spate_settings *only_second = settings_of(&w->server, only_2);
    assert_int_equal(spate_conn_version(connected_with(w, NULL)), V1);
    assert_int_equal(spate_conn_version(connected_with(w, second)), V2);
    assert_int_equal(spate_conn_version(connected_with(w, NULL)), V1);
    assert_int_equal(pw_stats(&w->server).version_negotiations, 0);

    /* The listener's versions decide what is answered with Version Negotiation. */
    (void)listen_with(w, only_second);
    assert_int_equal(spate_conn_version(connected_with(w, NULL)), V2);
    assert_true(pw_stats(&w->server).version_negotiations >= 1);
    spate_settings_destroy(second);
    spate_settings_destroy(only_second);
}

static void update_often(struct spate_config *config)
{
    config->key_update_packets = 100;
    config->datagram_size_max = 1200;
}

static const uint8_t text[500000] = "bytes";

static bool has_all(struct pw *w)
{
    return w->server.bytes_in >= sizeof(text);
}

static void one_connection_updates_keys_and_sends_small_datagrams(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_settings *settings = settings_of(&w->client, update_often);
    for (int own = 0; own < 2; own++) {
        struct spate_conn *conn = connected_with(w, own ? settings : NULL);
        struct spate_conn_stats stats;
        uint64_t id;
        w->server.bytes_in = 0;
        assert_int_equal(spate_stream_open(conn, true, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, text, sizeof(text), true, 1), 0);
        pw_until(w, has_all);
        pw_for(w, 50 * SB_MS); /* the search for the path's MTU */
        spate_conn_stats(conn, &stats);
        assert_int_equal(stats.key_updates > 0, own);
        assert_int_equal(stats.datagram_bytes == 1200, own);
    }
    spate_settings_destroy(settings);
}

/* ---- servers ---- */

static void make_small(struct spate_config *config)
{
    config->stream_window_bytes = 5000;
    config->conn_window_bytes = 20000;
    config->streams_uni_max = 1;
    config->message_frame_size_max = 100;
}

static void expect_small(struct spate_conn *conn, bool is_small)
{
    uint64_t id;
    assert_int_equal(credit_of_a_new_stream(conn), is_small ? 5000 : 1 << 20);
    assert_int_equal(spate_stream_open(conn, true, &id), is_small ? -EAGAIN : 0);
    int result = spate_conn_datagram_send(conn, "", 0, 0, SPATE_FOREVER,
                                          SPATE_DATAGRAM_COPY | SPATE_DATAGRAM_SILENT);
    assert_int_equal(result, is_small ? 0 : -EOPNOTSUPP);
    assert_int_equal(spate_conn_datagram_size_max(conn) > 0, is_small);
    assert_true(spate_conn_datagram_size_max(conn) < 100);
}

static void listeners_of_one_shard_have_limits_of_their_own(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct pw plain = *w;
    struct spate_settings *settings = settings_of(&w->server, make_small);
    struct spate_listener *listener = listen_with(w, settings);
    spate_settings_destroy(settings); /* the listener keeps them */
    expect_small(connected_with(w, NULL), true);
    expect_small(connected_with(&plain, NULL), false);
    spate_listener_close(listener);
}

static void new_settings_of_a_listener_are_for_new_connections(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_settings *settings = settings_of(&w->server, make_small);
    struct spate_conn *before = connected_with(w, NULL);
    spate_listener_set_settings(w->listener, settings);
    struct spate_conn *then = connected_with(w, NULL);
    spate_listener_set_settings(w->listener, NULL);
    spate_settings_destroy(settings);
    struct spate_conn *after = connected_with(w, NULL);
    expect_small(before, false);
    expect_small(then, true);
    expect_small(after, false);
}

static void one_connection_gives_larger_windows(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    struct spate_settings *settings = settings_of(&w->client, make_small);
    (void)connected_with(w, settings);
    assert_int_equal(credit_of_a_new_stream(w->server.conn), 5000);
    (void)connected_with(w, NULL);
    assert_int_equal(credit_of_a_new_stream(w->server.conn), 1 << 20);
    spate_settings_destroy(settings);
}

/* ---- what is refused ---- */

static void change_the_engine(struct spate_config *config)
{
    config->conns_max = 7;
}

static void shrink_the_window(struct spate_config *config)
{
    config->stream_window_bytes_max = config->stream_window_bytes - 1;
}

static void wish_for_much(struct spate_config *config)
{
    config->datagram_size_max = 1 << 20;
}

static void forget_the_size(struct spate_config *config)
{
    config->size = 0;
}

static void what_is_no_setting_of_connections_is_named(void **state)
{
    (void)state;
    static const struct {
        void (*change)(struct spate_config *config);
        const char *says;
    } rows[] = {
        {change_the_engine,
         "conns_max is 7, and 10000 in the engine: it is not a setting of connections"},
        {shrink_the_window,
         "stream_window_bytes is 1048576, more than stream_window_bytes_max (1048575)"},
        {wish_for_much, "datagram_size_max is 1048576, must be 1200 to 65507"},
        {forget_the_size, "spate_config.size is 0: call spate_config_init() first"},
    };
    struct pw *w = pw_create(NULL);
    struct spate_settings *settings = NULL;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        struct spate_config config;
        struct spate_error error = {""};
        spate_engine_config(w->server.engine, &config);
        rows[i].change(&config);
        assert_int_equal(spate_settings_create(w->server.engine, &config, &settings, &error),
                         -EINVAL);
        assert_string_equal(error.text, rows[i].says);
        assert_null(settings);
    }
    assert_int_equal(spate_settings_create(w->server.engine, NULL, &settings, NULL), -EINVAL);
    spate_settings_destroy(NULL);
}

static const int cpu_list[] = {0};

static void set_keys_and_cpus(struct spate_config *config)
{
    config->backend = SPATE_BACKEND_AUTO; /* the engine chooses one */
    config->crypto = SPATE_CRYPTO_AUTO;
    config->cpus = cpu_list;
    memset(config->token_key, 1, sizeof(config->token_key));
    memset(config->reset_key, 2, sizeof(config->reset_key));
}

/* The configuration is given out as it was given, without what is secret or borrowed. */
static void an_engine_tells_its_configuration(void **state)
{
    (void)state;
    static const uint8_t zero[SPATE_KEY_SIZE];
    struct spate_config config;
    struct pw *w = pw_create(&(struct pw_config){.server = set_keys_and_cpus});
    spate_engine_config(w->server.engine, &config);
    assert_int_equal(config.size, sizeof(config));
    assert_int_equal(config.backend, SPATE_BACKEND_AUTO);
    assert_int_equal(config.transmit_slots, 64);
    assert_null(config.cpus);
    assert_memory_equal(config.token_key, zero, sizeof(zero));
    assert_memory_equal(config.reset_key, zero, sizeof(zero));
    spate_settings_destroy(settings_of(&w->server, set_keys_and_cpus));

    uint8_t older[offsetof(struct spate_config, versions) + 1];
    older[sizeof(older) - 1] = 0xaa;
    size_t size;
    spate_engine_config_sized(w->server.engine, (struct spate_config *)(void *)older,
                              sizeof(older) - 1);
    memcpy(&size, older, sizeof(size));
    assert_int_equal(size, sizeof(older) - 1);
    assert_int_equal(older[sizeof(older) - 1], 0xaa);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, one_connection_ends_idle_and_its_neighbour_stays),
        QT_TEST(owned, one_connection_keeps_itself_alive),
        QT_TEST(owned, connections_of_one_engine_have_versions_of_their_own),
        QT_TEST(owned, one_connection_updates_keys_and_sends_small_datagrams),
        QT_TEST(owned, listeners_of_one_shard_have_limits_of_their_own),
        QT_TEST(owned, new_settings_of_a_listener_are_for_new_connections),
        QT_TEST(owned, one_connection_gives_larger_windows),
        QT_TEST(owned, what_is_no_setting_of_connections_is_named),
        QT_TEST(owned, an_engine_tells_its_configuration),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
