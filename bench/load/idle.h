/* SPDX-License-Identifier: MIT */
#ifndef LOAD_IDLE_H
#define LOAD_IDLE_H

#include <stdint.h>

#include "bench/load/sample.h"

/* What `idle` measures, part by part.  A part without --bulk that needs it stays all zero. */

enum idle_part {
    IDLE_ALONE,  /* bulk on the first connection, which is the only one */
    IDLE_REST,   /* all connections, and nothing but keep-alives */
    IDLE_BESIDE, /* bulk on the first connection, beside all others */
    IDLE_PARTS,
};

/* From the beginning of a part to its end. */
struct idle_span {
    struct sample client[2];
    struct sample server[2]; /* if struct result.have_server */
    uint64_t duration_ns;    /* of `bytes` */
    uint64_t bytes;          /* payload that the client has received */
};

struct idle {
    struct sample client_before; /* one connection, which has moved what it had to */
    struct sample server_before;
    uint64_t conns;      /* that were opened after that */
    uint64_t opening_ns; /* that took */
    struct idle_span parts[IDLE_PARTS];
};

#endif
