/* SPDX-License-Identifier: MIT */
#include "proto/stream/stream_send.h"

/* One stream's lent bytes: a list of chunks, and how far each byte got (delivery.h).
 *
 * `cursor` is the chunk of the next fresh byte and `retransmit` the chunk of the last byte that
 * was sent again, so that neither is searched from the start.  Lost bytes go out before fresh
 * ones.  A chunk moves to the list `done` when all of it is acknowledged, or when the stream is
 * reset.
 *
 * A reset with a reliable size cuts the list there.  What is queued then ends at the reliable size,
 * or at sent_end if that is larger: the final size, which is fixed when all of it has been sent.
 * Bytes above the reliable size that get lost are not sent again.
 *
 * Lent bytes do not change, so a byte that is sent again is the same.  [RFC9000 2.2]  The FIN fixes
 * the end: nothing is queued after it.  [RFC9000 4.5] */

#include "proto/base/assert.h"
#include "proto/base/bytes.h"

void sp_stream_send_init(struct sp_stream_send *send, struct sb_store *chunks,
                         struct sb_store *ranges, uint64_t max_data)
{
    *send = (struct sp_stream_send){
        .state = SP_SEND_READY,
        .chunks = chunks,
        .max_data = max_data,
        .blocked_at = SB_VARINT_NONE,
    };
    sp_delivery_init(&send->delivery, ranges);
}

static uint64_t end_of(const struct sp_chunk *chunk)
{
    return chunk->offset + chunk->size;
}

void sp_stream_send_deinit(struct sp_stream_send *send)
{
    if (send->state == SP_SEND_NONE)
        return;
    if (SB_LIKELY(send->state == SP_SEND_DATA_DONE && send->done_first == NULL)) {
        /* All was acknowledged and given back. */
        SB_ASSERT(send->first == NULL);
        SB_ASSERT(send->delivery.acked.first == NULL);
        SB_ASSERT(send->delivery.lost.first == NULL);
        return;
    }
    (void)sp_stream_send_reset(send, 0);
    struct sp_chunk *chunk;
    while ((chunk = sp_stream_send_pop_done(send)) != NULL)
        sb_store_give(send->chunks, chunk);
    sp_delivery_clear(&send->delivery);
}

static void give_all(struct sp_stream_send *send, struct sp_chunk *first)
{
    while (first != NULL) {
        struct sp_chunk *chunk = first;
        first = chunk->next;
        sb_store_give(send->chunks, chunk);
    }
}

static void append(struct sp_stream_send *send, struct sp_chunk *chunk)
{
    if (send->last != NULL)
        send->last->next = chunk;
    else
        send->first = chunk;
    send->last = chunk;
    if (send->cursor == NULL && chunk->size > 0)
        send->cursor = chunk;
    send->queued_end += chunk->size;
    send->fin_queued = chunk->fin;
}

bool sp_stream_send_queue(struct sp_stream_send *send, const void *data, uint64_t size,
                          uint64_t tag, bool fin)
{
    SB_ASSERT(sp_stream_send_is_open(send));
    SB_ASSERT(size > 0 || fin);

    struct sp_chunk *chunk = sb_store_take_ordinary(send->chunks);
    if (chunk == NULL)
        return false;
    *chunk = (struct sp_chunk){
        .data = data, .size = size, .offset = send->queued_end, .tag = tag, .fin = fin};

    append(send, chunk);
    return true;
}

bool sp_stream_send_queue_all(struct sp_stream_send *send, const struct sb_bytes *ranges,
                              size_t count, uint64_t tag, bool fin)
{
    SB_ASSERT(sp_stream_send_is_open(send));
    struct sp_chunk *first = NULL;
    struct sp_chunk **link = &first;
    struct sp_chunk *last = NULL;
    uint64_t size = 0;
    for (size_t i = 0; i < count; i++) {
        if (ranges[i].size == 0)
            continue;
        struct sp_chunk *chunk = sb_store_take_ordinary(send->chunks);
        if (chunk == NULL) {
            *link = NULL;
            give_all(send, first);
            return false;
        }
        *chunk = (struct sp_chunk){.data = ranges[i].data,
                                   .size = ranges[i].size,
                                   .offset = send->queued_end + size,
                                   .is_part = true};
        size += chunk->size;
        *link = chunk;
        link = &chunk->next;
        last = chunk;
    }
    SB_ASSERT(last != NULL && size < UINT64_C(1) << 48);
    last->tag = tag;
    last->fin = fin;
    last->is_part = false;
    last->before_bytes = (size - last->size) & ((UINT64_C(1) << 48) - 1);
    for (struct sp_chunk *chunk = first, *next; chunk != NULL; chunk = next) {
        next = chunk->next;
        append(send, chunk);
    }
    return true;
}

enum sp_send_want sp_stream_send_want(const struct sp_stream_send *send, uint64_t conn_credit)
{
    if (send->state == SP_SEND_NONE || send->state >= SP_SEND_DATA_DONE)
        return SP_WANT_NOTHING;
    if (!sp_ranges_is_empty(&send->delivery.lost))
        return SP_WANT_SEND;
    if (send->delivery.sent_end < send->queued_end) {
        if (send->delivery.sent_end >= send->max_data) /* [RFC9000 19.10] */
            return SP_WANT_CREDIT;
        return conn_credit > 0 ? SP_WANT_SEND : SP_WANT_CONN_CREDIT;
    }
    return send->fin_queued && !send->fin_is_out ? SP_WANT_SEND : SP_WANT_NOTHING;
}

/* Cuts the piece at `offset` to what `chunk` holds and adds the FIN where it is due. */
static void fill_piece(const struct sp_stream_send *send, struct sp_chunk *chunk, uint64_t offset,
                       uint64_t size, struct sp_send_piece *ret)
{
    SB_ASSERT(offset >= chunk->offset && offset < end_of(chunk));
    *ret = (struct sp_send_piece){
        .chunk = chunk,
        .data = chunk->data + (offset - chunk->offset),
        .offset = offset,
        .size = SB_MIN(size, end_of(chunk) - offset),
    };
    ret->fin = send->fin_queued && ret->offset + ret->size == send->queued_end;
}

bool sp_stream_send_next(const struct sp_stream_send *send, uint64_t room, uint64_t conn_credit,
                         struct sp_send_piece *ret)
{
    if (sp_stream_send_want(send, conn_credit) != SP_WANT_SEND)
        return false;

    uint64_t offset, size;
    if (sp_delivery_next_lost(&send->delivery, &offset, &size)) {
        /* Lost bytes are sent in rising order, so the search continues where the last one ended. */
        bool is_near = send->retransmit != NULL && send->retransmit->offset <= offset;
        struct sp_chunk *chunk = is_near ? send->retransmit : send->first;
        while (end_of(chunk) <= offset)
            chunk = chunk->next;
        fill_piece(send, chunk, offset, SB_MIN(size, room), ret);
        return ret->size > 0;
    }

    /* [RFC9000 2.2, 4.1] Within both limits. */
    offset = send->delivery.sent_end;
    if (offset < send->queued_end) {
        size = SB_MIN(send->max_data - offset, conn_credit);
        fill_piece(send, send->cursor, offset, SB_MIN(size, room), ret);
        ret->fresh = ret->size;
        return ret->size > 0;
    }

    *ret = (struct sp_send_piece){.offset = offset, .fin = true};
    return true;
}

bool sp_stream_send_on_sent(struct sp_stream_send *send, const struct sp_send_piece *piece)
{
    if (!sp_delivery_on_sent(&send->delivery, piece->offset, piece->size))
        return false;
    while (send->cursor != NULL && end_of(send->cursor) <= send->delivery.sent_end)
        send->cursor = send->cursor->next;
    /* An empty chunk with the FIN holds no byte that could be next. */
    if (send->cursor != NULL && send->cursor->size == 0)
        send->cursor = NULL;

    if (piece->fresh < piece->size)
        send->retransmit = piece->chunk;
    if (piece->fin)
        send->fin_is_out = true;
    send->state = sp_send_next(send->state, piece->fin ? SP_SEND_ON_FIN : SP_SEND_ON_DATA);
    return true;
}

static void push_done(struct sp_stream_send *send, struct sp_chunk *chunk, bool is_acked)
{
    if (SB_UNLIKELY(chunk->is_part)) { /* the last one speaks for it */
        sb_store_give(send->chunks, chunk);
        return;
    }
    chunk->next = NULL;
    chunk->is_acked = is_acked && !chunk->is_cut;
    if (send->done_last != NULL)
        send->done_last->next = chunk;
    else
        send->done_first = chunk;
    send->done_last = chunk;
}

static bool is_finished(const struct sp_stream_send *send, const struct sp_chunk *chunk)
{
    return end_of(chunk) <= send->delivery.acked_end && (!chunk->fin || send->fin_acked);
}

static struct sp_chunk *pop_first(struct sp_stream_send *send)
{
    struct sp_chunk *chunk = send->first;
    if (send->retransmit == chunk)
        send->retransmit = NULL;
    send->first = chunk->next;
    if (send->first == NULL)
        send->last = NULL;
    return chunk;
}

static void give_finished(struct sp_stream_send *send)
{
    while (send->first != NULL && is_finished(send, send->first))
        push_done(send, pop_first(send), true);
    /* With the FIN sent, acknowledged and nothing missing. */
    if (send->fin_acked && send->delivery.acked_end >= sp_stream_send_needed_end(send)) {
        send->state = sp_send_next(send->state, SP_SEND_ON_ALL_ACKED);
        SB_ASSERT(send->first == NULL);
    }
}

bool sp_stream_send_on_acked(struct sp_stream_send *send, uint64_t offset, uint64_t size, bool fin)
{
    if (send->state >= SP_SEND_DATA_DONE)
        return true; /* the bytes went back already */

    if (!sp_delivery_on_acked(&send->delivery, offset, size))
        return false;
    if (fin && send->fin_queued) {
        send->fin_acked = true;
        send->fin_is_out = true; /* a copy that was declared lost need not be sent again */
    }
    give_finished(send);
    return true;
}

void sp_stream_send_on_reset_at_acked(struct sp_stream_send *send, uint64_t reliable_size)
{
    if (send->state != SP_SEND_RESET_AT || reliable_size != send->reliable_size)
        return;
    send->fin_acked = true;
    give_finished(send);
}

bool sp_stream_send_on_lost(struct sp_stream_send *send, uint64_t offset, uint64_t size, bool fin)
{
    if (send->state >= SP_SEND_DATA_DONE)
        return true;
    if (fin && !send->fin_acked)
        send->fin_is_out = false;
    if (SB_UNLIKELY(sp_stream_send_is_cut(send))) {
        if (offset >= send->reliable_size)
            return true;
        size = SB_MIN(size, send->reliable_size - offset);
    }
    return sp_delivery_on_lost(&send->delivery, offset, size);
}

bool sp_stream_send_reset(struct sp_stream_send *send, uint64_t error)
{
    SB_ASSERT(send->state != SP_SEND_NONE);
    bool was_open = send->state < SP_SEND_DATA_DONE;
    bool was_cut =
        sp_stream_send_is_cut(send); /* the error may be out already.  [reliable-reset 5] */

    while (send->first != NULL)
        push_done(send, pop_first(send), false);
    send->cursor = NULL;
    if (was_open) { /* it stays as it was sent. [RFC9000 13.3] */
        send->reset_error = was_cut ? send->reset_error : error;
        sp_delivery_clear(&send->delivery);
    }
    send->state = sp_send_next(send->state, SP_SEND_ON_RESET);
    return was_open;
}

/* Joins what is left of ranges that come back together: `keep` gets the tag of the last one.
 * Returns the chunk after them. */
static struct sp_chunk *cut_parts(struct sp_stream_send *send, struct sp_chunk *keep)
{
    struct sp_chunk *last = keep->next;
    while (last->is_part) {
        struct sp_chunk *next = last->next;
        sb_store_give(send->chunks, last);
        last = next;
    }
    struct sp_chunk *rest = last->next;
    uint64_t total = last->before_bytes + last->size;
    keep->tag = last->tag;
    keep->before_bytes = (total - keep->size) & ((UINT64_C(1) << 48) - 1);
    keep->is_part = false;
    keep->is_cut = true;
    sb_store_give(send->chunks, last);
    return rest;
}

/* Drops lent bytes from `end` on. */
static void cut_chunks(struct sp_stream_send *send, uint64_t end)
{
    struct sp_chunk *keep = NULL;
    struct sp_chunk *rest = send->first;
    for (; rest != NULL && rest->offset < end; rest = rest->next)
        keep = rest;

    if (keep == NULL) {
        send->first = NULL;
    } else {
        uint64_t cut = end_of(keep) - SB_MIN(end_of(keep), end);
        keep->size -= cut;
        if (keep->is_part) {
            rest = cut_parts(send, keep);
        } else if (cut > 0) {
            SB_ASSERT(keep->before_bytes + cut < UINT64_C(1) << 48); /* no memory is larger */
            keep->before_bytes = (keep->before_bytes + cut) & ((UINT64_C(1) << 48) - 1);
            keep->is_cut = true;
        }
        keep->fin = false;
        keep->next = NULL;
    }
    send->last = keep;
    for (struct sp_chunk *next; rest != NULL; rest = next) {
        next = rest->next;
        push_done(send, rest, false);
    }
}

void sp_stream_send_cut(struct sp_stream_send *send, uint64_t error, uint64_t reliable_size)
{
    SB_ASSERT(reliable_size > 0 && reliable_size <= sp_stream_send_needed_end(send));
    if (sp_stream_send_is_cut(send) && reliable_size == send->reliable_size)
        return;
    if (!sp_stream_send_is_cut(send))
        send->reset_error = error;
    send->state = sp_send_next(send->state, SP_SEND_ON_CUT);
    send->reliable_size = reliable_size;
    cut_chunks(send, reliable_size);
    /* Cuts the last range or takes whole ones away: that needs no memory. */
    bool removed = sp_ranges_remove(&send->delivery.lost, reliable_size, UINT64_MAX);
    SB_ASSERT(removed);
    send->queued_end = SB_MAX(reliable_size, send->delivery.sent_end);
    if (send->delivery.sent_end >= reliable_size)
        send->cursor = NULL;
    send->retransmit = NULL;
    send->fin_queued = send->fin_is_out = send->fin_acked = false; /* RESET_STREAM_AT replaces it */
    give_finished(send);
}

bool sp_stream_send_take_cut_out(struct sp_stream_send *send)
{
    if (send->state != SP_SEND_CUT || send->delivery.sent_end < send->queued_end)
        return false;
    send->state = sp_send_next(send->state, SP_SEND_ON_CUT_OUT);
    return true;
}

void sp_stream_send_rewind(struct sp_stream_send *send, uint64_t max_data)
{
    if (send->state == SP_SEND_NONE)
        return;
    SB_ASSERT(send->delivery.acked_end == 0 && !sp_send_is_done(send->state));
    sp_delivery_clear(&send->delivery);
    send->delivery.sent_end = 0;
    send->max_data = max_data;
    send->blocked_at = SB_VARINT_NONE;
    if (send->state == SP_SEND_RESET)
        return;
    send->queued_end = sp_stream_send_needed_end(send);
    send->state = sp_stream_send_is_cut(send) ? SP_SEND_CUT : SP_SEND_READY;
    send->fin_is_out = false;
    send->retransmit = NULL;
    send->cursor = send->first != NULL && send->first->size > 0 ? send->first : NULL;
}

struct sp_chunk *sp_stream_send_pop_done(struct sp_stream_send *send)
{
    struct sp_chunk *chunk = send->done_first;
    if (chunk == NULL)
        return NULL;
    send->done_first = chunk->next;
    if (send->done_first == NULL)
        send->done_last = NULL;
    return chunk;
}

void sp_stream_send_check(const struct sp_stream_send *send)
{
    if (send->state == SP_SEND_NONE)
        return;
    SB_ASSERT(send->delivery.sent_end <= send->queued_end);
    SB_ASSERT(send->delivery.sent_end <= send->max_data);
    if (send->state >= SP_SEND_DATA_DONE) {
        SB_ASSERT(send->first == NULL);
        return;
    }
    sp_delivery_check(&send->delivery);
    uint64_t at = send->first != NULL ? send->first->offset : send->queued_end;
    for (const struct sp_chunk *c = send->first; c != NULL; c = c->next) {
        SB_ASSERT(c->offset == at);
        at += c->size;
        SB_ASSERT(c->next != NULL || c == send->last);
    }
    SB_ASSERT(at == (send->first != NULL ? sp_stream_send_needed_end(send) : send->queued_end));
    SB_ASSERT(!sp_stream_send_is_cut(send) ||
              (send->reliable_size <= send->queued_end && !send->fin_queued));
    SB_ASSERT(send->cursor == NULL || (send->cursor->offset <= send->delivery.sent_end &&
                                       send->delivery.sent_end < end_of(send->cursor)));
    SB_ASSERT(send->cursor != NULL || send->delivery.sent_end == send->queued_end);
}
