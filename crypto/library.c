/* SPDX-License-Identifier: MIT */
#include "crypto/library.h"

/* A library context of our own, so that the one of the application is not changed.
 *
 * OpenSSL looks for each algorithm of a handshake in the context of the SSL_CTX.  In this one,
 * "TLS13-KDF" is ours.  Everything else comes from a second instance of the default provider.  Keys
 * and certificates may be of the process's own context: an EVP_PKEY carries its own methods. */

#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "crypto/tls13_kdf.h"
#include "proto/base/compiler.h"

#define PROPERTIES "provider=spate"

static int note_other(OSSL_PROVIDER *provider, void *has_other)
{
    static const char *const own[] = {"default", "base", "legacy"};
    const char *name = OSSL_PROVIDER_get0_name(provider);
    for (size_t i = 0; i < SB_COUNT(own); i++)
        if (strcmp(name, own[i]) == 0)
            return 1;
    *(bool *)has_other = true;
    return 1;
}

bool sc_library_is_plain(OSSL_LIB_CTX *context)
{
    bool has_other = false;
    /* Reads openssl.cnf first, if that has not been done. */
    if (OSSL_PROVIDER_do_all(context, note_other, &has_other) != 1 || has_other ||
        OSSL_PROVIDER_available(context, "default") != 1)
        return false;
    char *properties = EVP_get1_default_properties(context);
    bool is_plain = properties == NULL || properties[0] == 0;
    OPENSSL_free(properties);
    return is_plain;
}

/* ---- the provider ---- */

static const OSSL_ALGORITHM *query(void *provider, int operation, int *ret_no_cache)
{
    static const OSSL_ALGORITHM kdfs[] = {
        {"TLS13-KDF", PROPERTIES, sc_tls13_kdf_functions, ""},
        {NULL, NULL, NULL, NULL},
    };
    (void)provider;
    *ret_no_cache = 0;
    return operation == OSSL_OP_KDF ? kdfs : NULL;
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
                         const OSSL_DISPATCH **ret, void **ret_provider)
{
    static const OSSL_DISPATCH functions[] = {
        {OSSL_FUNC_PROVIDER_QUERY_OPERATION, (void (*)(void))query},
        OSSL_DISPATCH_END,
    };
    (void)core;
    *ret = functions;
    *ret_provider = (void *)(uintptr_t)handle; /* not NULL: OpenSSL wants that */
    return 1;
}

/* ---- the context ---- */

/* The references that loading has given. */
struct parts {
    OSSL_LIB_CTX *context;
    OSSL_PROVIDER *own;
    OSSL_PROVIDER *openssl;
};

static struct parts library;
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

static void free_parts(const struct parts *parts)
{
    if (parts->own != NULL)
        (void)OSSL_PROVIDER_unload(parts->own);
    if (parts->openssl != NULL)
        (void)OSSL_PROVIDER_unload(parts->openssl);
    OSSL_LIB_CTX_free(parts->context);
}

static void library_free(void)
{
    free_parts(&library);
}

static void library_make(void)
{
    struct parts made = {.context = OSSL_LIB_CTX_new()};
    if (made.context != NULL &&
        OSSL_PROVIDER_add_builtin(made.context, "spate", provider_init) == 1) {
        made.openssl = OSSL_PROVIDER_load(made.context, "default");
        made.own = OSSL_PROVIDER_load(made.context, "spate");
    }
    /* A preference: what we do not have comes from the other. */
    if (made.openssl == NULL || made.own == NULL ||
        EVP_set_default_properties(made.context, "?" PROPERTIES) != 1) {
        free_parts(&made);
        return;
    }
    library = made;
    (void)OPENSSL_atexit(library_free); /* without memory for that, it stays until the end */
}

OSSL_LIB_CTX *sc_library(void)
{
    const OSSL_LIB_CTX *of_process = OSSL_LIB_CTX_get0_global_default();
    OSSL_LIB_CTX *of_thread = OSSL_LIB_CTX_set0_default(NULL); /* changes nothing */
    if (of_thread != of_process)
        return of_thread;
    if (!sc_library_is_plain(NULL) || CRYPTO_THREAD_run_once(&once, library_make) != 1)
        return NULL;
    return library.context;
}
