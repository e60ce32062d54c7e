/* SPDX-License-Identifier: MIT */
#include "test/sim/crypto.h"

#include "proto/base/compiler.h"

static struct sp_tls *make_null_tls(const struct qs_crypto *crypto, enum sp_role role,
                                    uint64_t seed)
{
    return qs_null_tls_create(role, &crypto->plan->tls, seed);
}

struct qs_crypto qs_crypto_null(const struct qs_plan *plan)
{
    /* The context of an interface is not const; the null cipher only reads it. */
    union {
        const struct qs_null_plan *from;
        void *to;
    } context = {.from = &plan->protect};
    return (struct qs_crypto){
        .protect = {.ops = &qs_null_protect_ops, .context = context.to},
        .tls_ops = &qs_null_tls_ops,
        .make_tls = make_null_tls,
        .answer = qs_null_tls_answer,
        .resume = qs_null_tls_resume,
        .early_params = qs_null_tls_early_params,
        .is_resumed = qs_null_tls_is_resumed,
        .retry_tag = qs_null_retry_tag,
        .plan = plan,
    };
}
