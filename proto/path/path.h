/* SPDX-License-Identifier: MIT */
#ifndef SP_PATH_H
#define SP_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/path/pmtu.h"
#include "proto/recovery/loss.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* One network path of a connection: everything that may differ between two paths.
 *
 * A connection has an array of them and uses one.  proto/path/path.c says how multipath would use
 * several. */
struct sp_conn_path {
    struct sp_path path;
    uint32_t index;    /* in the connection's array */
    bool is_valid;     /* the peer's address proved itself: no amplification limit */
    uint64_t bytes_in; /* counted until it is valid. [RFC9000 8.1] */
    uint64_t bytes_out;
    uint8_t responses[SP_PATH_RESPONSES_MAX][SP_PATH_DATA_SIZE]; /* to send, once each */
    uint32_t response_count;
    struct sp_pmtu pmtu;
    struct sp_loss_path loss; /* RTT, congestion control, pacer, ECN */
};

struct sp_conn_path_args {
    const struct sp_path *path;
    const struct sp_cc_ops *cc_ops; /* borrowed */
    uint32_t index;                 /* below SP_PATHS_MAX */
    bool is_valid;
};

/* Makes a path of which nothing is known: datagrams of 1,200 bytes, the initial window. */
void sp_path_init(struct sp_conn_path *path, const struct sp_conn_path_args *args);

/* Bytes that may be sent now: UINT64_MAX on a valid path. */
static inline uint64_t sp_path_budget(const struct sp_conn_path *path)
{
    if (path->is_valid)
        return UINT64_MAX;
    uint64_t allowed = path->bytes_in * SP_AMPLIFICATION_FACTOR;
    return allowed > path->bytes_out ? allowed - path->bytes_out : 0;
}

/* A PATH_CHALLENGE came; dropped if too many wait. */
static inline void sp_path_on_challenge(struct sp_conn_path *path,
                                        const uint8_t data[SP_PATH_DATA_SIZE])
{
    if (path->response_count < SP_PATH_RESPONSES_MAX)
        memcpy(path->responses[path->response_count++], data, SP_PATH_DATA_SIZE);
}

#endif
