/* SPDX-License-Identifier: MIT */
#include "proto/conn/pack.h"

/* Brings the bytes of a train together while it is opened.
 *
 * A train comes as datagrams side by side in one receive buffer (GRO).  Between the bytes of two
 * packets stand a tag, a header and the head of a frame, about 37 bytes that are of no use any
 * more.  The cipher writes each byte anyway.  So it writes those of a packet behind those of the
 * packet before, a bit further down than where they came, and a train is one piece of the stream,
 * one slice and one event:
 *
 *     received   header head bytes tag | header head bytes tag | header head bytes tag
 *     opened     header head bytes bytes bytes
 *
 * How long the head of a frame is must be known before the packet is opened.  It is taken to be as
 * long as that of the packet before, which is true of nearly all; a wrong guess is found right
 * after opening, and those bytes are moved to where they would be.
 *
 * What can be attacked: whoever forges a packet has it written there before it is refused.  Bytes
 * are only written from the end of those of an authentic packet on, up to where those of the packet
 * itself ended: nobody needs what was there.  The packet after one that is not authentic is opened
 * in place, because the end of such a packet may be the token of a Stateless Reset.  A peer that
 * makes each guess wrong costs us a copy of its packets, which takes less time than opening them.
 */

#include "proto/base/assert.h"

_Static_assert(SP_BATCH_MAX <= 64, "a bit for each packet");
_Static_assert(SP_STREAM_HEAD_SIZE_MAX < SP_PLACE_SIZE_MIN, "there is something behind a head");

/* Where the bytes of a packet may go to that follows. */
struct tail {
    uint8_t *end; /* NULL: nowhere */
    size_t head_size;
};

static size_t plain_size_of(const struct sp_open *open)
{
    return open->size - SB_MIN(open->size, (size_t)SP_TAG_SIZE);
}

/* The guess was wrong: all of the packet goes to where it came. */
static SB_NEVER_INLINE void move_back(struct sp_open *open)
{
    size_t body_size = plain_size_of(open) - open->head_size;
    memmove(open->data + open->head_size, open->body, body_size);
    memcpy(open->data, open->head, open->head_size);
    open->body = NULL;
    open->head = NULL;
}

/* Looks at a packet that was opened.  Returns whether it is one STREAM frame.
 *
 * Of a head that is longer than was guessed only the guessed bytes are at open->head.  It is found
 * all the same: the first byte of each field says where the next one begins, so the walk ends where
 * the guess does only if each of its bytes was there. */
static bool look(struct sp_open *open, struct sp_packed *packed, struct tail *ret_tail)
{
    size_t plain_size = plain_size_of(open);
    const uint8_t *head = open->body != NULL ? open->head : open->data;
    size_t head_size = sp_frame_read_lone_stream(head, plain_size, &packed->frame);
    if (SB_UNLIKELY(open->body != NULL && head_size != open->head_size)) {
        move_back(open);
        head_size = sp_frame_read_lone_stream(open->data, plain_size, &packed->frame);
    }
    if (head_size == 0)
        return false;
    open->head_size = head_size;
    uint8_t *bytes = open->body != NULL ? open->body : open->data + head_size;
    packed->frame.data = bytes;
    if (!packed->frame.fin)
        *ret_tail = (struct tail){.end = bytes + packed->frame.size, .head_size = head_size};
    return true;
}

/* Returns the bits of packets that are one STREAM frame. */
static uint64_t open_packed(const struct sp_conn *conn, struct sp_key *key, struct sp_open *opens,
                            uint32_t count, uint64_t behind, struct sp_packed *ret_packed)
{
    uint64_t lone = 0;
    struct tail tail = {.end = NULL};
    for (uint32_t i = 0; i < count; i++) {
        struct sp_open *open = &opens[i];
        bool is_large = plain_size_of(open) >= SP_PLACE_SIZE_MIN;
        if (tail.end != NULL && (behind >> i & 1) != 0 && is_large) {
            open->body = tail.end;
            open->head = ret_packed[i].head;
            open->head_size = tail.head_size;
            memset(open->head, 0, SP_STREAM_HEAD_SIZE_MAX);
        }
        tail.end = NULL;
        conn->protect.ops->open(key, open, 1);
        if (open->is_authentic && is_large && look(open, &ret_packed[i], &tail))
            lone |= UINT64_C(1) << i;
    }
    return lone;
}

uint64_t sp_conn_packets_behind(const struct sp_short *packets, uint32_t count)
{
    uint64_t behind = 0;
    for (uint32_t i = 1; i < count; i++) {
        const struct sp_datagram *datagram = packets[i].datagram;
        bool is_behind = packets[i].data == packets[i - 1].data + packets[i - 1].size &&
                         datagram->buffer == packets[i - 1].datagram->buffer &&
                         !datagram->is_transient;
        behind |= (uint64_t)is_behind << i;
    }
    return behind;
}

uint64_t sp_conn_open_run(struct sp_conn *conn, struct sp_key *key, struct sp_open *opens,
                          uint32_t count, uint64_t behind, struct sp_packed *ret_packed)
{
    const struct sp_protect_ops *ops = conn->protect.ops;
    bool places = conn->pieces.lent_count > 0;
    if (!places && behind >> 1 != 0 && count > 1 && ops->opens_down(key))
        return open_packed(conn, key, opens, count, behind, ret_packed);
    uint64_t placed = places ? sp_conn_place(conn, key, opens, count, ret_packed) : 0;
    ops->open(key, opens, count);
    return placed;
}
