/* SPDX-License-Identifier: MIT */
/* Congestion controllers, chosen through the public API, over real sockets. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>

#include <spate/settings.h>

#include "proto/base/time.h"

enum { BYTES = 8000000, CONGESTIONS = SPATE_CONGESTION_PRAGUE + 1 };

static enum spate_congestion congestion;
static uint64_t fixed_rate;

static void set(struct spate_config *config)
{
    config->congestion = congestion;
    if (fixed_rate > 0)
        config->fixed_rate_bytes_per_s = fixed_rate;
}

static bool has_arrived(struct pw *w)
{
    return w->server.bytes_in == BYTES;
}

/* Sends BYTES from the client and returns the time that they took. */
static uint64_t send_all(struct pw *w, struct spate_conn *conn)
{
    static const uint8_t bytes[BYTES];
    uint64_t id, start_ns = pw_now_ns();
    w->server.bytes_in = 0;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, bytes, BYTES, true, 1), 0);
    pw_until(w, has_arrived);
    return pw_now_ns() - start_ns;
}

static void each_controller_delivers(void **state)
{
    (void)state;
    static const char *const names[CONGESTIONS] = {
        [SPATE_CONGESTION_CUBIC] = "cubic",   [SPATE_CONGESTION_NEWRENO] = "newreno",
        [SPATE_CONGESTION_FIXED] = "fixed",   [SPATE_CONGESTION_BBR] = "bbr",
        [SPATE_CONGESTION_PRAGUE] = "prague",
    };
    for (uint32_t i = 0; i < CONGESTIONS; i++) {
        congestion = (enum spate_congestion)i;
        fixed_rate = 0;
        struct pw *w = pw_create(&(struct pw_config){.server = set, .client = set});
        struct spate_conn *conn = pw_connected(w);
        (void)send_all(w, conn);
        struct spate_conn_stats stats;
        spate_conn_stats(conn, &stats);
        assert_int_equal(stats.congestion, i);
        assert_string_equal(spate_congestion_name((enum spate_congestion)stats.congestion),
                            names[i]);
        assert_true(stats.cwnd_bytes >= 2 * 1200);
        assert_true(stats.pacing_rate > 0);
        spate_conn_stats(w->server.conn, &stats);
        assert_int_equal(stats.congestion, i);
    }
    assert_string_equal(spate_congestion_name((enum spate_congestion)CONGESTIONS), "unknown");
    assert_string_equal(spate_congestion_name((enum spate_congestion) - 1), "unknown");
}

static void set_unmarked(struct spate_config *config)
{
    set(config);
    config->ecn = false;
}

/* Prague without marks would take more than its share of a classic queue. */
static void prague_without_ecn_is_cubic(void **state)
{
    (void)state;
    congestion = SPATE_CONGESTION_PRAGUE;
    fixed_rate = 0;
    struct pw *w = pw_create(&(struct pw_config){.server = set, .client = set_unmarked});
    struct spate_conn *conn = pw_connected(w);
    (void)send_all(w, conn);
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    assert_int_equal(stats.congestion, SPATE_CONGESTION_CUBIC);
    spate_conn_stats(w->server.conn, &stats);
    assert_int_equal(stats.congestion, SPATE_CONGESTION_PRAGUE);
}

/* Returns IP_TOS of the one UDP socket here that is connected. */
static int tos_of_client(void)
{
    int found = -1;
    for (int fd = 3; fd < 1024; fd++) {
        struct sockaddr_in peer;
        socklen_t peer_size = sizeof(peer), size = sizeof(int);
        int type, tos;
        if (getpeername(fd, (struct sockaddr *)&peer, &peer_size) != 0 ||
            peer.sin_family != AF_INET || getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &size) != 0 ||
            type != SOCK_DGRAM)
            continue;
        assert_int_equal(found, -1);
        assert_int_equal(getsockopt(fd, SOL_IP, IP_TOS, &tos, &size), 0);
        found = tos;
    }
    return found;
}

/* A train with another mark would make the kernel look for its route. */
static void a_client_has_a_socket_with_its_mark(void **state)
{
    (void)state;
    static const struct {
        void (*set)(struct spate_config *);
        enum spate_congestion congestion;
        int mark;
    } cases[] = {{set, SPATE_CONGESTION_CUBIC, 2},
                 {set, SPATE_CONGESTION_PRAGUE, 1},
                 {set_unmarked, SPATE_CONGESTION_CUBIC, 0}};
    fixed_rate = 0;
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        congestion = cases[i].congestion;
        struct pw *w = pw_create(&(struct pw_config){.server = set, .client = cases[i].set});
        (void)pw_connected(w);
        assert_int_equal(tos_of_client(), cases[i].mark);
        owned_end_all();
    }
}

static void a_fixed_rate_is_kept(void **state)
{
    (void)state;
    congestion = SPATE_CONGESTION_FIXED;
    fixed_rate = 16000000;
    struct pw *w = pw_create(&(struct pw_config){.client = set});
    struct spate_conn *conn = pw_connected(w);
    uint64_t took_ns = send_all(w, conn);
    /* Half a second; heads make it longer, the first burst and what follows it shorter. */
    assert_true(took_ns > 450 * SB_MS);
    struct spate_conn_stats stats;
    spate_conn_stats(conn, &stats);
    assert_int_equal(stats.pacing_rate, fixed_rate);
}

/* The configuration of the engine is not that of each connection. */
static void connections_of_one_engine_differ(void **state)
{
    (void)state;
    congestion = SPATE_CONGESTION_NEWRENO;
    fixed_rate = 0;
    struct pw *w = pw_create(&(struct pw_config){0});
    struct spate_config config;
    spate_engine_config(w->client.engine, &config);
    set(&config);
    struct spate_settings *settings;
    struct spate_error error;
    assert_int_equal(spate_settings_create(w->client.engine, &config, &settings, &error), 0);
    const struct spate_conn *other = pw_connected(w), *reno = pw_connect_with(w, settings);
    spate_settings_destroy(settings);
    struct spate_conn_stats stats;
    spate_conn_stats(other, &stats);
    assert_int_equal(stats.congestion, SPATE_CONGESTION_CUBIC);
    spate_conn_stats(reno, &stats);
    assert_int_equal(stats.congestion, SPATE_CONGESTION_NEWRENO);
}

static void what_does_not_exist_is_refused(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_engine *engine = NULL;
    struct spate_error error;
    spate_config_init(&config);
    config.congestion = (enum spate_congestion)CONGESTIONS;
    assert_int_equal(spate_engine_create(&config, &engine, &error), -EINVAL);
    assert_non_null(strstr(error.text, "congestion is"));
    config.congestion = SPATE_CONGESTION_FIXED;
    config.fixed_rate_bytes_per_s = 999;
    assert_int_equal(spate_engine_create(&config, &engine, &error), -EINVAL);
    assert_non_null(strstr(error.text, "fixed_rate_bytes_per_s is 999, must be 1000 to"));
}

static enum spate_profile profile;

static void set_profile(struct spate_config *config)
{
    assert_int_equal(spate_config_profile(config, profile), 0);
}

static void profiles_set_what_they_say(void **state)
{
    (void)state;
    static const struct {
        enum spate_profile profile;
        enum spate_congestion congestion;
        uint64_t stream_window_bytes;
    } samples[] = {
        {SPATE_PROFILE_LAN, SPATE_CONGESTION_CUBIC, 16 << 20},
        {SPATE_PROFILE_WAN, SPATE_CONGESTION_BBR, 1 << 20},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        profile = samples[i].profile;
        struct pw *w = pw_create(&(struct pw_config){.server = set_profile, .client = set_profile});
        struct spate_conn *conn = pw_connected(w);
        uint64_t id;
        struct spate_stream_progress progress;
        assert_int_equal(spate_stream_open(conn, true, &id), 0);
        assert_int_equal(spate_stream_progress(conn, id, &progress), 0);
        assert_int_equal(progress.credit_bytes, samples[i].stream_window_bytes);
        struct spate_conn_stats stats;
        spate_conn_stats(conn, &stats);
        assert_int_equal(stats.congestion, samples[i].congestion);
        (void)send_all(w, conn);
    }
    struct spate_config config, before;
    spate_config_init(&config);
    before = config;
    assert_int_equal(spate_config_profile(&config, (enum spate_profile)0), -EINVAL);
    assert_int_equal(spate_config_profile(&config, (enum spate_profile)3), -EINVAL);
    assert_memory_equal(&config, &before, sizeof(config));
    /* A program that was built before there was `congestion`. */
    size_t size = offsetof(struct spate_config, congestion);
    assert_int_equal(spate_config_profile_sized(&config, size, SPATE_PROFILE_WAN), 0);
    assert_int_equal(config.congestion, SPATE_CONGESTION_CUBIC);
    assert_int_equal(config.conn_window_bytes_max, 32 << 20);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_controller_delivers),
        QT_TEST(owned, prague_without_ecn_is_cubic),
        QT_TEST(owned, a_client_has_a_socket_with_its_mark),
        QT_TEST(owned, a_fixed_rate_is_kept),
        QT_TEST(owned, connections_of_one_engine_differ),
        QT_TEST(owned, what_does_not_exist_is_refused),
        QT_TEST(owned, profiles_set_what_they_say),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
