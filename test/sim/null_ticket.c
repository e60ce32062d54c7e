/* SPDX-License-Identifier: MIT */
#include "test/sim/null_ticket.h"

#include "proto/base/assert.h"
#include "test/sim/random.h"

enum { HASH_SIZE = 8 };

static uint64_t hash_of(const uint8_t *data, size_t size)
{
    return qs_hash(0x71c4e7, data + HASH_SIZE, size - HASH_SIZE);
}

size_t qs_ticket_size(const struct qs_ticket *ticket)
{
    return HASH_SIZE + 1 + QS_TICKET_SECRET_SIZE + 2 + ticket->params.size;
}

void qs_ticket_write(const struct qs_ticket *ticket, uint8_t *bytes, size_t size)
{
    struct sb_writer w = sb_writer_of(bytes + HASH_SIZE, size - HASH_SIZE);
    sb_writer_u8(&w, ticket->allows_early);
    (void)sb_writer_room(&w, QS_TICKET_SECRET_SIZE);
    sb_writer_u16(&w, (uint16_t)ticket->params.size);
    sb_writer_bytes(&w, ticket->params.data, ticket->params.size);
    SB_ASSERT(!w.failed);
    sb_store_u64(bytes, hash_of(bytes, size));
}

bool qs_ticket_read(struct sb_bytes bytes, struct qs_ticket *ret)
{
    struct sb_reader r = sb_reader_of(bytes.data, bytes.size);
    uint64_t hash = sb_reader_u64(&r);
    ret->allows_early = sb_reader_u8(&r) != 0;
    ret->secret = sb_reader_take(&r, QS_TICKET_SECRET_SIZE);
    ret->params.size = sb_reader_u16(&r);
    ret->params.data = sb_reader_take(&r, ret->params.size);
    return !r.failed && hash == hash_of(bytes.data, bytes.size);
}
