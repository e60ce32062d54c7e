/* SPDX-License-Identifier: MIT */
#ifndef SP_TPARAM_H
#define SP_TPARAM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/wire/types.h"

/* min_ack_delay_us of who does not understand ACK_FREQUENCY frames. */
#define SP_MIN_ACK_DELAY_NONE SB_VARINT_MAX

/* Transport parameters.  [RFC9000 18.2]  Durations stay in the wire's units here
 * (ms) and are converted by the connection. */
struct sp_tparams {
    struct sp_cid original_dcid; /* server only */
    struct sp_cid initial_scid;
    struct sp_cid retry_scid; /* server only */
    bool has_original_dcid;
    bool has_initial_scid;
    bool has_retry_scid;
    bool has_reset_token; /* server only */
    bool has_preferred_cid;
    bool disable_active_migration;
    bool grease_quic_bit; /* packets may lack the fixed bit.  [RFC9287 3] */
    bool reset_stream_at; /* RESET_STREAM_AT frames are understood: written as the parameter of
                             today's draft and that of the drafts 07 and 08, which have the same
                             frame; read from either.  [reliable-reset 3] */
    uint8_t reset_token[SP_RESET_TOKEN_SIZE];
    /* preferred_address, server only: the addresses, of which each family may be missing, and the
     * CID with the sequence number 1 and its token. */
    struct sp_preferred preferred;
    struct sp_cid preferred_cid;
    uint8_t preferred_token[SP_RESET_TOKEN_SIZE];

    /* version_information [RFC9368 3]: the version in use, 0 without the parameter, and the
     * versions that the sender has, 4 bytes each.  Read: they stand in the encoded parameters. */
    uint32_t chosen_version;
    struct sb_bytes available_versions;

    uint64_t max_idle_timeout_ms; /* 0: none */
    uint64_t max_udp_payload_size;
    uint64_t initial_max_data;
    uint64_t initial_max_stream_data_bidi_local;
    uint64_t initial_max_stream_data_bidi_remote;
    uint64_t initial_max_stream_data_uni;
    uint64_t initial_max_streams_bidi;
    uint64_t initial_max_streams_uni;
    uint64_t ack_delay_exponent;
    uint64_t max_ack_delay_ms;
    uint64_t active_cid_limit;
    uint64_t min_ack_delay_us;        /* SP_MIN_ACK_DELAY_NONE: none.  [ack-frequency 3] */
    uint64_t max_datagram_frame_size; /* 0: no DATAGRAM frames.  [RFC9221 3] */
};

enum {
    SP_TPARAMS_SIZE_MAX = 512, /* of what sp_tparams_write() makes */
};

/* The values that hold when a parameter is absent. */
void sp_tparams_init(struct sp_tparams *params);

/* Writes what differs from the defaults, and a reserved parameter of `grease` (any value)
 * to keep peers tolerant.  [RFC9000 18.1]  Server-only ones are written where present. */
void sp_tparams_write(struct sb_writer *w, const struct sp_tparams *params, uint64_t grease);

/* Reads the parameters that an endpoint of role `sender` sent.  SP_OK, or
 * SP_ERR_TRANSPORT_PARAMETER for a duplicate, a malformed or forbidden value, or a server-only
 * parameter from a client; `*ret` is then untouched.  Unknown ones are skipped.  `*ret` points into
 * `encoded`.
 * Whether the CIDs in it are the right ones is checked by the connection. [RFC9000 7.3] */
SB_MUST_USE enum sp_err sp_tparams_read(struct sb_bytes encoded, enum sp_role sender,
                                        struct sp_tparams *ret);

/* Returns whether a client that keeps to the limits in `remembered`, and uses the extensions there,
 * keeps to those in `now` too: whether 0-RTT may be accepted, and was rightly accepted.
 * [RFC9000 7.4.1] */
bool sp_tparams_cover(const struct sp_tparams *now, const struct sp_tparams *remembered);

#endif
