/* SPDX-License-Identifier: MIT */
#ifndef SP_PATH_H
#define SP_PATH_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/path/pmtu.h"
#include "proto/path/validation.h"
#include "proto/recovery/loss.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* One network path of a connection: everything that may differ between two paths.
 *
 * A connection has an array of them and uses one.  proto/path/path.c says how multipath would use
 * several. */
enum sp_path_state {
    SP_PATH_CANDIDATE, /* is being validated; the peer may have moved here already [RFC9000 9.3] */
    SP_PATH_PROVEN,    /* validated: by the handshake, or by a PATH_RESPONSE */
    SP_PATH_LEFT,      /* given up; freed when nothing is in flight on it, and if it was PROVEN
                          after three PTOs: what comes late by it is taken until then */
};

struct sp_conn_path {
    struct sp_path path;
    enum sp_path_state state;
    uint32_t index;         /* in the connection's array */
    uint32_t dcid;          /* index in sp_cid_remote of the CID that packets go to */
    uint32_t lcid;          /* index in sp_cid_local of the CID that the last packet came to;
                               SP_CID_NONE: the peer has retired it */
    uint64_t dcid_sequence; /* of `dcid`: another one may take its place */
    uint32_t made_number;   /* of the connection's paths, in the order of their making */
    bool is_ours;           /* we made it to move: its validation moves the connection */
    bool is_preferred;      /* .. to the address that the server prefers */
    bool was_left;          /* while it was a candidate: the peer returned to another path */
    bool is_valid;          /* the peer's address proved itself: no amplification limit */
    uint64_t left_until_ns; /* LEFT: not freed before; 0: it may be.  CANDIDATE: left then, if
                               nothing validates it */
    uint64_t bytes_in;      /* counted until it is valid. [RFC9000 8.1] */
    uint64_t bytes_out;
    uint8_t responses[SP_PATH_RESPONSES_MAX][SP_PATH_DATA_SIZE]; /* to send, once each */
    uint32_t response_count;
    struct sp_validation *validation; /* of a pool; NULL: none goes on */
    struct sp_pmtu pmtu;
    struct sp_loss_path loss; /* RTT, congestion control, pacer, ECN */
};

struct sp_conn_path_args {
    const struct sp_path *path;
    const struct sp_cc_args *cc;
    uint32_t index; /* below SP_PATHS_MAX */
    enum sp_path_state state;
    bool is_valid;
};

/* Makes a path of which nothing is known: datagrams of 1,200 bytes, the initial window. */
void sp_path_init(struct sp_conn_path *path, const struct sp_conn_path_args *args);

/* Exchanges the addresses of two paths, with their validation and CIDs.  The peer has another port
 * on the same way: what is known about that stays where it is.  [RFC9000 9.4] */
void sp_path_exchange(struct sp_conn_path *a, struct sp_conn_path *b);

/* Returns whether `a` and `b` differ in nothing but the port of the peer. */
bool sp_path_is_same_way(const struct sp_path *a, const struct sp_path *b);

/* Bytes that may be sent now: UINT64_MAX on a valid path. */
static inline uint64_t sp_path_budget(const struct sp_conn_path *path)
{
    if (path->is_valid)
        return UINT64_MAX;
    uint64_t allowed = path->bytes_in * SP_AMPLIFICATION_FACTOR;
    return allowed > path->bytes_out ? allowed - path->bytes_out : 0;
}

/* The peer has come back to a path that may have been left: it is a candidate again. */
static inline void sp_path_take_back(struct sp_conn_path *path)
{
    if (path->state != SP_PATH_LEFT)
        return;
    path->state = SP_PATH_CANDIDATE;
    path->left_until_ns = 0;
    path->was_left = false;
}

/* A PATH_CHALLENGE came.  If too many wait, the oldest is dropped. */
static inline void sp_path_on_challenge(struct sp_conn_path *path,
                                        const uint8_t data[SP_PATH_DATA_SIZE])
{
    if (path->response_count == SP_PATH_RESPONSES_MAX)
        memmove(path->responses[0], path->responses[1],
                (size_t)--path->response_count * SP_PATH_DATA_SIZE);
    memcpy(path->responses[path->response_count++], data, SP_PATH_DATA_SIZE);
}

#endif
