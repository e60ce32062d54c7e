/* SPDX-License-Identifier: MIT */
#include "crypto/x25519_keys.h"

/* The keys are those of OpenSSL, with all of its functions; only how one is made is ours.  It is
 * imported from its bytes, public and private, into an object that OpenSSL has made and frees.
 *
 * The exchange is OpenSSL's as well, unless there is a faster one for this CPU: that copies the
 * bytes of both keys, and wipes them. */

#include <stddef.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/params.h>
#include <openssl/provider.h>
#include <openssl/rand.h>

#include "crypto/x25519.h"

#define NAME "X25519"

enum { ENTRIES_MAX = 40 }; /* OpenSSL 3.5 has 21 */

static struct {
    OSSL_DISPATCH entries[ENTRIES_MAX + 1];
    OSSL_LIB_CTX *context; /* of the random numbers */
    OSSL_FUNC_keymgmt_new_fn *create;
    OSSL_FUNC_keymgmt_free_fn *destroy;
    OSSL_FUNC_keymgmt_import_fn *import;
    OSSL_FUNC_keymgmt_get_params_fn *get_params;
    sc_x25519_public_key public;
    sc_x25519_shared shared; /* NULL: OpenSSL's */
} keys;

/* What is asked for: the whole state of a generation. */
struct generation {
    void *provider;
    int selection;
};

/* Fills an object with a new key. */
static bool generate(void *key)
{
    uint8_t secret[SC_X25519_SIZE];
    uint8_t public[SC_X25519_SIZE];
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PUB_KEY, public, sizeof(public)),
        OSSL_PARAM_construct_octet_string(OSSL_PKEY_PARAM_PRIV_KEY, secret, sizeof(secret)),
        OSSL_PARAM_construct_end(),
    };
    bool done = RAND_priv_bytes_ex(keys.context, secret, sizeof(secret), 0) == 1;
    if (done) {
        keys.public(secret, public);
        done = keys.import(key, OSSL_KEYMGMT_SELECT_KEYPAIR, params) == 1;
    }
    OPENSSL_cleanse(secret, sizeof(secret));
    return done;
}

static void *gen(void *context, OSSL_CALLBACK *progress, void *argument)
{
    const struct generation *generation = context;
    (void)progress;
    (void)argument;
    void *key = keys.create(generation->provider);
    bool is_blank = (generation->selection & OSSL_KEYMGMT_SELECT_KEYPAIR) == 0; /* no parameters */
    if (key == NULL || is_blank || generate(key))
        return key;
    keys.destroy(key);
    return NULL;
}

static int gen_set_params(void *context, const OSSL_PARAM params[])
{
    (void)context;
    const OSSL_PARAM *group = OSSL_PARAM_locate_const(params, OSSL_PKEY_PARAM_GROUP_NAME);
    return group == NULL || (group->data_type == OSSL_PARAM_UTF8_STRING && group->data != NULL &&
                             OPENSSL_strcasecmp(group->data, NAME) == 0);
}

static void *gen_init(void *provider, int selection, const OSSL_PARAM params[])
{
    struct generation *generation = OPENSSL_malloc(sizeof(*generation));
    if (generation == NULL)
        return NULL;
    *generation = (struct generation){.provider = provider, .selection = selection};
    if (params == NULL || gen_set_params(generation, params) == 1)
        return generation;
    OPENSSL_free(generation);
    return NULL;
}

static const OSSL_PARAM *gen_settable_params(void *context, void *provider)
{
    static const OSSL_PARAM settable[] = {
        OSSL_PARAM_utf8_string(OSSL_PKEY_PARAM_GROUP_NAME, NULL, 0),
        OSSL_PARAM_END,
    };
    (void)context;
    (void)provider;
    return settable;
}

static void gen_cleanup(void *context)
{
    OPENSSL_free(context);
}

static const OSSL_DISPATCH own[] = {
    {OSSL_FUNC_KEYMGMT_GEN_INIT, (void (*)(void))gen_init},
    {OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS, (void (*)(void))gen_set_params},
    {OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS, (void (*)(void))gen_settable_params},
    {OSSL_FUNC_KEYMGMT_GEN, (void (*)(void))gen},
    {OSSL_FUNC_KEYMGMT_GEN_CLEANUP, (void (*)(void))gen_cleanup},
};

/* ---- the exchange ---- */

struct exchange {
    uint8_t secret[SC_X25519_SIZE];
    uint8_t peer[SC_X25519_SIZE];
    bool has_secret;
    bool has_peer;
};

static bool read_key(void *key, const char *name, uint8_t ret[SC_X25519_SIZE])
{
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(name, ret, SC_X25519_SIZE),
        OSSL_PARAM_construct_end(),
    };
    return keys.get_params(key, params) == 1 && params[0].return_size == SC_X25519_SIZE;
}

static void *exchange_new(void *provider)
{
    (void)provider;
    return OPENSSL_zalloc(sizeof(struct exchange));
}

static void exchange_free(void *context)
{
    OPENSSL_clear_free(context, sizeof(struct exchange));
}

static void *exchange_dup(void *context)
{
    return OPENSSL_memdup(context, sizeof(struct exchange));
}

static int exchange_init(void *context, void *key, const OSSL_PARAM params[])
{
    struct exchange *exchange = context;
    (void)params;
    exchange->has_secret = read_key(key, OSSL_PKEY_PARAM_PRIV_KEY, exchange->secret);
    return exchange->has_secret;
}

static int exchange_set_peer(void *context, void *key)
{
    struct exchange *exchange = context;
    exchange->has_peer = read_key(key, OSSL_PKEY_PARAM_PUB_KEY, exchange->peer);
    return exchange->has_peer;
}

static int exchange_derive(void *context, unsigned char *ret, size_t *ret_size, size_t capacity)
{
    const struct exchange *exchange = context;
    *ret_size = SC_X25519_SIZE;
    if (ret == NULL)
        return 1;
    return exchange->has_secret && exchange->has_peer && capacity >= SC_X25519_SIZE &&
           keys.shared(exchange->secret, exchange->peer, ret);
}

static const OSSL_DISPATCH exchange_functions[] = {
    {OSSL_FUNC_KEYEXCH_NEWCTX, (void (*)(void))exchange_new},
    {OSSL_FUNC_KEYEXCH_FREECTX, (void (*)(void))exchange_free},
    {OSSL_FUNC_KEYEXCH_DUPCTX, (void (*)(void))exchange_dup},
    {OSSL_FUNC_KEYEXCH_INIT, (void (*)(void))exchange_init},
    {OSSL_FUNC_KEYEXCH_SET_PEER, (void (*)(void))exchange_set_peer},
    {OSSL_FUNC_KEYEXCH_DERIVE, (void (*)(void))exchange_derive},
    OSSL_DISPATCH_END,
};

/* ---- what comes from OpenSSL ---- */

/* What of another provider works on the state of its own generation. */
static bool is_of_generation(int id)
{
    switch (id) {
    case OSSL_FUNC_KEYMGMT_GEN_INIT:
    case OSSL_FUNC_KEYMGMT_GEN_SET_TEMPLATE:
    case OSSL_FUNC_KEYMGMT_GEN_GET_PARAMS:
    case OSSL_FUNC_KEYMGMT_GEN_GETTABLE_PARAMS:
    case OSSL_FUNC_KEYMGMT_GEN_SET_PARAMS:
    case OSSL_FUNC_KEYMGMT_GEN_SETTABLE_PARAMS:
    case OSSL_FUNC_KEYMGMT_GEN:
    case OSSL_FUNC_KEYMGMT_GEN_CLEANUP:
        return true;
    default:
        return false;
    }
}

/* Returns the functions of the algorithm whose first name is ours; names have colons between them.
 */
static const OSSL_DISPATCH *find(OSSL_PROVIDER *provider, int operation)
{
    int no_cache = 0;
    const OSSL_ALGORITHM *row = OSSL_PROVIDER_query_operation(provider, operation, &no_cache);
    for (; row != NULL && row->algorithm_names != NULL; row++) {
        size_t size = strcspn(row->algorithm_names, ":");
        if (size == strlen(NAME) && OPENSSL_strncasecmp(row->algorithm_names, NAME, size) == 0)
            return row->implementation;
    }
    return NULL;
}

bool sc_x25519_keys_init(OSSL_PROVIDER *provider, OSSL_LIB_CTX *context, struct sc_x25519_keys *ret)
{
    const OSSL_DISPATCH *from = find(provider, OSSL_OP_KEYMGMT);
    const OSSL_DISPATCH *exchange = find(provider, OSSL_OP_KEYEXCH);
    size_t count = 0;
    if (from == NULL || exchange == NULL)
        return false;
    for (; from->function_id != 0; from++) {
        if (is_of_generation(from->function_id))
            continue;
        if (count == ENTRIES_MAX - SB_COUNT(own))
            return false;
        keys.entries[count++] = *from;
        if (from->function_id == OSSL_FUNC_KEYMGMT_NEW)
            keys.create = OSSL_FUNC_keymgmt_new(from);
        else if (from->function_id == OSSL_FUNC_KEYMGMT_FREE)
            keys.destroy = OSSL_FUNC_keymgmt_free(from);
        else if (from->function_id == OSSL_FUNC_KEYMGMT_IMPORT)
            keys.import = OSSL_FUNC_keymgmt_import(from);
        else if (from->function_id == OSSL_FUNC_KEYMGMT_GET_PARAMS)
            keys.get_params = OSSL_FUNC_keymgmt_get_params(from);
    }
    if (keys.create == NULL || keys.destroy == NULL || keys.import == NULL)
        return false;
    memcpy(keys.entries + count, own, sizeof(own)); /* the end is there: zeros */
    keys.context = context;
    sc_x25519_init();
    keys.public = sc_x25519_public_here();
    keys.shared = keys.get_params != NULL ? sc_x25519_shared_here() : NULL;
    if (keys.shared != NULL)
        exchange = exchange_functions;
    *ret = (struct sc_x25519_keys){.keys = keys.entries, .exchange = exchange};
    return true;
}
