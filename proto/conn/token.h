/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_TOKEN_H
#define SP_CONN_TOKEN_H

#include "proto/conn/impl.h"

/* Copies a token of NEW_TOKEN or of a Retry, so that it outlives the packet or the call that it
 * came in.  Returns false if it is empty or longer than SP_COPY_SIZE_MAX, or without memory. */
SB_MUST_USE bool sp_conn_copy_token(struct sp_conn *conn, struct sb_bytes token,
                                    struct sb_slice *ret);

#endif
