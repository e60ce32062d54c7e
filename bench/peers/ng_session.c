/* SPDX-License-Identifier: MIT */
/* A turn gives all received datagrams to ngtcp2, then sends one reply to all of them.  Packets are
 * written one after the other into a buffer.  It is sent as a train as soon as a packet is shorter
 * than those before it, the buffer is full, or nothing more may be sent.
 *
 * ngtcp2's settings are in favour of speed.  Others were tried: an ACK for 2, 10 or 100 packets,
 * Reno and BBR, 1 and 16 MiB of credit move it by less than 8 %, mostly down; pacing takes 10 %. */

#include "bench/peers/ng_session.h"

#include <arpa/inet.h>
#include <errno.h>
#include <gnutls/crypto.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/load/clock.h"
#include "proto/base/time.h"

/* Credit of a stream and of the connection: larger than the path ever needs, smaller than the
 * receive buffer of the socket, so that nothing overflows. */
#define WINDOW_BYTES     (UINT64_C(3) << 20)
#define STREAM_COUNT_MAX (4 * PLAN_INFLIGHT_MAX)
/* Packets between two ACKs; 2 is the default. */
#define ACK_THRESHOLD      40
#define CID_SIZE           8
#define ORIGINAL_DCID_SIZE 18
#define IDLE_TIMEOUT       (30 * SB_S)
/* The longest sleep; only a broken peer makes it last that long. */
#define SLEEP_NS_MAX (100 * SB_MS)

static bool fail_quic(struct ng_session *s, const char *what, int e)
{
    return failure_set(s->failure, "%s: %s", what, ngtcp2_strerror(e));
}

static ngtcp2_conn *quic_of_ref(ngtcp2_crypto_conn_ref *ref)
{
    const struct ng_session *s = ref->user_data;
    return s->quic;
}

static void write_settings(const struct ng_session *s, ngtcp2_settings *settings)
{
    ngtcp2_settings_default(settings);
    settings->initial_ts = s->now_ns;
    settings->cc_algo = NGTCP2_CC_ALGO_CUBIC;
    settings->ack_thresh = ACK_THRESHOLD;
    settings->max_tx_udp_payload_size = s->plan->mtu;
    settings->no_tx_udp_payload_size_shaping = 1; /* that size from the first packet on */
    settings->no_pmtud = 1;
}

static void write_params(const struct ng_session *s, ngtcp2_transport_params *params)
{
    uint64_t bytes = s->plan->window_bytes != 0 ? s->plan->window_bytes : WINDOW_BYTES;
    ngtcp2_transport_params_default(params);
    params->initial_max_data = bytes;
    params->initial_max_stream_data_bidi_local = bytes;
    params->initial_max_stream_data_bidi_remote = bytes;
    params->initial_max_streams_bidi = s->run == NULL ? STREAM_COUNT_MAX : 0;
    params->max_idle_timeout = IDLE_TIMEOUT;
}

static void random_cid(ngtcp2_cid *ret, size_t size)
{
    uint8_t data[NGTCP2_MAX_CIDLEN];
    (void)gnutls_rnd(GNUTLS_RND_RANDOM, data, size);
    ngtcp2_cid_init(ret, data, size);
}

/* The path never changes here: a client and a server of one machine. */
static ngtcp2_path path_of(struct ng_session *s)
{
    return (ngtcp2_path){
        .local = {(struct sockaddr *)&s->wire.udp.local, s->wire.udp.local_size},
        .remote = {(struct sockaddr *)&s->wire.remote, sizeof(struct sockaddr_in)},
    };
}

static struct in_addr address_of(const struct plan *plan)
{
    struct in_addr address = {.s_addr = htonl(INADDR_LOOPBACK)};
    if (plan->address != NULL)
        (void)inet_pton(AF_INET, plan->address, &address); /* what is none cannot be bound */
    return address;
}

static bool open_session(struct ng_session *s, uint16_t port)
{
    bool is_server = s->run == NULL;
    sb_list_init(&s->sending);
    sb_list_init(&s->spare);
    s->wire.udp.fd = -1;
    s->options = (struct peer_options){
        .is_server = is_server,
        .alpn = "perf",
        .cipher = "aes-128-gcm",
        .sni = "localhost",
        .ca_path = s->plan->cert,
        .cert_path = s->plan->cert,
        .key_path = s->plan->key,
    };
    s->tls_session.ref = (ngtcp2_crypto_conn_ref){.get_conn = quic_of_ref, .user_data = s};
    if (ng_tls_init(&s->tls, &s->options) < 0 || ng_tls_session_init(&s->tls_session, &s->tls) < 0)
        return failure_set(s->failure, "cannot set up TLS");
    int e = ng_wire_open(&s->wire, address_of(s->plan), port, is_server);
    if (e < 0)
        return failure_set(s->failure, "cannot open the socket: %s", strerror(-e));
    s->now_ns = clock_now_ns();
    return true;
}

bool ng_session_listen(struct ng_session *s, const struct plan *plan, struct run_shared *shared,
                       struct failure *failure)
{
    s->plan = plan;
    s->shared = shared;
    s->failure = failure;
    if (!open_session(s, 0))
        return false;
    struct sockaddr_in local;
    memcpy(&local, &s->wire.udp.local, sizeof(local));
    atomic_store(&shared->port, ntohs(local.sin_port));
    return true;
}

bool ng_session_connect(struct ng_session *s, struct run *run)
{
    s->plan = run->plan;
    s->run = run;
    s->failure = &run->failure;
    plan_write_request(run->plan, run->plan->is_rr ? run->plan->response_bytes : UINT64_MAX,
                       s->request);
    uint16_t port = (uint16_t)atomic_load(&run->shared->port);
    if (!open_session(s, port))
        return false;
    struct sockaddr_in remote = {.sin_family = AF_INET, .sin_port = htons(port)};
    remote.sin_addr = address_of(s->plan);
    memcpy(&s->wire.remote, &remote, sizeof(remote));

    ngtcp2_cid dcid;
    ngtcp2_cid scid;
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_callbacks callbacks = ng_streams_callbacks(false);
    ngtcp2_path path = path_of(s);
    random_cid(&dcid, ORIGINAL_DCID_SIZE);
    random_cid(&scid, CID_SIZE);
    write_settings(s, &settings);
    write_params(s, &params);
    int e = ngtcp2_conn_client_new(&s->quic, &dcid, &scid, &path, NGTCP2_PROTO_VER_V1, &callbacks,
                                   &settings, &params, NULL, s);
    if (e != 0)
        return fail_quic(s, "cannot make a connection", e);
    ngtcp2_conn_set_tls_native_handle(s->quic, s->tls_session.gnutls);
    return true;
}

static void accept_client(struct ng_session *s, const uint8_t *data, size_t size)
{
    ngtcp2_pkt_hd hd;
    if (ngtcp2_accept(&hd, data, size) != 0)
        return;
    ngtcp2_cid scid;
    ngtcp2_settings settings;
    ngtcp2_transport_params params;
    ngtcp2_callbacks callbacks = ng_streams_callbacks(true);
    ngtcp2_path path = path_of(s);
    random_cid(&scid, CID_SIZE);
    write_settings(s, &settings);
    write_params(s, &params);
    ng_set_original_dcid(&params, &hd.dcid);
    int e = ngtcp2_conn_server_new(&s->quic, &hd.scid, &scid, &path, hd.version, &callbacks,
                                   &settings, &params, NULL, s);
    if (e != 0)
        (void)fail_quic(s, "cannot make a connection", e);
    else
        ngtcp2_conn_set_tls_native_handle(s->quic, s->tls_session.gnutls);
}

static void on_datagram(void *context, uint8_t *data, size_t size)
{
    struct ng_session *s = context;
    const ngtcp2_pkt_info info = {0};
    if (s->quic == NULL && s->run == NULL)
        accept_client(s, data, size);
    if (s->quic == NULL || s->has_ended || s->failure->is_set)
        return;
    ngtcp2_path path = path_of(s);
    int e = ngtcp2_conn_read_pkt(s->quic, &path, &info, data, size, s->now_ns);
    if (e == NGTCP2_ERR_DRAINING)
        s->has_ended = true;
    else if (e != 0)
        (void)fail_quic(s, "cannot take a packet", e);
}

/* The stream whose turn it is, or NULL if none has anything that may be sent. */
static struct ng_stream *next_stream(const struct ng_session *s)
{
    SB_LIST_EACH(link, &s->sending) {
        struct ng_stream *stream = SB_CONTAINER_OF(link, struct ng_stream, link);
        if (!stream->is_blocked)
            return stream;
    }
    return NULL;
}

/* Writes one packet.  Returns its size, 0 if there is nothing to send, or an error of ngtcp2. */
static ngtcp2_ssize write_packet(struct ng_session *s, uint8_t *data)
{
    for (;;) {
        struct ng_stream *stream = next_stream(s);
        const uint8_t *piece = NULL;
        uint32_t flags = NGTCP2_WRITE_STREAM_FLAG_NONE;
        bool fin = false;
        ngtcp2_vec vec = {0};
        if (stream != NULL) {
            vec.len = ng_streams_next(stream, &piece, &fin);
            memcpy(&vec.base, &piece, sizeof(piece)); /* ngtcp2 only reads it */
            flags = NGTCP2_WRITE_STREAM_FLAG_MORE | (fin ? NGTCP2_WRITE_STREAM_FLAG_FIN : 0);
        }
        ngtcp2_pkt_info info = {0};
        ngtcp2_ssize taken = -1;
        ngtcp2_ssize size = ngtcp2_conn_writev_stream(
            s->quic, NULL, &info, data, s->plan->mtu, &taken, flags,
            stream == NULL ? -1 : stream->id, &vec, stream == NULL ? 0 : 1, s->now_ns);
        if (taken >= 0 && stream != NULL) {
            stream->sent += (uint64_t)taken;
            if (fin && (size_t)taken == vec.len)
                sb_list_remove(&stream->link);
        }
        if (size == NGTCP2_ERR_STREAM_DATA_BLOCKED || size == NGTCP2_ERR_STREAM_SHUT_WR)
            stream->is_blocked = true;
        else if (size != NGTCP2_ERR_WRITE_MORE)
            return size;
    }
}

static bool send_train(struct ng_session *s, const uint8_t *data, size_t size, size_t segment)
{
    int e = size == 0 ? 0 : ng_wire_send(&s->wire, data, size, segment);
    return e == 0 || failure_set(s->failure, "cannot send: %s", strerror(-e));
}

/* Sends all that may be sent now. */
static bool flush(struct ng_session *s)
{
    static uint8_t train[NG_TRAIN_BYTES];
    size_t used = 0;
    size_t segment = 0;
    uint32_t count = 0;
    SB_LIST_EACH(link, &s->sending)
        SB_CONTAINER_OF(link, struct ng_stream, link)->is_blocked = false;
    for (;;) {
        ngtcp2_ssize written = write_packet(s, train + used);
        if (written < 0)
            return fail_quic(s, "cannot write a packet", (int)written);
        size_t size = (size_t)written;
        if (count > 0 && size > segment) { /* the end of a handshake may be followed by more */
            if (!send_train(s, train, used, segment))
                return false;
            memmove(train, train + used, size);
            used = count = 0;
        }
        segment = count == 0 ? size : segment;
        used += size;
        count++;
        bool is_full = used + s->plan->mtu > sizeof(train) || count == NG_TRAIN_SEGMENTS;
        if (size < segment || size == 0 || is_full) {
            if (!send_train(s, train, used, segment))
                return false;
            used = count = 0;
        }
        if (size == 0)
            return true;
    }
}

static void sleep_until(const struct ng_session *s, uint64_t until_ns)
{
    struct pollfd fd = {.fd = s->wire.udp.fd, .events = POLLIN};
    uint64_t wait_ns = sb_time_since(until_ns, clock_now_ns());
    wait_ns = sb_time_min(wait_ns, SLEEP_NS_MAX);
    const struct timespec timeout = {.tv_nsec = (long)wait_ns};
    (void)ppoll(&fd, 1, &timeout, NULL);
}

bool ng_session_turn(struct ng_session *s)
{
    s->now_ns = clock_now_ns();
    int count = ng_wire_receive(&s->wire, on_datagram, s);
    if (count < 0)
        return failure_set(s->failure, "cannot receive: %s", strerror(-count));
    if (s->failure->is_set)
        return false;
    if (s->quic == NULL || s->has_ended) {
        sleep_until(s, SB_NEVER);
        return true;
    }
    uint64_t expiry_ns = ngtcp2_conn_get_expiry(s->quic);
    if (expiry_ns <= s->now_ns) {
        int e = ngtcp2_conn_handle_expiry(s->quic, s->now_ns);
        if (e != 0)
            return fail_quic(s, "a timer", e);
    }
    bool can_start = s->run != NULL && ngtcp2_conn_get_handshake_completed(s->quic);
    if (can_start && !ng_streams_start(s))
        return false;
    if (can_start)
        run_turn(s->run, s->now_ns);
    if (!flush(s))
        return false;
    if (count == 0)
        sleep_until(s, ngtcp2_conn_get_expiry(s->quic));
    return true;
}

void ng_session_close(struct ng_session *s)
{
    ngtcp2_conn_del(s->quic);
    for (struct ng_stream *next; s->made != NULL; s->made = next) {
        next = s->made->made_next;
        free(s->made);
    }
    ng_tls_session_deinit(&s->tls_session);
    ng_tls_deinit(&s->tls);
    ng_wire_close(&s->wire);
}
