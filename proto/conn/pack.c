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
 * A look at each packet costs as much as it saves if small streams, or several in turns, come side
 * by side.  After a few packets that continue nothing, the rest of a run is opened in one call.
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

/* Packets in a row that were looked at, and did not go on where the one before ended. */
enum { MISSES_MAX = 4 };

/* Where a packet's bytes end, in memory and in their stream. */
struct tail {
    uint8_t *end; /* NULL: the next packet is opened in place */
    size_t head_size;
    uint64_t id;
    uint64_t offset;
};

/* Returns whether its plaintext has SP_PLACE_SIZE_MIN bytes. */
static bool is_large(const struct sp_open *open)
{
    return open->size >= SP_PLACE_SIZE_MIN + SP_TAG_SIZE;
}

/* Returns whether packet `i` is large and stands directly behind the one before it, in one buffer
 * in which it may stay. */
static bool is_behind(const struct sp_short *packets, const struct sp_open *opens, uint32_t i)
{
    const struct sp_short *packet = &packets[i], *before = &packets[i - 1];
    return packet->data == before->data + before->size && is_large(&opens[i]) &&
           packet->datagram->buffer == before->datagram->buffer && !packet->datagram->is_transient;
}

/* The guess was wrong: all of the packet goes to where it came. */
static SB_NEVER_INLINE void move_back(struct sp_open *open)
{
    size_t body_size = open->size - SP_TAG_SIZE - open->head_size;
    memmove(open->data + open->head_size, open->body, body_size);
    memcpy(open->data, open->head, open->head_size);
    open->body = NULL;
    open->head = NULL;
}

/* Looks at a packet that was opened, behind `*ret_tail` if that has an end, which is replaced by
 * its own.  Returns whether it is one STREAM frame.
 *
 * Of a head that is longer than was guessed only the guessed bytes are at open->head.  It is found
 * all the same: the first byte of each field says where the next one begins, so the walk ends where
 * the guess does only if each of its bytes was there. */
static bool look(struct sp_open *open, struct sp_packed *packed, struct tail *ret_tail)
{
    size_t plain_size = open->size - SP_TAG_SIZE;
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
    const struct sp_frame_stream *frame = &packed->frame;
    packed->continues =
        ret_tail->end != NULL && frame->id == ret_tail->id && frame->offset == ret_tail->offset;
    *ret_tail = (struct tail){
        .end = frame->fin ? NULL : bytes + frame->size,
        .head_size = head_size,
        .id = frame->id,
        .offset = frame->offset + frame->size,
    };
    return true;
}

/* Returns the bits of packets that are one STREAM frame, among those that were looked at. */
static uint64_t open_packed(const struct sp_conn *conn, struct sp_key *key,
                            const struct sp_short *packets, struct sp_open *opens, uint32_t count,
                            struct sp_packed *ret_packed)
{
    uint64_t lone = 0;
    uint32_t misses = 0;
    struct tail tail = {.end = NULL};
    for (uint32_t at = 0, end; at < count; at = end) {
        struct sp_open *open = &opens[at];
        bool goes_down = tail.end != NULL;
        bool is_followed = false;
        end = at + 1;
        if (goes_down) {
            open->body = tail.end;
            open->head = ret_packed[at].head;
            open->head_size = tail.head_size;
            memset(open->head, 0, SP_STREAM_HEAD_SIZE_MAX);
            is_followed = end < count && is_behind(packets, opens, end);
        } else if (misses < MISSES_MAX) {
            while (end < count &&
                   !(is_followed = is_large(&opens[end - 1]) && is_behind(packets, opens, end)))
                end++;
        } else {
            end = count;
        }
        conn->protect.ops->open(key, open, end - at);
        if (!goes_down && !is_followed)
            break;
        uint32_t last = end - 1;
        bool is_lone = opens[last].is_authentic && look(&opens[last], &ret_packed[last], &tail);
        lone |= (uint64_t)is_lone << last;
        misses = is_lone && ret_packed[last].continues ? 0 : misses + 1;
        if (!is_lone || !is_followed || misses == MISSES_MAX)
            tail.end = NULL;
    }
    return lone;
}

uint64_t sp_conn_open_run(struct sp_conn *conn, struct sp_key *key, const struct sp_short *packets,
                          struct sp_open *opens, uint32_t count, struct sp_packed *ret_packed)
{
    const struct sp_protect_ops *ops = conn->protect.ops;
    bool places = conn->pieces.lent_count > 0;
    if (!places && count > 1 && ops->opens_down(key))
        return open_packed(conn, key, packets, opens, count, ret_packed);
    uint64_t placed = places ? sp_conn_place(conn, key, opens, count, ret_packed) : 0;
    ops->open(key, opens, count);
    return placed;
}
