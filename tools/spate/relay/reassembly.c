/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/reassembly.h"

#include <stdlib.h>
#include <string.h>

bool relay_reassembly_init(struct relay_reassembly *ret)
{
    *ret = (struct relay_reassembly){.next_number = 1};
    ret->partials = calloc(RELAY_PARTIAL_MAX, sizeof(*ret->partials));
    return ret->partials != NULL;
}

void relay_reassembly_deinit(struct relay_reassembly *r)
{
    for (uint32_t i = 0; r->partials != NULL && i < RELAY_PARTIAL_MAX; i++) {
        if (r->partials[i].is_used)
            relay_reassembly_drop(r, &r->partials[i]);
    }
    free(r->partials);
    r->partials = NULL;
}

void relay_reassembly_drop(struct relay_reassembly *r, struct relay_partial *partial)
{
    for (uint32_t i = 0; i < partial->piece_count; i++)
        relay_packet_unref(partial->pieces[i].packet);
    partial->piece_count = 0;
    partial->is_used = false;
    if (r->last == partial)
        r->last = NULL;
}

static void give_up(struct relay_reassembly *r, struct relay_partial *partial)
{
    r->dropped_count++;
    relay_reassembly_drop(r, partial);
}

static bool is_of(const struct relay_partial *partial, uint32_t peer, const struct relay_head *head)
{
    if (!partial->is_used || partial->source != head->source || partial->sequence != head->sequence)
        return false;
    bool is_flood = (head->flags & RELAY_FLOOD) != 0;
    return partial->is_flood == is_flood &&
           (is_flood ? partial->total == head->total : partial->peer == peer);
}

/* Finds the packet, or a place for it. */
static struct relay_partial *find(struct relay_reassembly *r, uint32_t peer,
                                  const struct relay_head *head, uint64_t now_ns)
{
    if (r->last != NULL && is_of(r->last, peer, head))
        return r->last;
    struct relay_partial *unused = NULL, *oldest = NULL, *oldest_of_peer = NULL;
    uint32_t count_of_peer = 0;
    for (uint32_t i = 0; i < RELAY_PARTIAL_MAX; i++) {
        struct relay_partial *p = &r->partials[i];
        if (is_of(p, peer, head))
            return p;
        if (!p->is_used) {
            unused = p;
            continue;
        }
        if (oldest == NULL || p->number < oldest->number)
            oldest = p;
        if (p->peer != peer)
            continue;
        count_of_peer++;
        if (oldest_of_peer == NULL || p->number < oldest_of_peer->number)
            oldest_of_peer = p;
    }
    struct relay_partial *partial = count_of_peer >= RELAY_PARTIAL_PER_PEER ? oldest_of_peer
                                    : unused != NULL                        ? unused
                                                                            : oldest;
    if (partial->is_used)
        give_up(r, partial);
    partial->is_used = true;
    partial->is_flood = (head->flags & RELAY_FLOOD) != 0;
    partial->peer = peer;
    partial->source = head->source;
    partial->sequence = head->sequence;
    partial->total = head->total;
    partial->have_bytes = 0;
    partial->piece_count = 0;
    partial->begun_ns = now_ns;
    partial->number = r->next_number++;
    return partial;
}

/* Puts a piece into its place, nearly always at the end.  Returns false if it does not fit in. */
static bool insert(struct relay_partial *partial, const struct relay_piece *piece)
{
    uint32_t at = partial->piece_count;
    while (at > 0 && partial->pieces[at - 1].offset > piece->offset)
        at--;
    if (at > 0 && partial->pieces[at - 1].offset + partial->pieces[at - 1].size > piece->offset)
        return false;
    if (at < partial->piece_count && piece->offset + piece->size > partial->pieces[at].offset)
        return false;
    if (partial->piece_count == RELAY_PIECES_MAX)
        return false;
    memmove(&partial->pieces[at + 1], &partial->pieces[at],
            (partial->piece_count - at) * sizeof(*piece));
    partial->pieces[at] = *piece;
    partial->piece_count++;
    partial->have_bytes += piece->size;
    return true;
}

struct relay_partial *relay_reassembly_add(struct relay_reassembly *r, uint32_t peer,
                                           const struct relay_head *head,
                                           struct relay_packet *packet, size_t from,
                                           uint64_t now_ns)
{
    const struct relay_piece piece = {.packet = packet,
                                      .offset = head->offset,
                                      .from = (uint32_t)from,
                                      .size = (uint32_t)(packet->size - from)};
    struct relay_partial *partial = find(r, peer, head, now_ns);
    if (partial->total != head->total || !insert(partial, &piece)) {
        if (!partial->is_flood)
            give_up(r, partial);
        return NULL;
    }
    relay_packet_ref(packet);
    r->last = partial;
    return partial->have_bytes == partial->total ? partial : NULL;
}

void relay_reassembly_forget(struct relay_reassembly *r, uint32_t peer, uint64_t now_ns)
{
    for (uint32_t i = 0; i < RELAY_PARTIAL_MAX; i++) {
        struct relay_partial *p = &r->partials[i];
        bool is_late = peer == RELAY_ALL && now_ns >= p->begun_ns + RELAY_PARTIAL_NS;
        if (p->is_used && (p->peer == peer || is_late))
            give_up(r, p);
    }
}
