/* SPDX-License-Identifier: MIT */
#ifndef PATH_PAIR_H
#define PATH_PAIR_H

#include "test/support/conn_pair.h"

/* The two ends of a conn_pair on paths that a test chooses: each datagram by itself. */

/* A datagram that one end has sent. */
struct sent {
    uint8_t data[PAIR_DATAGRAM_SIZE_MAX];
    size_t size;
    struct sp_path path;
};

/* Returns the path that an end uses. */
struct sp_path path_of(const struct conn_pair *pair, enum sp_role role);
bool server_is_at(const struct conn_pair *pair, const struct sp_path *path);

/* Takes the next datagram of an end.  Returns false if there is none. */
bool take(struct conn_pair *pair, enum sp_role from, struct sent *ret);
/* Delivers `size` bytes to `to`, which come by `path` as `to` sees it. */
void give(struct conn_pair *pair, enum sp_role to, const uint8_t *data, size_t size,
          const struct sp_path *path);
/* Delivers a PING of the client, made by hand. */
void give_ping(struct conn_pair *pair, const struct sp_path *path);

/* Returns a path of the client as the server sees it. */
struct sp_path server_view_of(const struct sp_path *path);

/* Carries everything; each datagram goes the path that its sender has chosen.  With `loses_new`
 * what the client sends on another path than its first is lost.  Returns how many CIDs of the
 * server got packets from both addresses. */
uint32_t shuttle_all(struct conn_pair *pair, bool loses_new);

/* Takes all events of an end.  Returns how many were SP_EVENT_PATH with `want`. */
uint32_t take_path_events(struct conn_pair *pair, enum sp_role role, enum sp_path_change want);

/* Lets the time pass that a client waits for an answer on the path that it has just begun to move
 * to, where everything is lost.  Asserts that it stays on `before`, forgets the other path and
 * reports that once. */
void assert_move_fails(struct conn_pair *pair, const struct sp_path *before);

/* ---- A server that prefers another address ---- */

extern const struct sp_preferred preferred_addrs;

/* Makes a connection to a server that prefers `preferred_addrs`. */
void connect_preferred(struct conn_pair *pair);
/* Returns the client's path to the IPv4 address of them. */
struct sp_path to_preferred(const struct conn_pair *pair);
/* Begins the client's move there. */
void move_to_preferred(struct conn_pair *pair);
/* Takes one datagram of `from`, which must go to `remote`, and delivers it. */
void pass_to(struct conn_pair *pair, enum sp_role from, const struct sp_addr *remote);

enum { WRITE_SOME_BYTES = 20000 };
/* Writes so many on a new stream. */
void write_some(struct conn_pair *pair, enum sp_role role);

#endif
