/* SPDX-License-Identifier: MIT */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "crypto/hkdf.h"

/* HKDF-Extract and HKDF-Expand-Label.
 *
 * Every output in QUIC is at most as long as the hash, so the expansion is its first
 * block: HMAC(secret, HkdfLabel || 0x01).  The two keyed halves of HMAC are hashed once a secret
 * and copied for each label: two blocks of hash a label.
 *
 * This is the one place that uses OpenSSL's hashes directly.  They are deprecated for what they
 * cannot do (other providers), and an EVP_MAC does it for us at twice the price: eight secrets
 * a handshake make that 8 us. */

#include <string.h>

#include <openssl/crypto.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

enum { HASH_SIZE_MAX = SHA384_DIGEST_LENGTH };

static bool is_sha256(size_t hash_size)
{
    SB_ASSERT(hash_size == SHA256_DIGEST_LENGTH || hash_size == SHA384_DIGEST_LENGTH);
    return hash_size == SHA256_DIGEST_LENGTH;
}

static void hash_init(union sc_hash *hash, size_t hash_size)
{
    int done = is_sha256(hash_size) ? SHA256_Init(&hash->sha256) : SHA384_Init(&hash->sha512);
    SB_ASSERT(done == 1); /* the next two as well: they only compute */
}

static void hash_update(union sc_hash *hash, size_t hash_size, const void *data, size_t size)
{
    int done = is_sha256(hash_size) ? SHA256_Update(&hash->sha256, data, size)
                                    : SHA384_Update(&hash->sha512, data, size);
    SB_ASSERT(done == 1);
}

/* Leaves nothing of what was hashed in `hash`. */
static void hash_final(union sc_hash *hash, size_t hash_size, uint8_t *ret)
{
    int done =
        is_sha256(hash_size) ? SHA256_Final(ret, &hash->sha256) : SHA384_Final(ret, &hash->sha512);
    SB_ASSERT(done == 1);
    OPENSSL_cleanse(hash, sizeof(*hash));
}

/* [RFC2104 2] `key` is at most a block. */
static void hmac_open(struct sc_hkdf *hmac, size_t hash_size, struct sb_bytes key)
{
    size_t block_size = is_sha256(hash_size) ? SHA256_CBLOCK : SHA512_CBLOCK;
    uint8_t inner[SHA512_CBLOCK];
    uint8_t outer[SHA512_CBLOCK];
    SB_ASSERT(key.size <= block_size);
    memset(inner, 0x36, block_size);
    memset(outer, 0x5c, block_size);
    for (size_t i = 0; i < key.size; i++) {
        inner[i] ^= key.data[i];
        outer[i] ^= key.data[i];
    }
    hmac->hash_size = hash_size;
    hash_init(&hmac->inner, hash_size);
    hash_update(&hmac->inner, hash_size, inner, block_size);
    hash_init(&hmac->outer, hash_size);
    hash_update(&hmac->outer, hash_size, outer, block_size);
    OPENSSL_cleanse(inner, sizeof(inner));
    OPENSSL_cleanse(outer, sizeof(outer));
}

static void hmac_make(const struct sc_hkdf *hmac, const void *data, size_t size, uint8_t *ret)
{
    uint8_t digest[HASH_SIZE_MAX];
    union sc_hash hash = hmac->inner;
    hash_update(&hash, hmac->hash_size, data, size);
    hash_final(&hash, hmac->hash_size, digest);
    hash = hmac->outer;
    hash_update(&hash, hmac->hash_size, digest, hmac->hash_size);
    hash_final(&hash, hmac->hash_size, ret);
    OPENSSL_cleanse(digest, sizeof(digest));
}

void sc_hkdf_extract(size_t hash_size, struct sb_bytes salt, struct sb_bytes ikm, uint8_t *ret)
{
    struct sc_hkdf hmac;
    hmac_open(&hmac, hash_size, salt);
    hmac_make(&hmac, ikm.data, ikm.size, ret);
    sc_hkdf_close(&hmac);
}

void sc_hkdf_open(struct sc_hkdf *hkdf, size_t hash_size, const uint8_t *secret)
{
    hmac_open(hkdf, hash_size, (struct sb_bytes){.data = secret, .size = hash_size});
}

void sc_hkdf_expand(const struct sc_hkdf *hkdf, const char *label, uint8_t *ret, size_t size)
{
    static const char prefix[] = "tls13 ";
    enum { LABEL_SIZE_MAX = 16 }; /* the longest that QUIC has is "server in" */
    size_t label_size = strlen(label);
    SB_ASSERT(label_size <= LABEL_SIZE_MAX);
    SB_ASSERT(size > 0 && size <= hkdf->hash_size);

    /* struct { uint16 length; opaque label<7..255>; opaque context<0..255>; } HkdfLabel, and
     * the number of the block. */
    uint8_t info[2 + 1 + sizeof(prefix) - 1 + LABEL_SIZE_MAX + 1 + 1];
    struct sb_writer w = sb_writer_of(info, sizeof(info));
    sb_writer_u16(&w, (uint16_t)size);
    sb_writer_u8(&w, (uint8_t)(sizeof(prefix) - 1 + label_size));
    sb_writer_bytes(&w, prefix, sizeof(prefix) - 1);
    sb_writer_bytes(&w, label, label_size);
    sb_writer_u8(&w, 0);
    sb_writer_u8(&w, 1);
    SB_ASSERT(!w.failed);

    uint8_t block[HASH_SIZE_MAX];
    hmac_make(hkdf, info, sb_writer_used(&w), block);
    memcpy(ret, block, size);
    OPENSSL_cleanse(block, sizeof(block));
}

void sc_hkdf_close(struct sc_hkdf *hkdf)
{
    OPENSSL_cleanse(hkdf, sizeof(*hkdf));
}
