/* SPDX-License-Identifier: MIT */
#include "engine/shard/stat_file.h"

/* Counters and histograms in a mapped file, for readers outside: <spate/stat_file.h> has its
 * layout.
 *
 * The shard's histograms are in the file itself.  Counters are spread over many structs, and those
 * of connections have to be added up; so the shard copies them at most every 100 ms, at the end of
 * a turn.  A timer brings the last copy after the last event, and a shard in which nothing happens
 * does not wake up for it.  Only the shard's thread writes to its block, with plain stores between
 * two changes of `sequence`.
 *
 * The file is reserved in whole when it is made: on a full disk a store into a hole would end the
 * process.  A child of fork() would keep the mapping, and with it the lock by which readers see
 * that the process lives: it gets other memory in its place, and never touches the file.  A file on
 * a disk costs a page fault whenever the kernel has written a page out; one in /run or /dev/shm
 * does not. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <spate/stats.h>

#include "engine/base/clock.h"
#include "engine/base/path.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

enum {
    FIELDS_MAX = 256,
    PAGE = 4096,
    COUNTERS_OFFSET = sizeof(struct spate_stat_shard),
    ROWS_OFFSET = COUNTERS_OFFSET + sizeof(struct spate_shard_stats),
    HISTOGRAMS_OFFSET =
        (ROWS_OFFSET + SE_STAT_CONNS_MAX * sizeof(struct se_stat_row) + PAGE - 1) / PAGE * PAGE,
    SHARD_SIZE =
        (HISTOGRAMS_OFFSET + SE_HISTOGRAM_COUNT * sizeof(struct spate_histogram) + PAGE - 1) /
        PAGE * PAGE,
    FIELDS_AT = PAGE,
    SHARDS_AT = FIELDS_AT + FIELDS_MAX * sizeof(struct spate_stat_field),
};

_Static_assert(SHARDS_AT % PAGE == 0, "blocks share no page");
_Static_assert(sizeof(struct spate_stat_field) == 64, "fields of one line each");

/* ---- Children of fork() ---- */

/* For the list, and for all that makes or ends a file: a child that is forked meanwhile would have
 * a descriptor or a mapping of which the list knows nothing. */
static pthread_mutex_t files_lock = PTHREAD_MUTEX_INITIALIZER;
static struct sb_link files = {&files, &files};
static pthread_once_t fork_once = PTHREAD_ONCE_INIT;
/* This thread is in fork() and has the lock.  Handlers of the program's own may create and destroy
 * engines there, before and after those of this file. */
static _Thread_local bool is_forking;

static void lock_files(void)
{
    if (!is_forking)
        (void)pthread_mutex_lock(&files_lock);
}

static void unlock_files(void)
{
    if (!is_forking)
        (void)pthread_mutex_unlock(&files_lock);
}

static void before_fork(void)
{
    lock_files();
    is_forking = true;
    SB_LIST_EACH(link, &files)
        SB_CONTAINER_OF(link, struct se_stat_file, link)->is_forked = true;
}

static void after_fork(void)
{
    if (!is_forking)
        return; /* this fork() had begun before the first engine was made */
    SB_LIST_EACH(link, &files)
        SB_CONTAINER_OF(link, struct se_stat_file, link)->is_forked = false;
    is_forking = false;
    unlock_files();
}

static void in_child(void)
{
    if (!is_forking)
        return;
    SB_LIST_EACH(link, &files) {
        struct se_stat_file *file = SB_CONTAINER_OF(link, struct se_stat_file, link);
        if (!file->is_forked)
            continue; /* made since, by the child */
        (void)mmap(file->map, file->size, PROT_READ | PROT_WRITE,
                   MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED, -1, 0);
        file->is_parents = true;
    }
    after_fork();
}

static void watch_forks(void)
{
    (void)pthread_atfork(before_fork, after_fork, in_child);
}

/* ---- The file ---- */

static uint32_t describe(struct spate_stat_field *to, const struct spate_counter *from,
                         enum spate_stat_part part, uint32_t base)
{
    (void)snprintf(to->name, sizeof(to->name), "%s", from->name);
    (void)snprintf(to->unit, sizeof(to->unit), "%s", from->unit);
    to->kind = from->is_gauge ? SPATE_STAT_GAUGE : SPATE_STAT_COUNTER;
    to->part = part;
    to->offset = base + from->offset;
    return 1;
}

static uint32_t describe_all(struct spate_stat_field *fields)
{
    struct spate_counter counters[FIELDS_MAX];
    uint32_t used = 0;
    size_t count = spate_shard_counters(counters, FIELDS_MAX);
    for (size_t i = 0; i < count && used < FIELDS_MAX; i++)
        used += describe(&fields[used], &counters[i], SPATE_STAT_SHARD, COUNTERS_OFFSET);
    count = spate_conn_counters(counters, FIELDS_MAX);
    for (size_t i = 0; i < count && used < FIELDS_MAX; i++)
        used += describe(&fields[used], &counters[i], SPATE_STAT_CONN,
                         offsetof(struct se_stat_row, stats));
    for (uint32_t i = 0; i < SE_HISTOGRAM_COUNT && used < FIELDS_MAX; i++) {
        const char *name = spate_shard_histogram_name(i);
        bool is_time = strcmp(name + strlen(name) - 3, "_ns") == 0;
        const struct spate_counter one = {.name = name, .unit = is_time ? "ns" : ""};
        used += describe(&fields[used], &one, SPATE_STAT_SHARD,
                         (uint32_t)(HISTOGRAMS_OFFSET + i * sizeof(struct spate_histogram)));
        fields[used - 1].kind = SPATE_STAT_HISTOGRAM;
    }
    SB_ASSERT(used < FIELDS_MAX);
    return used;
}

/* Returns whether readers can see by a lock that this process lives.  The lock belongs to the open
 * file, which the mapping keeps: so it ends with the mapping, however the process ends.  For a
 * moment a child of fork() has the mapping, too. */
static bool lock(int fd)
{
    struct flock whole = {.l_type = F_WRLCK, .l_whence = SEEK_SET};
    return fcntl(fd, F_OFD_SETLK, &whole) == 0;
}

static void write_head(const struct se_stat_file *file, uint32_t shard_count, bool is_locked)
{
    struct spate_stat_head *head = (struct spate_stat_head *)file->map;
    *head = (struct spate_stat_head){
        .version = SPATE_STAT_VERSION,
        .state = SPATE_STAT_RUNNING,
        .size = file->size,
        .pid = (uint64_t)getpid(),
        .started_wall_ns = se_clock_wall_ns(),
        .started_ns = se_clock_now_ns(),
        .shard_count = shard_count,
        .fields_at = FIELDS_AT,
        .shards_at = SHARDS_AT,
        .shard_size = SHARD_SIZE,
        .conns_offset = ROWS_OFFSET,
        .conns_max = SE_STAT_CONNS_MAX,
        .conn_size = sizeof(struct se_stat_row),
        .histogram_sub_bits = SPATE_HISTOGRAM_SUB_BITS,
        .histogram_value_bits = SPATE_HISTOGRAM_VALUE_BITS,
        .flags = is_locked ? SPATE_STAT_LOCKED : 0,
        .field_count = describe_all((struct spate_stat_field *)(file->map + FIELDS_AT)),
    };
    (void)snprintf(head->library, sizeof(head->library), "%s", spate_version());
    /* Last: a reader that sees the magic sees all of it. */
    atomic_thread_fence(memory_order_release);
    memcpy(head->magic, SPATE_STAT_MAGIC, sizeof(head->magic));
}

/* Notes which file it is.  Returns 0 or a negative errno. */
static int identify(struct se_stat_file *file, int fd)
{
    struct stat status;
    if (fstat(fd, &status) != 0)
        return -errno;
    file->device = status.st_dev;
    file->inode = status.st_ino;
    return 0;
}

/* Returns whether the path still leads to the file: an engine that began later, such as that of the
 * next process after a hand-over, may have replaced it. */
static bool is_in_place(const struct se_stat_file *file)
{
    struct stat status;
    return lstat(file->path, &status) == 0 && status.st_dev == file->device &&
           status.st_ino == file->inode;
}

/* Makes the file anew: a reader of an earlier one keeps that.  The caller holds the lock. */
static int make(struct se_stat_file *file, uint32_t shard_count)
{
    if (unlink(file->path) != 0 && errno != ENOENT)
        return -errno;
    int fd = open(file->path, O_RDWR | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0644);
    if (fd < 0)
        return -errno;
    file->size = SHARDS_AT + (size_t)shard_count * SHARD_SIZE;
    int error = identify(file, fd);
    if (error == 0)
        error = -posix_fallocate(fd, 0, (off_t)file->size);
    void *map =
        error != 0 ? MAP_FAILED : mmap(NULL, file->size, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    if (error == 0 && map == MAP_FAILED)
        error = -errno;
    bool is_locked = error == 0 && lock(fd);
    (void)close(fd);
    if (error != 0) {
        (void)unlink(file->path);
        return error;
    }
    file->map = map;
    file->pid = getpid();
    file->is_parents = file->is_forked = false;
    sb_list_init(&file->link);
    sb_list_push_back(&files, &file->link);
    write_head(file, shard_count, is_locked);
    return 0;
}

int se_stat_file_open(struct se_stat_file *file, const char *path, uint32_t shard_count,
                      struct spate_error *warning, struct spate_error *error)
{
    static atomic_uint count; /* of the engines of this process */
    const char *folder = path == NULL ? secure_getenv("SPATE_STAT_DIR") : NULL;
    int size = 0;
    file->map = NULL;
    if (path != NULL)
        size = snprintf(file->path, sizeof(file->path), "%s", path);
    else if (folder != NULL && folder[0] != '\0')
        size = snprintf(file->path, sizeof(file->path), "%s/spate-%ld-%u.stat", folder,
                        (long)getpid(), atomic_fetch_add(&count, 1));
    else
        return 0;
    int result = -ENAMETOOLONG;
    if (size > 0 && (size_t)size < sizeof(file->path)) {
        (void)pthread_once(&fork_once, watch_forks);
        lock_files();
        result = make(file, shard_count);
        unlock_files();
    }
    if (result == 0)
        return 0;
    if (path == NULL && warning->text[0] == '\0')
        se_error_set(warning, "no file for \"spate stat\" in SPATE_STAT_DIR, %.150s: %s", folder,
                     strerrordesc_np(-result));
    if (path != NULL)
        se_error_set(error, "stat_file, %.150s: %s", path, strerrordesc_np(-result));
    return path == NULL ? 0 : result;
}

void se_stat_file_close(struct se_stat_file *file)
{
    if (file->map == NULL)
        return;
    lock_files();
    sb_list_remove(&file->link);
    if (!file->is_parents && file->pid == getpid()) { /* a child may not have come to in_child() */
        ((struct spate_stat_head *)file->map)->state = SPATE_STAT_ENDED;
        if (is_in_place(file)) /* before the mapping ends: until then the inode is no other's */
            (void)unlink(file->path);
    }
    (void)munmap(file->map, file->size);
    file->map = NULL;
    unlock_files();
}

/* ---- The shard's side ---- */

int se_stat_init(struct spate_shard *shard, const struct se_stat_file *file)
{
    struct spate_histogram *histograms;
    if (file == NULL || file->map == NULL) {
        histograms = calloc(SE_HISTOGRAM_COUNT, sizeof(histograms[0]));
        if (histograms == NULL)
            return -ENOMEM;
    } else {
        shard->stat = calloc(1, sizeof(*shard->stat));
        if (shard->stat == NULL)
            return -ENOMEM;
        shard->stat->block = file->map + SHARDS_AT + (size_t)shard->index * SHARD_SIZE;
        se_timer_init(&shard->stat->timer);
        shard->stat->timer.kind = SE_TIMER_STAT;
        histograms = (struct spate_histogram *)(shard->stat->block + HISTOGRAMS_OFFSET);
    }
    se_stages_init(&shard->stages, histograms);
    return 0;
}

void se_stat_deinit(struct spate_shard *shard)
{
    if (shard->stat == NULL)
        free(shard->stages.histograms);
    free(shard->stat);
    shard->stages.histograms = NULL;
    shard->stat = NULL;
}

/* A number that changes with everything that happens in a shard, but for the passing of time. */
static uint64_t activity_of(const struct spate_shard *shard)
{
    return shard->counts.own.datagrams_in + shard->send.counts.trains + shard->events.pushed_count +
           shard->counts.own.channel_commands + shard->conn_count;
}

/* Keeps the connection's row if it is among those with most bytes. */
static void rank(struct spate_conn *conn, const struct sp_stats *stats)
{
    struct se_stat *stat = conn->shard->stat;
    uint64_t bytes = stats->bytes_in + stats->bytes_out;
    uint64_t recent = bytes - conn->stat_bytes;
    uint32_t at = stat->row_count;
    conn->stat_bytes = bytes;
    while (at > 0 && stat->rows[at - 1].conn.recent_bytes < recent)
        at--;
    if (at == SE_STAT_CONNS_MAX)
        return;
    if (stat->row_count < SE_STAT_CONNS_MAX)
        stat->row_count++;
    memmove(&stat->rows[at + 1], &stat->rows[at],
            (stat->row_count - 1 - at) * sizeof(stat->rows[0]));
    struct se_stat_row *row = &stat->rows[at];
    struct su_address peer;
    char text[SU_ADDRESS_TEXT_SIZE];
    row->conn = (struct spate_stat_conn){.id = conn->id, .recent_bytes = recent};
    se_addr_to(&conn->remote, &peer);
    (void)snprintf(row->conn.peer, sizeof(row->conn.peer), "%s", su_address_format(&peer, text));
    spate_conn_stats(conn, &row->stats);
}

/* Looks at some connections.  Returns true if it has seen all. */
static bool walk(struct spate_shard *shard)
{
    struct se_stat *stat = shard->stat;
    if (!stat->is_walking) {
        stat->is_walking = true;
        stat->cursor = 0;
        stat->old_cids_count = 0;
        stat->row_count = 0;
        stat->sum = shard->counts.conns_closed;
    }
    uint32_t end = SB_MIN(shard->slots_made, stat->cursor + SE_STAT_CONNS_PER_TURN);
    for (; stat->cursor < end; stat->cursor++) {
        struct spate_conn *conn = shard->slots[stat->cursor].conn;
        if (conn == NULL)
            continue;
        struct sp_stats stats;
        sp_conn_stats(conn->proto, &stats);
        stats.memory_bytes = se_conn_memory_bytes(conn);
        sp_stats_add(&stat->sum, &stats);
        stat->old_cids_count += se_conn_has_old_cids(conn);
        rank(conn, &stats);
    }
    stat->is_walking = stat->cursor < shard->slots_made;
    return !stat->is_walking;
}

void se_stat_on_freed(struct spate_shard *shard, uint32_t index, const struct sp_stats *stats)
{
    struct se_stat *stat = shard->stat;
    if (stat != NULL && stat->is_walking && index >= stat->cursor)
        sp_stats_add(&stat->sum, stats);
}

static void publish(struct spate_shard *shard)
{
    struct se_stat *stat = shard->stat;
    struct spate_stat_shard *head = (struct spate_stat_shard *)stat->block;
    struct spate_shard_stats stats;
    const struct se_conns_sum conns = {&stat->sum, stat->old_cids_count};
    se_metrics_gather(shard, &conns, &stats);

    /* P1 release, pairs with a reader's acquire: the stores between stay between. */
    _Atomic uint64_t *sequence = (_Atomic uint64_t *)&head->sequence;
    uint64_t before = atomic_load_explicit(sequence, memory_order_relaxed);
    atomic_store_explicit(sequence, before + 1, memory_order_relaxed);
    atomic_thread_fence(memory_order_release);
    head->published_ns = shard->now_ns;
    head->conn_count = stat->row_count;
    memcpy(stat->block + COUNTERS_OFFSET, &stats, sizeof(stats));
    memcpy(stat->block + ROWS_OFFSET, stat->rows, stat->row_count * sizeof(stat->rows[0]));
    atomic_store_explicit(sequence, before + 2, memory_order_release);
}

void se_stat_run(struct spate_shard *shard)
{
    struct se_stat *stat = shard->stat;
    uint64_t activity = activity_of(shard);
    if (activity == stat->activity && !stat->is_walking)
        return;
    if (shard->now_ns >= stat->next_ns && walk(shard)) {
        publish(shard);
        stat->activity = activity;
        stat->next_ns = shard->now_ns + SE_STAT_INTERVAL_NS;
        se_wheel_remove(&shard->wheel, &stat->timer);
    } else if (!se_timer_is_armed(&stat->timer)) {
        se_wheel_set(&shard->wheel, &stat->timer, SB_MAX(stat->next_ns, shard->now_ns + SB_MS));
    }
}
