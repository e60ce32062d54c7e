/* SPDX-License-Identifier: MIT */
#include "tools/spate/one_shot.h"

#include <stdbool.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

static int note_other(OSSL_PROVIDER *provider, void *has_other)
{
    if (strcmp(OSSL_PROVIDER_get0_name(provider), "default") != 0)
        *(bool *)has_other = true;
    return 1;
}

/* Nothing is changed where openssl.cnf has other providers or properties: the library makes no
 * context then either, except beside "base" and "legacy". */
void one_shot_begin(void)
{
    bool has_other = false;
    /* What OpenSSL would free at the end, the process frees anyway. */
    (void)OPENSSL_init_crypto(OPENSSL_INIT_LOAD_CONFIG | OPENSSL_INIT_NO_ATEXIT, NULL);
    char *properties = EVP_get1_default_properties(NULL);
    if ((properties == NULL || properties[0] == 0) &&
        OSSL_PROVIDER_do_all(NULL, note_other, &has_other) == 1 && !has_other)
        (void)EVP_set_default_properties(NULL, "?provider=default"); /* failed: it is slower */
    OPENSSL_free(properties);
}
