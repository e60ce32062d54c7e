/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_CLIENT_H
#define EXAMPLES_CLIENT_H

#include <netinet/in.h>

#include <spate/spate.h>

/* What every client needs: an engine of one shard, and connections. */
struct client {
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls;
};

/* Makes the engine, and trusts the certificates in `ca_file`; NULL: whoever answers.  Returns 0, or
 * 1 after it has said why not; client_close() is due in both cases. */
int client_create(struct client *client, const struct spate_config *config, const char *alpn,
                  const char *ca_file);

/* Starts to connect.  Returns 0, or 1 after it has said why not. */
int client_connect(struct client *client, const struct sockaddr_in *address, void *user,
                   struct spate_conn **ret);

/* Does both for an echo server at 127.0.0.1; client_close() is due in any case. */
int client_open(struct client *client, const struct spate_config *config, const char *port,
                const char *ca_file);
void client_close(struct client *client);

/* Runs a turn.  Returns 0, or 1 after it has said what has failed: no turn follows. */
int client_turn(struct client *client, uint64_t wait_ns);

/* Reads a port of 127.0.0.1.  Returns 0, or 1 after it has said why not. */
int client_localhost(const char *port, struct sockaddr_in *ret);

/* Says why a call has failed.  Returns 1. */
int client_failed(const char *call, int result, const struct spate_error *error);

#endif
