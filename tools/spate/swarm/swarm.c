/* SPDX-License-Identifier: MIT */
/* spate swarm: gives out and fetches files, in pieces, among many peers. */

#include "tools/spate/swarm/swarm.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/spate/commands.h"
#include "tools/spate/files/identity.h"
#include "tools/spate/message.h"
#include "tools/spate/process.h"
#include "tools/spate/record.h"
#include "tools/spate/root.h"
#include "tools/spate/stop.h"

enum { EVENTS_MAX = 256, CHECKS_PER_LOOK = 64 };

#define LOOK_NS       UINT64_C(250000000)
#define RETRY_NS      UINT64_C(20000000) /* while blocks may be asked of a second peer */
#define GOODBYE_NS    UINT64_C(500000000)
#define IDLE_NS       UINT64_C(15000000000)
#define KEEP_ALIVE_NS UINT64_C(4000000000)
#define STREAM_WINDOW UINT64_C(4194304)
#define CONN_WINDOW   UINT64_C(16777216)

/* ---- Begin ---- */

static bool create_server_tls(struct swarm *swarm)
{
    static const char *const alpn[] = {SWARM_ALPN};
    const struct swarm_options *o = swarm->options;
    struct spate_error error = {""};
    struct spate_tls_options tls;
    struct spate_self_signed_options self_signed;
    struct identity identity;
    if (o->listen_count == 0)
        return true;
    spate_self_signed_options_init(&self_signed);
    self_signed.days = IDENTITY_DAYS;
    int e = identity_open(&identity, o->identity, &self_signed, &error);
    spate_tls_options_init(&tls);
    tls.alpn = alpn;
    tls.alpn_count = 1;
    tls.cert_pem = identity.cert_pem;
    tls.key_pem = identity.key_pem;
    tls.keylog_file = getenv("SSLKEYLOGFILE");
    if (e == 0)
        e = spate_tls_server_create(&tls, &swarm->tls, &error);
    if (e != 0)
        swarm_say(swarm, "%s", message_why(&error, e));
    else
        identity_print(&identity);
    identity_close(&identity);
    return e == 0;
}

static bool create_engine(struct swarm *swarm)
{
    const struct swarm_options *o = swarm->options;
    struct spate_error error = {""};
    struct spate_config config;
    struct record record;
    spate_config_init(&config);
    config.conns_max = 2 * PICKER_PEERS_MAX;
    config.streams_bidi_max = SWARM_REQUESTS_MAX;
    config.streams_uni_max = 1;
    config.stream_window_bytes = STREAM_WINDOW;
    config.conn_window_bytes = CONN_WINDOW;
    config.idle_timeout_ns = IDLE_NS;
    config.keep_alive_ns = KEEP_ALIVE_NS;
    config.shard_rate_bytes_per_s_max = o->rate_bytes_per_s;
    record_configure(&record, o->qlog, "swarm", &config);
    int e = spate_engine_create(&config, &swarm->engine, &error);
    if (e != 0) {
        swarm_say(swarm, "%s", message_why(&error, e));
        return false;
    }
    swarm->shard = spate_engine_shard(swarm->engine, 0);
    swarm->has_ring = true;
    return true;
}

static bool listen_all(struct swarm *swarm)
{
    const struct swarm_options *o = swarm->options;
    for (uint32_t i = 0; i < o->listen_count; i++) {
        struct spate_error error = {""};
        struct spate_listener *listener;
        struct net_address bound = o->listen[i];
        char text[NET_TEXT_SIZE];
        int e = spate_shard_listen(swarm->shard, (const struct sockaddr *)&bound.storage,
                                   bound.size, swarm->tls, NULL, &listener, &error);
        if (e == 0)
            e = spate_listener_address(listener, &bound.storage, &bound.size);
        net_format(&bound, text);
        if (e != 0) {
            swarm_say(swarm, "--listen %s: %s", text, message_why(&error, e));
            return false;
        }
        printf("listening at %s\n", text);
    }
    return fflush(stdout) == 0;
}

static bool open_content(struct swarm *swarm)
{
    const struct swarm_options *o = swarm->options;
    const char *wrong = meta_read(o->meta, &swarm->meta);
    uint32_t file;
    if (wrong != NULL) {
        swarm_say(swarm, "%s: %s", o->meta, wrong);
        return false;
    }
    if (o->mode == SWARM_FETCH && mkdir(o->folder, 0777) != 0 && errno != EEXIST) {
        swarm_say(swarm, "%s: %s", o->folder, strerror(errno));
        return false;
    }
    swarm->root = root_open(o->folder);
    if (swarm->root < 0) {
        swarm_say(swarm, "%s: %s", o->folder, strerror(-swarm->root));
        return false;
    }
    int e = store_init(&swarm->store, &swarm->meta, swarm->root, o->mode == SWARM_FETCH, &file);
    if (e != 0)
        swarm_say(swarm, "%s: %s", swarm->meta.files[file].path,
                  e == -EWOULDBLOCK ? "another process writes it" : strerror(-e));
    return e == 0 && swarm_pieces_init(swarm);
}

/* Verifies what is there.  Returns false after a signal or an error. */
static bool check_content(struct swarm *swarm)
{
    uint32_t file = 0;
    for (uint32_t i = 0; i < swarm->meta.piece_count; i++) {
        store_check(&swarm->store, i);
        if (i % CHECKS_PER_LOOK == 0 && stop_count() > 0)
            return false;
    }
    int e = store_begin(&swarm->store, &file);
    if (e != 0) {
        swarm_say(swarm, "%s: %s", swarm->meta.files[file].path,
                  e == -EWOULDBLOCK ? "another process writes it" : strerror(-e));
        return false;
    }
    for (uint32_t i = 0; i < swarm->meta.piece_count; i++) {
        if (picker_bit(swarm->store.have, i))
            picker_have(&swarm->picker, i);
    }
    swarm->pieces_before = swarm->store.have_count;
    if (swarm->options->mode == SWARM_SEED && swarm->store.have_count < swarm->meta.piece_count)
        swarm_say(swarm, "%u of %u pieces are below %s", swarm->store.have_count,
                  swarm->meta.piece_count, swarm->options->folder);
    swarm->is_done = swarm->store.have_count == swarm->meta.piece_count;
    return true;
}

/* ---- The loop ---- */

/* Returns false if the ring has failed. */
static bool turn(struct swarm *swarm, uint64_t wait_ns)
{
    struct spate_event events[EVENTS_MAX];
    enum swarm_stage before = swarm_profile_begin(swarm, SWARM_STAGE_TURN);
    int e = spate_shard_turn(swarm->shard, wait_ns);
    swarm_profile_end(swarm, before);
    if (e < 0) {
        swarm_say(swarm, "%s", strerror(-e));
        swarm->has_failed = true;
        return false;
    }
    before = swarm_profile_begin(swarm, SWARM_STAGE_DISPATCH);
    uint32_t count = spate_shard_events(swarm->shard, events, EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++)
        swarm_event(swarm, &events[i]);
    swarm_profile_end(swarm, before);
    files_worker_reap(&swarm->worker);
    return true;
}

static void close_all(struct swarm *swarm, enum swarm_code code)
{
    uint64_t end_ns = spate_shard_now_ns(swarm->shard) + GOODBYE_NS;
    swarm->is_ending = true;
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        if (swarm->peers[i] != NULL)
            swarm_peer_close(swarm->peers[i], code);
    }
    while (swarm->peer_count > 0 && stop_count() < 2 && spate_shard_now_ns(swarm->shard) < end_ns) {
        if (!turn(swarm, GOODBYE_NS / 5))
            return;
    }
}

/* Whether somebody still needs what we have. */
static bool is_needed(const struct swarm *swarm)
{
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        const struct swarm_peer *peer = swarm->peers[i];
        if (peer != NULL && peer->stage == SWARM_PEER_READY &&
            peer->have_count < swarm->meta.piece_count)
            return true;
    }
    return false;
}

/* Whether nobody is left who could send something. */
static bool is_hopeless(struct swarm *swarm, uint64_t now_ns)
{
    const struct swarm_options *o = swarm->options;
    bool may_come = o->listen_count > 0 || swarm->peer_count > 0;
    for (uint32_t i = 0; i < o->peer_count; i++)
        may_come = may_come || !swarm->targets[i].is_given_up;
    if (!may_come) {
        swarm_say(swarm, "no peer is left");
        return true;
    }
    if (now_ns < swarm->alive_ns + o->timeout_ns)
        return false;
    const char *why = NULL;
    for (uint32_t i = 0; i < o->peer_count && why == NULL; i++)
        why = swarm->targets[i].why[0] != 0 ? swarm->targets[i].why : NULL;
    bool has_peer = swarm->peer_count > 0 && why == NULL;
    swarm_say(swarm, "nothing has come for %u s%s%s", (unsigned)(o->timeout_ns / 1000000000),
              why != NULL ? ": " : "",
              why != NULL ? why
              : has_peer  ? ": no peer has what is missing, or serves us"
                          : "");
    return true;
}

static void look(struct swarm *swarm, uint64_t now_ns)
{
    if (now_ns < swarm->look_ns)
        return;
    swarm->look_ns = now_ns + LOOK_NS;
    swarm_peers_look(swarm, now_ns);
    swarm_serve_look(swarm, now_ns);
    swarm_fetch_look(swarm, now_ns);
    swarm_targets_try(swarm, now_ns);
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        if (swarm->peers[i] != NULL)
            swarm_peer_tell(swarm->peers[i]); /* what has become complete */
    }
}

/* Runs until all is there and nobody needs it, or until a signal.  Returns the exit status. */
static int run(struct swarm *swarm)
{
    const struct swarm_options *o = swarm->options;
    bool is_fetch = o->mode == SWARM_FETCH;
    uint32_t told = swarm->log_count;
    swarm->alive_ns = swarm->start_ns;
    while (stop_count() == 0 && !swarm->has_failed) {
        uint64_t now_ns = spate_shard_now_ns(swarm->shard);
        if (is_fetch && swarm->is_done && swarm->end_ns == 0)
            swarm->end_ns = now_ns;
        if (is_fetch && swarm->is_done &&
            (now_ns >= swarm->end_ns + o->linger_ns || !is_needed(swarm)))
            return EXIT_SUCCESS;
        if (is_fetch && !swarm->is_done && is_hopeless(swarm, now_ns))
            return EXIT_FAILURE;
        swarm_pieces_ready(swarm);
        swarm_fetch_fill(swarm);
        if (swarm->log_count != told)
            swarm->look_ns = 0;
        told = swarm->log_count;
        look(swarm, now_ns);
        if (!turn(swarm, is_fetch && !swarm->is_done ? RETRY_NS : LOOK_NS))
            break;
        swarm_report_show(swarm);
    }
    if (swarm->has_failed || !is_fetch)
        return swarm->has_failed ? EXIT_FAILURE : EXIT_SUCCESS;
    swarm_say(swarm, "interrupted");
    return EXIT_INTERRUPTED;
}

static bool read_token(struct swarm *swarm)
{
    const char *path = swarm->options->token;
    const char *wrong = path != NULL ? files_token_read(path, &swarm->token) : NULL;
    if (wrong != NULL)
        swarm_say(swarm, "--token %s: %s", path, wrong);
    return wrong == NULL;
}

static bool start_disk(struct swarm *swarm)
{
    int e = disk_start(&swarm->disk, &swarm->store, swarm->shard);
    if (e != 0)
        swarm_say(swarm, "%s", strerror(-e));
    return e == 0;
}

static int run_with_engine(struct swarm *swarm)
{
    int status = EXIT_FAILURE;
    swarm->profile.is_on = swarm->options->is_profiled;
    if (check_content(swarm) && listen_all(swarm) && swarm_targets_init(swarm) &&
        start_disk(swarm)) {
        (void)spate_shard_turn(swarm->shard, 0); /* its clock was last read before the check */
        swarm_report_begin(swarm);
        status = run(swarm);
        if (swarm->end_ns == 0)
            swarm->end_ns = spate_shard_now_ns(swarm->shard);
        close_all(swarm, status == EXIT_INTERRUPTED ? SWARM_CANCELLED : SWARM_OK);
        disk_stop(&swarm->disk);
        files_worker_stop(&swarm->worker);
        swarm_report_end(swarm, status);
    } else if (stop_count() > 0) {
        swarm_say(swarm, "interrupted");
        status = EXIT_INTERRUPTED;
    }
    return status;
}

int swarm_run(int argc, char **argv)
{
    struct swarm_options options;
    int status;
    if (!swarm_options_parse(&options, argc, argv, &status))
        return status;
    if (options.mode == SWARM_MAKE)
        return swarm_make(&options);
    struct swarm *swarm = calloc(1, sizeof(*swarm));
    if (swarm == NULL) {
        message("swarm", "out of memory");
        return EXIT_FAILURE;
    }
    swarm->options = &options;
    swarm->root = -1;
    status = EXIT_FAILURE;
    process_raise_descriptors();
    store_guard();
    if (read_token(swarm) && open_content(swarm) && create_server_tls(swarm) &&
        create_engine(swarm)) {
        stop_watch(swarm->shard);
        status = run_with_engine(swarm);
        stop_forget();
    }
    swarm->is_ending = true;
    spate_engine_destroy(swarm->engine);
    swarm_targets_deinit(swarm);
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        if (swarm->peers[i] != NULL)
            swarm_peer_destroy(swarm->peers[i]);
    }
    spate_tls_destroy(swarm->tls);
    swarm_pieces_deinit(swarm);
    if (swarm->store.meta != NULL)
        store_deinit(&swarm->store);
    meta_deinit(&swarm->meta);
    if (swarm->root >= 0)
        (void)close(swarm->root);
    explicit_bzero(&swarm->token, sizeof(swarm->token));
    free(swarm);
    return status;
}
