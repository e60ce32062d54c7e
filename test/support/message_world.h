/* SPDX-License-Identifier: MIT */
#ifndef MESSAGE_WORLD_H
#define MESSAGE_WORLD_H

/* A pair of connections whose ends send each other messages, and a record of what arrived and of
 * what was reported. */

#include <string.h>

#include "proto/base/time.h"
#include "proto/conn/message.h"
#include "proto/conn/messages.h"
#include "test/support/conn_pair.h"

enum { MESSAGES_MAX = 4096 };

struct message_world {
    struct conn_pair pair;
    uint8_t bytes[65536];                           /* bytes[i] is i % 251 */
    uint32_t result_counts[SP_MESSAGE_DROPPED + 1]; /* by fate */
    struct sp_message_result results[MESSAGES_MAX]; /* in the order of the reports */
    uint32_t result_count;
    uint32_t sizes[MESSAGES_MAX]; /* of those that arrived */
    uint32_t arrived_count;
    uint32_t room_count;
    uint64_t stream_bytes; /* that arrived */
    bool holds;            /* slices are kept in `held` */
    struct sb_slice held[MESSAGES_MAX];
    struct sb_pool *taken_from;
    void *taken[MESSAGES_MAX]; /* by message_world_drain() */
    uint32_t taken_count;
};

static inline struct sp_conn *message_world_client(struct message_world *world)
{
    return pair_conn(&world->pair, SP_CLIENT);
}

static inline struct sp_conn *message_world_server(struct message_world *world)
{
    return pair_conn(&world->pair, SP_SERVER);
}

static inline void message_world_init(struct message_world *world)
{
    for (uint32_t i = 0; i < sizeof(world->bytes); i++)
        world->bytes[i] = (uint8_t)(i % 251);
    world->result_count = world->arrived_count = world->room_count = 0;
    world->stream_bytes = 0;
    world->holds = false;
    memset(world->result_counts, 0, sizeof(world->result_counts));
    pair_init(&world->pair);
    world->pair.config.message_frame_size_max = 65535;
}

static inline void message_world_on_event(struct message_world *world, struct sp_conn *conn,
                                          const struct sp_event *event)
{
    switch (event->kind) {
    case SP_EVENT_MESSAGE:
        assert_true(world->arrived_count < MESSAGES_MAX);
        if (event->message.size > 0) /* the first byte says where the others are from */
            assert_memory_equal(event->message.data, world->bytes + event->message.data[0],
                                event->message.size);
        world->sizes[world->arrived_count] = (uint32_t)event->message.size;
        world->held[world->arrived_count++] = event->message;
        if (world->holds)
            break;
        sp_conn_release_message(conn, event->message.size);
        sb_buffer_unref(event->message.buffer);
        break;
    case SP_EVENT_MESSAGES_DONE:
        assert_true(event->messages_done.count > 0);
        for (uint32_t i = 0; i < event->messages_done.count; i++) {
            world->result_counts[event->messages_done.results[i].fate]++;
            world->results[world->result_count++] = event->messages_done.results[i];
        }
        break;
    case SP_EVENT_MESSAGE_ROOM:
        world->room_count++;
        break;
    case SP_EVENT_STREAM_DATA:
        world->stream_bytes += event->data.slice.size;
        sp_conn_consume(conn, event->stream_id, event->data.slice.size);
        sb_buffer_unref(event->data.slice.buffer);
        break;
    default:
        break;
    }
}

static inline void message_world_pull(struct message_world *world, enum sp_role role)
{
    struct sp_conn *conn = pair_conn(&world->pair, role);
    struct sp_event event;
    while (sp_conn_next_event(conn, &event))
        message_world_on_event(world, conn, &event);
    sp_conn_check(conn);
}

/* Queues a message of `size` bytes, with its place in `bytes` as the first of them. */
static inline enum sp_result message_world_send(struct message_world *world, enum sp_role from,
                                                size_t size, uint64_t tag)
{
    const struct sp_message_args args = {
        .data = world->bytes + tag % 200, .size = size, .tag = tag, .deadline_ns = SB_NEVER};
    return sp_conn_send_message(pair_conn(&world->pair, from), &args);
}

/* Carries all that `from` has to send.  Returns the number of datagrams. */
static inline uint32_t message_world_carry(struct message_world *world, enum sp_role from)
{
    struct pair_packet packet;
    enum sp_role to = from == SP_CLIENT ? SP_SERVER : SP_CLIENT;
    uint32_t count = 0;
    for (; pair_take(&world->pair, from, &packet); count++) {
        pair_deliver(&world->pair, to, &packet);
        message_world_pull(world, to);
    }
    message_world_pull(world, from);
    return count;
}

/* Carries all in both directions, until nothing is left to be acknowledged. */
static inline void message_world_run(struct message_world *world)
{
    for (uint32_t round = 0; round < 20; round++) {
        world->pair.now_ns += 30 * SB_MS;
        for (uint32_t role = 0; role < 2; role++) {
            struct sp_conn *conn = pair_conn(&world->pair, (enum sp_role)role);
            if (sp_conn_deadline_ns(conn) <= world->pair.now_ns)
                sp_conn_on_deadline(conn, world->pair.now_ns);
            (void)message_world_carry(world, (enum sp_role)role);
        }
    }
}

/* Both are connected and have nothing more to say. */
static inline void message_world_connect(struct message_world *world)
{
    pair_connect(&world->pair);
    message_world_run(world);
}

/* The same with bounds of the queues. */
static inline void message_world_connect_with(struct message_world *world, uint32_t count_max,
                                              uint64_t bytes_max)
{
    message_world_init(world);
    world->pair.config.message_count_max = count_max;
    world->pair.config.message_bytes_max = bytes_max;
    message_world_connect(world);
}

/* Takes all objects of a pool, so that the connections find none, and gives them back. */
static inline void message_world_drain(struct message_world *world, struct sb_pool *pool)
{
    world->taken_from = pool;
    world->pair.memory_left = 0;
    for (void *object; (object = sb_pool_take(pool)) != NULL;) {
        assert_true(world->taken_count < MESSAGES_MAX);
        world->taken[world->taken_count++] = object;
    }
}

static inline void message_world_refill(struct message_world *world)
{
    while (world->taken_count > 0)
        sb_pool_give(world->taken_from, world->taken[--world->taken_count]);
    world->pair.memory_left = UINT64_MAX;
}

static inline void message_world_deinit(struct message_world *world)
{
    for (uint32_t i = 0; world->holds && i < world->arrived_count; i++)
        sb_buffer_unref(world->held[i].buffer);
    world->holds = false;
    message_world_refill(world);
    pair_deinit(&world->pair);
}

#endif
