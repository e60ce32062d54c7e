/* SPDX-License-Identifier: MIT */
#include "proto/conn/place.h"

/* Which packets the cipher may open straight into the application's memory.
 *
 * The first bytes of a packet's plaintext show its frames before anything is authenticated.  If the
 * packet is one STREAM frame and nothing else, and all of its bytes belong into lent memory for
 * which nothing was received, the cipher writes them there.  The frame counts only if the tag is
 * right.  It is then handled like any other, except that its bytes need no copy.
 *
 * What can be attacked: an attacker who modifies packets also chooses those first bytes.  Such a
 * packet is written to lent memory and then refused, so
 *
 *   - it is never written where received bytes are, delivered or not;
 *   - of several packets of one batch that claim the same bytes, only the first is opened there.
 *     The others are opened in place; if the first one was forged, one of them is copied over its
 *     bytes.  So no packet can destroy another's bytes before both are authenticated.  Frames are
 *     handled, with their copies, only after the cipher has written all packets of the batch;
 *   - it costs the decryption of one or two blocks, and few steps among received pieces.
 *
 * All other packets are opened in place, and their bytes for lent memory are copied. */

#include "proto/base/assert.h"

_Static_assert(SP_STREAM_HEAD_SIZE_MAX <= SP_PEEK_SIZE_MAX, "a look shows the whole head");
_Static_assert(SP_STREAM_HEAD_SIZE_MAX < SP_PLACE_SIZE_MIN, "and there is something behind it");

/* Ranges that packets of this batch will be written to.  Adjacent ranges are merged. */
struct claims {
    uint32_t count;
    struct {
        uint64_t id;
        uint64_t offset;
        uint64_t end;
    } items[SP_BATCH_MAX];
};

/* Claims the range of a frame.  Returns false if a part of it is claimed already. */
static bool claim(struct claims *claims, const struct sp_frame_stream *frame)
{
    uint64_t end = frame->offset + frame->size;
    for (uint32_t i = 0; i < claims->count; i++)
        if (claims->items[i].id == frame->id && frame->offset < claims->items[i].end &&
            claims->items[i].offset < end)
            return false;

    uint32_t last = claims->count - 1;
    if (claims->count > 0 && claims->items[last].id == frame->id &&
        claims->items[last].end == frame->offset) {
        claims->items[last].end = end;
        return true;
    }
    SB_ASSERT(claims->count < SP_BATCH_MAX);
    claims->items[claims->count].id = frame->id;
    claims->items[claims->count].offset = frame->offset;
    claims->items[claims->count].end = end;
    claims->count++;
    return true;
}

static bool place(struct sp_conn *conn, struct sp_key *key, struct sp_open *open,
                  struct claims *claims, struct sp_frame_stream *ret_frame)
{
    uint64_t plain_size = open->size - SB_MIN(open->size, (size_t)SP_TAG_SIZE);
    const struct sp_ack *ack = &conn->app.ack;
    if (plain_size < SP_PLACE_SIZE_MIN || sp_ack_is_known(ack, open->pn))
        return false;

    uint8_t head[SP_STREAM_HEAD_SIZE_MAX];
    struct sp_frame_stream frame;
    conn->protect.ops->peek(key, open, sizeof(head), head);
    size_t head_size = sp_frame_read_lone_stream(head, plain_size, &frame);
    if (head_size == 0)
        return false;
    const struct sp_stream *stream = sp_stream_map_find(&conn->streams, frame.id);
    if (stream == NULL)
        return false;
    uint8_t *body = sp_stream_recv_gap(&stream->recv, &frame, &conn->window);
    if (body == NULL || !claim(claims, &frame))
        return false;

    open->body = body;
    open->head_size = head_size;
    frame.data = body;
    *ret_frame = frame;
    return true;
}

uint64_t sp_conn_place(struct sp_conn *conn, struct sp_key *key, struct sp_open *opens,
                       uint32_t count, struct sp_packed *ret_packed)
{
    uint64_t placed = 0;
    struct claims claims;
    SB_ASSERT(count <= SP_BATCH_MAX);
    claims.count = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (place(conn, key, &opens[i], &claims, &ret_packed[i].frame)) {
            ret_packed[i].continues = false;
            placed |= UINT64_C(1) << i;
        }
    }
    return placed;
}
