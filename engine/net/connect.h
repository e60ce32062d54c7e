/* SPDX-License-Identifier: MIT */
#ifndef SE_CONNECT_H
#define SE_CONNECT_H

#include <spate/resume.h>

#include "proto/base/compiler.h"

struct sc_tls_config;

/* Begins a client's connection: spate_shard_connect_with() with `tls` in the place of the handle in
 * `options`, which may be NULL.  The connection takes a reference to `tls`. */
SB_MUST_USE int se_connect(struct spate_shard *shard, const struct spate_connect_options *options,
                           struct sc_tls_config *tls, struct spate_conn **ret,
                           struct spate_error *error);

#endif
