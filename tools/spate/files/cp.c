/* SPDX-License-Identifier: MIT */
/* spate cp and spate sync: copies files to and from "spate serve --cp". */

#include "tools/spate/files/cp.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/one_shot.h"
#include "tools/spate/process.h"
#include "tools/spate/stop.h"

enum { EVENTS_MAX = 256, STREAMS_FIRST = 4 };

#define SHOW_NS    UINT64_C(100000000)
#define RETRY_NS   UINT64_C(2000000)   /* streams that wait for memory try again after it */
#define GOODBYE_NS UINT64_C(500000000) /* that a close may take */
#define LINGER_NS  UINT64_C(100000000) /* for the ticket of a connection without one */

static bool create_engine(struct cp_run *run)
{
    const struct cp_options *o = run->options;
    struct spate_error error = {""};
    struct spate_config config;
    spate_config_init(&config);
    config.conns_max = 2;
    config.handshake_timeout_ns = o->timeout_ns;
    config.idle_timeout_ns = o->timeout_ns;
    config.streams_bidi_max = 0;
    config.streams_uni_max = 0;
    config.spin_ns = 0; /* it leaves the CPU to the server, and begins without a calibration */
    /* A chunk fits into the window of its stream: it needs no round trip for more. */
    config.stream_window_bytes = 2 * FILES_CHUNK_SIZE;
    config.conn_window_bytes = 4 * FILES_CHUNK_SIZE;
    if (config.conn_window_bytes_max > o->memory_bytes)
        config.conn_window_bytes_max = o->memory_bytes;
    if (config.conn_window_bytes > config.conn_window_bytes_max)
        config.conn_window_bytes = config.conn_window_bytes_max;
    if (config.stream_window_bytes > config.conn_window_bytes)
        config.stream_window_bytes = config.conn_window_bytes;
    int e = spate_engine_create(&config, &run->engine, &error);
    if (e != 0) {
        message(o->command, "%s", message_why(&error, e));
        return false;
    }
    run->core.shard = spate_engine_shard(run->engine, 0);
    return true;
}

static bool read_secrets(struct cp_run *run)
{
    const struct cp_options *o = run->options;
    const char *wrong = o->token != NULL ? files_token_read(o->token, &run->token) : NULL;
    if (wrong != NULL)
        message(o->command, "--token %s: %s", o->token, wrong);
    if (wrong == NULL && o->tickets != NULL) {
        wrong = tickets_read(&run->tickets, o->tickets);
        if (wrong != NULL)
            message(o->command, "--tickets %s: %s", o->tickets, wrong);
    }
    return wrong == NULL;
}

/* The files are there: what goes wrong here is only said. */
static void write_tickets(struct cp_run *run)
{
    int e = run->options->tickets != NULL ? tickets_write(&run->tickets, run->options->tickets) : 0;
    if (e != 0)
        message(run->options->command, "--tickets %s: %s", run->options->tickets, strerror(-e));
}

/* Returns false if the ring has failed. */
static bool turn(struct cp_run *run, uint64_t wait_ns)
{
    struct spate_event events[EVENTS_MAX];
    int e = spate_shard_turn(run->core.shard, wait_ns);
    if (e < 0) {
        progress_clear(&run->progress);
        message(run->options->command, "%s", strerror(-e));
        return false;
    }
    uint32_t count = spate_shard_events(run->core.shard, events, EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++)
        cp_event(run, &events[i]);
    return true;
}

/* Runs until the connection has closed: what is lent comes back before. */
static void say_goodbye(struct cp_run *run)
{
    uint64_t end_ns = spate_shard_now_ns(run->core.shard) + GOODBYE_NS;
    while (run->conn != NULL && stop_count() < 2 && spate_shard_now_ns(run->core.shard) < end_ns) {
        if (!turn(run, SHOW_NS))
            return;
    }
}

/* A ticket follows the handshake by a round trip at least: 0-RTT may be faster. */
static void wait_for_ticket(struct cp_run *run)
{
    uint64_t end_ns = spate_shard_now_ns(run->core.shard) + LINGER_NS;
    if (run->options->tickets == NULL)
        return;
    while (run->conn != NULL && run->tickets.count == 0 && stop_count() == 0 &&
           spate_shard_now_ns(run->core.shard) < end_ns) {
        if (!turn(run, LINGER_NS / 10))
            return;
    }
}

/* Has OpenSSL search for what digests need, for which it reads its configuration: while the server
 * works on the first request. */
static bool turn_and_prepare(struct cp_run *run)
{
    enum cp_hash hash = run->options->hash;
    if (!turn(run, 0))
        return false;
    (void)files_hashes_find(&run->core.hashes, hash == CP_HASH_SHA256 ? FILES_SHA256 : FILES_GMAC);
    return true;
}

static int run_all(struct cp_run *run)
{
    bool is_waiting = false;
    bool is_prepared = false;
    while (!cp_fill(run)) {
        if (run->is_over)
            return EXIT_FAILURE;
        if (stop_count() > 0) {
            progress_clear(&run->progress);
            message(run->options->command, "interrupted");
            cp_close(run, FILES_CANCELLED, "interrupted");
            return EXIT_INTERRUPTED;
        }
        uint64_t wait_ns = is_waiting ? RETRY_NS : run->progress.is_on ? SHOW_NS : SPATE_FOREVER;
        bool prepares = !is_prepared && run->stream_count > 0; /* it is queued */
        if (prepares ? !turn_and_prepare(run) : !turn(run, wait_ns))
            return EXIT_FAILURE;
        is_prepared = is_prepared || prepares;
        is_waiting = files_core_retry(&run->core);
        files_beneath_deinit(&run->beneath); /* the folder may be another one in the next turn */
        if (run->options->streams == 0)
            adapt_look(&run->adapt, cp_bytes(run), spate_shard_now_ns(run->core.shard));
        cp_report_show(run);
    }
    run->end_ns = spate_shard_now_ns(run->core.shard);
    wait_for_ticket(run);
    cp_close(run, FILES_OK, NULL);
    if (run->files_missing > 0)
        message(run->options->command, "the server has not answered for all files");
    return run->files_failed + run->files_missing == 0 ? EXIT_SUCCESS : EXIT_FAILURE;
}

static int copy(bool is_sync, int argc, char **argv)
{
    struct cp_options options;
    int status;
    if (!cp_options_parse(&options, is_sync, argc, argv, &status))
        return status;
    struct cp_run *run = calloc(1, sizeof(*run));
    if (run == NULL) {
        message(options.command, "out of memory");
        cp_options_deinit(&options);
        return EXIT_FAILURE;
    }
    run->options = &options;
    tickets_init(&run->tickets);
    one_shot_begin();
    process_raise_descriptors();
    status = EXIT_FAILURE;
    files_core_init(&run->core, options.memory_bytes);
    if (cp_plan_begin(run) && read_secrets(run) && create_engine(run)) {
        stop_watch(run->core.shard);
        cp_report_begin(run);
        adapt_init(&run->adapt, options.streams != 0 ? options.streams : STREAMS_FIRST, SHOW_NS,
                   run->start_ns);
        if (cp_connect(run)) {
            status = run_all(run);
            if (run->end_ns == 0)
                run->end_ns = spate_shard_now_ns(run->core.shard);
            say_goodbye(run);
            cp_report_end(run, status);
        }
        stop_forget();
        write_tickets(run);
    }
    files_core_stop(&run->core);
    spate_engine_destroy(run->engine);
    spate_tls_destroy(run->tls);
    cp_plan_deinit(run);
    files_core_deinit(&run->core);
    tickets_deinit(&run->tickets);
    explicit_bzero(&run->token, sizeof(run->token));
    free(run);
    cp_options_deinit(&options);
    return status;
}

int copy_run(int argc, char **argv)
{
    return copy(false, argc, argv);
}

int sync_run(int argc, char **argv)
{
    return copy(true, argc, argv);
}
