/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_HASH_H
#define SPATE_FILES_HASH_H

#include <openssl/evp.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/spate/files/wire.h"

/* The digest after the data of an item: it shows that what was read is what is written.  Against
 * others the cipher of the connection protects the bytes, and nothing keeps a digest, so a hash
 * with a key that the sender has drawn for this stream is as good as one without: whatever goes
 * wrong does not know the key.  README.md says why in full. */
enum files_hash_kind {
    FILES_SHA256, /* of FILES_ALPN_SHA256: 32 bytes, no key */
    FILES_GMAC,   /* of FILES_ALPN: 16 bytes, AES-128 [NIST SP 800-38D] */
};

/* What OpenSSL has to search for once, which takes a tenth of a millisecond: with the first item
 * that needs it.  Zeros at first. */
struct files_hashes {
    EVP_MD *sha256;
    EVP_CIPHER *gcm;
};

/* Searches for it before.  Returns false if OpenSSL does not have it. */
bool files_hashes_find(struct files_hashes *hashes, enum files_hash_kind kind);
void files_hashes_deinit(struct files_hashes *hashes);

/* The hash of one stream, of one item after the other.  Zeros are a SHA-256.
 *
 *     set_key (GMAC) -> begin, add ..., end, begin, ... -> deinit
 *
 * Threads: one at a time. */
struct files_hash {
    enum files_hash_kind kind;
    bool has_key;
    EVP_MD_CTX *md; /* of SHA-256, from the first begin() on */
    EVP_CIPHER_CTX *mac;
};

void files_hash_init(struct files_hash *ret, enum files_hash_kind kind);
void files_hash_deinit(struct files_hash *hash);

/* Returns the bytes of a digest, at most FILES_DIGEST_SIZE. */
size_t files_hash_size(const struct files_hash *hash);

/* Sets the key of FILES_GMAC, once.  Returns false if OpenSSL fails. */
bool files_hash_set_key(struct files_hash *hash, struct files_hashes *hashes,
                        const uint8_t key[FILES_KEY_SIZE]);

/* Begins with an item.  `index`: of the item on its stream; none has that of another with the same
 * key.  Returns false if OpenSSL fails, or without a key. */
bool files_hash_begin(struct files_hash *hash, struct files_hashes *hashes, uint32_t index);

bool files_hash_add(struct files_hash *hash, const uint8_t *data, size_t size);

/* Writes files_hash_size() bytes. */
bool files_hash_end(struct files_hash *hash, uint8_t ret[FILES_DIGEST_SIZE]);

#endif
