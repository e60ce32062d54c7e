/* SPDX-License-Identifier: MIT */
#include "crypto/ticket_keys.h"

/* Ticket keys: a name, a cipher key (AES-256-CBC) and a MAC key (HMAC-SHA256), all of which follow
 * from 32 bytes.  OpenSSL lays out the ticket: name, IV, ciphertext, MAC over all of it.
 *
 * What can be attacked: anybody can send a ticket with a known name.  It costs one MAC. */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>
#include <openssl/rand.h>

#include "crypto/hkdf.h"

enum { NAME_SIZE = 16, MAC_KEY_SIZE = 32 };

struct ticket_key {
    uint8_t name[NAME_SIZE];
    uint8_t cipher_key[SC_TICKET_KEY_SIZE];
    uint8_t mac_key[MAC_KEY_SIZE];
};

struct sc_ticket_keys {
    CRYPTO_RWLOCK *lock; /* guards what follows but `cipher` */
    struct ticket_key keys[SC_TICKET_KEYS_MAX];
    size_t count;
    bool is_random;
    uint64_t lifetime_s;
    uint64_t made_s; /* the first key, if random; 0: it has not sealed */
    EVP_CIPHER *cipher;
};

static void derive(const uint8_t bytes[SC_TICKET_KEY_SIZE], struct ticket_key *ret)
{
    struct sc_hkdf hkdf;
    sc_hkdf_open(&hkdf, SC_TICKET_KEY_SIZE, bytes);
    sc_hkdf_expand(&hkdf, "ticket name", ret->name, sizeof(ret->name));
    sc_hkdf_expand(&hkdf, "ticket key", ret->cipher_key, sizeof(ret->cipher_key));
    sc_hkdf_expand(&hkdf, "ticket mac", ret->mac_key, sizeof(ret->mac_key));
    sc_hkdf_close(&hkdf);
}

static bool make_random(struct ticket_key *ret)
{
    uint8_t bytes[SC_TICKET_KEY_SIZE];
    bool done = RAND_priv_bytes(bytes, sizeof(bytes)) == 1;
    if (done)
        derive(bytes, ret);
    OPENSSL_cleanse(bytes, sizeof(bytes));
    return done;
}

struct sc_ticket_keys *sc_ticket_keys_create(uint64_t lifetime_s)
{
    struct sc_ticket_keys *keys = OPENSSL_zalloc(sizeof(*keys));
    if (keys == NULL)
        return NULL;
    keys->lock = CRYPTO_THREAD_lock_new();
    keys->cipher = EVP_CIPHER_fetch(NULL, "AES-256-CBC", NULL);
    keys->lifetime_s = lifetime_s;
    keys->is_random = true;
    keys->count = 1;
    if (keys->lock == NULL || keys->cipher == NULL || !make_random(&keys->keys[0])) {
        sc_ticket_keys_destroy(keys);
        return NULL;
    }
    return keys;
}

void sc_ticket_keys_destroy(struct sc_ticket_keys *keys)
{
    if (keys == NULL)
        return;
    CRYPTO_THREAD_lock_free(keys->lock);
    EVP_CIPHER_free(keys->cipher);
    OPENSSL_clear_free(keys, sizeof(*keys));
}

int sc_ticket_keys_set(struct sc_ticket_keys *keys, const uint8_t *bytes, size_t count)
{
    struct ticket_key fresh[SC_TICKET_KEYS_MAX];
    if (count == 0 || count > SC_TICKET_KEYS_MAX)
        return -EINVAL;
    memset(fresh, 0, sizeof(fresh));
    for (size_t i = 0; i < count; i++)
        derive(bytes + i * SC_TICKET_KEY_SIZE, &fresh[i]);
    (void)CRYPTO_THREAD_write_lock(keys->lock);
    memcpy(keys->keys, fresh, sizeof(fresh));
    keys->count = count;
    keys->is_random = false;
    (void)CRYPTO_THREAD_unlock(keys->lock);
    OPENSSL_cleanse(fresh, sizeof(fresh));
    return 0;
}

/* Replaces a random key that has sealed for its time.  The one before it still opens. */
static void rotate(struct sc_ticket_keys *keys, uint64_t now_s)
{
    struct ticket_key fresh;
    if (!keys->is_random)
        return;
    if (keys->made_s == 0)
        keys->made_s = now_s;
    if (now_s < keys->made_s + keys->lifetime_s || !make_random(&fresh))
        return;
    keys->keys[1] = keys->keys[0];
    keys->keys[0] = fresh;
    keys->count = 2;
    keys->made_s = now_s;
    OPENSSL_cleanse(&fresh, sizeof(fresh));
}

static bool set_mac(EVP_MAC_CTX *mac, struct ticket_key *key)
{
    static char digest[] = "SHA256";
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_MAC_PARAM_KEY, key->mac_key, MAC_KEY_SIZE),
        OSSL_PARAM_construct_utf8_string(OSSL_MAC_PARAM_DIGEST, digest, 0),
        OSSL_PARAM_construct_end(),
    };
    return EVP_MAC_CTX_set_params(mac, params) == 1;
}

int sc_ticket_keys_use(struct sc_ticket_keys *keys, uint8_t name[16], uint8_t *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_seal, uint64_t now_s)
{
    struct ticket_key key;
    size_t index = 0;
    (void)CRYPTO_THREAD_write_lock(keys->lock);
    if (is_seal)
        rotate(keys, now_s);
    while (!is_seal && index < keys->count && memcmp(keys->keys[index].name, name, NAME_SIZE) != 0)
        index++;
    bool is_known = index < keys->count;
    if (is_known)
        key = keys->keys[index];
    (void)CRYPTO_THREAD_unlock(keys->lock);
    if (!is_known)
        return 0; /* a full handshake */

    bool done = true;
    if (is_seal) {
        memcpy(name, key.name, NAME_SIZE);
        done = RAND_priv_bytes(iv, EVP_CIPHER_get_iv_length(keys->cipher)) == 1;
    }
    done = done &&
           EVP_CipherInit_ex2(cipher, keys->cipher, key.cipher_key, iv, is_seal, NULL) == 1 &&
           set_mac(mac, &key);
    OPENSSL_cleanse(&key, sizeof(key));
    return done ? 1 : -1;
}
