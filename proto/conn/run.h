/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_RUN_H
#define SP_CONN_RUN_H

#include "proto/conn/impl.h"
#include "proto/packet/build.h"

/* Adds full packets to the train that carry fresh bytes of the stream whose turn it is; none if
 * there is anything else to say. */
void sp_conn_send_run(struct sp_conn *conn, struct sp_train *train, struct sp_mask_batch *masks,
                      uint64_t now_ns);

#endif
