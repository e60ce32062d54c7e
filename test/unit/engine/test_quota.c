/* SPDX-License-Identifier: MIT */
/* The CPU time that control groups allow, from files of containers and service managers. */

#include "test/support/qt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/config/quota.h"
#include "test/support/owned.h"

enum { PATH_SIZE = 4096 };

/* ---- Parsers ---- */

static const struct {
    const char *line;
    bool is_group;
    bool is_v2;
    const char *path;
} group_lines[] = {
    {"0::/\n", true, true, "/"},
    {"0::/system.slice/a.service\n", true, true, "/system.slice/a.service"},
    {"4:cpu,cpuacct:/docker/1f\n", true, false, "/docker/1f"},
    {"4:cpuacct,cpu:/docker/1f", true, false, "/docker/1f"},
    {"1:cpu:/\n", true, false, "/"},
    {"0::/a:b\n", true, true, "/a:b"},
    {"12:cpuacct:/\n", false, false, ""},
    {"12:cpuset:/\n", false, false, ""},
    {"1:name=systemd:/\n", false, false, ""},
    {"1::/\n", false, false, ""},
    {"0::relative\n", false, false, ""},
    {"0:\n", false, false, ""},
    {"\n", false, false, ""},
    {"", false, false, ""},
};

static void lines_of_groups(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(group_lines); i++) {
        char line[128];
        struct se_quota_group group;
        (void)snprintf(line, sizeof(line), "%s", group_lines[i].line);
        assert_int_equal(se_quota_read_group(line, &group), group_lines[i].is_group);
        if (!group_lines[i].is_group)
            continue;
        assert_int_equal(group.is_v2, group_lines[i].is_v2);
        assert_string_equal(group.path, group_lines[i].path);
    }
}

static const char v1_mount[] = "33 24 0:29 /docker/1f /sys/fs/cgroup/cpu,cpuacct rw,nosuid "
                               "shared:9 master:2 - cgroup cgroup rw,cpu,cpuacct\n";
static const char v2_mount[] =
    "25 24 0:22 / /sys/fs/my\\040cgroup rw - cgroup2 cgroup2 rw,nsdelegate\n";

static const struct {
    const char *line;
    bool is_mount;
    bool is_v2;
    const char *group;
    const char *path;
} mount_lines[] = {
    {v1_mount, true, false, "/docker/1f", "/sys/fs/cgroup/cpu,cpuacct"},
    {v2_mount, true, true, "/", "/sys/fs/my cgroup"},
    {"33 24 0:29 / /sys/fs/cgroup/cpuset rw - cgroup cgroup rw,cpuset\n", false, false, "", ""},
    {"22 1 8:1 / / rw,relatime shared:1 - ext4 /dev/sda1 rw\n", false, false, "", ""},
    {"25 24 0:22 / - cgroup2 cgroup2 rw\n", false, false, "", ""},
    {"25 24 0:22 / /sys/fs/cgroup rw - cgroup2\n", false, false, "", ""},
    {"25 24 0:22 / /sys/fs/cgroup rw cgroup2 cgroup2 rw\n", false, false, "", ""},
    {"\n", false, false, "", ""},
    {" - ", false, false, "", ""},
};

static void lines_of_mounts(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(mount_lines); i++) {
        char line[256];
        struct se_quota_mount mount;
        (void)snprintf(line, sizeof(line), "%s", mount_lines[i].line);
        assert_int_equal(se_quota_read_mount(line, &mount), mount_lines[i].is_mount);
        if (!mount_lines[i].is_mount)
            continue;
        assert_int_equal(mount.is_v2, mount_lines[i].is_v2);
        assert_string_equal(mount.group, mount_lines[i].group);
        assert_string_equal(mount.path, mount_lines[i].path);
    }
}

static const struct {
    const char *text;
    uint32_t cpus;
} max_texts[] = {
    {"max 100000\n", SE_QUOTA_NONE},
    {"100000 100000\n", 1},
    {"150000 100000\n", 2},
    {"200000 100000\n", 2},
    {"200001 100000", 3},
    {"1000 100000\n", 1},
    {"9223372036854775807 1\n", SE_QUOTA_NONE},
    {"9223372036854775808 1\n", SE_QUOTA_NONE},
    {"0 100000\n", SE_QUOTA_NONE},
    {"-1 100000\n", SE_QUOTA_NONE},
    {"100000 0\n", SE_QUOTA_NONE},
    {"100000\n", SE_QUOTA_NONE},
    {"100000", SE_QUOTA_NONE},
    {"", SE_QUOTA_NONE},
};

static void texts_of_cpu_max(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(max_texts); i++)
        assert_int_equal(se_quota_read_max(max_texts[i].text), max_texts[i].cpus);
}

/* Whatever a line is cut to, nothing beyond its end is read: each copy ends where its memory does.
 */
static void all_truncations(void **state)
{
    (void)state;
    static const char *const texts[] = {v1_mount, v2_mount, "4:cpu,cpuacct:/docker/1f\n",
                                        "0::/system.slice\n", "150000 100000\n"};
    for (size_t i = 0; i < QT_COUNT(texts); i++) {
        for (size_t size = 0; size <= strlen(texts[i]); size++) {
            struct se_quota_group group;
            struct se_quota_mount mount;
            for (int parser = 0; parser < 3; parser++) {
                char *line = malloc(size + 1);
                assert_non_null(line);
                memcpy(line, texts[i], size);
                line[size] = '\0';
                if (parser == 0)
                    (void)se_quota_read_group(line, &group);
                else if (parser == 1)
                    (void)se_quota_read_mount(line, &mount);
                else
                    (void)se_quota_read_max(line);
                free(line);
            }
        }
    }
}

/* ---- Whole machines ---- */

static char root[] = "/tmp/spate-quota-XXXXXX";

static void remove_root(void *path)
{
    char command[PATH_SIZE];
    (void)snprintf(command, sizeof(command), "rm -rf '%s'", (const char *)path);
    assert_int_equal(system(command), 0);
}

static void make_root(void)
{
    (void)snprintf(root, sizeof(root), "/tmp/spate-quota-XXXXXX");
    assert_non_null(mkdtemp(root));
    (void)owned_add(root, remove_root);
}

static void write_file(const char *path, const char *text)
{
    char name[PATH_SIZE];
    (void)snprintf(name, sizeof(name), "%s%s", root, path);
    for (char *at = name + sizeof(root); (at = strchr(at, '/')) != NULL; at++) {
        *at = '\0';
        (void)mkdir(name, 0700);
        *at = '/';
    }
    FILE *file = fopen(name, "we");
    assert_non_null(file);
    assert_true(fputs(text, file) >= 0);
    assert_int_equal(fclose(file), 0);
}

static void a_machine_without_groups_has_no_limit(void **state)
{
    (void)state;
    make_root();
    assert_int_equal(se_quota_cpus(root), SE_QUOTA_NONE);
    write_file("/proc/self/cgroup", "0::/\n");
    assert_int_equal(se_quota_cpus(root), SE_QUOTA_NONE);
    write_file("/proc/self/mountinfo", "25 24 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    assert_int_equal(se_quota_cpus(root), SE_QUOTA_NONE); /* the root group has no cpu.max */
}

static void the_least_limit_on_the_way_up_counts(void **state)
{
    (void)state;
    make_root();
    write_file("/proc/self/cgroup", "0::/a/b/c\n");
    write_file("/proc/self/mountinfo", "22 1 8:1 / / rw - ext4 /dev/sda1 rw\n"
                                       "25 24 0:22 / /sys/fs/cgroup rw - cgroup2 cgroup2 rw\n");
    write_file("/sys/fs/cgroup/a/b/c/cpu.max", "max 100000\n");
    assert_int_equal(se_quota_cpus(root), SE_QUOTA_NONE);
    write_file("/sys/fs/cgroup/a/cpu.max", "350000 100000\n");
    assert_int_equal(se_quota_cpus(root), 4);
    write_file("/sys/fs/cgroup/a/b/c/cpu.max", "250000 100000\n");
    assert_int_equal(se_quota_cpus(root), 3);
    write_file("/sys/fs/cgroup/a/b/cpu.max", "50000 100000\n");
    assert_int_equal(se_quota_cpus(root), 1);
    write_file("/sys/fs/cpu.max", "1000 100000\n"); /* above the mount: of nobody */
    write_file("/sys/fs/cgroup/a/b/cpu.max", "200000 100000\n");
    assert_int_equal(se_quota_cpus(root), 2);
}

/* A container sees its own group as the root of the mount. */
static void a_mount_of_a_group_is_that_of_a_container(void **state)
{
    (void)state;
    make_root();
    write_file("/proc/self/cgroup", "4:cpu,cpuacct:/docker/1f\n3:cpuset:/docker/1f\n");
    write_file("/proc/self/mountinfo",
               "33 24 0:29 /docker/1f /sys/fs/cgroup/cpu rw - cgroup cgroup rw,cpu,cpuacct\n");
    write_file("/sys/fs/cgroup/cpu/cpu.cfs_period_us", "50000\n");
    write_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "-1\n");
    assert_int_equal(se_quota_cpus(root), SE_QUOTA_NONE);
    write_file("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "75000\n");
    assert_int_equal(se_quota_cpus(root), 2);
    write_file("/proc/self/cgroup", "4:cpu,cpuacct:/docker/1f/inner\n");
    assert_int_equal(se_quota_cpus(root), 2);
    write_file("/sys/fs/cgroup/cpu/inner/cpu.cfs_period_us", "50000\n");
    write_file("/sys/fs/cgroup/cpu/inner/cpu.cfs_quota_us", "10000\n");
    assert_int_equal(se_quota_cpus(root), 1);
    /* What the mount does not show, has the limit of the mount. */
    write_file("/proc/self/cgroup", "4:cpu,cpuacct:/docker/1fe\n");
    assert_int_equal(se_quota_cpus(root), 2);
    write_file("/proc/self/cgroup", "4:cpu,cpuacct:/docker/1f/../inner\n");
    assert_int_equal(se_quota_cpus(root), 2);
}

/* Both versions at once: v1 has the CPUs, or v2 does. */
static void of_two_versions_the_smaller_limit_counts(void **state)
{
    (void)state;
    make_root();
    write_file("/proc/self/cgroup", "1:cpu:/x\n0::/y\n");
    write_file("/proc/self/mountinfo", "33 24 0:29 / /cg1 rw - cgroup cgroup rw,cpu\n"
                                       "34 24 0:30 / /cg2 rw - cgroup2 cgroup2 rw\n");
    write_file("/cg1/x/cpu.cfs_period_us", "100000\n");
    write_file("/cg1/x/cpu.cfs_quota_us", "500000\n");
    assert_int_equal(se_quota_cpus(root), 5);
    write_file("/cg2/y/cpu.max", "300000 100000\n");
    assert_int_equal(se_quota_cpus(root), 3);
    write_file("/cg1/x/cpu.cfs_quota_us", "100000\n");
    assert_int_equal(se_quota_cpus(root), 1);
}

/* This machine's files are read to their end, whatever they say. */
static void this_machine_gives_an_answer(void **state)
{
    (void)state;
    assert_true(se_quota_cpus("") >= 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(lines_of_groups),
        cmocka_unit_test(lines_of_mounts),
        cmocka_unit_test(texts_of_cpu_max),
        cmocka_unit_test(all_truncations),
        QT_TEST(owned, a_machine_without_groups_has_no_limit),
        QT_TEST(owned, the_least_limit_on_the_way_up_counts),
        QT_TEST(owned, a_mount_of_a_group_is_that_of_a_container),
        QT_TEST(owned, of_two_versions_the_smaller_limit_counts),
        cmocka_unit_test(this_machine_gives_an_answer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
