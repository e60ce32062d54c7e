/* SPDX-License-Identifier: MIT */
#ifndef SE_CONNECT_H
#define SE_CONNECT_H

#include <spate/resume.h>

#include "proto/base/compiler.h"

struct sc_tls_config;
struct spate_channel;

/* Begins a client's connection: spate_shard_connect_with() with `tls` in the place of the handle in
 * `options`, which may be NULL.  The connection takes a reference to `tls`.  `channel`: it belongs
 * to that from the start; NULL: to the application. */
SB_MUST_USE int se_connect(struct spate_shard *shard, const struct spate_connect_options *options,
                           struct sc_tls_config *tls, struct spate_channel *channel,
                           struct spate_conn **ret, struct spate_error *error);

/* Does the same with options of a program, which may be shorter or longer than ours. */
SB_MUST_USE int se_connect_given(struct spate_shard *shard,
                                 const struct spate_connect_options *given,
                                 struct spate_channel *channel, struct spate_conn **ret,
                                 struct spate_error *error);

#endif
