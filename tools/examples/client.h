/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_CLIENT_H
#define EXAMPLES_CLIENT_H

#include <spate/spate.h>

/* What every client needs: an engine of one shard, and a connection to a port of this machine. */
struct client {
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls;
};

/* Starts to connect to 127.0.0.1, and trusts the certificates in `ca_file`.  Returns 0, or 1 after
 * it has said why not; client_close() is due in both cases. */
int client_open(struct client *client, const struct spate_config *config, const char *port,
                const char *ca_file);
void client_close(struct client *client);

/* Says why a call has failed.  Returns 1. */
int client_failed(const char *call, int result, const struct spate_error *error);

#endif
