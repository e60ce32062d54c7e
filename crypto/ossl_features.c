/* SPDX-License-Identifier: MIT */
#include "crypto/ossl_features.h"

/* What OpenSSL has, found by asking for it: ciphers and keys are fetched from its providers, groups
 * are put into a TLS context.  Nothing is kept. */

#include <stddef.h>

#include <openssl/evp.h>
#include <openssl/ssl.h>

#include "crypto/ossl_error.h"
#include "proto/base/compiler.h"

/* ---- What is asked for ---- */

static bool has_cipher(const char *name)
{
    EVP_CIPHER *cipher = EVP_CIPHER_fetch(NULL, name, NULL);
    EVP_CIPHER_free(cipher);
    return cipher != NULL;
}

/* A group of the key exchange as TLS calls it. */
static bool has_group(const char *name)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    bool has = context != NULL && SSL_CTX_set1_groups_list(context, name) == 1;
    SSL_CTX_free(context);
    return has;
}

static bool has_key(const char *name)
{
    EVP_KEYMGMT *keys = EVP_KEYMGMT_fetch(NULL, name, NULL);
    EVP_KEYMGMT_free(keys);
    return keys != NULL;
}

static bool has_tls_1_3(const char *name)
{
    (void)name;
    SSL_CTX *context = SSL_CTX_new(TLS_client_method());
    SSL *ssl = context != NULL ? SSL_new(context) : NULL;
    bool has = ssl != NULL && SSL_set_min_proto_version(ssl, TLS1_3_VERSION) == 1;
    SSL_free(ssl);
    SSL_CTX_free(context);
    return has;
}

static const struct {
    const char *name;
    bool (*has)(const char *what);
    const char *what;
} rows[] = {
    {"TLS 1.3", has_tls_1_3, ""},
    {"AES-128-GCM", has_cipher, "AES-128-GCM"},
    {"AES-256-GCM", has_cipher, "AES-256-GCM"},
    {"ChaCha20-Poly1305", has_cipher, "ChaCha20-Poly1305"},
    {"key exchange X25519", has_group, "X25519"},
    {"key exchange P-256", has_group, "P-256"},
    {"key exchange X25519MLKEM768", has_group, "X25519MLKEM768"},
    {"certificates Ed25519", has_key, "ED25519"},
    {"certificates ML-DSA-65", has_key, "ML-DSA-65"},
};

_Static_assert(SB_COUNT(rows) == SC_FEATURES_COUNT, "a row for each");

void sc_features_probe(struct sc_feature *ret)
{
    for (size_t i = 0; i < SC_FEATURES_COUNT; i++) {
        bool have = rows[i].has(rows[i].what);
        ret[i] = (struct sc_feature){
            .name = rows[i].name,
            .have = have,
            .reason = have ? "" : "this OpenSSL, or its configuration, leaves it out",
        };
    }
    (void)sc_ossl_reason(); /* nothing stays in the queue of errors */
}
