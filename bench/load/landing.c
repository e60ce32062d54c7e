/* SPDX-License-Identifier: MIT */
#include "bench/load/landing.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include <spate/stream.h>

/* As much as arrives in a few turns: some pieces are being filled while others come back.  They
 * stand side by side, so that packets go across from one to the next. */
#define PIECE_COUNT 4
#define PIECE_SIZE  ((size_t)256 * 1024)

static bool make(struct landing *l)
{
    if (l->memory == NULL)
        l->memory = aligned_alloc(4096, PIECE_COUNT * PIECE_SIZE);
    return l->memory != NULL;
}

void landing_free(struct landing *l)
{
    free(l->memory);
    *l = (struct landing){0};
}

void landing_lend(struct landing *l, struct spate_conn *conn, uint64_t stream_id)
{
    if (!make(l))
        return;
    for (uint32_t i = 0; i < PIECE_COUNT; i++) {
        if ((l->lent >> i & 1) == 0 &&
            spate_stream_receive_into(conn, stream_id, l->memory + i * PIECE_SIZE, PIECE_SIZE, i,
                                      NULL) == 0)
            l->lent |= 1u << i;
    }
}

void landing_on_placed(struct landing *l, const struct spate_event *e)
{
    if (e->u.placed.is_returned)
        l->lent &= ~(1u << e->u.placed.tag);
}

void landing_copy(struct landing *l, const uint8_t *data, size_t size)
{
    if (!make(l))
        return;
    while (size > 0) {
        size_t left = PIECE_COUNT * PIECE_SIZE - l->copied_end;
        size_t step = size < left ? size : left;
        memcpy(l->memory + l->copied_end, data, step);
        l->copied_end = step < left ? l->copied_end + step : 0;
        data += step;
        size -= step;
    }
}
