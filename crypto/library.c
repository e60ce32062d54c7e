/* SPDX-License-Identifier: MIT */
#include "crypto/library.h"

/* A library context of our own, so that the one of the application is not changed.
 *
 * OpenSSL looks for each algorithm of a handshake in the context of the SSL_CTX.  In this one,
 * "TLS13-KDF" is ours, and so is how a key of "X25519" is made and, on some CPUs, exchanged.
 * Everything else comes from a second instance of the default provider.  Keys and certificates may
 * be of the process's own context: an EVP_PKEY carries its own methods. */

#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/provider.h>

#include "crypto/tls13_kdf.h"
#include "crypto/x25519_keys.h"
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

/* Filled before the provider is loaded; without an implementation it ends the list. */
static OSSL_ALGORITHM keys[] = {
    {NULL, PROPERTIES, NULL, ""},
    {NULL, NULL, NULL, NULL},
};
static OSSL_ALGORITHM exchanges[] = {
    {NULL, PROPERTIES, NULL, ""},
    {NULL, NULL, NULL, NULL},
};
static void *provider_context;

static const OSSL_ALGORITHM *query(void *provider, int operation, int *ret_no_cache)
{
    static const OSSL_ALGORITHM kdfs[] = {
        {"TLS13-KDF", PROPERTIES, sc_tls13_kdf_functions, ""},
        {NULL, NULL, NULL, NULL},
    };
    (void)provider;
    *ret_no_cache = 0;
    switch (operation) {
    case OSSL_OP_KDF:
        return kdfs;
    case OSSL_OP_KEYMGMT:
        return keys;
    case OSSL_OP_KEYEXCH:
        return exchanges;
    default:
        return NULL;
    }
}

/* Has what X25519 needs: `openssl` is the provider whose keys they are. */
static void add_x25519(OSSL_PROVIDER *openssl, OSSL_LIB_CTX *context)
{
    struct sc_x25519_keys x25519;
    if (!SC_WITH_FUSED || !sc_x25519_keys_init(openssl, context, &x25519))
        return;
    provider_context = OSSL_PROVIDER_get0_provider_ctx(openssl);
    keys[0].algorithm_names = "X25519:1.3.101.110";
    keys[0].implementation = x25519.keys;
    exchanges[0].algorithm_names = "X25519:1.3.101.110";
    exchanges[0].implementation = x25519.exchange;
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
    /* Not NULL: OpenSSL wants that. */
    *ret_provider = provider_context != NULL ? provider_context : (void *)(uintptr_t)handle;
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
        if (made.openssl != NULL)
            add_x25519(made.openssl, made.context);
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
