/* SPDX-License-Identifier: MIT */
/* spate serve: serves the files of a folder by HTTP/0.9 over QUIC and by HTTP/3. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <spate/spate.h>

#include "tools/spate/commands.h"
#include "tools/spate/files/identity.h"
#include "tools/spate/files/server.h"
#include "tools/spate/heap.h"
#include "tools/spate/hq.h"
#include "tools/spate/http3/http3.h"
#include "tools/spate/key_file.h"
#include "tools/spate/lb_file.h"
#include "tools/spate/message.h"
#include "tools/spate/process.h"
#include "tools/spate/record.h"
#include "tools/spate/replace.h"
#include "tools/spate/root.h"
#include "tools/spate/serve_options.h"
#include "tools/spate/serve_stream.h"
#include "tools/spate/stop.h"

enum { EVENTS_MAX = 256, TICKETS = 2, INHERITED_MAX = 16, NS_PER_S = 1000000000 };

/* Of a connection: requests at a time, and streams of the client's own, of which HTTP/3 has three
 * and some that try if the server minds. */
enum { STREAMS_BIDI = 100, STREAMS_UNI = 16, MESSAGE_SIZE_MAX = 65535 };

#define RETRY_NS    UINT64_C(20000000)   /* streams that wait for memory try again after it */
#define SHUTDOWN_NS UINT64_C(1000000000) /* that connections may take to finish */

struct server {
    struct serve_files files;
    struct files_server cp;
    bool has_cp;
    struct files_token token;
    struct http3 *http3; /* NULL: HTTP/0.9 only */
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls;
    struct replace replace;
    struct heap heap;
    bool is_taken; /* from another process: its addresses are ours */
    bool has_ended;
};

/* Writes the certificate at the start of `pem`, and no key that follows it. */
static bool write_cert(const char *path, const char *pem)
{
    static const char end[] = "-----END CERTIFICATE-----\n";
    const char *at = strstr(pem, end);
    size_t size = at != NULL ? (size_t)(at - pem) + sizeof(end) - 1 : 0;
    FILE *file = fopen(path, "we");
    bool is_written = file != NULL && fwrite(pem, 1, size, file) == size;
    if (file != NULL && fclose(file) != 0)
        is_written = false;
    if (!is_written)
        message("serve", "--cert-out %s: %s", path, strerror(errno));
    return is_written;
}

static bool read_keys(const char *path, struct key_file *ret)
{
    const char *wrong = key_file_read(path, ret);
    if (wrong != NULL)
        message("serve", "--ticket-keys %s: %s", path, wrong);
    return wrong == NULL;
}

static bool read_quic_lb(const char *path, struct spate_quic_lb *ret)
{
    const char *wrong = lb_file_read(path, ret);
    if (wrong != NULL)
        message("serve", "--quic-lb %s: %s", path, wrong);
    return wrong == NULL;
}

/* Reads the keys of tickets again.  If that fails, the old ones stay. */
static void replace_keys(struct server *server, const struct serve_options *o)
{
    struct key_file file;
    if (!read_keys(o->ticket_keys, &file))
        return;
    (void)spate_tls_set_ticket_keys(server->tls, file.keys, file.count);
    explicit_bzero(&file, sizeof(file));
}

/* Reads the configuration of connection IDs again.  If that fails, the old one stays. */
static void replace_quic_lb(struct server *server, const struct serve_options *o)
{
    struct spate_quic_lb lb;
    struct spate_error error = {""};
    if (!read_quic_lb(o->quic_lb, &lb))
        return;
    if (spate_engine_set_quic_lb(server->engine, &lb, &error) != 0)
        message("serve", "--quic-lb %s: %s", o->quic_lb, error.text);
    explicit_bzero(&lb, sizeof(lb));
}

/* The certificate is made here if the options have none.  Returns a negative errno or 0. */
static int open_identity(const struct serve_options *o, struct identity *ret,
                         struct spate_error *error)
{
    struct spate_self_signed_options self_signed;
    spate_self_signed_options_init(&self_signed);
    self_signed.names = o->names;
    self_signed.name_count = o->name_count;
    self_signed.days = o->days == 0 && o->identity != NULL ? IDENTITY_DAYS : o->days;
    return identity_open(ret, o->identity, &self_signed, error);
}

static bool create_tls(struct server *server, const struct serve_options *o)
{
    const char *alpn[4];
    struct spate_error error = {""};
    struct spate_tls_options tls;
    struct identity identity = {.cert_pem = NULL};
    struct key_file file = {.count = 0};
    if (o->ticket_keys != NULL && !read_keys(o->ticket_keys, &file))
        return false;
    spate_tls_options_init(&tls);
    tls.cert_file = o->cert;
    tls.key_file = o->key;
    if (o->token == NULL) /* which neither of the two proves */
        alpn[tls.alpn_count++] = HQ_ALPN;
    if (server->http3 != NULL)
        alpn[tls.alpn_count++] = HTTP3_ALPN;
    if (o->serves_cp) { /* the first one that the client has, too */
        alpn[tls.alpn_count++] = FILES_ALPN;
        alpn[tls.alpn_count++] = FILES_ALPN_SHA256;
    }
    tls.alpn = alpn;
    tls.ciphers = o->ciphers;
    tls.keylog_file = getenv("SSLKEYLOGFILE");
    tls.ticket_count = TICKETS;
    tls.ticket_keys = file.count > 0 ? file.keys[0] : NULL;
    tls.ticket_key_count = file.count;
    tls.early_data = o->accepts_early;
    int e = 0;
    if (o->cert == NULL) {
        e = open_identity(o, &identity, &error);
        tls.cert_pem = identity.cert_pem;
        tls.key_pem = identity.key_pem;
    }
    if (e == 0)
        e = spate_tls_server_create(&tls, &server->tls, &error);
    explicit_bzero(&file, sizeof(file));
    if (e != 0)
        message("serve", "%s", message_why(&error, e));
    bool is_good = e == 0 && (o->cert_out == NULL || write_cert(o->cert_out, identity.cert_pem));
    if (o->serves_cp)
        identity_print(&identity);
    identity_close(&identity);
    return is_good;
}

static bool create_engine(struct server *server, const struct serve_options *o)
{
    struct spate_error error = {""};
    struct spate_config config;
    spate_config_init(&config);
    config.conns_max = o->conns_max;
    config.handshake_timeout_ns = o->handshake_s * (uint64_t)NS_PER_S;
    config.retry = o->sends_retry ? SPATE_RETRY_ALWAYS : SPATE_RETRY_AUTO;
    config.streams_bidi_max = STREAMS_BIDI;
    config.streams_uni_max = server->http3 != NULL ? STREAMS_UNI : 0;
    if (o->serves_cp) { /* a chunk fits into the window of its stream */
        config.stream_window_bytes = 2 * FILES_CHUNK_SIZE;
        config.conn_window_bytes = 2 * FILES_CHUNK_SIZE;
    }
    if (o->echoes) {
        config.streams_uni_max = STREAMS_BIDI; /* WebTransport has more than HTTP */
        config.message_frame_size_max = MESSAGE_SIZE_MAX;
    }
    config.versions = o->versions;
    config.hand_over = o->hand_over != NULL;
    struct spate_quic_lb lb;
    if (o->quic_lb != NULL && !read_quic_lb(o->quic_lb, &lb))
        return false;
    config.quic_lb = o->quic_lb != NULL ? &lb : NULL;
    struct record record;
    record_configure(&record, o->qlog, "serve", &config);
    int e = spate_engine_create(&config, &server->engine, &error);
    explicit_bzero(&lb, sizeof(lb));
    if (e != 0) {
        message("serve", "%s", message_why(&error, e));
        return false;
    }
    if (spate_engine_warning(server->engine) != NULL)
        message("serve", "%s", spate_engine_warning(server->engine));
    server->shard = spate_engine_shard(server->engine, 0);
    return o->hand_over == NULL ||
           replace_take(&server->replace, o->hand_over, server->engine, &server->is_taken);
}

static bool prefer_all(struct spate_listener *listener, const struct serve_options *o)
{
    for (uint32_t i = 0; i < o->prefer_count; i++) {
        struct spate_error error = {""};
        char text[NET_TEXT_SIZE];
        int e = spate_listener_prefer(listener, (const struct sockaddr *)&o->prefer[i].storage,
                                      o->prefer[i].size, &error);
        net_format(&o->prefer[i], text);
        if (e != 0) {
            message("serve", "--prefer %s: %s", text, message_why(&error, e));
            return false;
        }
    }
    return true;
}

/* With what an HTTP server at the same host says, so that browsers come here.  [RFC7838] */
static void print_listening(const struct net_address *bound, const struct serve_options *o)
{
    char text[NET_TEXT_SIZE];
    net_format(bound, text);
    printf("listening at %s\n", text);
    if (o->prints_alt_svc)
        printf("Alt-Svc: " HTTP3_ALPN "=\"%s\"; ma=86400\n", strrchr(text, ':'));
}

/* Listens on the sockets that the process was started with, or at their address if another process
 * has given us the sockets that it has there. */
static bool listen_inherited(struct server *server, const struct serve_options *o)
{
    int fds[INHERITED_MAX];
    struct spate_error error = {""};
    struct net_address bound = {.size = sizeof(bound.storage)};
    struct spate_listener *listener;
    int count = spate_inherited_sockets(o->inherit, fds, INHERITED_MAX, &error);
    struct spate_listen_options options = {.size = sizeof(options), .tls = server->tls};
    int e = count < 0 ? count : count == 0 ? -ENOENT : 0;
    if (e == 0 && server->is_taken) {
        e = getsockname(fds[0], (struct sockaddr *)&bound.storage, &bound.size) == 0 ? 0 : -errno;
        options.address = (const struct sockaddr *)&bound.storage;
        options.address_size = bound.size;
    } else if (e == 0) {
        options.fds = fds;
        options.fd_count = (uint32_t)count;
    }
    if (e == 0)
        e = spate_shard_listen_with(server->shard, &options, &listener, &error);
    if (e == 0)
        e = spate_listener_address(listener, &bound.storage, &bound.size);
    if (e != 0) {
        message("serve", "--inherit %s: %s", o->inherit,
                error.text[0] != 0 ? error.text
                : count == 0       ? "the process was started with no socket of this name"
                                   : strerror(-e));
        return false;
    }
    print_listening(&bound, o);
    return prefer_all(listener, o) && fflush(stdout) == 0;
}

static bool listen_all(struct server *server, const struct serve_options *o)
{
    if (o->inherit != NULL)
        return listen_inherited(server, o);
    for (uint32_t i = 0; i < o->listen_count; i++) {
        struct spate_error error = {""};
        struct spate_listener *listener;
        int e = spate_shard_listen(server->shard, (const struct sockaddr *)&o->listen[i].storage,
                                   o->listen[i].size, server->tls, NULL, &listener, &error);
        struct net_address bound;
        if (e == 0)
            e = spate_listener_address(listener, &bound.storage, &bound.size);
        char text[NET_TEXT_SIZE];
        net_format(e == 0 ? &bound : &o->listen[i], text);
        if (e != 0) {
            message("serve", "--listen %s: %s", text, message_why(&error, e));
            return false;
        }
        if (!prefer_all(listener, o))
            return false;
        print_listening(&bound, o);
    }
    return fflush(stdout) == 0;
}

static bool speaks(const struct spate_event *event, const char *alpn)
{
    return strcmp(spate_conn_alpn(event->conn), alpn) == 0;
}

/* Of a connection that nobody has taken yet. */
static bool begins(const struct spate_event *event)
{
    return event->conn_user == NULL &&
           (event->kind == SPATE_EVENT_EARLY || event->kind == SPATE_EVENT_CONNECTED);
}

/* Of a connection that nobody has taken, or that has another protocol. */
static void drop_event(struct server *server, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA)
        spate_slice_release(server->shard, &event->u.data.slice);
    else if (event->kind == SPATE_EVENT_DATAGRAM)
        spate_slice_release(server->shard, &event->u.datagram.slice);
}

/* Those of `spate cp` and of HTTP/3 have a user pointer from their first event on. */
static void handle_event(struct server *server, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_SHUTDOWN)
        server->has_ended = true;
    else if (begins(event) && files_speaks(spate_conn_alpn(event->conn)))
        files_server_accept(&server->cp, event->conn);
    else if (begins(event) && speaks(event, HTTP3_ALPN))
        http3_begin(server->http3, event->conn);
    else if (event->conn_user != NULL && speaks(event, HTTP3_ALPN))
        http3_event(event);
    else if (event->kind == SPATE_EVENT_DATAGRAM || event->conn == NULL)
        drop_event(server, event); /* nobody else asked for messages */
    else if (event->conn_user != NULL && files_speaks(spate_conn_alpn(event->conn)))
        files_server_event(&server->cp, event);
    else if (!speaks(event, HQ_ALPN))
        drop_event(server, event);
    else if (event->kind == SPATE_EVENT_STREAM_OPENED && (event->stream_id & 2) != 0)
        (void)spate_stream_stop(event->conn, event->stream_id, HQ_BAD_REQUEST);
    else
        serve_stream_event(&server->files, event);
}

static void handle_events(struct server *server)
{
    struct spate_event events[EVENTS_MAX];
    uint32_t count = spate_shard_events(server->shard, events, EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].kind == SPATE_EVENT_CONNECTED)
            heap_note(&server->heap, spate_shard_now_ns(server->shard));
        handle_event(server, &events[i]);
    }
}

/* Runs until the first signal, or until another process has taken over, and then until connections
 * have ended, or the second signal. */
static int run(struct server *server, const struct serve_options *o)
{
    bool is_ending = false;
    bool is_replaced = false;
    uint64_t wait_ns = SPATE_FOREVER;
    while (!server->has_ended && stop_count() < 2) {
        if (stop_count() > 0 && !is_ending) {
            is_ending = true;
            http3_go_away(server->http3);
            (void)spate_shard_shutdown(server->shard, SHUTDOWN_NS, 0, "the server stops");
        }
        if (replace_is_given(&server->replace) && !is_replaced && !is_ending) {
            is_replaced = true;
            http3_go_away(server->http3);
            (void)spate_shard_shutdown(server->shard, o->drain_s * (uint64_t)NS_PER_S, 0,
                                       "the server was replaced");
        }
        if (stop_take_hangup()) {
            if (o->ticket_keys != NULL)
                replace_keys(server, o);
            if (o->quic_lb != NULL)
                replace_quic_lb(server, o);
        }
        int e = spate_shard_turn(server->shard, wait_ns);
        if (e < 0) {
            message("serve", "%s", strerror(-e));
            return EXIT_FAILURE;
        }
        handle_events(server);
        bool is_retrying = serve_files_retry(&server->files);
        if (o->serves_cp && files_server_retry(&server->cp))
            is_retrying = true;
        wait_ns = server->http3 != NULL ? http3_flush(server->http3) : SPATE_FOREVER;
        uint64_t heap_ns = heap_look(&server->heap, spate_shard_now_ns(server->shard));
        if (heap_ns < wait_ns)
            wait_ns = heap_ns;
        if (is_retrying && wait_ns > RETRY_NS)
            wait_ns = RETRY_NS;
    }
    return EXIT_SUCCESS;
}

static bool create_http3(struct server *server, const struct serve_options *o)
{
    const struct http3_options options = {
        .root = server->files.root,
        .streams = STREAMS_BIDI,
        .lists_folders = o->lists_folders,
        .echoes = o->echoes,
        .is_verbose = o->is_verbose,
    };
    if (!HTTP3_IS_BUILT || o->token != NULL)
        return true;
    server->http3 = http3_create(&options);
    if (server->http3 == NULL)
        message("serve", "%s", strerror(ENOMEM));
    return server->http3 != NULL;
}

/* Prepares what --cp needs. */
static bool create_cp(struct server *server, const struct serve_options *o, int root)
{
    const char *wrong = o->token != NULL ? files_token_read(o->token, &server->token) : NULL;
    if (wrong != NULL)
        message("serve", "--token %s: %s", o->token, wrong);
    files_server_init(&server->cp, server->shard, root);
    server->has_cp = true;
    server->cp.writable = o->writable;
    server->cp.token = o->token != NULL ? &server->token : NULL;
    return wrong == NULL;
}

int serve_run(int argc, char **argv)
{
    struct serve_options options;
    struct server server = {.engine = NULL};
    int status;
    if (!serve_options_parse(&options, argc, argv, &status))
        return status;

    int root = root_open(options.root);
    if (root < 0) {
        message("serve", "--root %s: %s", options.root, strerror(-root));
        return EXIT_FAILURE;
    }
    serve_files_init(&server.files, root, options.is_verbose);
    process_raise_descriptors();
    status = EXIT_FAILURE;
    if (create_http3(&server, &options) && create_tls(&server, &options) &&
        create_engine(&server, &options) && create_cp(&server, &options, root)) {
        stop_watch(server.shard);
        if (options.ticket_keys != NULL || options.quic_lb != NULL)
            stop_watch_hangup();
        if (listen_all(&server, &options) &&
            (options.hand_over == NULL || replace_finish(&server.replace)))
            status = run(&server, &options);
        stop_forget();
    }
    if (options.hand_over != NULL && server.engine != NULL)
        replace_end(&server.replace);
    files_server_stop(&server.cp);
    spate_engine_destroy(server.engine);
    http3_destroy(server.http3);
    spate_tls_destroy(server.tls);
    if (server.has_cp)
        files_server_deinit(&server.cp);
    serve_files_deinit(&server.files);
    explicit_bzero(&server.token, sizeof(server.token));
    (void)close(root);
    return status;
}
