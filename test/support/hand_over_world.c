/* SPDX-License-Identifier: MIT */
#include "test/support/hand_over_world.h"

#include <linux/filter.h>
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

static uint8_t bytes[256 * HW_PIECE];

static void on_client_event(struct pw_end *end, struct spate_event *event);

static void deinit(void *object)
{
    struct hw *hw = object;
    for (uint32_t i = 0; i < hw->server_count; i++)
        spate_engine_destroy(hw->servers[i].engine);
    pw_deinit(&hw->w);
}

struct hw *hw_create(bool is_v6)
{
    struct hw *hw = owned_alloc(sizeof(*hw));
    (void)owned_add(hw, deinit);
    for (uint32_t i = 0; i < sizeof(bytes); i++)
        bytes[i] = pw_byte(0, i);
    hw->is_v6 = is_v6;
    pw_make_tls(&hw->w);
    hw->w.client.name = "client";
    hw->w.client.context = hw;
    hw->w.client.on_event = on_client_event;
    hw->w.client.engine = pw_make_engine();
    hw->w.client.shard = spate_engine_shard(hw->w.client.engine, 0);
    hw->w.address = pw_loopback(is_v6, 0, &hw->w.address_size);
    return hw;
}

struct hw_server *hw_make_server(struct hw *hw, uint32_t shard_count,
                                 void (*change)(struct spate_config *config))
{
    struct spate_config config;
    struct spate_error error = {""};
    assert_true(hw->server_count < HW_SERVERS && shard_count <= HW_SHARDS);
    struct hw_server *server = &hw->servers[hw->server_count++];
    spate_config_init(&config);
    config.backend = pw_backend();
    config.transmit_slots = 64;
    config.receive_slots = 64;
    config.shard_count = shard_count;
    config.hand_over = true;
    if (change != NULL)
        change(&config);
    if (spate_engine_create(&config, &server->engine, &error) != 0)
        fail_msg("%s", error.text);
    server->world = hw;
    server->shard_count = shard_count;
    for (uint32_t i = 0; i < shard_count; i++)
        server->shards[i] = spate_engine_shard(server->engine, i);
    return server;
}

void hw_listen(struct hw_server *server)
{
    struct hw *hw = server->world;
    struct spate_error error = {""};
    for (uint32_t i = 0; i < server->shard_count; i++) {
        if (spate_shard_listen(server->shards[i], (struct sockaddr *)&hw->w.address,
                               hw->w.address_size, hw->w.server.tls, NULL, &server->listeners[i],
                               &error) != 0)
            fail_msg("%s", error.text);
        assert_int_equal(
            spate_listener_address(server->listeners[i], &hw->w.address, &hw->w.address_size), 0);
    }
    server->is_running = true;
}

void hw_kill(struct hw_server *server)
{
    spate_engine_destroy(server->engine);
    server->engine = NULL;
    server->is_running = false;
}

/* ---- hand-over ---- */

void hw_shut_down(struct hw_server *server, uint64_t within_ns)
{
    for (uint32_t i = 0; i < server->shard_count; i++)
        assert_int_equal(spate_shard_shutdown(server->shards[i], within_ns, 7, "replaced"), 0);
}

struct hw_channel hw_channel_create(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    return (struct hw_channel){fds[0], fds[1]};
}

void hw_channel_end(struct hw_channel *channel)
{
    if (channel->old_end >= 0)
        (void)close(channel->old_end);
    if (channel->new_end >= 0)
        (void)close(channel->new_end);
    *channel = (struct hw_channel){-1, -1};
}

struct hw_giver {
    struct spate_engine *engine;
    pthread_t thread;
    bool is_joined;
    int fd;
    int result;
    struct spate_error error;
};

static void *give(void *argument)
{
    struct hw_giver *giver = argument;
    giver->result = spate_engine_hand_over(giver->engine, giver->fd, PW_PATIENCE_NS, &giver->error);
    return NULL;
}

static void giver_end(void *object)
{
    struct hw_giver *giver = object;
    if (!giver->is_joined)
        (void)pthread_join(giver->thread, NULL);
    giver->is_joined = true;
}

struct hw_giver *hw_give(struct hw_server *from, int fd)
{
    struct hw_giver *giver = owned_alloc(sizeof(*giver));
    giver->engine = from->engine;
    giver->fd = fd;
    assert_int_equal(pthread_create(&giver->thread, NULL, give, giver), 0);
    return owned_add(giver, giver_end);
}

int hw_given(struct hw_giver *giver, struct spate_error *ret)
{
    giver_end(giver);
    if (ret != NULL)
        *ret = giver->error;
    return giver->result;
}

void hw_hand_over(struct hw_server *from, struct hw_server *to)
{
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    struct hw_giver *giver = hw_give(from, channel.old_end);
    if (spate_engine_take_over(to->engine, channel.new_end, PW_PATIENCE_NS, &error) != 0)
        fail_msg("%s", error.text);
    hw_listen(to);
    if (spate_engine_take_over_finish(to->engine, PW_PATIENCE_NS, &error) != 0 ||
        hw_given(giver, &error) != 0)
        fail_msg("%s", error.text);
    hw_channel_end(&channel);
}

/* ---- running ---- */

static void on_event(struct hw_server *server, uint32_t shard, struct spate_event *event)
{
    const struct spate_slice *slice = &event->u.data.slice;
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        server->connected++;
        break;
    case SPATE_EVENT_CLOSED:
        server->closed++;
        break;
    case SPATE_EVENT_SHUTDOWN:
        server->shut_down++;
        break;
    case SPATE_EVENT_STREAM_DATA:
        assert_memory_equal(slice->data, bytes + event->u.data.offset, slice->size);
        server->bytes += slice->size;
        spate_slice_release(server->shards[shard], &event->u.data.slice);
        break;
    default:
        break;
    }
}

static void on_client_event(struct pw_end *end, struct spate_event *event)
{
    struct hw *hw = end->context;
    for (uint32_t i = 0; i < hw->client_count && event->kind == SPATE_EVENT_CLOSED; i++)
        if (hw->clients[i].conn == event->conn)
            hw->clients[i].conn = NULL;
    pw_default(end, event);
}

static void turn_server(struct hw_server *server)
{
    struct spate_event events[32];
    uint32_t count;
    for (uint32_t i = 0; i < server->shard_count && server->is_running; i++) {
        assert_true(spate_shard_turn(server->shards[i], 0) >= 0);
        while ((count = spate_shard_events(server->shards[i], events, QT_COUNT(events))) > 0)
            for (uint32_t at = 0; at < count; at++)
                on_event(server, i, &events[at]);
    }
}

void hw_turn(struct hw *hw)
{
    for (uint32_t i = 0; i < hw->server_count; i++)
        turn_server(&hw->servers[i]);
    pw_wait(&hw->w.client, 0);
    for (uint32_t i = 0; i < hw->client_count; i++)
        if (hw->clients[i].relay != NULL)
            pw_relay_pass(hw->clients[i].relay);
}

void hw_for(struct hw *hw, uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns;
    while (pw_now_ns() < end_ns)
        hw_turn(hw);
}

void hw_until(struct hw *hw, const uint64_t *value, uint64_t wanted)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*value < wanted) {
        hw_turn(hw);
        if (pw_now_ns() > end_ns)
            fail_msg("%llu of %llu", (unsigned long long)*value, (unsigned long long)wanted);
    }
}

void hw_until_closed(struct hw *hw, uint32_t count)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (hw->w.client.closed_count < count && pw_now_ns() < end_ns)
        hw_turn(hw);
    assert_int_equal(hw->w.client.closed_count, count);
}

/* ---- clients ---- */

void hw_connect(struct hw *hw, uint32_t count, struct hw_server *server)
{
    uint64_t wanted = server->connected + count;
    uint32_t closed = hw->w.client.closed_count;
    uint32_t first = hw->client_count;
    assert_true(first + count <= HW_CLIENTS);
    for (uint32_t i = 0; i < count; i++) {
        struct hw_client *client = &hw->clients[hw->client_count++];
        if (hw->is_v6) {
            client->conn = pw_connect(&hw->w);
            continue;
        }
        client->relay = pw_relay_create(&hw->w);
        client->conn = pw_connect_through(&hw->w, client->relay);
    }
    hw_until(hw, &server->connected, wanted);
    for (uint32_t i = first; i < hw->client_count; i++)
        assert_int_equal(spate_stream_open(hw->clients[i].conn, false, &hw->clients[i].stream_id),
                         0);
    hw_for(hw, 50 * UINT64_C(1000000)); /* the handshake is confirmed [RFC9000 9] */
    assert_int_equal(hw->w.client.closed_count, closed);
}

void hw_rebind(struct hw *hw, struct hw_client *client)
{
    if (client->relay == NULL)
        return;
    client->relay->to_server = pw_udp_socket();
    assert_int_equal(connect(client->relay->to_server, (const struct sockaddr *)&hw->w.address,
                             hw->w.address_size),
                     0);
}

void hw_send(struct hw *hw, uint32_t from, uint32_t to, size_t size)
{
    for (uint32_t i = from; i < to; i++) {
        struct hw_client *client = &hw->clients[i];
        assert_true(client->sent_bytes + size <= sizeof(bytes));
        assert_int_equal(spate_stream_send(client->conn, client->stream_id,
                                           bytes + client->sent_bytes, size, false, 0),
                         0);
        client->sent_bytes += size;
    }
}

void hw_send_if_open(struct hw *hw, uint32_t from, uint32_t to)
{
    for (uint32_t i = from; i < to; i++)
        if (hw->clients[i].conn != NULL)
            hw_send(hw, i, i + 1, 1);
}

void hw_move_and_send(struct hw *hw, uint32_t from, uint32_t to, struct hw_server *server,
                      uint32_t rounds)
{
    uint32_t closed = hw->w.client.closed_count;
    for (uint32_t round = 0; round < rounds; round++) {
        uint64_t wanted = server->bytes + (uint64_t)(to - from) * HW_PIECE;
        for (uint32_t i = from; i < to; i++)
            hw_rebind(hw, &hw->clients[i]);
        hw_send(hw, from, to, HW_PIECE);
        hw_until(hw, &server->bytes, wanted);
        assert_int_equal(server->bytes, wanted);
    }
    assert_int_equal(hw->w.client.closed_count, closed);
}

/* ---- looking ---- */

struct spate_shard_stats hw_stats(const struct hw_server *server)
{
    return pw_stats_of_all(server->shards, server->shard_count);
}

/* Tests beside this one open and close sockets: the kernel may list one twice meanwhile, and
 * another address may have the same port. */
uint32_t hw_socket_count(const struct hw *hw)
{
    enum { SOCKETS_MAX = 64 };
    const struct sockaddr_in *v4 = (const struct sockaddr_in *)&hw->w.address;
    unsigned long inodes[SOCKETS_MAX];
    uint32_t count = 0;
    char line[512];
    FILE *file = fopen("/proc/self/net/udp", "re");
    assert_non_null(file);
    while (fgets(line, sizeof(line), file) != NULL) {
        unsigned address, port;
        unsigned long inode;
        uint32_t i = 0;
        if (sscanf(line, " %*u: %8x:%4x %*s %*s %*s %*s %*s %*u %*u %lu", &address, &port,
                   &inode) != 3 ||
            address != v4->sin_addr.s_addr || port != ntohs(v4->sin_port))
            continue;
        while (i < count && inodes[i] != inode)
            i++;
        if (i < count)
            continue;
        assert_true(count < SOCKETS_MAX);
        inodes[count++] = inode;
    }
    (void)fclose(file);
    return count;
}

struct hw_server *hw_begin(struct hw *hw, uint32_t shard_count, uint32_t clients,
                           void (*change)(struct spate_config *config))
{
    struct hw_server *server = hw_make_server(hw, shard_count, change);
    hw_listen(server);
    hw_connect(hw, clients, server);
    return server;
}

void hw_assert_in_order(const struct hw_server *server)
{
    struct spate_shard_stats sum = hw_stats(server);
    assert_int_equal(sum.strays_out, 0);
    assert_int_equal(sum.strays_of_others, 0);
    assert_int_equal(sum.stateless_resets, 0);
    assert_int_equal(sum.conns_refused, 0);
    assert_int_equal(server->closed, 0);
}

void hw_assert_dead_is_answered_for(struct hw *hw, struct hw_server *from, struct hw_server *to)
{
    uint32_t old_count = hw->client_count;
    hw_hand_over(from, to);
    hw_connect(hw, 4, to);
    hw_kill(from);
    hw_for(hw, 250 * HW_MS); /* the new one looks every 100 ms */
    hw_send_if_open(hw, 0, old_count);
    hw_until_closed(hw, old_count);
    assert_int_equal(hw->w.client.close.kind, SPATE_CLOSE_STATELESS_RESET);
    hw_move_and_send(hw, old_count, old_count + 4, to, 3);
    assert_int_equal(to->closed, 0);
}

void hw_assert_retries_go_on(struct hw *hw, struct hw_server *from, struct hw_server *to,
                             uint32_t count)
{
    hw_listen(from);
    for (uint32_t i = 0; i < count; i++) {
        struct hw_client *client = &hw->clients[hw->client_count++];
        client->relay = pw_relay_create(&hw->w);
        client->conn = pw_connect_through(&hw->w, client->relay);
    }
    for (uint32_t i = 0; i < 1000 && hw_stats(from).retries_sent < count; i++)
        hw_turn(hw);
    assert_int_equal(hw_stats(from).retries_sent, count);
    uint64_t answered = hw_stats(from).tokens_accepted;
    hw_hand_over(from, to);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (from->connected + to->connected < count && pw_now_ns() < end_ns)
        hw_turn(hw);
    assert_int_equal(from->connected + to->connected, count);
    assert_true(hw_stats(to).tokens_accepted + answered >= count);
    assert_int_equal(hw_stats(from).tokens_refused + hw_stats(to).tokens_refused, 0);
    assert_int_equal(hw->w.client.closed_count, 0);
}

/* Gives all sockets of the world's port a program of the kernel that always chooses `index`. */
static void misdirect(const struct hw *hw, uint32_t index)
{
    struct sock_filter code[] = {BPF_STMT(BPF_RET | BPF_K, index)};
    const struct sock_fprog program = {.len = 1, .filter = code};
    int one = 1;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&hw->w.address, hw->w.address_size), 0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)), 0);
    (void)close(fd);
}

void hw_assert_others_are_not_answered(struct hw *hw, struct hw_server *from, struct hw_server *to)
{
    uint32_t old_count = hw->client_count;
    hw_hand_over(from, to);
    hw_connect(hw, 1, to);
    for (uint32_t wrong = 0; wrong < 2; wrong++) {
        misdirect(hw, 1 - wrong);
        uint32_t first = wrong == 0 ? 0 : old_count;
        uint32_t end = wrong == 0 ? old_count : old_count + 1;
        hw_send(hw, first, end, 1);
        hw_for(hw, 50 * HW_MS);
        const struct hw_server *at = wrong == 0 ? to : from;
        assert_true(hw_stats(at).strays_of_others >= end - first);
        assert_int_equal(hw_stats(at).stateless_resets, 0);
    }
    assert_int_equal(hw->w.client.closed_count, 0);
}
