/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SWARM_OPTIONS_H
#define SPATE_SWARM_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/spate/net.h"

enum { SWARM_TARGETS_MAX = 32, SWARM_LISTEN_MAX = 8 };

enum swarm_mode { SWARM_MAKE, SWARM_SEED, SWARM_FETCH };

/* A peer that the command line names. */
struct swarm_named {
    char host[NET_HOST_SIZE];
    uint16_t port;
    char server[NET_NAME_SIZE]; /* both, for messages */
};

struct swarm_options {
    enum swarm_mode mode;
    const char *meta;   /* the metainfo; of make: where it is written */
    const char *folder; /* of make: a file or a folder */
    struct net_address listen[SWARM_LISTEN_MAX];
    uint32_t listen_count;
    struct swarm_named peers[SWARM_TARGETS_MAX];
    uint32_t peer_count;
    const char *identity;
    const char *known;
    const char *token;
    const char *qlog;
    bool is_strict;
    bool is_json;
    bool is_quiet;
    bool is_profiled;
    uint64_t memory_bytes;
    uint64_t rate_bytes_per_s; /* that is sent at most; 0: no limit */
    uint64_t timeout_ns;
    uint64_t linger_ns;
    uint32_t piece_size; /* 0: chosen by the size of the content */
    uint32_t uploads;
};

/* Reads the command line.  Returns false, with the exit status, after one line on stderr or the
 * help text on stdout. */
bool swarm_options_parse(struct swarm_options *ret, int argc, char **argv, int *ret_status);

#endif
