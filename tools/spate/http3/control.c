/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/control.h"

/* Heads are read byte by byte into the buffer, and a frame that fits into it follows its head.  A
 * longer one is refused if nghttp3 would read it as a whole; else its head passes, and then the
 * rest of it as it comes: nghttp3 ignores that frame, or refuses it for its head alone.
 *
 * What nghttp3 0.8 does not look at, or calls by another code, is looked at here: nothing follows
 * the number of a frame that is one number [RFC9114 7.1]; we promise no push, so none can be
 * cancelled [RFC9114 7.2.3]; and the most pushes do not become fewer [RFC9114 7.2.7]. */

#include <string.h>

#include "tools/spate/http3/varint.h"

#define TYPE_CONTROL 0x00

#define FRAME_CANCEL_PUSH     0x03
#define FRAME_SETTINGS        0x04
#define FRAME_GOAWAY          0x07
#define FRAME_MAX_PUSH_ID     0x0d
#define FRAME_PRIORITY_UPDATE 0xf0700 /* RFC 9218 */

static size_t smaller(uint64_t a, size_t b)
{
    return a < b ? (size_t)a : b;
}

/* Hands out what is kept. */
static enum control_result take(struct control *control, struct control_piece *ret)
{
    *ret = (struct control_piece){.data = control->bytes, .size = control->size};
    control->size = 0;
    return CONTROL_PIECE;
}

static enum control_result read_type(struct control *control, const uint8_t **data, size_t *size,
                                     struct control_piece *ret)
{
    uint64_t type;
    if (varint_collect(control->bytes, &control->size, 0, data, size, &type) == 0)
        return CONTROL_MORE;
    control->state = type == TYPE_CONTROL ? CONTROL_HEAD : CONTROL_OTHER;
    return take(control, ret);
}

/* Returns CONTROL_MORE also where the rest of the frame is to be read. */
static enum control_result read_head(struct control *control, const uint8_t **data, size_t *size,
                                     struct control_piece *ret)
{
    uint64_t kind;
    uint8_t *bytes = control->bytes;
    size_t kind_size = varint_collect(bytes, &control->size, 0, data, size, &kind);
    if (kind_size == 0 ||
        varint_collect(bytes, &control->size, kind_size, data, size, &control->left) == 0)
        return CONTROL_MORE;
    control->kind = kind;
    control->head_size = control->size;
    if (control->left <= CONTROL_FRAME_MAX - CONTROL_HEAD_MAX) {
        control->state = CONTROL_FRAME;
        return CONTROL_MORE;
    }
    if (kind == FRAME_CANCEL_PUSH || kind == FRAME_SETTINGS || kind == FRAME_GOAWAY ||
        kind == FRAME_MAX_PUSH_ID || kind == FRAME_PRIORITY_UPDATE)
        return CONTROL_TOO_LONG;
    control->state = CONTROL_SKIP;
    return take(control, ret);
}

/* Looks whether the numbers of the frame that is kept are there and may be what they are, and
 * nothing is where nothing may be.  Returns CONTROL_PIECE and the frame if so. */
static enum control_result check(struct control *control, struct control_piece *ret)
{
    const size_t size = control->size - control->head_size;
    uint64_t number = 0;
    *ret = (struct control_piece){.data = control->bytes, .size = control->size};
    size_t found = varint_read(control->bytes + control->head_size, size, &number);
    const bool is_number = found > 0 && found == size;
    switch (control->kind) {
    case FRAME_CANCEL_PUSH:
        if (is_number && control->has_settings)
            return CONTROL_ID_ERROR;
        return is_number ? CONTROL_PIECE : CONTROL_FRAME_ERROR;
    case FRAME_GOAWAY:
        return is_number ? CONTROL_PIECE : CONTROL_FRAME_ERROR;
    case FRAME_MAX_PUSH_ID:
        if (is_number && number < control->push_id_max)
            return CONTROL_ID_ERROR;
        control->push_id_max = number;
        return is_number ? CONTROL_PIECE : CONTROL_FRAME_ERROR;
    case FRAME_PRIORITY_UPDATE:
        ret->is_priority = true;
        ret->stream_id = number;
        return found > 0 ? CONTROL_PIECE : CONTROL_FRAME_ERROR;
    default:
        return CONTROL_PIECE;
    }
}

static enum control_result read_frame(struct control *control, const uint8_t **data, size_t *size,
                                      struct control_piece *ret)
{
    const size_t part = smaller(control->left, *size);
    if (part > 0)
        memcpy(control->bytes + control->size, *data, part);
    control->size += part;
    *data += part;
    *size -= part;
    control->left -= part;
    if (control->left > 0)
        return CONTROL_MORE;
    enum control_result result = check(control, ret);
    if (result != CONTROL_PIECE)
        return result;
    control->has_settings = true;
    control->state = CONTROL_HEAD;
    control->size = 0;
    return CONTROL_PIECE;
}

/* Hands out up to `wanted` bytes as they are. */
static enum control_result pass(const uint8_t **data, size_t *size, uint64_t wanted,
                                struct control_piece *ret)
{
    size_t part = smaller(wanted, *size);
    if (part == 0)
        return CONTROL_MORE;
    *ret = (struct control_piece){.data = *data, .size = part};
    *data += part;
    *size -= part;
    return CONTROL_PIECE;
}

enum control_result control_next(struct control *control, const uint8_t **data, size_t *size,
                                 struct control_piece *ret)
{
    enum control_result result = CONTROL_MORE;
    switch (control->state) {
    case CONTROL_TYPE:
        return read_type(control, data, size, ret);
    case CONTROL_HEAD:
        result = read_head(control, data, size, ret);
        return control->state == CONTROL_FRAME ? read_frame(control, data, size, ret) : result;
    case CONTROL_FRAME:
        return read_frame(control, data, size, ret);
    case CONTROL_SKIP:
        result = pass(data, size, control->left, ret);
        if (result == CONTROL_PIECE)
            control->left -= ret->size;
        if (control->left == 0)
            control->state = CONTROL_HEAD;
        return result;
    case CONTROL_OTHER:
        return pass(data, size, UINT64_MAX, ret);
    }
    return result;
}
