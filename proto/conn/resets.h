/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_RESETS_H
#define SP_CONN_RESETS_H

#include "proto/conn/impl.h"

/* The peer's frames.  They return SP_OK, SP_DROP without memory, or the error of the peer.
 * [RFC9000 19.4, 19.5] */
SB_MUST_USE enum sp_err sp_conn_on_reset_stream(struct sp_conn *conn, uint64_t id, uint64_t error,
                                                uint64_t final_size);
SB_MUST_USE enum sp_err sp_conn_on_stop_sending(struct sp_conn *conn, uint64_t id, uint64_t error);

#endif
