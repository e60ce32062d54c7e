/* SPDX-License-Identifier: MIT */
#include "crypto/verified.h"

/* A table of two places for each key, which two bytes of the key name.  The key is a SHA-256, so
 * that nobody finds a chain for the key of another; a server that does find chains for the same
 * places only makes its own client verify again.
 *
 * What is saved are the signatures in the chain and the search for issuers.  The proof that the
 * server has the leaf's key is a part of each handshake, and is not saved. */

#include <string.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/x509.h>
#include <openssl/x509_vfy.h>

#include "proto/base/assert.h"

struct entry {
    uint8_t key[SC_VERIFIED_KEY_SIZE];
    int64_t added_s;
    int64_t end_s; /* 0: the place is free */
};

struct sc_verified {
    CRYPTO_RWLOCK *lock; /* guards `entries` */
    uint32_t life_s;
    struct entry entries[SC_VERIFIED_MAX];
};

struct sc_verified *sc_verified_create(uint32_t life_s)
{
    SB_ASSERT(life_s > 0 && life_s <= SC_VERIFIED_LIFE_S_MAX);
    struct sc_verified *verified = OPENSSL_zalloc(sizeof(*verified));
    if (verified == NULL)
        return NULL;
    verified->life_s = life_s;
    verified->lock = CRYPTO_THREAD_lock_new();
    if (verified->lock != NULL)
        return verified;
    OPENSSL_free(verified);
    return NULL;
}

void sc_verified_destroy(struct sc_verified *verified)
{
    if (verified == NULL)
        return;
    CRYPTO_THREAD_lock_free(verified->lock);
    OPENSSL_free(verified);
}

/* Sets both places of `key`. */
static void find_places(struct sc_verified *verified, const uint8_t *key, struct entry *ret[2])
{
    _Static_assert(SC_VERIFIED_MAX == 2 * 256, "a place in each half for a byte of the key");
    ret[0] = &verified->entries[key[0]];
    ret[1] = &verified->entries[256 + key[1]];
}

bool sc_verified_knows(struct sc_verified *verified, const uint8_t *key, int64_t now_s)
{
    struct entry *places[2];
    bool is_known = false;
    find_places(verified, key, places);
    (void)CRYPTO_THREAD_read_lock(verified->lock);
    for (size_t i = 0; i < SB_COUNT(places); i++)
        is_known |= memcmp(places[i]->key, key, SC_VERIFIED_KEY_SIZE) == 0 &&
                    now_s >= places[i]->added_s && now_s < places[i]->end_s;
    (void)CRYPTO_THREAD_unlock(verified->lock);
    return is_known;
}

void sc_verified_add(struct sc_verified *verified, const uint8_t *key, int64_t now_s,
                     int64_t not_after_s)
{
    struct entry *places[2];
    struct entry entry = {
        .added_s = now_s,
        .end_s = SB_MIN(now_s + (int64_t)verified->life_s, not_after_s),
    };
    memcpy(entry.key, key, sizeof(entry.key));
    find_places(verified, key, places);
    (void)CRYPTO_THREAD_write_lock(verified->lock);
    bool is_second = places[1]->end_s < places[0]->end_s;
    for (size_t i = 0; i < SB_COUNT(places); i++) /* it may be there, and have ended */
        if (memcmp(places[i]->key, key, SC_VERIFIED_KEY_SIZE) == 0)
            is_second = i == 1;
    *places[is_second] = entry;
    (void)CRYPTO_THREAD_unlock(verified->lock);
}

/* ---- chains ---- */

/* The name and each certificate go in with their size, so that nothing can be moved from one to
 * the next. */
static bool add_sized(EVP_MD_CTX *hash, const void *data, size_t size)
{
    uint64_t size64 = size;
    return EVP_DigestUpdate(hash, &size64, sizeof(size64)) == 1 &&
           EVP_DigestUpdate(hash, data, size) == 1;
}

static bool add_cert(EVP_MD_CTX *hash, X509 *cert)
{
    uint8_t *der = NULL;
    int size = i2d_X509(cert, &der);
    bool done = size > 0 && add_sized(hash, der, (size_t)size);
    OPENSSL_free(der);
    return done;
}

static bool make_key(X509_STORE_CTX *store, const char *name, uint8_t *ret)
{
    EVP_MD_CTX *hash = EVP_MD_CTX_new();
    X509 *leaf = X509_STORE_CTX_get0_cert(store);
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_untrusted(store);
    bool done = hash != NULL && leaf != NULL && EVP_DigestInit_ex2(hash, EVP_sha256(), NULL) == 1 &&
                add_sized(hash, name, strlen(name)) && add_cert(hash, leaf);
    for (int i = 0; done && i < sk_X509_num(chain); i++)
        done = add_cert(hash, sk_X509_value(chain, i));
    done = done && EVP_DigestFinal_ex(hash, ret, NULL) == 1;
    EVP_MD_CTX_free(hash);
    return done;
}

/* When the first certificate of the chain that was found ends; false if that cannot be read. */
static bool find_end(X509_STORE_CTX *store, int64_t now_s, int64_t *ret)
{
    const STACK_OF(X509) *chain = X509_STORE_CTX_get0_chain(store);
    int64_t end_s = INT64_MAX;
    for (int i = 0; i < sk_X509_num(chain); i++) {
        int days, seconds;
        if (ASN1_TIME_diff(&days, &seconds, NULL, X509_get0_notAfter(sk_X509_value(chain, i))) != 1)
            return false;
        end_s = SB_MIN(end_s, now_s + (int64_t)days * 86400 + seconds);
    }
    *ret = end_s;
    return end_s != INT64_MAX;
}

int sc_verified_check(struct sc_verified *verified, X509_STORE_CTX *store, const char *name,
                      int64_t now_s)
{
    uint8_t key[SC_VERIFIED_KEY_SIZE];
    int64_t end_s;
    if (verified == NULL || name == NULL || !make_key(store, name, key))
        return X509_verify_cert(store);
    if (sc_verified_knows(verified, key, now_s)) {
        X509_STORE_CTX_set_error(store, X509_V_OK);
        return 1;
    }
    int result = X509_verify_cert(store);
    if (result == 1 && X509_STORE_CTX_get_error(store) == X509_V_OK &&
        find_end(store, now_s, &end_s))
        sc_verified_add(verified, key, now_s, end_s);
    return result;
}
