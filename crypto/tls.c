/* SPDX-License-Identifier: MIT */
#include "crypto/tls.h"

/* One TLS handshake on OpenSSL's QUIC TLS callbacks.
 *
 * SSL_do_handshake() and SSL_read() call the callbacks, which only record what OpenSSL reports:
 * bytes in `out`, everything else in `events`.  The connection pulls them.  OpenSSL's rules:
 *
 *   - on_send() has no level: bytes belong to the level of the last write secret.  [RFC9001 4.9]
 *   - on_receive() lends a buffer that must stay until on_release().  OpenSSL copies what it
 *     takes, so the caller's bytes are lent as they are.  If it still holds them at
 *     the end of a call, the handshake fails, and SSL_free() releases them before the
 *     call returns.
 *   - on_release() may be called as late as in SSL_free(), and assumes nothing about the state.
 *   - After the handshake SSL_read() must be called for each further CRYPTO data.
 *   - SSL_do_handshake() may succeed on a server before the client's Finished (with
 *     0-RTT): complete means that the 1-RTT read secret is there too, which OpenSSL
 *     derives once Finished is verified.
 *   - OpenSSL trusts a message's size before its bytes are there: the first 4 bytes of an
 *     unauthenticated peer's ClientHello make it allocate 128 KB.  `guard` prevents that. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <openssl/x509v3.h>

#include "crypto/suite.h"
#include "crypto/tls_events.h"
#include "proto/base/assert.h"

/* A handshake message at the Initial level: an ML-KEM share takes 1.2 KB, and a
 * post-quantum ClientHello of today 1.8. */
enum { HELLO_SIZE_MAX = 16384 };

enum { NO_ALERT = -1 }; /* see sc_tls_config_context() */

/* What we have to send at one level. */
struct out {
    uint8_t *data;
    uint32_t size;
    uint32_t capacity;
    bool is_dropped;
};

/* Follows the framing of handshake messages. */
struct guard {
    uint8_t head[4]; /* type, 24 bits of size */
    uint32_t head_size;
    uint32_t left; /* bytes of the message's body still to come */
};

/* The definition of struct sp_tls, which proto/ only declares. */
struct sc_tls {
    struct sc_tls_config *config; /* one reference */
    SSL *ssl;                     /* NULL once it is not needed any more */
    uint8_t *params;              /* ours; OpenSSL reads them from here */
    uint8_t *peer_params;         /* until `ssl` is freed */
    size_t peer_params_size;
    struct sb_bytes in; /* lent by the caller of receive(), during it */
    bool in_is_lent;    /* `in` is lent to OpenSSL */
    struct guard guard;
    enum sp_level read_level;
    enum sp_level write_level;
    bool has_app_read; /* the 1-RTT read secret is kept, not yet said */
    bool is_complete;
    bool is_failed;
    bool is_excess; /* it failed by bytes after the last message of a level */
    int alert;      /* the first one, or NO_ALERT */
    struct out out[SP_LEVELS];
    struct sc_tls_events events;

    struct sb_bytes alpn; /* points into the configuration */
    const char *group;    /* points into its SSL_CTX */
    char *server_name;
    uint8_t *peer_cert;
    size_t peer_cert_size;
    char *error;
};

static struct sc_tls *tls_of(struct sp_tls *tls)
{
    return (struct sc_tls *)(void *)tls;
}

static const struct sc_tls *tls_of_const(const struct sp_tls *tls)
{
    return (const struct sc_tls *)(const void *)tls;
}

/* The first alert wins: those that OpenSSL raises because a callback failed are
 * only echoes.  `error` is copied. */
static void note_alert(struct sc_tls *tls, int alert, const char *error)
{
    if (tls->alert != NO_ALERT)
        return;
    tls->alert = alert;
    if (error != NULL && tls->error == NULL)
        tls->error = OPENSSL_strdup(error);
}

/* [RFC9001 4.1.3] Not an error of TLS. */
static void note_excess(struct sc_tls *tls)
{
    tls->is_excess = tls->alert == NO_ALERT;
    note_alert(tls, SSL_AD_UNEXPECTED_MESSAGE, "handshake data after the end of its level");
}

/* [RFC9000 7, RFC9001 8.1, 8.2] What the server's EncryptedExtensions must have had. */
static bool client_may_go_on(struct sc_tls *tls)
{
    const unsigned char *name;
    unsigned int name_size;
    SSL_get0_alpn_selected(tls->ssl, &name, &name_size);
    tls->alpn = sc_tls_config_alpn(tls->config, (struct sb_bytes){.data = name, .size = name_size});
    if (tls->alpn.data == NULL) {
        note_alert(tls, SSL_AD_NO_APPLICATION_PROTOCOL,
                   "the server chose none of our application protocols");
        return false;
    }
    if (tls->peer_params == NULL) {
        note_alert(tls, SSL_AD_MISSING_EXTENSION, "the server sent no transport parameters");
        return false;
    }
    return true;
}

static int on_send(SSL *ssl, const unsigned char *data, size_t size, size_t *ret_consumed,
                   void *arg)
{
    (void)ssl;
    struct sc_tls *tls = arg;
    struct out *out = &tls->out[tls->write_level];
    bool is_client = sc_tls_config_role(tls->config) == SP_CLIENT;
    if (is_client && tls->write_level == SP_LEVEL_HANDSHAKE && out->size == 0 &&
        !client_may_go_on(tls))
        return 0;
    if (out->is_dropped || size > SC_TLS_SEND_BYTES_MAX - out->size) {
        note_alert(tls, SSL_AD_INTERNAL_ERROR, "too much handshake data to send");
        return 0;
    }
    if (size > out->capacity - out->size) {
        uint32_t capacity = out->capacity == 0 ? 512 : out->capacity;
        while (capacity < out->size + size)
            capacity *= 2;
        uint8_t *grown = OPENSSL_realloc(out->data, capacity);
        if (grown == NULL)
            return 0;
        out->data = grown;
        out->capacity = capacity;
    }
    memcpy(out->data + out->size, data, size);
    out->size += (uint32_t)size;
    sc_tls_events_push_crypto(&tls->events, tls->write_level, size);
    *ret_consumed = size;
    return 1;
}

static int on_receive(SSL *ssl, const unsigned char **ret_data, size_t *ret_size, void *arg)
{
    (void)ssl;
    struct sc_tls *tls = arg;
    if (tls->in_is_lent || tls->in.size == 0) {
        *ret_size = 0; /* asks to be called again when there is more */
        return 1;
    }
    *ret_data = tls->in.data;
    *ret_size = tls->in.size;
    tls->in_is_lent = true;
    return 1;
}

static int on_release(SSL *ssl, size_t size, void *arg)
{
    (void)ssl;
    (void)size;
    struct sc_tls *tls = arg;
    tls->in = (struct sb_bytes){0};
    tls->in_is_lent = false;
    return 1;
}

static int on_secret(SSL *ssl, uint32_t protection, int is_write, const unsigned char *secret,
                     size_t size, void *arg)
{
    struct sc_tls *tls = arg;
    _Static_assert(OSSL_RECORD_PROTECTION_LEVEL_NONE == SP_LEVEL_INITIAL &&
                       OSSL_RECORD_PROTECTION_LEVEL_EARLY == SP_LEVEL_EARLY &&
                       OSSL_RECORD_PROTECTION_LEVEL_HANDSHAKE == SP_LEVEL_HANDSHAKE &&
                       OSSL_RECORD_PROTECTION_LEVEL_APPLICATION == SP_LEVEL_APP,
                   "levels have the same numbers");
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
    if (cipher == NULL)
        cipher = SSL_get_current_cipher(ssl);
    enum sp_suite id =
        cipher == NULL ? SP_SUITE_NONE : (enum sp_suite)SSL_CIPHER_get_protocol_id(cipher);
    const struct sc_suite *suite = sc_suite_find(id);
    if (suite == NULL || suite->secret_size != size || protection >= SP_LEVELS)
        return 0;
    tls->events.suite = id;

    enum sp_level level = (enum sp_level)protection;
    sc_tls_events_keep_secret(&tls->events, level, is_write != 0,
                              (struct sb_bytes){.data = secret, .size = size});
    if (is_write)
        tls->write_level = level;
    else
        tls->read_level = level;

    if (level == SP_LEVEL_APP && !is_write)
        tls->has_app_read = true; /* said with COMPLETE */
    else
        sc_tls_events_push_secret(&tls->events, level, is_write != 0);
    return 1;
}

static int on_params(SSL *ssl, const unsigned char *data, size_t size, void *arg)
{
    (void)ssl;
    struct sc_tls *tls = arg;
    if (tls->peer_params != NULL) {
        /* After a HelloRetryRequest the client says them again, and the same.
         * [RFC8446 4.1.2] */
        if (size == tls->peer_params_size && memcmp(data, tls->peer_params, size) == 0)
            return 1;
        note_alert(tls, SSL_AD_ILLEGAL_PARAMETER, "the peer changed its transport parameters");
        return 0;
    }
    tls->peer_params = OPENSSL_malloc(size + 1); /* not NULL if there are none */
    if (tls->peer_params == NULL)
        return 0;
    if (size > 0)
        memcpy(tls->peer_params, data, size);
    tls->peer_params_size = size;
    sc_tls_events_push(&tls->events, SP_TLS_PEER_PARAMS, 0);
    return 1;
}

static int on_alert(SSL *ssl, unsigned char alert, void *arg)
{
    (void)ssl;
    note_alert(arg, alert, NULL);
    return 1;
}

#define ENTRY(id, function) {OSSL_FUNC_SSL_QUIC_TLS_##id, (void (*)(void))(function)}
static const OSSL_DISPATCH callbacks[] = {
    ENTRY(CRYPTO_SEND, on_send),
    ENTRY(CRYPTO_RECV_RCD, on_receive),
    ENTRY(CRYPTO_RELEASE_RCD, on_release),
    ENTRY(YIELD_SECRET, on_secret),
    ENTRY(GOT_TRANSPORT_PARAMS, on_params),
    ENTRY(ALERT, on_alert),
    OSSL_DISPATCH_END,
};

static void learn_server_name(struct sc_tls *tls)
{
    const char *server_name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    if (server_name != NULL && tls->server_name == NULL)
        tls->server_name = OPENSSL_strdup(server_name);
}

/* Copies what sc_tls_suite() and its like return, so that OpenSSL is not needed for them.  Only
 * after the handshake: before there is a session, SSL_get0_group_name() crashes. */
static void learn(struct sc_tls *tls)
{
    const unsigned char *name;
    unsigned int name_size;
    SSL_get0_alpn_selected(tls->ssl, &name, &name_size);
    tls->alpn = sc_tls_config_alpn(tls->config, (struct sb_bytes){.data = name, .size = name_size});
    tls->group = SSL_get0_group_name(tls->ssl);

    learn_server_name(tls);
    X509 *cert = SSL_get0_peer_certificate(tls->ssl);
    if (cert != NULL && tls->peer_cert == NULL) {
        int size = i2d_X509(cert, &tls->peer_cert);
        tls->peer_cert_size = size > 0 ? (size_t)size : 0;
    }
}

static void let_go_of_openssl(struct sc_tls *tls)
{
    SSL_free(tls->ssl); /* may call on_release() */
    tls->ssl = NULL;
    OPENSSL_free(tls->params);
    tls->params = NULL;
}

static void push_failed(struct sc_tls *tls)
{
    tls->is_failed = true;
    enum sp_tls_event_kind kind = tls->is_excess ? SP_TLS_EXCESS : SP_TLS_ALERT;
    sc_tls_events_push(&tls->events, kind, (uint8_t)tls->alert);
}

static void fail(struct sc_tls *tls)
{
    if (tls->error == NULL) {
        bool verifies = SSL_get_verify_mode(tls->ssl) != SSL_VERIFY_NONE;
        long verdict = SSL_get_verify_result(tls->ssl);
        char text[160];
        if (verifies && verdict != X509_V_OK)
            (void)snprintf(text, sizeof(text), "the peer's certificate: %s",
                           X509_verify_cert_error_string(verdict));
        else
            (void)snprintf(text, sizeof(text), "TLS: %s", sc_ossl_reason());
        tls->error = OPENSSL_strdup(text);
    }
    note_alert(tls, SSL_AD_INTERNAL_ERROR, NULL);
    push_failed(tls);
    learn_server_name(tls);
    let_go_of_openssl(tls);
    ERR_clear_error();
}

static void complete(struct sc_tls *tls)
{
    tls->is_complete = true;
    learn(tls);
    sc_tls_events_push_secret(&tls->events, SP_LEVEL_APP, false);
    sc_tls_events_push(&tls->events, SP_TLS_COMPLETE, 0);
}

/* Lets OpenSSL do what it can with `in`. */
static void drive(struct sc_tls *tls)
{
    ERR_clear_error(); /* SSL_get_error() looks at the queue, also at what others left */
    int result;
    if (!tls->is_complete) {
        result = SSL_do_handshake(tls->ssl);
        if (result == 1 && tls->has_app_read)
            complete(tls);
    } else {
        result = SSL_read(tls->ssl, NULL, 0);
    }
    bool is_fine = result == 1 || SSL_get_error(tls->ssl, result) == SSL_ERROR_WANT_READ;
    /* OpenSSL looks at the bytes that it has taken when the level changes. */
    if (!is_fine && ERR_GET_REASON(ERR_peek_error()) == SSL_R_NOT_ON_RECORD_BOUNDARY)
        tls->is_excess = true;
    if (is_fine && tls->in.size > 0)
        note_excess(tls);
    if (!is_fine || tls->alert != NO_ALERT)
        fail(tls);
    else if (tls->is_complete && sc_tls_config_role(tls->config) == SP_SERVER)
        let_go_of_openssl(tls);
}

static bool op_start(struct sp_tls *opaque, const uint8_t *params, size_t params_size)
{
    struct sc_tls *tls = tls_of(opaque);
    SB_ASSERT(tls->params == NULL && tls->ssl != NULL);
    tls->params = OPENSSL_malloc(params_size + 1);
    if (tls->params == NULL)
        return false;
    if (params_size > 0)
        memcpy(tls->params, params, params_size);
    if (SSL_set_quic_tls_transport_params(tls->ssl, tls->params, params_size) != 1)
        return false;
    if (sc_tls_config_role(tls->config) == SP_CLIENT)
        drive(tls);
    return true;
}

/* False if a message claims to be larger than any honest one. */
static bool guard_lets_pass(struct guard *guard, const uint8_t *data, size_t size)
{
    struct sb_reader r = sb_reader_of(data, size);
    while (sb_reader_left(&r) > 0) {
        if (guard->left > 0) {
            size_t now = SB_MIN((size_t)guard->left, sb_reader_left(&r));
            (void)sb_reader_take(&r, now);
            guard->left -= (uint32_t)now;
            continue;
        }
        guard->head[guard->head_size++] = sb_reader_u8(&r);
        if (guard->head_size < sizeof(guard->head))
            continue;
        guard->head_size = 0;
        guard->left =
            (uint32_t)guard->head[1] << 16 | (uint32_t)guard->head[2] << 8 | guard->head[3];
        if (guard->left > HELLO_SIZE_MAX)
            return false;
    }
    return true;
}

/* After the handshake a server has freed its OpenSSL, and nothing may come: no KeyUpdate
 * [RFC9001 6], no certificate [RFC9001 4.4]. */
static void fail_without_openssl(struct sc_tls *tls)
{
    note_alert(tls, SSL_AD_UNEXPECTED_MESSAGE, "handshake data after the handshake");
    push_failed(tls);
}

static void op_receive(struct sp_tls *opaque, enum sp_level level, const uint8_t *data, size_t size)
{
    struct sc_tls *tls = tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    if (tls->is_failed || size == 0)
        return;
    SB_ASSERT(level <= tls->read_level); /* we never said the key for more */
    if (level < tls->read_level)
        note_excess(tls);
    if (tls->ssl == NULL)
        fail_without_openssl(tls);
    else if (tls->is_excess)
        fail(tls);
    if (tls->is_failed)
        return;
    SB_ASSERT(tls->params != NULL); /* started */
    if (level == SP_LEVEL_INITIAL && !guard_lets_pass(&tls->guard, data, size)) {
        note_alert(tls, SSL_AD_ILLEGAL_PARAMETER, "the peer's hello is too large");
        fail(tls);
        return;
    }
    tls->in = (struct sb_bytes){.data = data, .size = size};
    drive(tls);
    SB_ASSERT(!tls->in_is_lent);
    tls->in = (struct sb_bytes){0};
}

static void op_next(struct sp_tls *opaque, struct sp_tls_event *ret)
{
    struct sc_tls *tls = tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    sc_tls_events_pop(&tls->events, ret);
    if (ret->kind == SP_TLS_PEER_PARAMS)
        ret->params = (struct sb_bytes){.data = tls->peer_params, .size = tls->peer_params_size};
    if (ret->kind == SP_TLS_NONE && tls->ssl == NULL) {
        OPENSSL_free(tls->peer_params);
        tls->peer_params = NULL;
    }
}

static const uint8_t *op_bytes(struct sp_tls *opaque, enum sp_level level, uint64_t offset,
                               size_t size)
{
    struct sc_tls *tls = tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    const struct out *out = &tls->out[level];
    SB_ASSERT(!out->is_dropped);
    SB_ASSERT(offset <= out->size && size <= out->size - offset);
    return out->data + offset;
}

static void op_drop(struct sp_tls *opaque, enum sp_level level)
{
    struct sc_tls *tls = tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    struct out *out = &tls->out[level];
    OPENSSL_free(out->data);
    *out = (struct out){.is_dropped = true};
}

/* The one exit: of secrets, and of everything else, also if half built. */
static void op_destroy(struct sp_tls *opaque)
{
    struct sc_tls *tls = tls_of(opaque);
    if (tls == NULL)
        return;
    let_go_of_openssl(tls);
    for (size_t i = 0; i < SP_LEVELS; i++)
        OPENSSL_free(tls->out[i].data);
    OPENSSL_free(tls->peer_params);
    OPENSSL_free(tls->server_name);
    OPENSSL_free(tls->peer_cert);
    OPENSSL_free(tls->error);
    sc_tls_events_wipe(&tls->events);
    sc_tls_config_unref(tls->config);
    OPENSSL_free(tls);
}

const struct sp_tls_ops sc_tls_ops = {
    .start = op_start,
    .receive = op_receive,
    .next = op_next,
    .bytes = op_bytes,
    .drop = op_drop,
    .destroy = op_destroy,
};

static bool name_is_plausible(const char *name)
{
    enum { NAME_SIZE_MAX = 253 }; /* [RFC1035 3.1], without the dot at the end */
    size_t size = strlen(name);
    for (size_t i = 0; i < size; i++) {
        if (name[i] <= ' ' || name[i] == 0x7f || (unsigned char)name[i] > 0x7f)
            return false;
    }
    return size > 0 && size <= NAME_SIZE_MAX;
}

/* Sets the server name of a client's handshake.  `server_name` may have a dot at its end. */
static int set_server_name(const struct sc_tls *tls, const char *server_name,
                           struct sc_error *error)
{
    if (server_name == NULL) {
        if (sc_tls_config_is_insecure(tls->config))
            return 0;
        return sc_error_set(error, -EINVAL, "a server's name is needed to verify it");
    }
    char name[256];
    size_t size = strlen(server_name);
    if (size > 0 && server_name[size - 1] == '.')
        size--;
    (void)snprintf(name, sizeof(name), "%.*s", (int)SB_MIN(size, sizeof(name)), server_name);
    if (!name_is_plausible(name))
        return sc_error_set(error, -EINVAL, "'%.64s' is not a server's name", server_name);

    ASN1_OCTET_STRING *ip = a2i_IPADDRESS(name);
    bool is_ip = ip != NULL;
    ASN1_OCTET_STRING_free(ip);
    ERR_clear_error();
    /* [RFC6066 3] An address is not sent in SNI. */
    if (!is_ip && SSL_set_tlsext_host_name(tls->ssl, name) != 1)
        return sc_error_set(error, -ENOMEM, "no memory");
    if (sc_tls_config_is_insecure(tls->config))
        return 0;
    /* [RFC6125 6.4] Only what stands in subjectAltName counts, no wildcard inside a label. */
    SSL_set_hostflags(tls->ssl,
                      X509_CHECK_FLAG_NO_PARTIAL_WILDCARDS | X509_CHECK_FLAG_NEVER_CHECK_SUBJECT);
    if (SSL_set1_host(tls->ssl, name) != 1) /* takes addresses too */
        return sc_error_set(error, -ENOMEM, "no memory");
    return 0;
}

int sc_tls_create(struct sc_tls_config *config, const char *server_name, struct sp_tls **ret,
                  struct sc_error *error)
{
    bool is_client = sc_tls_config_role(config) == SP_CLIENT;
    SB_ASSERT(is_client || server_name == NULL);
    struct sc_tls *tls = OPENSSL_zalloc(sizeof(*tls));
    if (tls == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    tls->config = sc_tls_config_ref(config);
    tls->alert = NO_ALERT;
    tls->ssl = SSL_new(sc_tls_config_context(config));

    int code = 0;
    if (tls->ssl == NULL || SSL_set_app_data(tls->ssl, &tls->alert) != 1) {
        code = -ENOMEM;
    } else {
        if (is_client)
            SSL_set_connect_state(tls->ssl);
        else
            SSL_set_accept_state(tls->ssl);
        if (SSL_set_quic_tls_cbs(tls->ssl, callbacks, tls) != 1)
            code = -ENOMEM;
    }
    if (code != 0)
        (void)sc_error_set(error, code, "no TLS: %s", sc_ossl_reason());
    else if (is_client)
        code = set_server_name(tls, server_name, error);

    struct sp_tls *opaque = (struct sp_tls *)(void *)tls;
    if (code != 0) {
        op_destroy(opaque);
        return code;
    }
    *ret = opaque;
    return 0;
}

struct sb_bytes sc_tls_alpn(const struct sp_tls *tls)
{
    return tls_of_const(tls)->alpn;
}

enum sp_suite sc_tls_suite(const struct sp_tls *tls)
{
    return tls_of_const(tls)->events.suite;
}

const char *sc_tls_group(const struct sp_tls *tls)
{
    const char *group = tls_of_const(tls)->group;
    return group == NULL ? "" : group;
}

const char *sc_tls_server_name(const struct sp_tls *tls)
{
    return tls_of_const(tls)->server_name;
}

struct sb_bytes sc_tls_peer_certificate(const struct sp_tls *tls)
{
    const struct sc_tls *t = tls_of_const(tls);
    return (struct sb_bytes){.data = t->peer_cert, .size = t->peer_cert_size};
}

const char *sc_tls_error(const struct sp_tls *tls)
{
    return tls_of_const(tls)->error;
}
