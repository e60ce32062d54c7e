/* SPDX-License-Identifier: MIT */
/* Many clients of a fleet, each behind a NAT of its own that keeps changing.
 *
 *     fleet_clients ADDRESS PORT COUNT ROUNDS LOCAL-ADDRESS...
 *
 * The NAT of a client is a pair of sockets here: the client talks to one, the other one talks to
 * the fleet from one of the local addresses.  In each round every NAT takes another address and
 * port, and every client asks again which server it has.  Prints one line, and exits with 0 if
 * every request of every client was answered by the server that answered its first one. */

#include <arpa/inet.h>
#include <errno.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include <spate/spate.h>

enum { CLIENTS_MAX = 5000, AT_ONCE = 100, ANSWER_MAX = 8, EVENTS = 256, DATAGRAM_MAX = 9000 };

#define NS_PER_S    UINT64_C(1000000000)
#define SETTLE_NS   (NS_PER_S / 2) /* from the last handshake to its confirmation */
#define PATIENCE_NS (6 * NS_PER_S) /* for the next handshake or answer */

struct client {
    int inside;                 /* of its NAT: it is connected to this one */
    int outside;                /* connected to the fleet */
    struct sockaddr_in address; /* of the client, once it has sent something */
    struct spate_conn *conn;    /* NULL: closed, or not begun */
    bool is_connected;
    bool is_waiting;         /* for an answer */
    char server[ANSWER_MAX]; /* that answered first; empty: none */
    char answer[ANSWER_MAX]; /* what has come of the present one */
};

static struct client clients[CLIENTS_MAX];
static uint32_t client_count;
static uint32_t connected_count;
static uint32_t waiting_count;
static uint32_t closed_count;
static uint32_t moved_count; /* answers of another server than before */
static uint64_t answered_count;

static struct sockaddr_in fleet = {.sin_family = AF_INET};
static char **local_addresses;
static uint32_t local_count;
static int epoll_fd;
static struct spate_shard *shard;

static void die(const char *what)
{
    perror(what);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
}

/* ---- NATs ---- */

static int make_socket(const char *address, uint64_t tag)
{
    struct sockaddr_in local = {.sin_family = AF_INET};
    struct epoll_event event = {.events = EPOLLIN, .data.u64 = tag};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0 || inet_pton(AF_INET, address, &local.sin_addr) != 1 ||
        bind(fd, (struct sockaddr *)&local, sizeof(local)) != 0 ||
        epoll_ctl(epoll_fd, EPOLL_CTL_ADD, fd, &event) != 0)
        die(address);
    return fd;
}

/* The fleet sees the client at another address and port from now on. */
static void rebind(uint32_t index, uint32_t round)
{
    struct client *client = &clients[index];
    if (client->outside >= 0)
        (void)close(client->outside);
    client->outside =
        make_socket(local_addresses[(index + round) % local_count], (uint64_t)index << 1 | 1);
    if (connect(client->outside, (struct sockaddr *)&fleet, sizeof(fleet)) != 0)
        die("connect");
}

static void pass_out(struct client *client)
{
    static uint8_t data[DATAGRAM_MAX];
    socklen_t size = sizeof(client->address);
    ssize_t got;
    while ((got = recvfrom(client->inside, data, sizeof(data), 0,
                           (struct sockaddr *)&client->address, &size)) >= 0)
        (void)send(client->outside, data, (size_t)got, 0);
}

static void pass_in(struct client *client)
{
    static uint8_t data[DATAGRAM_MAX];
    ssize_t got;
    while ((got = recv(client->outside, data, sizeof(data), 0)) >= 0)
        (void)sendto(client->inside, data, (size_t)got, 0, (struct sockaddr *)&client->address,
                     sizeof(client->address));
}

static void pass_all(void)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll_fd, events, EVENTS, 0);
    for (int i = 0; i < count; i++) {
        struct client *client = &clients[events[i].data.u64 >> 1];
        if ((events[i].data.u64 & 1) != 0)
            pass_in(client);
        else
            pass_out(client);
    }
}

/* ---- Clients ---- */

static void on_answer(struct client *client)
{
    if (client->server[0] == 0)
        memcpy(client->server, client->answer, sizeof(client->server));
    moved_count += strcmp(client->server, client->answer) != 0;
    answered_count++;
    client->is_waiting = false;
    waiting_count--;
}

static void on_data(struct client *client, struct spate_event *event)
{
    struct spate_slice *slice = &event->u.data.slice;
    size_t used = strlen(client->answer);
    if (used + slice->size < ANSWER_MAX)
        memcpy(client->answer + used, slice->data, slice->size);
    bool is_last = event->u.data.fin;
    spate_slice_release(shard, slice);
    if (is_last && client->is_waiting)
        on_answer(client);
}

static void on_event(struct spate_event *event)
{
    struct client *client = event->conn_user;
    if (event->kind == SPATE_EVENT_CONNECTED) {
        client->is_connected = true;
        connected_count++;
    } else if (event->kind == SPATE_EVENT_STREAM_DATA) {
        on_data(client, event);
    } else if (event->kind == SPATE_EVENT_CLOSED) {
        client->conn = NULL;
        closed_count++;
    }
}

static void turn(void)
{
    struct spate_event events[EVENTS];
    uint32_t count;
    if (spate_shard_turn(shard, 0) < 0)
        die("turn");
    while ((count = spate_shard_events(shard, events, EVENTS)) > 0)
        for (uint32_t i = 0; i < count; i++)
            on_event(&events[i]);
    pass_all();
}

static void turn_for(uint64_t ns)
{
    for (uint64_t end_ns = now_ns() + ns; now_ns() < end_ns;)
        turn();
}

static void begin(uint32_t index, struct spate_tls *tls)
{
    struct client *client = &clients[index];
    struct sockaddr_in inside;
    socklen_t size = sizeof(inside);
    struct spate_error error = {""};
    client->outside = -1;
    client->inside = make_socket("127.0.0.1", (uint64_t)index << 1);
    rebind(index, 0);
    if (getsockname(client->inside, (struct sockaddr *)&inside, &size) != 0)
        die("getsockname");
    if (spate_shard_connect(shard, (struct sockaddr *)&inside, size, "localhost", tls, client,
                            &client->conn, &error) != 0) {
        fprintf(stderr, "fleet_clients: %s\n", error.text);
        exit(1);
    }
}

static void connect_all(struct spate_tls *tls)
{
    uint64_t end_ns = now_ns() + PATIENCE_NS;
    for (uint32_t begun = 0; connected_count < client_count && now_ns() < end_ns;) {
        uint32_t before = connected_count;
        while (begun < client_count && begun < connected_count + closed_count + AT_ONCE)
            begin(begun++, tls);
        turn();
        if (connected_count > before)
            end_ns = now_ns() + PATIENCE_NS;
    }
    turn_for(SETTLE_NS); /* who moves earlier is lost [RFC9000 9] */
}

static void ask(struct client *client)
{
    uint64_t stream_id;
    if (client->conn == NULL || spate_stream_open(client->conn, false, &stream_id) != 0 ||
        spate_stream_send(client->conn, stream_id, "?", 1, true, 0) != 0)
        return;
    memset(client->answer, 0, sizeof(client->answer));
    client->is_waiting = true;
    waiting_count++;
}

static void ask_all(void)
{
    for (uint32_t i = 0; i < client_count; i++)
        ask(&clients[i]);
    uint64_t before = answered_count;
    for (uint64_t end_ns = now_ns() + PATIENCE_NS; waiting_count > 0 && now_ns() < end_ns;) {
        turn();
        if (answered_count > before)
            end_ns = now_ns() + PATIENCE_NS;
        before = answered_count;
    }
}

/* Returns the exit status. */
static int report(uint32_t rounds)
{
    uint64_t asked = (uint64_t)client_count * (rounds + 1);
    uint32_t at_first = 0;
    uint32_t servers = 0;
    for (uint32_t i = 0; i < client_count; i++) {
        at_first += strcmp(clients[i].server, clients[0].server) == 0;
        servers |= strcmp(clients[i].server, clients[0].server) == 0 ? 1 : 2;
    }
    printf("%u clients, %u and %u at their server, %u rounds, %llu answers, %llu lost, "
           "%u of another server\n",
           client_count, at_first, client_count - at_first, rounds,
           (unsigned long long)answered_count, (unsigned long long)(asked - answered_count),
           moved_count);
    return answered_count == asked && moved_count == 0 && servers == 3 ? 0 : 1;
}

static struct spate_engine *make_engine(struct spate_tls **ret_tls)
{
    static const char *const alpn[] = {"fleet"};
    struct spate_error error = {""};
    struct spate_config config;
    struct spate_engine *engine;
    struct spate_tls_options options;
    spate_config_init(&config);
    config.idle_timeout_ns = 60 * NS_PER_S;
    spate_tls_options_init(&options);
    options.alpn = alpn;
    options.alpn_count = 1;
    options.insecure = true; /* whoever answers: the certificates are made by the servers */
    if (spate_engine_create(&config, &engine, &error) != 0 ||
        spate_tls_client_create(&options, ret_tls, &error) != 0) {
        fprintf(stderr, "fleet_clients: %s\n", error.text);
        exit(1);
    }
    return engine;
}

int main(int argc, char **argv)
{
    if (argc < 6 || inet_pton(AF_INET, argv[1], &fleet.sin_addr) != 1 || atoi(argv[3]) < 1 ||
        atoi(argv[3]) > CLIENTS_MAX || atoi(argv[4]) < 0) {
        fprintf(stderr, "usage: fleet_clients ADDRESS PORT COUNT ROUNDS LOCAL-ADDRESS...\n");
        return 1;
    }
    fleet.sin_port = htons((uint16_t)atoi(argv[2]));
    client_count = (uint32_t)atoi(argv[3]);
    uint32_t rounds = (uint32_t)atoi(argv[4]);
    local_addresses = argv + 5;
    local_count = (uint32_t)argc - 5;
    struct rlimit files;
    if (getrlimit(RLIMIT_NOFILE, &files) == 0 && files.rlim_cur < files.rlim_max) {
        files.rlim_cur = files.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &files);
    }
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    struct spate_tls *tls;
    struct spate_engine *engine = make_engine(&tls);
    shard = spate_engine_shard(engine, 0);

    connect_all(tls);
    ask_all();
    printf("connected %u\n", connected_count);
    (void)fflush(stdout);
    for (uint32_t round = 1; round <= rounds; round++) {
        for (uint32_t i = 0; i < client_count; i++)
            rebind(i, round);
        ask_all();
    }
    int status = report(rounds);
    spate_engine_destroy(engine);
    spate_tls_destroy(tls);
    return status;
}
