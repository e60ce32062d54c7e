/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_CONTROL_H
#define SPATE_HTTP3_CONTROL_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Unidirectional streams of a client, cut anew: a control stream into whole frames, all others as
 * they come.  [RFC9114 6.2, 7.1]
 *
 * nghttp3 (0.8, and later ones) reads the bytes of a control stream as they come, and ends the
 * process by an assertion if they are cut behind the first number of a PRIORITY_UPDATE.  Where a
 * slice ends is the client's choice and that of the network, so no cut of theirs reaches it. */

enum {
    CONTROL_FRAME_MAX = 1024, /* of a frame with its head, the longest that is put together */
    CONTROL_HEAD_MAX = 16,    /* two numbers */
};

enum control_result {
    CONTROL_PIECE,       /* *ret is the next piece for nghttp3 */
    CONTROL_MORE,        /* all bytes were taken */
    CONTROL_FRAME_ERROR, /* a frame has too few or too many bytes: H3_FRAME_ERROR */
    CONTROL_ID_ERROR, /* a push that was not promised, or fewer pushes than before: H3_ID_ERROR */
    CONTROL_TOO_LONG, /* a frame that may not be ignored is too long: H3_EXCESSIVE_LOAD */
};

/* A stream.  It begins with zeros. */
struct control {
    enum {
        CONTROL_TYPE,  /* the type of the stream is being read */
        CONTROL_HEAD,  /* the type and the length of a frame are */
        CONTROL_FRAME, /* the rest of a frame is */
        CONTROL_SKIP,  /* a frame that is too long, and ignored, passes */
        CONTROL_OTHER, /* it is no control stream: all passes */
    } state;
    size_t size;          /* bytes that are kept */
    uint64_t kind;        /* of the frame */
    size_t head_size;     /* of it, in the buffer */
    uint64_t left;        /* bytes of the frame that are not kept yet, or have not passed */
    bool has_settings;    /* a frame has passed: nghttp3 refuses another one than SETTINGS */
    uint64_t push_id_max; /* of MAX_PUSH_ID; 0 before */
    uint8_t bytes[CONTROL_FRAME_MAX];
};

struct control_piece {
    const uint8_t *data; /* of the input, or valid until the next call */
    size_t size;         /* at least 1 */
    bool is_priority;    /* a whole PRIORITY_UPDATE .. */
    uint64_t stream_id;  /* .. of that request */
};

/* Takes bytes from *data, *size, and yields the next piece: a frame, or the type of the stream; of
 * a frame that is skipped, and of another stream, all that is there.  To be called until it returns
 * something else than CONTROL_PIECE.  After an error the stream is not read any more. */
enum control_result control_next(struct control *control, const uint8_t **data, size_t *size,
                                 struct control_piece *ret);

#endif
