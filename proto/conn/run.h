/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_RUN_H
#define SP_CONN_RUN_H

#include "proto/conn/impl.h"
#include "proto/packet/build.h"

/* Adds full packets with fresh bytes of the stream whose turn it is to the train.  Adds none if
 * other frames wait. */
void sp_conn_send_run(struct sp_conn *conn, struct sp_train *train, struct sp_mask_batch *masks,
                      uint64_t now_ns);

#endif
