/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_OPTIONS_H
#define SPATE_RELAY_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/spate/files/known.h"
#include "tools/spate/net.h"
#include "tools/spate/relay/address.h"
#include "tools/spate/relay/core.h"
#include "tools/spate/relay/device.h"

enum { RELAY_LISTEN_MAX = 8, RELAY_TARGETS_MAX = 64, RELAY_TRUSTED_MAX = 64 };

struct relay_options {
    uint32_t unit;
    enum relay_role role;
    struct net_address listen[RELAY_LISTEN_MAX];
    uint32_t listen_count;
    struct {
        struct net_address address;
        const char *text;
        bool is_upstream;
    } targets[RELAY_TARGETS_MAX];
    uint32_t target_count;
    enum relay_device_kind device;
    const char *device_name;
    struct net_address udp_local;
    struct net_address udp_remote;
    bool has_no_trains;
    uint32_t device_target;
    struct relay_prefix prefixes[RELAY_OWN_PREFIXES_MAX];
    uint32_t prefix_count;
    struct {
        struct relay_prefix prefix;
        uint32_t unit;
    } routes[RELAY_OWN_PREFIXES_MAX];
    uint32_t route_count;
    const char *identity;
    const char *ca;
    const char *token;
    const char *trusted[RELAY_TRUSTED_MAX]; /* fingerprints */
    uint32_t trusted_count;
    uint64_t rate_bytes_per_s; /* that each neighbour may bring; 0: no limit */
    uint64_t beat_ns;
    uint8_t hops;
    uint64_t datagram_size; /* 0: that of the library */
    uint64_t report_ns;     /* 0: at the end only */
    bool is_json;
};

/* Returns false with the exit status. */
bool relay_options_parse(struct relay_options *ret, int argc, char **argv, int *ret_status);

#endif
