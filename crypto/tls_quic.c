/* SPDX-License-Identifier: MIT */
#include "crypto/tls_impl.h"

/* The callbacks of OpenSSL's QUIC TLS interface: they only record what OpenSSL reports.  Its rules
 * stand at the head of crypto/tls.c. */

#include <string.h>

#include <openssl/core_dispatch.h>
#include <openssl/crypto.h>
#include <openssl/ssl.h>

#include "crypto/suite.h"
#include "proto/base/assert.h"

void sc_tls_note_alert(struct sc_tls *tls, int alert, const char *error)
{
    if (tls->alert != SC_TLS_NO_ALERT)
        return;
    tls->alert = alert;
    if (error != NULL && tls->error == NULL)
        tls->error = OPENSSL_strdup(error);
}

/* [RFC9000 7, RFC9001 8.1, 8.2] What the server's EncryptedExtensions must have had. */
static bool client_may_go_on(struct sc_tls *tls)
{
    const unsigned char *name;
    unsigned int name_size;
    SSL_get0_alpn_selected(tls->ssl, &name, &name_size);
    tls->alpn = sc_tls_config_alpn(tls->config, (struct sb_bytes){.data = name, .size = name_size});
    if (tls->alpn.data == NULL) {
        sc_tls_note_alert(tls, SSL_AD_NO_APPLICATION_PROTOCOL,
                          "the server chose none of our application protocols");
        return false;
    }
    if (tls->peer_params == NULL) {
        sc_tls_note_alert(tls, SSL_AD_MISSING_EXTENSION, "the server sent no transport parameters");
        return false;
    }
    return true;
}

static int on_send(SSL *ssl, const unsigned char *data, size_t size, size_t *ret_consumed,
                   void *arg)
{
    (void)ssl;
    struct sc_tls *tls = arg;
    struct sc_tls_out *out = &tls->out[tls->write_level];
    bool is_client = sc_tls_config_role(tls->config) == SP_CLIENT;
    if (is_client && tls->write_level == SP_LEVEL_HANDSHAKE && out->size == 0 &&
        !client_may_go_on(tls))
        return 0;
    if (tls->asking != NULL &&
        !sc_tls_may_send(tls, (struct sb_bytes){.data = data, .size = size})) {
        *ret_consumed = 0;
        return 1;
    }
    if (out->is_dropped || size > SC_TLS_SEND_BYTES_MAX - out->size) {
        sc_tls_note_alert(tls, SSL_AD_INTERNAL_ERROR, "too much handshake data to send");
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
    if (!tls->in_is_lent)
        sc_tls_lend_kept(tls);
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
    sc_tls_free_kept(tls);
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
    enum sp_level level = (enum sp_level)protection;
    sc_tls_events_keep_secret(&tls->events, level, is_write != 0, id,
                              (struct sb_bytes){.data = secret, .size = size});
    if (!is_write && level == SP_LEVEL_EARLY) /* a server, which has chosen already */
        sc_tls_learn_alpn(tls);
    /* [RFC9001 8.3] No CRYPTO data goes in 0-RTT packets: a second ClientHello is an Initial. */
    if (is_write && level != SP_LEVEL_EARLY)
        tls->write_level = level;
    if (!is_write && level != SP_LEVEL_EARLY)
        tls->read_level = level;

    if (level == SP_LEVEL_APP && !is_write)
        tls->has_app_read = true; /* said with COMPLETE */
    else
        sc_tls_events_push_secret(&tls->events, level, is_write != 0);
    return 1;
}

/* Replaces our parameters by those that answer the client's.  OpenSSL reads them later. */
static bool answer(struct sc_tls *tls)
{
    enum { PARAMS_SIZE_MAX = 1024 };
    uint8_t *params = OPENSSL_malloc(PARAMS_SIZE_MAX);
    if (params == NULL)
        return false;
    size_t size =
        tls->answer(tls->answer_context, (struct sb_bytes){tls->peer_params, tls->peer_params_size},
                    params, PARAMS_SIZE_MAX);
    if (size == 0) {
        OPENSSL_free(params);
        return true;
    }
    uint8_t *before = tls->params;
    tls->params = params;
    tls->params_size = size;
    bool done = SSL_set_quic_tls_transport_params(tls->ssl, params, size) == 1;
    OPENSSL_free(before);
    return done;
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
        sc_tls_note_alert(tls, SSL_AD_ILLEGAL_PARAMETER,
                          "the peer changed its transport parameters");
        return 0;
    }
    tls->peer_params = OPENSSL_malloc(size + 1); /* not NULL if there are none */
    if (tls->peer_params == NULL)
        return 0;
    if (size > 0)
        memcpy(tls->peer_params, data, size);
    tls->peer_params_size = size;
    /* OpenSSL reads the extension of 0-RTT before this one. */
    if (tls->offers_early) {
        bool is_accepted = SSL_get_early_data_status(ssl) == SSL_EARLY_DATA_ACCEPTED;
        sc_tls_events_push(&tls->events,
                           is_accepted ? SP_TLS_EARLY_ACCEPTED : SP_TLS_EARLY_REJECTED, 0);
        tls->has_reported_early = true;
    }
    sc_tls_events_push(&tls->events, SP_TLS_PEER_PARAMS, 0);
    return tls->answer == NULL || answer(tls);
}

static int on_alert(SSL *ssl, unsigned char alert, void *arg)
{
    (void)ssl;
    sc_tls_note_alert(arg, alert, NULL);
    return 1;
}

#define ENTRY(id, function) {OSSL_FUNC_SSL_QUIC_TLS_##id, (void (*)(void))(function)}
const OSSL_DISPATCH sc_tls_callbacks[] = {
    ENTRY(CRYPTO_SEND, on_send),
    ENTRY(CRYPTO_RECV_RCD, on_receive),
    ENTRY(CRYPTO_RELEASE_RCD, on_release),
    ENTRY(YIELD_SECRET, on_secret),
    ENTRY(GOT_TRANSPORT_PARAMS, on_params),
    ENTRY(ALERT, on_alert),
    OSSL_DISPATCH_END,
};
