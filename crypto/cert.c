/* SPDX-License-Identifier: MIT */
#include "crypto/cert.h"

/* Certificates of our own.
 *
 * The X509 and EVP_PKEY objects are shared by all handshakes that use them: OpenSSL counts their
 * references atomically and does not change them. */

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "crypto/pem.h"
#include "crypto/remote_key.h"
#include "proto/base/assert.h"

struct sc_cert {
    atomic_uint ref_count; /* the only field that changes */
    bool is_remote;
    X509 *leaf;
    EVP_PKEY *key;
    STACK_OF(X509) * chain; /* without the leaf */
    void *app[SC_CERT_APP_WORDS];
};

static int check_size(STACK_OF(X509) * chain, const char *name, struct sc_error *error)
{
    size_t size = 0;
    for (int i = 0; i < sk_X509_num(chain); i++)
        size += (size_t)i2d_X509(sk_X509_value(chain, i), NULL);
    if (size > SC_CERT_CHAIN_BYTES_MAX)
        return sc_error_set(error, -EINVAL,
                            "certificate %s: the chain has %zu bytes, at most %d are possible",
                            name, size, SC_CERT_CHAIN_BYTES_MAX);
    return 0;
}

/* Tries the certificate and its key on a context of its own: OpenSSL refuses weak keys, and kinds
 * that TLS 1.3 does not have. */
static int check_use(const struct sc_cert *cert, const char *name, struct sc_error *error)
{
    SSL_CTX *context = SSL_CTX_new(TLS_method());
    if (context == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    bool is_fine = sc_cert_use_for_all(cert, context);
    SSL_CTX_free(context);
    if (!is_fine)
        return sc_error_set(error, -EINVAL, "certificate %s: %s", name, sc_ossl_reason());
    return 0;
}

static int read_all(struct sc_cert *cert, const struct sc_cert_options *options,
                    struct sc_error *error)
{
    const struct sc_pem cert_pem = {.file = options->cert_file, .text = options->cert_pem};
    const struct sc_pem key_pem = {
        .file = options->key_file, .text = options->key_pem, .password = options->key_password};
    const char *name = sc_pem_name(&cert_pem);
    int code = sc_pem_read_certs(&cert_pem, "certificate", &cert->chain, error);
    if (code == 0)
        code = check_size(cert->chain, name, error);
    if (code != 0)
        return code;
    cert->leaf = sk_X509_shift(cert->chain);
    if (options->is_remote)
        code = sc_remote_key_create(cert->leaf, name, &cert->key, error);
    else
        code = sc_pem_read_key(&key_pem, &cert->key, error);
    if (code != 0)
        return code;
    if (X509_check_private_key(cert->leaf, cert->key) != 1) {
        ERR_clear_error();
        return sc_error_set(error, -EINVAL, "the private key %s does not match the certificate %s",
                            sc_pem_name(&key_pem), name);
    }
    return check_use(cert, name, error);
}

static int check_options(const struct sc_cert_options *options, struct sc_error *error)
{
    if (options->cert_file != NULL && options->cert_pem != NULL)
        return sc_error_set(error, -EINVAL, "the certificate is given both as a file and as text");
    if (options->key_file != NULL && options->key_pem != NULL)
        return sc_error_set(error, -EINVAL, "the private key is given both as a file and as text");
    bool has_key = options->key_file != NULL || options->key_pem != NULL;
    if (options->cert_file == NULL && options->cert_pem == NULL)
        return sc_error_set(error, -EINVAL,
                            has_key ? "a private key without its certificate"
                                    : "the certificate is not given");
    const char *name = options->cert_file != NULL ? options->cert_file : "given as text";
    if (!has_key && !options->is_remote)
        return sc_error_set(error, -EINVAL, "certificate %s: its private key is not given", name);
    if (has_key && options->is_remote)
        return sc_error_set(error, -EINVAL,
                            "certificate %s: its private key is given, and a function to sign",
                            name);
    return 0;
}

int sc_cert_create(const struct sc_cert_options *options, struct sc_cert **ret,
                   struct sc_error *error)
{
    int code = check_options(options, error);
    if (code != 0)
        return code;
    struct sc_cert *cert = OPENSSL_zalloc(sizeof(*cert));
    if (cert == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    atomic_init(&cert->ref_count, 1);
    cert->is_remote = options->is_remote;
    memcpy(cert->app, options->app, sizeof(cert->app));
    ERR_clear_error();
    code = read_all(cert, options, error);
    ERR_clear_error();
    if (code != 0) {
        sc_cert_unref(cert);
        return code;
    }
    *ret = cert;
    return 0;
}

struct sc_cert *sc_cert_ref(struct sc_cert *cert)
{
    unsigned before = atomic_fetch_add_explicit(&cert->ref_count, 1, memory_order_relaxed);
    SB_ASSERT(before > 0);
    return cert;
}

void sc_cert_unref(struct sc_cert *cert)
{
    if (cert == NULL)
        return;
    /* Acquire and release: the last one sees all that the others did before theirs. */
    unsigned before = atomic_fetch_sub_explicit(&cert->ref_count, 1, memory_order_acq_rel);
    SB_ASSERT(before > 0);
    if (before > 1)
        return;
    sk_X509_pop_free(cert->chain, X509_free);
    X509_free(cert->leaf);
    EVP_PKEY_free(cert->key); /* wipes it */
    OPENSSL_free(cert);
}

bool sc_cert_is_remote(const struct sc_cert *cert)
{
    return cert->is_remote;
}

void *const *sc_cert_app(const struct sc_cert *cert)
{
    return cert->app;
}

bool sc_cert_use_for_all(const struct sc_cert *cert, SSL_CTX *context)
{
    return SSL_CTX_use_certificate(context, cert->leaf) == 1 &&
           SSL_CTX_use_PrivateKey(context, cert->key) == 1 &&
           SSL_CTX_set1_chain(context, cert->chain) == 1;
}

bool sc_cert_use(const struct sc_cert *cert, SSL *ssl)
{
    /* OpenSSL keeps one certificate per kind of key, and takes the one that the peer likes best:
     * that of the context must not be among them. */
    SSL_certs_clear(ssl);
    return SSL_use_certificate(ssl, cert->leaf) == 1 && SSL_use_PrivateKey(ssl, cert->key) == 1 &&
           SSL_set1_chain(ssl, cert->chain) == 1;
}
