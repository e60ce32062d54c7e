/* SPDX-License-Identifier: MIT */
#ifndef HAND_OVER_WORLD_H
#define HAND_OVER_WORLD_H

#include "test/support/spate_world.h"

/* Servers that replace each other at one address, and clients behind relays, all run by the test's
 * thread.  A server counts the bytes of all streams, and checks that they are pw_byte(0, ...). */

#define HW_MS UINT64_C(1000000)

enum { HW_SHARDS = 2, HW_SERVERS = 9, HW_CLIENTS = 32, HW_PIECE = 3000 };

struct hw;

struct hw_server {
    struct hw *world;
    struct spate_engine *engine; /* NULL: it has ended */
    struct spate_shard *shards[HW_SHARDS];
    struct spate_listener *listeners[HW_SHARDS];
    uint32_t shard_count;
    uint64_t connected;
    uint64_t closed;
    uint64_t shut_down; /* shards */
    uint64_t bytes;
    bool is_running; /* turns are run: its shards listen */
};

struct hw_client {
    struct pw_relay *relay;
    struct spate_conn *conn; /* NULL: it has ended */
    uint64_t stream_id;
    uint64_t sent_bytes;
};

struct hw {
    struct pw w; /* its server has no engine */
    bool is_v6;
    struct hw_server servers[HW_SERVERS];
    uint32_t server_count;
    struct hw_client clients[HW_CLIENTS];
    uint32_t client_count;
};

/* Owned by the test. */
struct hw *hw_create(bool is_v6);

/* Makes an engine that may hand over, with `shard_count` shards, and nothing else.  `change` may be
 * NULL. */
struct hw_server *hw_make_server(struct hw *hw, uint32_t shard_count,
                                 void (*change)(struct spate_config *config));

/* All its shards listen at the address of the world; the first server chooses the port. */
void hw_listen(struct hw_server *server);

/* Ends a server without a word to anybody, as if its process were killed. */
void hw_kill(struct hw_server *server);

/* Shuts all its shards down, `within_ns` from now, because it was replaced. */
void hw_shut_down(struct hw_server *server, uint64_t within_ns);

/* A channel for two engines. */
struct hw_channel {
    int old_end; /* -1: closed */
    int new_end;
};
struct hw_channel hw_channel_create(void);
/* The engines that use it have duplicates. */
void hw_channel_end(struct hw_channel *channel);

/* A thread that calls spate_engine_hand_over() until it has an answer. */
struct hw_giver;
struct hw_giver *hw_give(struct hw_server *from, int fd);
/* Waits for the thread.  Returns its result; `ret` may be NULL. */
int hw_given(struct hw_giver *giver, struct spate_error *ret);

/* `to` takes over from `from`, and listens. */
void hw_hand_over(struct hw_server *from, struct hw_server *to);

/* Runs all ends for a turn, for `ns`, or until a number is reached. */
void hw_turn(struct hw *hw);
void hw_for(struct hw *hw, uint64_t ns);
void hw_until(struct hw *hw, const uint64_t *value, uint64_t wanted);

/* Runs them until `count` connections of clients have ended. */
void hw_until_closed(struct hw *hw, uint32_t count);

/* Connects `count` more clients, and waits until `server` has them. */
void hw_connect(struct hw *hw, uint32_t count, struct hw_server *server);

/* The client's packets come from another port from now on. */
void hw_rebind(struct hw *hw, struct hw_client *client);

/* Clients `from` to `to` - 1 send `size` bytes each. */
void hw_send(struct hw *hw, uint32_t from, uint32_t to, size_t size);

/* Of these, those whose connections have not ended send a byte each. */
void hw_send_if_open(struct hw *hw, uint32_t from, uint32_t to);

/* Clients `from` to `to` - 1 change their ports and send a piece each, in each of `rounds` rounds;
 * all of it reaches `server`, and no connection of anybody ends. */
void hw_move_and_send(struct hw *hw, uint32_t from, uint32_t to, struct hw_server *server,
                      uint32_t rounds);

/* The sum over the shards of a server. */
struct spate_shard_stats hw_stats(const struct hw_server *server);

/* Returns how many sockets are bound to the world's port. */
uint32_t hw_socket_count(const struct hw *hw);

/* Makes a server that listens, with so many clients: see hw_make_server(). */
struct hw_server *hw_begin(struct hw *hw, uint32_t shard_count, uint32_t clients,
                           void (*change)(struct spate_config *config));

/* No packet came to a wrong shard or process, and none was answered with a reset. */
void hw_assert_in_order(const struct hw_server *server);

/* `to` takes over from `from`, which dies: its clients, all that there are, get stateless resets,
 * and four new ones of `to` go on. */
void hw_assert_dead_is_answered_for(struct hw *hw, struct hw_server *from, struct hw_server *to);

/* `from`, which always sends Retry, begins with `count` clients; `to` takes over, and all connect
 * to one of the two. */
void hw_assert_retries_go_on(struct hw *hw, struct hw_server *from, struct hw_server *to,
                             uint32_t count);

/* `to` takes over from `from`, both with one shard.  Then another program of the kernel gives each
 * of them the packets of the other one's connections: they are counted, and not answered. */
void hw_assert_others_are_not_answered(struct hw *hw, struct hw_server *from, struct hw_server *to);

#endif
