/* SPDX-License-Identifier: MIT */
/* The load of the tests of hand-overs: clients of an echo server, which check every byte.
 *
 *     hand_over_load PORT CA-FILE CONNS
 *
 * HANDSHAKES connections are always being made; each echoes once and is closed.  Commands come on
 * stdin, one at a time; each is answered by a line, so that no answer is older than its question:
 *
 *     +   begins a generation: CONNS connections that send all the time.  "made" follows when each
 *         of them has been made, or has failed.
 *     s   "seen" follows when SEEN more handshakes have been done.
 *     q   closes all.
 *
 * The last line is JSON: of each generation, how many connections were made and lost, of the
 * handshakes how many were done and failed and the longest one, the bytes that were echoed, and
 * those that were wrong. */
#include <spate/spate.h>

#include <arpa/inet.h>
#include <fcntl.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define NS_PER_MS   UINT64_C(1000000)
#define WAIT_NS     (5 * NS_PER_MS)
#define QUIT_NS     (5000 * NS_PER_MS)
#define PATTERN     65536u
#define PIECE       4096u
#define GENERATIONS 8
#define HANDSHAKES  4
#define SEEN        100
#define SHORT       GENERATIONS /* the generation of those that echo once */

struct client {
    struct spate_conn *conn;
    uint32_t generation;
    uint64_t stream_id;
    uint64_t sent;
    uint64_t heard;
    uint64_t since_ns;
    bool is_connected;
    bool is_done; /* it is closed on purpose */
};

struct load {
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls;
    struct sockaddr_in server;
    uint32_t conns;
    uint32_t generations;
    uint32_t open;      /* connections */
    uint32_t undecided; /* connections of the last generation, neither made nor failed */
    uint64_t seen_at;   /* `done` at which "seen" is the answer; 0: nobody has asked */
    uint32_t made[GENERATIONS];
    uint32_t lost[GENERATIONS];
    uint64_t done;
    uint64_t failed;
    uint64_t longest_ns;
    uint64_t bytes;
    uint64_t wrong;
    bool is_quitting;
};

static uint8_t pattern[PATTERN + PIECE];

static void die(const char *what, const char *why)
{
    fprintf(stderr, "%s: %s\n", what, why);
    exit(1);
}

static void connect_one(struct load *load, uint32_t generation)
{
    struct spate_error error = {""};
    struct client *client = calloc(1, sizeof(*client));
    if (client == NULL)
        die("calloc", "no memory");
    client->generation = generation;
    if (spate_shard_connect(load->shard, (const struct sockaddr *)&load->server,
                            sizeof(load->server), "localhost", load->tls, client, &client->conn,
                            &error) != 0)
        die("connect", error.text);
    client->since_ns = spate_shard_now_ns(load->shard);
    load->open++;
}

static void say(const char *word)
{
    puts(word);
    (void)fflush(stdout);
}

static void decide_one(struct load *load)
{
    if (--load->undecided == 0)
        say("made");
}

/* A connection that has ended takes nothing, and its CLOSED is still to come. */
static void send_piece(struct client *client)
{
    bool is_last = client->generation == SHORT;
    if (spate_stream_send(client->conn, client->stream_id, pattern + client->sent % PATTERN, PIECE,
                          is_last, 0) == 0)
        client->sent += PIECE;
}

static void on_connected(struct load *load, struct client *client)
{
    client->is_connected = true;
    if (client->generation != SHORT) {
        load->made[client->generation]++;
        decide_one(load);
    }
    if (spate_stream_open(client->conn, false, &client->stream_id) == 0)
        send_piece(client);
}

static void on_echo(struct load *load, struct client *client, struct spate_event *event)
{
    const struct spate_slice *slice = &event->u.data.slice;
    for (size_t i = 0; i < slice->size; i++)
        load->wrong += slice->data[i] != pattern[(client->heard + i) % PATTERN];
    client->heard += slice->size;
    load->bytes += slice->size;
    spate_slice_release(load->shard, &event->u.data.slice);
    if (client->heard < client->sent)
        return;
    if (client->generation != SHORT) {
        if (!load->is_quitting)
            send_piece(client);
    } else if (!client->is_done) {
        uint64_t took_ns = spate_shard_now_ns(load->shard) - client->since_ns;
        load->longest_ns = took_ns > load->longest_ns ? took_ns : load->longest_ns;
        client->is_done = true;
        spate_conn_close(client->conn, 0, "done");
        if (++load->done == load->seen_at)
            say("seen");
    }
}

static void on_closed(struct load *load, struct client *client, const struct spate_close *close)
{
    bool is_expected = client->is_done || (load->is_quitting && close->is_local);
    load->open--;
    if (!is_expected) {
        fprintf(stderr, "generation %u: kind %d, error %" PRIu64 ", %s\n", client->generation,
                (int)close->kind, close->error, close->reason);
        if (client->generation == SHORT || !client->is_connected)
            load->failed++;
        else
            load->lost[client->generation]++;
    }
    if (client->generation == SHORT && !load->is_quitting)
        connect_one(load, SHORT);
    if (client->generation != SHORT && !client->is_connected)
        decide_one(load);
    free(client);
}

static void handle(struct load *load, struct spate_event *event)
{
    struct client *client = event->conn_user;
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        on_connected(load, client);
        break;
    case SPATE_EVENT_STREAM_DATA:
        on_echo(load, client, event);
        break;
    case SPATE_EVENT_CLOSED:
        on_closed(load, client, &event->u.close);
        break;
    default:
        break;
    }
}

static void turn(struct load *load)
{
    struct spate_event events[64];
    uint32_t count;
    if (spate_shard_turn(load->shard, WAIT_NS) < 0)
        die("turn", "the ring has failed");
    while ((count = spate_shard_events(load->shard, events, 64)) > 0)
        for (uint32_t i = 0; i < count; i++)
            handle(load, &events[i]);
}

static void obey(struct load *load)
{
    char command;
    ssize_t size = read(STDIN_FILENO, &command, 1);
    if (size == 1 && command == '+' && load->generations < GENERATIONS) {
        for (uint32_t i = 0; i < load->conns; i++)
            connect_one(load, load->generations);
        load->generations++;
        load->undecided = load->conns;
    } else if (size == 1 && command == 's') {
        load->seen_at = load->done + SEEN;
    } else if (size == 0 || (size == 1 && command == 'q')) {
        load->is_quitting = true;
    }
}

static void report(const struct load *load)
{
    printf("{\"made\": [");
    for (uint32_t i = 0; i < load->generations; i++)
        printf("%s%u", i > 0 ? ", " : "", load->made[i]);
    printf("], \"lost\": [");
    for (uint32_t i = 0; i < load->generations; i++)
        printf("%s%u", i > 0 ? ", " : "", load->lost[i]);
    printf("], \"done\": %" PRIu64 ", \"failed\": %" PRIu64 ", \"longest_ms\": %" PRIu64
           ", \"bytes\": %" PRIu64 ", \"wrong\": %" PRIu64 "}\n",
           load->done, load->failed, load->longest_ns / NS_PER_MS, load->bytes, load->wrong);
}

static void begin(struct load *load, char **argv)
{
    static const char *const alpn[] = {"echo"};
    struct spate_error error = {""};
    struct spate_config config;
    struct spate_tls_options options;
    for (uint32_t i = 0; i < sizeof(pattern); i++)
        pattern[i] = (uint8_t)((i % PATTERN * 131) ^ (i % PATTERN >> 8));
    load->server = (struct sockaddr_in){.sin_family = AF_INET,
                                        .sin_port = htons((uint16_t)atoi(argv[1])),
                                        .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    load->conns = (uint32_t)atoi(argv[3]);
    spate_tls_options_init(&options);
    options.alpn = alpn;
    options.alpn_count = 1;
    options.ca_file = argv[2];
    spate_config_init(&config);
    if (spate_tls_client_create(&options, &load->tls, &error) != 0 ||
        spate_engine_create(&config, &load->engine, &error) != 0)
        die("load", error.text);
    load->shard = spate_engine_shard(load->engine, 0);
    (void)fcntl(STDIN_FILENO, F_SETFL, O_NONBLOCK);
}

int main(int argc, char **argv)
{
    static struct load load;
    if (argc != 4)
        die(argv[0], "PORT CA-FILE CONNS are missing");
    begin(&load, argv);
    for (uint32_t i = 0; i < HANDSHAKES; i++)
        connect_one(&load, SHORT);
    while (!load.is_quitting) {
        turn(&load);
        obey(&load);
    }
    (void)spate_shard_shutdown(load.shard, 0, 0, "the load ends");
    uint64_t end_ns = spate_shard_now_ns(load.shard) + QUIT_NS;
    while (load.open > 0 && spate_shard_now_ns(load.shard) < end_ns)
        turn(&load);
    report(&load);
    spate_engine_destroy(load.engine);
    spate_tls_destroy(load.tls);
    return load.open > 0;
}
