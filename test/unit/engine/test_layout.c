/* SPDX-License-Identifier: MIT */
/* What one thread writes shares no cache line with what another one uses in each turn: a line that
 * two CPUs write goes back and forth between them, some 100 ns each time. */

#include "test/support/qt.h"

#include <stddef.h>
#include <stdint.h>
#include <unistd.h>

#include "engine/shard/engine.h"
#include "engine/shard/shard.h"
#include "test/support/owned.h"

enum { SHARDS = 3 };

/* Fields that are written by the same threads, from the first byte to the last one. */
struct part {
    const char *name;
    size_t begin;
    size_t end;
};

#define FROM_TO(type, first, last) \
    {#first, offsetof(type, first), offsetof(type, last) + sizeof(((type *)NULL)->last)}
#define FIELD(type, field) FROM_TO(type, field, field)

static size_t first_line(const struct part *part)
{
    return part->begin / SB_CACHE_LINE;
}

static size_t last_line(const struct part *part)
{
    return (part->end - 1) / SB_CACHE_LINE;
}

static void check_parts(const struct part *parts, size_t count)
{
    for (size_t i = 0; i < count; i++)
        for (size_t at = i + 1; at < count; at++)
            if (first_line(&parts[i]) <= last_line(&parts[at]) &&
                first_line(&parts[at]) <= last_line(&parts[i]))
                fail_msg("%s and %s share a line", parts[i].name, parts[at].name);
}

/* The owner's; what it writes and others read; what others write. */
static const struct part shard_parts[] = {
    FROM_TO(struct spate_shard, engine, wake.doorbells),
    FIELD(struct spate_shard, wake.bell_fd),
    FROM_TO(struct spate_shard, memory, work_since_ns),
    FROM_TO(struct spate_shard, owner_tid, is_threaded),
    FROM_TO(struct spate_shard, is_wake_wanted, shutdown_wanted),
    FIELD(struct spate_shard, posts.tail),
    FIELD(struct spate_shard, posts.head),
    FROM_TO(struct spate_shard, posts.mask, posts.cells),
    FIELD(struct spate_shard, post_cells),
    FIELD(struct spate_shard, strays.tail),
    FIELD(struct spate_shard, strays.head),
    FROM_TO(struct spate_shard, strays.mask, strays.cells),
    FIELD(struct spate_shard, stray_cells),
    FROM_TO(struct spate_shard, channels.lock, channels.closing),
    FIELD(struct spate_shard, channels.pending),
};

static const struct part engine_parts[] = {
    FROM_TO(struct spate_engine, config, handlers), /* does not change */
    FIELD(struct spate_engine, is_stopping),
    FIELD(struct spate_engine, limit),
    FROM_TO(struct spate_engine, shared_ports, handover), /* as shards listen, and processes go */
    FROM_TO(struct spate_engine, is_listening, lb),
};

static void what_other_threads_write_has_lines_of_its_own(void **state)
{
    (void)state;
    check_parts(shard_parts, QT_COUNT(shard_parts));
    check_parts(engine_parts, QT_COUNT(engine_parts));
}

/* A field that is added between two parts belongs to one of them. */
static void the_parts_leave_nothing_out(void **state)
{
    (void)state;
    for (size_t i = 1; i < QT_COUNT(shard_parts); i++)
        assert_true(shard_parts[i].begin - shard_parts[i - 1].end < SB_CACHE_LINE);
    assert_true(sizeof(struct spate_shard) - shard_parts[QT_COUNT(shard_parts) - 1].end <
                SB_CACHE_LINE);
    for (size_t i = 1; i < QT_COUNT(engine_parts); i++)
        assert_true(engine_parts[i].begin - engine_parts[i - 1].end < SB_CACHE_LINE);
    assert_true(sizeof(struct spate_engine) - engine_parts[QT_COUNT(engine_parts) - 1].end <
                SB_CACHE_LINE);
}

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static void two_shards_share_no_page(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_engine *engine;
    spate_config_init(&config);
    config.shard_count = SHARDS;
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    (void)owned_add(engine, destroy);
    assert_int_equal((uintptr_t)engine % SB_CACHE_LINE, 0);
    uintptr_t page = (uintptr_t)sysconf(_SC_PAGESIZE);
    for (uint32_t i = 0; i < SHARDS; i++) {
        uintptr_t begin = (uintptr_t)spate_engine_shard(engine, i);
        assert_int_equal(begin % page, 0);
        for (uint32_t at = 0; at < i; at++) {
            uintptr_t other = (uintptr_t)spate_engine_shard(engine, at);
            uintptr_t gap = begin > other ? begin - other : other - begin;
            assert_true(gap >= sizeof(struct spate_shard));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_other_threads_write_has_lines_of_its_own),
        cmocka_unit_test(the_parts_leave_nothing_out),
        QT_TEST(owned, two_shards_share_no_page),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
