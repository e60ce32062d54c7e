/* SPDX-License-Identifier: MIT */
#ifndef SP_STATELESS_H
#define SP_STATELESS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/wire/header.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* Handling of datagrams that belong to no connection.  Usage order on a server:
 *
 *     sp_peek_read() -> look up the CID -> a connection: sp_conn_receive()
 *                                       -> none: sp_unmatched_classify()
 *                                              -> create a connection, or write one reply
 *
 * Nothing here keeps state, so no peer can fill our memory.  The caller limits how many replies
 * are sent per second. */

/* The fields of a datagram's first packet that all versions of QUIC have in common.  [RFC8999 5]
 * The CIDs are in the datagram. */
struct sp_peek {
    bool is_long;
    uint32_t version;     /* long */
    struct sb_bytes dcid; /* up to 255 bytes: other versions may have longer ones */
    struct sb_bytes scid; /* long */
};

/* False, and `*ret` untouched, for what is no QUIC packet of any version.
 * `short_cid_size`: of the CIDs that this endpoint issues. */
SB_MUST_USE bool sp_peek_read(const uint8_t *data, size_t size, uint8_t short_cid_size,
                              struct sp_peek *ret);

enum sp_unmatched {
    SP_UNMATCHED_DROP,
    SP_UNMATCHED_ACCEPT,    /* an Initial that may begin a connection */
    SP_UNMATCHED_NEGOTIATE, /* answer with sp_negotiation_write() */
    SP_UNMATCHED_RESET,     /* answer with sp_reset_write() */
};

/* Classifies a datagram whose first packet belongs to no connection: what a server that speaks
 * `versions` does with it.  [RFC9000 5.2.2] */
enum sp_unmatched sp_unmatched_classify(const uint8_t *data, size_t size,
                                        const struct sp_peek *peek,
                                        const struct sp_versions *versions);

enum {
    SP_NEGOTIATION_RANDOM_SIZE = 6,
    SP_NEGOTIATION_SIZE_MAX = 1 + 4 + 2 * (1 + 255) + (SP_VERSIONS_MAX + 1) * 4,
};

/* Writes a Version Negotiation packet in reply to `peek`: our `versions` and a reserved one.
 * [RFC9000 6.1, 17.2.1] */
void sp_negotiation_write(struct sb_writer *w, const struct sp_peek *peek,
                          const struct sp_versions *versions,
                          const uint8_t random[SP_NEGOTIATION_RANDOM_SIZE]);

/* Client: returns true if a VERSION_NEGOTIATION packet ends the attempt that was made with
 * `version` from `scid` to `dcid`.  Returns false if it is not a reply to that attempt, or must be
 * discarded.  [RFC9000 6.2]  Call it only until another packet has been processed. */
bool sp_negotiation_is_refusal(const struct sp_header *header, uint32_t version,
                               const struct sp_cid *dcid, const struct sp_cid *scid);

enum {
    SP_RETRY_TOKEN_SIZE_MAX = 256, /* of the tokens that we write */
    SP_RETRY_SIZE_MAX = 1 + 4 + 2 * (1 + SP_CID_SIZE_MAX) + SP_RETRY_TOKEN_SIZE_MAX + SP_TAG_SIZE,
};

/* Writes a Retry packet in reply to the Initial `peek`, in its version, except for its integrity
 * tag, which the caller appends.  [RFC9000 17.2.5, RFC9001 5.8]
 *
 *   scid    What the client must send its next Initial to: unpredictable, and not the `dcid` of
 *           `peek`.
 *   token   1 to SP_RETRY_TOKEN_SIZE_MAX bytes.
 *   random  Supplies the unused bits of the first byte. */
void sp_retry_write(struct sb_writer *w, const struct sp_peek *peek, const struct sp_cid *scid,
                    struct sb_bytes token, uint8_t random);

enum {
    SP_RESET_SIZE_MIN = 5 + SP_RESET_TOKEN_SIZE, /* [RFC9000 10.3] */
    SP_RESET_SIZE_MAX = 50,
    SP_RESET_RANDOM_SIZE = 1 + SP_RESET_SIZE_MAX - SP_RESET_TOKEN_SIZE,
};

/* Writes a Stateless Reset in reply to a datagram of `trigger_size` bytes that was classified
 * SP_UNMATCHED_RESET.  `token` is that of its destination CID.  [RFC9000 10.3] */
void sp_reset_write(struct sb_writer *w, size_t trigger_size,
                    const uint8_t token[SP_RESET_TOKEN_SIZE],
                    const uint8_t random[SP_RESET_RANDOM_SIZE]);

/* Where the token would be if the datagram were a Stateless Reset, or NULL if it is too short
 * to be one.  To be compared in constant time with the tokens of CIDs that are in use, when the
 * first packet belongs to no connection or does not open.  [RFC9000 10.3.1] */
const uint8_t *sp_reset_token_in(const uint8_t *data, size_t size);

#endif
