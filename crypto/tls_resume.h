/* SPDX-License-Identifier: MIT */
#ifndef SC_TLS_RESUME_H
#define SC_TLS_RESUME_H

#include <openssl/types.h>

#include "crypto/tls_config.h"

/* Resumption and 0-RTT, of a whole configuration.  [RFC8446 2.2, 2.3] */
struct sc_resumption;

/* Sets up `context` for what `options` want.  Returns 0, -EINVAL or -ENOMEM as
 * sc_tls_config_create() does. */
SB_MUST_USE int sc_resumption_create(SSL_CTX *context, const struct sc_tls_options *options,
                                     struct sc_resumption **ret, struct sc_error *error);
void sc_resumption_destroy(struct sc_resumption *resumption); /* NULL is accepted */

int sc_resumption_set_keys(struct sc_resumption *resumption, const uint8_t *keys, size_t count);
bool sc_resumption_accepts_early(const struct sc_resumption *resumption);

#endif
