/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_PLACE_H
#define SP_CONN_PLACE_H

#include "proto/conn/impl.h"
#include "proto/wire/frame.h"

/* What is known of a packet that is one STREAM frame and nothing else. */
struct sp_packed {
    struct sp_frame_stream frame;          /* `data` is where its bytes are, or will be */
    bool continues;                        /* that of the packet before, mostly in memory too */
    uint8_t head[SP_STREAM_HEAD_SIZE_MAX]; /* of the frame, if open->head is it */
};

/* Chooses, among packets that are about to be opened with `key`, those that go into lent memory.
 * They get a `body`, and their frame at the same index.  Returns their bits. */
uint64_t sp_conn_place(struct sp_conn *conn, struct sp_key *key, struct sp_open *opens,
                       uint32_t count, struct sp_packed *ret_packed);

#endif
