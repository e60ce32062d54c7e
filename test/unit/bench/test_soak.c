/* SPDX-License-Identifier: MIT */
/* soak: points of intervals, and what has drifted. */

#include "test/support/qt.h"

#include <math.h>
#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/soak.h"

static struct soak soak;
static struct spate_histogram latency;
static struct sample client;
static struct sample server;

/* A minute in which 100 requests take `us` each. */
static void minute(uint32_t index, uint64_t us, uint64_t client_rss, uint64_t server_fds)
{
    for (int i = 0; i < 100; i++)
        spate_histogram_record(&latency, us * NS_PER_US);
    client.now_ns = (index + 1) * 60 * NS_PER_S;
    client.rss_bytes = client_rss;
    server.usage.fds = server_fds;
    soak_add(&soak, &client, &server, &latency, index * 1000);
}

static void start(void)
{
    memset(&client, 0, sizeof(client));
    memset(&server, 0, sizeof(server));
    spate_histogram_init(&latency);
    soak_begin(&soak, 0, 0);
}

static void a_point_has_its_own_interval_alone(void **state)
{
    (void)state;
    start();
    minute(0, 100, 1000, 5);
    minute(1, 200, 1000, 5);
    assert_int_equal(soak.count, 2);
    for (uint32_t i = 0; i < 2; i++) {
        double want_ns = (i + 1) * 100e3;
        assert_int_equal(soak.points[i].requests, 100);
        assert_true(fabs((double)soak.points[i].p50_ns / want_ns - 1) < 0.01);
        assert_true(fabs((double)soak.points[i].max_ns / want_ns - 1) < 0.01);
    }
    assert_int_equal(soak.points[1].bytes, 1000);
}

static void drift_is_found_where_there_is_some(void **state)
{
    (void)state;
    start();
    for (uint32_t i = 0; i < 10; i++)
        minute(i, i < 5 ? 100 : 150, 1000000 + i * 1000, 7 + i);
    struct soak_drift drift = soak_drift_of(&soak);
    assert_true(fabs(drift.client_rss_bytes_per_hour - 60000) < 1);
    assert_true(fabs(drift.server_rss_bytes_per_hour) < 1);
    assert_true(drift.server_fds == 9 && drift.client_fds == 0);
    assert_true(fabs(drift.p50_ratio - 1.5) < 0.02);

    start();
    for (uint32_t i = 0; i < 10; i++)
        minute(i, 100, 1000000, 7);
    drift = soak_drift_of(&soak);
    assert_true(fabs(drift.client_rss_bytes_per_hour) < 1 && drift.server_fds == 0);
    assert_true(fabs(drift.p99_ratio - 1) < 0.02);

    start();
    drift = soak_drift_of(&soak);
    assert_true(isnan(drift.p50_ratio) && isnan(drift.client_rss_bytes_per_hour));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_point_has_its_own_interval_alone),
        cmocka_unit_test(drift_is_found_where_there_is_some),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
