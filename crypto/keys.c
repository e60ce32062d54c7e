/* SPDX-License-Identifier: MIT */
#include "crypto/keys.h"

/* Key derivation of QUIC version 1: which label gives which key.
 *
 * The Initial secrets protect nothing: anyone who sees the first packet can derive
 * them.  They are wiped like the others, because one rule is simpler. */

#include <openssl/crypto.h>

#include "crypto/hkdf.h"
#include "proto/base/assert.h"

/* [RFC9001 5.2] */
static const uint8_t initial_salt[20] = {
    0x38, 0x76, 0x2c, 0xf7, 0xf5, 0x59, 0x34, 0xb3, 0x4d, 0x17,
    0x9a, 0xe6, 0xa4, 0xc8, 0x0c, 0xad, 0xcc, 0xbb, 0x7f, 0x0a,
};

void sc_keys_initial_secrets(const struct sp_cid *dcid, uint8_t ret_client[SC_INITIAL_SECRET_SIZE],
                             uint8_t ret_server[SC_INITIAL_SECRET_SIZE])
{
    SB_ASSERT(dcid->size <= SP_CID_SIZE_MAX);
    uint8_t initial_secret[SC_INITIAL_SECRET_SIZE];
    struct sc_hkdf hkdf;
    const struct sb_bytes salt = {.data = initial_salt, .size = sizeof(initial_salt)};
    const struct sb_bytes ikm = {.data = dcid->bytes, .size = dcid->size};
    sc_hkdf_extract(sizeof(initial_secret), salt, ikm, initial_secret);
    sc_hkdf_open(&hkdf, sizeof(initial_secret), initial_secret);
    sc_hkdf_expand(&hkdf, "client in", ret_client, SC_INITIAL_SECRET_SIZE);
    sc_hkdf_expand(&hkdf, "server in", ret_server, SC_INITIAL_SECRET_SIZE);
    sc_hkdf_close(&hkdf);
    OPENSSL_cleanse(initial_secret, sizeof(initial_secret));
}

void sc_keys_derive(const struct sc_suite *suite, const uint8_t *secret, struct sc_keys *ret)
{
    struct sc_hkdf hkdf;
    sc_hkdf_open(&hkdf, suite->secret_size, secret);
    sc_hkdf_expand(&hkdf, "quic key", ret->key, suite->key_size);
    sc_hkdf_expand(&hkdf, "quic iv", ret->iv, sizeof(ret->iv));
    sc_hkdf_expand(&hkdf, "quic hp", ret->hp, suite->key_size);
    sc_hkdf_close(&hkdf);
}

void sc_keys_next_secret(const struct sc_suite *suite, const uint8_t *secret, uint8_t *ret)
{
    struct sc_hkdf hkdf;
    sc_hkdf_open(&hkdf, suite->secret_size, secret);
    sc_hkdf_expand(&hkdf, "quic ku", ret, suite->secret_size);
    sc_hkdf_close(&hkdf);
}

void sc_keys_wipe(struct sc_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}
