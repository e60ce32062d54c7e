/* SPDX-License-Identifier: MIT */
#include "crypto/remote_key.h"

/* Keys elsewhere, as a provider of OpenSSL.
 *
 * The provider lives in a library context of its own, so that the application's is not changed.
 * A key of it has a public part, which is a key of the default provider and answers all questions,
 * and claims to have a private part.  Signing returns what sc_remote_key_lend() has set.  Keys of
 * the two contexts may meet in one SSL: an EVP_PKEY carries its own methods, and OpenSSL looks for
 * a signature where the key's methods come from after it has failed to export the private part.
 *
 * RSA, EC and EdDSA keys differ by name only. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/provider.h>
#include <openssl/x509.h>

#include "proto/base/assert.h"

#define PARAM_PUBLIC "spate-public"

static _Thread_local const struct sc_remote_signature *lent;

void sc_remote_key_lend(const struct sc_remote_signature *signature)
{
    lent = signature;
}

struct key {
    EVP_PKEY *public; /* one reference */
};

struct signing {
    const struct key *key;
};

/* ---- keys ---- */

static void *key_new(void *provider)
{
    (void)provider;
    return OPENSSL_zalloc(sizeof(struct key));
}

static void key_free(void *opaque)
{
    struct key *key = opaque;
    if (key == NULL)
        return;
    EVP_PKEY_free(key->public);
    OPENSSL_free(key);
}

static int key_has(const void *opaque, int selection)
{
    (void)selection;
    return ((const struct key *)opaque)->public != NULL;
}

static int key_match(const void *a, const void *b, int selection)
{
    (void)selection;
    return EVP_PKEY_eq(((const struct key *)a)->public, ((const struct key *)b)->public) == 1;
}

/* Takes our own parameter alone: a key cannot be moved here from another provider. */
static int key_import(void *opaque, int selection, const OSSL_PARAM params[])
{
    (void)selection;
    struct key *key = opaque;
    const OSSL_PARAM *param = OSSL_PARAM_locate_const(params, PARAM_PUBLIC);
    const void *public;
    size_t size;
    if (param == NULL || OSSL_PARAM_get_octet_ptr(param, &public, &size) != 1 ||
        size != sizeof(EVP_PKEY *))
        return 0;
    EVP_PKEY *pointer;
    memcpy(&pointer, public, sizeof(pointer));
    if (EVP_PKEY_up_ref(pointer) != 1)
        return 0;
    key->public = pointer;
    return 1;
}

static const OSSL_PARAM *key_import_types(int selection)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_octet_ptr(PARAM_PUBLIC, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)selection;
    return types;
}

/* The private part stays where it is: OpenSSL then signs by this provider. */
static int key_export(void *opaque, int selection, OSSL_CALLBACK *take, void *argument)
{
    const struct key *key = opaque;
    if ((selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0)
        return 0;
    return EVP_PKEY_export(key->public, EVP_PKEY_PUBLIC_KEY, take, argument);
}

static const OSSL_PARAM *key_export_types(int selection)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_octet_string(OSSL_PKEY_PARAM_PUB_KEY, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_N, NULL, 0),
        OSSL_PARAM_BN(OSSL_PKEY_PARAM_RSA_E, NULL, 0),
        OSSL_PARAM_END,
    };
    return (selection & OSSL_KEYMGMT_SELECT_PRIVATE_KEY) != 0 ? NULL : types;
}

static int key_get_params(void *opaque, OSSL_PARAM params[])
{
    const struct key *key = opaque;
    ERR_set_mark();
    (void)EVP_PKEY_get_params(key->public, params); /* what it lacks stays unset */
    ERR_pop_to_mark();
    return 1;
}

static const OSSL_PARAM *key_gettable_params(void *provider)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_int(OSSL_PKEY_PARAM_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_SECURITY_BITS, NULL),
        OSSL_PARAM_int(OSSL_PKEY_PARAM_MAX_SIZE, NULL),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_DEFAULT_DIGEST, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_MANDATORY_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)provider;
    return types;
}

static const char *key_operation(int operation)
{
    (void)operation;
    return NULL; /* the signature has the name of the key */
}

static const char *key_operation_ec(int operation)
{
    return operation == OSSL_OP_SIGNATURE ? "ECDSA" : NULL;
}

/* ---- signatures ---- */

static void *sign_new(void *provider, const char *properties)
{
    (void)provider;
    (void)properties;
    return OPENSSL_zalloc(sizeof(struct signing));
}

static void sign_free(void *signing)
{
    OPENSSL_free(signing);
}

static void *sign_dup(void *signing)
{
    return OPENSSL_memdup(signing, sizeof(struct signing));
}

static int sign_init(void *opaque, const char *digest, void *key, const OSSL_PARAM params[])
{
    (void)digest;
    (void)params;
    struct signing *signing = opaque;
    if (key != NULL)
        signing->key = key;
    return signing->key != NULL;
}

static int sign(void *opaque, unsigned char *out, size_t *ret_size, size_t capacity,
                const unsigned char *data, size_t size)
{
    (void)opaque;
    if (lent == NULL || size != lent->data.size || memcmp(data, lent->data.data, size) != 0)
        return 0;
    *ret_size = lent->signature.size;
    if (out == NULL)
        return 1;
    if (capacity < lent->signature.size)
        return 0;
    memcpy(out, lent->signature.data, lent->signature.size);
    return 1;
}

/* Padding and salt of RSA-PSS: the scheme has said them already. */
static int sign_set_params(void *signing, const OSSL_PARAM params[])
{
    (void)signing;
    (void)params;
    return 1;
}

static const OSSL_PARAM *sign_settable_params(void *signing, void *provider)
{
    static const OSSL_PARAM types[] = {
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PAD_MODE, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_PSS_SALTLEN, NULL, 0),
        OSSL_PARAM_utf8_string(OSSL_SIGNATURE_PARAM_DIGEST, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)signing;
    (void)provider;
    return types;
}

/* ---- the provider ---- */

#define FUNCTION(id, function) {OSSL_FUNC_##id, (void (*)(void))(function)}
#define KEY_FUNCTIONS(operation) \
    FUNCTION(KEYMGMT_NEW, key_new), FUNCTION(KEYMGMT_FREE, key_free), \
        FUNCTION(KEYMGMT_HAS, key_has), FUNCTION(KEYMGMT_MATCH, key_match), \
        FUNCTION(KEYMGMT_IMPORT, key_import), FUNCTION(KEYMGMT_IMPORT_TYPES, key_import_types), \
        FUNCTION(KEYMGMT_EXPORT, key_export), FUNCTION(KEYMGMT_EXPORT_TYPES, key_export_types), \
        FUNCTION(KEYMGMT_GET_PARAMS, key_get_params), \
        FUNCTION(KEYMGMT_GETTABLE_PARAMS, key_gettable_params), \
        FUNCTION(KEYMGMT_QUERY_OPERATION_NAME, operation), OSSL_DISPATCH_END

static const OSSL_DISPATCH key_functions[] = {KEY_FUNCTIONS(key_operation)};
static const OSSL_DISPATCH ec_functions[] = {KEY_FUNCTIONS(key_operation_ec)};
static const OSSL_DISPATCH sign_functions[] = {
    FUNCTION(SIGNATURE_NEWCTX, sign_new),
    FUNCTION(SIGNATURE_FREECTX, sign_free),
    FUNCTION(SIGNATURE_DUPCTX, sign_dup),
    FUNCTION(SIGNATURE_DIGEST_SIGN_INIT, sign_init),
    FUNCTION(SIGNATURE_DIGEST_SIGN, sign),
    FUNCTION(SIGNATURE_SET_CTX_PARAMS, sign_set_params),
    FUNCTION(SIGNATURE_SETTABLE_CTX_PARAMS, sign_settable_params),
    OSSL_DISPATCH_END,
};

#define PROPERTIES "provider=spate"
/* The kinds whose signatures TLS 1.3 has and every client knows.  Names as in OpenSSL's own
 * providers. */
static const OSSL_ALGORITHM keys[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, key_functions, ""},
    {"EC:id-ecPublicKey:1.2.840.10045.2.1", PROPERTIES, ec_functions, ""},
    {"ED25519:1.3.101.112", PROPERTIES, key_functions, ""},
    {NULL, NULL, NULL, NULL},
};
static const OSSL_ALGORITHM signatures[] = {
    {"RSA:rsaEncryption:1.2.840.113549.1.1.1", PROPERTIES, sign_functions, ""},
    {"ECDSA", PROPERTIES, sign_functions, ""},
    {"ED25519:1.3.101.112", PROPERTIES, sign_functions, ""},
    {NULL, NULL, NULL, NULL},
};

static const OSSL_ALGORITHM *query(void *provider, int operation, int *ret_no_cache)
{
    (void)provider;
    *ret_no_cache = 0;
    switch (operation) {
    case OSSL_OP_KEYMGMT:
        return keys;
    case OSSL_OP_SIGNATURE:
        return signatures;
    default:
        return NULL;
    }
}

static int provider_init(const OSSL_CORE_HANDLE *handle, const OSSL_DISPATCH *core,
                         const OSSL_DISPATCH **ret, void **ret_provider)
{
    static const OSSL_DISPATCH functions[] = {
        FUNCTION(PROVIDER_QUERY_OPERATION, query),
        OSSL_DISPATCH_END,
    };
    (void)core;
    *ret = functions;
    *ret_provider = (void *)(uintptr_t)handle; /* not NULL: OpenSSL wants that */
    return 1;
}

/* Made once per process; NULL without memory. */
static OSSL_LIB_CTX *library;
static OSSL_PROVIDER *provider_in_library; /* the reference that loading it has given */

static void library_free(void)
{
    (void)OSSL_PROVIDER_unload(provider_in_library);
    OSSL_LIB_CTX_free(library);
}

static void library_make(void)
{
    OSSL_LIB_CTX *made = OSSL_LIB_CTX_new();
    if (made != NULL && OSSL_PROVIDER_add_builtin(made, "spate", provider_init) == 1)
        provider_in_library = OSSL_PROVIDER_load(made, "spate");
    if (provider_in_library == NULL) {
        OSSL_LIB_CTX_free(made);
        return;
    }
    library = made;
    (void)OPENSSL_atexit(library_free); /* without memory for that, it stays until the end */
}

/* ---- for the others ---- */

static const char *name_of(const EVP_PKEY *public)
{
    static const char *const names[] = {"RSA", "EC", "ED25519"};
    for (size_t i = 0; i < SB_COUNT(names); i++)
        if (EVP_PKEY_is_a(public, names[i]) == 1)
            return names[i];
    return NULL;
}

int sc_remote_key_create(X509 *leaf, const char *name, EVP_PKEY **ret, struct sc_error *error)
{
    static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;
    EVP_PKEY *public = X509_get0_pubkey(leaf);
    const char *kind = public == NULL ? NULL : name_of(public);
    if (kind == NULL)
        return sc_error_set(error, -EINVAL, "certificate %s: keys of its kind cannot be elsewhere",
                            name);
    if (CRYPTO_THREAD_run_once(&once, library_make) != 1 || library == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");

    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_ptr(PARAM_PUBLIC, &(void *){&public}, sizeof(public)),
        OSSL_PARAM_construct_end(),
    };
    EVP_PKEY *key = NULL;
    EVP_PKEY_CTX *context = EVP_PKEY_CTX_new_from_name(library, kind, PROPERTIES);
    bool is_made = context != NULL && EVP_PKEY_fromdata_init(context) == 1 &&
                   EVP_PKEY_fromdata(context, &key, EVP_PKEY_KEYPAIR, params) == 1;
    EVP_PKEY_CTX_free(context);
    if (!is_made)
        return sc_error_set(error, -ENOMEM, "certificate %s: %s", name, sc_ossl_reason());
    *ret = key;
    return 0;
}
