/* SPDX-License-Identifier: MIT */
#ifndef SE_QLOG_LOG_H
#define SE_QLOG_LOG_H

#include <spate/qlog.h>

#include "engine/qlog/ring.h"
#include "proto/wire/qlog.h"

struct se_entropy;

/* The qlog of an engine: the configuration, the rings of its shards, and the thread that writes the
 * files (writer.c). */
struct se_qlog_log;

/* Takes the program's configuration, opens the folder and starts the thread.  Returns 0, or with
 * one line in `error`: -EINVAL, -E2BIG, -ENOMEM, or what the system says about the folder or the
 * thread. */
SB_MUST_USE int se_qlog_open(const struct spate_qlog *given, uint32_t shard_count,
                             struct se_qlog_log **ret, struct spate_error *error);

/* Writes what waits, closes the files and ends the thread.  The shards have ended.  NULL is
 * accepted. */
void se_qlog_close(struct se_qlog_log *log);

/* What a shard needs to record its connections. */
struct se_qlog_shard {
    struct se_qlog_log *log; /* NULL: nothing is recorded */
    struct se_qlog_ring *ring;
    uint64_t *record_count; /* counters of the shard */
    uint64_t *dropped_count;
};

/* Returns the ring of a shard. */
struct se_qlog_ring *se_qlog_ring_of(struct se_qlog_log *log, uint32_t shard);

/* Returns how many files of this shard's connections the system has refused to make or to write,
 * and if there are any its last error, an errno, in `*ret_error`.  Threads: shard. */
uint64_t se_qlog_errors(const struct se_qlog_shard *shard, int *ret_error);

/* Decides whether a connection with `peer` is recorded, and returns its sink, or NULL.  Threads:
 * shard, as for the next two. */
struct sp_qlog *se_qlog_begin(struct se_qlog_shard *shard, const struct sp_addr *peer,
                              struct se_entropy *entropy);

/* The connection was destroyed: frees the sink.  NULL is accepted. */
void se_qlog_end(struct sp_qlog *qlog);

/* Records the application's protocol.  NULL is accepted. */
void se_qlog_alpn(struct sp_qlog *qlog, const char *alpn);

#endif
