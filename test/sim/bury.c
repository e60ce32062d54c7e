/* SPDX-License-Identifier: MIT */
/* What takes the place of a closed connection in its host: a tombstone, which answers or not. */

#include "test/sim/bury.h"

#include <inttypes.h>

#include "proto/base/compiler.h"
#include "proto/wire/quic.h"
#include "test/sim/host.h"

enum { NEVER_BURIED_PPM = 250000 }; /* ends that keep their connection until it is drained */

void qs_end_dig_up(struct qs_end *end)
{
    if (!end->is_buried)
        return;
    end->is_buried = false;
    end->cid_count = 0;
    qs_note(end->host->trace, "%s is forgotten", end->who);
}

static void forget(void *context, void *argument)
{
    (void)argument;
    qs_end_dig_up(context);
}

/* What the peer's close, or nobody's, has left may not speak. */
static void check_silence(const struct qs_end *end)
{
    const struct sp_close *close = &end->app.close;
    if (!close->is_local && end->tombstone.packet_size > 0)
        qs_fail(end->host->trace, "%s answers although it only drains", end->who);
}

bool qs_end_bury(struct qs_end *end)
{
    struct qs_host *host = end->host;
    if (!end->app.is_closed || end->app.is_drained || end->is_never_buried)
        return false;
    if (!end->has_died) {
        end->has_died = true;
        end->is_never_buried = qs_random_chance(&end->random, NEVER_BURIED_PPM);
        if (end->is_never_buried)
            return false;
    }
    qs_oracle_before_send(&end->oracle, end->conn);
    if (!sp_conn_bury(end->conn, &end->tombstone)) {
        if (end->oracle.sealed_count > 0)
            qs_fail(host->trace, "%s seals packets and is not buried", end->who);
        return false;
    }
    check_silence(end);
    const struct sp_train train = {
        .data = end->tombstone.packet,
        .capacity = sizeof(end->tombstone.packet),
        .count_max = 1,
        .size = end->tombstone.packet_size,
        .segment_size = end->tombstone.packet_size,
        .count = 1,
    };
    if (train.size > 0)
        qs_oracle_check_shape(&end->oracle, &train);
    qs_note(host->trace, "%s is buried with an answer of %zu bytes", end->who, train.size);
    end->is_buried = true;
    qs_clock_at(host->clock, SB_MAX(end->tombstone.end_at_ns, host->clock->now_ns), forget, end,
                NULL);
    return true;
}

/* [RFC9000 10.2.1] The number of answers is the logarithm of that of the datagrams. */
static void check_rate(struct qs_end *end, bool is_ours)
{
    uint64_t *answers = is_ours ? &end->answer_count : &end->answer_elsewhere_count;
    uint64_t datagrams_in = is_ours ? end->tombstone.datagrams_in : end->tombstone.elsewhere_in;
    uint64_t bits = 0;
    for (uint64_t left = datagrams_in; left > 0; left >>= 1)
        bits++;
    if (++*answers > bits)
        qs_fail(end->host->trace, "%s has answered %" PRIu64 " of %" PRIu64 " datagrams", end->who,
                *answers, datagrams_in);
}

void qs_end_knock(struct qs_end *end, const struct qs_wire *wire)
{
    bool is_ours = sp_addr_equal(&wire->from, &end->tombstone.path.remote);
    if (is_ours)
        qs_oracle_batch(&end->oracle, wire->size);
    qs_oracle_path_in(&end->paths, &wire->from, wire->size);
    if (!sp_tombstone_receive(&end->tombstone, &wire->from, wire->size))
        return;
    check_rate(end, is_ours);
    if (is_ours)
        qs_oracle_check_bytes(&end->oracle, end->tombstone.packet_size);
    else if (end->tombstone.packet_size > wire->size * SP_AMPLIFICATION_FACTOR)
        qs_fail(end->host->trace, "%s answers %zu bytes from elsewhere with more than 3 x",
                end->who, wire->size);
    struct qs_wire *answer = qs_wire_create(end->tombstone.packet, end->tombstone.packet_size);
    answer->from = wire->to;
    answer->to = wire->from;
    if (end->host->role == SP_SERVER)
        qs_oracle_path_out(&end->paths, &answer->to, answer->size);
    qs_link_send(end->host->out, answer);
    qs_note(end->host->trace, "%s answers from its grave", end->who);
}
