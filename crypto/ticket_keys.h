/* SPDX-License-Identifier: MIT */
#ifndef SC_TICKET_KEYS_H
#define SC_TICKET_KEYS_H

#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "proto/base/compiler.h"

/* The keys that session tickets are sealed with.  [RFC5077 4]
 *
 * The first key seals, all of them open.  Keys are given, and shared by processes and machines, or
 * made at random: then a key seals for one lifetime of a ticket and opens for another one. */
struct sc_ticket_keys;

enum {
    SC_TICKET_KEY_SIZE = 32,
    SC_TICKET_KEYS_MAX = 4, /* the present one, the next one, and those before */
};

/* Makes a random key, which is replaced after `lifetime_s`.  Returns NULL without memory. */
struct sc_ticket_keys *sc_ticket_keys_create(uint64_t lifetime_s);
void sc_ticket_keys_destroy(struct sc_ticket_keys *keys); /* wipes; NULL is accepted */

/* Replaces all keys by `count` given ones, SC_TICKET_KEY_SIZE bytes each; they are copied.  They
 * stay until the next call.  Returns 0, or -EINVAL if `count` is 0 or above SC_TICKET_KEYS_MAX.
 * Threads: any. */
SB_MUST_USE int sc_ticket_keys_set(struct sc_ticket_keys *keys, const uint8_t *bytes, size_t count);

/* One call of SSL_CTX_set_tlsext_ticket_key_evp_cb(), at time `now_s`.  Threads: any. */
int sc_ticket_keys_use(struct sc_ticket_keys *keys, uint8_t name[16], uint8_t *iv,
                       EVP_CIPHER_CTX *cipher, EVP_MAC_CTX *mac, int is_seal, uint64_t now_s);

#endif
