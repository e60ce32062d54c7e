/* SPDX-License-Identifier: MIT */
#ifndef SC_KEYS_H
#define SC_KEYS_H

#include <stdint.h>

#include "crypto/suite.h"
#include "proto/wire/types.h"

/* From secrets to keys.  [RFC9001 5.1, 5.2, 6.1]  Only the labels and the salt differ by `version`.
 * [RFC9369 3.3] */

enum {
    SC_KEY_SIZE_MAX = 32,
    SC_IV_SIZE = 12, /* of every AEAD in use. [RFC9001 5.1] */
    SC_INITIAL_SECRET_SIZE = 32,
};

/* The keys that one traffic secret gives.  The owner wipes them. */
struct sc_keys {
    uint8_t key[SC_KEY_SIZE_MAX]; /* suite->key_size of it, as of `hp` */
    uint8_t hp[SC_KEY_SIZE_MAX];
    uint8_t iv[SC_IV_SIZE];
};

/* The Initial secrets of both sides, for the client's first destination CID.  [RFC9001 5.2]
 * They belong to AES-128-GCM. */
void sc_keys_initial_secrets(uint32_t version, const struct sp_cid *dcid,
                             uint8_t ret_client[SC_INITIAL_SECRET_SIZE],
                             uint8_t ret_server[SC_INITIAL_SECRET_SIZE]);

/* `secret` has suite->secret_size bytes. */
void sc_keys_derive(uint32_t version, const struct sc_suite *suite, const uint8_t *secret,
                    struct sc_keys *ret);

/* The secret of the next key phase, from `secret`, which it may replace.  [RFC9001 6.1] */
void sc_keys_next_secret(uint32_t version, const struct sc_suite *suite, const uint8_t *secret,
                         uint8_t *ret);

void sc_keys_wipe(struct sc_keys *keys);

#endif
