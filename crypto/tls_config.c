/* SPDX-License-Identifier: MIT */
#include "crypto/tls_config.h"

/* TLS configuration: an SSL_CTX for QUIC, and the callbacks that need nothing of a
 * connection.
 *
 * Each step of sc_tls_config_create() takes one group of options, sets up the context and
 * reports errors; the first step that fails ends it.  Always set, without an option: TLS 1.3 only,
 * no session cache, no automatic chain building, no compatibility mode. */

#include <errno.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "crypto/keylog.h"
#include "crypto/pem.h"
#include "crypto/suite.h"
#include "proto/base/assert.h"

struct sc_tls_config {
    atomic_uint ref_count; /* the only field that changes */
    enum sp_role role;
    bool insecure;
    SSL_CTX *context;
    uint8_t *alpn; /* as on the wire: size and bytes of each */
    size_t alpn_size;
    struct sc_keylog *keylog;
};

/* "?": take it where this OpenSSL has it.  The first group gets the client's key share. */
static const char server_groups[] = "X25519:P-256:P-384:?X25519MLKEM768";
static const char client_groups[] = "X25519:P-256:P-384";

/* Bytes of the other handshake messages beside the chain. */
enum { HANDSHAKE_ROOM = 8192 };

static struct sb_reader alpn_reader(const struct sc_tls_config *config)
{
    return sb_reader_of(config->alpn, config->alpn_size);
}

/* The next name of a list as on the wire; NULL data at its end or if it is broken. */
static struct sb_bytes alpn_next(struct sb_reader *r)
{
    if (sb_reader_left(r) == 0)
        return (struct sb_bytes){0};
    uint8_t size = sb_reader_u8(r);
    const uint8_t *data = sb_reader_take(r, size);
    return (struct sb_bytes){.data = data, .size = data == NULL ? 0 : size};
}

static bool bytes_equal(struct sb_bytes a, struct sb_bytes b)
{
    return a.size == b.size && memcmp(a.data, b.data, a.size) == 0;
}

struct sb_bytes sc_tls_config_alpn(const struct sc_tls_config *config, struct sb_bytes name)
{
    struct sb_reader r = alpn_reader(config);
    struct sb_bytes ours;
    while ((ours = alpn_next(&r)).data != NULL) {
        if (name.data != NULL && bytes_equal(ours, name))
            return ours;
    }
    return (struct sb_bytes){0};
}

/* [RFC9000 7, RFC9001 8.1] The first of ours that the client has too, or the alert. */
static int select_alpn(SSL *ssl, const unsigned char **ret, unsigned char *ret_size,
                       const unsigned char *offered, unsigned int offered_size, void *arg)
{
    (void)ssl;
    struct sb_reader mine = alpn_reader(arg);
    struct sb_bytes ours, theirs;
    while ((ours = alpn_next(&mine)).data != NULL) {
        struct sb_reader r = sb_reader_of(offered, offered_size);
        while ((theirs = alpn_next(&r)).data != NULL) {
            if (bytes_equal(ours, theirs)) {
                *ret = ours.data;
                *ret_size = (unsigned char)ours.size;
                return SSL_TLSEXT_ERR_OK;
            }
        }
    }
    return SSL_TLSEXT_ERR_ALERT_FATAL; /* no_application_protocol */
}

static int refuse_hello(SSL *ssl, int *ret_alert, int alert, const char *reason)
{
    *ret_alert = alert;
    /* OpenSSL does not know the version yet and would translate the alert into one
     * that TLS 1.2 has; see sc_tls_config_context(). */
    int *noted = SSL_get_app_data(ssl);
    *noted = alert;
    ERR_raise_data(ERR_LIB_USER, 1, "%s", reason);
    return SSL_CLIENT_HELLO_ERROR;
}

/* What QUIC demands of a ClientHello beyond TLS, before anything is spent on it. */
static int check_client_hello(SSL *ssl, int *ret_alert, void *arg)
{
    (void)arg;
    const unsigned char *data;
    size_t size;
    /* [RFC9001 8.4] */
    if (SSL_client_hello_get0_session_id(ssl, &data) != 0)
        return refuse_hello(ssl, ret_alert, SSL_AD_ILLEGAL_PARAMETER,
                            "the client asks for the compatibility mode");
    /* [RFC9001 8.2] */
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_quic_transport_parameters, &data, &size) != 1)
        return refuse_hello(ssl, ret_alert, SSL_AD_MISSING_EXTENSION,
                            "the client sent no transport parameters");
    /* [RFC9001 8.1] Without the extension, select_alpn() would not be asked. */
    if (SSL_client_hello_get0_ext(ssl, TLSEXT_TYPE_application_layer_protocol_negotiation, &data,
                                  &size) != 1)
        return refuse_hello(ssl, ret_alert, SSL_AD_NO_APPLICATION_PROTOCOL,
                            "the client named no application protocol");
    return SSL_CLIENT_HELLO_SUCCESS;
}

static void write_keylog(const SSL *ssl, const char *line)
{
    const struct sc_tls_config *config = SSL_CTX_get_app_data(SSL_get_SSL_CTX(ssl));
    sc_keylog_write(config->keylog, line);
}

static int set_up_alpn(struct sc_tls_config *config, const struct sc_tls_options *options,
                       struct sc_error *error)
{
    if (options->alpn_count == 0)
        return sc_error_set(error, -EINVAL, "QUIC needs an application protocol (ALPN)");
    size_t size = 0;
    for (size_t i = 0; i < options->alpn_count; i++) {
        size_t name_size = strlen(options->alpn[i]);
        if (name_size == 0 || name_size > 255)
            return sc_error_set(error, -EINVAL,
                                "application protocol '%s': it must have 1 to 255 bytes",
                                options->alpn[i]);
        size += 1 + name_size;
    }
    if (size > UINT16_MAX)
        return sc_error_set(error, -EINVAL, "too many application protocols");
    config->alpn = OPENSSL_malloc(size);
    if (config->alpn == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    config->alpn_size = size;

    struct sb_writer w = sb_writer_of(config->alpn, size);
    for (size_t i = 0; i < options->alpn_count; i++) {
        size_t name_size = strlen(options->alpn[i]);
        sb_writer_u8(&w, (uint8_t)name_size);
        sb_writer_bytes(&w, options->alpn[i], name_size);
    }
    SB_ASSERT(!w.failed && sb_writer_left(&w) == 0);

    if (config->role == SP_SERVER)
        SSL_CTX_set_alpn_select_cb(config->context, select_alpn, config);
    else if (SSL_CTX_set_alpn_protos(config->context, config->alpn, (unsigned)size) != 0)
        return sc_error_set(error, -ENOMEM, "no memory"); /* it returns 0 for success */
    return 0;
}

static int set_up_suites(struct sc_tls_config *config, const struct sc_tls_options *options,
                         struct sc_error *error)
{
    char list[128] = "";
    struct sb_writer w = sb_writer_of((uint8_t *)list, sizeof(list) - 1);
    size_t count = options->suite_count > 0 ? options->suite_count : (size_t)SC_SUITE_COUNT;
    for (size_t i = 0; i < count && i < SC_SUITE_COUNT; i++) {
        const struct sc_suite *suite =
            options->suite_count > 0 ? sc_suite_find(options->suites[i]) : sc_suite_at((unsigned)i);
        if (suite == NULL && options->suite_count > 0)
            return sc_error_set(error, -EINVAL, "cipher suite 0x%04x is not one for QUIC",
                                (unsigned)options->suites[i]);
        if (suite == NULL)
            continue; /* not in this OpenSSL */
        if (sb_writer_used(&w) > 0)
            sb_writer_u8(&w, ':');
        sb_writer_bytes(&w, suite->tls_name, strlen(suite->tls_name));
    }
    SB_ASSERT(!w.failed);
    if (count > SC_SUITE_COUNT)
        return sc_error_set(error, -EINVAL, "a cipher suite is given twice");
    if (SSL_CTX_set_ciphersuites(config->context, list) != 1)
        return sc_error_set(error, -EINVAL, "cipher suites %s: %s", list, sc_ossl_reason());

    return 0;
}

static int set_up_groups(struct sc_tls_config *config, const struct sc_tls_options *options,
                         struct sc_error *error)
{
    const char *groups = config->role == SP_SERVER ? server_groups : client_groups;
    if (options->groups != NULL)
        groups = options->groups;
    char *copy = OPENSSL_strdup(groups); /* OpenSSL's macro wants it writable */
    if (copy == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    bool done = SSL_CTX_set1_groups_list(config->context, copy) == 1;
    OPENSSL_free(copy);
    if (!done)
        return sc_error_set(error, -EINVAL, "key exchange groups '%s': OpenSSL cannot read that",
                            groups); /* it gives no reason */
    return 0;
}

/* Gives the chain, which has the leaf first, and the key to the context. */
static int use_identity(SSL_CTX *context, STACK_OF(X509) * chain, EVP_PKEY *key,
                        const struct sc_pem *pems, struct sc_error *error)
{
    const char *cert_name = sc_pem_name(&pems[0]);
    size_t size = 0;
    for (int i = 0; i < sk_X509_num(chain); i++)
        size += (size_t)i2d_X509(sk_X509_value(chain, i), NULL);
    if (size > SC_TLS_SEND_BYTES_MAX - HANDSHAKE_ROOM)
        return sc_error_set(error, -EINVAL,
                            "certificate %s: the chain has %zu bytes, at most %d are possible",
                            cert_name, size, SC_TLS_SEND_BYTES_MAX - HANDSHAKE_ROOM);

    X509 *leaf = sk_X509_value(chain, 0);
    if (X509_check_private_key(leaf, key) != 1) {
        ERR_clear_error();
        return sc_error_set(error, -EINVAL, "the private key %s does not match the certificate %s",
                            sc_pem_name(&pems[1]), cert_name);
    }
    if (SSL_CTX_use_certificate(context, leaf) != 1)
        return sc_error_set(error, -EINVAL, "certificate %s: %s", cert_name, sc_ossl_reason());
    if (SSL_CTX_use_PrivateKey(context, key) != 1)
        return sc_error_set(error, -EINVAL, "private key %s: %s", sc_pem_name(&pems[1]),
                            sc_ossl_reason());
    X509_free(sk_X509_shift(chain)); /* the context has a reference of its own */
    if (SSL_CTX_set1_chain(context, chain) != 1)
        return sc_error_set(error, -EINVAL, "certificate %s: %s", cert_name, sc_ossl_reason());
    return 0;
}

static int set_up_identity(struct sc_tls_config *config, const struct sc_tls_options *options,
                           struct sc_error *error)
{
    const struct sc_pem pems[2] = {
        {.file = options->cert_file, .text = options->cert_pem},
        {.file = options->key_file, .text = options->key_pem},
    };
    bool given[2];
    for (int i = 0; i < 2; i++) {
        given[i] = pems[i].file != NULL || pems[i].text != NULL;
        if (pems[i].file != NULL && pems[i].text != NULL)
            return sc_error_set(error, -EINVAL, "the %s is given both as a file and as text",
                                i == 0 ? "certificate" : "private key");
    }
    if (!given[0] && !given[1] && config->role == SP_CLIENT)
        return 0;
    if (!given[0])
        return sc_error_set(error, -EINVAL,
                            config->role == SP_SERVER ? "a server needs a certificate"
                                                      : "a private key without its certificate");
    if (!given[1])
        return sc_error_set(error, -EINVAL, "certificate %s: its private key is not given",
                            sc_pem_name(&pems[0]));

    STACK_OF(X509) *chain = NULL;
    EVP_PKEY *key = NULL;
    int code = sc_pem_read_certs(&pems[0], "certificate", &chain, error);
    if (code == 0)
        code = sc_pem_read_key(&pems[1], &key, error);
    if (code == 0)
        code = use_identity(config->context, chain, key, pems, error);
    EVP_PKEY_free(key);
    sk_X509_pop_free(chain, X509_free);
    return code;
}

/* The place of the system's store was set when OpenSSL was built; the environment can change it.
 * In an OpenSSL that we have built it may be wrong for this system. */
static int trust_system(SSL_CTX *context, struct sc_error *error)
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

static int trust_given(struct sc_tls_config *config, const struct sc_pem *pem,
                       struct sc_error *error)
{
    STACK_OF(X509) *certs = NULL;
    int code = sc_pem_read_certs(pem, "CA certificate", &certs, error);
    X509_STORE *store = SSL_CTX_get_cert_store(config->context);
    for (int i = 0; code == 0 && i < sk_X509_num(certs); i++) {
        X509 *cert = sk_X509_value(certs, i);
        if (X509_STORE_add_cert(store, cert) != 1 ||
            (config->role == SP_SERVER && SSL_CTX_add_client_CA(config->context, cert) != 1))
            code = sc_error_set(error, -EINVAL, "CA certificate %s: %s", sc_pem_name(pem),
                                sc_ossl_reason());
    }
    /* What is given is trusted, also if it is not a root. */
    if (code == 0 && X509_STORE_set_flags(store, X509_V_FLAG_PARTIAL_CHAIN) != 1)
        code = sc_error_set(error, -ENOMEM, "no memory");
    sk_X509_pop_free(certs, X509_free);
    return code;
}

static int set_up_trust(struct sc_tls_config *config, const struct sc_tls_options *options,
                        struct sc_error *error)
{
    bool is_server = config->role == SP_SERVER;
    const struct sc_pem pem = {.file = options->ca_file, .text = options->ca_pem};
    bool given = pem.file != NULL || pem.text != NULL;
    if (pem.file != NULL && pem.text != NULL)
        return sc_error_set(error, -EINVAL,
                            "the CA certificates are given both as a file and as text");
    if (is_server && options->insecure)
        return sc_error_set(error, -EINVAL, "'insecure' is for clients");
    if (!is_server && options->client_auth != SC_CLIENT_AUTH_NONE)
        return sc_error_set(error, -EINVAL, "client certificates are demanded by servers");

    bool verifies = is_server ? options->client_auth != SC_CLIENT_AUTH_NONE : !options->insecure;
    if (!verifies) {
        SSL_CTX_set_verify(config->context, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    int mode = SSL_VERIFY_PEER;
    if (options->client_auth == SC_CLIENT_AUTH_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(config->context, mode, NULL);
    return given ? trust_given(config, &pem, error) : trust_system(config->context, error);
}

static int set_up_keylog(struct sc_tls_config *config, const struct sc_tls_options *options,
                         struct sc_error *error)
{
    if (options->keylog_file == NULL)
        return 0;
    int code = sc_keylog_open(options->keylog_file, &config->keylog, error);
    if (code == 0)
        SSL_CTX_set_keylog_callback(config->context, write_keylog);
    return code;
}

/* Sets up everything for which there is no option. */
static int set_up_context(struct sc_tls_config *config, const struct sc_tls_options *options,
                          struct sc_error *error)
{
    bool is_server = config->role == SP_SERVER;
    /* [RFC9001 4.2] */
    SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    config->context = context;
    if (context == NULL || SSL_CTX_set_app_data(context, config) != 1 ||
        SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_max_proto_version(context, TLS1_3_VERSION) != 1)
        return sc_error_set(error, -ENOMEM, "no TLS context: %s", sc_ossl_reason());

    uint64_t flags = SSL_OP_CIPHER_SERVER_PREFERENCE | SSL_OP_PRIORITIZE_CHACHA;
    /* Without tickets of ours, a ticket in a ClientHello is not ours. */
    if (options->ticket_count == 0)
        flags |= SSL_OP_NO_TICKET;
    (void)SSL_CTX_set_options(context, flags);
    (void)SSL_CTX_clear_options(context, SSL_OP_ENABLE_MIDDLEBOX_COMPAT);
    (void)SSL_CTX_set_mode(context, SSL_MODE_NO_AUTO_CHAIN);
    (void)SSL_CTX_set_session_cache_mode(context, SSL_SESS_CACHE_OFF);
    (void)SSL_CTX_set_max_cert_list(context, SC_TLS_PEER_CHAIN_BYTES_MAX);
    SSL_CTX_set_quiet_shutdown(context, 1);
    if (is_server) {
        SSL_CTX_set_client_hello_cb(context, check_client_hello, NULL);
        /* Demanded where clients are verified and tickets exist. */
        static const unsigned char id[] = "spate";
        if (SSL_CTX_set_num_tickets(context, options->ticket_count) != 1 ||
            SSL_CTX_set_session_id_context(context, id, sizeof(id) - 1) != 1)
            return sc_error_set(error, -EINVAL, "session tickets: %s", sc_ossl_reason());
    }
    return 0;
}

int sc_tls_config_create(const struct sc_tls_options *options, struct sc_tls_config **ret,
                         struct sc_error *error)
{
    static int (*const steps[])(struct sc_tls_config *, const struct sc_tls_options *,
                                struct sc_error *) = {
        set_up_context,  set_up_alpn,  set_up_suites, set_up_groups,
        set_up_identity, set_up_trust, set_up_keylog,
    };
    struct sc_tls_config *config = OPENSSL_zalloc(sizeof(*config));
    if (config == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    atomic_init(&config->ref_count, 1);
    config->role = options->role;
    config->insecure = options->insecure;

    int code = 0;
    ERR_clear_error();
    for (size_t i = 0; i < SB_COUNT(steps) && code == 0; i++)
        code = steps[i](config, options, error);
    ERR_clear_error();
    if (code != 0) {
        sc_tls_config_unref(config);
        return code;
    }
    *ret = config;
    return 0;
}

struct sc_tls_config *sc_tls_config_ref(struct sc_tls_config *config)
{
    unsigned before = atomic_fetch_add_explicit(&config->ref_count, 1, memory_order_relaxed);
    SB_ASSERT(before > 0);
    return config;
}

void sc_tls_config_unref(struct sc_tls_config *config)
{
    if (config == NULL)
        return;
    /* Acquire and release: the last one sees all that the others did before theirs. */
    unsigned before = atomic_fetch_sub_explicit(&config->ref_count, 1, memory_order_acq_rel);
    SB_ASSERT(before > 0);
    if (before > 1)
        return;
    SSL_CTX_free(config->context); /* wipes the private key */
    sc_keylog_close(config->keylog);
    OPENSSL_free(config->alpn);
    OPENSSL_free(config);
}

enum sp_role sc_tls_config_role(const struct sc_tls_config *config)
{
    return config->role;
}

SSL_CTX *sc_tls_config_context(const struct sc_tls_config *config)
{
    return config->context;
}

bool sc_tls_config_is_insecure(const struct sc_tls_config *config)
{
    return config->insecure;
}
