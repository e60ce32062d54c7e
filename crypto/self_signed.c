/* SPDX-License-Identifier: MIT */
#include "crypto/self_signed.h"

/* Self-signed certificates.
 *
 * They are for the end of a connection, not for signing others (CA:FALSE): a peer that is to
 * trust one gets exactly that certificate. */

#include <errno.h>
#include <stdbool.h>
#include <string.h>

#include <openssl/bio.h>
#include <openssl/bn.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/evp.h>
#include <openssl/pem.h>
#include <openssl/rsa.h>
#include <openssl/x509v3.h>

#include "proto/base/assert.h"

enum { COMMON_NAME_SIZE_MAX = 64 }; /* ub-common-name. [RFC5280 A.1] */

static bool is_dns_name(const char *name)
{
    static const char allowed[] = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ"
                                  "0123456789-._*";
    size_t size = strlen(name);
    return size > 0 && size <= 253 && strspn(name, allowed) == size;
}

static EVP_PKEY *make_key(enum sc_key_type type)
{
    switch (type) {
    case SC_KEY_P256:
        return EVP_EC_gen("P-256");
    case SC_KEY_ED25519:
        return EVP_PKEY_Q_keygen(NULL, NULL, "ED25519");
    case SC_KEY_RSA2048:
        return EVP_RSA_gen(2048);
    }
    return NULL;
}

/* One entry of subjectAltName: takes `value` over.  False without memory. */
static bool push_name(GENERAL_NAMES *names, int type, ASN1_STRING *value)
{
    GENERAL_NAME *name = value == NULL ? NULL : GENERAL_NAME_new();
    if (name == NULL) {
        ASN1_STRING_free(value);
        return false;
    }
    GENERAL_NAME_set0_value(name, type, value);
    if (sk_GENERAL_NAME_push(names, name) > 0)
        return true;
    GENERAL_NAME_free(name);
    return false;
}

static int add_names(X509 *cert, const char *const *names, size_t count, struct sc_error *error)
{
    GENERAL_NAMES *all = sk_GENERAL_NAME_new_null();
    int code = all == NULL ? -ENOMEM : 0;
    for (size_t i = 0; i < count && code == 0; i++) {
        ASN1_OCTET_STRING *ip = a2i_IPADDRESS(names[i]);
        bool done;
        if (ip != NULL) {
            done = push_name(all, GEN_IPADD, ip);
        } else if (is_dns_name(names[i])) {
            ASN1_IA5STRING *dns = ASN1_IA5STRING_new();
            done = dns != NULL && ASN1_STRING_set(dns, names[i], -1) == 1;
            if (!done)
                ASN1_IA5STRING_free(dns);
            done = done && push_name(all, GEN_DNS, dns);
        } else {
            code = sc_error_set(error, -EINVAL, "'%s' is neither a DNS name nor an IP address",
                                names[i]);
            break;
        }
        code = done ? 0 : -ENOMEM;
    }
    if (code == 0 && X509_add1_ext_i2d(cert, NID_subject_alt_name, all, 0, X509V3_ADD_DEFAULT) != 1)
        code = -ENOMEM;
    sk_GENERAL_NAME_pop_free(all, GENERAL_NAME_free);
    return code;
}

static bool add_extension(X509 *cert, int nid, const char *value)
{
    X509V3_CTX context;
    X509V3_set_ctx_nodb(&context);
    X509V3_set_ctx(&context, cert, cert, NULL, NULL, 0);
    X509_EXTENSION *extension = X509V3_EXT_conf_nid(NULL, &context, nid, value);
    bool done = extension != NULL && X509_add_ext(cert, extension, -1) == 1;
    X509_EXTENSION_free(extension);
    return done;
}

/* [RFC5280 4.1.2.2] Positive, at most 20 bytes, and unpredictable. */
static bool set_serial(X509 *cert)
{
    BIGNUM *serial = BN_new();
    bool done = serial != NULL && BN_rand(serial, 127, BN_RAND_TOP_ONE, BN_RAND_BOTTOM_ANY) == 1 &&
                BN_to_ASN1_INTEGER(serial, X509_get_serialNumber(cert)) != NULL;
    BN_free(serial);
    return done;
}

static bool set_subject(X509 *cert, const char *name)
{
    const char *common = strlen(name) <= COMMON_NAME_SIZE_MAX ? name : "spate";
    X509_NAME *subject = X509_get_subject_name(cert);
    return X509_NAME_add_entry_by_txt(subject, "CN", MBSTRING_ASC, (const unsigned char *)common,
                                      -1, -1, 0) == 1 &&
           X509_set_issuer_name(cert, subject) == 1;
}

/* An hour of grace for clocks that are late. */
static bool set_validity(X509 *cert, const struct sc_self_signed_options *options)
{
    int start = options->start_in_days;
    int end = start + (int)(options->days == 0 ? 30 : options->days);
    return X509_time_adj_ex(X509_getm_notBefore(cert), start, -3600, NULL) != NULL &&
           X509_time_adj_ex(X509_getm_notAfter(cert), end, 0, NULL) != NULL;
}

static int make_cert(X509 *cert, EVP_PKEY *key, const struct sc_self_signed_options *options,
                     struct sc_error *error)
{
    static const char *const local[] = {"localhost", "127.0.0.1", "::1"};
    const char *const *names = options->name_count > 0 ? options->names : local;
    size_t count = options->name_count > 0 ? options->name_count : SB_COUNT(local);

    int code = add_names(cert, names, count, error);
    if (code == -EINVAL)
        return code;
    /* Ed25519 has its hash inside. */
    const EVP_MD *digest = options->key_type == SC_KEY_ED25519 ? NULL : EVP_sha256();
    bool done = code == 0 && X509_set_version(cert, X509_VERSION_3) == 1 && set_serial(cert) &&
                set_subject(cert, names[0]) && set_validity(cert, options) &&
                X509_set_pubkey(cert, key) == 1 &&
                add_extension(cert, NID_basic_constraints, "critical,CA:FALSE") &&
                add_extension(cert, NID_key_usage, "critical,digitalSignature") &&
                add_extension(cert, NID_ext_key_usage, "serverAuth,clientAuth") &&
                add_extension(cert, NID_subject_key_identifier, "hash") &&
                X509_sign(cert, key, digest) > 0;
    if (!done)
        return sc_error_set(error, -ENOMEM, "no certificate: %s", sc_ossl_reason());
    return 0;
}

/* What was written to a BIO, as a string; NULL without memory. */
static char *text_of(BIO *bio)
{
    char *data;
    long size = BIO_get_mem_data(bio, &data);
    return size <= 0 ? NULL : OPENSSL_strndup(data, (size_t)size);
}

static int to_pem(X509 *cert, EVP_PKEY *key, char **ret_cert_pem, char **ret_key_pem)
{
    BIO *cert_bio = BIO_new(BIO_s_mem());
    BIO *key_bio = BIO_new(BIO_s_secmem());
    char *cert_pem = NULL;
    char *key_pem = NULL;
    if (cert_bio != NULL && key_bio != NULL && PEM_write_bio_X509(cert_bio, cert) == 1 &&
        PEM_write_bio_PrivateKey(key_bio, key, NULL, NULL, 0, NULL, NULL) == 1) {
        cert_pem = text_of(cert_bio);
        key_pem = text_of(key_bio);
    }
    BIO_free(cert_bio);
    BIO_free(key_bio); /* wipes what it holds */
    if (cert_pem == NULL || key_pem == NULL) {
        sc_self_signed_free(cert_pem);
        sc_self_signed_free(key_pem);
        return -ENOMEM;
    }
    *ret_cert_pem = cert_pem;
    *ret_key_pem = key_pem;
    return 0;
}

int sc_self_signed(const struct sc_self_signed_options *options, char **ret_cert_pem,
                   char **ret_key_pem, struct sc_error *error)
{
    if (options->days > SC_SELF_SIGNED_DAYS_MAX ||
        options->start_in_days > SC_SELF_SIGNED_DAYS_MAX ||
        options->start_in_days < -SC_SELF_SIGNED_DAYS_MAX)
        return sc_error_set(error, -EINVAL, "a certificate is valid for 1 to %d days",
                            SC_SELF_SIGNED_DAYS_MAX);
    if (options->name_count > SC_SELF_SIGNED_NAMES_MAX)
        return sc_error_set(error, -EINVAL, "a certificate has at most %d names",
                            SC_SELF_SIGNED_NAMES_MAX);
    ERR_clear_error();
    EVP_PKEY *key = make_key(options->key_type);
    X509 *cert = X509_new();
    int code;
    if (key == NULL || cert == NULL)
        code = sc_error_set(error, -ENOMEM, "no key: %s", sc_ossl_reason());
    else
        code = make_cert(cert, key, options, error);
    if (code == 0 && to_pem(cert, key, ret_cert_pem, ret_key_pem) != 0)
        code = sc_error_set(error, -ENOMEM, "no memory");
    X509_free(cert);
    EVP_PKEY_free(key); /* wipes */
    ERR_clear_error();
    return code;
}

void sc_self_signed_free(char *pem)
{
    if (pem != NULL)
        OPENSSL_clear_free(pem, strlen(pem));
}
