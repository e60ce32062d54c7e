/* SPDX-License-Identifier: MIT */
#ifndef SC_SUITE_H
#define SC_SUITE_H

#include <stdbool.h>
#include <stdint.h>

#include <openssl/types.h>

#include "proto/packet/protect.h"

/* The cipher suites of TLS 1.3 that QUIC packets are protected with, as a table.
 * [RFC9001 5.3]  The limits are in it, so that no suite can be added without. */
struct sc_suite {
    enum sp_suite id;
    const char *name;      /* for people and command lines */
    const char *tls_name;  /* for OpenSSL's cipher lists */
    const char *aead_name; /* for OpenSSL's providers, as the next two */
    const char *mask_name;
    bool is_aes;
    uint8_t key_size;    /* of the packet key and of the header key. [RFC9001 5.4.3] */
    uint8_t secret_size; /* of traffic secrets: what the hash gives */
    struct sp_key_limits limits;
    EVP_CIPHER *aead; /* fetched once a process, then constant */
    EVP_CIPHER *mask;
};

enum { SC_SUITE_COUNT = 3 };

/* The suite `id`, or NULL if it is none of ours or this OpenSSL lacks its ciphers.
 * The first call of a process fetches the ciphers.  Threads: any. */
const struct sc_suite *sc_suite_find(enum sp_suite id);

/* The suite of number `index` < SC_SUITE_COUNT, the preferred first; NULL as above. */
const struct sc_suite *sc_suite_at(unsigned index);

/* HMAC, fetched with the ciphers; NULL if this OpenSSL lacks it.  Threads: any. */
EVP_MAC *sc_suite_hmac(void);

#endif
