/* SPDX-License-Identifier: MIT */
/* The streams: requests and responses, or one endless stream.  Sending copies nothing: all
 * streams lend ngtcp2 the same bytes, which it reads while it seals. */

#include <gnutls/crypto.h>
#include <stdlib.h>
#include <string.h>

#include "bench/peers/ng_session.h"

static struct ng_stream *stream_take(struct ng_session *s, int64_t id)
{
    struct ng_stream *stream = NULL;
    if (sb_list_is_empty(&s->spare)) {
        stream = malloc(sizeof(*stream));
        if (stream == NULL)
            return NULL;
        stream->made_next = s->made;
        s->made = stream;
    } else {
        stream = SB_CONTAINER_OF(sb_list_first(&s->spare), struct ng_stream, link);
        sb_list_remove(&stream->link);
    }
    *stream = (struct ng_stream){.id = id, .made_next = stream->made_next};
    sb_list_init(&stream->link);
    return stream;
}

bool ng_streams_start(struct ng_session *s)
{
    const struct plan *plan = s->plan;
    uint64_t wanted = plan->is_rr ? plan->inflight : 1;
    while (s->running_count < wanted) {
        int64_t id;
        if (ngtcp2_conn_open_bidi_stream(s->quic, &id, NULL) != 0)
            return true; /* until MAX_STREAMS comes */
        struct ng_stream *stream = stream_take(s, id);
        if (stream == NULL || ngtcp2_conn_set_stream_user_data(s->quic, id, stream) != 0)
            return failure_set(s->failure, "cannot open a stream");
        stream->start_ns = s->now_ns;
        stream->source = s->request;
        stream->has_fin = true;
        stream->send_total = plan->is_rr ? plan->request_bytes : PLAN_HEADER_SIZE;
        stream->source_size = stream->send_total;
        if (!plan->is_rr && plan->is_up) { /* which the server knows: no header */
            stream->source = plan_payload();
            stream->source_size = PLAN_PAYLOAD_SIZE;
            stream->send_total = UINT64_MAX;
            stream->has_fin = false;
        }
        sb_list_push_back(&s->sending, &stream->link);
        s->running_count++;
    }
    return true;
}

size_t ng_streams_next(const struct ng_stream *stream, const uint8_t **ret, bool *ret_fin)
{
    uint64_t at = stream->sent % stream->source_size;
    uint64_t size = stream->source_size - at;
    uint64_t left = stream->send_total - stream->sent;
    *ret = stream->source + at;
    *ret_fin = stream->has_fin && left <= size;
    return (size_t)(left < size ? left : size);
}

/* Server: what has come is a whole request, or the begin of an upload. */
static void answer(struct ng_session *s, struct ng_stream *stream)
{
    uint64_t size = plan_read_header(stream->header);
    stream->source = plan_payload();
    stream->source_size = PLAN_PAYLOAD_SIZE;
    stream->send_total = size;
    stream->has_fin = s->plan->is_rr;
    sb_list_push_back(&s->sending, &stream->link);
}

static void receive_at_server(struct ng_session *s, struct ng_stream *stream, const uint8_t *data,
                              size_t size, bool fin)
{
    if (s->plan->is_up && !s->plan->is_rr) {
        s->received_bytes += size;
        atomic_store_explicit(&s->shared->received_bytes, s->received_bytes, memory_order_relaxed);
        return;
    }
    for (size_t i = 0; i < size && stream->received + i < PLAN_HEADER_SIZE; i++)
        stream->header[stream->received + i] = data[i];
    stream->received += size;
    if (fin && stream->received >= PLAN_HEADER_SIZE)
        answer(s, stream);
}

static void receive_at_client(struct ng_session *s, struct ng_stream *stream, size_t size, bool fin)
{
    s->run->received_bytes += size;
    stream->received += size;
    if (!fin || !s->plan->is_rr)
        return;
    if (stream->received != s->plan->response_bytes) {
        (void)failure_set(s->failure, "an answer of the wrong size");
        return;
    }
    run_answer(s->run, stream->start_ns, s->now_ns);
    s->running_count--; /* the next one is opened after the batch */
}

static int on_stream_data(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t offset,
                          const uint8_t *data, size_t size, void *user_data, void *stream_user_data)
{
    struct ng_session *s = user_data;
    struct ng_stream *stream = stream_user_data;
    bool fin = (flags & NGTCP2_STREAM_DATA_FLAG_FIN) != 0;
    (void)offset;
    if (stream == NULL)
        return 0;
    if (s->run != NULL)
        receive_at_client(s, stream, size, fin);
    else
        receive_at_server(s, stream, data, size, fin);
    if (!fin && ngtcp2_conn_extend_max_stream_offset(quic, id, size) != 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    ngtcp2_conn_extend_max_offset(quic, size);
    return 0;
}

static int on_stream_open(ngtcp2_conn *quic, int64_t id, void *user_data)
{
    struct ng_session *s = user_data;
    if (!ngtcp2_is_bidi_stream(id))
        return 0;
    struct ng_stream *stream = stream_take(s, id);
    if (stream == NULL || ngtcp2_conn_set_stream_user_data(quic, id, stream) != 0)
        return NGTCP2_ERR_CALLBACK_FAILURE;
    return 0;
}

static int on_stream_close(ngtcp2_conn *quic, uint32_t flags, int64_t id, uint64_t error_code,
                           void *user_data, void *stream_user_data)
{
    struct ng_session *s = user_data;
    struct ng_stream *stream = stream_user_data;
    (void)flags, (void)error_code;
    if (s->run == NULL && ngtcp2_is_bidi_stream(id))
        ngtcp2_conn_extend_max_streams_bidi(quic, 1);
    if (stream == NULL)
        return 0;
    sb_list_remove(&stream->link);
    sb_list_push_back(&s->spare, &stream->link);
    return 0;
}

static void on_rand(uint8_t *data, size_t size, const ngtcp2_rand_ctx *context)
{
    (void)context;
    if (gnutls_rnd(GNUTLS_RND_RANDOM, data, size) < 0)
        abort();
}

/* A process has one connection: it need not know its own IDs. */
static int on_new_cid(ngtcp2_conn *quic, ngtcp2_cid *cid, uint8_t *token, size_t size,
                      void *user_data)
{
    (void)quic, (void)user_data;
    on_rand(cid->data, size, NULL);
    cid->datalen = size;
    on_rand(token, NGTCP2_STATELESS_RESET_TOKENLEN, NULL);
    return 0;
}

ngtcp2_callbacks ng_streams_callbacks(bool is_server)
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
        .recv_stream_data = on_stream_data,
        .stream_close = on_stream_close,
        .rand = on_rand,
        .get_new_connection_id = on_new_cid,
    };
    if (is_server) {
        callbacks.recv_client_initial = ngtcp2_crypto_recv_client_initial_cb;
        callbacks.stream_open = on_stream_open;
    } else {
        callbacks.client_initial = ngtcp2_crypto_client_initial_cb;
        callbacks.recv_retry = ngtcp2_crypto_recv_retry_cb;
    }
    return callbacks;
}
