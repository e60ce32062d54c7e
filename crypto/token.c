/* SPDX-License-Identifier: MIT */
#include "crypto/token.h"

/* Tokens of address validation.
 *
 *      0      1         5       6          18                                           72     88
 *     +------+---------+-------+----------+--------------------------------------------+------+
 *     | kind | key id  | epoch |  nonce   | time, version, original DCID, Retry's SCID | tag  |
 *     +------+---------+-------+----------+--------------------------------------------+------+
 *      in clear, authenticated             encrypted
 *
 * The cipher is AES-256-GCM, and the client's address is associated data too.  An epoch is an hour.
 * Its key is HKDF-Extract(epoch, token key), so a key seals far fewer tokens than the 2^32 that
 * random nonces allow.  Tokens of the epochs of the last day, and of the next one, are opened as
 * well.
 *
 * The kind says how the client got the token.  [RFC9000 8.1.1]
 *
 * The key id follows from the token key.  It tells a token that is broken from one of other
 * software or with another key, which counts as absent.  [RFC9000 8.1.3]  Anybody may copy kind and
 * id: a forged token costs one key derivation at most, and is refused. */

#include <string.h>

#include <openssl/core_names.h>
#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/params.h>

#include "crypto/hkdf.h"
#include "crypto/suite.h"
#include "proto/base/assert.h"

#define EPOCH_NS (3600 * SB_S)

enum {
    KEY_ID_SIZE = 4,
    EPOCH_AT = 1 + KEY_ID_SIZE,
    NONCE_AT = EPOCH_AT + 1,
    BODY_AT = NONCE_AT + SC_TOKEN_NONCE_SIZE,
    BODY_SIZE = 8 + 4 + 2 * (1 + SP_CID_SIZE_MAX),
    TAG_AT = BODY_AT + BODY_SIZE,
    ADDRESS_SIZE = 1 + 16 + 2,
    EPOCHS_BEFORE = 25, /* as many as a token of NEW_TOKEN lives through */
    EPOCH_KEYS = 32,    /* those, the present epoch's and the next one's, by the last bits */
};
_Static_assert(EPOCH_KEYS >= EPOCHS_BEFORE + 2, "no two of them share a place");
_Static_assert(TAG_AT + SP_TAG_SIZE == SC_TOKEN_SIZE, "the drawing above");

struct epoch_key {
    uint64_t epoch;
    EVP_CIPHER_CTX *cipher; /* NULL: not made yet */
};

struct sc_tokens {
    uint8_t key[SC_TOKEN_KEY_SIZE];
    uint8_t id[KEY_ID_SIZE];
    struct epoch_key epochs[EPOCH_KEYS];
};

struct sc_tokens *sc_tokens_create(const uint8_t key[SC_TOKEN_KEY_SIZE])
{
    struct sc_tokens *tokens = OPENSSL_zalloc(sizeof(*tokens));
    if (tokens == NULL)
        return NULL;
    struct sc_hkdf hkdf;
    memcpy(tokens->key, key, sizeof(tokens->key));
    sc_hkdf_open(&hkdf, sizeof(tokens->key), tokens->key);
    sc_hkdf_expand(&hkdf, "token id", tokens->id, sizeof(tokens->id));
    sc_hkdf_close(&hkdf);
    return tokens;
}

void sc_tokens_destroy(struct sc_tokens *tokens)
{
    if (tokens == NULL)
        return;
    for (int i = 0; i < EPOCH_KEYS; i++)
        EVP_CIPHER_CTX_free(tokens->epochs[i].cipher);
    OPENSSL_clear_free(tokens, sizeof(*tokens));
}

static bool set_key(EVP_CIPHER_CTX *cipher, const uint8_t master[SC_TOKEN_KEY_SIZE], uint64_t epoch)
{
    const struct sc_suite *suite = sc_suite_find(SP_SUITE_AES_256_GCM);
    uint8_t salt[sizeof(epoch)];
    uint8_t secret[SC_TOKEN_KEY_SIZE];
    uint8_t key[SC_TOKEN_KEY_SIZE];
    struct sc_hkdf hkdf;
    sb_store_u64(salt, epoch);
    sc_hkdf_extract(sizeof(secret), (struct sb_bytes){.data = salt, .size = sizeof(salt)},
                    (struct sb_bytes){.data = master, .size = SC_TOKEN_KEY_SIZE}, secret);
    sc_hkdf_open(&hkdf, sizeof(secret), secret);
    sc_hkdf_expand(&hkdf, "token key", key, sizeof(key));
    sc_hkdf_close(&hkdf);
    bool done = suite != NULL && EVP_EncryptInit_ex2(cipher, suite->aead, key, NULL, NULL) == 1;
    OPENSSL_cleanse(secret, sizeof(secret));
    OPENSSL_cleanse(key, sizeof(key));
    return done;
}

/* Returns the cipher with the key of `epoch`, or NULL without memory. */
static EVP_CIPHER_CTX *cipher_of(struct sc_tokens *tokens, uint64_t epoch)
{
    struct epoch_key *slot = &tokens->epochs[epoch % EPOCH_KEYS];
    if (slot->cipher != NULL && slot->epoch == epoch)
        return slot->cipher;
    if (slot->cipher == NULL)
        slot->cipher = EVP_CIPHER_CTX_new();
    if (slot->cipher == NULL || !set_key(slot->cipher, tokens->key, epoch)) {
        EVP_CIPHER_CTX_free(slot->cipher);
        slot->cipher = NULL;
        return NULL;
    }
    slot->epoch = epoch;
    return slot->cipher;
}

/* [RFC9000 8.1.4] A Retry token is bound to the port too: only the client of that attempt uses it.
 * An IPv4 address that came by an IPv6 socket is bound as itself. */
static void write_address(const struct sp_addr *address, bool with_port, uint8_t ret[ADDRESS_SIZE])
{
    static const uint8_t mapped[12] = {[10] = 0xff, 0xff};
    bool is_mapped = memcmp(address->ip, mapped, sizeof(mapped)) == 0;
    bool is_v4 = address->family == 4 || is_mapped;
    memset(ret, 0, ADDRESS_SIZE);
    ret[0] = is_v4 ? 4 : 6;
    memcpy(ret + 1, address->ip + (is_mapped ? sizeof(mapped) : 0), is_v4 ? 4 : 16);
    sb_store_u16(ret + 17, with_port ? address->port : 0);
}

/* Encrypts or decrypts the body of a token.  The head of the token is in place. */
static bool run_cipher(EVP_CIPHER_CTX *cipher, bool is_seal, const struct sp_addr *address,
                       const uint8_t *head, const uint8_t *in, uint8_t *out, uint8_t *tag)
{
    uint8_t bound[ADDRESS_SIZE];
    uint8_t end[EVP_MAX_BLOCK_LENGTH];
    int size = 0;
    OSSL_PARAM params[] = {
        OSSL_PARAM_construct_octet_string(OSSL_CIPHER_PARAM_AEAD_TAG, tag, SP_TAG_SIZE),
        OSSL_PARAM_construct_end(),
    };
    write_address(address, head[0] == SC_TOKEN_RETRY, bound);
    bool done = EVP_CipherInit_ex2(cipher, NULL, NULL, head + NONCE_AT, is_seal, NULL) == 1 &&
                EVP_CipherUpdate(cipher, NULL, &size, head, NONCE_AT) == 1 &&
                EVP_CipherUpdate(cipher, NULL, &size, bound, sizeof(bound)) == 1 &&
                EVP_CipherUpdate(cipher, out, &size, in, BODY_SIZE) == 1;
    if (is_seal)
        return done && EVP_CipherFinal_ex(cipher, end, &size) == 1 &&
               EVP_CIPHER_CTX_get_params(cipher, params) == 1;
    return done && EVP_CIPHER_CTX_set_params(cipher, params) == 1 &&
           EVP_CipherFinal_ex(cipher, end, &size) == 1;
}

static void write_cid(struct sb_writer *w, const struct sp_cid *cid)
{
    static const uint8_t zeros[SP_CID_SIZE_MAX];
    SB_ASSERT(cid->size <= SP_CID_SIZE_MAX);
    sb_writer_u8(w, cid->size);
    sb_writer_bytes(w, cid->bytes, cid->size);
    sb_writer_bytes(w, zeros, (size_t)SP_CID_SIZE_MAX - cid->size);
}

bool sc_token_seal(struct sc_tokens *tokens, const struct sc_token *token,
                   const struct sp_addr *address, const uint8_t nonce[SC_TOKEN_NONCE_SIZE],
                   uint8_t ret[SC_TOKEN_SIZE])
{
    uint64_t epoch = token->issued_ns / EPOCH_NS;
    EVP_CIPHER_CTX *cipher = cipher_of(tokens, epoch);
    if (cipher == NULL)
        return false;
    uint8_t body[BODY_SIZE];
    uint8_t time[8];
    struct sb_writer w = sb_writer_of(body, sizeof(body));
    sb_store_u64(time, token->issued_ns);
    sb_writer_bytes(&w, time, sizeof(time));
    sb_writer_u32(&w, token->version);
    write_cid(&w, &token->original_dcid);
    write_cid(&w, &token->retry_scid);
    SB_ASSERT(!w.failed && sb_writer_used(&w) == BODY_SIZE);

    ret[0] = (uint8_t)token->kind;
    memcpy(ret + 1, tokens->id, sizeof(tokens->id));
    ret[EPOCH_AT] = (uint8_t)epoch;
    memcpy(ret + NONCE_AT, nonce, SC_TOKEN_NONCE_SIZE);
    return run_cipher(cipher, true, address, ret, body, ret + BODY_AT, ret + TAG_AT);
}

static struct sp_cid read_cid(struct sb_reader *r)
{
    uint8_t size = sb_reader_u8(r);
    const uint8_t *bytes = sb_reader_take(r, SP_CID_SIZE_MAX);
    SB_ASSERT(size <= SP_CID_SIZE_MAX); /* the token is authentic: we wrote it */
    return sp_cid_of(bytes, size);
}

/* Returns the epoch whose last byte is `low`, among those whose tokens can be valid; UINT64_MAX if
 * there is none. */
static uint64_t epoch_from(uint64_t wall_ns, uint8_t low)
{
    uint64_t now = wall_ns / EPOCH_NS;
    for (uint64_t epoch = now - SB_MIN(now, EPOCHS_BEFORE); epoch <= now + 1; epoch++)
        if ((uint8_t)epoch == low)
            return epoch;
    return UINT64_MAX;
}

enum sc_token_result sc_token_open(struct sc_tokens *tokens, struct sb_bytes bytes,
                                   const struct sp_addr *address, uint64_t wall_ns,
                                   struct sc_token *ret)
{
    if (bytes.size != SC_TOKEN_SIZE ||
        (bytes.data[0] != SC_TOKEN_RETRY && bytes.data[0] != SC_TOKEN_NEW) ||
        memcmp(bytes.data + 1, tokens->id, sizeof(tokens->id)) != 0)
        return SC_TOKEN_FOREIGN;
    uint64_t epoch = epoch_from(wall_ns, bytes.data[EPOCH_AT]);
    EVP_CIPHER_CTX *cipher = epoch == UINT64_MAX ? NULL : cipher_of(tokens, epoch);
    uint8_t body[BODY_SIZE];
    uint8_t tag[SP_TAG_SIZE];
    memcpy(tag, bytes.data + TAG_AT, sizeof(tag));
    if (cipher == NULL ||
        !run_cipher(cipher, false, address, bytes.data, bytes.data + BODY_AT, body, tag))
        return SC_TOKEN_INVALID;

    struct sc_token token = {.kind = (enum sc_token_kind)bytes.data[0]};
    struct sb_reader r = sb_reader_of(body, sizeof(body));
    token.issued_ns = sb_load_u64(sb_reader_take(&r, sizeof(token.issued_ns)));
    token.version = sb_reader_u32(&r);
    token.original_dcid = read_cid(&r);
    token.retry_scid = read_cid(&r);
    uint64_t age_ns_max = token.kind == SC_TOKEN_RETRY ? SC_TOKEN_RETRY_NS : SC_TOKEN_NEW_NS;
    if (wall_ns > sb_time_add(token.issued_ns, age_ns_max) ||
        token.issued_ns > sb_time_add(wall_ns, SC_TOKEN_RETRY_NS)) /* clocks differ */
        return SC_TOKEN_INVALID;
    *ret = token;
    return SC_TOKEN_VALID;
}
