/* SPDX-License-Identifier: MIT */
#include "proto/conn/undecryptable.h"

/* Packets that came before their keys.  Their number is bounded.  They are copied, because a packet
 * would keep a buffer of 64 KiB alive; one that is too large for a copy does.
 *
 * What can be attacked: anybody may send such packets.  SP_UNDECRYPTABLE_MAX of them are kept per
 * connection, the first ones; receive.c opens them when there are keys. */

#include "proto/base/time.h"
#include "proto/conn/trace.h"

/* Moves a packet into a copy.  Returns false without memory. */
static bool copy(struct sp_conn *conn, struct sp_datagram *packet)
{
    uint64_t size = packet->size > SP_PAGE_SIZE ? SP_COPY_SIZE_MAX : SP_PAGE_SIZE;
    struct sb_buffer *buffer =
        sp_copies_take(conn->pieces.copies, conn->pieces.holding, size, true);
    if (buffer == NULL)
        return false;
    memcpy(sp_copy_data(buffer), packet->data, packet->size);
    conn->pieces.packed_bytes += packet->size;
    packet->data = sp_copy_data(buffer);
    packet->buffer = buffer;
    packet->is_transient = false; /* nobody wants the copy back */
    return true;
}

void sp_conn_keep_undecryptable(struct sp_conn *conn, const struct sp_datagram *datagram,
                                uint8_t *data, size_t size, enum sp_packet_type type,
                                uint64_t now_ns)
{
    struct sp_handshake *handshake = conn->handshake;
    if (handshake == NULL || handshake->undecryptable_count == SP_UNDECRYPTABLE_MAX ||
        (datagram->is_transient && size > SP_COPY_SIZE_MAX)) {
        sp_conn_drop_packet(conn, type, size, SP_QLOG_DROP_NO_KEY);
        return;
    }
    struct sp_undecryptable kept = {
        .datagram = *datagram,
        .type = type,
        .arrived_ns = sb_time_since(now_ns, datagram->waited_ns),
    };
    kept.datagram.data = data;
    kept.datagram.size = size;
    if (size > SP_COPY_SIZE_MAX) {
        sb_buffer_ref(datagram->buffer);
    } else if (!copy(conn, &kept.datagram)) {
        sp_conn_drop_packet(conn, type, size, SP_QLOG_DROP_INTERNAL);
        return;
    }
    handshake->undecryptable[handshake->undecryptable_count++] = kept;
    sp_conn_trace_buffered(conn, type, size);
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

void sp_conn_drop_early_undecryptable(struct sp_conn *conn)
{
    struct sp_handshake *handshake = conn->handshake;
    uint32_t kept_count = 0;
    for (uint32_t i = 0; handshake != NULL && i < handshake->undecryptable_count; i++) {
        struct sp_undecryptable *packet = &handshake->undecryptable[i];
        if (packet->type != SP_PACKET_ZERO_RTT) {
            handshake->undecryptable[kept_count++] = *packet;
            continue;
        }
        sp_conn_drop_packet(conn, packet->type, packet->datagram.size, SP_QLOG_DROP_NO_KEY);
        sb_buffer_unref(packet->datagram.buffer);
    }
    if (handshake != NULL)
        handshake->undecryptable_count = kept_count;
}
