/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_UNDECRYPTABLE_H
#define SP_CONN_UNDECRYPTABLE_H

#include "proto/conn/impl.h"

/* Packets that came before their keys.  [RFC9001 5.7] */

/* Keeps the packet of `size` bytes at `data`, which lies in `datagram`, and takes a reference to
 * its buffer, and the time of its arrival.  Counts it as dropped where SP_UNDECRYPTABLE_MAX are
 * kept already. */
void sp_conn_keep_undecryptable(struct sp_conn *conn, const struct sp_datagram *datagram,
                                uint8_t *data, size_t size, enum sp_packet_type type,
                                uint64_t now_ns);

/* Forgets all that are kept, and their references. */
void sp_conn_drop_undecryptable(struct sp_conn *conn);
/* Drops 0-RTT packets: they have been rejected. */
void sp_conn_drop_early_undecryptable(struct sp_conn *conn);

#endif
