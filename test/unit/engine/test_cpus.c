/* SPDX-License-Identifier: MIT */
/* How many shards there are, and which thread runs where. */

#include "test/support/qt.h"

#include <errno.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <spate/shards.h>

#include "engine/config/cpus.h"
#include "engine/config/quota.h"
#include "test/support/owned.h"

enum { POLICY_DEFAULT = 0, POLICY_PREFERRED = 1, NODES_MAX = 1024 };

static const struct {
    uint32_t mask;
    uint32_t quota;
    uint32_t shards;
} counts[] = {
    {1, SE_QUOTA_NONE, 1}, {8, SE_QUOTA_NONE, 8},    {8, 3, 3}, {2, 8, 2},
    {64, 64, 64},          {200, SE_QUOTA_NONE, 64},
};

static void the_mask_and_the_quota_bound_the_shards(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(counts); i++) {
        const struct se_cpus cpus = {.count = counts[i].mask, .quota = counts[i].quota};
        assert_int_equal(se_cpus_shard_count(&cpus), counts[i].shards);
    }
}

/* Three CPUs: 4, 6 and 7. */
static struct se_cpus three(uint32_t quota)
{
    return (struct se_cpus){.count = 3, .list = {4, 6, 7}, .quota = quota};
}

static const int named[] = {9, 8};

static const struct {
    const char *name;
    uint32_t quota;
    uint32_t shard_count;
    enum spate_pinning pinning;
    const int *cpus;
    uint32_t shards;
    bool is_pinned;
    int first;
    int last;
} choices[] = {
    {"the default", SE_QUOTA_NONE, 1, SPATE_PINNING_AUTO, NULL, 1, false, 0, 0},
    {"a number", SE_QUOTA_NONE, 3, SPATE_PINNING_AUTO, NULL, 3, false, 0, 0},
    {"a list", SE_QUOTA_NONE, 2, SPATE_PINNING_AUTO, named, 2, true, 9, 8},
    {"a list that is off", SE_QUOTA_NONE, 2, SPATE_PINNING_OFF, named, 2, false, 0, 0},
    {"auto has all CPUs", SE_QUOTA_NONE, SPATE_SHARDS_AUTO, SPATE_PINNING_AUTO, NULL, 3, true, 4,
     7},
    {"auto has a part of them", 2, SPATE_SHARDS_AUTO, SPATE_PINNING_AUTO, NULL, 2, false, 0, 0},
    {"auto has a part, pinned", 2, SPATE_SHARDS_AUTO, SPATE_PINNING_ON, NULL, 2, true, 4, 6},
    {"auto is off", SE_QUOTA_NONE, SPATE_SHARDS_AUTO, SPATE_PINNING_OFF, NULL, 3, false, 0, 0},
    {"more shards than CPUs", SE_QUOTA_NONE, 5, SPATE_PINNING_ON, NULL, 5, true, 4, 6},
};

static void the_configuration_decides_who_is_pinned(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(choices); i++) {
        const struct se_cpus cpus = three(choices[i].quota);
        struct spate_config config;
        int ret[SE_SHARDS_MAX] = {0};
        spate_config_init(&config);
        config.shard_count = choices[i].shard_count;
        config.pinning = choices[i].pinning;
        config.cpus = choices[i].cpus;
        bool is_pinned = se_cpus_choose(&cpus, &config, ret);
        if (is_pinned != choices[i].is_pinned || config.shard_count != choices[i].shards)
            fail_msg("%s", choices[i].name);
        assert_int_equal(ret[0], choices[i].first);
        assert_int_equal(ret[config.shard_count - 1], choices[i].last);
    }
}

/* ---- This machine ---- */

static void only_on(int cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET((size_t)cpu, &set);
    assert_int_equal(sched_setaffinity(0, sizeof(set), &set), 0);
}

static void the_mask_of_the_caller_counts(void **state)
{
    (void)state;
    cpu_set_t before;
    struct spate_error reason = {""};
    struct se_cpus cpus;
    assert_int_equal(sched_getaffinity(0, sizeof(before), &before), 0);
    se_cpus_read(&cpus);
    assert_int_equal(cpus.count, CPU_COUNT(&before));
    int last = cpus.list[cpus.count < SE_SHARDS_MAX ? cpus.count - 1 : SE_SHARDS_MAX - 1];
    only_on(last);
    se_cpus_read(&cpus);
    uint32_t count = spate_shards_probe(&reason);
    assert_int_equal(sched_setaffinity(0, sizeof(before), &before), 0);
    assert_int_equal(cpus.count, 1);
    assert_int_equal(cpus.list[0], last);
    assert_int_equal(count, 1);
    assert_true(strlen(reason.text) > 0);
    assert_true(spate_shards_probe(NULL) >= 1);
}

struct seen {
    char names[SE_SHARDS_MAX][16];
    int cpus[SE_SHARDS_MAX]; /* the only one of the thread's mask; -1: there are several */
    uint32_t count;
    pthread_mutex_t lock;
};

static struct seen seen;

static int look(struct spate_shard *shard, void *user)
{
    cpu_set_t set;
    struct spate_engine *engine = *(struct spate_engine **)user;
    uint32_t at = 0;
    while (spate_engine_shard(engine, at) != shard)
        at++;
    (void)pthread_mutex_lock(&seen.lock);
    int result = sched_getaffinity(0, sizeof(set), &set);
    seen.cpus[at] = -1;
    for (int cpu = 0; result == 0 && CPU_COUNT(&set) == 1 && cpu < CPU_SETSIZE; cpu++)
        if (CPU_ISSET((size_t)cpu, &set))
            seen.cpus[at] = cpu;
    result = pthread_getname_np(pthread_self(), seen.names[at], sizeof(seen.names[at]));
    seen.count++;
    (void)pthread_mutex_unlock(&seen.lock);
    return -result;
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    (void)shard;
    (void)events;
    (void)count;
    (void)user;
}

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static uint32_t start(uint32_t shard_count, enum spate_pinning pinning)
{
    static struct spate_engine *engine;
    struct spate_config config;
    struct spate_error error = {""};
    memset(&seen, 0, sizeof(seen));
    (void)pthread_mutex_init(&seen.lock, NULL);
    spate_config_init(&config);
    config.shard_count = shard_count;
    config.pinning = pinning;
    if (spate_engine_create(&config, &engine, &error) != 0)
        fail_msg("%s", error.text);
    (void)owned_add(engine, destroy);
    const struct spate_handlers handlers = {
        .size = sizeof(handlers), .on_start = look, .on_events = on_events, .user = &engine};
    assert_int_equal(spate_engine_start(engine, &handlers, NULL), 0);
    uint32_t count = spate_engine_shard_count(engine);
    assert_int_equal(seen.count, count);
    owned_end(engine);
    return count;
}

static void threads_have_names_and_stay_on_their_cpus(void **state)
{
    (void)state;
    struct se_cpus cpus;
    se_cpus_read(&cpus);
    uint32_t count = start(SPATE_SHARDS_AUTO, SPATE_PINNING_ON);
    assert_int_equal(count, se_cpus_shard_count(&cpus));
    for (uint32_t i = 0; i < count; i++) {
        char name[32];
        (void)snprintf(name, sizeof(name), "spate/%u", i);
        assert_string_equal(seen.names[i], name);
        assert_int_equal(seen.cpus[i], cpus.list[i]);
    }
    count = start(3, SPATE_PINNING_AUTO);
    assert_int_equal(count, 3);
    assert_string_equal(seen.names[2], "spate/2");
    for (uint32_t i = 0; i < count && cpus.count > 1; i++)
        assert_int_equal(seen.cpus[i], -1);
    assert_int_equal(start(2, SPATE_PINNING_ON), 2);
    assert_int_equal(seen.cpus[1], cpus.list[cpus.count > 1 ? 1 : 0]);
}

/* ---- Memory ---- */

static char root[] = "/tmp/spate-nodes-XXXXXX";

static void remove_root(void *path)
{
    char command[64];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", (const char *)path);
    assert_int_equal(system(command), 0);
}

static void make_folder(const char *path)
{
    char command[256];
    (void)snprintf(command, sizeof(command), "mkdir -p '%s/sys/devices/system/%s'", root, path);
    assert_int_equal(system(command), 0);
}

static int policy_now(unsigned long *ret_first)
{
    int mode = -1;
    unsigned long nodes[NODES_MAX / (8 * sizeof(unsigned long))] = {0};
    if (syscall(SYS_get_mempolicy, &mode, nodes, NODES_MAX, NULL, 0) != 0)
        return -1;
    *ret_first = nodes[0];
    return mode;
}

/* Every machine has node 0: its files say that there is another one. */
static void memory_comes_from_the_node_of_the_cpu(void **state)
{
    (void)state;
    struct se_memory_policy policy;
    unsigned long nodes = 0;
    if (policy_now(&nodes) != POLICY_DEFAULT)
        return; /* a kernel without nodes, or somebody has set a policy for us */
    (void)snprintf(root, sizeof(root), "/tmp/spate-nodes-XXXXXX");
    assert_non_null(mkdtemp(root));
    (void)owned_add(root, remove_root);
    make_folder("node/node0");
    make_folder("cpu/cpu5/node0");
    se_cpus_begin_node(root, 5, &policy); /* the only node */
    assert_int_equal(policy_now(&nodes), POLICY_DEFAULT);
    se_cpus_end_node(&policy);

    make_folder("node/node1");
    se_cpus_begin_node(root, 5, &policy);
    assert_int_equal(policy_now(&nodes), POLICY_PREFERRED);
    assert_int_equal(nodes, 1);
    se_cpus_end_node(&policy);
    assert_int_equal(policy_now(&nodes), POLICY_DEFAULT);

    se_cpus_begin_node(root, 6, &policy); /* a CPU that is not there */
    assert_int_equal(policy_now(&nodes), POLICY_DEFAULT);
    se_cpus_end_node(&policy);
    assert_int_equal(policy_now(&nodes), POLICY_DEFAULT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mask_and_the_quota_bound_the_shards),
        cmocka_unit_test(the_configuration_decides_who_is_pinned),
        cmocka_unit_test(the_mask_of_the_caller_counts),
        QT_TEST(owned, threads_have_names_and_stay_on_their_cpus),
        QT_TEST(owned, memory_comes_from_the_node_of_the_cpu),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
