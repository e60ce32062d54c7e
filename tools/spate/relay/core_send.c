/* SPDX-License-Identifier: MIT */
/* How packets leave: cut to what a neighbour takes, and to many at once.
 *
 * The header is written once per neighbour, or once for all of a fan-out; for further pieces its
 * offset alone is changed.  The bytes of the packet are never copied. */

#include <errno.h>
#include <string.h>

#include "tools/spate/relay/core.h"

/* Sends the bytes from `from` on with the header that was written at `at`. */
static int send_written(struct relay_core *core, uint16_t peer, uint8_t *at, size_t head_size,
                        uint32_t first_offset, struct relay_packet *packet, size_t from,
                        uint32_t *ret_offset)
{
    size_t size_max = core->ops.size_max(core->ops.user, peer);
    *ret_offset = first_offset;
    if (size_max <= head_size)
        return -ENOTCONN;
    size_t left = packet->size - from;
    if (left <= size_max - head_size)
        return core->ops.send(core->ops.user, peer, at, head_size, packet, from, left);
    if (size_max <= RELAY_ROUTED_SIZE)
        return -ENOTCONN;
    size_t room = size_max - RELAY_ROUTED_SIZE; /* a hop that takes the same cuts none again */
    core->cut_count++;
    uint32_t offset = first_offset;
    int e = 0;
    while (left > 0 && e == 0) {
        size_t size = left < room ? left : room;
        relay_head_set_offset(at, offset);
        e = core->ops.send(core->ops.user, peer, at, head_size, packet, from, size);
        if (e == 0) {
            offset += (uint32_t)size;
            from += size;
            left -= size;
        }
    }
    *ret_offset = offset;
    relay_head_set_offset(at, first_offset);
    return e;
}

int relay_core_send(struct relay_core *core, uint16_t peer, struct relay_head head,
                    struct relay_packet *packet, size_t from, uint32_t *ret_offset)
{
    uint8_t at[RELAY_ROUTED_SIZE];
    if ((head.flags & RELAY_ROUTED) != 0)
        head.next = core->peers[peer].unit;
    size_t head_size = relay_head_write(&head, at);
    int e = send_written(core, peer, at, head_size, head.offset, packet, from, ret_offset);
    if (e == 0)
        core->peers[peer].is_clogged = false;
    return e;
}

/* One piece that finds no room costs its whole packet, so the others make room for packets that can
 * still arrive. */
static bool is_lost(const struct relay_neighbour *n, const struct relay_head *head)
{
    return head->offset != 0 && n->lost_source == head->source &&
           n->lost_sequence == head->sequence;
}

static void lose(struct relay_core *core, uint16_t peer, const struct relay_head *head)
{
    core->peers[peer].lost_source = head->source;
    core->peers[peer].lost_sequence = head->sequence;
    relay_core_drop(core, RELAY_DROP_FULL);
}

void relay_core_pass(struct relay_core *core, uint16_t peer, const struct relay_head *head,
                     struct relay_packet *packet, size_t from)
{
    uint32_t offset;
    if (is_lost(&core->peers[peer], head) ||
        relay_core_send(core, peer, *head, packet, from, &offset) != 0)
        lose(core, peer, head);
}

uint32_t relay_core_fan_out(struct relay_core *core, uint16_t except, const struct relay_head *head,
                            struct relay_packet *packet, size_t from)
{
    uint8_t at[RELAY_ROUTED_SIZE];
    size_t head_size = relay_head_write(head, at);
    uint32_t count = 0;
    for (uint16_t i = 0; i < core->peer_count; i++) {
        const struct relay_neighbour *n = &core->peers[i];
        if (n->unit == 0 || !n->is_alive || i == except || n->unit == head->source)
            continue;
        uint32_t offset;
        if (!is_lost(n, head) &&
            send_written(core, i, at, head_size, head->offset, packet, from, &offset) == 0)
            count++;
        else
            lose(core, i, head);
    }
    return count;
}

uint16_t relay_core_upstream(const struct relay_core *core)
{
    uint16_t best = RELAY_NO_PEER;
    for (uint16_t i = 0; i < core->peer_count; i++) {
        const struct relay_neighbour *n = &core->peers[i];
        if (n->unit != 0 && n->is_upstream && n->is_alive &&
            (best == RELAY_NO_PEER || n->cost < core->peers[best].cost))
            best = i;
    }
    return best;
}

struct relay_packet *relay_core_control(struct relay_core *core, const uint8_t *body, size_t size)
{
    struct relay_packet *packet = relay_packet_to_read(core->packets);
    if (packet == NULL) {
        relay_core_drop(core, RELAY_DROP_SHORTAGE);
        return NULL;
    }
    memcpy(packet->room, body, size);
    packet->size = size;
    return packet;
}

bool relay_core_resume(struct relay_core *core, bool gives_up)
{
    struct relay_stalled *s = &core->stalled;
    if (s->packet == NULL)
        return true;
    int e = -EAGAIN;
    if (!gives_up && core->peers[s->peer].unit != 0) {
        size_t from = s->packet->size - (s->head.total - s->head.offset);
        e = relay_core_send(core, s->peer, s->head, s->packet, from, &s->head.offset);
    }
    if (e == -EAGAIN && !gives_up)
        return false;
    if (e != 0)
        relay_core_drop(core, RELAY_DROP_FULL);
    core->peers[s->peer].is_clogged = gives_up;
    relay_packet_unref(s->packet);
    s->packet = NULL;
    return true;
}
