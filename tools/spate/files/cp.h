/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_CP_H
#define SPATE_FILES_CP_H

#include "tools/spate/files/adapt.h"
#include "tools/spate/files/auth.h"
#include "tools/spate/files/cp_options.h"
#include "tools/spate/files/sink.h"
#include "tools/spate/files/source.h"
#include "tools/spate/files/walk.h"
#include "tools/spate/net.h"
#include "tools/spate/progress.h"
#include "tools/spate/tickets.h"

/* One run of "spate cp" or "spate sync": the plan (cp_plan.c), the connection (cp_conn.c), the
 * streams (cp_stream.c, cp_answer.c) and what is shown (cp_report.c). */

enum { CP_BATCH_MAX = 64 }; /* small files of one stream */
#define CP_BATCH_BYTES (UINT64_C(512) << 10)

enum cp_stage { CP_NEW, CP_ASKED, CP_READY, CP_FAILED };

/* A large file. */
struct cp_large {
    STAILQ_ENTRY(cp_large) link;
    enum cp_stage stage;
    struct files_want *file;     /* its paths, size, mode and time */
    struct files_target *target; /* from the server: where it is written */
    uint8_t *have;               /* a byte per chunk: 1 is there or on its way */
    uint32_t chunk_count;
    uint32_t next;    /* chunks before it are there or on their way */
    uint32_t left;    /* chunks that are not there */
    uint32_t streams; /* that work on it */
};

enum cp_kind { CP_AUTH, CP_LIST, CP_BATCH, CP_PROBE, CP_CHUNK, CP_REMOVE };

struct cp_run;

struct cp_stream {
    struct cp_run *run;
    LIST_ENTRY(cp_stream) link;
    uint64_t id;
    enum cp_kind kind;
    bool has_source;
    bool has_sink;
    bool is_answered; /* the last message has come */
    bool is_closed;   /* but its last blocks are with the worker */
    struct files_inbox inbox;
    struct files_source source;
    struct files_sink sink;
    const char *listed;                     /* CP_LIST: the path that was asked for */
    struct cp_large *large;                 /* CP_PROBE, CP_CHUNK */
    uint64_t offset;                        /* CP_CHUNK: where the piece begins */
    struct files_want *files[CP_BATCH_MAX]; /* CP_BATCH, CP_REMOVE: by index; NULL: settled */
    uint32_t file_count;
};

struct cp_run {
    const struct cp_options *options;
    struct files_core core;
    struct files_beneath beneath; /* the local target */
    struct files_token token;
    struct tickets tickets;
    char known[FILES_PATH_SIZE];
    struct spate_engine *engine;
    struct spate_tls *tls;
    struct spate_conn *conn;
    struct net_addresses addresses;
    uint32_t address_next;
    bool may_ask;      /* requests may be sent, perhaps as 0-RTT */
    bool is_connected; /* .. and everything else */
    bool is_asked;     /* the proof of the token was sent */
    bool is_proven;
    bool is_over;
    bool is_refused; /* for a reason that was printed */
    char why[200];   /* the first reason why the connection failed; "" */

    /* The plan. */
    struct files_wants small;
    uint32_t small_count;
    uint64_t small_bytes;
    STAILQ_HEAD(, cp_large) large;
    struct files_wants folders; /* the innermost first: their times are set at the end */
    struct files_wants extra;   /* sync --delete: what is to be removed, the innermost first */
    uint32_t source_next;
    struct files_walk *walk; /* of a local source */
    int walk_root;
    int *roots;          /* one per source, -1 before */
    uint32_t list_count; /* streams that list */
    void *seen;          /* sync: paths of the source, a tree of tsearch() */
    void *there;         /* sync: what the target has */
    bool is_compared;    /* sync: the target's list is complete */
    bool is_listed;      /* sync: the source is a folder of the server */
    bool is_finished;    /* all files are settled: folders and what is extra follow */

    LIST_HEAD(, cp_stream) streams;
    uint32_t stream_count;
    struct adapt adapt;

    uint64_t files_known;
    uint64_t bytes_known;
    uint64_t files_done;
    uint64_t files_failed;
    uint64_t files_missing; /* whose streams have ended without an answer */
    uint64_t files_skipped;
    uint64_t bytes_skipped; /* that were there already */
    uint64_t chunks_done;
    uint64_t resets; /* streams that the server has given up */
    uint64_t start_ns;
    uint64_t connected_ns;
    uint64_t first_ns; /* when the first byte of a file went or came */
    uint64_t end_ns;
    struct progress progress;
    char current[64];              /* a file that is on its way */
    struct spate_conn_stats stats; /* of the connection, at its end */
    bool is_resumed;
    enum files_hash_kind hash;
    enum spate_early early;
};

/* ---- cp_conn.c ---- */

bool cp_connect(struct cp_run *run);
void cp_event(struct cp_run *run, struct spate_event *event);
void cp_close(struct cp_run *run, enum files_status status, const char *reason);

/* ---- cp_plan.c ---- */

/* Opens what the options name locally.  Returns false after one line on stderr. */
bool cp_plan_begin(struct cp_run *run);
void cp_plan_deinit(struct cp_run *run);

/* Goes on with the local sources until there is something to send. */
void cp_plan_walk(struct cp_run *run);

/* Takes an entry of the server's list. */
void cp_plan_listed(struct cp_run *run, const char *source, struct files_item *item);

/* Returns whether all sources were looked through. */
bool cp_plan_is_complete(const struct cp_run *run);

/* Adds a large file.  Takes `file`; returns NULL without memory. */
struct cp_large *cp_plan_large(struct cp_run *run, struct files_want *file);
void cp_large_settle(struct cp_run *run, struct cp_large *large, enum files_status status);

/* Writes folders' permissions and times locally, and removes what --delete removes there. */
void cp_plan_finish(struct cp_run *run);

/* ---- cp_stream.c ---- */

/* Opens as many streams as are useful.  Returns true if there is nothing left to do. */
bool cp_fill(struct cp_run *run);

/* ---- cp_answer.c ---- */

/* Makes a stream one that receives items. */
void cp_stream_sink(struct cp_stream *stream);

/* Notes what became of the file at an index, or of the chunk of a stream. */
void cp_stream_settle(struct cp_stream *stream, uint32_t index, enum files_status status);
void cp_stream_chunk(struct cp_stream *stream, enum files_status status);

/* Gives a stream up from this side: all that it has not got an answer for fails. */
void cp_stream_give_up(struct cp_stream *stream, enum files_status status);

/* Opens the part of a large file from the server, and finds out which chunks are there. */
enum files_status cp_large_open(struct cp_run *run, struct cp_large *large,
                                const struct files_item *item);

/* The connection has closed: waits for the worker. */
void cp_streams_settle(struct cp_run *run);

/* Handles an event of a stream.  Releases its slice. */
void cp_stream_event(struct cp_stream *stream, struct spate_event *event);

/* ---- cp_report.c ---- */

void cp_report_begin(struct cp_run *run);
void cp_report_show(struct cp_run *run);
/* Notes a file that is on its way.  The path may be a server's: nothing of it controls a terminal.
 */
void cp_report_current(struct cp_run *run, const char *path);
void cp_report_end(struct cp_run *run, int status);

/* Prints why one file failed, and counts it. */
void cp_report_failed(struct cp_run *run, const char *path, enum files_status status);
uint64_t cp_bytes(const struct cp_run *run);

#endif
