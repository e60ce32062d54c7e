/* SPDX-License-Identifier: MIT */
/* What a connection may hold of received bytes. */

#include "test/sim/oracle_held.h"

#include <inttypes.h>

#include "proto/conn/impl.h"

/* What a packet takes that waits for its keys. */
#define COPY_SIZE 2048

void qs_oracle_check_held(struct qs_trace *trace, const char *who, const struct sp_conn *conn)
{
    uint64_t credit = conn->window.received - conn->window.consumed;
    uint64_t streams = conn->streams.count;
    /* CRYPTO bytes have credit without a window. */
    for (uint32_t i = 0; i < SP_SPACES; i++) {
        const struct sp_conn_space *s = conn->spaces[i];
        if (s == NULL || s->crypto.in.pieces.last == NULL)
            continue;
        credit += sp_piece_end(s->crypto.in.pieces.last) - s->crypto.in.read_end;
        streams++;
    }
    uint64_t packets = conn->handshake != NULL ? conn->handshake->undecryptable_count : 0;
    /* Tokens of NEW_TOKEN are copies too. */
    packets += conn->handshake != NULL && conn->handshake->token.buffer != NULL;
    packets += conn->new_token.buffer != NULL;
    uint64_t held_max = credit * SP_HELD_BYTES_PER_CREDIT_MAX +
                        streams * SP_HELD_BYTES_PER_STREAM_MAX + packets * COPY_SIZE;
    /* Pieces that wait to be freed: their bytes have been given back as credit already. */
    for (const struct sp_piece *p = conn->pieces.discarded; p != NULL; p = p->next)
        held_max += p->size + COPY_SIZE + sizeof(*p);
    uint64_t held = sp_conn_held_bytes(conn);
    if (held > held_max)
        qs_fail(trace, "%s holds %" PRIu64 " bytes for %" PRIu64 " bytes of credit", who, held,
                credit);
}
