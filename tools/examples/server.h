/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_SERVER_H
#define EXAMPLES_SERVER_H

#include <spate/spate.h>

/* What every server needs: an engine, and certificates; and how a process replaces another. */
struct server {
    struct spate_engine *engine;
    struct spate_tls *tls;
};

/* Returns 0, or 1 after it has said why not; server_destroy() is due in both cases. */
int server_create(struct server *server, const struct spate_config *config, const char *alpn,
                  const char *cert_file, const char *key_file);
void server_destroy(struct server *server);

/* Runs a turn of a shard.  Returns 0, or 1 after it has said what has failed: no turn follows. */
int server_turn(struct spate_shard *shard, uint64_t wait_ns);

/* Takes the sockets of the process that waits at `path`.  Returns 0, -ENOENT if there is none, or
 * another negative errno after it has said why. */
int server_take_over(struct server *server, const char *path);

/* Takes over, unless there was no process, once the server listens; then waits for the next one.
 * Returns a descriptor that is readable when one connects, or -1 after it has said why. */
int server_take_over_finish(struct server *server, const char *path, bool is_first);

/* Takes the steps that are due to give the sockets to a process that has connected.  The channel
 * stays while this returns -EAGAIN, however long: the other process may have been told to go, and
 * the engine knows when to give it up.  Call it then when the channel is readable, and each second.
 * Otherwise closes the channel, which becomes -1, and returns 0 if the other process has taken
 * over, or another negative errno after it has said why not. */
int server_hand_over(struct server *server, int *channel);

/* Says why a call has failed.  Returns 1. */
int server_failed(const char *call, int result, const struct spate_error *error);

#endif
