/* SPDX-License-Identifier: MIT */
#include "engine/config.h"

/* The ranges are a table, so that each field of spate_config has its bounds, and a bad value
 * its message, in one line. */

#include <errno.h>
#include <inttypes.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "engine/sized.h"
#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/wire/quic.h"

#define KIB UINT64_C(1024)
#define MIB (1024 * KIB)
#define GIB (1024 * MIB)

/* Long enough for any use, short enough that now + duration never gets near UINT64_MAX. */
#define DURATION_MAX (UINT64_C(86400) * 365 * SB_S)
/* Offsets and windows go on the wire as varints of 62 bits. */
#define WINDOW_MAX (UINT64_C(1) << 60)

struct range {
    const char *name;
    size_t offset;
    size_t size; /* of the field: 4 or 8 */
    uint64_t min;
    uint64_t max;
    bool zero_is_none;
};

#define RANGE(field, from, to) \
    {#field, \
     offsetof(struct spate_config, field), \
     sizeof(((struct spate_config *)NULL)->field), \
     from, \
     to, \
     false}
#define RANGE_OR_NONE(field, from, to) \
    {#field, \
     offsetof(struct spate_config, field), \
     sizeof(((struct spate_config *)NULL)->field), \
     from, \
     to, \
     true}

static const struct range ranges[] = {
    RANGE(shard_count, 1, SE_SHARDS_MAX),
    RANGE(backend, SPATE_BACKEND_AUTO, SPATE_BACKEND_MMSG),
    RANGE(crypto, SPATE_CRYPTO_AUTO, SPATE_CRYPTO_FUSED),
    RANGE(conns_max, 1, SE_CONNS_MAX),
    RANGE(handshakes_max, 1, SE_CONNS_MAX),
    RANGE(memory_bytes_max, MIB, UINT64_C(1) << 46),
    RANGE(receive_slots, 2, SE_RECEIVE_SLOTS_MAX),
    RANGE(transmit_slots, 1, SE_TRANSMIT_SLOTS_MAX),
    RANGE(socket_buffer_bytes, 64 * KIB, GIB),
    RANGE_OR_NONE(idle_timeout_ns, SB_MS, DURATION_MAX),
    RANGE_OR_NONE(handshake_timeout_ns, SB_MS, DURATION_MAX),
    /* [RFC9000 18.2] max_ack_delay is below 2^14 ms. */
    RANGE(ack_delay_ns_max, 0, ((1 << 14) - 1) * SB_MS),
    RANGE(datagram_size_max, SP_DATAGRAM_SIZE_MIN, 65507),
    RANGE(stream_window_bytes, KIB, WINDOW_MAX),
    RANGE(stream_window_bytes_max, KIB, WINDOW_MAX),
    RANGE(conn_window_bytes, KIB, WINDOW_MAX),
    RANGE(conn_window_bytes_max, KIB, WINDOW_MAX),
    RANGE(streams_bidi_max, 0, 1 << 20),
    RANGE(streams_uni_max, 0, 1 << 20),
    RANGE(streams_local_max, 0, 1 << 20),
};

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
    const struct spate_config defaults = {
        .size = size,
        .shard_count = 1,
        .conns_max = 10000,
        .handshakes_max = 1000,
        .memory_bytes_max = GIB,
        .receive_slots = 256,
        .transmit_slots = 256,
        .socket_buffer_bytes = 4 * MIB,
        .idle_timeout_ns = 30 * SB_S,
        .handshake_timeout_ns = 10 * SB_S,
        .ack_delay_ns_max = 25 * SB_MS,
        .datagram_size_max = 1452, /* Ethernet's 1,500 minus the headers of IPv6 and UDP */
        .stream_window_bytes = MIB,
        .stream_window_bytes_max = 16 * MIB,
        .conn_window_bytes = MIB,
        .conn_window_bytes_max = 16 * MIB,
        .streams_bidi_max = 100,
        .streams_uni_max = 100,
        .streams_local_max = 1000,
        .spin_ns = 500 * SB_US,
        .pacing = true,
        .ecn = true,
        .gso = true,
    };
    se_sized_give(&defaults, sizeof(defaults), config, size);
}

int se_config_take(const struct spate_config *given, struct spate_config *ret,
                   struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_config",
        SE_SIZE_THROUGH(struct spate_config, reserved),
        sizeof(struct spate_config),
    };
    struct spate_config own;
    spate_config_init(&own);
    int result = se_sized_take(&shape, given, &own, error);
    if (result == 0)
        result = se_config_check(&own, error);
    if (result == 0)
        *ret = own;
    return result;
}

static uint64_t value_of(const struct spate_config *config, const struct range *range)
{
    const char *at = (const char *)config + range->offset;
    if (range->size == sizeof(uint32_t)) {
        uint32_t value;
        memcpy(&value, at, sizeof(value));
        return value;
    }
    uint64_t value;
    SB_ASSERT(range->size == sizeof(value));
    memcpy(&value, at, sizeof(value));
    return value;
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
    for (size_t i = 0; i < SB_COUNT(ranges); i++) {
        const struct range *range = &ranges[i];
        uint64_t value = value_of(config, range);
        if ((value >= range->min && value <= range->max) || (value == 0 && range->zero_is_none))
            continue;
        se_error_set(error, "%s is %" PRIu64 ", must be %" PRIu64 " to %" PRIu64 "%s", range->name,
                     value, range->min, range->max, range->zero_is_none ? ", or 0 for none" : "");
        return -EINVAL;
    }
    for (uint32_t i = 0; config->cpus != NULL && i < config->shard_count; i++) {
        if (config->cpus[i] >= 0)
            continue;
        se_error_set(error, "cpus[%" PRIu32 "] is %d, must not be negative", i, config->cpus[i]);
        return -EINVAL;
    }
    int result =
        window_check("stream", config->stream_window_bytes, config->stream_window_bytes_max, error);
    if (result == 0)
        result =
            window_check("conn", config->conn_window_bytes, config->conn_window_bytes_max, error);
    return result;
}
