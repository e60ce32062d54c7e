/* SPDX-License-Identifier: MIT */
#ifndef SPATE_GET_JOB_H
#define SPATE_GET_JOB_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include <spate/spate.h>

#include "tools/spate/download.h"
#include "tools/spate/get_options.h"
#include "tools/spate/hq.h"
#include "tools/spate/net.h"
#include "tools/spate/tickets.h"

enum get_stage {
    GET_WAITING,
    GET_OPEN, /* has a stream and a temporary file */
    GET_DONE, /* complete, under its final name */
    GET_FAILED,
};

/* One file. */
struct get_file {
    const struct hq_url *url;
    enum get_stage stage;
    uint64_t stream_id;
    struct download download;
    struct get_job *job;
    STAILQ_ENTRY(get_file) link; /* in `files` of its job, while it waits */
};

enum get_job_stage {
    JOB_CONNECTING, /* or not begun */
    JOB_EARLY,      /* requests may go as 0-RTT */
    JOB_CONNECTED,
    JOB_LINGERING, /* all files are there; waits for tickets, until `until_ns` */
    JOB_ENDED,
};

/* A connection, and the files to fetch over it. */
struct get_job {
    struct get *get;
    STAILQ_HEAD(, get_file) waiting; /* no stream yet */
    uint32_t left;                   /* files that are neither done nor failed */
    uint32_t open_count;             /* streams */
    struct net_addresses addresses;
    uint32_t address_next; /* to try if this one does not answer */
    struct spate_conn *conn;
    const struct hq_url *url; /* of any of its files: host and port */
    bool has_migrated;        /* or cannot; true from the start if nobody asked for it */
    enum get_job_stage stage;
    uint64_t until_ns;     /* of JOB_LINGERING */
    uint32_t ticket_count; /* that this connection has given */
    char why[160];         /* the first reason why the whole job failed; "" */
};

/* What all jobs share. */
struct get {
    const struct get_options *options;
    struct spate_shard *shard;
    struct spate_tls *tls;
    struct tickets *tickets; /* NULL: nothing is resumed or kept */
    int folder;
    uint64_t bytes; /* received */
    uint32_t done_count;
    uint32_t failed_count;
    uint32_t active_count;               /* jobs with a connection */
    uint32_t lingering_count;            /* of them, jobs that JOB_LINGERING says */
    void (*on_message)(struct get *get); /* before a line is printed */
};

/* Starts to connect.  A job that cannot has ended. */
void get_job_start(struct get_job *job);

/* Handles an event of the job's connection.  Releases its slice. */
void get_job_event(struct get_job *job, struct spate_event *event);

/* Ends the wait of a job for tickets, if it has lasted long enough. */
void get_job_tick(struct get_job *job);

/* Gives up: removes what is half, and begins to close the connection. */
void get_job_cancel(struct get_job *job, struct get_file *files, uint32_t count);

#endif
