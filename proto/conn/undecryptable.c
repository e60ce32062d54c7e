/* SPDX-License-Identifier: MIT */
#include "proto/conn/undecryptable.h"

/* Packets that came before their keys.  Their number is bounded, and each keeps its buffer alive.
 *
 * What can be attacked: anybody may send such packets.  SP_UNDECRYPTABLE_MAX of them are kept per
 * connection, the first ones; receive.c opens them when there are keys. */

#include "proto/base/time.h"

void sp_conn_keep_undecryptable(struct sp_conn *conn, const struct sp_datagram *datagram,
                                uint8_t *data, size_t size, enum sp_space space, uint64_t now_ns)
{
    struct sp_handshake *handshake = conn->handshake;
    if (handshake == NULL || handshake->undecryptable_count == SP_UNDECRYPTABLE_MAX ||
        datagram->is_transient) {
        conn->stats.packets_dropped++;
        return;
    }
    struct sp_undecryptable *kept = &handshake->undecryptable[handshake->undecryptable_count++];
    *kept = (struct sp_undecryptable){
        .datagram = *datagram,
        .space = space,
        .arrived_ns = sb_time_since(now_ns, datagram->waited_ns),
    };
    kept->datagram.data = data;
    kept->datagram.size = size;
    sb_buffer_ref(datagram->buffer);
}

void sp_conn_drop_undecryptable(struct sp_conn *conn)
{
    struct sp_handshake *handshake = conn->handshake;
    if (handshake == NULL)
        return;
    for (uint32_t i = 0; i < handshake->undecryptable_count; i++)
        sb_buffer_unref(handshake->undecryptable[i].datagram.buffer);
    handshake->undecryptable_count = 0;
}
