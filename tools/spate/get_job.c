/* SPDX-License-Identifier: MIT */
#include "tools/spate/get_job.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/spate/close_text.h"
#include "tools/spate/get_file.h"
#include "tools/spate/message.h"

#define LINGER_NS     UINT64_C(100000000) /* and LINGER_RTTS; together at most LINGER_NS_MAX */
#define LINGER_NS_MAX UINT64_C(1000000000)

enum { LINGER_RTTS = 4 };

static void set_stage(struct get_job *job, enum get_job_stage stage)
{
    job->get->lingering_count += stage == JOB_LINGERING;
    job->get->lingering_count -= job->stage == JOB_LINGERING;
    job->stage = stage;
}

/* Ends a job without a connection: whatever is left has failed for one reason. */
static void job_end(struct get_job *job)
{
    struct get_file *file;
    if (job->left > 0 && job->why[0] != 0) {
        job->get->on_message(job->get);
        message("get", "%s: %s; %u %s missing", job->url->server, job->why, job->left,
                job->left == 1 ? "file is" : "files are");
    }
    while ((file = STAILQ_FIRST(&job->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&job->waiting, link);
        get_file_fail(file, NULL);
    }
    set_stage(job, JOB_ENDED);
}

static void set_why(struct get_job *job, const char *text)
{
    if (job->why[0] == 0)
        (void)snprintf(job->why, sizeof(job->why), "%s", text);
}

/* Connects to an address, with the newest ticket and token of the server. */
static int connect_to(struct get_job *job, const struct net_address *address,
                      struct spate_error *error)
{
    struct tickets *tickets = job->get->tickets;
    const struct hq_url *url = job->url;
    struct ticket *ticket = NULL;
    struct ticket *token = NULL;
    if (tickets != NULL) {
        ticket = tickets_take(tickets, TICKET_TLS, url->host, url->port);
        token = tickets_take(tickets, TICKET_TOKEN, url->host, url->port);
    }
    const struct spate_connect_options options = {
        .size = sizeof(options),
        .address = (const struct sockaddr *)&address->storage,
        .address_size = address->size,
        .early = !job->get->options->is_never_early,
        .server_name = url->host,
        .tls = job->get->tls,
        .user = job,
        .ticket = ticket != NULL ? ticket->data : NULL,
        .ticket_size = ticket != NULL ? ticket->size : 0,
        .token = token != NULL ? token->data : NULL,
        .token_size = token != NULL ? token->size : 0,
    };
    int e = spate_shard_connect_with(job->get->shard, &options, &job->conn, error);
    ticket_destroy(ticket);
    ticket_destroy(token);
    return e;
}

/* Tries the next address.  Returns false, with the reason in `why`, if none is left. */
static bool connect_next(struct get_job *job)
{
    while (job->address_next < job->addresses.count) {
        struct spate_error error = {""};
        const struct net_address *address = &job->addresses.items[job->address_next++];
        int e = connect_to(job, address, &error);
        if (e == 0) {
            job->why[0] = 0;
            set_stage(job, JOB_CONNECTING);
            return true;
        }
        set_why(job, message_why(&error, e));
    }
    return false;
}

void get_job_start(struct get_job *job)
{
    const char *wrong = net_resolve(job->url->host, job->url->port, &job->addresses);
    if (wrong != NULL)
        set_why(job, wrong);
    if (wrong == NULL && connect_next(job))
        job->get->active_count++;
    else
        job_end(job);
}

/* ---- Events ---- */

static void report_migration(struct get_job *job, const char *why)
{
    job->get->on_message(job->get);
    message("get", "%s: cannot migrate: %s", job->url->server, why);
}

/* Moves the connection, once the protocol allows it: an event follows when that changes. */
static void migrate(struct get_job *job)
{
    struct spate_error error = {""};
    int e = spate_conn_migrate(job->conn, NULL, 0, &error);
    if (e == -EAGAIN)
        return;
    job->has_migrated = true;
    if (e != 0 && e != -ENOTCONN)
        report_migration(job, message_why(&error, e));
}

/* Begins to wait for tickets: they follow the handshake by a round trip at least, and answers to
 * 0-RTT do not. */
static void linger(struct get_job *job)
{
    struct spate_conn_stats stats;
    spate_conn_stats(job->conn, &stats);
    uint64_t wait_ns = LINGER_NS + LINGER_RTTS * stats.rtt_smoothed_ns;
    if (wait_ns > LINGER_NS_MAX)
        wait_ns = LINGER_NS_MAX;
    job->until_ns = spate_shard_now_ns(job->get->shard) + wait_ns;
    set_stage(job, JOB_LINGERING);
}

static void close_if_done(struct get_job *job)
{
    if (job->left > 0 || job->conn == NULL)
        return;
    bool wants_ticket = job->get->tickets != NULL && job->ticket_count == 0;
    if (wants_ticket && job->stage == JOB_CONNECTED)
        linger(job);
    if (!wants_ticket || job->stage != JOB_LINGERING)
        spate_conn_close(job->conn, 0, NULL);
}

void get_job_tick(struct get_job *job)
{
    if (job->stage == JOB_LINGERING && spate_shard_now_ns(job->get->shard) >= job->until_ns) {
        set_stage(job, JOB_CONNECTED);
        spate_conn_close(job->conn, 0, NULL);
    }
}

static void open_files(struct get_job *job)
{
    struct get_file *file;
    while ((job->stage == JOB_EARLY || job->stage == JOB_CONNECTED) &&
           job->open_count < job->get->options->parallel &&
           (file = STAILQ_FIRST(&job->waiting)) != NULL) {
        int e = get_file_start(file);
        if (e == -EAGAIN)
            return; /* until SPATE_EVENT_STREAMS_AVAILABLE, or until a stream is closed */
        STAILQ_REMOVE_HEAD(&job->waiting, link);
        job->open_count += e == 0;
    }
}

static void on_closed(struct get_job *job, const struct spate_close *close)
{
    char why[sizeof(job->why)];
    bool is_deaf =
        close->kind == SPATE_CLOSE_UNREACHABLE || close->kind == SPATE_CLOSE_HANDSHAKE_TIMEOUT;
    close_text(close, why, sizeof(why));
    job->conn = NULL;
    if (job->left > 0 && job->stage < JOB_CONNECTED && is_deaf && connect_next(job))
        return;
    set_why(job, why);
    job->get->active_count--;
    job_end(job);
}

/* The connection has ended, and an event of the job follows that says why: what was open fails for
 * that reason. */
static void on_stream_closed(struct get_job *job, struct get_file *file)
{
    job->open_count--;
    if (file->stage == GET_OPEN) {
        /* Counted as missing by job_end(): the line there is for all of them. */
        download_abort(&file->download);
        file->stage = GET_WAITING;
        STAILQ_INSERT_TAIL(&job->waiting, file, link);
        return;
    }
    open_files(job);
    close_if_done(job);
}

static void print_connected(struct get_job *job)
{
    static const char *const early[] = {
        [SPATE_EARLY_NONE] = "",
        [SPATE_EARLY_OFFERED] = "",
        [SPATE_EARLY_ACCEPTED] = ", 0-RTT accepted",
        [SPATE_EARLY_REJECTED] = ", 0-RTT rejected",
    };
    job->get->on_message(job->get);
    printf("connected to %s: %s%s\n", job->url->server,
           spate_conn_is_resumed(job->conn) ? "resumed" : "full handshake",
           early[spate_conn_early(job->conn)]);
    (void)fflush(stdout);
}

static void on_connected(struct get_job *job)
{
    set_stage(job, JOB_CONNECTED);
    if (job->get->options->is_verbose)
        print_connected(job);
    if (job->get->options->updates_keys)
        (void)spate_conn_update_keys(job->conn);
    open_files(job);
    close_if_done(job);
}

static void keep(struct get_job *job, enum ticket_kind kind, const struct spate_event *event)
{
    if (job->get->tickets == NULL)
        return;
    tickets_add(job->get->tickets, kind, job->url->host, job->url->port, event->u.bytes.data,
                event->u.bytes.size);
    job->ticket_count += kind == TICKET_TLS;
    if (job->stage == JOB_LINGERING)
        close_if_done(job);
}

void get_job_event(struct get_job *job, struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_EARLY:
        set_stage(job, JOB_EARLY);
        open_files(job);
        break;
    case SPATE_EVENT_CONNECTED:
        on_connected(job);
        break;
    case SPATE_EVENT_TICKET:
        keep(job, TICKET_TLS, event);
        break;
    case SPATE_EVENT_NEW_TOKEN:
        keep(job, TICKET_TOKEN, event);
        break;
    case SPATE_EVENT_STREAMS_AVAILABLE:
        open_files(job);
        break;
    case SPATE_EVENT_CLOSED:
        on_closed(job, &event->u.close);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        if (event->stream_user != NULL)
            on_stream_closed(job, event->stream_user);
        break;
    case SPATE_EVENT_PATH:
        if (event->u.path == SPATE_PATH_FAILED)
            report_migration(job, "no answer on the new path");
        break;
    default:
        if (event->stream_user != NULL)
            get_file_event(event->stream_user, event);
        else if (event->kind == SPATE_EVENT_STREAM_DATA)
            spate_slice_release(job->get->shard, &event->u.data.slice);
        break;
    }
    if (job->stage == JOB_CONNECTED && !job->has_migrated && job->conn != NULL && job->left > 0)
        migrate(job);
}

void get_job_cancel(struct get_job *job, struct get_file *files, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        if (files[i].job == job && files[i].stage == GET_OPEN)
            get_file_fail(&files[i], NULL);
    }
    if (job->conn != NULL)
        spate_conn_close(job->conn, HQ_CANCELLED, "interrupted");
}
