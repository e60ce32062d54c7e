/* SPDX-License-Identifier: MIT */
#include "crypto/tls_ask.h"

/* Handshakes that wait: for a certificate, a signature, a verdict about the peer.
 *
 * OpenSSL can be stopped at three places, and goes on when it is called again:
 *
 *   CERT    Its certificate callback may say "later".
 *   VERIFY  Its callback for chains may not on a server.  So the chain is taken for the time being,
 *           and the handshake is held before the first bytes that show acceptance: a client's
 *           first message at the Handshake level, a server's first ticket or its completion.  Then
 *           the peer has proved by its signature that the certificate is its own.
 *   SIGN    A signature cannot be made later.  So it is made before: the handshake is held
 *           at the end of the Certificate message, of which the hash to be signed depends, and the
 *           signature is there when OpenSSL asks for it (remote_key.c).
 *
 * A message is held by taking none of its bytes.  OpenSSL does not give out the hash of its
 * transcript: transcript.c makes it again from the messages that OpenSSL reports.  Were it wrong,
 * remote_key.c would refuse to sign. */

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/ssl.h>

#include "crypto/remote_key.h"
#include "crypto/suite.h"
#include "crypto/tls_impl.h"
#include "crypto/transcript.h"
#include "crypto/verified.h"
#include "proto/base/assert.h"

enum {
    MESSAGE_CERTIFICATE = 11, /* [RFC8446 4, RFC8879 4] */
    MESSAGE_COMPRESSED_CERTIFICATE = 25,
    MESSAGE_HEAD_SIZE = 4,
    EMPTY_CERTIFICATE_SIZE = 4, /* of the body: no context, no certificate */
    SCHEMES_MAX = 64,
    INPUT_BYTES_MAX = SC_TLS_PEER_CHAIN_BYTES_MAX + 8192, /* a server's messages after its hello */
};

struct sc_tls_asking {
    enum sc_ask_kind kind; /* what the handshake waits for */
    bool cert_is_answered;
    bool verify_is_due;       /* and not answered */
    struct sc_cert *answered; /* or NULL */
    struct sc_cert *used;     /* or NULL: that of the context, or none */
    const char *chain_error;

    bool may_sign;                   /* a key may be remote */
    struct sc_transcript transcript; /* then */
    uint32_t message_start;          /* in what we have sent at the Handshake level */
    uint32_t message_size;           /* 0: the next bytes begin a message */
    uint8_t signed_data[SC_SIGNED_DATA_SIZE_MAX];
    size_t signed_size;
    bool has_signature;
    struct sb_bytes signature; /* ours */

    uint8_t *lent_input; /* see sc_tls_keeps_input() */
    uint8_t *kept_input; /* to be lent next */
    size_t kept_size;

    /* Lent by sc_tls_ask(). */
    uint16_t schemes[SCHEMES_MAX];
    uint8_t *chain_bytes;
    struct sb_bytes *chain;
};

static struct sc_tls *tls_of_ssl(const SSL *ssl)
{
    int *alert = SSL_get_app_data(ssl);
    return SB_CONTAINER_OF(alert, struct sc_tls, alert);
}

static bool is_client(const struct sc_tls *tls)
{
    return sc_tls_config_role(tls->config) == SP_CLIENT;
}

/* ---- the transcript ---- */

/* Each handshake message, whole, in the order of the transcript. */
static void on_message(int is_sent, int version, int type, const void *data, size_t size, SSL *ssl,
                       void *opaque)
{
    (void)version;
    (void)ssl;
    struct sc_tls *tls = opaque;
    const struct sb_bytes message = {.data = data, .size = size};
    if (type != SSL3_RT_HANDSHAKE)
        return;
    if (!is_sent && tls->offers_early && sc_transcript_is_retry(message))
        sc_tls_take_early_back(tls);
    if (tls->asking != NULL && tls->asking->may_sign &&
        !sc_transcript_add(&tls->asking->transcript, message))
        sc_tls_note_alert(tls, SSL_AD_INTERNAL_ERROR, "no memory");
}

void sc_tls_follow_messages(struct sc_tls *tls)
{
    SSL_set_msg_callback(tls->ssl, on_message);
    SSL_set_msg_callback_arg(tls->ssl, tls);
}

/* What is to be signed, at the end of a Certificate message whose last bytes are `last`. */
static bool make_signed_data(struct sc_tls *tls, struct sb_bytes last)
{
    struct sc_tls_asking *asking = tls->asking;
    const struct sc_suite *suite = sc_suite_find(tls->events.suite);
    const struct sc_tls_out *out = &tls->out[SP_LEVEL_HANDSHAKE];
    struct sb_bytes parts[2] = {{0}, last};
    if (out->size > asking->message_start)
        parts[0] = (struct sb_bytes){.data = out->data + asking->message_start,
                                     .size = out->size - asking->message_start};
    if (suite == NULL)
        return false;
    asking->signed_size = sc_transcript_signed_data(&asking->transcript, suite->secret_size,
                                                    !is_client(tls), parts, asking->signed_data);
    return asking->signed_size > 0;
}

/* ---- waiting ---- */

static void wait_for(struct sc_tls *tls, enum sc_ask_kind kind)
{
    SB_ASSERT(tls->asking->kind == SC_ASK_NONE);
    tls->asking->kind = kind;
    sc_tls_events_push(&tls->events, SP_TLS_WAIT, 0);
}

bool sc_tls_waits(const struct sc_tls *tls)
{
    return tls->asking != NULL && tls->asking->kind != SC_ASK_NONE;
}

bool sc_tls_holds_completion(struct sc_tls *tls)
{
    if (tls->asking == NULL || !tls->asking->verify_is_due)
        return false;
    if (tls->asking->kind == SC_ASK_NONE)
        wait_for(tls, SC_ASK_VERIFY);
    return true;
}

/* Follows the messages that we send at the Handshake level.  Returns whether `data` ends a
 * Certificate that a signature follows. */
static bool ends_certificate(struct sc_tls *tls, struct sb_bytes data)
{
    struct sc_tls_asking *asking = tls->asking;
    uint32_t sent = tls->out[SP_LEVEL_HANDSHAKE].size;
    if (asking->message_size == 0 && data.size >= MESSAGE_HEAD_SIZE) {
        /* OpenSSL sends a message in pieces if it is large, but no two in one. */
        asking->message_start = sent;
        asking->message_size = MESSAGE_HEAD_SIZE + ((uint32_t)data.data[1] << 16 |
                                                    (uint32_t)data.data[2] << 8 | data.data[3]);
    }
    const uint8_t *head = sent > asking->message_start
                              ? tls->out[SP_LEVEL_HANDSHAKE].data + asking->message_start
                              : data.data;
    if (sent + data.size != asking->message_start + asking->message_size)
        return false;
    bool is_certificate =
        (head[0] == MESSAGE_CERTIFICATE || head[0] == MESSAGE_COMPRESSED_CERTIFICATE) &&
        asking->message_size > MESSAGE_HEAD_SIZE + EMPTY_CERTIFICATE_SIZE;
    if (!is_certificate)
        asking->message_size = 0;
    return is_certificate;
}

bool sc_tls_may_send(struct sc_tls *tls, struct sb_bytes data)
{
    struct sc_tls_asking *asking = tls->asking;
    bool is_first =
        is_client(tls) ? tls->write_level == SP_LEVEL_HANDSHAKE : tls->write_level == SP_LEVEL_APP;
    if (is_first && sc_tls_holds_completion(tls))
        return false;
    if (tls->write_level != SP_LEVEL_HANDSHAKE || asking->used == NULL ||
        !sc_cert_is_remote(asking->used) || !ends_certificate(tls, data))
        return true;
    if (asking->has_signature) {
        asking->message_size = 0;
        return true;
    }
    if (make_signed_data(tls, data))
        wait_for(tls, SC_ASK_SIGN);
    else
        sc_tls_note_alert(tls, SSL_AD_INTERNAL_ERROR, "no memory");
    return false;
}

/* ---- what OpenSSL calls ---- */

/* Ends the handshake because there is no certificate for what the client wants. */
static int refuse_name(struct sc_tls *tls, const char *name)
{
    struct sc_error error;
    if (name == NULL) {
        /* [RFC8446 9.2] */
        sc_tls_note_alert(tls, SSL_AD_MISSING_EXTENSION,
                          "the client named no server, and there is no certificate for all");
        return 0;
    }
    (void)sc_error_set(&error, 0, "there is no certificate for the server '%.128s'", name);
    sc_tls_note_alert(tls, SSL_AD_UNRECOGNIZED_NAME, error.text); /* [RFC6066 3] */
    return 0;
}

static int use(struct sc_tls *tls, struct sc_cert *cert)
{
    if (!sc_cert_use(cert, tls->ssl)) {
        sc_tls_note_alert(tls, SSL_AD_INTERNAL_ERROR, "no memory");
        return 0;
    }
    struct sc_tls_asking *asking = tls->asking;
    if (asking != NULL) {
        sc_cert_unref(asking->used);
        asking->used = sc_cert_ref(cert);
    }
    return 1;
}

static int later(struct sc_tls *tls, enum sc_ask_kind kind)
{
    if (tls->asking->kind == SC_ASK_NONE)
        wait_for(tls, kind);
    return -1;
}

static bool asks_cert(const struct sc_tls *tls)
{
    return sc_tls_config_asks_cert(tls->config) && !tls->asking->cert_is_answered;
}

static int choose_for_server(struct sc_tls *tls)
{
    const char *name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name);
    struct sc_cert *cert =
        name != NULL && tls->certs != NULL ? sc_cert_table_find(tls->certs, name) : NULL;
    if (cert == NULL && asks_cert(tls))
        return later(tls, SC_ASK_CERT);
    if (cert == NULL && tls->asking != NULL)
        cert = tls->asking->answered;
    bool takes_others = name == NULL || !sc_tls_config_refuses_unknown(tls->config);
    if (cert == NULL && tls->certs != NULL && takes_others)
        cert = sc_cert_table_default(tls->certs);
    return cert != NULL ? use(tls, cert) : refuse_name(tls, name);
}

/* OpenSSL calls it when it has read the server's request, before the server's own certificate. */
static int choose_for_client(struct sc_tls *tls)
{
    if (asks_cert(tls))
        return later(tls, SC_ASK_CERT);
    struct sc_cert *cert = tls->asking != NULL ? tls->asking->answered : NULL;
    if (cert == NULL && tls->certs != NULL && !sc_tls_config_asks_cert(tls->config))
        cert = sc_cert_table_default(tls->certs);
    if (cert != NULL)
        return use(tls, cert);
    SSL_certs_clear(tls->ssl);
    return 1;
}

int sc_tls_on_cert(SSL *ssl, void *arg)
{
    (void)arg;
    struct sc_tls *tls = tls_of_ssl(ssl);
    if (tls->certs == NULL && !sc_tls_config_asks_cert(tls->config))
        return 1; /* that of the context */
    return is_client(tls) ? choose_for_client(tls) : choose_for_server(tls);
}

int sc_tls_on_chain(X509_STORE_CTX *store, void *arg)
{
    (void)arg;
    const SSL *ssl = X509_STORE_CTX_get_ex_data(store, SSL_get_ex_data_X509_STORE_CTX_idx());
    struct sc_tls *tls = tls_of_ssl(ssl);
    enum sc_verify verify = sc_tls_config_verify(tls->config);
    bool decides = verify == SC_VERIFY_ASK_INSTEAD;
    if (decides && !sc_tls_config_has_trust(tls->config)) {
        tls->asking->chain_error = "no CA certificate is given";
    } else {
        int result = sc_verified_check(sc_tls_config_verified(tls->config), store, tls->peer_name,
                                       (int64_t)sc_tls_now_s());
        if (result < 0 || (result == 0 && !decides))
            return result;
        if (result == 0)
            tls->asking->chain_error =
                X509_verify_cert_error_string(X509_STORE_CTX_get_error(store));
    }
    if (verify == SC_VERIFY_CHAIN)
        return 1;
    X509_STORE_CTX_set_error(store, X509_V_OK);
    tls->asking->verify_is_due = true;
    return 1;
}

void sc_tls_on_keylog(const SSL *ssl, const char *line)
{
    static const char label[] = "EXPORTER_SECRET ";
    enum { RANDOM_HEX_SIZE = 64 };
    struct sc_tls *tls = tls_of_ssl(ssl);
    if (strncmp(line, label, sizeof(label) - 1) != 0 ||
        strlen(line) < sizeof(label) + RANDOM_HEX_SIZE)
        return;
    const char *hex = line + sizeof(label) - 1 + RANDOM_HEX_SIZE + 1;
    size_t size = 0;
    /* OPENSSL_hexstr2buf_ex() reads no more than the text: it has two digits per byte. */
    if (OPENSSL_hexstr2buf_ex(tls->events.exporter, sizeof(tls->events.exporter), &size, hex,
                              '\0') != 1)
        ERR_clear_error(); /* then there is nothing to export from */
    tls->has_exporter = size > 0;
}

/* ---- input that OpenSSL may hold ---- */

bool sc_tls_keeps_input(const struct sc_tls *tls)
{
    return tls->asking != NULL && is_client(tls) && sc_tls_config_asks_cert(tls->config) &&
           (tls->asking->kind == SC_ASK_NONE || tls->asking->kind == SC_ASK_CERT);
}

bool sc_tls_keep_input(struct sc_tls *tls, struct sb_bytes data)
{
    struct sc_tls_asking *asking = tls->asking;
    if (data.size > INPUT_BYTES_MAX - asking->kept_size)
        return false;
    uint8_t *grown = OPENSSL_realloc(asking->kept_input, asking->kept_size + data.size);
    if (grown == NULL)
        return false;
    memcpy(grown + asking->kept_size, data.data, data.size);
    asking->kept_input = grown;
    asking->kept_size += data.size;
    return true;
}

void sc_tls_lend_kept(struct sc_tls *tls)
{
    struct sc_tls_asking *asking = tls->asking;
    if (asking == NULL || tls->in.size > 0 || asking->kept_size == 0)
        return;
    SB_ASSERT(asking->lent_input == NULL);
    asking->lent_input = asking->kept_input;
    tls->in = (struct sb_bytes){.data = asking->lent_input, .size = asking->kept_size};
    asking->kept_input = NULL;
    asking->kept_size = 0;
}

void sc_tls_free_kept(struct sc_tls *tls)
{
    if (tls->asking == NULL)
        return;
    OPENSSL_free(tls->asking->lent_input);
    tls->asking->lent_input = NULL;
}

/* ---- life ---- */

static void drop_lent(struct sc_tls_asking *asking)
{
    OPENSSL_free(asking->chain_bytes);
    OPENSSL_free(asking->chain);
    asking->chain_bytes = NULL;
    asking->chain = NULL;
}

void sc_tls_asking_free(struct sc_tls *tls)
{
    struct sc_tls_asking *asking = tls->asking;
    if (asking == NULL)
        return;
    drop_lent(asking);
    sc_transcript_deinit(&asking->transcript);
    sc_tls_free_kept(tls);
    OPENSSL_free(asking->kept_input);
    OPENSSL_free((void *)(uintptr_t)asking->signature.data);
    sc_cert_unref(asking->answered);
    sc_cert_unref(asking->used);
    OPENSSL_free(asking);
    tls->asking = NULL;
}

bool sc_tls_asking_init(struct sc_tls *tls)
{
    bool may_sign = sc_tls_config_asks_cert(tls->config) ||
                    (tls->certs != NULL && sc_cert_table_has_remote(tls->certs));
    if (!may_sign && sc_tls_config_verify(tls->config) == SC_VERIFY_CHAIN)
        return true;
    tls->asking = OPENSSL_zalloc(sizeof(*tls->asking));
    if (tls->asking == NULL)
        return false;
    if (!may_sign)
        return true;
    tls->asking->may_sign = true;
    if (!sc_transcript_init(&tls->asking->transcript))
        return false;
    sc_tls_follow_messages(tls);
    return true;
}

int sc_tls_call_openssl(struct sc_tls *tls)
{
    const struct sc_tls_asking *asking = tls->asking;
    struct sc_remote_signature signature;
    if (asking == NULL || !asking->has_signature)
        return SSL_do_handshake(tls->ssl);
    signature.data = (struct sb_bytes){asking->signed_data, asking->signed_size};
    signature.signature = asking->signature;
    sc_remote_key_lend(&signature);
    int result = SSL_do_handshake(tls->ssl);
    sc_remote_key_lend(NULL);
    return result;
}

/* ---- questions ---- */

enum sc_ask_kind sc_tls_ask_kind(const struct sp_tls *opaque)
{
    const struct sc_tls *tls = sc_tls_of_const(opaque);
    return tls->asking == NULL ? SC_ASK_NONE : tls->asking->kind;
}

/* [RFC8446 4.2.3] Codes of the schemes that our keys sign by. */
static uint16_t scheme_of(const SSL *ssl)
{
    static const struct {
        const char *name;
        uint16_t code;
    } schemes[] = {
        {"ecdsa_secp256r1_sha256", 0x0403},
        {"ecdsa_secp384r1_sha384", 0x0503},
        {"ecdsa_secp521r1_sha512", 0x0603},
        {"rsa_pss_rsae_sha256", 0x0804},
        {"rsa_pss_rsae_sha384", 0x0805},
        {"rsa_pss_rsae_sha512", 0x0806},
        {"ed25519", 0x0807},
    };
    const char *name = NULL;
    if (SSL_get0_signature_name((SSL *)(uintptr_t)ssl, &name) == 1 && name != NULL)
        for (size_t i = 0; i < SB_COUNT(schemes); i++)
            if (strcmp(schemes[i].name, name) == 0)
                return schemes[i].code;
    return 0;
}

static void list_schemes(struct sc_tls *tls, struct sc_ask *ret)
{
    int count = SSL_get_sigalgs(tls->ssl, -1, NULL, NULL, NULL, NULL, NULL);
    ret->schemes = tls->asking->schemes;
    for (int i = 0; i < count && ret->scheme_count < SCHEMES_MAX; i++) {
        unsigned char low, high;
        if (SSL_get_sigalgs(tls->ssl, i, NULL, NULL, NULL, &low, &high) > 0)
            tls->asking->schemes[ret->scheme_count++] = (uint16_t)(high << 8 | low);
    }
}

/* The peer's chain as DER, the leaf first, in one piece of memory. */
static bool list_chain(struct sc_tls *tls, struct sc_ask *ret)
{
    struct sc_tls_asking *asking = tls->asking;
    size_t size, count;
    sc_tls_peer_chain_size(tls->ssl, &size, &count);
    drop_lent(asking);
    asking->chain_bytes = OPENSSL_malloc(size + 1);
    asking->chain = OPENSSL_zalloc((count + 1) * sizeof(asking->chain[0]));
    if (asking->chain_bytes == NULL || asking->chain == NULL)
        return false;
    sc_tls_peer_chain_write(tls->ssl, asking->chain_bytes);
    size_t at = 0;
    for (size_t i = 0; i < count; i++) {
        asking->chain[i] = sc_tls_chain_next(asking->chain_bytes, size, &at);
        SB_ASSERT(asking->chain[i].data != NULL);
    }
    ret->chain = asking->chain;
    ret->chain_count = count;
    return true;
}

int sc_tls_ask(struct sp_tls *opaque, struct sc_ask *ret)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    if (!sc_tls_waits(tls))
        return -ENOENT;
    const struct sc_tls_asking *asking = tls->asking;
    struct sc_ask ask = {
        .kind = asking->kind,
        .server_name = SSL_get_servername(tls->ssl, TLSEXT_NAMETYPE_host_name),
    };
    const unsigned char *name;
    unsigned int name_size;
    SSL_get0_alpn_selected(tls->ssl, &name, &name_size);
    ask.alpn = sc_tls_config_alpn(tls->config, (struct sb_bytes){.data = name, .size = name_size});
    switch (asking->kind) {
    case SC_ASK_NONE:
        break;
    case SC_ASK_CERT:
        list_schemes(tls, &ask);
        break;
    case SC_ASK_SIGN:
        ask.cert = asking->used;
        ask.scheme = scheme_of(tls->ssl);
        ask.data = (struct sb_bytes){asking->signed_data, asking->signed_size};
        break;
    case SC_ASK_VERIFY:
        ask.chain_error = asking->chain_error;
        if (!list_chain(tls, &ask))
            return -ENOMEM;
        break;
    }
    *ret = ask;
    return 0;
}

/* ---- answers ---- */

static struct sc_tls_asking *begin_answer(struct sc_tls *tls, enum sc_ask_kind kind)
{
    if (tls->is_failed || tls->asking == NULL || tls->asking->kind != kind)
        return NULL;
    sc_tls_events_settle(&tls->events);
    drop_lent(tls->asking);
    tls->asking->kind = SC_ASK_NONE;
    return tls->asking;
}

int sc_tls_answer_cert(struct sp_tls *opaque, struct sc_cert *cert)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    struct sc_tls_asking *asking = begin_answer(tls, SC_ASK_CERT);
    if (asking == NULL)
        return -ENOENT;
    asking->cert_is_answered = true;
    asking->answered = cert != NULL ? sc_cert_ref(cert) : NULL;
    sc_tls_drive(tls);
    return 0;
}

int sc_tls_answer_sign(struct sp_tls *opaque, struct sb_bytes signature)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    if (signature.size > SC_SIGNATURE_SIZE_MAX)
        return -EINVAL;
    struct sc_tls_asking *asking = begin_answer(tls, SC_ASK_SIGN);
    if (asking == NULL)
        return -ENOENT;
    uint8_t *copy = signature.size == 0 ? NULL : OPENSSL_memdup(signature.data, signature.size);
    if (copy == NULL) {
        sc_tls_note_alert(tls, SSL_AD_INTERNAL_ERROR,
                          signature.size == 0 ? "the private key, which is elsewhere, did not sign"
                                              : "no memory");
        sc_tls_fail(tls);
        return 0;
    }
    asking->signature = (struct sb_bytes){copy, signature.size};
    asking->has_signature = true;
    sc_tls_drive(tls);
    return 0;
}

int sc_tls_answer_verify(struct sp_tls *opaque, uint8_t alert, const char *reason)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    struct sc_tls_asking *asking = begin_answer(tls, SC_ASK_VERIFY);
    if (asking == NULL)
        return -ENOENT;
    asking->verify_is_due = false;
    if (alert != 0) {
        struct sc_error error;
        (void)sc_error_set(&error, 0, "the application refused the peer's certificate%s%.160s",
                           reason != NULL ? ": " : "", reason != NULL ? reason : "");
        sc_tls_note_alert(tls, alert, error.text);
        sc_tls_fail(tls);
    } else {
        sc_tls_drive(tls);
    }
    return 0;
}
