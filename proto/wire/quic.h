/* SPDX-License-Identifier: MIT */
#ifndef SP_QUIC_H
#define SP_QUIC_H

#include <stdint.h>

/* The numbers of QUIC as they go on the wire: the same in versions 1 and 2. */

#define SP_VERSION_1 UINT32_C(0x00000001)
#define SP_VERSION_2 UINT32_C(0x6b3343cf) /* [RFC9369 3.1] */
/* [RFC9000 15] Versions of this form ask the other side to negotiate. */
#define SP_VERSION_IS_GREASE(version) (((version) & UINT32_C(0x0f0f0f0f)) == UINT32_C(0x0a0a0a0a))

enum {
    SP_CID_SIZE_MAX = 20,            /* [RFC9000 17.2] */
    SP_INITIAL_DCID_SIZE_MIN = 8,    /* [RFC9000 7.2] */
    SP_RESET_TOKEN_SIZE = 16,        /* [RFC9000 10.3] */
    SP_DATAGRAM_SIZE_MIN = 1200,     /* [RFC9000 14] */
    SP_UDP_PAYLOAD_SIZE_MAX = 65527, /* [RFC9000 18.2] */
    SP_TAG_SIZE = 16,                /* of every AEAD in use. [RFC9001 5.3] */
    SP_SAMPLE_SIZE = 16,             /* [RFC9001 5.4.2] */
    SP_MASK_SIZE = 5,                /* [RFC9001 5.4.1] */
    SP_PN_SIZE_MAX = 4,              /* [RFC9000 17.1] */
    SP_PATH_DATA_SIZE = 8,           /* [RFC9000 19.17] */
    SP_AMPLIFICATION_FACTOR = 3,     /* [RFC9000 8.1] */
};

#define SP_PN_MAX ((UINT64_C(1) << 62) - 1)
/* [RFC9000 4.6] More streams than this could not be named by a varint. */
#define SP_STREAM_COUNT_MAX (UINT64_C(1) << 60)

/* Transport error codes.  [RFC9000 20.1]
 *
 * These are also what parsers and handlers in proto/ return for the peer's
 * faults: the code that will go on the wire. */
enum sp_err {
    SP_OK = 0x00,
    SP_ERR_INTERNAL = 0x01,
    SP_ERR_CONNECTION_REFUSED = 0x02,
    SP_ERR_FLOW_CONTROL = 0x03,
    SP_ERR_STREAM_LIMIT = 0x04,
    SP_ERR_STREAM_STATE = 0x05,
    SP_ERR_FINAL_SIZE = 0x06,
    SP_ERR_FRAME_ENCODING = 0x07,
    SP_ERR_TRANSPORT_PARAMETER = 0x08,
    SP_ERR_CONNECTION_ID_LIMIT = 0x09,
    SP_ERR_PROTOCOL_VIOLATION = 0x0a,
    SP_ERR_INVALID_TOKEN = 0x0b,
    SP_ERR_APPLICATION = 0x0c,
    SP_ERR_CRYPTO_BUFFER_EXCEEDED = 0x0d,
    SP_ERR_KEY_UPDATE = 0x0e,
    SP_ERR_AEAD_LIMIT_REACHED = 0x0f,
    SP_ERR_NO_VIABLE_PATH = 0x10,
    SP_ERR_VERSION_NEGOTIATION = 0x11, /* [RFC9368 10.2] */
    SP_ERR_CRYPTO = 0x0100,            /* plus the TLS alert, 0x00 to 0xff. [RFC9001 4.8] */
    SP_ERR_CRYPTO_MAX = 0x01ff,

    /* Not an error and never on the wire: ignore this packet, do not acknowledge it. */
    SP_DROP = 0x10000,
};

/* TLS alerts that proto/ raises by itself.  [RFC8446 6] */
enum {
    SP_ALERT_UNEXPECTED_MESSAGE = 10,
    SP_ALERT_MISSING_EXTENSION = 109,
    SP_ALERT_NO_APPLICATION_PROTOCOL = 120,
};

/* The form of a stream ID: its two low bits.  [RFC9000 2.1] */
enum {
    SP_STREAM_BY_SERVER = 0x1,
    SP_STREAM_IS_UNI = 0x2,
};

#endif
