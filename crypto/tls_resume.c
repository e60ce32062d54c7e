/* SPDX-License-Identifier: MIT */
#include "crypto/tls_resume.h"

/* Tickets, resumption and 0-RTT on OpenSSL.
 *
 * Server: tickets are stateless, sealed by crypto/ticket_keys.c.  Beside OpenSSL's session they
 * hold our transport parameters, so that 0-RTT is accepted only if no limit is lower now, and only
 * for the version of QUIC that they were given for.  [RFC9000 7.4.1, RFC9369 5]  Before them stands
 * a random number of the configuration: which tickets are its own tells sc_strikes_add(). OpenSSL's
 * own record of tickets that were used is off, because it would keep every session: a strike
 * register of bounded size refuses ClientHellos that were seen before, and OpenSSL compares the age
 * of the ticket.
 *
 * Client: a ticket for the application is
 *
 *     +-------+-------+---------+--------+----------+------+------+------------+------+---------+
 *     | magic | flags | version | issued | lifetime | name | ALPN | parameters | leaf | session |
 *     +-------+-------+---------+--------+----------+------+------+------------+------+---------+
 *
 * with the server's parameters as they came, and its certificate, which the session lacks: see
 * crypto/session_der.c.  It is used for the same name and version, while it lives.  Whoever can
 * read it can resume in the client's name, and read its 0-RTT. */

#include <errno.h>
#include <string.h>

#include <openssl/crypto.h>
#include <openssl/err.h>
#include <openssl/rand.h>
#include <openssl/ssl.h>

#include "crypto/session_der.h"
#include "crypto/strikes.h"
#include "crypto/ticket_keys.h"
#include "crypto/tls_impl.h"
#include "proto/base/assert.h"
#include "proto/wire/tparam.h"

#define LIFETIME_DEFAULT_S (24 * 3600)
#define LIFETIME_MAX_S     (7 * 24 * 3600) /* [RFC8446 4.6.1] */
#define MAGIC              UINT32_C(0x53705432)

enum {
    STRIKES_DEFAULT = 65536,
    FLAG_VERIFIED = 1,
    ISSUER_SIZE = 8,
};

struct sc_resumption {
    struct sc_ticket_keys *keys; /* server with tickets */
    struct sc_strikes *strikes;  /* server that accepts 0-RTT */
    uint8_t issuer[ISSUER_SIZE]; /* random; in our tickets */
    sc_allow_early allow;
    void *allow_context;
};

/* As it shows in a session that is new. */
uint64_t sc_tls_now_s(void)
{
    SSL_SESSION *session = SSL_SESSION_new();
    uint64_t now = session != NULL ? (uint64_t)SSL_SESSION_get_time_ex(session) : 0;
    SSL_SESSION_free(session);
    return now;
}

static struct sc_tls *tls_of_ssl(const SSL *ssl)
{
    int *alert = SSL_get_app_data(ssl);
    return SB_CONTAINER_OF(alert, struct sc_tls, alert);
}

/* ---- Server ---- */

static int use_keys(SSL *ssl, unsigned char name[16], unsigned char *iv, EVP_CIPHER_CTX *cipher,
                    EVP_MAC_CTX *mac, int is_seal)
{
    const struct sc_tls *tls = tls_of_ssl(ssl);
    const struct sc_resumption *resumption = sc_tls_config_resumption(tls->config);
    return sc_ticket_keys_use(resumption->keys, name, iv, cipher, mac, is_seal, sc_tls_now_s());
}

static int write_appdata(SSL *ssl, void *arg)
{
    const struct sc_resumption *resumption = arg;
    const struct sc_tls *tls = tls_of_ssl(ssl);
    uint8_t data[ISSUER_SIZE + SP_TPARAMS_SIZE_MAX];
    SB_ASSERT(tls->params_size <= SP_TPARAMS_SIZE_MAX);
    memcpy(data, resumption->issuer, ISSUER_SIZE);
    memcpy(data + ISSUER_SIZE, tls->params, tls->params_size);
    return SSL_SESSION_set1_ticket_appdata(SSL_get_session(ssl), data,
                                           ISSUER_SIZE + tls->params_size);
}

/* Reads our parameters out of a ticket of ours, and who of us has made it. */
static bool read_appdata(SSL_SESSION *session, struct sp_tparams *ret, const uint8_t **ret_issuer)
{
    void *data;
    size_t size;
    if (SSL_SESSION_get0_ticket_appdata(session, &data, &size) != 1 || size < ISSUER_SIZE)
        return false;
    *ret_issuer = data;
    return sp_tparams_read(
               (struct sb_bytes){.data = *ret_issuer + ISSUER_SIZE, .size = size - ISSUER_SIZE},
               SP_SERVER, ret) == SP_OK;
}

static SSL_TICKET_RETURN check_appdata(SSL *ssl, SSL_SESSION *session, const unsigned char *name,
                                       size_t name_size, SSL_TICKET_STATUS status, void *arg)
{
    (void)name;
    (void)name_size;
    (void)arg;
    const struct sc_tls *tls = tls_of_ssl(ssl);
    struct sp_tparams then;
    const uint8_t *issuer;
    if (status == SSL_TICKET_EMPTY || status == SSL_TICKET_NO_DECRYPT)
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    if (!read_appdata(session, &then, &issuer))
        return SSL_TICKET_RETURN_IGNORE_RENEW;
    /* [RFC9369 5] */
    bool is_other =
        tls->version != 0 && then.chosen_version != 0 && then.chosen_version != tls->version;
    return is_other ? SSL_TICKET_RETURN_IGNORE_RENEW : SSL_TICKET_RETURN_USE_RENEW;
}

/* [RFC9001 4.6.3, RFC9000 7.4.1]  OpenSSL has compared age, ALPN and server name already. */
static int allow_early(SSL *ssl, void *arg)
{
    const struct sc_resumption *resumption = arg;
    const struct sc_tls *tls = tls_of_ssl(ssl);
    SSL_SESSION *session = SSL_get_session(ssl);
    const SSL_CIPHER *then_cipher = SSL_SESSION_get0_cipher(session);
    const SSL_CIPHER *cipher = SSL_get_pending_cipher(ssl);
    struct sp_tparams then, now;
    const uint8_t *issuer;
    if (then_cipher == NULL || cipher == NULL ||
        SSL_CIPHER_get_protocol_id(then_cipher) != SSL_CIPHER_get_protocol_id(cipher))
        return 0; /* [RFC8446 4.2.10] */
    if (!read_appdata(session, &then, &issuer) ||
        sp_tparams_read((struct sb_bytes){.data = tls->params, .size = tls->params_size}, SP_SERVER,
                        &now) != SP_OK ||
        !sp_tparams_cover(&now, &then))
        return 0;
    const unsigned char *alpn;
    size_t alpn_size;
    SSL_SESSION_get0_alpn_selected(session, &alpn, &alpn_size);
    if (resumption->allow != NULL &&
        !resumption->allow(resumption->allow_context,
                           SSL_get_servername(ssl, TLSEXT_NAMETYPE_host_name), alpn, alpn_size))
        return 0;
    uint8_t random[32];
    if (SSL_get_client_random(ssl, random, sizeof(random)) != sizeof(random))
        return 0;
    bool is_own = memcmp(issuer, resumption->issuer, ISSUER_SIZE) == 0;
    return sc_strikes_add(resumption->strikes, random, is_own,
                          (uint64_t)SSL_SESSION_get_time_ex(session), sc_tls_now_s());
}

static int set_up_server(SSL_CTX *context, const struct sc_tls_options *options,
                         struct sc_resumption *resumption, struct sc_error *error)
{
    uint64_t lifetime_s =
        options->ticket_lifetime_s != 0 ? options->ticket_lifetime_s : (uint32_t)LIFETIME_DEFAULT_S;
    if (lifetime_s > LIFETIME_MAX_S)
        return sc_error_set(error, -EINVAL, "tickets live for 7 days at most");
    if (options->accepts_early && options->ticket_count == 0)
        return sc_error_set(error, -EINVAL, "0-RTT needs tickets");
    if (options->ticket_count == 0)
        return 0;
    resumption->keys = sc_ticket_keys_create(lifetime_s);
    if (resumption->keys == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    if (RAND_priv_bytes(resumption->issuer, ISSUER_SIZE) != 1)
        return sc_error_set(error, -EIO, "no random bytes");
    if (options->ticket_key_count > 0 &&
        sc_ticket_keys_set(resumption->keys, options->ticket_keys, options->ticket_key_count) != 0)
        return sc_error_set(error, -EINVAL, "more than %d ticket keys", SC_TICKET_KEYS_MAX);
    (void)SSL_CTX_set_timeout(context, (long)lifetime_s);
    (void)SSL_CTX_set_tlsext_ticket_key_evp_cb(context, use_keys);
    (void)SSL_CTX_set_session_ticket_cb(context, write_appdata, check_appdata, resumption);
    if (!options->accepts_early)
        return 0;
    size_t count = options->strike_count != 0 ? options->strike_count : STRIKES_DEFAULT;
    resumption->strikes = sc_strikes_create(count, sc_tls_now_s());
    if (resumption->strikes == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    resumption->allow = options->on_early;
    resumption->allow_context = options->allow_early_context;
    (void)SSL_CTX_set_options(context, SSL_OP_NO_ANTI_REPLAY);
    SSL_CTX_set_allow_early_data_cb(context, allow_early, resumption);
    return 0;
}

/* ---- Client: out ---- */

static void push_ticket(struct sc_tls *tls, uint8_t *data, size_t size)
{
    if (tls->ticket_count == SC_TLS_TICKETS_MAX) { /* the oldest goes */
        OPENSSL_clear_free(tls->tickets[0].data, tls->tickets[0].size);
        memmove(tls->tickets, tls->tickets + 1, sizeof(tls->tickets) - sizeof(tls->tickets[0]));
        tls->ticket_count--;
    }
    if (tls->ticket_count == 0)
        sc_tls_events_push(&tls->events, SP_TLS_TICKET, 0);
    tls->tickets[tls->ticket_count++] = (struct sc_tls_ticket){.data = data, .size = size};
}

static void write_short(struct sb_writer *w, const void *data, size_t size)
{
    sb_writer_u8(w, (uint8_t)size);
    sb_writer_bytes(w, data, size);
}

static void write_long(struct sb_writer *w, struct sb_bytes bytes)
{
    sb_writer_u16(w, (uint16_t)bytes.size);
    sb_writer_bytes(w, bytes.data, bytes.size);
}

/* The certificate of the server, as the application may ask for it. */
static struct sb_bytes leaf_of(const struct sc_tls *tls)
{
    size_t at = 0;
    return sc_tls_chain_next(tls->peer_chain, tls->peer_chain_size, &at);
}

/* Writes OpenSSL's session, without the certificate.  Returns its size, or 0. */
static size_t write_session(SSL_SESSION *session, uint8_t **ret)
{
    *ret = NULL;
    int der_size = i2d_SSL_SESSION(session, ret);
    size_t all = der_size > 0 ? (size_t)der_size : 0;
    size_t size = all;
    if (size > 0)
        (void)sc_session_der_drop_cert(*ret, &size); /* with one it works as well */
    if (size < all)
        OPENSSL_cleanse(*ret + size, all - size);
    return size;
}

static void write_ticket(struct sb_writer *w, const struct sc_tls *tls, struct sb_bytes session,
                         uint32_t lifetime_s, uint32_t version)
{
    const char *name = tls->peer_name != NULL ? tls->peer_name : "";
    struct sb_bytes leaf = leaf_of(tls);
    sb_writer_u32(w, MAGIC);
    sb_writer_u8(w, sc_tls_config_is_insecure(tls->config) ? 0 : FLAG_VERIFIED);
    sb_writer_u32(w, version);
    sb_writer_u64(w, sc_tls_now_s());
    sb_writer_u32(w, lifetime_s);
    write_short(w, name, strlen(name));
    write_short(w, tls->alpn.data, tls->alpn.size);
    write_long(w, (struct sb_bytes){tls->peer_params, tls->peer_params_size});
    write_long(w, leaf);
    write_long(w, session);
}

static int on_new_session(SSL *ssl, SSL_SESSION *session)
{
    struct sc_tls *tls = tls_of_ssl(ssl);
    size_t name_size = tls->peer_name != NULL ? strlen(tls->peer_name) : 0;
    size_t leaf_size = leaf_of(tls).size;
    struct sp_tparams params;
    uint8_t *der;
    size_t der_size = write_session(session, &der);
    size_t size = 4 + 1 + 4 + 8 + 4 + 1 + name_size + 1 + tls->alpn.size + 2 +
                  tls->peer_params_size + 2 + leaf_size + 2 + der_size;
    bool fits_in = der_size > 0 && der_size <= UINT16_MAX && leaf_size <= UINT16_MAX &&
                   name_size <= UINT8_MAX && tls->alpn.size <= UINT8_MAX &&
                   tls->peer_params_size <= UINT16_MAX &&
                   sp_tparams_read((struct sb_bytes){tls->peer_params, tls->peer_params_size},
                                   SP_SERVER, &params) == SP_OK;
    uint8_t *data = fits_in ? OPENSSL_malloc(size) : NULL;
    if (data != NULL) {
        struct sb_writer w = sb_writer_of(data, size);
        write_ticket(&w, tls, (struct sb_bytes){der, der_size},
                     (uint32_t)SSL_SESSION_get_ticket_lifetime_hint(session),
                     params.chosen_version);
        SB_ASSERT(!w.failed && sb_writer_left(&w) == 0);
        push_ticket(tls, data, size);
    }
    OPENSSL_clear_free(der, der_size);
    return 0;
}

bool sc_tls_take_ticket(struct sc_tls *tls, struct sb_bytes *ret)
{
    OPENSSL_clear_free(tls->taken.data, tls->taken.size);
    tls->taken = (struct sc_tls_ticket){0};
    if (tls->ticket_count == 0)
        return false;
    tls->taken = tls->tickets[0];
    tls->ticket_count--;
    memmove(tls->tickets, tls->tickets + 1, tls->ticket_count * sizeof(tls->tickets[0]));
    *ret = (struct sb_bytes){.data = tls->taken.data, .size = tls->taken.size};
    return true;
}

void sc_tls_free_tickets(struct sc_tls *tls)
{
    struct sb_bytes ticket;
    while (sc_tls_take_ticket(tls, &ticket))
        continue;
    OPENSSL_free(tls->early_params);
}

/* ---- Client: in ---- */

struct ticket {
    bool is_verified;
    uint32_t version;
    uint64_t issued_s;
    uint32_t lifetime_s;
    struct sb_bytes name;
    struct sb_bytes alpn;
    struct sb_bytes params;
    struct sb_bytes leaf;
    struct sb_bytes session;
};

static struct sb_bytes read_sized(struct sb_reader *r, size_t size)
{
    const uint8_t *data = sb_reader_take(r, size);
    return (struct sb_bytes){.data = data, .size = data == NULL ? 0 : size};
}

static bool read_ticket(struct sb_bytes bytes, struct ticket *ret)
{
    struct sb_reader r = sb_reader_of(bytes.data, bytes.size);
    uint32_t magic = sb_reader_u32(&r);
    ret->is_verified = (sb_reader_u8(&r) & FLAG_VERIFIED) != 0;
    ret->version = sb_reader_u32(&r);
    ret->issued_s = sb_reader_u64(&r);
    ret->lifetime_s = sb_reader_u32(&r);
    ret->name = read_sized(&r, sb_reader_u8(&r));
    ret->alpn = read_sized(&r, sb_reader_u8(&r));
    ret->params = read_sized(&r, sb_reader_u16(&r));
    ret->leaf = read_sized(&r, sb_reader_u16(&r));
    ret->session = read_sized(&r, sb_reader_u16(&r));
    return !r.failed && sb_reader_left(&r) == 0 && magic == MAGIC;
}

/* Whether a ticket is for this handshake, and still lives. */
static bool fits(const struct sc_tls *tls, const struct ticket *ticket)
{
    const char *name = tls->peer_name != NULL ? tls->peer_name : "";
    uint64_t now = sc_tls_now_s();
    uint64_t lifetime_s = SB_MIN(ticket->lifetime_s, (uint64_t)LIFETIME_MAX_S);
    if (ticket->name.size != strlen(name) ||
        memcmp(ticket->name.data, name, ticket->name.size) != 0 ||
        sc_tls_config_alpn(tls->config, ticket->alpn).data == NULL)
        return false;
    if (!ticket->is_verified && !sc_tls_config_is_insecure(tls->config))
        return false;
    if (tls->version != 0 && ticket->version != 0 && tls->version != ticket->version)
        return false; /* [RFC9369 5] */
    return now >= ticket->issued_s && now - ticket->issued_s < lifetime_s;
}

/* OpenSSL would offer it again, because in QUIC nothing ends the writing of early data. */
void sc_tls_take_early_back(struct sc_tls *tls)
{
    (void)SSL_SESSION_set_max_early_data(SSL_get_session(tls->ssl), 0);
}

/* Offers 0-RTT, as the application wants [RFC9001 5.6], and no other application protocol than that
 * of the ticket: the bytes that are sent early are of that one. */
static void offer_early(struct sc_tls *tls, const struct ticket *ticket)
{
    uint8_t alpn[1 + UINT8_MAX];
    alpn[0] = (uint8_t)ticket->alpn.size;
    memcpy(alpn + 1, ticket->alpn.data, ticket->alpn.size);
    uint8_t *params = OPENSSL_malloc(ticket->params.size + 1);
    if (params == NULL)
        return;
    memcpy(params, ticket->params.data, ticket->params.size);
    if (SSL_set_alpn_protos(tls->ssl, alpn, (unsigned)(1 + ticket->alpn.size)) != 0 ||
        SSL_set_quic_tls_early_data_enabled(tls->ssl, 1) != 1) {
        OPENSSL_free(params);
        return;
    }
    tls->early_params = params;
    tls->early_params_size = ticket->params.size;
    tls->offers_early = true;
    sc_tls_follow_messages(tls);
}

int sc_tls_resume(struct sp_tls *opaque, struct sb_bytes bytes, bool wants_early)
{
    struct sc_tls *tls = sc_tls_of(opaque);
    struct ticket ticket;
    SB_ASSERT(sc_tls_config_role(tls->config) == SP_CLIENT && tls->params == NULL);
    if (!read_ticket(bytes, &ticket))
        return -EINVAL;
    if (!fits(tls, &ticket))
        return -ESTALE;
    const unsigned char *der = ticket.session.data;
    SSL_SESSION *session = d2i_SSL_SESSION_ex(NULL, &der, (long)ticket.session.size,
                                              sc_tls_config_library(tls->config), NULL);
    ERR_clear_error();
    if (session == NULL)
        return -EINVAL;
    bool is_whole = der == ticket.session.data + ticket.session.size &&
                    SSL_SESSION_get_protocol_version(session) == TLS1_3_VERSION;
    int code = is_whole && SSL_set_session(tls->ssl, session) == 1 ? 0 : -EINVAL;
    if (code == 0 && ticket.leaf.size > 0) {
        tls->ticket_leaf = OPENSSL_malloc(sizeof(struct sc_leaf) + ticket.leaf.size);
        if (tls->ticket_leaf != NULL) {
            tls->ticket_leaf->size = ticket.leaf.size;
            memcpy(tls->ticket_leaf->der, ticket.leaf.data, ticket.leaf.size);
        }
    }
    if (code == 0 && wants_early && SSL_SESSION_get_max_early_data(session) == UINT32_MAX)
        offer_early(tls, &ticket);
    SSL_SESSION_free(session);
    ERR_clear_error();
    return code;
}

struct sb_bytes sc_tls_early_params(const struct sp_tls *opaque)
{
    const struct sc_tls *tls = sc_tls_of_const(opaque);
    return (struct sb_bytes){.data = tls->early_params,
                             .size = tls->offers_early ? tls->early_params_size : 0};
}

bool sc_tls_is_resumed(const struct sp_tls *opaque)
{
    return sc_tls_of_const(opaque)->is_resumed;
}

void sc_tls_set_version(struct sp_tls *opaque, uint32_t version)
{
    sc_tls_of(opaque)->version = version;
}

/* ---- Both ---- */

int sc_resumption_create(SSL_CTX *context, const struct sc_tls_options *options,
                         struct sc_resumption **ret, struct sc_error *error)
{
    struct sc_resumption *resumption = OPENSSL_zalloc(sizeof(*resumption));
    if (resumption == NULL)
        return sc_error_set(error, -ENOMEM, "no memory");
    int code = 0;
    if (options->role == SP_SERVER) {
        code = set_up_server(context, options, resumption, error);
    } else {
        (void)SSL_CTX_set_session_cache_mode(context,
                                             SSL_SESS_CACHE_CLIENT | SSL_SESS_CACHE_NO_INTERNAL);
        SSL_CTX_sess_set_new_cb(context, on_new_session);
    }
    if (code != 0) {
        sc_resumption_destroy(resumption);
        return code;
    }
    *ret = resumption;
    return 0;
}

void sc_resumption_destroy(struct sc_resumption *resumption)
{
    if (resumption == NULL)
        return;
    sc_ticket_keys_destroy(resumption->keys);
    sc_strikes_destroy(resumption->strikes);
    OPENSSL_free(resumption);
}

int sc_resumption_set_keys(struct sc_resumption *resumption, const uint8_t *keys, size_t count)
{
    return resumption->keys == NULL ? -ENOTSUP : sc_ticket_keys_set(resumption->keys, keys, count);
}

bool sc_resumption_accepts_early(const struct sc_resumption *resumption)
{
    return resumption->strikes != NULL;
}
