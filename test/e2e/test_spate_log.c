/* SPDX-License-Identifier: MIT */
/* The lines for the operator: each is written once, with its number, and not too often. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct lines {
    uint32_t count;
    enum spate_log_level level; /* of the last */
    char last[512];
    char refused[512]; /* the last about refused connections */
    uint32_t refused_count;
    uint64_t refused_sum;
    char turns[512]; /* the last about long turns */
    uint32_t turns_count;
    uint64_t turns_sum;
    char qlog[512]; /* the last about files of qlog */
    uint32_t qlog_count;
};

static struct lines lines;
static uint64_t interval_ns;

static void keep(enum spate_log_level level, const char *line, void *user)
{
    struct lines *to = user;
    to->count++;
    to->level = level;
    (void)snprintf(to->last, sizeof(to->last), "%s", line);
    assert_null(strchr(line, '\n'));
    unsigned long long number;
    if (strstr(line, "turns took longer") != NULL) {
        to->turns_count++;
        assert_int_equal(sscanf(line, "shard 0: %llu ", &number), 1);
        to->turns_sum += number;
        (void)snprintf(to->turns, sizeof(to->turns), "%s", line);
    }
    if (strstr(line, "files of qlog") != NULL) {
        to->qlog_count++;
        (void)snprintf(to->qlog, sizeof(to->qlog), "%s", line);
    }
    if (strstr(line, "connections were refused") == NULL)
        return;
    to->refused_count++;
    assert_int_equal(sscanf(line, "shard 0: %llu ", &number), 1);
    to->refused_sum += number;
    (void)snprintf(to->refused, sizeof(to->refused), "%s", line);
    assert_int_equal(level, SPATE_LOG_WARNING);
}

static struct spate_log log_of(enum spate_log_level level)
{
    struct spate_log log;
    spate_log_init(&log);
    log.write = keep;
    log.user = &lines;
    log.level = level;
    if (interval_ns > 0)
        log.interval_ns = interval_ns;
    return log;
}

static void two_conns(struct spate_config *config)
{
    static struct spate_log log;
    log = log_of(SPATE_LOG_WARNING);
    config->conns_max = 2;
    config->log = &log;
}

static uint32_t refused_wanted;

static bool is_refused(struct pw *w)
{
    return w->client.closed_count >= refused_wanted;
}

static bool are_two(struct pw *w)
{
    return w->client.connected_count == 2 && w->server.connected_count == 2;
}

static bool has_line(struct pw *w)
{
    (void)w;
    return lines.refused_count > 0;
}

static struct pw *fill(void)
{
    lines = (struct lines){0};
    struct pw *w = pw_create(&(struct pw_config){.server = two_conns});
    (void)pw_connect(w);
    (void)pw_connect(w);
    pw_until(w, are_two);
    assert_int_equal(lines.refused_count, 0);
    return w;
}

static void a_limit_that_is_reached_makes_a_line(void **state)
{
    (void)state;
    interval_ns = 0;
    struct pw *w = fill();
    (void)pw_connect(w);
    pw_until(w, has_line);
    assert_string_equal(lines.refused,
                        "shard 0: 1 connections were refused: conns_max or memory_bytes_max");
}

static bool are_all_reported(struct pw *w)
{
    return lines.refused_sum == pw_stats(&w->server).conns_refused;
}

/* A hundred refusals make few lines, whose numbers add up to all of them. */
static void what_happens_often_is_summed_up(void **state)
{
    (void)state;
    interval_ns = UINT64_C(100000000); /* the shortest */
    struct pw *w = fill();
    refused_wanted = 0;
    for (uint32_t i = 0; i < 100; i++) {
        (void)pw_connect(w);
        refused_wanted++;
        pw_until(w, is_refused);
    }
    pw_until(w, are_all_reported);
    assert_true(lines.refused_sum >= 100);
    assert_true(lines.refused_count >= 1);
    assert_true(lines.refused_count < 50);
}

static void the_level_decides_what_is_written(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_engine *engine = NULL;
    const char *backend = NULL;
    for (int level = SPATE_LOG_ERROR; level <= SPATE_LOG_INFO; level++) {
        lines = (struct lines){0};
        interval_ns = 0;
        struct spate_log log = log_of((enum spate_log_level)level);
        spate_config_init(&config);
        config.backend = pw_backend();
        config.log = &log;
        assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
        struct spate_config given;
        spate_engine_config(engine, &given);
        assert_null(given.log);
        backend = spate_backend_name(spate_engine_backend(engine));
        spate_engine_destroy(engine);
        assert_int_equal(lines.count, level == SPATE_LOG_INFO);
    }
    assert_int_equal(lines.level, SPATE_LOG_INFO);
    assert_non_null(strstr(lines.last, "1 shards, "));
    assert_non_null(strstr(lines.last, backend));
}

/* ---- Turns that take too long ---- */

static void short_turns(struct spate_config *config)
{
    static struct spate_log log;
    log = log_of(SPATE_LOG_WARNING);
    log.turn_ns = UINT64_C(20000000);
    config->log = &log;
}

static void block(struct spate_shard *shard, void *argument)
{
    (void)shard;
    usleep(*(const useconds_t *)argument);
}

static bool has_turn_line(struct pw *w)
{
    (void)w;
    return lines.turns_count > 0;
}

static bool are_turns_reported(struct pw *w)
{
    return lines.turns_sum == pw_stats(&w->server).turns_long;
}

/* A handler that blocks its shard for 60 ms makes a line with that time; what others take for
 * themselves is not in it. */
static void a_turn_that_took_too_long_makes_a_line(void **state)
{
    static useconds_t for_us = 60000;
    (void)state;
    interval_ns = UINT64_C(100000000);
    lines = (struct lines){0};
    struct pw *w = pw_create(&(struct pw_config){.server = short_turns});
    (void)pw_connected(w);
    assert_int_equal(spate_shard_post(w->server.shard, block, &for_us), 0);
    pw_until(w, has_turn_line);
    unsigned long long count, limit_ms, longest_ms;
    assert_int_equal(sscanf(lines.turns,
                            "shard 0: %llu turns took longer than %llu ms, the longest %llu ms",
                            &count, &limit_ms, &longest_ms),
                     3);
    assert_int_equal(limit_ms, 20);
    assert_true(longest_ms >= 60);
    pw_until(w, are_turns_reported);
    assert_true(pw_stats(&w->server).turns_long >= 1);
    assert_int_equal(pw_stats(&w->client).turns_long, 0); /* it has no log */
}

/* ---- Files of qlog that the system refuses ---- */

static char qlog_folder[64];

static void qlog_in_a_folder(struct spate_config *config)
{
    static struct spate_log log;
    static struct spate_qlog qlog;
    log = log_of(SPATE_LOG_WARNING);
    spate_qlog_init(&qlog);
    qlog.dir = qlog_folder;
    config->log = &log;
    config->qlog = &qlog;
}

static bool has_qlog_line(struct pw *w)
{
    (void)w;
    return lines.qlog_count > 0;
}

static void a_file_of_qlog_that_is_refused_makes_one_line(void **state)
{
    (void)state;
    interval_ns = 0;
    lines = (struct lines){0};
    strcpy(qlog_folder, "/tmp/test_spate_log.XXXXXX");
    assert_non_null(mkdtemp(qlog_folder));
    struct pw *w = pw_create(&(struct pw_config){.server = qlog_in_a_folder});
    assert_int_equal(rmdir(qlog_folder), 0); /* no file can be made any more */
    assert_int_equal(pw_stats(&w->server).qlog_errors, 0);
    (void)pw_connected(w);
    pw_until(w, has_qlog_line);
    assert_string_equal(lines.qlog, "shard 0: 1 files of qlog could not be made or written: "
                                    "No such file or directory");
    assert_int_equal(pw_stats(&w->server).qlog_errors, 1);
    for (uint32_t i = 0; i < 100; i++)
        pw_turn(w);
    assert_int_equal(lines.qlog_count, 1);
}

static void refuse(struct spate_log log, const char *says)
{
    struct spate_config config;
    struct spate_engine *engine = NULL;
    struct spate_error error = {""};
    spate_config_init(&config);
    config.log = &log;
    assert_int_equal(spate_engine_create(&config, &engine, &error), -EINVAL);
    assert_null(engine);
    assert_string_equal(error.text, says);
}

static void bad_values_are_refused(void **state)
{
    (void)state;
    interval_ns = 0;
    struct spate_log log = log_of(SPATE_LOG_INFO);
    log.write = NULL;
    refuse(log, "log.write is NULL: name a function");
    log = log_of((enum spate_log_level)0);
    refuse(log, "log.level is 0, must be 1 to 3");
    log = log_of((enum spate_log_level)4);
    refuse(log, "log.level is 4, must be 1 to 3");
    log = log_of(SPATE_LOG_INFO);
    log.interval_ns = 99999999;
    refuse(log, "log.interval_ns is 99999999, must be 100000000 to 86400000000000");
    log = log_of(SPATE_LOG_INFO);
    log.turn_ns = 999999;
    refuse(log, "log.turn_ns is 999999, must be 0, or 1000000 to 3600000000000");
}

static void levels_have_names(void **state)
{
    (void)state;
    assert_string_equal(spate_log_level_name(SPATE_LOG_ERROR), "error");
    assert_string_equal(spate_log_level_name(SPATE_LOG_WARNING), "warning");
    assert_string_equal(spate_log_level_name(SPATE_LOG_INFO), "info");
    assert_string_equal(spate_log_level_name((enum spate_log_level)9), "unknown");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_limit_that_is_reached_makes_a_line),
        QT_TEST(owned, what_happens_often_is_summed_up),
        QT_TEST(owned, the_level_decides_what_is_written),
        QT_TEST(owned, a_turn_that_took_too_long_makes_a_line),
        QT_TEST(owned, a_file_of_qlog_that_is_refused_makes_one_line),
        QT_TEST(owned, bad_values_are_refused),
        QT_TEST(owned, levels_have_names),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
