/* SPDX-License-Identifier: MIT */
#include "crypto/protect.h"

/* Packet protection: implements the table of operations that proto/ declares, with AEAD, header
 * protection and key derivation.
 *
 * A key keeps its traffic secret, because the next key phase is made from it.  Secrets
 * are wiped when the key is destroyed, which is the one exit.  Copies on the stack are wiped
 * before the function returns. */

#include <string.h>

#include <openssl/crypto.h>

#include "crypto/aead.h"
#include "crypto/keys.h"
#include "crypto/mask.h"
#include "crypto/retry_tag.h"
#include "crypto/suite.h"
#include "proto/base/assert.h"

/* The definition of struct sp_key, which proto/ only declares. */
struct sc_key {
    uint32_t version;
    const struct sc_suite *suite;
    const struct sc_fused *fused; /* NULL: OpenSSL */
    struct sc_aead aead;
    struct sc_mask *mask; /* one reference */
    uint8_t secret[SP_SECRET_SIZE_MAX];
};

static struct sc_key *key_of(struct sp_key *key)
{
    return (struct sc_key *)(void *)key;
}

static const struct sc_key *key_of_const(const struct sp_key *key)
{
    return (const struct sc_key *)(const void *)key;
}

static void key_destroy(struct sp_key *opaque)
{
    struct sc_key *key = key_of(opaque);
    if (key == NULL)
        return;
    sc_aead_deinit(&key->aead);
    sc_mask_unref(key->mask);
    sc_memory_give(sc_fused_memory(key->fused), key, sizeof(*key));
}

/* Makes a key from `secret`.  Uses `mask` for header protection, or makes a new one if it is
 * NULL. */
static struct sp_key *key_create(const struct sc_fused *fused, uint32_t version,
                                 const struct sc_suite *suite, const uint8_t *secret,
                                 struct sc_mask *mask)
{
    struct sc_key *key = sc_memory_take(sc_fused_memory(fused), sizeof(*key));
    if (key == NULL)
        return NULL;
    *key = (struct sc_key){.version = version, .suite = suite, .fused = fused};
    memcpy(key->secret, secret, suite->secret_size);

    struct sc_keys keys;
    sc_keys_derive(version, suite, secret, &keys);
    key->mask = mask != NULL ? sc_mask_ref(mask) : sc_mask_create(suite, keys.hp, fused);
    bool done = sc_aead_init(&key->aead, suite, &keys, fused) && key->mask != NULL;
    sc_keys_wipe(&keys);
    struct sp_key *opaque = (struct sp_key *)(void *)key;
    if (!done) {
        key_destroy(opaque);
        return NULL;
    }
    return opaque;
}

static bool op_initial(void *context, uint32_t version, const struct sp_cid *dcid,
                       enum sp_role role, struct sp_key **ret_read, struct sp_key **ret_write)
{
    uint8_t secrets[2][SC_INITIAL_SECRET_SIZE]; /* by the role that sends */
    const struct sc_suite *suite = sc_suite_find(SP_SUITE_AES_128_GCM);
    if (suite == NULL)
        return false;
    sc_keys_initial_secrets(version, dcid, secrets[SP_CLIENT], secrets[SP_SERVER]);
    const uint8_t *read_secret = secrets[role == SP_CLIENT ? SP_SERVER : SP_CLIENT];
    struct sp_key *read = key_create(context, version, suite, read_secret, NULL);
    struct sp_key *write = key_create(context, version, suite, secrets[role], NULL);
    OPENSSL_cleanse(secrets, sizeof(secrets));
    if (read == NULL || write == NULL) {
        key_destroy(read);
        key_destroy(write);
        return false;
    }
    *ret_read = read;
    *ret_write = write;
    return true;
}

static struct sp_key *op_key(void *context, uint32_t version, enum sp_suite suite_id,
                             const uint8_t *secret, size_t secret_size)
{
    const struct sc_suite *suite = sc_suite_find(suite_id);
    if (suite == NULL)
        return NULL;
    SB_ASSERT(secret_size == suite->secret_size);
    return key_create(context, version, suite, secret, NULL);
}

static struct sp_key *op_next(const struct sp_key *opaque)
{
    const struct sc_key *key = key_of_const(opaque);
    uint8_t secret[SP_SECRET_SIZE_MAX];
    sc_keys_next_secret(key->version, key->suite, key->secret, secret);
    struct sp_key *next = key_create(key->fused, key->version, key->suite, secret, key->mask);
    OPENSSL_cleanse(secret, sizeof(secret));
    return next;
}

static struct sp_key_limits op_limits(const struct sp_key *key)
{
    return key_of_const(key)->suite->limits;
}

static size_t op_seal(struct sp_key *key, const struct sp_seal *packet)
{
    return sc_aead_seal(&key_of(key)->aead, packet);
}

static void op_open(struct sp_key *key, struct sp_open *packets, size_t count)
{
    sc_aead_open(&key_of(key)->aead, packets, count);
}

/* OpenSSL does not promise it. */
static bool op_opens_down(const struct sp_key *key)
{
    return key_of_const(key)->aead.fused != NULL;
}

static void op_peek(struct sp_key *key, const struct sp_open *packet, size_t size, uint8_t *ret)
{
    sc_aead_peek(&key_of(key)->aead, packet, size, ret);
}

static void op_masks(struct sp_key *key, const uint8_t *const *samples, size_t count,
                     uint8_t (*ret_masks)[SP_MASK_SIZE])
{
    sc_mask_make(key_of(key)->mask, samples, count, ret_masks);
}

static bool op_retry_is_authentic(void *context, uint32_t version,
                                  const struct sp_cid *original_dcid, const uint8_t *packet,
                                  size_t size)
{
    (void)context;
    return sc_retry_tag_is_authentic(version, original_dcid, packet, size);
}

static void op_rest(struct sp_key *opaque)
{
    struct sc_key *key = key_of(opaque);
    sc_aead_rest(&key->aead);
    sc_mask_rest(key->mask);
}

static bool op_wake(struct sp_key *opaque)
{
    struct sc_key *key = key_of(opaque);
    return sc_aead_wake(&key->aead) && sc_mask_wake(key->mask);
}

const struct sp_protect_ops sc_protect_ops = {
    .initial = op_initial,
    .key = op_key,
    .next = op_next,
    .destroy = key_destroy,
    .limits = op_limits,
    .seal = op_seal,
    .open = op_open,
    .opens_down = op_opens_down,
    .peek = op_peek,
    .masks = op_masks,
    .rest = op_rest,
    .wake = op_wake,
    .retry_is_authentic = op_retry_is_authentic,
};
