/* SPDX-License-Identifier: MIT */
#ifndef SC_TRANSCRIPT_H
#define SC_TRANSCRIPT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <openssl/types.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"

/* Returns whether a message is a HelloRetryRequest.  [RFC8446 4.1.4] */
bool sc_transcript_is_retry(struct sb_bytes message);

/* The hash of the messages of a TLS 1.3 handshake, which OpenSSL does not give out.
 * [RFC8446 4.4.1]
 *
 *     init() -> add() per message -> signed_data() -> deinit()
 *
 * The hash function is known after the second message only, so both that it can be are kept. */
struct sc_transcript {
    EVP_MD_CTX *contexts[2]; /* SHA-256, SHA-384 */
};

enum { SC_SIGNED_DATA_SIZE_MAX = 64 + 34 + 48 };

/* False without memory; deinit() is due nevertheless. */
SB_MUST_USE bool sc_transcript_init(struct sc_transcript *transcript);
void sc_transcript_deinit(struct sc_transcript *transcript);

/* Adds one whole message.  After a HelloRetryRequest the messages before it count by their hash
 * alone.  False without memory. */
SB_MUST_USE bool sc_transcript_add(struct sc_transcript *transcript, struct sb_bytes message);

/* Writes what a CertificateVerify of the server or the client signs, if the message before it has
 * the bytes of both `parts` [RFC8446 4.4.3].  `hash_size`: 32 or 48.  Returns its size, or 0
 * without memory. */
SB_MUST_USE size_t sc_transcript_signed_data(const struct sc_transcript *transcript,
                                             size_t hash_size, bool is_server,
                                             const struct sb_bytes parts[2],
                                             uint8_t ret[SC_SIGNED_DATA_SIZE_MAX]);

#endif
