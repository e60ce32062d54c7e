/* SPDX-License-Identifier: MIT */
#ifndef SE_QUIC_LB_H
#define SE_QUIC_LB_H

#include <spate/quic_lb.h>

#include "proto/base/compiler.h"

/* Configurations of connection IDs that load balancers can read: their limits. */

enum {
    SE_LB_TEXT_SIZE_MAX = 19, /* of server ID and nonce together */
};

/* Copies a program's configuration, and checks it.  Returns 0, -EINVAL or -E2BIG, with one line in
 * `error`. */
SB_MUST_USE int se_quic_lb_take(const struct spate_quic_lb *given, struct spate_quic_lb *ret,
                                struct spate_error *error);

/* Returns the bytes of server ID and nonce. */
static inline uint8_t se_quic_lb_text_size(const struct spate_quic_lb *lb)
{
    return (uint8_t)(lb->server_id_size + lb->nonce_size);
}

/* Returns the bytes of a connection ID, with the octets of the server: its shard's, if there is
 * room, and its tag, for which there must be. */
static inline uint8_t se_quic_lb_cid_size(const struct spate_quic_lb *lb, bool has_tag)
{
    uint8_t text_size = se_quic_lb_text_size(lb);
    uint8_t own_size = has_tag ? 2 : text_size < SE_LB_TEXT_SIZE_MAX;
    return (uint8_t)(1 + text_size + own_size);
}

#endif
