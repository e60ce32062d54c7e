/* SPDX-License-Identifier: MIT */
#define OPENSSL_SUPPRESS_DEPRECATED

#include "crypto/hkdf.h"

/* HKDF-Extract and HKDF-Expand-Label.
 *
 * Every output in QUIC is at most as long as the hash, so the expansion is its first
 * block: HMAC(secret, HkdfLabel || 0x01).  The two keyed halves of HMAC are hashed once a secret
 * and copied for each label: two blocks of hash a label.  Of TLS, only exporters need more blocks.
 *
 * This is the one place that uses OpenSSL's hashes directly.  They are deprecated for what they
 * cannot do (other providers), and an EVP_MAC does it for us at twice the price: eight secrets
 * a handshake make that 8 us. */

#include <string.h>

#include <openssl/crypto.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

enum { HASH_SIZE_MAX = SHA384_DIGEST_LENGTH, LABEL_SIZE_MAX = 255, BLOCKS_MAX = 255 };

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

/* HMAC of `a` and then `b`. */
static void hmac_make(const struct sc_hkdf *hmac, struct sb_bytes a, struct sb_bytes b,
                      uint8_t *ret)
{
    uint8_t digest[HASH_SIZE_MAX];
    union sc_hash hash = hmac->inner;
    if (a.size > 0)
        hash_update(&hash, hmac->hash_size, a.data, a.size);
    hash_update(&hash, hmac->hash_size, b.data, b.size);
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
    hmac_make(&hmac, (struct sb_bytes){0}, ikm, ret);
    sc_hkdf_close(&hmac);
}

void sc_hkdf_open(struct sc_hkdf *hkdf, size_t hash_size, const uint8_t *secret)
{
    hmac_open(hkdf, hash_size, (struct sb_bytes){.data = secret, .size = hash_size});
}

bool sc_hkdf_label_fits(const struct sc_hkdf_label *label, size_t hash_size, size_t size)
{
    return label->prefix.size <= LABEL_SIZE_MAX && label->label.size <= LABEL_SIZE_MAX &&
           label->prefix.size + label->label.size <= LABEL_SIZE_MAX &&
           label->context.size <= LABEL_SIZE_MAX && size > 0 && size <= BLOCKS_MAX * hash_size;
}

/* Block i is HMAC(secret, block i-1 || HkdfLabel || i). */
void sc_hkdf_expand_label(const struct sc_hkdf *hkdf, const struct sc_hkdf_label *label,
                          uint8_t *ret, size_t size)
{
    /* struct { uint16 length; opaque label<7..255>; opaque context<0..255>; } HkdfLabel, and
     * the number of the block. */
    uint8_t info[2 + 1 + LABEL_SIZE_MAX + 1 + LABEL_SIZE_MAX + 1];
    uint8_t block[HASH_SIZE_MAX];
    SB_ASSERT(sc_hkdf_label_fits(label, hkdf->hash_size, size));
    struct sb_writer w = sb_writer_of(info, sizeof(info));
    sb_writer_u16(&w, (uint16_t)size);
    sb_writer_u8(&w, (uint8_t)(label->prefix.size + label->label.size));
    sb_writer_bytes(&w, label->prefix.data, label->prefix.size);
    sb_writer_bytes(&w, label->label.data, label->label.size);
    sb_writer_u8(&w, (uint8_t)label->context.size);
    sb_writer_bytes(&w, label->context.data, label->context.size);
    sb_writer_u8(&w, 1);
    SB_ASSERT(!w.failed);

    struct sb_bytes all = {.data = info, .size = sb_writer_used(&w)};
    struct sb_bytes before = {.data = block, .size = 0};
    for (size_t done = 0; done < size;) {
        size_t now = SB_MIN(size - done, hkdf->hash_size);
        hmac_make(hkdf, before, all, block);
        memcpy(ret + done, block, now);
        done += now;
        before.size = hkdf->hash_size;
        info[all.size - 1]++;
    }
    OPENSSL_cleanse(block, sizeof(block));
}

void sc_hkdf_expand(const struct sc_hkdf *hkdf, const char *text, uint8_t *ret, size_t size)
{
    const struct sc_hkdf_label label = {
        .prefix = {.data = (const uint8_t *)"tls13 ", .size = 6},
        .label = {.data = (const uint8_t *)text, .size = strlen(text)},
    };
    SB_ASSERT(size <= hkdf->hash_size);
    sc_hkdf_expand_label(hkdf, &label, ret, size);
}

void sc_hkdf_hash_of_nothing(size_t hash_size, uint8_t *ret)
{
    union sc_hash hash;
    hash_init(&hash, hash_size);
    hash_final(&hash, hash_size, ret);
}

void sc_hkdf_close(struct sc_hkdf *hkdf)
{
    OPENSSL_cleanse(hkdf, sizeof(*hkdf));
}
