/* SPDX-License-Identifier: MIT */
#ifndef SC_QUIC_LB_H
#define SC_QUIC_LB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* The cipher of connection IDs that load balancers can read: server ID and nonce, after the first
 * octet.  [quic-lb 5.4.1, 5.4.2]  Usage order:
 *
 *     create() -> encrypt(), decrypt(), decrypt_server_id() -> destroy()
 *
 * Nothing is allocated per connection ID. */
struct sc_lb;

enum {
    SC_LB_KEY_SIZE = 16,
    SC_LB_SIZE_MIN = 4, /* the draft's least is 5; a nonce alone has 4 */
    SC_LB_SIZE_MAX = 19,
};

/* Makes the cipher for texts of `server_id_size` + `nonce_size` bytes, SC_LB_SIZE_MIN to
 * SC_LB_SIZE_MAX together.  `key` is copied.  Returns NULL without memory.  One owner, one thread.
 */
struct sc_lb *sc_lb_create(const uint8_t key[SC_LB_KEY_SIZE], uint8_t server_id_size,
                           uint8_t nonce_size);

/* Encrypts a text in place. */
void sc_lb_encrypt(struct sc_lb *lb, uint8_t *text);

/* Decrypts a text in place. */
void sc_lb_decrypt(struct sc_lb *lb, uint8_t *text);

/* Writes the server ID of an encrypted text: what a load balancer wants, in three passes where the
 * nonce is at least as long as the server ID. */
void sc_lb_decrypt_server_id(struct sc_lb *lb, const uint8_t *text, uint8_t *ret);

void sc_lb_destroy(struct sc_lb *lb); /* wipes; NULL is accepted */

#endif
