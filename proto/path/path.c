/* SPDX-License-Identifier: MIT */
#include "proto/path/path.h"

/* A path: two addresses, and what is known about the way between them.
 *
 *     addresses, amplification budget               [RFC9000 8, 9]    here
 *     validation by PATH_CHALLENGE                  [RFC9000 8.2]     struct sp_validation
 *     RTT, congestion control, pacer, ECN           [RFC9000 9.4]     struct sp_loss_path
 *     size of datagrams                             [RFC9000 14]      struct sp_pmtu
 *     CIDs of both ends                             [RFC9000 9.5]     by index: sp_cid_remote,
 * _local
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
        .state = args->state,
        .index = args->index,
        .is_valid = args->is_valid,
    };
    sp_pmtu_init(&path->pmtu);
    sp_loss_path_init(&path->loss, args->index, args->cc);
}

/* Exchanges the bytes of the two. */
static void exchange(void *a, void *b, size_t size)
{
    uint8_t *x = a, *y = b;
    for (size_t i = 0; i < size; i++) {
        uint8_t byte = x[i];
        x[i] = y[i];
        y[i] = byte;
    }
}

void sp_path_exchange(struct sp_conn_path *a, struct sp_conn_path *b)
{
    uint32_t index_a = a->index, index_b = b->index;
    exchange(a, b, offsetof(struct sp_conn_path, pmtu)); /* pmtu and loss belong to the way */
    a->index = index_a;
    b->index = index_b;
}

bool sp_path_is_same_way(const struct sp_path *a, const struct sp_path *b)
{
    struct sp_path moved = *a;
    moved.remote.port = b->remote.port;
    return sp_path_equal(&moved, b);
}
