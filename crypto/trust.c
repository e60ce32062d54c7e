/* SPDX-License-Identifier: MIT */
#include "crypto/trust.h"

/* Which CA certificates a context trusts. */

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "proto/base/compiler.h"

/* The place of the system's store was set when OpenSSL was built; the environment can change it.
 * In an OpenSSL that we have built it may be wrong for this system. */
int sc_trust_system(SSL_CTX *context, struct sc_error *error)
{
    static const char *const files[] = {
        "/etc/ssl/certs/ca-certificates.crt", /* Debian, Alpine, Arch */
        "/etc/pki/tls/certs/ca-bundle.crt",   /* Fedora */
        "/etc/ssl/ca-bundle.pem",             /* SUSE */
    };
    bool is_there = getenv(X509_get_default_cert_file_env()) != NULL ||
                    getenv(X509_get_default_cert_dir_env()) != NULL ||
                    access(X509_get_default_cert_file(), R_OK) == 0 ||
                    access(X509_get_default_cert_dir(), R_OK) == 0;
    bool loaded = is_there && SSL_CTX_set_default_verify_paths(context) == 1;
    for (size_t i = 0; i < SB_COUNT(files) && !loaded; i++) {
        loaded = access(files[i], R_OK) == 0 && SSL_CTX_load_verify_file(context, files[i]) == 1;
    }
    ERR_clear_error();
    if (!loaded)
        return sc_error_set(error, -ENOENT,
                            "the system has no store of CA certificates; give a CA file");
    return 0;
}

int sc_trust_given(SSL_CTX *context, bool is_server, const struct sc_pem *pem,
                   struct sc_error *error)
{
    STACK_OF(X509) *certs = NULL;
    int code = sc_pem_read_certs(pem, "CA certificate", &certs, error);
    X509_STORE *store = SSL_CTX_get_cert_store(context);
    for (int i = 0; code == 0 && i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);
        if (X509_STORE_add_cert(store, cert) != 1 ||
            (is_server && SSL_CTX_add_client_CA(context, cert) != 1))
            code = sc_error_set(error, -EINVAL, "CA certificate %s: %s", sc_pem_name(pem),
                                sc_ossl_reason());
    }
    /* What is given is trusted, also if it is not a root. */
    if (code == 0 && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) != 1)
        code = sc_error_set(error, -ENOMEM, "no memory");
    sk_X509_pop_free(certs, X509_free);
    return code;
}
