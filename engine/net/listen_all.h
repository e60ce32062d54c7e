/* SPDX-License-Identifier: MIT */
#ifndef SE_LISTEN_ALL_H
#define SE_LISTEN_ALL_H

#include "proto/base/compiler.h"

/* Listening with one shard, and with all shards of an engine. */

struct se_listen_at;
struct se_port;
struct spate_engine;
struct spate_engine_listener;
struct spate_error;
struct spate_listen_options;
struct spate_listener;
struct spate_shard;

/* Copies the options of a program, which may be shorter or longer than ours.  Returns 0, -EINVAL or
 * -E2BIG, with one line in `error`. */
SB_MUST_USE int se_listen_take_options(const struct spate_listen_options *given,
                                       struct spate_listen_options *ret, struct spate_error *error);

/* Reads the address or the inherited sockets, and looks whether the TLS options are a server's.
 * Returns 0, -EINVAL or what se_inherit() returns, with one line in `error`. */
SB_MUST_USE int se_listen_check(struct spate_shard *shard,
                                const struct spate_listen_options *options,
                                struct se_listen_at *ret, struct spate_error *error);

/* Makes a port accept connections. */
struct spate_listener *se_listen_begin(struct se_port *port,
                                       const struct spate_listen_options *options);

/* Gives up a reference; NULL is accepted.  Threads: any. */
void se_listen_all_unref(struct spate_engine_listener *listener);

/* Gives up those that were not closed, after the shards have ended. */
void se_listen_all_deinit(struct spate_engine *engine);

/* Closes the shard's part of listeners that spate_engine_listener_close() was called for. */
void se_listen_all_close(struct spate_shard *shard);

#endif
