/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_ECHO_H
#define EXAMPLES_ECHO_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

#include "tools/examples/server.h"

/* An echo server without a loop: the examples put it into theirs. */
struct echo {
    struct server server;
    struct spate_shard *shard;
    uint16_t port;  /* of the command line */
    bool has_ended; /* after a shutdown, the last connection has */
};

/* Listens on 127.0.0.1 as the command line says: CERT-FILE KEY-FILE PORT; port 0 selects a free
 * one.  Prints the port.  Returns 0, or 1 after it has said why not. */
int echo_open(struct echo *echo, int argc, char **argv);

/* Make the engine, by the same command line or by another one. */
int echo_create(struct echo *echo, const struct spate_config *config, int argc, char **argv);
int echo_create_with(struct echo *echo, const struct spate_config *config, const char *cert_file,
                     const char *key_file);

/* Listens on 127.0.0.1, and prints the port. */
int echo_listen(struct echo *echo, uint16_t port);

/* Runs a turn that does not wait, and handles its events.  Returns 0, or 1 after it has said that
 * the shard cannot be used any more. */
int echo_turn(struct echo *echo);

void echo_close(struct echo *echo);

#endif
