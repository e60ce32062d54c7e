/* SPDX-License-Identifier: MIT */
#include "tools/spate/stat_map.h"

#include <ctype.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { TRIES_MAX = 1000, FIELDS_MAX = 4096, SHARDS_MAX = 4096 };

/* Of all shards together, without histograms: a file may claim any size. */
#define COPY_SIZE_MAX (UINT64_C(256) << 20)

/* ---- Finding and checking ---- */

/* Returns whether the file begins as such a file does. */
static bool has_magic(const char *path)
{
    char magic[8];
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    if (fd < 0)
        return false;
    struct stat status;
    bool is_it = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) &&
                 read(fd, magic, sizeof(magic)) == (ssize_t)sizeof(magic) &&
                 memcmp(magic, SPATE_STAT_MAGIC, sizeof(magic)) == 0;
    (void)close(fd);
    return is_it;
}

/* Looks through what a process has mapped: an engine writes to its file by such a mapping. */
static bool find_of_process(const char *pid, char *ret, size_t size)
{
    char name[64], line[2048];
    bool found = false;
    (void)snprintf(name, sizeof(name), "/proc/%.20s/maps", pid);
    FILE *maps = fopen(name, "re");
    if (maps == NULL)
        return false;
    while (!found && fgets(line, sizeof(line), maps) != NULL) {
        char *path = strchr(line, '/');
        if (path == NULL || strstr(line, " rw-s ") == NULL)
            continue;
        path[strcspn(path, "\n")] = '\0';
        found = has_magic(path) && (size_t)snprintf(ret, size, "%s", path) < size;
    }
    (void)fclose(maps);
    return found;
}

static bool is_number(const char *text)
{
    for (const char *c = text; *c != '\0'; c++)
        if (!isdigit((unsigned char)*c))
            return false;
    return text[0] != '\0';
}

static bool is_text(const char *text, size_t size)
{
    size_t used = strnlen(text, size);
    for (size_t i = 0; i < used; i++)
        if (!isgraph((unsigned char)text[i]))
            return false;
    return used < size;
}

/* Returns whether a text is a name as the counters have, which needs no quotes anywhere. */
static bool is_name(const char *text, size_t size)
{
    for (const char *c = text; is_text(text, size) && *c != '\0'; c++)
        if (!isalnum((unsigned char)*c) && *c != '_' && *c != '/')
            return false;
    return is_text(text, size);
}

/* Returns whether [at, at + size) is within [0, limit), without overflow. */
static bool is_within(uint64_t at, uint64_t size, uint64_t limit)
{
    return at <= limit && size <= limit - at;
}

static const char *check_field(struct stat_map *map, const struct spate_stat_field *field)
{
    const struct spate_stat_head *head = &map->head;
    bool is_of_conn = field->part == SPATE_STAT_CONN;
    bool is_histogram = field->kind == SPATE_STAT_HISTOGRAM;
    uint64_t size = is_histogram ? sizeof(struct spate_histogram) : sizeof(uint64_t);
    if (!is_name(field->name, sizeof(field->name)) || field->name[0] == '\0' ||
        !is_name(field->unit, sizeof(field->unit)))
        return "a name in it is none";
    if (field->offset % sizeof(uint64_t) != 0 ||
        (!is_of_conn && field->offset < sizeof(struct spate_stat_shard)) ||
        !is_within(field->offset, size, is_of_conn ? head->conn_size : head->shard_size))
        return "a field of it lies outside";
    if (is_of_conn && is_histogram)
        return "it has histograms of connections";
    if (is_histogram && field->offset < map->copy_size)
        map->copy_size = field->offset;
    return NULL;
}

static const char *check(struct stat_map *map)
{
    struct spate_stat_head *head = &map->head;
    if (map->size < sizeof(*head))
        return "it is too short";
    memcpy(head, map->bytes, sizeof(*head));
    if (memcmp(head->magic, SPATE_STAT_MAGIC, sizeof(head->magic)) != 0)
        return "it is no file of counters";
    if (head->version != SPATE_STAT_VERSION)
        return "it has another version";
    if (head->histogram_sub_bits != SPATE_HISTOGRAM_SUB_BITS ||
        head->histogram_value_bits != SPATE_HISTOGRAM_VALUE_BITS)
        return "its histograms have another layout";
    uint64_t conns_size = (uint64_t)head->conns_max * head->conn_size;
    bool is_sound = head->field_count <= FIELDS_MAX && head->shard_count <= SHARDS_MAX &&
                    head->shard_size >= sizeof(struct spate_stat_shard) &&
                    head->shard_size <= map->size && head->shard_size % 8 == 0 &&
                    head->shards_at % 8 == 0 && head->fields_at % 8 == 0 &&
                    head->conn_size % 8 == 0 && head->conns_offset % 8 == 0 &&
                    (head->conns_max == 0 || head->conn_size >= sizeof(struct spate_stat_conn)) &&
                    is_within(head->fields_at, head->field_count * sizeof(struct spate_stat_field),
                              map->size) &&
                    is_within(head->shards_at, head->shard_count * head->shard_size, map->size) &&
                    is_within(head->conns_offset, conns_size, head->shard_size);
    if (!is_sound)
        return "its head is broken";
    if (!is_text(head->library, sizeof(head->library)))
        return "a name in it is none";
    size_t fields_size = head->field_count * sizeof(struct spate_stat_field);
    map->fields = malloc(fields_size + 1);
    if (map->fields == NULL)
        return strerror(ENOMEM);
    memcpy(map->fields, map->bytes + head->fields_at, fields_size);
    map->copy_size = head->shard_size;
    for (uint32_t i = 0; i < head->field_count; i++) {
        const char *why = check_field(map, &map->fields[i]);
        if (why != NULL)
            return why;
    }
    /* What is copied has the counters and the rows. */
    for (uint32_t i = 0; i < head->field_count; i++)
        if (map->fields[i].part != SPATE_STAT_CONN && map->fields[i].kind != SPATE_STAT_HISTOGRAM &&
            !is_within(map->fields[i].offset, sizeof(uint64_t), map->copy_size))
            return "a field of it lies outside";
    return is_within(head->conns_offset, conns_size, map->copy_size) &&
                   head->shard_count * map->copy_size <= COPY_SIZE_MAX
               ? NULL
               : "its head is broken";
}

/* Reading a page behind the end of a file that was cut off raises SIGBUS.  Nothing can be done
 * about it but to say so. */
static void on_cut(int number)
{
    static const char text[] = "spate: the file was cut off while it was read\n";
    (void)number;
    (void)!write(STDERR_FILENO, text, sizeof(text) - 1);
    _exit(EXIT_FAILURE);
}

/* Maps the file at ret->path and checks it. */
static const char *open_path(struct stat_map *ret)
{
    int fd = open(ret->path, O_RDONLY | O_CLOEXEC | O_NOCTTY | O_NONBLOCK);
    struct stat status;
    if (fd < 0)
        return strerror(errno);
    ret->fd = fd;
    void *bytes = MAP_FAILED;
    bool is_file = fstat(fd, &status) == 0 && S_ISREG(status.st_mode) && status.st_size > 0;
    if (is_file)
        bytes = mmap(NULL, (size_t)status.st_size, PROT_READ, MAP_SHARED, fd, 0);
    if (bytes == MAP_FAILED) {
        stat_map_close(ret);
        return "it is no file of counters";
    }
    const struct sigaction action = {.sa_handler = on_cut};
    (void)sigaction(SIGBUS, &action, NULL);
    ret->bytes = bytes;
    ret->size = (size_t)status.st_size;
    ret->device = status.st_dev;
    ret->inode = status.st_ino;
    const char *why = check(ret);
    if (why != NULL)
        stat_map_close(ret);
    return why;
}

/* ---- The newest of a folder ---- */

static bool is_folder(const char *path)
{
    struct stat status;
    return stat(path, &status) == 0 && S_ISDIR(status.st_mode);
}

/* Returns whether `a` is rather to be shown than `b`: a running engine, then one that started
 * later. */
static bool is_newer(const struct stat_map *a, const struct stat_map *b)
{
    bool a_runs = stat_map_state(a) == STAT_RUNNING, b_runs = stat_map_state(b) == STAT_RUNNING;
    return a_runs != b_runs ? a_runs : a->head.started_wall_ns > b->head.started_wall_ns;
}

static const char *open_newest(const char *folder, struct stat_map *ret)
{
    const struct dirent *entry;
    DIR *entries = opendir(folder);
    if (entries == NULL)
        return strerror(errno);
    while ((entry = readdir(entries)) != NULL) {
        struct stat_map other = {.fd = -1};
        size_t size =
            (size_t)snprintf(other.path, sizeof(other.path), "%s/%s", folder, entry->d_name);
        if (size >= sizeof(other.path) || !has_magic(other.path) || open_path(&other) != NULL)
            continue;
        bool is_better = ret->bytes == NULL || is_newer(&other, ret);
        stat_map_close(is_better ? ret : &other);
        if (is_better)
            *ret = other;
    }
    (void)closedir(entries);
    (void)snprintf(ret->folder, sizeof(ret->folder), "%s", folder);
    return ret->bytes != NULL ? NULL : "that folder has no file of counters";
}

const char *stat_map_open(const char *what, struct stat_map *ret)
{
    *ret = (struct stat_map){.fd = -1};
    if (is_folder(what))
        return open_newest(what, ret);
    if (is_number(what) && access(what, F_OK) != 0) {
        char process[64];
        (void)snprintf(process, sizeof(process), "/proc/%s", what);
        if (access(process, F_OK) != 0)
            return "there is no such process; what it has left is in its folder of counters";
        if (!find_of_process(what, ret->path, sizeof(ret->path)))
            return "that process has no file of counters: set SPATE_STAT_DIR before it starts";
    } else if ((size_t)snprintf(ret->path, sizeof(ret->path), "%s", what) >= sizeof(ret->path)) {
        return "the path is too long";
    }
    return open_path(ret);
}

void stat_map_close(struct stat_map *map)
{
    if (map->bytes != NULL)
        (void)munmap((void *)(uintptr_t)map->bytes, map->size);
    map->bytes = NULL;
    if (map->fd >= 0)
        (void)close(map->fd);
    map->fd = -1;
    free(map->fields);
    map->fields = NULL;
}

static bool is_same(const struct stat_map *map, dev_t device, ino_t inode)
{
    return map->device == device && map->inode == inode;
}

bool stat_map_renew(struct stat_map *map)
{
    struct stat_map other = {.fd = -1};
    struct stat status;
    if (map->folder[0] != '\0') {
        if (stat_map_state(map) == STAT_RUNNING || open_newest(map->folder, &other) != NULL)
            return false;
    } else {
        memcpy(other.path, map->path, sizeof(other.path));
        if (stat(map->path, &status) != 0 || is_same(map, status.st_dev, status.st_ino) ||
            open_path(&other) != NULL)
            return false; /* it may be in the making: the next time */
    }
    bool is_other = !is_same(map, other.device, other.inode);
    stat_map_close(is_other ? map : &other);
    if (is_other)
        *map = other;
    return is_other;
}

/* Returns whether the process that has made the file has died.  Where its file system has no locks
 * its number tells; one of another user cannot be sent a signal, and lives. */
static bool is_gone(const struct stat_map *map)
{
    struct flock lock = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    if ((map->head.flags & SPATE_STAT_LOCKED) != 0 && fcntl(map->fd, F_OFD_GETLK, &lock) == 0)
        return lock.l_type == F_UNLCK;
    return kill((pid_t)map->head.pid, 0) != 0 && errno != EPERM;
}

enum stat_state stat_map_state(const struct stat_map *map)
{
    const struct spate_stat_head *head = (const void *)map->bytes;
    if (__atomic_load_n(&head->state, __ATOMIC_RELAXED) == SPATE_STAT_ENDED)
        return STAT_ENDED;
    return is_gone(map) ? STAT_GONE : STAT_RUNNING;
}

const char *stat_state_name(enum stat_state state)
{
    return state == STAT_RUNNING ? "running" : state == STAT_ENDED ? "ended" : "gone";
}

/* ---- Reading ---- */

static const uint8_t *block_of(const struct stat_map *map, uint32_t shard)
{
    return map->bytes + map->head.shards_at + shard * map->head.shard_size;
}

static void copy_words(uint8_t *to, const uint8_t *from, uint64_t size)
{
    for (uint64_t i = 0; i + sizeof(uint64_t) <= size; i += sizeof(uint64_t)) {
        uint64_t word =
            __atomic_load_n((const uint64_t *)(const void *)(from + i), __ATOMIC_RELAXED);
        memcpy(to + i, &word, sizeof(word));
    }
}

/* C1 acquire, pairs with the shard's P1: copies a block until it was not written to meanwhile.
 * Returns false if it never is: the process has died in between. */
static bool copy_block(const struct stat_map *map, uint32_t shard, uint8_t *to, uint32_t *tries)
{
    const uint8_t *block = block_of(map, shard);
    const uint64_t *sequence = (const uint64_t *)(const void *)block;
    for (;;) {
        uint64_t before = __atomic_load_n(sequence, __ATOMIC_ACQUIRE);
        copy_words(to, block, map->copy_size);
        __atomic_thread_fence(__ATOMIC_ACQUIRE);
        if (before % 2 == 0 && __atomic_load_n(sequence, __ATOMIC_RELAXED) == before)
            return true;
        if (*tries == 0)
            return false;
        *tries -= 1;
        const struct timespec pause = {.tv_nsec = 10000};
        (void)nanosleep(&pause, NULL);
    }
}

bool stat_view_take(const struct stat_map *map, struct stat_view *ret)
{
    struct timespec now;
    uint8_t *blocks = malloc(map->head.shard_count * map->copy_size + 1);
    if (blocks == NULL)
        return false;
    *ret = (struct stat_view){.map = map, .blocks = blocks};
    uint32_t tries = TRIES_MAX; /* of all shards together: a dead process is not waited for */
    for (uint32_t i = 0; i < map->head.shard_count; i++)
        ret->torn_count += !copy_block(map, i, blocks + i * map->copy_size, &tries);
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    ret->taken_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
    return true;
}

void stat_view_free(struct stat_view *view)
{
    free(view->blocks);
    view->blocks = NULL;
}

static uint64_t word_at(const uint8_t *from, uint64_t offset)
{
    uint64_t word;
    memcpy(&word, from + offset, sizeof(word));
    return word;
}

uint64_t stat_view_published_ns(const struct stat_view *view)
{
    uint64_t published_ns = 0;
    for (uint32_t i = 0; i < view->map->head.shard_count; i++) {
        uint64_t at_ns = stat_view_shard(view, i)->published_ns;
        published_ns = at_ns > published_ns ? at_ns : published_ns;
    }
    return published_ns;
}

const struct spate_stat_shard *stat_view_shard(const struct stat_view *view, uint32_t shard)
{
    return (const struct spate_stat_shard *)(const void *)(view->blocks +
                                                           shard * view->map->copy_size);
}

uint32_t stat_view_conn_count(const struct stat_view *view, uint32_t shard)
{
    uint64_t count = stat_view_shard(view, shard)->conn_count;
    return count < view->map->head.conns_max ? (uint32_t)count : view->map->head.conns_max;
}

static const uint8_t *row_of(const struct stat_view *view, uint32_t shard, uint32_t row)
{
    const struct spate_stat_head *head = &view->map->head;
    return view->blocks + shard * view->map->copy_size + head->conns_offset +
           (uint64_t)row * head->conn_size;
}

const struct spate_stat_conn *stat_view_conn(const struct stat_view *view, uint32_t shard,
                                             uint32_t row)
{
    return (const struct spate_stat_conn *)(const void *)row_of(view, shard, row);
}

uint64_t stat_view_value(const struct stat_view *view, uint32_t shard,
                         const struct spate_stat_field *field)
{
    return word_at(view->blocks + shard * view->map->copy_size, field->offset);
}

uint64_t stat_view_conn_value(const struct stat_view *view, uint32_t shard, uint32_t row,
                              const struct spate_stat_field *field)
{
    return word_at(row_of(view, shard, row), field->offset);
}

const struct spate_stat_field *stat_map_find(const struct stat_map *map, enum spate_stat_part part,
                                             const char *name)
{
    for (uint32_t i = 0; i < map->head.field_count; i++)
        if (map->fields[i].part == part && strcmp(map->fields[i].name, name) == 0)
            return &map->fields[i];
    return NULL;
}

uint64_t stat_view_sum(const struct stat_view *view, const char *name)
{
    const struct spate_stat_field *field = stat_map_find(view->map, SPATE_STAT_SHARD, name);
    uint64_t sum = 0;
    if (field == NULL || field->kind == SPATE_STAT_HISTOGRAM)
        return 0;
    for (uint32_t i = 0; i < view->map->head.shard_count; i++) {
        uint64_t value = stat_view_value(view, i, field);
        bool is_longest = strcmp(name, "turn_longest_ns") == 0;
        sum = !is_longest ? sum + value : sum > value ? sum : value;
    }
    return sum;
}

void stat_map_add_histogram(const struct stat_map *map, uint32_t shard,
                            const struct spate_stat_field *field, struct spate_histogram *sum)
{
    const struct spate_histogram *from =
        (const struct spate_histogram *)(const void *)(block_of(map, shard) + field->offset);
    uint64_t count = 0;
    for (uint32_t i = 0; i < SPATE_HISTOGRAM_BUCKET_COUNT; i++) {
        uint64_t one = __atomic_load_n(&from->counts[i], __ATOMIC_RELAXED);
        sum->counts[i] += one;
        count += one;
    }
    uint64_t min = __atomic_load_n(&from->min, __ATOMIC_RELAXED);
    uint64_t max = __atomic_load_n(&from->max, __ATOMIC_RELAXED);
    sum->count += count;
    sum->sum += __atomic_load_n(&from->sum, __ATOMIC_RELAXED);
    if (count > 0 && min < sum->min)
        sum->min = min;
    if (count > 0 && max > sum->max)
        sum->max = max;
}
