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

#include <stdio.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "crypto/tls_impl.h"
#include "proto/base/assert.h"

/* A handshake message at the Initial level: an ML-KEM share takes 1.2 KB, and a
 * post-quantum ClientHello of today 1.8. */
enum { HELLO_SIZE_MAX = 16384 };

/* Of messages after the handshake.  [RFC8446 4, 4.6.1] */
enum { ANY_TYPE = -1, NEW_SESSION_TICKET = 4, MESSAGE_SIZE_MAX = (1 << 24) - 1 };

/* [RFC9001 4.1.3] Not an error of TLS. */
static void note_excess(struct sc_tls *tls)
{
    tls->is_excess = tls->alert == SC_TLS_NO_ALERT;
    sc_tls_note_alert(tls, SSL_AD_UNEXPECTED_MESSAGE, "handshake data after the end of its level");
}

static void learn_server_name(struct sc_tls *tls)
{
    const char *server_name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    if (server_name != NULL && tls->server_name == NULL)
        tls->server_name = sc_memory_take_text(tls->memory, server_name);
}

void sc_tls_learn_alpn(struct sc_tls *tls)
{
    const unsigned char *name;
    unsigned int name_size;
    SSL_get0_alpn_selected(tls->ssl, &name, &name_size);
    tls->alpn = sc_tls_config_alpn(tls->config, (struct sb_bytes){.data = name, .size = name_size});
}

/* Copies what sc_tls_suite() and its like return, so that OpenSSL is not needed for them.  Only
 * after the handshake: before there is a session, SSL_get0_group_name() crashes. */
static void learn(struct sc_tls *tls)
{
    sc_tls_learn_alpn(tls);
    tls->group = SSL_get0_group_name(tls->ssl);

    learn_server_name(tls);
    sc_tls_learn_peer(tls);
    tls->is_resumed = SSL_session_reused(tls->ssl) == 1;
}

static void let_go_of_openssl(struct sc_tls *tls)
{
    SSL_free(tls->ssl); /* may call on_release() */
    sc_tls_asking_free(tls);
    sc_cert_table_unref(tls->certs);
    tls->certs = NULL;
    tls->ssl = NULL;
    OPENSSL_free(tls->ticket_leaf);
    tls->ticket_leaf = NULL;
    OPENSSL_free(tls->params);
    tls->params = NULL;
}

static void push_failed(struct sc_tls *tls)
{
    tls->is_failed = true;
    enum sp_tls_event_kind kind = tls->is_excess ? SP_TLS_EXCESS : SP_TLS_ALERT;
    sc_tls_events_push(&tls->events, kind, (uint8_t)tls->alert);
}

void sc_tls_fail(struct sc_tls *tls)
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
    sc_tls_note_alert(tls, SSL_AD_INTERNAL_ERROR, NULL);
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

/* Whether OpenSSL goes on when there is more to read, or an answer. */
static bool is_fine(const struct sc_tls *tls, int result)
{
    if (result == 1)
        return true;
    int why = SSL_get_error(tls->ssl, result);
    return why == SSL_ERROR_WANT_READ || (sc_tls_waits(tls) && (why == SSL_ERROR_WANT_X509_LOOKUP ||
                                                                why == SSL_ERROR_WANT_WRITE));
}

/* Server: reports that 0-RTT was offered and rejected. */
static void report_early(struct sc_tls *tls)
{
    bool is_server = sc_tls_config_role(tls->config) == SP_SERVER;
    if (!is_server || tls->has_reported_early || tls->peer_params == NULL ||
        SSL_get_early_data_status(tls->ssl) != SSL_EARLY_DATA_REJECTED)
        return;
    tls->has_reported_early = true;
    sc_tls_events_push(&tls->events, SP_TLS_EARLY_REJECTED, 0);
}

/* Returns whether OpenSSL has failed by a fault that is none of TLS, for which QUIC has an error of
 * its own. */
static bool is_fault_of_quic(void)
{
    int reason = ERR_GET_REASON(ERR_peek_error());
    /* It looks at the bytes that it has taken when the level changes. */
    return reason == SSL_R_NOT_ON_RECORD_BOUNDARY ||
           /* [RFC9001 4.6.1] A ticket that allows a part of 0-RTT. */
           reason == SSL_R_INVALID_MAX_EARLY_DATA;
}

/* Lets OpenSSL do what it can with `in`. */
void sc_tls_drive(struct sc_tls *tls)
{
    ERR_clear_error(); /* SSL_get_error() looks at the queue, also at what others left */
    int result;
    if (!tls->is_complete) {
        result = tls->is_paused ? SSL_read(tls->ssl, NULL, 0) : sc_tls_call_openssl(tls);
        /* A server that accepts 0-RTT is done before the client's Finished; then only SSL_read()
         * goes on. */
        tls->is_paused |= result == 1 && !tls->has_app_read;
        bool is_done = tls->is_paused ? SSL_is_init_finished(tls->ssl) == 1 : result == 1;
        if (is_done && tls->has_app_read && !sc_tls_holds_completion(tls))
            complete(tls);
        report_early(tls);
    } else {
        result = SSL_read(tls->ssl, NULL, 0);
    }
    bool goes_on = is_fine(tls, result);
    if (!goes_on && is_fault_of_quic())
        tls->is_excess = true;
    bool is_kept = sc_tls_keeps_input(tls) && sc_tls_waits(tls);
    if (goes_on && tls->in.size > 0 && !is_kept)
        note_excess(tls);
    if (!goes_on || tls->alert != SC_TLS_NO_ALERT)
        sc_tls_fail(tls);
    else if (tls->is_complete && sc_tls_config_role(tls->config) == SP_SERVER)
        let_go_of_openssl(tls);
    else if (tls->is_complete)
        sc_tls_asking_free(tls);
}

static bool op_start(struct sp_tls *opaque, const uint8_t *params, size_t params_size)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    SB_ASSERT(tls->params == NULL && tls->ssl != NULL);
    tls->params = OPENSSL_malloc(params_size + 1);
    if (tls->params == NULL)
        return false;
    if (params_size > 0)
        memcpy(tls->params, params, params_size);
    tls->params_size = params_size;
    if (SSL_set_quic_tls_transport_params(tls->ssl, tls->params, params_size) != 1)
        return false;
    if (sc_tls_config_role(tls->config) == SP_CLIENT)
        sc_tls_drive(tls);
    return true;
}

/* Follows the messages in `data`.  Returns false at one that claims to be larger than `size_max`,
 * or whose type is another than `type`, unless that is ANY_TYPE. */
static bool guard_lets_pass(struct sc_tls_guard *guard, const uint8_t *data, size_t size, int type,
                            uint32_t size_max)
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
        if (guard->left > size_max || (type != ANY_TYPE && guard->head[0] != type))
            return false;
    }
    return true;
}

/* OpenSSL is freed.  A client takes tickets still, and ignores them [RFC8446 4.6.1]; nothing else
 * may come: no KeyUpdate [RFC9001 6], no certificate or request for one [RFC9001 4.4]. */
static void receive_without_openssl(struct sc_tls *tls, struct sb_bytes data)
{
    if (sc_tls_config_role(tls->config) == SP_CLIENT && !tls->is_excess &&
        guard_lets_pass(&tls->guard, data.data, data.size, NEW_SESSION_TICKET, MESSAGE_SIZE_MAX))
        return;
    sc_tls_note_alert(tls, SSL_AD_UNEXPECTED_MESSAGE, "handshake data after the handshake");
    push_failed(tls);
}

/* Receives bytes that OpenSSL may hold beyond this call. */
static void receive_kept(struct sc_tls *tls, struct sb_bytes data)
{
    if (!sc_tls_keep_input(tls, data)) {
        sc_tls_note_alert(tls, SSL_AD_INTERNAL_ERROR, "too much handshake data to keep");
        sc_tls_fail(tls);
    } else if (!sc_tls_waits(tls)) {
        sc_tls_drive(tls);
    }
}

static void op_receive(struct sp_tls *opaque, enum sp_level level, const uint8_t *data, size_t size)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    if (tls->is_failed || size == 0)
        return;
    SB_ASSERT(level <= tls->read_level); /* we never said the key for more */
    if (level < tls->read_level || (sc_tls_waits(tls) && !sc_tls_keeps_input(tls)))
        note_excess(tls);
    const struct sb_bytes in = {.data = data, .size = size};
    if (tls->ssl == NULL)
        receive_without_openssl(tls, in);
    else if (tls->is_excess)
        sc_tls_fail(tls);
    if (tls->is_failed || tls->ssl == NULL)
        return;
    SB_ASSERT(tls->params != NULL); /* started */
    if (level == SP_LEVEL_INITIAL &&
        !guard_lets_pass(&tls->guard, data, size, ANY_TYPE, HELLO_SIZE_MAX)) {
        sc_tls_note_alert(tls, SSL_AD_ILLEGAL_PARAMETER, "the peer's hello is too large");
        sc_tls_fail(tls);
        return;
    }
    if (level == SP_LEVEL_APP) /* op_rest() looks whether a message is only here in part */
        (void)!guard_lets_pass(&tls->guard, data, size, ANY_TYPE, MESSAGE_SIZE_MAX);
    if (sc_tls_keeps_input(tls)) {
        receive_kept(tls, in);
        return;
    }
    tls->in = in;
    sc_tls_drive(tls);
    SB_ASSERT(!tls->in_is_lent);
    tls->in = (struct sb_bytes){0};
}

/* The last event was pulled. */
static void forget_peer_params(struct sc_tls *tls)
{
    OPENSSL_free(tls->peer_params);
    tls->peer_params = NULL;
    sc_tls_events_end(&tls->events);
}

static void op_next(struct sp_tls *opaque, struct sp_tls_event *ret)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    sc_tls_events_pop(&tls->events, ret);
    if (ret->kind == SP_TLS_PEER_PARAMS)
        ret->params = (struct sb_bytes){.data = tls->peer_params, .size = tls->peer_params_size};
    if (ret->kind == SP_TLS_NONE && tls->ssl == NULL)
        forget_peer_params(tls);
}

static const uint8_t *op_bytes(struct sp_tls *opaque, enum sp_level level, uint64_t offset,
                               size_t size)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    const struct sc_tls_out *out = &tls->out[level];
    SB_ASSERT(!out->is_dropped);
    SB_ASSERT(offset <= out->size && size <= out->size - offset);
    return out->data + offset;
}

static bool op_ticket(struct sp_tls *opaque, struct sb_bytes *ret)
{
    return sc_tls_take_ticket(sc_tls_of(opaque), ret);
}

static void op_drop(struct sp_tls *opaque, enum sp_level level)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    struct sc_tls_out *out = &tls->out[level];
    OPENSSL_free(out->data);
    *out = (struct sc_tls_out){.is_dropped = true};
}

static void op_rest(struct sp_tls *opaque)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    sc_tls_events_settle(&tls->events);
    bool is_between = tls->guard.head_size == 0 && tls->guard.left == 0;
    if (!tls->is_complete || tls->is_failed || tls->events.count > 0 || !is_between)
        return;
    if (tls->ssl != NULL)
        let_go_of_openssl(tls);
    forget_peer_params(tls);
    for (size_t i = 0; i < SP_LEVELS; i++) {
        OPENSSL_free(tls->out[i].data);
        tls->out[i].data = NULL;
        tls->out[i].capacity = tls->out[i].size;
    }
}

static void op_set_answer(struct sp_tls *opaque, sp_tls_answer answer, void *context)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    SB_ASSERT(tls->params == NULL && sc_tls_config_role(tls->config) == SP_SERVER);
    tls->answer = answer;
    tls->answer_context = context;
}

static bool op_restart(struct sp_tls *opaque)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    SB_ASSERT(sc_tls_config_role(tls->config) == SP_CLIENT && tls->peer_params == NULL);
    if (tls->is_failed)
        return false;
    sc_tls_events_wipe(&tls->events);
    let_go_of_openssl(tls);
    for (size_t i = 0; i < SP_LEVELS; i++) {
        OPENSSL_free(tls->out[i].data);
        tls->out[i] = (struct sc_tls_out){0};
    }
    tls->guard = (struct sc_tls_guard){0};
    tls->offers_early = false; /* [RFC9369 5] the ticket is of the other version */
    /* [RFC9368 6] All protocols are offered again. */
    return sc_tls_open(tls, NULL) == 0;
}

/* The one exit: of secrets, and of everything else, also if half built. */
static void op_destroy(struct sp_tls *opaque)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    if (tls == NULL)
        return;
    let_go_of_openssl(tls);
    sc_tls_free_tickets(tls);
    for (size_t i = 0; i < SP_LEVELS; i++)
        OPENSSL_free(tls->out[i].data);
    OPENSSL_free(tls->peer_params);
    sc_memory_give_text(tls->memory, tls->server_name);
    sc_memory_give_text(tls->memory, tls->peer_name);
    sc_memory_give(tls->memory, tls->peer_chain, tls->peer_chain_size);
    OPENSSL_free(tls->error);
    sc_tls_events_deinit(&tls->events);
    sc_tls_config_unref(tls->config);
    sc_memory_give(tls->memory, tls, sizeof(*tls));
}

const struct sp_tls_ops sc_tls_ops = {
    .set_answer = op_set_answer,
    .restart = op_restart,
    .start = op_start,
    .receive = op_receive,
    .next = op_next,
    .bytes = op_bytes,
    .ticket = op_ticket,
    .drop = op_drop,
    .rest = op_rest,
    .destroy = op_destroy,
};
