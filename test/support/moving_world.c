/* SPDX-License-Identifier: MIT */
#include "test/support/moving_world.h"

static uint8_t piece[MV_PIECE];

static void on_server_event(struct mv_world *world, uint32_t index, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_CONNECTED) {
        world->conns_of[index]++;
        world->accepted++;
    }
    if (event->kind == SPATE_EVENT_CLOSED)
        world->closed++;
    if (event->kind != SPATE_EVENT_STREAM_DATA)
        return;
    world->bytes += event->u.data.slice.size;
    spate_slice_release(world->shards[index], &event->u.data.slice);
}

void mv_turn(struct mv_world *world)
{
    struct spate_event events[32];
    uint32_t count;
    for (uint32_t i = 0; i < world->shard_count; i++) {
        assert_true(spate_shard_turn(world->shards[i], 0) >= 0);
        while ((count = spate_shard_events(world->shards[i], events, 32)) > 0)
            for (uint32_t at = 0; at < count; at++)
                on_server_event(world, i, &events[at]);
    }
    pw_wait(&world->w->client, 0);
    for (uint32_t i = 0; i < MV_CLIENTS; i++)
        if (world->clients[i].relay != NULL)
            pw_relay_pass(world->clients[i].relay);
}

void mv_turn_until(struct mv_world *world, const uint64_t *value, uint64_t wanted)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (*value < wanted) {
        mv_turn(world);
        if (pw_now_ns() > end_ns)
            fail_msg("%llu of %llu", (unsigned long long)*value, (unsigned long long)wanted);
    }
}

void mv_turn_for(struct mv_world *world, uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns;
    while (pw_now_ns() < end_ns)
        mv_turn(world);
}

void mv_listen(struct mv_world *world, uint32_t from)
{
    for (uint32_t i = from; i < world->shard_count; i++) {
        world->shards[i] = spate_engine_shard(world->w->server.engine, i);
        assert_int_equal(spate_shard_listen(world->shards[i], (struct sockaddr *)&world->w->address,
                                            world->w->address_size, world->w->server.tls, NULL,
                                            &world->listeners[i], NULL),
                         0);
    }
}

struct mv_world *mv_make(uint32_t shard_count, void (*configure)(struct spate_config *config))
{
    struct mv_world *world = owned_alloc(sizeof(*world));
    world->shard_count = shard_count;
    world->w = pw_create(&(struct pw_config){.server = configure});
    world->shards[0] = world->w->server.shard;
    world->listeners[0] = world->w->listener;
    mv_listen(world, 1);
    return world;
}

void mv_connect_all(struct mv_world *world)
{
    for (uint32_t i = 0; i < MV_CLIENTS; i++) {
        world->clients[i].relay = pw_relay_create(world->w);
        world->clients[i].conn = pw_connect_through(world->w, world->clients[i].relay);
    }
    mv_turn_until(world, &world->accepted, MV_CLIENTS);
    assert_int_equal(world->w->client.connected_count, MV_CLIENTS);
    for (uint32_t i = 0; i < MV_CLIENTS; i++)
        assert_int_equal(
            spate_stream_open(world->clients[i].conn, false, &world->clients[i].stream_id), 0);
    mv_turn_for(world,
                100 * MV_MS); /* nobody moves before the handshake is confirmed [RFC9000 9] */
}

/* The client's packets come from another port from now on. */
static void rebind(struct mv_world *world, struct mv_client *client)
{
    client->relay->to_server = pw_udp_socket();
    assert_int_equal(connect(client->relay->to_server, (const struct sockaddr *)&world->w->address,
                             world->w->address_size),
                     0);
}

void mv_send_all(struct mv_world *world, bool moves)
{
    uint64_t wanted = world->bytes + (uint64_t)MV_CLIENTS * MV_PIECE;
    for (uint32_t i = 0; i < MV_CLIENTS; i++) {
        struct mv_client *client = &world->clients[i];
        if (moves)
            rebind(world, client);
        assert_int_equal(
            spate_stream_send(client->conn, client->stream_id, piece, MV_PIECE, false, 0), 0);
    }
    mv_turn_until(world, &world->bytes, wanted);
    assert_int_equal(world->closed, 0);
    assert_int_equal(world->w->client.closed_count, 0);
}

struct spate_shard_stats mv_stats(const struct mv_world *world)
{
    return pw_stats_of_all(world->shards, world->shard_count);
}
