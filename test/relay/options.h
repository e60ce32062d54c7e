/* SPDX-License-Identifier: MIT */
#ifndef RELAY_IP_OPTIONS_H
#define RELAY_IP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "test/relay/line.h"

enum { SIDE_LEFT, SIDE_RIGHT, SIDES };

/* The command line of ip-relay. */
struct ip_options {
    const char *netns[SIDES];
    struct line_config lines[SIDES]; /* from that side to the other */
    uint32_t mtu;
    bool has_offloads;
    uint64_t memory_bytes;
    uint64_t seed;
};

/* Returns false after a line on stderr, or the help text on stdout; *ret_status is the exit
 * status then. */
bool ip_options_parse(struct ip_options *ret, int argc, char **argv, int *ret_status);

#endif
