/* SPDX-License-Identifier: MIT */
#ifndef SC_VERSION_H
#define SC_VERSION_H

#include <stdint.h>

/* What the cryptography of one version of QUIC has of its own.  [RFC9001 5.2, 5.8, RFC9369 3.3] */
struct sc_version {
    uint32_t number;
    uint8_t initial_salt[20];
    /* Labels of HKDF-Expand-Label.  [RFC9001 5.1, 6.1] */
    const char *key_label;
    const char *iv_label;
    const char *hp_label;
    const char *update_label;
    /* Of the Retry integrity tag. */
    uint8_t retry_key[16];
    uint8_t retry_nonce[12];
};

/* Returns the row of `version`, one that sp_version_is_known().  Threads: any. */
const struct sc_version *sc_version_of(uint32_t version);

#endif
