/* SPDX-License-Identifier: MIT */
#include "proto/wire/frame_table.h"

/* Table 3 of RFC 9000, Section 12.4 [RFC9000 12.4, 12.5, 17.2.4, RFC9001 8.3].  ACK, STREAM and the
 * others with flags in their type stand once for each value, so that a type of one byte is an
 * index.
 *
 * A row needs a case in frame_read.c and in conn/frames.c: test_frame_samples and
 * test_frames fail without. */

/* The letters of the table's column "Pkts", ... */
#define IN_IH01 (SP_IN_INITIAL | SP_IN_HANDSHAKE | SP_IN_ZERO_RTT | SP_IN_ONE_RTT)
#define IN_IH_1 (SP_IN_INITIAL | SP_IN_HANDSHAKE | SP_IN_ONE_RTT)
#define IN_01   (SP_IN_ZERO_RTT | SP_IN_ONE_RTT)
#define IN_1    SP_IN_ONE_RTT
/* ... and of its column "Spec". */
#define N SP_FRAME_NOT_ELICITING
#define C SP_FRAME_NOT_IN_FLIGHT
#define P SP_FRAME_PROBING

const struct sp_frame_rule sp_frame_rules[SP_FRAME_SHORT_TYPES] = {
    [SP_FRAME_PADDING] = {"PADDING", IN_IH01 | N | P},
    [SP_FRAME_PING] = {"PING", IN_IH01},
    [SP_FRAME_ACK] = {"ACK", IN_IH_1 | N | C},
    [SP_FRAME_ACK_ECN] = {"ACK", IN_IH_1 | N | C},
    [SP_FRAME_RESET_STREAM] = {"RESET_STREAM", IN_01},
    [SP_FRAME_STOP_SENDING] = {"STOP_SENDING", IN_01},
    [SP_FRAME_CRYPTO] = {"CRYPTO", IN_IH_1},
    [SP_FRAME_NEW_TOKEN] = {"NEW_TOKEN", IN_1},
    [SP_FRAME_STREAM] = {"STREAM", IN_01},
    [SP_FRAME_STREAM_FIN] = {"STREAM", IN_01},
    [SP_FRAME_STREAM_LEN] = {"STREAM", IN_01},
    [SP_FRAME_STREAM_LEN_FIN] = {"STREAM", IN_01},
    [SP_FRAME_STREAM_OFF] = {"STREAM", IN_01},
    [SP_FRAME_STREAM_OFF_FIN] = {"STREAM", IN_01},
    [SP_FRAME_STREAM_OFF_LEN] = {"STREAM", IN_01},
    [SP_FRAME_STREAM_OFF_LEN_FIN] = {"STREAM", IN_01},
    [SP_FRAME_MAX_DATA] = {"MAX_DATA", IN_01},
    [SP_FRAME_MAX_STREAM_DATA] = {"MAX_STREAM_DATA", IN_01},
    [SP_FRAME_MAX_STREAMS_BIDI] = {"MAX_STREAMS", IN_01},
    [SP_FRAME_MAX_STREAMS_UNI] = {"MAX_STREAMS", IN_01},
    [SP_FRAME_DATA_BLOCKED] = {"DATA_BLOCKED", IN_01},
    [SP_FRAME_STREAM_DATA_BLOCKED] = {"STREAM_DATA_BLOCKED", IN_01},
    [SP_FRAME_STREAMS_BLOCKED_BIDI] = {"STREAMS_BLOCKED", IN_01},
    [SP_FRAME_STREAMS_BLOCKED_UNI] = {"STREAMS_BLOCKED", IN_01},
    [SP_FRAME_NEW_CONNECTION_ID] = {"NEW_CONNECTION_ID", IN_01 | P},
    /* [RFC9000 12.5] No client can have a reason to send it in 0-RTT; refusing it there is a
     * MAY that Table 3 does not make use of. */
    [SP_FRAME_RETIRE_CONNECTION_ID] = {"RETIRE_CONNECTION_ID", IN_01},
    [SP_FRAME_PATH_CHALLENGE] = {"PATH_CHALLENGE", IN_01 | P},
    [SP_FRAME_PATH_RESPONSE] = {"PATH_RESPONSE", IN_1 | P},
    [SP_FRAME_CONNECTION_CLOSE] = {"CONNECTION_CLOSE", IN_IH01 | N},
    [SP_FRAME_CONNECTION_CLOSE_APP] = {"CONNECTION_CLOSE", IN_01 | N},
    [SP_FRAME_HANDSHAKE_DONE] = {"HANDSHAKE_DONE", IN_1},
    /* [ack-frequency 3] Not in 0-RTT: nobody remembers that the peer has it. */
    [SP_FRAME_IMMEDIATE_ACK] = {"IMMEDIATE_ACK", IN_1},
    /* [reliable-reset 3, 4] */
    [SP_FRAME_RESET_STREAM_AT] = {"RESET_STREAM_AT", IN_01},
    /* [RFC9221 3, 5, 6] */
    [SP_FRAME_DATAGRAM] = {"DATAGRAM", IN_01},
    [SP_FRAME_DATAGRAM_LEN] = {"DATAGRAM", IN_01},
};

const struct sp_frame_long_rule sp_frame_long_rules[] = {
    {SP_FRAME_ACK_FREQUENCY, {"ACK_FREQUENCY", IN_1}},
    {SB_VARINT_NONE, {NULL, 0}}, /* no type: see frame_table.h */
};

const struct sp_frame_rule *sp_frame_long_rule_of(uint64_t type)
{
    const struct sp_frame_long_rule *row = sp_frame_long_rules;
    while (row->rule.flags != 0 && row->type != type)
        row++;
    return &row->rule;
}
