/* SPDX-License-Identifier: MIT */
#include "engine/config/quota.h"

/* Where the files are follows from two others:
 *
 *     /proc/self/cgroup      7:cpu,cpuacct:/docker/1f     v1: the hierarchy with "cpu", the group
 *                            0::/docker/1f                v2
 *     /proc/self/mountinfo   .. /docker/1f /sys/fs/cgroup .. - cgroup2 cgroup2 rw
 *                            a mount shows the hierarchy from a group on: here that of the
 * container
 *
 * A limit of a group holds for all groups below it, so the files of each level up to the mount are
 * read.  What is above the mount cannot be seen.
 *
 * Nothing here is an error: a file that is missing or says something else limits nothing. */

#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"

enum {
    PATH_SIZE = 4096,
    NUMBER_SIZE = 64,
    MOUNT_GROUP = 3, /* places of fields in mountinfo, see proc_pid_mountinfo(5) */
    MOUNT_PATH = 4,
    MOUNT_FIELDS = 5,
    KIND = 0, /* and of those after the dash */
    KIND_OPTIONS = 2,
    KIND_FIELDS = 3,
};

/* Where one hierarchy of groups is. */
struct place {
    bool has_group;
    bool has_mount;
    char group[PATH_SIZE];
    char mount_group[PATH_SIZE];
    char mount_path[PATH_SIZE];
};

struct search {
    const char *root;
    struct place v1;
    struct place v2;
};

/* ---- Parsers ---- */

/* Returns whether a list like "cpu,cpuacct" has a word. */
static bool has_word(const char *list, const char *word)
{
    size_t size = strlen(word);
    for (const char *at = list; at != NULL; at = strchr(at, ',')) {
        at += *at == ',';
        if (strncmp(at, word, size) == 0 && (at[size] == ',' || at[size] == '\0'))
            return true;
    }
    return false;
}

static void cut_line(char *line)
{
    line[strcspn(line, "\n")] = '\0';
}

bool se_quota_read_group(char *line, struct se_quota_group *ret)
{
    cut_line(line);
    char *controllers = strchr(line, ':');
    char *path = controllers == NULL ? NULL : strchr(controllers + 1, ':');
    if (path == NULL || path[1] != '/')
        return false;
    *controllers++ = '\0';
    *path++ = '\0';
    bool is_v2 = strcmp(line, "0") == 0 && *controllers == '\0';
    if (!is_v2 && !has_word(controllers, "cpu"))
        return false;
    *ret = (struct se_quota_group){.is_v2 = is_v2, .path = path};
    return true;
}

/* mountinfo writes blanks and the like as a backslash and three octal digits. */
static void decode(char *text)
{
    char *to = text;
    for (const char *at = text; *at != '\0'; to++) {
        bool is_coded = at[0] == '\\' && at[1] >= '0' && at[1] <= '3' && at[2] >= '0' &&
                        at[2] <= '7' && at[3] >= '0' && at[3] <= '7';
        *to = is_coded ? (char)((at[1] - '0') * 64 + (at[2] - '0') * 8 + at[3] - '0') : *at;
        at += is_coded ? 4 : 1;
    }
    *to = '\0';
}

/* Cuts a text at its blanks.  Returns false if it has fewer than `count` words. */
static bool cut_words(char *text, char **ret_words, int count)
{
    for (int i = 0; i < count; i++) {
        text += strspn(text, " ");
        if (*text == '\0')
            return false;
        ret_words[i] = text;
        text += strcspn(text, " ");
        if (*text != '\0')
            *text++ = '\0';
    }
    return true;
}

bool se_quota_read_mount(char *line, struct se_quota_mount *ret)
{
    char *fields[MOUNT_FIELDS];
    char *kinds[KIND_FIELDS];
    cut_line(line);
    char *dash = strstr(line, " - "); /* blanks in paths are coded */
    if (dash == NULL)
        return false;
    *dash = '\0';
    if (!cut_words(line, fields, MOUNT_FIELDS) || !cut_words(dash + 3, kinds, KIND_FIELDS))
        return false;
    bool is_v2 = strcmp(kinds[KIND], "cgroup2") == 0;
    if (!is_v2 && (strcmp(kinds[KIND], "cgroup") != 0 || !has_word(kinds[KIND_OPTIONS], "cpu")))
        return false;
    decode(fields[MOUNT_GROUP]);
    decode(fields[MOUNT_PATH]);
    *ret = (struct se_quota_mount){
        .is_v2 = is_v2, .group = fields[MOUNT_GROUP], .path = fields[MOUNT_PATH]};
    return true;
}

/* Reads a positive number.  Returns 0 if there is none. */
static uint64_t read_number(const char *text, const char **ret_end)
{
    char *end;
    errno = 0;
    long long value = strtoll(text, &end, 10);
    *ret_end = end;
    return errno != 0 || end == text || value <= 0 ? 0 : (uint64_t)value;
}

static uint32_t cpus_of(uint64_t quota, uint64_t period)
{
    if (quota == 0 || period == 0)
        return SE_QUOTA_NONE;
    uint64_t cpus = quota / period + (quota % period != 0);
    return (uint32_t)SB_MIN(cpus, (uint64_t)SE_QUOTA_NONE);
}

uint32_t se_quota_read_max(const char *text)
{
    const char *rest;
    uint64_t quota = read_number(text, &rest);
    if (quota == 0 || *rest != ' ')
        return SE_QUOTA_NONE;
    return cpus_of(quota, read_number(rest, &rest));
}

/* ---- Files ---- */

static FILE *open_file(const char *root, const char *folder, const char *name)
{
    char path[2 * PATH_SIZE];
    int size = snprintf(path, sizeof(path), "%s%s/%s", root, folder, name);
    return size > 0 && (size_t)size < sizeof(path) ? fopen(path, "re") : NULL;
}

/* Reads the first line of a file.  Returns false if there is none. */
static bool read_line(const char *root, const char *folder, const char *name, char *ret, int size)
{
    FILE *file = open_file(root, folder, name);
    if (file == NULL)
        return false;
    bool is_read = fgets(ret, size, file) != NULL;
    (void)fclose(file);
    return is_read;
}

static uint32_t read_v2(const char *root, const char *folder)
{
    char line[NUMBER_SIZE];
    bool is_read = read_line(root, folder, "cpu.max", line, sizeof(line));
    return is_read ? se_quota_read_max(line) : SE_QUOTA_NONE;
}

static uint32_t read_v1(const char *root, const char *folder)
{
    char quota[NUMBER_SIZE];
    char period[NUMBER_SIZE];
    const char *rest;
    if (!read_line(root, folder, "cpu.cfs_quota_us", quota, sizeof(quota)) ||
        !read_line(root, folder, "cpu.cfs_period_us", period, sizeof(period)))
        return SE_QUOTA_NONE;
    return cpus_of(read_number(quota, &rest), read_number(period, &rest));
}

/* ---- The search ---- */

static void keep(char ret[PATH_SIZE], const char *text, bool *ret_has)
{
    size_t size = strlen(text);
    *ret_has = size < PATH_SIZE;
    if (*ret_has)
        memcpy(ret, text, size + 1);
}

static void take_group(struct search *search, char *line)
{
    struct se_quota_group group;
    if (!se_quota_read_group(line, &group))
        return;
    struct place *place = group.is_v2 ? &search->v2 : &search->v1;
    keep(place->group, group.path, &place->has_group);
}

static void take_mount(struct search *search, char *line)
{
    struct se_quota_mount mount;
    bool has_group;
    if (!se_quota_read_mount(line, &mount))
        return;
    struct place *place = mount.is_v2 ? &search->v2 : &search->v1;
    if (place->has_mount)
        return; /* the first one; others show the same */
    keep(place->mount_group, mount.group, &has_group);
    keep(place->mount_path, mount.path, &place->has_mount);
    place->has_mount = place->has_mount && has_group;
}

static void take_lines(struct search *search, const char *name,
                       void (*take)(struct search *search, char *line))
{
    FILE *file = open_file(search->root, "/proc/self", name);
    char *line = NULL;
    size_t room = 0;
    if (file == NULL)
        return;
    while (getline(&line, &room, file) >= 0)
        take(search, line);
    free(line);
    (void)fclose(file);
}

/* Returns the part of the group's path that is below the mount: "" if the mount does not show it.
 */
static const char *below_mount(const struct place *place)
{
    size_t size = strcmp(place->mount_group, "/") == 0 ? 0 : strlen(place->mount_group);
    bool is_below = strncmp(place->group, place->mount_group, size) == 0 &&
                    (place->group[size] == '/' || place->group[size] == '\0');
    return is_below && strstr(place->group, "/..") == NULL ? place->group + size : "";
}

/* Returns the least limit from the group up to the mount. */
static uint32_t least(const struct search *search, const struct place *place,
                      uint32_t (*read)(const char *root, const char *folder))
{
    char folder[2 * PATH_SIZE];
    if (!place->has_group || !place->has_mount)
        return SE_QUOTA_NONE;
    size_t end = strlen(place->mount_path);
    (void)snprintf(folder, sizeof(folder), "%s%s", place->mount_path, below_mount(place));
    uint32_t cpus = read(search->root, folder);
    char *last;
    while ((last = strrchr(folder, '/')) != NULL && last >= folder + end) {
        *last = '\0';
        cpus = SB_MIN(cpus, read(search->root, folder));
    }
    return cpus;
}

uint32_t se_quota_cpus(const char *root)
{
    struct search *search = calloc(1, sizeof(*search));
    if (search == NULL)
        return SE_QUOTA_NONE;
    search->root = root;
    take_lines(search, "cgroup", take_group);
    take_lines(search, "mountinfo", take_mount);
    uint32_t cpus =
        SB_MIN(least(search, &search->v1, read_v1), least(search, &search->v2, read_v2));
    free(search);
    return cpus;
}
