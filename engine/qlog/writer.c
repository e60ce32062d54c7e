/* SPDX-License-Identifier: MIT */
#include "engine/qlog/log_impl.h"

/* The thread that writes qlog: takes records out of the rings, makes text, appends it to the files.
 *
 * A file is made when the connection has shown that it is one: a server's when a ClientHello has
 * begun.  Until then its text waits in the buffer, which is dropped if nothing comes of it.  What
 * the system refuses to write ends the file, and is counted for the shard. */

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/qlog/text.h"
#include "proto/base/assert.h"
#include "proto/base/time.h"

enum {
    BUFFER_SIZE = 128 * 1024, /* of a file: a record's text always fits into an empty one */
    PAUSE_MS = 10,            /* between two rounds */
    CUT_SIZE = 256,           /* of the event that ends a file which may not grow */
};

_Static_assert((int)BUFFER_SIZE >= (int)SE_QLOG_TEXT_SIZE_MAX, "one record's text fits");

enum file_state {
    FILE_NONE,    /* the slot has no connection, or its first record was dropped */
    FILE_WAITING, /* for a sign that it is one */
    FILE_OPEN,
    FILE_ENDED, /* it is full, or the system refused to write */
};

struct se_qlog_file {
    enum file_state state;
    int fd;
    uint32_t shard;
    struct se_qlog_trace trace;
    uint64_t last_ns;
    uint64_t bytes; /* in the file and the buffer */
    size_t used;    /* of the buffer */
    char *buffer;
};

/* The system has refused to make a file, or to write to it. */
static void refuse(struct se_qlog_log *log, struct se_qlog_file *file, int error)
{
    file->state = FILE_ENDED;
    atomic_store_explicit(&log->refused_errno, error, memory_order_relaxed);
    /* Release, pairs with the acquire in se_qlog_errors(). */
    atomic_fetch_add_explicit(&log->refused_counts[file->shard], 1, memory_order_release);
}

static void flush(struct se_qlog_log *log, struct se_qlog_file *file)
{
    size_t written = 0;
    while (file->state == FILE_OPEN && written < file->used) {
        ssize_t size = write(file->fd, file->buffer + written, file->used - written);
        if (size < 0 && errno != EINTR)
            refuse(log, file, errno);
        written += size > 0 ? (size_t)size : 0;
    }
    if (file->state != FILE_WAITING)
        file->used = 0;
}

/* Appends text, if the file and all files together may grow by it. */
static void append(struct se_qlog_log *log, struct se_qlog_file *file, size_t size)
{
    if (file->used + size > BUFFER_SIZE)
        flush(log, file);
    if (file->used + size > BUFFER_SIZE || size == 0)
        return; /* nothing has come of it yet */
    uint64_t left = log->config.bytes_max - log->bytes;
    uint64_t most = SB_MIN(log->config.file_bytes_max, file->bytes + left);
    if (file->bytes + size + CUT_SIZE > most) {
        size = se_qlog_cut(&file->trace, file->last_ns, log->text, SE_QLOG_TEXT_SIZE_MAX);
        if (file->bytes + size <= most && file->used + size <= BUFFER_SIZE) {
            memcpy(file->buffer + file->used, log->text, size);
            file->used += size;
            log->bytes += size;
        }
        flush(log, file);
        file->state = FILE_ENDED;
        return;
    }
    memcpy(file->buffer + file->used, log->text, size);
    file->used += size;
    file->bytes += size;
    log->bytes += size;
}

static void begin(struct se_qlog_log *log, struct se_qlog_file *file,
                  const struct sp_qlog_record *record)
{
    uint64_t age_ns = sb_time_since(se_clock_now_ns(), record->time_ns);
    uint64_t wall_us = (se_clock_wall_ns() - age_ns) / SB_US;
    if (!se_qlog_trace_init(record, wall_us, &file->trace))
        return;
    file->buffer = malloc(BUFFER_SIZE);
    file->state = FILE_WAITING;
    if (file->buffer == NULL)
        refuse(log, file, ENOMEM);
    else
        append(log, file, se_qlog_head(&file->trace, log->text, SE_QLOG_TEXT_SIZE_MAX));
}

static void open_file(struct se_qlog_log *log, struct se_qlog_file *file)
{
    char group[SE_QLOG_GROUP_SIZE], name[SE_QLOG_GROUP_SIZE + 16];
    se_qlog_group(&file->trace, group);
    (void)snprintf(name, sizeof(name), "%s_%s.sqlog", group,
                   file->trace.role == SP_SERVER ? "server" : "client");
    file->fd = openat(log->folder, name, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    file->state = FILE_OPEN;
    if (file->fd < 0)
        refuse(log, file, errno);
}

static void on_record(struct se_qlog_log *log, struct se_qlog_file *file,
                      const struct se_qlog_cell *cell)
{
    struct sp_qlog_record record;
    bool is_record = sp_qlog_read(cell->record, cell->size, &record);
    SB_ASSERT(is_record);
    if (file->state == FILE_NONE)
        begin(log, file, &record);
    if (file->state == FILE_NONE || file->state == FILE_ENDED)
        return;
    file->last_ns = record.time_ns;
    bool has_begun = file->trace.role == SP_CLIENT ||
                     (record.kind == SP_QLOG_STATE && record.numbers[1] == SP_QLOG_STATE_HANDSHAKE);
    if (file->state == FILE_WAITING && has_begun)
        open_file(log, file);
    append(log, file, se_qlog_text(&file->trace, &record, log->text, SE_QLOG_TEXT_SIZE_MAX));
}

static void end_file(struct se_qlog_log *log, uint32_t slot)
{
    struct se_qlog_file *file = &log->files[slot];
    flush(log, file);
    log->bytes -= file->used; /* of a connection that has come to nothing */
    if (file->fd >= 0)
        (void)close(file->fd);
    free(file->buffer);
    *file = (struct se_qlog_file){.fd = -1};
    /* Release, pairs with the acquire in take_slot() of log.c. */
    atomic_store_explicit(&log->slots[slot], 0, memory_order_release);
}

static void run_round(struct se_qlog_log *log)
{
    struct se_qlog_cell cell;
    for (uint32_t i = 0; i < log->shard_count; i++)
        while (se_qlog_ring_take(&log->rings[i], &cell)) {
            if (cell.slot < log->config.files_max && cell.size > 0) {
                log->files[cell.slot].shard = i;
                on_record(log, &log->files[cell.slot], &cell);
            } else if (cell.slot < log->config.files_max)
                end_file(log, cell.slot);
            se_qlog_ring_free(&log->rings[i], &cell);
        }
    for (uint32_t i = 0; i < log->config.files_max; i++)
        if (log->files[i].used > 0)
            flush(log, &log->files[i]);
}

/* Waits for the end of the pause.  Returns false if there is no other round. */
static bool pause_round(struct se_qlog_log *log)
{
    uint64_t until_ns = se_clock_now_ns() + PAUSE_MS * SB_MS;
    const struct timespec until = {
        .tv_sec = (time_t)(until_ns / SB_S),
        .tv_nsec = (long)(until_ns % SB_S),
    };
    (void)pthread_mutex_lock(&log->lock);
    if (!log->is_stopping)
        (void)pthread_cond_clockwait(&log->stop, &log->lock, CLOCK_MONOTONIC, &until);
    bool is_stopping = log->is_stopping;
    (void)pthread_mutex_unlock(&log->lock);
    return !is_stopping;
}

static void *run(void *argument)
{
    struct se_qlog_log *log = argument;
    (void)pthread_setname_np(pthread_self(), "spate/qlog");
    while (pause_round(log))
        run_round(log);
    run_round(log); /* what came last */
    return NULL;
}

int se_qlog_start(struct se_qlog_log *log)
{
    log->files = calloc(log->config.files_max, sizeof(log->files[0]));
    log->text = malloc(SE_QLOG_TEXT_SIZE_MAX);
    if (log->files == NULL || log->text == NULL)
        return -ENOMEM;
    for (uint32_t i = 0; i < log->config.files_max; i++)
        log->files[i].fd = -1;
    sigset_t all, before;
    (void)sigfillset(&all);
    (void)pthread_sigmask(SIG_SETMASK, &all, &before); /* signals are for the program's threads */
    int error = pthread_create(&log->thread, NULL, run, log);
    (void)pthread_sigmask(SIG_SETMASK, &before, NULL);
    log->has_thread = error == 0;
    return -error;
}

void se_qlog_stop(struct se_qlog_log *log)
{
    if (log->has_thread) {
        (void)pthread_mutex_lock(&log->lock);
        log->is_stopping = true;
        (void)pthread_cond_signal(&log->stop);
        (void)pthread_mutex_unlock(&log->lock);
        (void)pthread_join(log->thread, NULL);
    }
    for (uint32_t i = 0; log->files != NULL && i < log->config.files_max; i++)
        end_file(log, i); /* whose end has not come */
    free(log->files);
    free(log->text);
    log->files = NULL;
    log->text = NULL;
}
