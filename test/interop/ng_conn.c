/* SPDX-License-Identifier: MIT */
/* A connection of the ngtcp2 peer: made, fed with datagrams, emptied into the socket, closed.
 *
 * Each call of ng_conn_flush() sends until ngtcp2 has nothing more to say.  Packets are filled from
 * as many streams as fit, and the stream that had the end of a packet goes to the back of the
 * queue. */

#include "test/interop/ng_conn.h"

#include <errno.h>
#include <gnutls/crypto.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "test/interop/ng_resume.h"

#define IDLE_TIMEOUT       (30 * SB_S)
#define CLOSING_PTOS       3 /* [RFC9000 10.2] */
#define PERF_ERROR_CODE    1 /* application code of a peer that did not get what it asked for */
#define ORIGINAL_DCID_SIZE 18

void ng_endpoint_fail(struct ng_endpoint *endpoint, const char *format, ...)
{
    char line[256];
    if (endpoint->has_failed)
        return;
    endpoint->has_failed = true;
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(line, sizeof(line), format, arguments);
    va_end(arguments);
    peer_error("%s", line);
}

static ngtcp2_conn *quic_of_ref(ngtcp2_crypto_conn_ref *ref)
{
    const struct ng_conn *conn = ref->user_data;
    return conn->quic;
}

__attribute__((format(printf, 2, 3))) static void on_log(void *user_data, const char *format, ...)
{
    (void)user_data;
    va_list arguments;
    va_start(arguments, format);
    vfprintf(stderr, format, arguments);
    va_end(arguments);
    fputc('\n', stderr);
}

static void write_settings(const struct ng_endpoint *endpoint, ngtcp2_settings *settings,
                           uint64_t now_ns)
{
    ngtcp2_settings_default(settings);
    settings->initial_ts = now_ns;
    settings->handshake_timeout = endpoint->options->seconds_max * SB_S;
    if (endpoint->options->is_debug)
        settings->log_printf = on_log;
}

static void write_params(const struct ng_endpoint *endpoint, ngtcp2_transport_params *params)
{
    const struct peer_options *o = endpoint->options;
    ngtcp2_transport_params_default(params);
    params->initial_max_data = o->window_bytes;
    params->initial_max_stream_data_bidi_local = o->window_bytes;
    params->initial_max_stream_data_bidi_remote = o->window_bytes;
    params->initial_max_stream_data_uni = o->window_bytes;
    params->initial_max_streams_bidi = o->is_server ? o->stream_count_max : 0;
    params->initial_max_streams_uni = 3; /* unused, but a peer that speaks HTTP/3 insists */
    params->max_idle_timeout = IDLE_TIMEOUT;
    params->active_connection_id_limit = 4;
}

static void random_cid(ngtcp2_cid *ret, size_t size)
{
    uint8_t data[NGTCP2_MAX_CIDLEN];
    if (gnutls_rnd(GNUTLS_RND_RANDOM, data, size) < 0)
        abort();
    ngtcp2_cid_init(ret, data, size);
}

static ngtcp2_path path_of(struct peer_udp *udp, struct sockaddr_storage *remote,
                           socklen_t remote_size)
{
    return (ngtcp2_path){
        .local = {(struct sockaddr *)&udp->local, udp->local_size},
        .remote = {(struct sockaddr *)remote, remote_size},
    };
}

int ng_endpoint_send(struct ng_endpoint *endpoint, const ngtcp2_path *path,
                     const struct peer_datagram *d)
{
    struct peer_udp *preferred = &endpoint->preferred;
    bool is_there = preferred->fd >= 0 && path->local.addrlen == preferred->local_size &&
                    memcmp(path->local.addr, &preferred->local, preferred->local_size) == 0;
    return peer_udp_send(is_there ? preferred : &endpoint->udp, d);
}

/* The address that a server prefers, with a CID for it.  [RFC9000 9.6] */
static void prefer_address(struct ng_conn *conn, ngtcp2_transport_params *params)
{
    const struct peer_udp *udp = &conn->endpoint->preferred;
    ngtcp2_preferred_addr *ret = &params->preferred_addr;
    if (udp->fd < 0)
        return;
    params->preferred_addr_present = 1;
    random_cid(&ret->cid, NG_CID_SIZE);
    ng_conn_add_cid(conn, &ret->cid);
    if (gnutls_rnd(GNUTLS_RND_RANDOM, ret->stateless_reset_token,
                   sizeof(ret->stateless_reset_token)) < 0)
        abort();
    ret->ipv4_present = udp->local.ss_family == AF_INET;
    ret->ipv6_present = udp->local.ss_family == AF_INET6;
    if (ret->ipv4_present)
        memcpy(&ret->ipv4, &udp->local, sizeof(ret->ipv4));
    else
        memcpy(&ret->ipv6, &udp->local, sizeof(ret->ipv6));
}

static struct ng_conn *conn_alloc(struct ng_endpoint *endpoint)
{
    struct ng_conn *conn = calloc(1, sizeof(*conn));
    if (conn == NULL) {
        ng_endpoint_fail(endpoint, "out of memory");
        return NULL;
    }
    conn->endpoint = endpoint;
    conn->tls.ref = (ngtcp2_crypto_conn_ref){.get_conn = quic_of_ref, .user_data = conn};
    sb_list_init(&conn->streams);
    sb_list_init(&conn->link);
    sb_list_push_back(&endpoint->conns, &conn->link);
    return conn;
}

/* Ends the making of a connection: `e` is what ngtcp2 said. */
static struct ng_conn *conn_made(struct ng_conn *conn, int e)
{
    if (e == 0 && ng_tls_session_init(&conn->tls, &conn->endpoint->tls) == 0) {
        ngtcp2_conn_set_tls_native_handle(conn->quic, conn->tls.gnutls);
        return conn;
    }
    ng_endpoint_fail(conn->endpoint, "cannot make a connection: %s", ngtcp2_strerror(e));
    ng_conn_destroy(conn);
    return NULL;
}

struct ng_conn *ng_conn_connect(struct ng_endpoint *endpoint, uint64_t now_ns)
{
    struct ng_conn *conn = conn_alloc(endpoint);
    if (conn == NULL)
        return NULL;
    ngtcp2_cid dcid;
    ngtcp2_cid scid;
    random_cid(&dcid, ORIGINAL_DCID_SIZE);
    random_cid(&scid, NG_CID_SIZE);
    ng_conn_add_cid(conn, &scid);

    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    write_settings(endpoint, &settings, now_ns);
    write_params(endpoint, &params);
    ngtcp2_callbacks callbacks = ng_callbacks(false);
    struct sockaddr_storage remote = endpoint->options->address;
    ngtcp2_path path = path_of(&endpoint->udp, &remote, endpoint->options->address_size);
    int e = ngtcp2_conn_client_new(&conn->quic, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1,
                                   &callbacks, &settings, &params, NULL, conn);
    conn = conn_made(conn, e);
    if (conn != NULL && ng_resume_begin(&conn->tls, conn->quic) < 0)
        endpoint->has_failed = true;
    return conn;
}

/* Of this process: what seals its tokens. */
static const uint8_t retry_secret[] = "not secret, as nobody attacks it";

static void send_retry(struct ng_endpoint *endpoint, const ngtcp2_pkt_hd *hd,
                       const struct peer_datagram *d, uint64_t now_ns)
{
    uint8_t token[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN];
    uint8_t packet[NGTCP2_CRYPTO_MAX_RETRY_TOKENLEN + 100];
    ngtcp2_cid scid;
    random_cid(&scid, NG_CID_SIZE);
    ngtcp2_ssize size = ngtcp2_crypto_generate_retry_token(
        token, retry_secret, sizeof(retry_secret), hd->version, (const ngtcp2_sockaddr *)&d->remote,
        d->remote_size, &scid, &hd->dcid, now_ns);
    if (size > 0)
        size = ngtcp2_crypto_write_retry(packet, sizeof(packet), hd->version, &hd->scid, &scid,
                                         &hd->dcid, token, (size_t)size);
    const struct peer_datagram answer = {
        .data = packet, .size = (size_t)size, .remote = d->remote, .remote_size = d->remote_size};
    if (size < 0 || peer_udp_send(&endpoint->udp, &answer) < 0)
        ng_endpoint_fail(endpoint, "a Retry could not be sent");
}

/* Returns whether the client has a token of ours; sends it a Retry if it has none. */
static bool is_proven(struct ng_endpoint *endpoint, const ngtcp2_pkt_hd *hd,
                      const struct peer_datagram *d, uint64_t now_ns, ngtcp2_cid *ret_original)
{
    size_t size;
    const uint8_t *token = ng_token_of(hd, &size);
    if (size == 0) {
        send_retry(endpoint, hd, d, now_ns);
        return false;
    }
    return ngtcp2_crypto_verify_retry_token(ret_original, token, size, retry_secret,
                                            sizeof(retry_secret), hd->version,
                                            (const ngtcp2_sockaddr *)&d->remote, d->remote_size,
                                            &hd->dcid, 10 * NGTCP2_SECONDS, now_ns) == 0;
}

struct ng_conn *ng_conn_accept(struct ng_endpoint *endpoint, const ngtcp2_pkt_hd *hd,
                               const struct peer_datagram *d, uint64_t now_ns)
{
    ngtcp2_cid original = hd->dcid;
    bool has_retry = endpoint->options->sends_retry;
    if (has_retry && !is_proven(endpoint, hd, d, now_ns, &original))
        return NULL;
    struct ng_conn *conn = conn_alloc(endpoint);
    if (conn == NULL)
        return NULL;
    ngtcp2_cid scid;
    random_cid(&scid, NG_CID_SIZE);
    ng_conn_add_cid(conn, &scid);
    ng_conn_add_cid(conn, &hd->dcid); /* until the client has learnt ours */

    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    write_settings(endpoint, &settings, now_ns);
    write_params(endpoint, &params);
    ng_set_original_dcid(&params, &original);
    if (has_retry) {
        ng_set_token(&settings, hd);
        params.retry_scid = hd->dcid;
        params.retry_scid_present = 1;
    }
    prefer_address(conn, &params);
    ngtcp2_callbacks callbacks = ng_callbacks(true);
    struct sockaddr_storage remote = d->remote;
    ngtcp2_path path = path_of(d->udp, &remote, d->remote_size);
    int e = ngtcp2_conn_server_new(&conn->quic, &hd->scid, &scid, &path, hd->version, &callbacks,
                                   &settings, &params, NULL, conn);
    return conn_made(conn, e);
}

void ng_conn_destroy(struct ng_conn *conn)
{
    ngtcp2_conn_del(conn->quic);
    ng_tls_session_deinit(&conn->tls);
    SB_LIST_EACH(link, &conn->streams)
        ng_stream_destroy(SB_CONTAINER_OF(link, struct ng_stream, link));
    sb_list_remove(&conn->link);
    free(conn);
}

bool ng_conn_add_cid(struct ng_conn *conn, const ngtcp2_cid *cid)
{
    if (conn->cid_count == NG_CID_MAX)
        return false;
    conn->cids[conn->cid_count++] = *cid;
    return true;
}

bool ng_conn_has_cid(const struct ng_conn *conn, const uint8_t *data, size_t size)
{
    for (uint32_t i = 0; i < conn->cid_count; i++) {
        const ngtcp2_cid *cid = &conn->cids[i];
        if (cid->datalen == size && memcmp(cid->data, data, size) == 0)
            return true;
    }
    return false;
}

static void print_closed(const char *by, const ngtcp2_ccerr *error)
{
    bool is_application = error->type == NGTCP2_CCERR_TYPE_APPLICATION;
    printf("closed %s %s %" PRIu64 "\n", by, is_application ? "application" : "transport",
           error->error_code);
}

static void send_close(struct ng_conn *conn)
{
    (void)ng_endpoint_send(conn->endpoint, &conn->close_path.path, &conn->close_datagram);
}

/* Fills in where a packet goes.  A connected socket knows by itself. */
static void address_datagram(const struct ng_conn *conn, struct peer_datagram *d,
                             const ngtcp2_path *path)
{
    d->remote_size = 0;
    if (!conn->endpoint->options->is_server)
        return;
    memcpy(&d->remote, path->remote.addr, path->remote.addrlen);
    d->remote_size = path->remote.addrlen;
}

static void close_locally(struct ng_conn *conn, const ngtcp2_ccerr *error, uint64_t now_ns)
{
    ngtcp2_pkt_info info = {0};
    SB_ASSERT(conn->state == NG_CONN_OPEN);
    print_closed("local", error);
    ngtcp2_path_storage_zero(&conn->close_path);
    ngtcp2_ssize size = ngtcp2_conn_write_connection_close(
        conn->quic, &conn->close_path.path, &info, conn->close_packet, sizeof(conn->close_packet),
        error, now_ns);
    if (size <= 0) { /* nothing was ever sent or received: the other side need not know */
        conn->state = NG_CONN_ENDED;
        return;
    }
    conn->state = NG_CONN_CLOSING;
    conn->closing_until_ns = now_ns + CLOSING_PTOS * ngtcp2_conn_get_pto(conn->quic);
    conn->close_datagram.data = conn->close_packet;
    conn->close_datagram.size = (size_t)size;
    address_datagram(conn, &conn->close_datagram, &conn->close_path.path);
    send_close(conn);
}

static void close_for_error(struct ng_conn *conn, int e, uint64_t now_ns)
{
    ngtcp2_ccerr error = {0};
    uint8_t alert = ngtcp2_conn_get_tls_alert(conn->quic);
    if (e == NGTCP2_ERR_CRYPTO && alert != 0) {
        ng_endpoint_fail(conn->endpoint, "handshake failed: %s", gnutls_alert_get_name(alert));
        ngtcp2_ccerr_set_tls_alert(&error, alert, NULL, 0);
    } else {
        ng_endpoint_fail(conn->endpoint, "connection failed: %s", ngtcp2_strerror(e));
        ngtcp2_ccerr_set_liberr(&error, e, NULL, 0);
    }
    close_locally(conn, &error, now_ns);
}

static bool has_all_finished(const struct ng_conn *conn)
{
    return conn->finished_count == conn->endpoint->options->stream_count;
}

static void on_remote_close(struct ng_conn *conn)
{
    struct ng_endpoint *endpoint = conn->endpoint;
    conn->state = NG_CONN_ENDED;
    if (conn->was_reset) {
        ng_endpoint_fail(endpoint, "stateless reset");
        return;
    }
    ngtcp2_ccerr error;
    ng_get_remote_ccerr(conn->quic, &error);
    print_closed("remote", &error);
    if (error.type != NGTCP2_CCERR_TYPE_APPLICATION)
        ng_endpoint_fail(endpoint, "the other side closed with transport error %" PRIu64,
                         error.error_code);
    else if (!endpoint->options->is_server && !has_all_finished(conn))
        ng_endpoint_fail(endpoint, "the other side closed before all streams were done");
}

void ng_conn_receive(struct ng_conn *conn, const struct peer_datagram *d, uint64_t now_ns)
{
    if (conn->state == NG_CONN_CLOSING)
        send_close(conn);
    if (conn->state != NG_CONN_OPEN)
        return;
    struct sockaddr_storage remote = d->remote;
    ngtcp2_path path = path_of(d->udp, &remote, d->remote_size);
    ngtcp2_pkt_info info = {.ecn = d->ecn};
    int e = ngtcp2_conn_read_pkt(conn->quic, &path, &info, d->data, d->size, now_ns);
    switch (e) {
    case 0:
        return;
    case NGTCP2_ERR_DRAINING:
        on_remote_close(conn);
        return;
    case NGTCP2_ERR_RETRY: /* this server does not ask anybody to come again */
    case NGTCP2_ERR_DROP_CONN:
        conn->state = NG_CONN_ENDED;
        return;
    default:
        close_for_error(conn, e, now_ns);
    }
}

static void open_streams(struct ng_conn *conn)
{
    const struct peer_options *o = conn->endpoint->options;
    bool may_open = conn->tls.is_early || ngtcp2_conn_get_handshake_completed(conn->quic);
    if (o->is_server || !may_open)
        return;
    while (conn->opened_count < o->stream_count) {
        int64_t id;
        if (ngtcp2_conn_open_bidi_stream(conn->quic, &id, NULL) != 0)
            return; /* until MAX_STREAMS comes */
        struct ng_stream *stream = ng_stream_create(conn, id);
        if (stream == NULL)
            return;
        ngtcp2_conn_set_stream_user_data(conn->quic, id, stream);
        conn->opened_count++;
    }
}

/* The stream whose turn it is, or NULL if none has anything that may be sent. */
static struct ng_stream *next_stream(const struct ng_conn *conn)
{
    SB_LIST_EACH(link, &conn->streams) {
        struct ng_stream *stream = SB_CONTAINER_OF(link, struct ng_stream, link);
        if (!stream->is_blocked && perf_stream_has_more(&stream->perf))
            return stream;
    }
    return NULL;
}

/* Writes one packet, and the path that it goes.  Returns its size, 0 if there is nothing to send,
 * or an error of ngtcp2. */
static ngtcp2_ssize write_packet(struct ng_conn *conn, struct peer_datagram *d, ngtcp2_path *path,
                                 uint64_t now_ns)
{
    ngtcp2_pkt_info info = {0};
    ngtcp2_ssize size;
    for (;;) {
        struct ng_stream *stream = next_stream(conn);
        struct perf_piece piece = {0};
        uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
        bool fin = false;
        if (stream != NULL) {
            perf_stream_next(&stream->perf, &piece, &fin);
            flags = NGTCP2_WRITE_STREAM_FLAG_MORE | (fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0);
        }
        ngtcp2_vec vec = {.len = piece.size};
        memcpy(&vec.base, &piece.data, sizeof(piece.data)); /* ngtcp2 only reads it */
        ngtcp2_ssize taken = -1;
        size = ngtcp2_conn_writev_stream(conn->quic, path, &info, d->data, NG_PACKET_MAX, &taken,
                                         flags, stream == NULL ? -1 : (int64_t)stream->perf.id,
                                         &vec, stream == NULL ? 0 : 1, now_ns);
        if (taken >= 0 && stream != NULL)
            perf_stream_advance(&stream->perf, (uint64_t)taken, fin && taken == piece.size);
        if (size == NGTCP2_ERR_STREAM_DATA_BLOCKED || size == NGTCP2_ERR_STREAM_SHUT_WR) {
            stream->is_blocked = true;
            continue;
        }
        if (size == NGTCP2_ERR_WRITE_MORE)
            continue;
        if (size > 0 && stream != NULL) {
            sb_list_remove(&stream->link);
            sb_list_push_back(&conn->streams, &stream->link);
        }
        break;
    }
    d->size = size > 0 ? (size_t)size : 0;
    d->ecn = (uint8_t)info.ecn;
    if (size > 0)
        address_datagram(conn, d, path);
    return size;
}

void ng_conn_on_refused(struct ng_conn *conn)
{
    if (conn->state != NG_CONN_OPEN || ngtcp2_conn_get_handshake_completed(conn->quic))
        return;
    ng_endpoint_fail(conn->endpoint, "nobody listens there");
    conn->state = NG_CONN_ENDED;
}

/* Closes if all is done that this side is here for. */
static void close_if_done(struct ng_conn *conn, uint64_t now_ns)
{
    const struct peer_options *o = conn->endpoint->options;
    ngtcp2_ccerr error = {0};
    bool is_done = o->is_server
                       ? o->has_close_code && conn->finished_count > 0
                       : has_all_finished(conn) && !o->waits_for_close && !conn->tls.wants_ticket;
    if (!is_done)
        return;
    ngtcp2_ccerr_set_application_error(
        &error, conn->endpoint->has_failed ? PERF_ERROR_CODE : o->close_code, NULL, 0);
    close_locally(conn, &error, now_ns);
}

void ng_conn_flush(struct ng_conn *conn, uint64_t now_ns)
{
    uint8_t buffer[NG_PACKET_MAX];
    struct peer_datagram d = {.data = buffer};
    if (conn->state != NG_CONN_OPEN)
        return;
    open_streams(conn);
    SB_LIST_EACH(link, &conn->streams)
        SB_CONTAINER_OF(link, struct ng_stream, link)->is_blocked = false;

    ngtcp2_ssize size;
    ngtcp2_path_storage path;
    ngtcp2_path_storage_zero(&path);
    while ((size = write_packet(conn, &d, &path.path, now_ns)) > 0) {
        if (ng_endpoint_send(conn->endpoint, &path.path, &d) == -ECONNREFUSED)
            ng_conn_on_refused(conn);
        if (conn->state != NG_CONN_OPEN)
            return;
    }
    ngtcp2_conn_update_pkt_tx_time(conn->quic, now_ns);
    if (size < 0)
        close_for_error(conn, (int)size, now_ns);
    else
        close_if_done(conn, now_ns);
}

uint64_t ng_conn_deadline_ns(const struct ng_conn *conn)
{
    switch (conn->state) {
    case NG_CONN_OPEN:
        return ngtcp2_conn_get_expiry(conn->quic);
    case NG_CONN_CLOSING:
        return conn->closing_until_ns;
    case NG_CONN_ENDED:
        break;
    }
    return SB_NEVER;
}

void ng_conn_on_deadline(struct ng_conn *conn, uint64_t now_ns)
{
    if (conn->state == NG_CONN_CLOSING)
        conn->state = NG_CONN_ENDED;
    if (conn->state != NG_CONN_OPEN)
        return;
    int e = ngtcp2_conn_handle_expiry(conn->quic, now_ns);
    if (e == NGTCP2_ERR_IDLE_CLOSE) {
        ng_endpoint_fail(conn->endpoint, "nothing heard for %d seconds",
                         (int)(IDLE_TIMEOUT / SB_S));
        conn->state = NG_CONN_ENDED;
    } else if (e != 0) {
        close_for_error(conn, e, now_ns);
    }
}
