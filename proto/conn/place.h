/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_PLACE_H
#define SP_CONN_PLACE_H

#include "proto/conn/impl.h"
#include "proto/wire/frame.h"

/* Chooses, among packets that are about to be opened with `key`, those that go into
 * lent memory.  They get a `body`, and their frame at the same index. */
void sp_conn_place(struct sp_conn *conn, struct sp_key *key, struct sp_open *opens, uint32_t count,
                   struct sp_frame_stream *ret_frames);

#endif
