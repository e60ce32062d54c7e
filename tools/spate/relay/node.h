/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_NODE_H
#define SPATE_RELAY_NODE_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

#include "tools/spate/files/auth.h"
#include "tools/spate/relay/core.h"
#include "tools/spate/relay/device.h"
#include "tools/spate/relay/options.h"

/* A relay that runs: the engine, the connections to neighbours, the device, and the core. */

#define RELAY_ALPN "spate-relay/1"

enum {
    RELAY_SLICES = 32768,
    RELAY_READS = 160, /* of 64 KiB: what the device may have in flight */
    /* What one neighbour may keep of both until it acknowledges: more than its queue of 4 MiB. */
    RELAY_SLICES_PER_LINK = RELAY_SLICES / 8,
    RELAY_READS_PER_LINK = RELAY_READS / 2,
};

/* Application error codes. */
enum relay_error {
    RELAY_ERROR_NONE = 0,
    RELAY_ERROR_HELLO = 1,     /* malformed, or a second one */
    RELAY_ERROR_TOKEN = 2,     /* no proof, or a wrong one */
    RELAY_ERROR_DUPLICATE = 3, /* there is another connection between the two units */
    RELAY_ERROR_BUSY = 4,      /* too many neighbours */
    RELAY_ERROR_SILENT = 5,    /* it keeps packets and acknowledges nothing */
};

/* What found no room in the queue, and takes the next that there is, before data. */
enum relay_debt { RELAY_OWES_BEAT = 1, RELAY_OWES_ANSWER = 2, RELAY_OWES_CONTROL = 4 };

/* One connection.  Its place in the table is the core's number of the neighbour. */
struct relay_link {
    struct spate_conn *conn; /* NULL: the place is free */
    bool is_server;
    bool is_ready;    /* the hello of the other side was good */
    bool was_refused; /* when it ends, it is not tried again before something changes */
    int target;       /* index in the options, or -1 */
    uint32_t unit;    /* when it is ready */
    uint64_t begun_ns;
    uint8_t hello_out[RELAY_HELLO_SIZE]; /* lent to the library */
    uint8_t hello_in[RELAY_HELLO_SIZE];
    uint32_t hello_size;
    /* Heartbeats: `answers` has a bit for each of the last 32, the latest the lowest. */
    uint32_t beat;
    uint32_t answers;
    uint64_t beat_ns;
    uint64_t answer_ns;
    uint64_t rtt_ns; /* smoothed; 0: none yet */
    uint64_t rtt_min_ns;
    uint64_t rtt_max_ns;
    unsigned owes; /* enum relay_debt */
    uint32_t answer_sequence;
    uint8_t answer[8];
    uint8_t control[RELAY_ROUTED_SIZE + RELAY_CONTROL_MAX];
    uint32_t control_size;
    uint32_t held_slices; /* pieces that are lent to the library */
    uint32_t held_reads;  /* packets of the device, counted by their first pieces */
    uint64_t in_count;
    uint64_t in_bytes;
    uint64_t out_count;
    uint64_t out_bytes;
};

struct relay_target {
    int link;      /* -1: none */
    uint32_t unit; /* that answered last */
    uint64_t retry_ns;
    uint64_t pause_ns;
};

struct relay_node {
    const struct relay_options *options;
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *server_tls;
    struct spate_tls *client_tls;
    struct files_token token;
    struct relay_packets packets;
    struct relay_device device;
    struct relay_core core;
    struct relay_link links[RELAY_PEERS_MAX];
    struct relay_target targets[RELAY_TARGETS_MAX];
    bool device_is_ready; /* it may have packets */
    bool device_failed;
    bool has_ended;
    uint64_t announce_ns;
    uint64_t report_ns;
    uint64_t started_ns;
};

/* ---- trust.c ---- */

/* Makes both TLS contexts, and prints the fingerprint.  Returns false after one line on stderr. */
bool relay_trust_create(struct relay_node *node);

/* ---- link.c ---- */

/* Handles an event of a connection. */
void relay_link_event(struct relay_node *node, struct spate_event *event);
/* What is due: heartbeats, announcements, connecting again. */
void relay_link_tick(struct relay_node *node, uint64_t now_ns);
/* Functions of struct relay_ops. */
int relay_link_send(void *user, uint16_t peer, const uint8_t *head, size_t head_size,
                    struct relay_packet *packet, size_t offset, size_t size);
size_t relay_link_size_max(void *user, uint16_t peer);

/* ---- report.c ---- */

/* Prints the counters on stdout. */
void relay_report(const struct relay_node *node, uint64_t now_ns);

#endif
