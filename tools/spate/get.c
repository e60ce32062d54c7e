/* SPDX-License-Identifier: MIT */
/* spate get: fetches files by HTTP/0.9 over QUIC. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/get_file.h"
#include "tools/spate/get_job.h"
#include "tools/spate/get_options.h"
#include "tools/spate/message.h"
#include "tools/spate/one_shot.h"
#include "tools/spate/progress.h"
#include "tools/spate/record.h"
#include "tools/spate/stop.h"

enum { EVENTS_MAX = 256, BAR_SIZE = 30 };

#define SHOW_NS    UINT64_C(100000000)
#define LINGER_NS  UINT64_C(10000000)  /* between looks at jobs that wait for tickets */
#define GOODBYE_NS UINT64_C(500000000) /* that a close may take after a signal */

struct client {
    struct get get; /* first: on_message() gets a pointer to it */
    struct spate_engine *engine;
    struct get_file *files;
    uint32_t file_count;
    struct get_job *jobs;
    uint32_t job_count;
    uint32_t job_next; /* of those that have not begun */
    struct tickets tickets;
    struct progress progress;
};

static void clear_progress(struct get *get)
{
    progress_clear(&((struct client *)get)->progress);
}

/* ---- Set up ---- */

static struct get_job *job_for(struct client *client, const struct hq_url *url)
{
    for (uint32_t i = 0; i < client->job_count && !client->get.options->is_separate; i++) {
        if (strcmp(client->jobs[i].url->host, url->host) == 0 &&
            client->jobs[i].url->port == url->port)
            return &client->jobs[i];
    }
    struct get_job *job = &client->jobs[client->job_count++];
    job->get = &client->get;
    job->url = url;
    job->has_migrated = !client->get.options->migrates;
    STAILQ_INIT(&job->waiting);
    return job;
}

static bool create_jobs(struct client *client)
{
    const struct get_options *o = client->get.options;
    client->files = calloc(o->url_count, sizeof(*client->files));
    client->jobs = calloc(o->url_count, sizeof(*client->jobs));
    if (client->files == NULL || client->jobs == NULL) {
        message("get", "out of memory");
        return false;
    }
    client->file_count = o->url_count;
    for (uint32_t i = 0; i < o->url_count; i++) {
        struct get_file *file = &client->files[i];
        file->url = &o->urls[i];
        file->job = job_for(client, file->url);
        file->job->left++;
        STAILQ_INSERT_TAIL(&file->job->waiting, file, link);
    }
    return true;
}

static bool create_tls(struct client *client)
{
    static const char *const alpn[] = {HQ_ALPN};
    const struct get_options *o = client->get.options;
    struct spate_error error = {""};
    struct spate_tls_options tls;
    spate_tls_options_init(&tls);
    tls.ca_file = o->ca;
    tls.insecure = o->is_insecure;
    tls.alpn = alpn;
    tls.alpn_count = 1;
    tls.ciphers = o->ciphers;
    tls.keylog_file = getenv("SSLKEYLOGFILE");
    int e = spate_tls_client_create(&tls, &client->get.tls, &error);
    if (e != 0)
        message("get", "%s", message_why(&error, e));
    return e == 0;
}

static bool create_engine(struct client *client)
{
    const struct get_options *o = client->get.options;
    struct spate_error error = {""};
    struct spate_config config;
    spate_config_init(&config);
    config.conns_max = 2 * o->parallel; /* those that end count until the next turn */
    config.handshake_timeout_ns = o->timeout_ns;
    config.idle_timeout_ns = o->timeout_ns;
    config.streams_bidi_max = 0;
    config.streams_uni_max = 0;
    config.versions = o->versions;
    if (o->window_bytes != 0) {
        config.stream_window_bytes = o->window_bytes;
        config.conn_window_bytes = o->window_bytes;
        if (config.stream_window_bytes_max < o->window_bytes)
            config.stream_window_bytes_max = config.conn_window_bytes_max = o->window_bytes;
    }
    struct record record;
    record_configure(&record, o->qlog, "get", &config);
    int e = spate_engine_create(&config, &client->engine, &error);
    if (e != 0) {
        message("get", "%s", message_why(&error, e));
        return false;
    }
    client->get.shard = spate_engine_shard(client->engine, 0);
    return true;
}

static bool open_folder(struct client *client)
{
    const char *path = client->get.options->folder;
    if (mkdir(path, 0777) == 0 || errno == EEXIST)
        client->get.folder = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (client->get.folder < 0)
        message("get", "-o %s: %s", path, strerror(errno));
    return client->get.folder >= 0;
}

static bool read_tickets(struct client *client)
{
    const char *path = client->get.options->tickets;
    if (path == NULL)
        return true;
    const char *wrong = tickets_read(&client->tickets, path);
    if (wrong != NULL)
        message("get", "--tickets %s: %s", path, wrong);
    else
        client->get.tickets = &client->tickets;
    return wrong == NULL;
}

/* The files are there: what goes wrong here is only said. */
static void write_tickets(struct client *client)
{
    if (client->get.tickets == NULL)
        return;
    int e = tickets_write(&client->tickets, client->get.options->tickets);
    if (e != 0)
        message("get", "--tickets %s: %s", client->get.options->tickets, strerror(-e));
}

/* ---- The loop ---- */

static void handle_events(struct client *client)
{
    struct spate_event events[EVENTS_MAX];
    uint32_t count = spate_shard_events(client->get.shard, events, EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].conn_user != NULL)
            get_job_event(events[i].conn_user, &events[i]);
    }
}

static void start_jobs(struct client *client)
{
    while (client->job_next < client->job_count &&
           client->get.active_count < client->get.options->parallel)
        get_job_start(&client->jobs[client->job_next++]);
}

/* Returns false if the ring has failed. */
static bool turn(struct client *client, uint64_t wait_ns)
{
    int e = spate_shard_turn(client->get.shard, wait_ns);
    if (e < 0) {
        clear_progress(&client->get);
        message("get", "%s", strerror(-e));
        return false;
    }
    handle_events(client);
    return true;
}

/* Nothing half stays, and the servers hear of it. */
static void cancel(struct client *client)
{
    clear_progress(&client->get);
    message("get", "interrupted");
    for (uint32_t i = 0; i < client->job_next; i++) {
        if (client->jobs[i].stage != JOB_ENDED)
            get_job_cancel(&client->jobs[i], client->files, client->file_count);
    }
    uint64_t end_ns = spate_shard_now_ns(client->get.shard) + GOODBYE_NS;
    while (client->get.active_count > 0 && stop_count() < 2 &&
           spate_shard_now_ns(client->get.shard) < end_ns) {
        if (!turn(client, SHOW_NS))
            return;
    }
}

static uint64_t wait_ns(const struct client *client)
{
    if (client->get.lingering_count > 0)
        return LINGER_NS;
    return client->progress.is_on ? SHOW_NS : SPATE_FOREVER;
}

static void show_progress(struct client *client)
{
    const struct get *get = &client->get;
    char bar[BAR_SIZE + 1];
    double rate;
    if (!progress_is_due(&client->progress, get->bytes, spate_shard_now_ns(get->shard), &rate))
        return;
    /* HTTP/0.9 does not say how long a file will be: the bar counts files. */
    memset(bar, '-', BAR_SIZE);
    memset(bar, '#', (size_t)BAR_SIZE * get->done_count / client->file_count);
    bar[BAR_SIZE] = 0;
    progress_print(&client->progress, "[%s] %u/%u files  %.1f MB  %.1f Mbit/s", bar,
                   get->done_count, client->file_count, (double)get->bytes / 1e6, rate * 8e-6);
}

static int run(struct client *client)
{
    start_jobs(client);
    while (client->get.active_count > 0) {
        if (stop_count() > 0) {
            cancel(client);
            return EXIT_INTERRUPTED;
        }
        if (!turn(client, wait_ns(client)))
            return EXIT_FAILURE;
        for (uint32_t i = 0; i < client->job_next && client->get.lingering_count > 0; i++)
            get_job_tick(&client->jobs[i]);
        start_jobs(client);
        show_progress(client);
    }
    progress_clear(&client->progress);
    return client->get.done_count == client->file_count ? EXIT_SUCCESS : EXIT_FAILURE;
}

int get_run(int argc, char **argv)
{
    struct get_options options;
    int status;
    if (!get_options_parse(&options, argc, argv, &status))
        return status;

    struct client client = {
        .get = {.options = &options, .folder = -1, .on_message = clear_progress}};
    status = EXIT_FAILURE;
    one_shot_begin();
    tickets_init(&client.tickets);
    if (create_jobs(&client) && read_tickets(&client) && open_folder(&client) &&
        create_tls(&client) && create_engine(&client)) {
        stop_watch(client.get.shard);
        progress_init(&client.progress, false, spate_shard_now_ns(client.get.shard));
        status = run(&client);
        stop_forget();
        write_tickets(&client);
    }
    for (uint32_t i = 0; i < client.file_count; i++)
        get_file_fail(&client.files[i], NULL);
    spate_engine_destroy(client.engine);
    spate_tls_destroy(client.get.tls);
    if (client.get.folder >= 0)
        (void)close(client.get.folder);
    tickets_deinit(&client.tickets);
    free(client.jobs);
    free(client.files);
    get_options_deinit(&options);
    return status;
}
