/* SPDX-License-Identifier: MIT */
#ifndef LOAD_ENDPOINT_H
#define LOAD_ENDPOINT_H

/* What the client and the server set up alike. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/spate.h>

struct failure;
struct host_loop;
struct options;

#define ENDPOINT_ALPN "perf"

/* The size of the field in front of a request: how many bytes are wanted back. */
#define ENDPOINT_HEADER_SIZE 8

void endpoint_write_header(uint8_t ret[ENDPOINT_HEADER_SIZE], uint64_t wanted_bytes);
uint64_t endpoint_read_header(const uint8_t header[ENDPOINT_HEADER_SIZE]);

/* The UDP payload to send at most, by option or by what fits a path of 1500 bytes. */
uint32_t endpoint_mtu(const struct options *o, bool is_v6);

/* What differs between the two. */
struct endpoint_role {
    bool is_client;
    bool is_v6;
    uint32_t shards;
    struct host_loop *loop; /* where it will run; with --own-ring, the ring is made there */
};

/* Shards with room for what the options ask for, and as many file descriptors
 * as the system lets us have.  The engine is the caller's. */
bool endpoint_open(const struct options *o, const struct endpoint_role *role,
                   struct spate_engine **ret, struct failure *failure);

/* Says on stderr if the engine has to do without io_uring. */
void endpoint_warn(const struct spate_engine *engine);

/* Returns whether a stream that has lent so many pieces of the payload should lend one more:
 * PAYLOAD_LENT_MIN, and as many as fill the path. */
bool endpoint_may_lend(const struct spate_conn *conn, uint64_t stream_id, uint32_t lent_count);

/* The TLS options that both roles have: a server speaks ENDPOINT_ALPN and MESSAGES_ALPN, a client
 * the one of its scenario. */
struct spate_tls_options endpoint_tls_options(const struct options *o, bool is_client);

/* Writes one line on why a connection has ended.
 *
 *   peer  A name of the other side: "the server at 127.0.0.1:4433". */
void endpoint_describe_close(const struct spate_close *close, const char *peer, uint64_t timeout_ns,
                             char *ret, size_t ret_size);

#endif
