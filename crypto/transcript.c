/* SPDX-License-Identifier: MIT */
#include "crypto/transcript.h"

/* The transcript by both hashes at once: a few microseconds per handshake, and no copy of the
 * messages, which may have 64 KB. */

#include <string.h>

#include <openssl/evp.h>

#include "proto/base/assert.h"

enum {
    MESSAGE_SERVER_HELLO = 2, /* [RFC8446 4] */
    MESSAGE_HASH = 254,
    MESSAGE_HEAD_SIZE = 4,
    HASHES = SB_COUNT(((struct sc_transcript *)0)->contexts),
};

static const EVP_MD *hash_at(size_t index)
{
    return index == 0 ? EVP_sha256() : EVP_sha384();
}

bool sc_transcript_init(struct sc_transcript *transcript)
{
    bool is_made = true;
    for (size_t i = 0; i < HASHES; i++) {
        transcript->contexts[i] = EVP_MD_CTX_new();
        is_made = is_made && transcript->contexts[i] != NULL &&
                  EVP_DigestInit_ex(transcript->contexts[i], hash_at(i), NULL) == 1;
    }
    return is_made;
}

void sc_transcript_deinit(struct sc_transcript *transcript)
{
    for (size_t i = 0; i < HASHES; i++)
        EVP_MD_CTX_free(transcript->contexts[i]);
}

static bool replace_by_hash(EVP_MD_CTX *context, const EVP_MD *md)
{
    uint8_t hash[EVP_MAX_MD_SIZE];
    unsigned size;
    if (EVP_DigestFinal_ex(context, hash, &size) != 1 || EVP_DigestInit_ex(context, md, NULL) != 1)
        return false;
    const uint8_t head[MESSAGE_HEAD_SIZE] = {MESSAGE_HASH, 0, 0, (uint8_t)size};
    return EVP_DigestUpdate(context, head, sizeof(head)) == 1 &&
           EVP_DigestUpdate(context, hash, size) == 1;
}

/* A ServerHello with a special random number.  [RFC8446 4.1.3] */
bool sc_transcript_is_retry(struct sb_bytes message)
{
    static const uint8_t random[32] = {
        0xcf, 0x21, 0xad, 0x74, 0xe5, 0x9a, 0x61, 0x11, 0xbe, 0x1d, 0x8c,
        0x02, 0x1e, 0x65, 0xb8, 0x91, 0xc2, 0xa2, 0x11, 0x16, 0x7a, 0xbb,
        0x8c, 0x5e, 0x07, 0x9e, 0x09, 0xe2, 0xc8, 0xa8, 0x33, 0x9c,
    };
    enum { RANDOM_AT = MESSAGE_HEAD_SIZE + 2 };
    return message.size >= RANDOM_AT + sizeof(random) && message.data[0] == MESSAGE_SERVER_HELLO &&
           memcmp(message.data + RANDOM_AT, random, sizeof(random)) == 0;
}

bool sc_transcript_add(struct sc_transcript *transcript, struct sb_bytes message)
{
    bool is_retry = sc_transcript_is_retry(message);
    for (size_t i = 0; i < HASHES; i++) {
        EVP_MD_CTX *context = transcript->contexts[i];
        if ((is_retry && !replace_by_hash(context, hash_at(i))) ||
            EVP_DigestUpdate(context, message.data, message.size) != 1)
            return false;
    }
    return true;
}

static size_t hash_with(const EVP_MD_CTX *sofar, const struct sb_bytes parts[2], uint8_t *ret)
{
    unsigned size = 0;
    EVP_MD_CTX *context = EVP_MD_CTX_new();
    bool is_made = context != NULL && EVP_MD_CTX_copy_ex(context, sofar) == 1;
    for (int i = 0; i < 2; i++)
        is_made = is_made && (parts[i].size == 0 ||
                              EVP_DigestUpdate(context, parts[i].data, parts[i].size) == 1);
    is_made = is_made && EVP_DigestFinal_ex(context, ret, &size) == 1;
    EVP_MD_CTX_free(context);
    return is_made ? size : 0;
}

size_t sc_transcript_signed_data(const struct sc_transcript *transcript, size_t hash_size,
                                 bool is_server, const struct sb_bytes parts[2],
                                 uint8_t ret[SC_SIGNED_DATA_SIZE_MAX])
{
    static const char server[] = "TLS 1.3, server CertificateVerify";
    static const char client[] = "TLS 1.3, client CertificateVerify";
    _Static_assert(sizeof(server) == sizeof(client) && sizeof(server) == 34, "with the zero byte");
    uint8_t hash[EVP_MAX_MD_SIZE];
    SB_ASSERT(hash_size == 32 || hash_size == 48);
    if (hash_with(transcript->contexts[hash_size == 48], parts, hash) != hash_size)
        return 0;
    struct sb_writer w = sb_writer_of(ret, SC_SIGNED_DATA_SIZE_MAX);
    for (int i = 0; i < 64; i++)
        sb_writer_u8(&w, 0x20);
    sb_writer_bytes(&w, is_server ? server : client, sizeof(server));
    sb_writer_bytes(&w, hash, hash_size);
    SB_ASSERT(!w.failed);
    return sb_writer_used(&w);
}
