/* SPDX-License-Identifier: MIT */
#ifndef RELAY_OPTIONS_H
#define RELAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "test/interop/relay/flows.h"
#include "test/interop/relay/link.h"

/* The command line of the relay. */
struct relay_options {
    struct flows_door doors[FLOWS_DOORS_MAX];
    uint32_t door_count;
    struct batch_address via[FLOWS_VIA_MAX];
    uint32_t via_count;
    struct link_config up;   /* to the server */
    struct link_config down; /* to the client */
    uint64_t rebind_ns;      /* after the first datagram; 0: never */
    uint64_t rebind_period_ns;
    bool rebinds_address;
    bool gro;
    bool gso;
    uint64_t memory_bytes;
    uint64_t seed;
};

/* Returns false after a line on stderr, or the help text on stdout; *ret_status is the exit
 * status then. */
bool relay_options_parse(struct relay_options *ret, int argc, char **argv, int *ret_status);

#endif
