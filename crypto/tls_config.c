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
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509_vfy.h>

#include "crypto/cert.h"
#include "crypto/keylog.h"
#include "crypto/library.h"
#include "crypto/pem.h"
#include "crypto/suite.h"
#include "crypto/tls_resume.h"
#include "crypto/trust.h"
#include "crypto/verified.h"
#include "proto/base/assert.h"

struct sc_tls_config {
    atomic_uint ref_count; /* of what follows, only `certs` changes */
    enum sp_role role;
    bool insecure;
    bool asks_cert;
    bool refuses_unknown;
    bool keeps_peer_chain;
    bool has_trust;
    enum sc_verify verify;
    void *app[SC_TLS_APP_WORDS];
    OSSL_LIB_CTX *library; /* of `context`; NULL: the process's own */
    SSL_CTX *context;
    uint8_t *alpn; /* as on the wire: size and bytes of each */
    size_t alpn_size;
    char *alpn_text; /* the names once more, with a zero after each: a name is where its size byte
                        is in `alpn` */
    struct sc_keylog *keylog;
    struct sc_resumption *resumption;
    struct sc_verified *verified; /* or NULL */
    bool has_tickets;
    /* False as long as the certificate of `context` is the only one.  Relaxed: it only saves the
     * lock, which orders the rest. */
    atomic_bool has_certs;
    CRYPTO_RWLOCK *certs_lock;   /* guards `certs`; held for a reference only */
    struct sc_cert_table *certs; /* what new handshakes take; NULL before `has_certs` */
};

/* "?": take it where this OpenSSL has it.  The first group gets the client's key share. */
static const char server_groups[] = "X25519:P-256:P-384:?X25519MLKEM768";
static const char client_groups[] = "X25519:P-256:P-384";

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
        if (name.data == NULL || !bytes_equal(ours, name))
            continue;
        const char *text = config->alpn_text + (ours.data - config->alpn) - 1;
        return (struct sb_bytes){.data = (const uint8_t *)text, .size = ours.size};
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
    sc_tls_on_keylog(ssl, line);
    if (config->keylog != NULL)
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
    config->alpn_text = OPENSSL_zalloc(size);
    if (config->alpn == NULL || config->alpn_text == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    config->alpn_size = size;

    struct sb_writer w = sb_writer_of(config->alpn, size);
    for (size_t i = 0; i < options->alpn_count; i++) {
        size_t name_size = strlen(options->alpn[i]);
        memcpy(config->alpn_text + (size - sb_writer_left(&w)), options->alpn[i], name_size);
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

/* Makes the certificate that the options give in PEM; `*ret` stays NULL if they give none. */
static int read_identity(const struct sc_tls_options *options, enum sp_role role,
                         struct sc_cert **ret, struct sc_error *error)
{
    const struct sc_cert_options inner = {
        .cert_file = options->cert_file,
        .cert_pem = options->cert_pem,
        .key_file = options->key_file,
        .key_pem = options->key_pem,
    };
    bool has_cert = inner.cert_file != NULL || inner.cert_pem != NULL;
    bool has_key = inner.key_file != NULL || inner.key_pem != NULL;
    if (options->cert != NULL) {
        if (has_cert || has_key)
            return sc_error_set(error, -EINVAL, "the certificate is given twice");
        *ret = sc_cert_ref(options->cert);
        return 0;
    }
    bool needs_one = role == SP_SERVER && options->cert_count == 0 && !options->asks_cert;
    if (!has_cert && needs_one)
        return sc_error_set(error, -EINVAL, "a server needs a certificate");
    return has_cert || has_key ? sc_cert_create(&inner, ret, error) : 0;
}

/* All certificates as one table: those with names, and `others`, which may be NULL. */
static int make_table(const struct sc_tls_options *options, struct sc_cert *others,
                      struct sc_cert_table **ret, struct sc_error *error)
{
    size_t count = options->cert_count + (others != NULL);
    struct sc_cert_entry *entries = OPENSSL_malloc((count + 1) * sizeof(entries[0]));
    if (entries == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    for (size_t i = 0; i < options->cert_count; i++)
        entries[i] = options->certs[i];
    if (others != NULL)
        entries[count - 1] = (struct sc_cert_entry){.cert = others};
    int code = sc_cert_table_create(entries, count, ret, error);
    OPENSSL_free(entries);
    return code;
}

static int set_up_identity(struct sc_tls_config *config, const struct sc_tls_options *options,
                           struct sc_error *error)
{
    bool is_server = config->role == SP_SERVER;
    if (!is_server && (options->cert_count > 0 || options->refuses_unknown))
        return sc_error_set(error, -EINVAL, "certificates by name are for servers");
    struct sc_cert *cert = NULL;
    int code = read_identity(options, config->role, &cert, error);
    if (code != 0)
        return code;
    /* One that is in the context costs a handshake nothing. */
    bool is_plain = options->cert_count == 0 && !options->asks_cert && !options->refuses_unknown &&
                    (cert == NULL || !sc_cert_is_remote(cert));
    if (is_plain && cert != NULL && !sc_cert_use_for_all(cert, config->context))
        code = sc_error_set(error, -EINVAL, "the certificate: %s", sc_ossl_reason());
    else if (!is_plain)
        code = make_table(options, cert, &config->certs, error);
    atomic_init(&config->has_certs, config->certs != NULL);
    SSL_CTX_set_cert_cb(config->context, sc_tls_on_cert, NULL);
    sc_cert_unref(cert);
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
    if (!verifies && options->verify != SC_VERIFY_CHAIN)
        return sc_error_set(error, -EINVAL, "a function is to verify the peer, which %s",
                            is_server ? "needs no certificate" : "'insecure' accepts unseen");
    if (options->verified_life_s != 0 &&
        (is_server || !verifies || options->verify == SC_VERIFY_ASK_INSTEAD ||
         options->verified_life_s > SC_VERIFIED_LIFE_S_MAX))
        return sc_error_set(
            error, -EINVAL,
            "only a client that verifies chains can remember them, for %d s at most",
            SC_VERIFIED_LIFE_S_MAX);
    if (!verifies) {
        SSL_CTX_set_verify(config->context, SSL_VERIFY_NONE, NULL);
        return 0;
    }
    int mode = SSL_VERIFY_PEER;
    if (options->client_auth == SC_CLIENT_AUTH_REQUIRED)
        mode |= SSL_VERIFY_FAIL_IF_NO_PEER_CERT;
    SSL_CTX_set_verify(config->context, mode, NULL);
    if (options->verified_life_s != 0) {
        config->verified = sc_verified_create(options->verified_life_s);
        if (config->verified == NULL)
            return sc_error_set(error, -ENOMEM, "no memory");
    }
    if (options->verify != SC_VERIFY_CHAIN || config->verified != NULL)
        SSL_CTX_set_cert_verify_callback(config->context, sc_tls_on_chain, NULL);
    config->has_trust = given || options->verify != SC_VERIFY_ASK_INSTEAD;
    if (!config->has_trust)
        return 0;
    /* Anybody gets a certificate from one of the CAs that a system trusts for servers' names. */
    if (is_server && !given)
        return sc_error_set(error, -EINVAL,
                            "a server that asks for client certificates needs the CA certificates "
                            "to trust: give a CA file");
    return given ? sc_trust_given(config->context, is_server, &pem, error)
                 : sc_trust_system(config->context, error);
}

static int set_up_keylog(struct sc_tls_config *config, const struct sc_tls_options *options,
                         struct sc_error *error)
{
    SSL_CTX_set_keylog_callback(config->context, write_keylog); /* also for the exporter */
    return options->keylog_file == NULL
               ? 0
               : sc_keylog_open(options->keylog_file, &config->keylog, error);
}

static int set_up_resumption(struct sc_tls_config *config, const struct sc_tls_options *options,
                             struct sc_error *error)
{
    config->has_tickets = config->role == SP_SERVER && options->ticket_count > 0;
    return sc_resumption_create(config->context, options, &config->resumption, error);
}

int sc_tls_config_set_ticket_keys(struct sc_tls_config *config, const uint8_t *keys, size_t count)
{
    return sc_resumption_set_keys(config->resumption, keys, count);
}

bool sc_tls_config_accepts_early(const struct sc_tls_config *config)
{
    return sc_resumption_accepts_early(config->resumption);
}

bool sc_tls_config_has_tickets(const struct sc_tls_config *config)
{
    return config->has_tickets;
}

const struct sc_resumption *sc_tls_config_resumption(const struct sc_tls_config *config)
{
    return config->resumption;
}

/* Sets up everything for which there is no option. */
static int set_up_context(struct sc_tls_config *config, const struct sc_tls_options *options,
                          struct sc_error *error)
{
    bool is_server = config->role == SP_SERVER;
    /* [RFC9001 4.2] */
    config->library = sc_library();
    SSL_CTX *context = SSL_CTX_new_ex(config->library, NULL,
                                      is_server ? TLS_server_method() : TLS_client_method());
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
        set_up_identity, set_up_trust, set_up_keylog, set_up_resumption,
    };
    struct sc_tls_config *config = OPENSSL_zalloc(sizeof(*config));
    if (config == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    atomic_init(&config->ref_count, 1);
    config->role = options->role;
    config->insecure = options->insecure;
    config->asks_cert = options->asks_cert;
    config->refuses_unknown = options->refuses_unknown;
    config->keeps_peer_chain = options->keeps_peer_chain;
    config->verify = options->verify;
    memcpy(config->app, options->app, sizeof(config->app));
    config->certs_lock = CRYPTO_THREAD_lock_new();
    if (config->certs_lock == NULL) {
        OPENSSL_free(config);
        return sc_error_set(error, -ENOMEM, "no memory");
    }

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
    sc_resumption_destroy(config->resumption);
    sc_verified_destroy(config->verified);
    sc_keylog_close(config->keylog);
    sc_cert_table_unref(config->certs);
    CRYPTO_THREAD_lock_free(config->certs_lock);
    OPENSSL_free(config->alpn);
    OPENSSL_free(config->alpn_text);
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

void *const *sc_tls_config_app(const struct sc_tls_config *config)
{
    return config->app;
}

int sc_tls_config_set_certs(struct sc_tls_config *config, const struct sc_cert_entry *entries,
                            size_t count, struct sc_error *error)
{
    struct sc_cert_table *table = NULL;
    int code = sc_cert_table_create(entries, count, &table, error);
    if (code != 0)
        return code;
    if (config->role == SP_CLIENT && sc_cert_table_has_names(table))
        code = sc_error_set(error, -EINVAL, "certificates by name are for servers");
    else if (config->role == SP_SERVER && count == 0 && !config->asks_cert)
        code = sc_error_set(error, -EINVAL, "a server needs a certificate");
    if (code != 0) {
        sc_cert_table_unref(table);
        return code;
    }
    (void)CRYPTO_THREAD_write_lock(config->certs_lock);
    struct sc_cert_table *before = config->certs;
    config->certs = table;
    atomic_store_explicit(&config->has_certs, true, memory_order_relaxed);
    (void)CRYPTO_THREAD_unlock(config->certs_lock);
    sc_cert_table_unref(before);
    return 0;
}

struct sc_cert_table *sc_tls_config_certs(struct sc_tls_config *config)
{
    if (!atomic_load_explicit(&config->has_certs, memory_order_relaxed))
        return NULL;
    (void)CRYPTO_THREAD_read_lock(config->certs_lock);
    struct sc_cert_table *table = sc_cert_table_ref(config->certs);
    (void)CRYPTO_THREAD_unlock(config->certs_lock);
    return table;
}

bool sc_tls_config_asks_cert(const struct sc_tls_config *config)
{
    return config->asks_cert;
}

bool sc_tls_config_refuses_unknown(const struct sc_tls_config *config)
{
    return config->refuses_unknown;
}

bool sc_tls_config_keeps_peer_chain(const struct sc_tls_config *config)
{
    return config->keeps_peer_chain;
}

bool sc_tls_config_has_trust(const struct sc_tls_config *config)
{
    return config->has_trust;
}

enum sc_verify sc_tls_config_verify(const struct sc_tls_config *config)
{
    return config->verify;
}

OSSL_LIB_CTX *sc_tls_config_library(const struct sc_tls_config *config)
{
    return config->library;
}

struct sc_verified *sc_tls_config_verified(const struct sc_tls_config *config)
{
    return config->verified;
}
