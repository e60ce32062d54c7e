/* SPDX-License-Identifier: MIT */
/* What may leave: datagram sizes, the amplification limit, the congestion window. */

#include "test/sim/oracle.h"

#include <inttypes.h>

#include "proto/base/compiler.h"
#include "proto/conn/impl.h"

void qs_oracle_note_stats(struct qs_oracle *oracle, const struct sp_stats *now)
{
    /* [RFC9002 6.2.4, 7.3.2] What may go over the window: two datagrams a space for each
     * probe timeout, and for each time that the path took no more large datagrams or seemed to, and
     * one when a loss was found. */
    uint64_t size = oracle->config->datagram_size_max;
    uint64_t ptos =
        now->ptos - oracle->stats.ptos + now->mtu_fallbacks - oracle->stats.mtu_fallbacks;
    uint64_t now_ns = oracle->trace->clock->now_ns;
    oracle->probe_bytes += ptos * 2 * SP_SPACES * size;
    if (ptos > 0)
        oracle->probe_ns = now_ns;
    if (now->packets_lost > oracle->stats.packets_lost)
        oracle->probe_bytes += size;
    /* Something else may leave before the probes do. */
    if (now->in_flight_bytes <= now->cwnd_bytes / 2 && now_ns > oracle->probe_ns)
        oracle->probe_bytes = 0; /* the need has passed */
    oracle->stats = *now;
}

void qs_oracle_check_window(struct qs_oracle *oracle, const struct sp_stats *now)
{
    uint64_t allowed = SB_MAX(now->cwnd_bytes, oracle->stats.in_flight_bytes);
    /* An ACK may always leave, and a client's is padded like all its Initials. */
    bool has_first[SP_SPACES] = {false};
    for (uint32_t i = 0; i < oracle->sealed_count; i++) {
        const struct qs_sealed *sealed = &oracle->sealed[i];
        /* .. and one packet at a time with what the peer needs to acknowledge the others. */
        enum sp_space space =
            sealed->type == SP_PACKET_INITIAL ? SP_SPACE_INITIAL : SP_SPACE_HANDSHAKE;
        bool is_first = sealed->type != SP_PACKET_ONE_RTT && sealed->type != SP_PACKET_ZERO_RTT &&
                        !has_first[space];
        if (!sealed->is_eliciting || is_first)
            allowed += SP_DATAGRAM_SIZE_MIN;
        has_first[space] |= is_first;
    }
    if (now->in_flight_bytes > allowed) {
        uint64_t over = now->in_flight_bytes - allowed;
        if (over > oracle->probe_bytes)
            qs_fail(oracle->trace,
                    "%s has %" PRIu64 " bytes in flight, %" PRIu64 " before; window %" PRIu64,
                    oracle->who, now->in_flight_bytes, oracle->stats.in_flight_bytes,
                    now->cwnd_bytes); /* [RFC9002 7] */
        oracle->probe_bytes -= SB_MIN(over, oracle->probe_bytes);
    }
    oracle->stats = *now;
}

/* What stands in one datagram of the train. */
struct datagram {
    uint32_t packet_count;
    bool has_initial;
    bool has_eliciting_initial;
    bool has_short;
};

static void check_train_shape(struct qs_oracle *oracle, const struct sp_train *train)
{
    if (train->count > train->count_max || train->size > train->capacity)
        qs_fail(oracle->trace, "%s fills %u datagrams, %zu bytes into a train of %u, %zu",
                oracle->who, train->count, train->size, train->count_max, train->capacity);
    else if (train->segment_size == 0 || train->size == 0 ||
             train->size > train->count * train->segment_size ||
             train->size <= (train->count - 1) * train->segment_size)
        qs_fail(oracle->trace, "%s makes a train of %u datagrams of %zu bytes, %zu in all",
                oracle->who, train->count, train->segment_size, train->size);
    else if (train->segment_size > oracle->config->datagram_size_max)
        qs_fail(oracle->trace, "%s sends a datagram of %zu bytes, %zu are allowed", oracle->who,
                train->segment_size, oracle->config->datagram_size_max);
}

static void check_datagram(struct qs_oracle *oracle, const struct sp_train *train, uint32_t index)
{
    size_t begin = index * train->segment_size;
    size_t size = SB_MIN(train->segment_size, train->size - begin);
    struct datagram datagram = {0};
    for (uint32_t i = 0; i < oracle->sealed_count; i++) {
        const struct qs_sealed *sealed = &oracle->sealed[i];
        if (sealed->at < train->data + begin || sealed->at >= train->data + begin + size)
            continue;
        if (sealed->at + sealed->size > train->data + begin + size)
            qs_fail(oracle->trace, "%s sends a packet that is cut by its datagram", oracle->who);
        if (datagram.has_short)
            qs_fail(oracle->trace, "%s puts a packet behind a short header", oracle->who);
        datagram.packet_count++;
        datagram.has_short |= sealed->type == SP_PACKET_ONE_RTT;
        datagram.has_initial |= sealed->type == SP_PACKET_INITIAL;
        datagram.has_eliciting_initial |= sealed->type == SP_PACKET_INITIAL && sealed->is_eliciting;
    }
    if (datagram.packet_count == 0)
        qs_fail(oracle->trace, "%s sends a datagram without a packet", oracle->who);

    /* [RFC9000 14.1] */
    bool must_be_full =
        oracle->role == SP_CLIENT ? datagram.has_initial : datagram.has_eliciting_initial;
    if (must_be_full && size < SP_DATAGRAM_SIZE_MIN)
        qs_fail(oracle->trace, "%s sends an Initial in %zu bytes", oracle->who, size);
}

void qs_oracle_check_shape(struct qs_oracle *oracle, const struct sp_train *train)
{
    check_train_shape(oracle, train);
    for (uint32_t i = 0; i < train->count && !oracle->trace->has_failed; i++)
        check_datagram(oracle, train, i);
}

void qs_oracle_check_train(struct qs_oracle *oracle, const struct sp_train *train)
{
    qs_oracle_check_shape(oracle, train);
    if (!oracle->trace->has_failed)
        qs_oracle_check_bytes(oracle, train->size);
}

void qs_oracle_check_bytes(struct qs_oracle *oracle, uint64_t size)
{
    oracle->bytes_out += size;
    if (!oracle->address_is_valid && oracle->bytes_out > SP_AMPLIFICATION_FACTOR * oracle->bytes_in)
        qs_fail(oracle->trace,
                "%s has sent %" PRIu64 " bytes to an unproven address that sent %" PRIu64,
                oracle->who, oracle->bytes_out, oracle->bytes_in);
}

void qs_oracle_before_send(struct qs_oracle *oracle, const struct sp_conn *conn)
{
    struct sp_stats now;
    sp_conn_stats(conn, &now);
    qs_oracle_note_stats(oracle, &now);
    if (conn->loss.path->is_suspected && conn->app.probe_count > 0)
        oracle->probe_bytes += SP_PMTU_HOLE_PROBES * oracle->config->datagram_size_max;
    oracle->sealed_count = 0;
}

void qs_oracle_after_send(struct qs_oracle *oracle, const struct sp_conn *conn,
                          const struct sp_train *train)
{
    if (train->count == 0) {
        if (oracle->sealed_count > 0)
            qs_fail(oracle->trace, "%s seals packets and does not send them", oracle->who);
        return;
    }
    qs_oracle_check_train(oracle, train);
    struct sp_stats now;
    sp_conn_stats(conn, &now);
    qs_oracle_check_window(oracle, &now);
}
