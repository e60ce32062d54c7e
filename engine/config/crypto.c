/* SPDX-License-Identifier: MIT */
#include "engine/config/crypto.h"

/* Every implementation makes the same packets.  So the choice is a matter of speed and trust only,
 * and the peer cannot see it. */

#include <errno.h>

#include "engine/config/config.h"

/* Returns why there is no fused AES-GCM here: the reason of the last variant, which needs the
 * least. */
static const char *why_not(void)
{
    const char *why = "this build has none (-Dfused=disabled, or not for x86-64)";
    const char *reason = NULL;
    for (size_t i = 0; sc_fused_at(i, &reason) != NULL; i++)
        why = reason;
    return why;
}

int se_crypto_choose(enum spate_crypto asked, const struct sc_fused **ret,
                     struct spate_error *error)
{
    const struct sc_fused *fused = asked == SPATE_CRYPTO_OPENSSL ? NULL : sc_fused_best();
    if (fused == NULL && asked == SPATE_CRYPTO_FUSED) {
        se_error_set(error, "there is no fused AES-GCM: %s", why_not());
        return -ENOTSUP;
    }
    *ret = fused;
    return 0;
}

const char *spate_crypto_probe(struct spate_error *reason)
{
    const struct sc_fused *fused = sc_fused_best();
    if (fused != NULL)
        return fused->name;
    se_error_set(reason, "%s", why_not());
    return "openssl";
}
