/* SPDX-License-Identifier: MIT */
/* A peer that breaks the protocol, one rule per row: the receiver of such a packet must close with
 * the error that RFC 9000 names for it, and the other side must receive that error. */

#include "test/sim/violations.h"

#include <stdio.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/quic.h"

struct violation {
    const char *what;
    enum sp_role role; /* the side that breaks the rule */
    enum sp_packet_type type;
    uint64_t error;
    const char *frames;
    size_t size;
};

#define FRAMES(text) (text), sizeof(text) - 1

/* Numbers as varints of 1, 2, 4 and 8 bytes: 5 is \x05, 300 is \x41\x2c, 2^30 - 1 is
 * \xbf\xff\xff\xff, 2^62 - 1 is \xff and seven more.  Streams: the client has opened 0, 4 and 2,
 * the server 3. */
static const struct violation violations[] = {
    {"STREAM for a stream that the server only sends on", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x0a\x03\x01z")},
    {"STREAM for a stream that the client only sends on", SP_SERVER, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x0a\x02\x01z")},
    {"STREAM for the server's stream that it has not opened", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x0a\x15\x01z")},
    {"STREAM for the client's stream that it has not opened", SP_SERVER, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x0a\x18\x01z")},
    {"STREAM beyond the limit of streams", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_STREAM_LIMIT,
     FRAMES("\x0a\x7f\xfc\x01z")},
    {"STREAM beyond the stream's credit", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FLOW_CONTROL,
     FRAMES("\x0e\x00\xbf\xff\xff\xff\x01z")},
    {"STREAM beyond the connection's credit", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FLOW_CONTROL,
     FRAMES("\x0e\x08\x80\x18\x00\x00\x01z")},
    {"STREAM beyond 2^62", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x0e\x00\xff\xff\xff\xff\xff\xff\xff\xff\x01z")},
    {"STREAM beyond its end", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FINAL_SIZE,
     FRAMES("\x0b\x08\x01z\x0e\x08\x05\x01z")},
    {"STREAM that ends twice, at two places", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FINAL_SIZE,
     FRAMES("\x0b\x08\x02zz\x0b\x08\x01z")},
    {"STREAM that ends before what was sent", SP_SERVER, SP_PACKET_ONE_RTT, SP_ERR_FINAL_SIZE,
     FRAMES("\x0a\x03\x02zz\x0b\x03\x00")},
    {"RESET_STREAM that ends before what was sent", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FINAL_SIZE,
     FRAMES("\x0a\x08\x02zz\x04\x08\x01\x01")},
    {"RESET_STREAM beyond the credit", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FLOW_CONTROL,
     FRAMES("\x04\x08\x01\xbf\xff\xff\xff")},
    {"RESET_STREAM for a stream that the server only sends on", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x04\x03\x01\x00")},
    {"STOP_SENDING for a stream that the server only receives on", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x05\x02\x01")},
    {"STOP_SENDING for the client's stream that it has not opened", SP_SERVER, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x05\x18\x01")},
    {"MAX_STREAM_DATA for a stream that the server only receives on", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x11\x02\x41\x2c")},
    {"MAX_STREAM_DATA for the client's stream that it has not opened", SP_SERVER, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x11\x18\x41\x2c")},
    {"STREAM_DATA_BLOCKED for a stream that the server only sends on", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x15\x03\x41\x2c")},
    {"MAX_STREAMS of more than 2^60", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x12\xff\xff\xff\xff\xff\xff\xff\xff")},
    {"STREAMS_BLOCKED of more than 2^60", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x16\xff\xff\xff\xff\xff\xff\xff\xff")},
    {"ACK of a packet that was never sent", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_PROTOCOL_VIOLATION,
     FRAMES("\x02\xbf\xff\xff\xff\x00\x00\x00")},
    {"ACK of a packet that was never sent, to the client", SP_SERVER, SP_PACKET_HANDSHAKE,
     SP_ERR_PROTOCOL_VIOLATION, FRAMES("\x02\x41\x2c\x00\x00\x00")},
    {"ACK of a range below 0", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x02\x01\x00\x00\x05")},
    {"a frame type that there is not", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x21")},
    {"a frame type in more bytes than it needs", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_PROTOCOL_VIOLATION, FRAMES("\x40\x01")},
    {"a frame that runs over the packet's end", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x06\x00\x7f\xff")},
    {"HANDSHAKE_DONE from the client", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_PROTOCOL_VIOLATION,
     FRAMES("\x1e")},
    {"NEW_TOKEN from the client", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_PROTOCOL_VIOLATION,
     FRAMES("\x07\x01z")},
    {"NEW_TOKEN without a token", SP_SERVER, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x07\x00")},
    {"RETIRE_CONNECTION_ID of one that was never issued", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_PROTOCOL_VIOLATION, FRAMES("\x19\x41\x2c")},
    {"RETIRE_CONNECTION_ID of the packet's own", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_PROTOCOL_VIOLATION, FRAMES("\x19\x00")},
    {"NEW_CONNECTION_ID that retires itself", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x18\x05\x06\x04"
            "abcd0123456789abcdef")},
    {"NEW_CONNECTION_ID of no bytes", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x18\x05\x00\x00"
            "0123456789abcdef")},
    {"NEW_CONNECTION_ID of 21 bytes", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FRAME_ENCODING,
     FRAMES("\x18\x05\x00\x15"
            "abcdefghijklmnopqrstu0123456789abcdef")},
    {"NEW_CONNECTION_ID that gives a number twice", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_PROTOCOL_VIOLATION,
     FRAMES("\x18\x01\x00\x04"
            "abcd0123456789abcdef")},
    {"NEW_CONNECTION_ID beyond the limit", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_CONNECTION_ID_LIMIT,
     FRAMES("\x18\x05\x00\x04"
            "abcd0123456789abcdef\x18\x06\x00\x04"
            "efgh0123456789abcdef"
            "\x18\x07\x00\x04"
            "ijkl0123456789abcdef\x18\x08\x00\x04"
            "mnop0123456789abcdef")},
    {"STREAM in an Initial that begins a ClientHello", SP_CLIENT, SP_PACKET_INITIAL,
     SP_ERR_PROTOCOL_VIOLATION, FRAMES("\x06\x00\x01\x01\x0a\x00\x01z")},
    {"MAX_DATA in a Handshake packet", SP_SERVER, SP_PACKET_HANDSHAKE, SP_ERR_PROTOCOL_VIOLATION,
     FRAMES("\x10\x01")},
    {"CRYPTO far ahead", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_CRYPTO_BUFFER_EXCEEDED,
     FRAMES("\x06\xbf\xff\xff\xff\x01z")},
    {"CRYPTO that is no message which belongs there", SP_SERVER, SP_PACKET_HANDSHAKE,
     SP_ERR_CRYPTO + SP_ALERT_UNEXPECTED_MESSAGE, FRAMES("\x06\x00\x04zzzz")},
    {"DATAGRAM that the server did not announce", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_PROTOCOL_VIOLATION, FRAMES("\x31\x01z")},
    {"DATAGRAM that the client did not announce, empty", SP_SERVER, SP_PACKET_ONE_RTT,
     SP_ERR_PROTOCOL_VIOLATION, FRAMES("\x31\x00")},
    {"RESET_STREAM_AT with more reliable bytes than there are", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_FRAME_ENCODING, FRAMES("\x24\x08\x01\x02\x03")},
    {"RESET_STREAM_AT that ends before what was sent", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_FINAL_SIZE, FRAMES("\x0a\x08\x02zz\x24\x08\x01\x01\x01")},
    {"RESET_STREAM_AT beyond the credit", SP_CLIENT, SP_PACKET_ONE_RTT, SP_ERR_FLOW_CONTROL,
     FRAMES("\x24\x08\x01\xbf\xff\xff\xff\x00")},
    {"RESET_STREAM_AT for a stream that the server only sends on", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x24\x03\x01\x01\x01")},
    {"RESET_STREAM_AT with another error than before", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x24\x08\x01\x05\x03\x24\x08\x02\x05\x02")},
    {"RESET_STREAM with another error than RESET_STREAM_AT", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_STREAM_STATE, FRAMES("\x24\x08\x01\x05\x00\x04\x08\x02\x05")},
    {"RESET_STREAM_AT with another final size than before", SP_SERVER, SP_PACKET_ONE_RTT,
     SP_ERR_FINAL_SIZE, FRAMES("\x24\x03\x01\x05\x03\x24\x03\x01\x06\x02")},
    {"ACK_FREQUENCY that asks for less than the least delay", SP_CLIENT, SP_PACKET_ONE_RTT,
     SP_ERR_PROTOCOL_VIOLATION, FRAMES("\x40\xaf\x00\x05\x43\xe7\x03")},
};
_Static_assert(SB_COUNT(violations) == QS_VIOLATIONS, "one member of the scenario a row");

void qs_violation_fill(struct qs_plan *plan, uint32_t number)
{
    const struct violation *row = &violations[number - 1];
    plan->forgery = (struct qs_forgery){
        .is_wanted = true,
        .role = row->role,
        .type = row->type,
        .pn_min = row->type == SP_PACKET_ONE_RTT ? 3 : 0,
        .size = row->size,
    };
    memcpy(plan->forgery.frames, row->frames, row->size);
    plan->note = row->what;

    /* The connection's credit can be exceeded before the stream's. */
    for (int role = 0; role < QS_SIDES; role++) {
        struct sp_config *config = &plan->side[role].config;
        config->conn_window_bytes = config->conn_window_bytes_max = 1 << 20;
        config->stream_window_bytes = config->stream_window_bytes_max = 4 << 20;
        plan->side[role].app.uni_count = 1;
        plan->expect[role] = (struct qs_expect){SP_CLOSE_TRANSPORT, row->error};
    }
    plan->must_complete = false;
}
