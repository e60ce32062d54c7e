/* SPDX-License-Identifier: MIT */
#ifndef QS_CRYPTO_H
#define QS_CRYPTO_H

#include <stdint.h>

#include "proto/protect.h"
#include "proto/tls.h"
#include "test/sim/plan.h"

/* The pair of protection and handshake that a run uses. */
struct qs_crypto {
    struct sp_protect protect;
    const struct sp_tls_ops *tls_ops;
    /* NULL without memory. */
    struct sp_tls *(*make_tls)(const struct qs_crypto *crypto, enum sp_role role, uint64_t seed);
    const struct qs_plan *plan;
};

/* Null cipher, null handshake.  `plan` is borrowed. */
struct qs_crypto qs_crypto_null(const struct qs_plan *plan);

#endif
