/* SPDX-License-Identifier: MIT */
#include "crypto/tls_impl.h"

/* What is known of the peer after the handshake, and what can be derived from the secrets: without
 * OpenSSL's SSL, which a server has freed by then. */

#include <errno.h>
#include <string.h>

#include <openssl/core_names.h>
#include <openssl/evp.h>
#include <openssl/kdf.h>
#include <openssl/ssl.h>

#include "crypto/suite.h"
#include "proto/base/assert.h"

enum { SIZE_SIZE = 3 };

/* The certificate at `index` of the peer's chain, the leaf first; or NULL. */
static X509 *peer_cert_at(const SSL *ssl, int index)
{
    /* A server's has no leaf in it. */
    STACK_OF(X509) *chain = SSL_get_peer_cert_chain(ssl);
    if (index == 0)
        return SSL_get0_peer_certificate(ssl);
    int at = SSL_is_server(ssl) ? index - 1 : index;
    return chain != NULL && at < sk_X509_num(chain) ? sk_X509_value(chain, at) : NULL;
}

void sc_tls_peer_chain_size(SSL *ssl, size_t *ret_size, size_t *ret_count)
{
    size_t size = 0, count = 0;
    for (X509 *cert; (cert = peer_cert_at(ssl, (int)count)) != NULL; count++)
        size += SIZE_SIZE + (size_t)i2d_X509(cert, NULL);
    *ret_size = size;
    *ret_count = count;
}

static void write_size(size_t size, uint8_t *at)
{
    SB_ASSERT(size < 1 << 24);
    at[0] = (uint8_t)(size >> 16);
    at[1] = (uint8_t)(size >> 8);
    at[2] = (uint8_t)size;
}

static uint8_t *write_cert(X509 *cert, uint8_t *at)
{
    uint8_t *der = at + SIZE_SIZE;
    write_size((size_t)i2d_X509(cert, &der), at); /* moves `der` */
    return der;
}

void sc_tls_peer_chain_write(SSL *ssl, uint8_t *ret)
{
    X509 *cert;
    for (int i = 0; (cert = peer_cert_at(ssl, i)) != NULL; i++)
        ret = write_cert(cert, ret);
}

struct sb_bytes sc_tls_chain_next(const uint8_t *chain, size_t size, size_t *at)
{
    if (size - *at < SIZE_SIZE)
        return (struct sb_bytes){0};
    const uint8_t *head = chain + *at;
    struct sb_bytes cert = {
        .data = head + SIZE_SIZE,
        .size = (size_t)head[0] << 16 | (size_t)head[1] << 8 | head[2],
    };
    *at += SIZE_SIZE + cert.size;
    SB_ASSERT(*at <= size);
    return cert;
}

/* A session that is resumed has no certificate: its ticket has. */
static void learn_from_ticket(struct sc_tls *tls)
{
    const struct sc_leaf *leaf = tls->ticket_leaf;
    if (leaf == NULL || tls->peer_chain != NULL || !SSL_session_reused(tls->ssl))
        return;
    tls->peer_chain = sc_memory_take(tls->memory, SIZE_SIZE + leaf->size);
    if (tls->peer_chain == NULL)
        return;
    tls->peer_chain_size = SIZE_SIZE + leaf->size;
    write_size(leaf->size, tls->peer_chain);
    memcpy(tls->peer_chain + SIZE_SIZE, leaf->der, leaf->size);
}

void sc_tls_learn_peer(struct sc_tls *tls)
{
    X509 *leaf = SSL_get0_peer_certificate(tls->ssl);
    if (leaf == NULL)
        learn_from_ticket(tls);
    if (leaf == NULL || tls->peer_chain != NULL)
        return;
    size_t size = SIZE_SIZE + (size_t)i2d_X509(leaf, NULL), count;
    if (sc_tls_config_keeps_peer_chain(tls->config))
        sc_tls_peer_chain_size(tls->ssl, &size, &count);
    tls->peer_chain = sc_memory_take(tls->memory, size);
    if (tls->peer_chain == NULL)
        return;
    tls->peer_chain_size = size;
    if (sc_tls_config_keeps_peer_chain(tls->config))
        sc_tls_peer_chain_write(tls->ssl, tls->peer_chain);
    else
        (void)write_cert(leaf, tls->peer_chain);
}

struct sb_bytes sc_tls_peer_chain(const struct sp_tls *opaque, size_t index)
{
    const struct sc_tls *tls = sc_tls_of_const(opaque);
    struct sb_bytes cert;
    size_t at = 0;
    do {
        cert = sc_tls_chain_next(tls->peer_chain, tls->peer_chain_size, &at);
    } while (cert.data != NULL && index-- > 0);
    return cert;
}

struct sb_bytes sc_tls_peer_certificate(const struct sp_tls *opaque)
{
    return sc_tls_peer_chain(opaque, 0);
}

/* ---- the exporter ---- */

/* HKDF-Expand-Label().  [RFC8446 7.1] */
static bool expand(EVP_KDF *kdf, const EVP_MD *md, struct sb_bytes secret, struct sb_bytes label,
                   struct sb_bytes context, uint8_t *ret, size_t size)
{
    int mode = EVP_KDF_HKDF_MODE_EXPAND_ONLY;
    EVP_KDF_CTX *state = EVP_KDF_CTX_new(kdf);
#define BYTES(name, bytes) \
    OSSL_PARAM_construct_octet_string(name, (void *)(uintptr_t)(bytes).data, (bytes).size)
    static const struct sb_bytes prefix = {(const uint8_t *)"tls13 ", 6};
    const OSSL_PARAM params[] = {
        OSSL_PARAM_construct_int(OSSL_KDF_PARAM_MODE, &mode),
        OSSL_PARAM_construct_utf8_string(OSSL_KDF_PARAM_DIGEST,
                                         (char *)(uintptr_t)EVP_MD_get0_name(md), 0),
        BYTES(OSSL_KDF_PARAM_KEY, secret),
        BYTES(OSSL_KDF_PARAM_PREFIX, prefix),
        BYTES(OSSL_KDF_PARAM_LABEL, label),
        BYTES(OSSL_KDF_PARAM_DATA, context),
        OSSL_PARAM_construct_end(),
    };
#undef BYTES
    bool is_done = state != NULL && EVP_KDF_derive(state, ret, size, params) == 1;
    EVP_KDF_CTX_free(state);
    return is_done;
}

int sc_tls_export(const struct sp_tls *opaque, struct sb_bytes label, struct sb_bytes context,
                  uint8_t *ret, size_t size)
{
    enum { LABEL_SIZE_MAX = 255 - 6 };
    const struct sc_tls *tls = sc_tls_of_const(opaque);
    if (label.size == 0 || label.size > LABEL_SIZE_MAX || size == 0 || size > SC_EXPORT_BYTES_MAX)
        return -EINVAL;
    if (!tls->is_complete || !tls->has_exporter)
        return -ENOTCONN;
    size_t hash_size = sc_suite_find(tls->events.suite)->secret_size;
    const EVP_MD *md = hash_size == 48 ? EVP_sha384() : EVP_sha256();
    uint8_t nothing_hash[EVP_MAX_MD_SIZE], context_hash[EVP_MAX_MD_SIZE];
    uint8_t secret[EVP_MAX_MD_SIZE];
    static const struct sb_bytes exporter = {(const uint8_t *)"exporter", 8};
    EVP_KDF *kdf = EVP_KDF_fetch(NULL, OSSL_KDF_NAME_TLS1_3_KDF, NULL);
    bool is_done = kdf != NULL && EVP_Digest("", 0, nothing_hash, NULL, md, NULL) == 1 &&
                   EVP_Digest(context.data, context.size, context_hash, NULL, md, NULL) == 1 &&
                   expand(kdf, md, (struct sb_bytes){tls->events.exporter, hash_size}, label,
                          (struct sb_bytes){nothing_hash, hash_size}, secret, hash_size) &&
                   expand(kdf, md, (struct sb_bytes){secret, hash_size}, exporter,
                          (struct sb_bytes){context_hash, hash_size}, ret, size);
    EVP_KDF_free(kdf);
    OPENSSL_cleanse(secret, sizeof(secret));
    return is_done ? 0 : -ENOMEM;
}
