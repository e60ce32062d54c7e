/* SPDX-License-Identifier: MIT */
/* The other side of `spate cp`, which says what it is told to, byte by byte:
 *
 *   files_peer client PORT FILE...   One stream after the other gets the bytes of a file and ends;
 *                                    prints a line for each: "HEX fin", "HEX reset N" (what came
 *                                    before in hex), "closed N", or with " stopped N" at its end.
 *   files_peer server                Prints its port.  Prints what a stream brings in hex, and
 *                                    answers with the file that the next line of stdin names.  An
 *                                    empty line: a reset.
 *   files_peer hold PORT COUNT FILE  So many connections, each of which sends the file once, takes
 *                                    the answer and stays; prints "held" when all have theirs, and
 *                                    ends with stdin. */

#include <arpa/inet.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

enum { ROOM = 1 << 20, STREAMS = 64 };

struct stream {
    uint64_t id;
    uint8_t *bytes; /* received */
    size_t size;
    uint8_t *sent;
    bool is_open;
};

static struct stream streams[STREAMS];
static uint64_t stopped; /* 0, or 1 + the code */

static void fail(const char *why)
{
    fprintf(stderr, "files_peer: %s\n", why);
    exit(9);
}

static struct stream *find(uint64_t id)
{
    struct stream *room = NULL;
    for (size_t i = 0; i < STREAMS; i++) {
        if (streams[i].is_open && streams[i].id == id)
            return &streams[i];
        if (!streams[i].is_open)
            room = &streams[i];
    }
    if (room == NULL)
        fail("too many streams");
    *room = (struct stream){.id = id, .is_open = true, .bytes = malloc(ROOM)};
    if (room->bytes == NULL)
        fail("no memory");
    return room;
}

static void forget(struct stream *stream)
{
    free(stream->bytes);
    free(stream->sent);
    stream->is_open = false;
}

static void take(struct spate_shard *shard, struct stream *stream, struct spate_event *event)
{
    const struct spate_slice *slice = &event->u.data.slice;
    if (slice->size > ROOM - stream->size)
        fail("too much");
    memcpy(stream->bytes + stream->size, slice->data, slice->size);
    stream->size += slice->size;
    spate_slice_release(shard, &event->u.data.slice);
}

static void print_hex(const struct stream *stream)
{
    for (size_t i = 0; i < stream->size; i++)
        printf("%02x", stream->bytes[i]);
}

static void send_file(struct spate_conn *conn, struct stream *stream, const char *path)
{
    FILE *file = fopen(path, "rb");
    long size = -1;
    if (file != NULL && fseek(file, 0, SEEK_END) == 0)
        size = ftell(file);
    stream->sent = size >= 0 ? malloc((size_t)size + 1) : NULL;
    if (stream->sent == NULL)
        fail(path);
    rewind(file);
    if (fread(stream->sent, 1, (size_t)size, file) != (size_t)size)
        fail(path);
    (void)fclose(file);
    /* -EPIPE: the other side has heard enough. */
    (void)spate_stream_send(conn, stream->id, stream->sent, (size_t)size, true, 0);
}

/* ---- client ---- */

static void ask(struct spate_conn *conn, const char *path)
{
    uint64_t id;
    stopped = 0;
    if (spate_stream_open(conn, false, &id) != 0)
        fail("cannot open a stream");
    send_file(conn, find(id), path);
}

/* Returns whether the stream has ended: that is printed. */
static bool client_event(struct spate_shard *shard, struct spate_event *event)
{
    struct stream *stream;
    switch (event->kind) {
    case SPATE_EVENT_STREAM_STOPPED:
        stopped = 1 + event->u.error;
        return false;
    case SPATE_EVENT_STREAM_DATA:
        stream = find(event->stream_id);
        take(shard, stream, event);
        if (!event->u.data.fin)
            return false;
        print_hex(stream);
        printf(" fin");
        break;
    case SPATE_EVENT_STREAM_RESET:
        print_hex(find(event->stream_id));
        printf(" reset %d", (int)event->u.error);
        break;
    default:
        return false;
    }
    if (stopped != 0)
        printf(" stopped %d", (int)(stopped - 1));
    printf("\n");
    return true;
}

static void run_client(struct spate_shard *shard, char **paths, int count)
{
    struct spate_event events[64];
    int done = 0;
    while (done < count) {
        if (spate_shard_turn(shard, SPATE_FOREVER) < 0)
            fail("the ring has failed");
        uint32_t found = spate_shard_events(shard, events, 64);
        for (uint32_t i = 0; i < found && done < count; i++) {
            if (events[i].kind == SPATE_EVENT_CLOSED) {
                printf("closed %d\n", (int)events[i].u.close.error);
                return;
            }
            bool is_next = client_event(shard, &events[i]);
            done += is_next;
            if ((is_next && done < count) || events[i].kind == SPATE_EVENT_CONNECTED)
                ask(events[i].conn, paths[done]);
        }
    }
}

/* ---- server ---- */

static void server_event(struct spate_shard *shard, struct spate_event *event)
{
    char line[4096];
    if (event->kind == SPATE_EVENT_STREAM_CLOSED)
        forget(find(event->stream_id));
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    struct stream *stream = find(event->stream_id);
    take(shard, stream, event);
    if (!event->u.data.fin)
        return;
    print_hex(stream);
    printf("\n");
    (void)fflush(stdout);
    if (fgets(line, sizeof(line), stdin) == NULL)
        exit(0);
    line[strcspn(line, "\n")] = 0;
    if (line[0] != 0)
        send_file(event->conn, stream, line);
    else
        (void)spate_stream_reset(event->conn, event->stream_id, 0);
}

static void run_server(struct spate_shard *shard)
{
    struct spate_event events[64];
    for (;;) {
        if (spate_shard_turn(shard, SPATE_FOREVER) < 0)
            fail("the ring has failed");
        uint32_t found = spate_shard_events(shard, events, 64);
        for (uint32_t i = 0; i < found; i++)
            server_event(shard, &events[i]);
    }
}

/* ---- hold ---- */

enum { HANDSHAKES = 64 }; /* at a time */

struct held {
    struct spate_shard *shard;
    struct spate_tls *tls;
    const struct sockaddr_in *address;
    uint8_t request[4096];
    size_t size;
    int count;
    int begun;
    int done;
};

static void connect_more(struct held *held)
{
    struct spate_conn *conn;
    while (held->begun < held->count && held->begun - held->done < HANDSHAKES) {
        if (spate_shard_connect(held->shard, (const struct sockaddr *)held->address,
                                sizeof(*held->address), "localhost", held->tls, NULL, &conn,
                                NULL) != 0)
            fail("cannot connect");
        held->begun++;
    }
}

static void held_event(struct held *held, struct spate_event *event)
{
    uint64_t id;
    if (event->kind == SPATE_EVENT_CLOSED)
        fail("a connection has closed");
    if (event->kind == SPATE_EVENT_CONNECTED &&
        (spate_stream_open(event->conn, false, &id) != 0 ||
         spate_stream_send(event->conn, id, held->request, held->size, true, 0) != 0))
        fail("cannot ask");
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    spate_slice_release(held->shard, &event->u.data.slice);
    held->done += event->u.data.fin;
    if (event->u.data.fin && held->done == held->count) {
        printf("held\n");
        (void)fflush(stdout);
    }
}

static void run_hold(struct held *held, const char *path)
{
    struct spate_event events[256];
    struct pollfd input = {.fd = 0, .events = POLLIN};
    FILE *file = fopen(path, "rb");
    held->size = file != NULL ? fread(held->request, 1, sizeof(held->request), file) : 0;
    if (held->size == 0)
        fail(path);
    (void)fclose(file);
    while (poll(&input, 1, 0) == 0) {
        connect_more(held);
        if (spate_shard_turn(held->shard, 10000000) < 0)
            fail("the ring has failed");
        uint32_t found = spate_shard_events(held->shard, events, 256);
        for (uint32_t i = 0; i < found; i++)
            held_event(held, &events[i]);
    }
}

/* ---- both ---- */

static struct spate_tls *create_tls(bool is_server)
{
    static const char *const alpn[] = {"spate-files/1"};
    struct spate_tls_options options;
    struct spate_self_signed_options self_signed;
    struct spate_tls *tls = NULL;
    char *cert = NULL;
    char *key = NULL;
    spate_tls_options_init(&options);
    options.alpn = alpn;
    options.alpn_count = 1;
    options.insecure = !is_server;
    spate_self_signed_options_init(&self_signed);
    if (is_server && spate_self_signed(&self_signed, &cert, &key, NULL) != 0)
        fail("no certificate");
    options.cert_pem = cert;
    options.key_pem = key;
    if ((is_server ? spate_tls_server_create(&options, &tls, NULL)
                   : spate_tls_client_create(&options, &tls, NULL)) != 0)
        fail("no TLS");
    spate_free(cert);
    spate_free(key);
    return tls;
}

int main(int argc, char **argv)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof(bound);
    struct spate_config config;
    struct spate_engine *engine;
    struct spate_conn *conn;
    struct spate_listener *listener;
    bool is_server = argc == 2 && strcmp(argv[1], "server") == 0;
    bool holds = argc == 5 && strcmp(argv[1], "hold") == 0;
    if (!is_server && !holds && (argc < 4 || strcmp(argv[1], "client") != 0))
        return 9;
    struct spate_tls *tls = create_tls(is_server);
    spate_config_init(&config);
    config.keep_alive_ns = holds ? UINT64_C(10000000000) : 0;
    config.conns_max = holds ? (uint32_t)atoi(argv[3]) + 1 : config.conns_max;
    if (spate_engine_create(&config, &engine, NULL) != 0)
        fail("no engine");
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    address.sin_port = htons(is_server ? 0 : (uint16_t)atoi(argv[2]));
    if (is_server) {
        if (spate_shard_listen(shard, (struct sockaddr *)&address, sizeof(address), tls, NULL,
                               &listener, NULL) != 0 ||
            spate_listener_address(listener, &bound, &bound_size) != 0)
            fail("cannot listen");
        printf("%d\n", ntohs(((struct sockaddr_in *)&bound)->sin_port));
        (void)fflush(stdout);
        run_server(shard);
    } else if (holds) {
        struct held held = {
            .shard = shard, .tls = tls, .address = &address, .count = atoi(argv[3])};
        run_hold(&held, argv[4]);
    } else {
        if (spate_shard_connect(shard, (struct sockaddr *)&address, sizeof(address), "localhost",
                                tls, NULL, &conn, NULL) != 0)
            fail("cannot connect");
        run_client(shard, argv + 3, argc - 3);
    }
    spate_engine_destroy(engine);
    for (size_t i = 0; i < STREAMS; i++) {
        if (streams[i].is_open)
            forget(&streams[i]);
    }
    spate_tls_destroy(tls);
    return 0;
}
