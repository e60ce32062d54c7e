/* SPDX-License-Identifier: MIT */
#ifndef SP_PATH_H
#define SP_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/path/pmtu.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* The network path of a connection.  This version has one: datagrams from another
 * address are dropped, and disable_active_migration tells the peer not to migrate. [RFC9000 9] */
struct sp_conn_path {
    struct sp_path path;
    bool is_valid;     /* the peer's address proved itself: no amplification limit */
    uint64_t bytes_in; /* counted until it is valid. [RFC9000 8.1] */
    uint64_t bytes_out;
    uint8_t responses[SP_PATH_RESPONSES_MAX][SP_PATH_DATA_SIZE]; /* to send, once each */
    uint32_t response_count;
    struct sp_pmtu pmtu;
};

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
