/* SPDX-License-Identifier: MIT */
#include "bench/load/endpoint.h"

#include <ctype.h>
#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <string.h>
#include <sys/resource.h>

#include "bench/load/clock.h"
#include "bench/load/failure.h"
#include "bench/load/host_loop.h"
#include "bench/load/messages.h"
#include "bench/load/options.h"
#include "bench/load/payload.h"

enum {
    /* Memory for an idle connection: twice what it takes, so that a download beside them is not
     * taken for the one that makes memory short. */
    IDLE_CONN_BYTES = 16384,
};

static const char *const alpn[] = {ENDPOINT_ALPN, MESSAGES_ALPN};

/* Transport errors that a user can do something about.  [RFC9000 20.1] */
#define TRANSPORT_REFUSED 0x02
/* A TLS alert is 0x100 plus its number.  [RFC9001 4.8] */
#define CRYPTO_ERROR 0x100

static const struct {
    uint64_t alert;
    const char *text;
} alerts[] = {
    {40, "no cipher or key exchange in common (handshake_failure): try another --cipher"},
    {42, "the certificate is bad: give --ca FILE that vouches for it, or --insecure"},
    {45, "the certificate has expired: renew it, or --insecure"},
    {46, "the certificate cannot be accepted: give --ca FILE that vouches for it, or --insecure"},
    {48, "the certificate is not trusted: give --ca FILE that vouches for it, or --insecure"},
    {116, "the server wants a certificate of the client: give --cert FILE --key FILE"},
    {120, "it does not speak ALPN " ENDPOINT_ALPN " (messages: " MESSAGES_ALPN ")"},
};

void endpoint_write_header(uint8_t ret[ENDPOINT_HEADER_SIZE], uint64_t wanted_bytes)
{
    for (int i = ENDPOINT_HEADER_SIZE - 1; i >= 0; i--, wanted_bytes >>= 8)
        ret[i] = (uint8_t)wanted_bytes;
}

uint64_t endpoint_read_header(const uint8_t header[ENDPOINT_HEADER_SIZE])
{
    uint64_t value = 0;
    for (int i = 0; i < ENDPOINT_HEADER_SIZE; i++)
        value = value << 8 | header[i];
    return value;
}

uint32_t endpoint_mtu(const struct options *o, bool is_v6)
{
    if (o->mtu != 0)
        return (uint32_t)o->mtu;
    return is_v6 ? 1452 : 1472; /* 1500 less the IP and UDP headers */
}

static void raise_file_limit(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        (void)setrlimit(RLIMIT_NOFILE, &limit); /* without it: -EMFILE later, with its reason */
    }
}

static uint32_t at_least(uint32_t a, uint64_t b)
{
    return a > b ? a : (uint32_t)b; /* the options bound b */
}

/* Reads the key of Stateless Resets.  Without a path there is none. */
static bool read_reset_key(const char *path, uint8_t ret[SPATE_KEY_SIZE], struct failure *failure)
{
    uint8_t bytes[SPATE_KEY_SIZE + 1];
    if (path == NULL)
        return true;
    FILE *file = fopen(path, "re");
    if (file == NULL)
        return failure_set(failure, "cannot read --reset-key %s: %s", path, strerror(errno));
    size_t size = fread(bytes, 1, sizeof(bytes), file);
    (void)fclose(file);
    if (size != SPATE_KEY_SIZE)
        return failure_set(failure,
                           "--reset-key %s must be %d bytes: head -c %d /dev/urandom makes some",
                           path, SPATE_KEY_SIZE, SPATE_KEY_SIZE);
    memcpy(ret, bytes, SPATE_KEY_SIZE);
    return true;
}

static bool read_hex(const char *text, uint8_t *ret, size_t size_max, size_t *ret_size)
{
    static const char digits[] = "0123456789abcdef";
    size_t count = strlen(text);
    if (count % 2 != 0 || count / 2 > size_max)
        return false;
    for (size_t i = 0; i < count; i++) {
        const char *digit = strchr(digits, tolower((unsigned char)text[i]));
        if (digit == NULL)
            return false;
        ret[i / 2] = (uint8_t)(ret[i / 2] << 4 | (digit - digits));
    }
    *ret_size = count / 2;
    return true;
}

/* Reads the configuration of connection IDs for load balancers. */
static bool read_quic_lb(const struct options *o, struct spate_quic_lb *ret,
                         struct failure *failure)
{
    enum { TEXT_SIZE = 16, SERVER_ID_SIZE_MAX = 12 };
    size_t size;
    spate_quic_lb_init(ret);
    if (!read_hex(o->server_id, ret->server_id, SERVER_ID_SIZE_MAX, &size) || size == 0)
        return failure_set(failure, "--server-id must be 1 to %d bytes in hexadecimal, not %s",
                           SERVER_ID_SIZE_MAX, o->server_id);
    ret->server_id_size = (uint8_t)size;
    ret->nonce_size = (uint8_t)(TEXT_SIZE - size);
    ret->is_encrypted = o->lb_key != NULL;
    if (o->lb_key != NULL &&
        (!read_hex(o->lb_key, ret->key, sizeof(ret->key), &size) || size != sizeof(ret->key)))
        return failure_set(failure, "--lb-key must be %zu bytes in hexadecimal", sizeof(ret->key));
    return true;
}

/* Makes room for what the load has at once. */
static void make_room(const struct options *o, struct spate_config *config)
{
    /* Twice that: a stream or connection lingers on one side until the other one's last packet has
     * come, while its successor starts already. */
    bool is_rr = options_has_requests(o) && o->inflight > o->streams;
    bool is_messages = o->kind == SCENARIO_MESSAGES;
    uint64_t streams = is_rr || is_messages ? o->inflight : o->streams;
    uint64_t conns = o->conns + (o->kind == SCENARIO_MIXED ? o->bulk_conns : 0);
    streams *= o->direction == DIRECTION_BOTH ? 2 : 1;
    config->streams_bidi_max = at_least(config->streams_bidi_max, 2 * streams);
    config->streams_local_max = at_least(config->streams_local_max, 2 * streams);
    if (is_messages)
        config->streams_uni_max = at_least(config->streams_uni_max, 2 * streams);
    config->streams_bidi_max = at_least(config->streams_bidi_max, 1000);
    config->streams_local_max = at_least(config->streams_local_max, 1000);
    config->conns_max = at_least(config->conns_max, 2 * conns);
    if (o->kind != SCENARIO_IDLE) {
        config->handshakes_max = at_least(config->handshakes_max, o->inflight + conns);
    } else { /* it opens them one after the other */
        config->memory_bytes_max += o->conns * IDLE_CONN_BYTES;
        config->idle_timeout_ns =
            4 * o->keep_alive_ns; /* after a third of it a PING would be due */
    }
}

bool endpoint_open(const struct options *o, const struct endpoint_role *role,
                   struct spate_engine **ret, struct failure *failure)
{
    int made = host_loop_open(role->loop, o->own_ring);
    if (made != 0)
        return failure_set(failure, "--own-ring: io_uring: %s", strerror(-made));
    struct spate_config config;
    spate_config_init(&config);
    if (!read_reset_key(o->reset_key, config.reset_key, failure))
        return false;
    struct spate_quic_lb lb;
    if (o->server_id != NULL && !read_quic_lb(o, &lb, failure))
        return false;
    config.quic_lb = o->server_id != NULL ? &lb : NULL;
    struct spate_qlog qlog;
    spate_qlog_init(&qlog);
    qlog.dir = o->qlog;
    config.qlog = o->qlog != NULL ? &qlog : NULL;
    config.shard_count = role->shards;
    config.pinning = SPATE_PINNING_OFF; /* the threads are ours */
    config.backend = (enum spate_backend)o->backend;
    config.crypto = (enum spate_crypto)o->crypto;
    config.retry = (enum spate_retry)o->retry;
    config.congestion = (enum spate_congestion)o->cc;
    config.kernel_pacing = (enum spate_kernel_pacing)o->kernel_pacing;
    if (o->profile != 0)
        (void)!spate_config_profile(&config, (enum spate_profile)o->profile);
    if (o->cc_rate > 0)
        config.fixed_rate_bytes_per_s = o->cc_rate;
    config.conn_rate_bytes_per_s_max = o->rate_limit;
    config.shard_rate_bytes_per_s_max = o->shard_rate_limit;
    config.datagram_size_max = endpoint_mtu(o, role->is_v6);
    config.handshake_timeout_ns = o->timeout_ns;
    config.zero_copy = o->zero_copy;
    config.lent_ring = host_loop_lent(role->loop);
    config.event_batches = o->batches;
    config.message_frame_size_max = 65535;
    config.message_count_max = 65536; /* what arrives in one turn of a busy server */
    config.message_bytes_max = 64 << 20;
    if (o->busy_poll)
        config.spin_ns = SPATE_FOREVER;
    else if (o->spin_us != SPIN_DEFAULT)
        config.spin_ns = o->spin_us * NS_PER_US;

    if (o->memory_bytes > 0)
        config.memory_bytes_max = o->memory_bytes;
    if (o->slots > 0)
        config.receive_slots = config.transmit_slots = (uint32_t)o->slots;
    config.keep_alive_ns = role->is_client ? o->keep_alive_ns : 0;
    make_room(o, &config);

    raise_file_limit();
    struct spate_error error = {.text = ""};
    int status = spate_engine_create(&config, ret, &error);
    if (status != 0)
        return failure_set(failure, "cannot start: %s",
                           error.text[0] != 0 ? error.text : strerror(-status));
    return true;
}

bool endpoint_may_lend(const struct spate_conn *conn, uint64_t stream_id, uint32_t lent_count)
{
    struct spate_stream_progress progress;
    if (lent_count < PAYLOAD_LENT_MIN)
        return true;
    return spate_stream_progress(conn, stream_id, &progress) == 0 &&
           lent_count <= progress.wanted_bytes / PAYLOAD_SIZE;
}

void endpoint_warn(const struct spate_engine *engine)
{
    const char *warning = spate_engine_warning(engine);
    if (warning != NULL)
        fprintf(stderr, "spate-bench: %s\n", warning);
}

struct spate_tls_options endpoint_tls_options(const struct options *o, bool is_client)
{
    bool is_messages = is_client && o->kind == SCENARIO_MESSAGES;
    return (struct spate_tls_options){
        .size = sizeof(struct spate_tls_options),
        .alpn = is_messages ? &alpn[1] : alpn,
        .alpn_count = is_client ? 1 : 2,
        .ciphers = o->cipher_bits,
        .keylog_file = o->keylog,
    };
}

static void describe_transport(const struct spate_close *close, const char *peer, char *ret,
                               size_t ret_size)
{
    char reason[128];
    failure_clean(reason, sizeof(reason), close->reason == NULL ? "" : close->reason);
    const char *colon = reason[0] != 0 ? ": " : "";

    if (close->error >= CRYPTO_ERROR && close->error <= CRYPTO_ERROR + 255) {
        uint64_t alert = close->error - CRYPTO_ERROR;
        for (size_t i = 0; i < sizeof(alerts) / sizeof(alerts[0]); i++) {
            if (alerts[i].alert == alert) {
                (void)snprintf(ret, ret_size, "no handshake with %s: %s%s%s%s", peer,
                               alerts[i].text, reason[0] != 0 ? " (" : "", reason,
                               reason[0] != 0 ? ")" : "");
                return;
            }
        }
        (void)snprintf(ret, ret_size, "no handshake with %s: TLS alert %" PRIu64 " %s%s%s", peer,
                       alert, close->is_local ? "from us" : "from it", colon, reason);
        return;
    }
    if (close->error == TRANSPORT_REFUSED && !close->is_local) {
        (void)snprintf(ret, ret_size, "%s refuses the connection%s%s", peer, colon, reason);
        return;
    }
    (void)snprintf(ret, ret_size, "%s the connection to %s with QUIC error 0x%" PRIx64 "%s%s",
                   close->is_local ? "we closed" : "it closed", peer, close->error, colon, reason);
}

void endpoint_describe_close(const struct spate_close *close, const char *peer, uint64_t timeout_ns,
                             char *ret, size_t ret_size)
{
    char reason[128];
    failure_clean(reason, sizeof(reason), close->reason == NULL ? "" : close->reason);

    switch (close->kind) {
    case SPATE_CLOSE_TRANSPORT:
        describe_transport(close, peer, ret, ret_size);
        return;
    case SPATE_CLOSE_APP:
        (void)snprintf(ret, ret_size, "%s closed the connection with code %" PRIu64 "%s%s", peer,
                       close->error, reason[0] != 0 ? ": " : "", reason);
        return;
    case SPATE_CLOSE_IDLE:
        (void)snprintf(ret, ret_size, "%s has gone silent: the idle timeout has passed", peer);
        return;
    case SPATE_CLOSE_HANDSHAKE_TIMEOUT:
        (void)snprintf(ret, ret_size,
                       "%s has not answered within %.3g s: is a QUIC server listening there?", peer,
                       (double)timeout_ns / (double)NS_PER_S);
        return;
    case SPATE_CLOSE_STATELESS_RESET:
        (void)snprintf(ret, ret_size, "%s has forgotten the connection: was it restarted?", peer);
        return;
    case SPATE_CLOSE_VERSION:
        (void)snprintf(ret, ret_size, "%s speaks no version of QUIC that we do", peer);
        return;
    case SPATE_CLOSE_UNREACHABLE:
        (void)snprintf(ret, ret_size, "nobody is listening: %s: %s", peer,
                       close->error == 0 ? "unreachable" : strerror((int)close->error));
        return;
    }
    (void)snprintf(ret, ret_size, "the connection to %s has ended", peer);
}
