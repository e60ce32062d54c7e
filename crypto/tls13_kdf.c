/* SPDX-License-Identifier: MIT */
#include "crypto/tls13_kdf.h"

/* The key schedule of TLS 1.3 without objects.
 *
 * A handshake derives 38 secrets, keys and IVs on each side.  OpenSSL's own implementation copies
 * each parameter to the heap, fetches the hash by name and makes contexts for HMAC: 0.84 us a
 * call, of which the hash takes a fifth.  This one reads the parameters where they are. */

#include <stdint.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/kdf.h>
#include <openssl/params.h>

#include "crypto/hkdf.h"
#include "proto/base/compiler.h"

/* The parameters of a call; NULL data: not given. */
struct request {
    int mode;
    size_t hash_size; /* 0: none that TLS 1.3 has here */
    struct sb_bytes key;
    struct sb_bytes salt;
    struct sb_bytes prefix;
    struct sb_bytes label;
    struct sb_bytes data;
};

static size_t hash_size_of(const char *name)
{
    static const struct {
        const char *name;
        size_t size;
    } hashes[] = {{"SHA2-256", 32}, {"SHA2-384", 48}, {"SHA256", 32},
                  {"SHA384", 48},   {"SHA-256", 32},  {"SHA-384", 48}};
    for (size_t i = 0; i < SB_COUNT(hashes); i++)
        if (strcmp(name, hashes[i].name) == 0 || OPENSSL_strcasecmp(name, hashes[i].name) == 0)
            return hashes[i].size;
    return 0;
}

/* The functions of OpenSSL that read a parameter raise an error and take it back, where it is no
 * pointer: half the cost of the hash each. */
static bool read_bytes(const OSSL_PARAM *param, struct sb_bytes *ret)
{
    if (param->data_type != OSSL_PARAM_OCTET_STRING ||
        (param->data == NULL && param->data_size > 0))
        return false;
    /* Empty is not the same as not given. */
    *ret = (struct sb_bytes){.data = param->data != NULL ? param->data : (const uint8_t *)"",
                             .size = param->data_size};
    return true;
}

static bool read_hash(const OSSL_PARAM *param, struct request *ret)
{
    if (param->data_type != OSSL_PARAM_UTF8_STRING || param->data == NULL)
        return false;
    ret->hash_size = hash_size_of(param->data);
    return true;
}

static bool read_one(const OSSL_PARAM *param, struct request *ret)
{
    const struct {
        const char *name;
        struct sb_bytes *bytes;
    } rows[] = {
        {OSSL_KDF_PARAM_KEY, &ret->key},       {OSSL_KDF_PARAM_SALT, &ret->salt},
        {OSSL_KDF_PARAM_PREFIX, &ret->prefix}, {OSSL_KDF_PARAM_LABEL, &ret->label},
        {OSSL_KDF_PARAM_DATA, &ret->data},
    };
    for (size_t i = 0; i < SB_COUNT(rows); i++)
        if (strcmp(param->key, rows[i].name) == 0)
            return read_bytes(param, rows[i].bytes);
    if (strcmp(param->key, OSSL_KDF_PARAM_MODE) == 0)
        return OSSL_PARAM_get_int(param, &ret->mode) == 1;
    if (strcmp(param->key, OSSL_KDF_PARAM_DIGEST) == 0)
        return read_hash(param, ret);
    return true; /* of others, as the properties of the hash, nothing follows */
}

/* HKDF-Expand-Label */
static bool expand(const struct request *r, uint8_t *ret, size_t size)
{
    const struct sc_hkdf_label label = {r->prefix, r->label, r->data};
    struct sc_hkdf hkdf;
    if (r->key.size != r->hash_size || !sc_hkdf_label_fits(&label, r->hash_size, size))
        return false;
    sc_hkdf_open(&hkdf, r->hash_size, r->key.data);
    sc_hkdf_expand_label(&hkdf, &label, ret, size);
    sc_hkdf_close(&hkdf);
    return true;
}

/* The next secret of the schedule: HKDF-Extract(Derive-Secret(salt, label, ""), key).  A key or a
 * salt that is not given is as many zeros as the hash has bytes; those are extracted from as they
 * are. */
static bool extract(const struct request *r, uint8_t *ret, size_t size)
{
    static const uint8_t zeros[SP_SECRET_SIZE_MAX];
    const struct sb_bytes none = {.data = zeros, .size = r->hash_size};
    const struct sb_bytes key = r->key.data != NULL ? r->key : none;
    uint8_t salt[SP_SECRET_SIZE_MAX];
    uint8_t hash[SP_SECRET_SIZE_MAX];
    if (size != r->hash_size)
        return false;
    if (r->salt.data == NULL) {
        sc_hkdf_extract(size, none, key, ret);
        return true;
    }
    sc_hkdf_hash_of_nothing(size, hash);
    struct request derive = *r;
    derive.key = r->salt;
    derive.data = (struct sb_bytes){.data = hash, .size = size};
    bool done = expand(&derive, salt, size);
    if (done)
        sc_hkdf_extract(size, (struct sb_bytes){.data = salt, .size = size}, key, ret);
    OPENSSL_cleanse(salt, sizeof(salt));
    return done;
}

static int derive(void *context, unsigned char *ret, size_t size, const OSSL_PARAM params[])
{
    struct request r = {.mode = -1};
    (void)context;
    for (; params != NULL && params->key != NULL; params++)
        if (!read_one(params, &r))
            return 0;
    if (r.hash_size == 0)
        return 0;
    switch (r.mode) {
    case EVP_KDF_HKDF_MODE_EXPAND_ONLY:
        return expand(&r, ret, size);
    case EVP_KDF_HKDF_MODE_EXTRACT_ONLY:
        return extract(&r, ret, size);
    default:
        return 0;
    }
}

/* ---- contexts, which are empty ---- */

static void *context_new(void *provider)
{
    return provider; /* not NULL */
}

static void context_free(void *context)
{
    (void)context;
}

const OSSL_DISPATCH sc_tls13_kdf_functions[] = {
    {OSSL_FUNC_KDF_NEWCTX, (void (*)(void))context_new},
    {OSSL_FUNC_KDF_DUPCTX, (void (*)(void))context_new},
    {OSSL_FUNC_KDF_FREECTX, (void (*)(void))context_free},
    {OSSL_FUNC_KDF_RESET, (void (*)(void))context_free},
    {OSSL_FUNC_KDF_DERIVE, (void (*)(void))derive},
    OSSL_DISPATCH_END,
};
