/* SPDX-License-Identifier: MIT */
#include "proto/conn/tombstone.h"

#include "proto/base/assert.h"
#include "proto/wire/quic.h"

bool sp_tombstone_receive(struct sp_tombstone *tombstone, const struct sp_addr *remote, size_t size)
{
    /* Whoever sends from elsewhere may have forged it.  [RFC9000 9] */
    if (!sp_addr_equal(remote, &tombstone->path.remote))
        return false;
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
