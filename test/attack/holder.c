/* SPDX-License-Identifier: MIT */
/* A server whose application keeps what it receives: each slice of a stream is held until the
 * stream has ended.  Otherwise it speaks the protocol of spate-bench: a request says in its first 8
 * bytes how many bytes it wants back.  So spate-bench can be the honest client beside an attack. */

#include <arpa/inet.h>
#include <getopt.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <spate/spate.h>

enum { HEADER_SIZE = 8, ANSWER_SIZE_MAX = 65536 };

static const uint8_t content[ANSWER_SIZE_MAX];

struct held {
    struct held *next;
    struct spate_slice slice;
};

/* Of one stream, or of those whose streams got no object. */
struct stream {
    struct stream *next; /* of the same connection */
    struct held *held;
    uint8_t header[HEADER_SIZE];
    size_t header_size;
};

struct conn {
    struct conn *next;
    struct conn *previous;
    struct stream *streams; /* of the shard's thread */
};

static struct spate_tls *tls;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER; /* guards the next two */
static uint16_t port;                                    /* 0: not chosen yet */
static struct conn conns = {.next = &conns, .previous = &conns};

/* `shard` is NULL once the engine is gone, and the slices with it. */
static void release_all(struct spate_shard *shard, struct stream *stream)
{
    while (stream->held != NULL) {
        struct held *held = stream->held;
        stream->held = held->next;
        if (shard != NULL)
            spate_slice_release(shard, &held->slice);
        free(held);
    }
}

static void answer(const struct spate_event *e, const struct stream *stream)
{
    uint64_t wanted = 0;
    for (size_t i = 0; i < stream->header_size; i++)
        wanted = wanted << 8 | stream->header[i];
    size_t size = wanted < ANSWER_SIZE_MAX ? (size_t)wanted : ANSWER_SIZE_MAX;
    (void)spate_stream_send(e->conn, e->stream_id, content, size, true, 0);
}

static void on_data(struct spate_shard *shard, struct spate_event *e)
{
    struct stream *stream = e->stream_user;
    struct spate_slice *slice = &e->u.data.slice;
    struct held *held = stream == NULL ? NULL : malloc(sizeof(*held));
    if (held == NULL) {
        spate_slice_release(shard, slice);
        return;
    }
    for (size_t i = 0; i < slice->size && stream->header_size < HEADER_SIZE; i++)
        stream->header[stream->header_size++] = slice->data[i];
    *held = (struct held){.next = stream->held, .slice = *slice};
    stream->held = held;
    if (!e->u.data.fin)
        return;
    release_all(shard, stream);
    if ((e->stream_id & 2) == 0)
        answer(e, stream);
}

static void on_opened(const struct spate_event *e)
{
    struct conn *conn = e->conn_user;
    struct stream *stream = conn == NULL ? NULL : calloc(1, sizeof(*stream));
    if (stream == NULL)
        return;
    stream->next = conn->streams;
    conn->streams = stream;
    (void)spate_stream_set_user(e->conn, e->stream_id, stream);
}

static void drop_stream(struct spate_shard *shard, const struct spate_event *e)
{
    struct stream *stream = e->stream_user;
    struct conn *conn = e->conn_user;
    if (stream == NULL || conn == NULL)
        return;
    struct stream **at = &conn->streams;
    while (*at != stream)
        at = &(*at)->next;
    *at = stream->next;
    release_all(shard, stream);
    free(stream);
}

static void on_connected(const struct spate_event *e)
{
    struct conn *conn = calloc(1, sizeof(*conn));
    spate_conn_set_user(e->conn, conn);
    if (conn == NULL)
        return;
    pthread_mutex_lock(&lock);
    *conn = (struct conn){.next = conns.next, .previous = &conns};
    conns.next->previous = conn;
    conns.next = conn;
    pthread_mutex_unlock(&lock);
}

static void on_closed(struct spate_shard *shard, struct conn *conn)
{
    if (conn == NULL)
        return;
    pthread_mutex_lock(&lock);
    conn->previous->next = conn->next;
    conn->next->previous = conn->previous;
    pthread_mutex_unlock(&lock);
    while (conn->streams != NULL) {
        struct stream *stream = conn->streams;
        conn->streams = stream->next;
        release_all(shard, stream);
        free(stream);
    }
    free(conn);
}

static void on_event(struct spate_shard *shard, struct spate_event *e)
{
    switch (e->kind) {
    case SPATE_EVENT_CONNECTED:
        on_connected(e);
        break;
    case SPATE_EVENT_STREAM_OPENED:
        on_opened(e);
        break;
    case SPATE_EVENT_STREAM_DATA:
        on_data(shard, e);
        break;
    case SPATE_EVENT_STREAM_RESET:
        (void)spate_stream_reset(e->conn, e->stream_id, 0);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        drop_stream(shard, e);
        break;
    case SPATE_EVENT_CLOSED:
        on_closed(shard, e->conn_user);
        break;
    default:
        break;
    }
}

static void on_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    (void)user;
    for (uint32_t i = 0; i < count; i++) {
        struct spate_event e = events[i];
        on_event(shard, &e);
    }
}

/* The first shard chooses the port for all. */
static int on_start(struct spate_shard *shard, void *user)
{
    (void)user;
    struct spate_listener *listener;
    struct sockaddr_storage bound;
    socklen_t bound_size;
    pthread_mutex_lock(&lock);
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(port)};
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    int result = spate_shard_listen(shard, (const struct sockaddr *)&address, sizeof(address), tls,
                                    NULL, &listener, NULL);
    if (result == 0)
        result = spate_listener_address(listener, &bound, &bound_size);
    if (result == 0) {
        memcpy(&address, &bound, sizeof(address));
        port = ntohs(address.sin_port);
    }
    pthread_mutex_unlock(&lock);
    return result;
}

static void make_tls(void)
{
    static const char *const alpn[] = {"perf"};
    struct spate_self_signed_options self = {.size = sizeof(self)};
    struct spate_tls_options options;
    struct spate_error error = {.text = ""};
    char *cert_pem, *key_pem;
    spate_tls_options_init(&options);
    if (spate_self_signed(&self, &cert_pem, &key_pem, &error) == 0) {
        options.cert_pem = cert_pem;
        options.key_pem = key_pem;
        options.alpn = alpn;
        options.alpn_count = 1;
        if (spate_tls_server_create(&options, &tls, &error) != 0)
            tls = NULL;
        spate_free(cert_pem);
        spate_free(key_pem);
    }
    if (tls == NULL) {
        fprintf(stderr, "holder: %s\n", error.text);
        exit(1);
    }
}

static bool parse(int argc, char **argv, struct spate_config *config)
{
    static const struct option known[] = {
        {"shards", required_argument, NULL, 's'},    {"backend", required_argument, NULL, 'b'},
        {"memory-mb", required_argument, NULL, 'm'}, {"idle-ms", required_argument, NULL, 'i'},
        {"conns", required_argument, NULL, 'c'},     {NULL, 0, NULL, 0},
    };
    int option;
    while ((option = getopt_long(argc, argv, "", known, NULL)) != -1) {
        uint64_t number = optarg != NULL ? strtoull(optarg, NULL, 10) : 0;
        if (option == 's')
            config->shard_count = (uint32_t)number;
        else if (option == 'm')
            config->memory_bytes_max = number << 20;
        else if (option == 'i')
            config->idle_timeout_ns = number * 1000000;
        else if (option == 'c')
            config->conns_max = (uint32_t)number;
        else if (option == 'b')
            config->backend = strcmp(optarg, "mmsg") == 0       ? SPATE_BACKEND_MMSG
                              : strcmp(optarg, "io_uring") == 0 ? SPATE_BACKEND_IO_URING
                                                                : SPATE_BACKEND_AUTO;
        else
            return false;
    }
    return optind == argc;
}

int main(int argc, char **argv)
{
    struct spate_config config;
    spate_config_init(&config);
    config.spin_ns = 0;
    if (!parse(argc, argv, &config)) {
        fprintf(stderr, "usage: holder [--shards N] [--backend B] [--memory-mb N] [--idle-ms N]\n"
                        "              [--conns N]\n");
        return 2;
    }
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGINT);
    sigaddset(&signals, SIGTERM);
    (void)pthread_sigmask(SIG_BLOCK, &signals, NULL); /* the threads inherit it */
    make_tls();

    struct spate_engine *engine;
    struct spate_error error = {.text = ""};
    struct spate_handlers handlers;
    spate_handlers_init(&handlers);
    handlers.on_start = on_start;
    handlers.on_events = on_events;
    int result = spate_engine_create(&config, &engine, &error);
    if (result == 0)
        result = spate_engine_start(engine, &handlers, &error);
    if (result != 0) {
        fprintf(stderr, "holder: %s\n", error.text[0] != '\0' ? error.text : strerror(-result));
        return 1;
    }
    printf("listening at 127.0.0.1:%u\n", port);
    (void)fflush(stdout);
    int signal;
    (void)sigwait(&signals, &signal);
    spate_engine_destroy(engine);
    while (conns.next != &conns)
        on_closed(NULL, conns.next);
    spate_tls_destroy(tls);
    return 0;
}
