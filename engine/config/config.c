/* SPDX-License-Identifier: MIT */
#include "engine/config/config.h"

/* The configuration is one list.  From it come the defaults, the ranges with their messages, and
 * the copy for proto/. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/config/sized.h"
#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/conn.h"
#include "proto/wire/quic.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* Long enough for any use, and short enough that now + duration cannot overflow. */
#define DURATION_MAX (UINT64_C(86400) * 365 * SB_S)
/* Offsets and windows go on the wire as varints of 62 bits. */
#define WINDOW_MAX (UINT64_C(1) << 60)

/* 8 kbit/s and 1 Tbit/s. */
#define RATE_MIN UINT64_C(1000)
#define RATE_MAX UINT64_C(125000000000)

/* clang-format off */

/* X(user, field, default, smallest, largest, range).  `user`: ENGINE, or for what connections may
 * differ in, PROTO for a field that has the same name in struct sp_config and CONN for others.
 * RANGE_OR_NONE: 0 is also allowed and means "none".  The
 * comments in <spate/config.h> repeat defaults and ranges; test_config.c compares them. */
#define FIELDS(X) \
    X(ENGINE, shard_count, 1, SPATE_SHARDS_AUTO, SE_SHARDS_MAX, RANGE) \
    X(ENGINE, backend, SPATE_BACKEND_AUTO, SPATE_BACKEND_AUTO, SPATE_BACKEND_HOST, RANGE) \
    X(ENGINE, crypto, SPATE_CRYPTO_AUTO, SPATE_CRYPTO_AUTO, SPATE_CRYPTO_FUSED, RANGE) \
    X(ENGINE, conns_max, 10000, 1, SE_CONNS_MAX, RANGE) \
    X(ENGINE, handshakes_max, 1000, 1, SE_CONNS_MAX, RANGE) \
    X(ENGINE, memory_bytes_max, GIB, MIB, 64 * 1024 * GIB, RANGE) \
    X(ENGINE, receive_slots, 256, 2, SE_RECEIVE_SLOTS_MAX, RANGE) \
    X(ENGINE, transmit_slots, 256, 1, SE_TRANSMIT_SLOTS_MAX, RANGE) \
    X(ENGINE, socket_buffer_bytes, 4 * MIB, 64 * KIB, GIB, RANGE) \
    X(PROTO, idle_timeout_ns, 30 * SB_S, SB_MS, DURATION_MAX, RANGE_OR_NONE) \
    X(PROTO, handshake_timeout_ns, 10 * SB_S, SB_MS, DURATION_MAX, RANGE_OR_NONE) \
    /* [RFC9000 18.2] max_ack_delay is below 2^14 ms. */ \
    X(PROTO, ack_delay_ns_max, 25 * SB_MS, 0, ((1 << 14) - 1) * SB_MS, RANGE) \
    /* Jumbo frames minus the headers of IPv4 and UDP; the most that IPv4 can carry. */ \
    X(PROTO, datagram_size_max, 8972, SP_DATAGRAM_SIZE_MIN, 65507, RANGE) \
    X(PROTO, stream_window_bytes, MIB, KIB, WINDOW_MAX, RANGE) \
    X(PROTO, stream_window_bytes_max, 128 * MIB, KIB, WINDOW_MAX, RANGE) \
    X(PROTO, conn_window_bytes, MIB, KIB, WINDOW_MAX, RANGE) \
    X(PROTO, conn_window_bytes_max, 128 * MIB, KIB, WINDOW_MAX, RANGE) \
    X(PROTO, streams_bidi_max, 100, 0, 1 << 20, RANGE) \
    X(PROTO, streams_uni_max, 100, 0, 1 << 20, RANGE) \
    X(PROTO, streams_local_max, 1000, 0, 1 << 20, RANGE) \
    X(ENGINE, spin_ns, 500 * SB_US, 0, SPATE_FOREVER, RANGE) \
    X(PROTO, pacing, true, false, true, RANGE) \
    X(PROTO, ecn, true, false, true, RANGE) \
    X(ENGINE, zero_copy, false, false, true, RANGE) \
    X(ENGINE, gso, true, false, true, RANGE) \
    X(ENGINE, retry, SPATE_RETRY_AUTO, SPATE_RETRY_AUTO, SPATE_RETRY_NEVER, RANGE) \
    X(PROTO, keep_alive_ns, 0, SB_MS, DURATION_MAX, RANGE_OR_NONE) \
    X(PROTO, message_frame_size_max, 0, 0, UINT16_MAX, RANGE) \
    X(PROTO, message_count_max, 1024, 1, 1 << 16, RANGE) \
    X(PROTO, message_bytes_max, MIB, KIB, GIB, RANGE) \
    X(CONN, versions, SPATE_VERSIONS_BOTH, SPATE_VERSIONS_BOTH, SPATE_VERSIONS_ONLY_2, RANGE) \
    X(PROTO, grease, true, false, true, RANGE) \
    X(PROTO, spin_bit, true, false, true, RANGE) \
    X(PROTO, ack_frequency, true, false, true, RANGE) \
    X(PROTO, key_update_packets, 0, 100, 100000000, RANGE_OR_NONE) \
    X(CONN, congestion, SPATE_CONGESTION_CUBIC, SPATE_CONGESTION_CUBIC, SPATE_CONGESTION_PRAGUE, \
      RANGE) \
    X(PROTO, fixed_rate_bytes_per_s, 125000000, RATE_MIN, RATE_MAX, RANGE) \
    X(PROTO, migration, true, false, true, RANGE) \
    X(PROTO, follow_preferred, true, false, true, RANGE) \
    X(CONN, event_batches, false, false, true, RANGE) \
    X(PROTO, conn_rate_bytes_per_s_max, 0, RATE_MIN, RATE_MAX, RANGE_OR_NONE) \
    X(ENGINE, shard_rate_bytes_per_s_max, 0, RATE_MIN, RATE_MAX, RANGE_OR_NONE) \
    X(ENGINE, kernel_pacing, SPATE_KERNEL_PACING_AUTO, SPATE_KERNEL_PACING_AUTO, \
      SPATE_KERNEL_PACING_OFF, RANGE) \
    X(PROTO, initial_rtt_ns, 333 * SB_MS, SB_MS, 10 * SB_S, RANGE) \
    X(PROTO, initial_window_packets, 10, 2, 1000, RANGE) \
    X(ENGINE, engine_rate_bytes_per_s_max, 0, RATE_MIN, RATE_MAX, RANGE_OR_NONE) \
    X(ENGINE, resume_path_ns, 0, SB_S, 7 * 86400 * SB_S, RANGE_OR_NONE) \
    X(ENGINE, pinning, SPATE_PINNING_AUTO, SPATE_PINNING_AUTO, SPATE_PINNING_ON, RANGE) \
    X(ENGINE, hand_over, false, false, true, RANGE) \
    X(ENGINE, operations_max, 4096, 1, 1 << 16, RANGE_OR_NONE) \
    X(ENGINE, receive_stamps, false, false, true, RANGE)

/* clang-format on */

enum { RANGE = false, RANGE_OR_NONE = true };

#define TABLE_ROW(user, field, initial, least, most, none) \
    {#field, \
     offsetof(struct spate_config, field), \
     sizeof(((struct spate_config *)NULL)->field), \
     initial, \
     least, \
     most, \
     none, \
     IS_OF_CONN_##user},
#define IS_OF_CONN_ENGINE                                false
#define IS_OF_CONN_PROTO                                 true
#define IS_OF_CONN_CONN                                  true
#define INITIAL(user, field, initial, least, most, none) .field = (initial),
#define COPY_PROTO(field)                                ret->field = config->field;
#define COPY_ENGINE(field)
#define COPY_CONN(field)
#define COPY(user, field, initial, least, most, none) COPY_##user(field)

const struct se_config_field se_config_fields[] = {FIELDS(TABLE_ROW)};
const size_t se_config_field_count = SB_COUNT(se_config_fields);

void se_error_set(struct spate_error *error, const char *format, ...)
{
    if (error == NULL)
        return;
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(error->text, sizeof(error->text), format, arguments);
    va_end(arguments);
}

void spate_config_init_sized(struct spate_config *config, size_t size)
{
    const struct spate_config defaults = {.size = size, FIELDS(INITIAL)};
    se_sized_give(&defaults, sizeof(defaults), config, size);
}

int se_config_copy(const struct spate_config *given, struct spate_config *ret,
                   struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_config",
        SE_SIZE_THROUGH(struct spate_config, reserved),
        sizeof(struct spate_config),
    };
    return se_sized_take(&shape, given, ret, error);
}

static void set_lan(struct spate_config *config)
{
    config->congestion = SPATE_CONGESTION_CUBIC;
    config->ack_delay_ns_max = 5 * SB_MS;
    config->initial_rtt_ns = 5 * SB_MS;
    config->initial_window_packets = 64;
    config->stream_window_bytes = config->stream_window_bytes_max = 16 * MIB;
    config->conn_window_bytes = 16 * MIB;
    config->conn_window_bytes_max = 256 * MIB;
}

static void set_wan(struct spate_config *config)
{
    config->congestion = SPATE_CONGESTION_BBR;
    config->ack_delay_ns_max = 25 * SB_MS;
    config->initial_rtt_ns = 333 * SB_MS;
    config->initial_window_packets = 10;
    config->stream_window_bytes = config->conn_window_bytes = MIB;
    config->stream_window_bytes_max = 4 * MIB;
    config->conn_window_bytes_max = 32 * MIB;
}

int spate_config_profile_sized(struct spate_config *config, size_t size, enum spate_profile profile)
{
    struct spate_config own;
    spate_config_init(&own);
    size = SB_MIN(size, sizeof(own));
    memcpy(&own, config, size);
    switch (profile) {
    case SPATE_PROFILE_LAN:
        set_lan(&own);
        break;
    case SPATE_PROFILE_WAN:
        set_wan(&own);
        break;
    default: /* a program in another language may pass any number */
        return -EINVAL;
    }
    memcpy(config, &own, size);
    explicit_bzero(&own, sizeof(own)); /* it has the keys */
    return 0;
}

int se_config_take(const struct spate_config *given, struct spate_config *ret,
                   struct spate_error *error)
{
    struct spate_config own;
    spate_config_init(&own);
    int result = se_config_copy(given, &own, error);
    if (result == 0)
        result = se_config_check(&own, error);
    if (result == 0)
        *ret = own;
    explicit_bzero(own.token_key, sizeof(own.token_key));
    return result;
}

uint64_t se_config_value(const struct spate_config *config, const struct se_config_field *field)
{
    const char *at = (const char *)config + field->offset;
    uint64_t value8;
    uint32_t value4;
    switch (field->size) {
    case sizeof(value8):
        memcpy(&value8, at, sizeof(value8));
        return value8;
    case sizeof(value4):
        memcpy(&value4, at, sizeof(value4));
        return value4;
    default:
        /* A bool: a program in another language may have stored any byte. */
        SB_ASSERT(field->size == sizeof(uint8_t));
        return *(const uint8_t *)at != 0;
    }
}

static int window_check(const char *name, uint64_t first, uint64_t max, struct spate_error *error)
{
    if (first <= max)
        return 0;
    se_error_set(error,
                 "%s_window_bytes is %" PRIu64 ", more than %s_window_bytes_max (%" PRIu64 ")",
                 name, first, name, max);
    return -EINVAL;
}

int se_config_check(const struct spate_config *config, struct spate_error *error)
{
    for (size_t i = 0; i < SB_COUNT(se_config_fields); i++) {
        const struct se_config_field *field = &se_config_fields[i];
        uint64_t value = se_config_value(config, field);
        if ((value >= field->min && value <= field->max) || (value == 0 && field->zero_is_none))
            continue;
        se_error_set(error, "%s is %" PRIu64 ", must be %" PRIu64 " to %" PRIu64 "%s", field->name,
                     value, field->min, field->max, field->zero_is_none ? ", or 0 for none" : "");
        return -EINVAL;
    }
    if (config->cpus != NULL && config->shard_count == SPATE_SHARDS_AUTO) {
        se_error_set(error, "cpus is a list of shard_count CPUs, and shard_count is 0");
        return -EINVAL;
    }
    for (uint32_t i = 0; config->cpus != NULL && i < config->shard_count; i++) {
        if (config->cpus[i] >= 0)
            continue;
        se_error_set(error, "cpus[%" PRIu32 "] is %d, must not be negative", i, config->cpus[i]);
        return -EINVAL;
    }
    if (config->backend == SPATE_BACKEND_HOST && config->hand_over) {
        se_error_set(error, "SPATE_BACKEND_HOST has no sockets that hand_over could give away");
        return -EINVAL;
    }
    if (config->backend == SPATE_BACKEND_HOST && config->shard_count != 1) {
        se_error_set(error, "SPATE_BACKEND_HOST has one shard: create an engine for each thread");
        return -EINVAL;
    }
    int result =
        window_check("stream", config->stream_window_bytes, config->stream_window_bytes_max, error);
    if (result == 0)
        result =
            window_check("conn", config->conn_window_bytes, config->conn_window_bytes_max, error);
    return result;
}

bool se_config_is_rate(uint64_t bytes_per_s)
{
    return bytes_per_s == 0 || (bytes_per_s >= RATE_MIN && bytes_per_s <= RATE_MAX);
}

static void versions_to_proto(enum spate_versions versions, struct sp_config *ret)
{
    static const struct sp_versions lists[] = {
        [SPATE_VERSIONS_BOTH] = {.count = 2, .list = {SP_VERSION_1, SP_VERSION_2}},
        [SPATE_VERSIONS_PREFER_2] = {.count = 2, .list = {SP_VERSION_2, SP_VERSION_1}},
        [SPATE_VERSIONS_BEGIN_2] = {.count = 2, .list = {SP_VERSION_2, SP_VERSION_1}},
        [SPATE_VERSIONS_ONLY_1] = {.count = 1, .list = {SP_VERSION_1}},
        [SPATE_VERSIONS_ONLY_2] = {.count = 1, .list = {SP_VERSION_2}},
    };
    ret->versions = lists[versions];
    ret->first_version = versions == SPATE_VERSIONS_PREFER_2 ? SP_VERSION_1 : 0;
    ret->orders_versions = versions != SPATE_VERSIONS_BOTH;
}

static void congestion_to_proto(enum spate_congestion congestion, struct sp_config *ret)
{
    static const enum sp_cc_kind kinds[] = {
        [SPATE_CONGESTION_CUBIC] = SP_CC_CUBIC,   [SPATE_CONGESTION_NEWRENO] = SP_CC_NEWRENO,
        [SPATE_CONGESTION_FIXED] = SP_CC_FIXED,   [SPATE_CONGESTION_BBR] = SP_CC_BBR,
        [SPATE_CONGESTION_PRAGUE] = SP_CC_PRAGUE,
    };
    /* sp_conn_stats() reports the kind as it is. */
    SB_ASSERT((uint32_t)kinds[congestion] == (uint32_t)congestion);
    ret->cc_kind = kinds[congestion];
}

const char *spate_congestion_name(enum spate_congestion congestion)
{
    bool is_known = (uint32_t)congestion < SP_CC_KINDS;
    return is_known ? sp_cc_ops_of((enum sp_cc_kind)congestion)->name : "unknown";
}

void se_config_to_proto(const struct spate_config *config, struct sp_config *ret)
{
    sp_config_init(ret);
    FIELDS(COPY)
    versions_to_proto(config->versions, ret);
    congestion_to_proto(config->congestion, ret);
    ret->cid_size = SE_CID_SIZE;
}
