/* SPDX-License-Identifier: MIT */
#include "crypto/keys.h"

/* Key derivation: which label gives which key.
 *
 * The Initial secrets protect nothing: anyone who sees the first packet can derive
 * them.  They are wiped like the others, because one rule is simpler. */

#include <openssl/crypto.h>

#include "crypto/hkdf.h"
#include "crypto/version.h"
#include "proto/base/assert.h"

/* [RFC9001 5.2, RFC9369 3.3.1] */
void sc_keys_initial_secrets(uint32_t version, const struct sp_cid *dcid,
                             uint8_t ret_client[SC_INITIAL_SECRET_SIZE],
                             uint8_t ret_server[SC_INITIAL_SECRET_SIZE])
{
    SB_ASSERT(dcid->size <= SP_CID_SIZE_MAX);
    uint8_t initial_secret[SC_INITIAL_SECRET_SIZE];
    struct sc_hkdf hkdf;
    const struct sc_version *row = sc_version_of(version);
    const struct sb_bytes salt = {.data = row->initial_salt, .size = sizeof(row->initial_salt)};
    const struct sb_bytes ikm = {.data = dcid->bytes, .size = dcid->size};
    sc_hkdf_extract(sizeof(initial_secret), salt, ikm, initial_secret);
    sc_hkdf_open(&hkdf, sizeof(initial_secret), initial_secret);
    sc_hkdf_expand(&hkdf, "client in", ret_client, SC_INITIAL_SECRET_SIZE);
    sc_hkdf_expand(&hkdf, "server in", ret_server, SC_INITIAL_SECRET_SIZE);
    sc_hkdf_close(&hkdf);
    OPENSSL_cleanse(initial_secret, sizeof(initial_secret));
}

void sc_keys_derive(uint32_t version, const struct sc_suite *suite, const uint8_t *secret,
                    struct sc_keys *ret)
{
    const struct sc_version *row = sc_version_of(version);
    struct sc_hkdf hkdf;
    sc_hkdf_open(&hkdf, suite->secret_size, secret);
    sc_hkdf_expand(&hkdf, row->key_label, ret->key, suite->key_size);
    sc_hkdf_expand(&hkdf, row->iv_label, ret->iv, sizeof(ret->iv));
    sc_hkdf_expand(&hkdf, row->hp_label, ret->hp, suite->key_size);
    sc_hkdf_close(&hkdf);
}

void sc_keys_next_secret(uint32_t version, const struct sc_suite *suite, const uint8_t *secret,
                         uint8_t *ret)
{
    struct sc_hkdf hkdf;
    sc_hkdf_open(&hkdf, suite->secret_size, secret);
    sc_hkdf_expand(&hkdf, sc_version_of(version)->update_label, ret, suite->secret_size);
    sc_hkdf_close(&hkdf);
}

void sc_keys_wipe(struct sc_keys *keys)
{
    OPENSSL_cleanse(keys, sizeof(*keys));
}
