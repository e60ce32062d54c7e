/* SPDX-License-Identifier: MIT */
/* What ngtcp2 calls: streams that open, carry data and close, connection ids that come and go.
 * Everything else is taken from ngtcp2's crypto helper as it is. */

#include "test/interop/ng_conn.h"

#include <gnutls/crypto.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct ng_stream *ng_stream_create(struct ng_conn *conn, int64_t id)
{
    const struct peer_options *o = conn->endpoint->options;
    const struct pattern *pattern = &conn->endpoint->pattern;
    struct ng_stream *stream = calloc(1, sizeof(*stream));
    int e = -1;
    if (stream != NULL)
        e = o->is_server ? perf_stream_init_server(&stream->perf, pattern, (uint64_t)id)
                         : perf_stream_init_client(&stream->perf, pattern, (uint64_t)id,
                                                   o->upload_bytes, o->download_bytes);
    if (e < 0) {
        free(stream);
        ng_endpoint_fail(conn->endpoint, "out of memory");
        return NULL;
    }
    sb_list_init(&stream->link);
    sb_list_push_back(&conn->streams, &stream->link);
    return stream;
}

void ng_stream_destroy(struct ng_stream *stream)
{
    sb_list_remove(&stream->link);
    perf_stream_deinit(&stream->perf);
    free(stream);
}

static int on_handshake_completed(ngtcp2_conn *quic, void *user_data)
{
    struct ng_conn *conn = user_data;
    (void)quic;
    ng_tls_print_cipher(&conn->tls);
    if (conn->endpoint->options->is_server &&
        gnutls_session_ticket_send(conn->tls.gnutls, 1, 0) < 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_stream_open(ngtcp2_conn *quic, int64_t id, void *user_data)
{
    struct ng_conn *conn = user_data;
    if (!ngtcp2_is_bidi_stream(id)) /* not of this protocol: what it brings is dropped */
        return 0;
    struct ng_stream *stream = ng_stream_create(conn, id);
    if (stream == NULL || ngtcp2_conn_set_stream_user_data(quic, id, stream) != 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_stream_data(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *data, size_t size, void *user_data, void *stream_user_data)
{
    struct ng_conn *conn = user_data;
    struct ng_stream *stream = stream_user_data;
    bool fin = (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0;
    (void)offset;
    if (stream != NULL) {
        perf_stream_receive(&stream->perf, data, size, fin);
        if (fin && !perf_stream_report(&stream->perf))
            ng_endpoint_fail(conn->endpoint, "stream %" PRId64 ": not the expected bytes", id);
    }
    /* Consumed at once, so credit goes back as fast as it is used. */
    if (ngtcp2_conn_extend_max_stream_offset(quic, id, size) != 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    ngtcp2_conn_extend_max_offset(quic, size);
    return 0;
}

static int on_stream_reset(ngtcp2_conn *quic, int64_t id, uint64_t final_size, uint64_t error_code,
                           void *user_data, void *stream_user_data)
{
    struct ng_conn *conn = user_data;
    (void)quic, (void)final_size, (void)stream_user_data;
    ng_endpoint_fail(conn->endpoint, "stream %" PRId64 ": reset with code %" PRIu64, id,
                     error_code);
    return 0;
}

static int on_stream_close(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t error_code,
                           void *user_data, void *stream_user_data)
{
    struct ng_conn *conn = user_data;
    struct ng_stream *stream = stream_user_data;
    if (!ngtcp2_conn_is_local_stream(quic, id)) {
        if (ngtcp2_is_bidi_stream(id))
            ngtcp2_conn_extend_max_streams_bidi(quic, 1);
        else
            ngtcp2_conn_extend_max_streams_uni(quic, 1);
    }
    if (stream == NULL)
        return 0;
    if (!stream->perf.fin_received || (flags & NGTCP2_STREAM_CLOSE_FLAG_APP_ERROR_CODE_SET) != 0)
        ng_endpoint_fail(conn->endpoint, "stream %" PRId64 ": closed early with code %" PRIu64, id,
                         error_code);
    conn->finished_count++;
    ng_stream_destroy(stream);
    return 0;
}

static int on_stateless_reset(ngtcp2_conn *quic, const ngtcp2_pkt_stateless_reset *reset,
                              void *user_data)
{
    struct ng_conn *conn = user_data;
    (void)quic, (void)reset;
    conn->was_reset = true;
    return 0;
}

static void on_rand(uint8_t *data, size_t size, const ngtcp2_rand_ctx *context)
{
    (void)context;
    if (gnutls_rnd(GNUTLS_RND_RANDOM, data, size) < 0)
        abort();
}

static int on_new_cid(ngtcp2_conn *quic, ngtcp2_cid *cid, uint8_t *token, size_t size,
                      void *user_data)
{
    struct ng_conn *conn = user_data;
    (void)quic;
    on_rand(cid->data, size, NULL);
    cid->datalen = size;
    on_rand(token, NGTCP2_STATELESS_RESET_TOKENLEN, NULL); /* this peer never sends a reset */
    return ng_conn_add_cid(conn, cid) ? 0 : NGTCP2_ERR_CALLBACK_FAILURE;
}

static int on_remove_cid(ngtcp2_conn *quic, const ngtcp2_cid *cid, void *user_data)
{
    struct ng_conn *conn = user_data;
    (void)quic;
    for (uint32_t i = 0; i < conn->cid_count; i++) {
        if (ngtcp2_cid_eq(&conn->cids[i], cid)) {
            conn->cids[i] = conn->cids[--conn->cid_count];
            break;
        }
    }
    return 0;
}

/* The client moves to the address that its server prefers, if it can.  [RFC9000 9.6] */
static int on_preferred_address(ngtcp2_conn *quic, ngtcp2_path *dest,
                                const ngtcp2_preferred_addr *addr, void *user_data)
{
    struct ng_conn *conn = user_data;
    struct ng_endpoint *endpoint = conn->endpoint;
    struct sockaddr_storage remote = {0};
    socklen_t size = 0;
    (void)quic;
    if (endpoint->udp.local.ss_family == AF_INET && addr->ipv4_present) {
        size = sizeof(addr->ipv4);
        memcpy(&remote, &addr->ipv4, size);
    } else if (endpoint->udp.local.ss_family == AF_INET6 && addr->ipv6_present) {
        size = sizeof(addr->ipv6);
        memcpy(&remote, &addr->ipv6, size);
    }
    if (size == 0 || endpoint->preferred.fd >= 0 ||
        peer_udp_connect(&endpoint->preferred, &remote, size) < 0)
        return 0;
    const struct peer_udp *udp = &endpoint->preferred;
    ngtcp2_addr_copy_byte(&dest->local, (const ngtcp2_sockaddr *)&udp->local, udp->local_size);
    ngtcp2_addr_copy_byte(&dest->remote, (const ngtcp2_sockaddr *)&remote, size);
    return 0;
}

ngtcp2_callbacks ng_callbacks(bool is_server)
{
    ngtcp2_callbacks callbacks = {
        .recv_crypto_data = ngtcp2_crypto_recv_crypto_data_cb,
        .encrypt = ngtcp2_crypto_encrypt_cb,
        .decrypt = ngtcp2_crypto_decrypt_cb,
        .hp_mask = ngtcp2_crypto_hp_mask_cb,
        .update_key = ngtcp2_crypto_update_key_cb,
        .delete_crypto_aead_ctx = ngtcp2_crypto_delete_crypto_aead_ctx_cb,
        .delete_crypto_cipher_ctx = ngtcp2_crypto_delete_crypto_cipher_ctx_cb,
        .get_path_challenge_data = ngtcp2_crypto_get_path_challenge_data_cb,
        .version_negotiation = ngtcp2_crypto_version_negotiation_cb,
        .handshake_completed = on_handshake_completed,
        .recv_stream_data = on_stream_data,
        .stream_reset = on_stream_reset,
        .stream_close = on_stream_close,
        .recv_stateless_reset = on_stateless_reset,
        .rand = on_rand,
        .get_new_connection_id = on_new_cid,
        .remove_connection_id = on_remove_cid,
    };
    if (is_server) {
        callbacks.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
        callbacks.stream_open = on_stream_open;
    } else {
        callbacks.client_initial = ngtcp2_crypto_client_initial_cb;
        callbacks.recv_retry = ngtcp2_crypto_recv_retry_cb;
        callbacks.select_preferred_addr = on_preferred_address;
    }
    return callbacks;
}
