/* SPDX-License-Identifier: MIT */
#include "proto/conn/tombstone.h"

#include "proto/base/assert.h"
#include "proto/wire/quic.h"

/* [RFC9000 9, 10.2.1] Servers do not move: a client answers nobody else. */
static bool answers_elsewhere(struct sp_tombstone *tombstone, size_t size)
{
    tombstone->elsewhere_in += tombstone->elsewhere_in < UINT32_MAX;
    bool is_due = tombstone->elsewhere_in >= tombstone->elsewhere_at;
    if (!tombstone->is_server || !is_due || tombstone->elsewhere_in == UINT32_MAX ||
        tombstone->packet_size == 0 ||
        tombstone->packet_size > (uint64_t)size * SP_AMPLIFICATION_FACTOR)
        return false;
    tombstone->elsewhere_at =
        tombstone->elsewhere_in <= UINT32_MAX / 2 ? 2 * tombstone->elsewhere_in : UINT32_MAX;
    return true;
}

bool sp_tombstone_receive(struct sp_tombstone *tombstone, const struct sp_addr *remote, size_t size)
{
    if (!sp_addr_equal(remote, &tombstone->path.remote))
        return answers_elsewhere(tombstone, size);
    /* [RFC9000 10.2.1] Nothing is opened here: anybody may have sent it. */
    tombstone->budget_bytes += (uint64_t)size * SP_AMPLIFICATION_FACTOR;
    tombstone->datagrams_in++;
    if (tombstone->datagrams_in < tombstone->answer_at || tombstone->packet_size == 0 ||
        tombstone->packet_size > tombstone->budget_bytes)
        return false;
    while (tombstone->answer_at <= tombstone->datagrams_in)
        tombstone->answer_at *= 2;
    tombstone->budget_bytes -= tombstone->packet_size;
    return true;
}

void sp_tombstone_on_stateless_reset(struct sp_tombstone *tombstone)
{
    tombstone->packet_size = 0;
}
