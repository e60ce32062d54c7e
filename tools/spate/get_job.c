/* SPDX-License-Identifier: MIT */
#include "tools/spate/get_job.h"

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "tools/spate/get_file.h"
#include "tools/spate/message.h"

/* Ends a job without a connection: whatever is left has failed for one reason. */
static void job_end(struct get_job *job)
{
    struct get_file *file;
    if (job->left > 0 && job->why[0] != 0) {
        job->get->on_message(job->get);
        message("get", "%s:%u: %s; %u %s missing", job->url->host, job->url->port, job->why,
                job->left, job->left == 1 ? "file is" : "files are");
    }
    while ((file = STAILQ_FIRST(&job->waiting)) != NULL) {
        STAILQ_REMOVE_HEAD(&job->waiting, link);
        get_file_fail(file, NULL);
    }
    job->has_ended = true;
}

static void set_why(struct get_job *job, const char *text)
{
    if (job->why[0] == 0)
        (void)snprintf(job->why, sizeof(job->why), "%s", text);
}

/* Tries the next address.  Returns false, with the reason in `why`, if none is left. */
static bool connect_next(struct get_job *job)
{
    while (job->address_next < job->addresses.count) {
        struct spate_error error = {""};
        const struct net_address *address = &job->addresses.items[job->address_next++];
        int e = spate_shard_connect(job->get->shard, (const struct sockaddr *)&address->storage,
                                    address->size, job->url->host, job->get->tls, job, &job->conn,
                                    &error);
        if (e == 0) {
            job->why[0] = 0;
            return true;
        }
        set_why(job, error.text[0] != 0 ? error.text : strerror(-e));
    }
    return false;
}

void get_job_start(struct get_job *job)
{
    job->is_started = true;
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
    message("get", "%s:%u: cannot migrate: %s", job->url->host, job->url->port, why);
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
        report_migration(job, error.text[0] != 0 ? error.text : strerror(-e));
}

static void close_if_done(struct get_job *job)
{
    if (job->left == 0 && job->conn != NULL)
        spate_conn_close(job->conn, 0, NULL);
}

static void open_files(struct get_job *job)
{
    struct get_file *file;
    while (job->is_connected && job->open_count < job->get->options->parallel &&
           (file = STAILQ_FIRST(&job->waiting)) != NULL) {
        int e = get_file_start(file);
        if (e == -EAGAIN)
            return; /* until SPATE_EVENT_STREAMS_AVAILABLE, or until a stream is closed */
        STAILQ_REMOVE_HEAD(&job->waiting, link);
        job->open_count += e == 0;
    }
}

static void describe(const struct spate_close *close, char *ret, size_t ret_size)
{
    const char *by = close->is_local ? "here" : "by the server";
    const char *colon = close->reason[0] != 0 ? ": " : "";
    switch (close->kind) {
    case SPATE_CLOSE_APP:
        (void)snprintf(ret, ret_size, "closed %s with code %" PRIu64 "%s%s", by, close->error,
                       colon, close->reason);
        break;
    case SPATE_CLOSE_IDLE:
        (void)snprintf(ret, ret_size, "nothing came for too long");
        break;
    case SPATE_CLOSE_HANDSHAKE_TIMEOUT:
        (void)snprintf(ret, ret_size, "no answer");
        break;
    case SPATE_CLOSE_STATELESS_RESET:
        (void)snprintf(ret, ret_size, "the server has lost the connection");
        break;
    case SPATE_CLOSE_VERSION:
        (void)snprintf(ret, ret_size, "the server supports no QUIC version that we do");
        break;
    case SPATE_CLOSE_UNREACHABLE:
        (void)snprintf(ret, ret_size, "%s", strerror((int)close->error));
        break;
    case SPATE_CLOSE_TRANSPORT:
        (void)snprintf(ret, ret_size, "closed %s with error 0x%" PRIx64 "%s%s", by, close->error,
                       colon, close->reason);
        break;
    }
}

static void on_closed(struct get_job *job, const struct spate_close *close)
{
    char why[sizeof(job->why)];
    bool is_deaf =
        close->kind == SPATE_CLOSE_UNREACHABLE || close->kind == SPATE_CLOSE_HANDSHAKE_TIMEOUT;
    describe(close, why, sizeof(why));
    job->conn = NULL;
    if (job->left > 0 && !job->is_connected && is_deaf && connect_next(job))
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

void get_job_event(struct get_job *job, struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        job->is_connected = true;
        if (job->get->options->updates_keys)
            (void)spate_conn_update_keys(job->conn);
        open_files(job);
        close_if_done(job);
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
    if (job->is_connected && !job->has_migrated && job->conn != NULL && job->left > 0)
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
