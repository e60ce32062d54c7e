/* SPDX-License-Identifier: MIT */
#ifndef LOAD_SERVER_H
#define LOAD_SERVER_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/address.h"
#include "bench/load/sample.h"

struct failure;
struct options;
struct server;
struct spate_engine;

/* A server of the QUIC performance protocol (ALPN "perf"): reads the number of bytes that is
 * wanted, then an upload to its end, then sends that many bytes.
 *
 * Makes a fresh self-signed certificate where the options have none.  Returns false and sets
 * `failure`, or the server, which is the caller's until server_close(). */
bool server_open(const struct options *o, struct server **ret, struct failure *failure);

/* Makes a server for another shard of the engine, with a thread of its own.  It must be closed
 * after `first`.  Returns false and sets `failure`, or the server, which is the caller's. */
bool server_open_beside(const struct server *first, uint32_t index, struct server **ret,
                        struct failure *failure);

const struct spate_engine *server_engine(const struct server *s);
struct spate_shard *server_shard(const struct server *s);

/* Where it listens, with the real port. */
const struct address *server_address(const struct server *s);

/* The fresh certificate in PEM, or "" if the options had one.  Lives as long as the server. */
const char *server_certificate(const struct server *s);

/* Serves for one turn, which waits at most `wait_ns`.  Returns false and sets
 * `failure` when it can serve no more. */
bool server_turn(struct server *s, uint64_t wait_ns, struct failure *failure);

/* What has been received and queued so far. */
uint64_t server_payload_bytes(const struct server *s);

/* Of the process, and of the server's shard. */
void server_sample(struct server *s, struct sample *ret);

/* Of the server's shard alone. */
void server_sample_shard(struct server *s, struct sample *ret);

/* Closes the connections to all clients, and waits for at most `wait_ns` until that is done. */
void server_say_goodbye(struct server *s, uint64_t wait_ns);

/* NULL is accepted. */
void server_close(struct server *s);

#endif
