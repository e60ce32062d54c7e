/* SPDX-License-Identifier: MIT */
/* The table of what connections have measured of their paths. */

#include "test/support/qt.h"

#include <string.h>

#include "engine/conn/measured.h"
#include "proto/base/time.h"

static const struct se_siphash_key key = {{1, 2}};

static struct sp_path path_of(uint32_t number)
{
    struct sp_path path = {.local = {.family = 4, .port = 443}, .remote = {.family = 4}};
    path.remote.port = (uint16_t)(1000 + number);
    memcpy(path.remote.ip, &number, sizeof(number));
    return path;
}

static void put(struct se_measured *m, uint32_t number, uint64_t cwnd_bytes, uint64_t until_ns)
{
    const struct sp_path path = path_of(number);
    const struct sp_careful_saved saved = {cwnd_bytes, SB_MS, until_ns};
    se_measured_put(m, &path, &saved);
}

static void who_takes_an_entry_has_it_alone(void **state)
{
    (void)state;
    struct se_measured m;
    struct sp_careful_saved saved = {0};
    struct sp_path path = path_of(7);
    assert_int_equal(se_measured_init(&m, SB_S, key), 0);
    assert_false(se_measured_take(&m, &path, 0, &saved));
    put(&m, 7, 1000, 100);
    put(&m, 7, 2000, 200); /* in the place of it */
    path.remote.port = 1;  /* the port does not count, */
    path.local.port = 2;
    struct sp_path other = path;
    other.local.ip[0] = 9; /* our own address does, */
    assert_false(se_measured_take(&m, &other, 0, &saved));
    other = path;
    other.remote.scope = 3; /* and its scope */
    assert_false(se_measured_take(&m, &other, 0, &saved));
    assert_true(se_measured_take(&m, &path, 199, &saved));
    assert_int_equal(saved.cwnd_bytes, 2000);
    assert_int_equal(saved.until_ns, 200);
    assert_false(se_measured_take(&m, &path, 0, &saved));
    put(&m, 7, 1000, 100);
    assert_false(se_measured_take(&m, &path, 100, &saved)); /* too old */
    assert_false(se_measured_take(&m, &path, 99, &saved));  /* .. and gone */
    se_measured_deinit(&m);
}

/* A thousand places, and no more: the oldest of those that share one go. */
static void the_table_is_bounded(void **state)
{
    (void)state;
    struct se_measured m;
    enum { COUNT = 20 * SE_MEASURED_SETS * SE_MEASURED_WAYS, NEWEST = 500 };
    assert_int_equal(se_measured_init(&m, SB_S, key), 0);
    for (uint32_t i = 0; i < COUNT; i++)
        put(&m, i, 1000 + i, 1 + i);
    uint32_t found = 0, found_new = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        const struct sp_path path = path_of(i);
        struct sp_careful_saved saved;
        if (!se_measured_take(&m, &path, 0, &saved))
            continue;
        assert_int_equal(saved.cwnd_bytes, 1000 + i);
        found++;
        found_new += i >= COUNT - NEWEST;
    }
    assert_int_equal(found, SE_MEASURED_SETS * SE_MEASURED_WAYS);
    assert_true(found_new > NEWEST * 9 / 10);
    for (uint32_t i = 0; i < SE_MEASURED_SETS * SE_MEASURED_WAYS; i++)
        assert_int_equal(m.entries[i].saved.until_ns, 0);
    se_measured_deinit(&m);
}

static void without_the_setting_nothing_is_kept(void **state)
{
    (void)state;
    struct se_measured m;
    struct sp_careful_saved saved;
    const struct sp_path path = path_of(1);
    assert_int_equal(se_measured_init(&m, 0, key), 0);
    assert_null(m.entries);
    put(&m, 1, 1000, 100);
    assert_false(se_measured_take(&m, &path, 0, &saved));
    se_measured_deinit(&m);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(who_takes_an_entry_has_it_alone),
        cmocka_unit_test(the_table_is_bounded),
        cmocka_unit_test(without_the_setting_nothing_is_kept),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
