/* SPDX-License-Identifier: MIT */
#include "proto/path/path.h"

/* A path: two addresses, and what is known about the way between them.
 *
 *     addresses, validation, amplification budget   [RFC9000 8, 9]    here
 *     RTT, congestion control, pacer, ECN           [RFC9000 9.4]     struct sp_loss_path
 *     size of datagrams                             [RFC9000 14]      struct sp_pmtu
 *
 * A connection sends on one path.  Others may exist beside it: those being validated, and those
 * that were left while packets are in flight on them.  Each sent packet has the index of its path,
 * so that its acknowledgment or loss counts for that path alone.
 *
 * Multipath would use several paths at a time.  Then the parts of the application space (numbers,
 * packets in flight, loss and ACK state: struct sp_loss_space, struct sp_ack) become one per path,
 * beside struct sp_loss_path; CIDs belong to a path ID on both sides, so sp_cid_local and
 * sp_cid_remote become one per path too; and a scheduler chooses the path of the next train where
 * sp_conn_send() takes conn->path now.  Everything else here stays as it is. */

void sp_path_init(struct sp_conn_path *path, const struct sp_conn_path_args *args)
{
    *path = (struct sp_conn_path){
        .path = *args->path,
        .index = args->index,
        .is_valid = args->is_valid,
    };
    sp_pmtu_init(&path->pmtu);
    sp_loss_path_init(&path->loss, args->index, args->cc_ops, SP_DATAGRAM_SIZE_MIN);
}
