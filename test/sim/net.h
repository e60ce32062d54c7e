/* SPDX-License-Identifier: MIT */
#ifndef QS_NET_H
#define QS_NET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/wire/types.h"
#include "test/sim/clock.h"
#include "test/sim/plan.h"
#include "test/sim/random.h"
#include "test/sim/trace.h"
#include "test/support/dual_queue.h"

/* A network: nodes that hand datagrams on.
 *
 *     sender -> [drop] -> [late] -> [loss] -> ... -> [bottleneck] -> [delay] -> receiver
 *
 * A node takes a datagram and passes it to the next, at once or later, changed, twice,
 * or not at all.  It does not depend on other nodes, so nodes can be in any order. */

/* One datagram in flight. */
struct qs_wire {
    struct dual_item waiting; /* DUAL; first */
    uint8_t *data;            /* exactly `size` bytes of their own, so that overruns are found */
    size_t size;
    struct sp_addr from;
    struct sp_addr to;
    enum sp_ecn ecn;
    uint64_t number; /* in its direction, from 1; a copy keeps it */
};

/* Copies `data`. */
struct qs_wire *qs_wire_create(const uint8_t *data, size_t size);
/* NULL is accepted. */
void qs_wire_destroy(struct qs_wire *wire);

enum qs_node_kind {
    QS_NODE_DROP_NTH,
    QS_NODE_LATE_NTH,
    QS_NODE_LATE_INITIAL,
    QS_NODE_VERSION_NTH,
    QS_NODE_LOSS,
    QS_NODE_BURST,
    QS_NODE_DUPLICATE,
    QS_NODE_CORRUPT,
    QS_NODE_TRUNCATE,
    QS_NODE_MARK,
    QS_NODE_BLEACH,
    QS_NODE_MTU,
    QS_NODE_BLACKHOLE,
    QS_NODE_POLICER,
    QS_NODE_BOTTLENECK,
    QS_NODE_DUAL,
    QS_NODE_DELAY,
    QS_NODE_REORDER,
    QS_NODE_WAY,
    QS_NODE_REBIND,
    QS_NODE_COPY,
    QS_NODE_KINDS,
};

struct qs_link;

struct qs_node {
    enum qs_node_kind kind;
    struct qs_link *link;
    struct qs_node *next;   /* NULL: the link's end */
    uint64_t busy_until_ns; /* BOTTLENECK: when what waits has left */
    uint64_t waiting_bytes; /* BOTTLENECK: with the datagram that leaves now */
    uint64_t full_at_ns;    /* POLICER: when its bucket will be full again */
    bool is_in_burst;       /* BURST */
    bool is_serving;        /* DUAL: an action of the clock takes the next one from the queue */
    uint64_t last_ns;       /* DELAY: when the last one arrives, later ones not before */
};

/* One direction. */
struct qs_link {
    struct qs_clock *clock;
    struct qs_trace *trace;
    const struct qs_path_plan *path;
    const struct qs_plan *plan;
    const char *name;
    uint64_t began_ns;
    struct qs_meter *meter; /* NULL: nothing is measured */
    struct qs_random random;
    struct dual_queue dual; /* of DUAL */
    struct qs_node nodes[QS_NODE_KINDS];
    uint32_t node_count;
    uint64_t sent_count;
    uint64_t damaged_count;   /* lost, corrupted or cut */
    uint64_t under_way_count; /* datagrams in flight */
    /* Takes the datagram, which is then the receiver's. */
    void (*deliver)(void *context, struct qs_wire *wire);
    void *context;
};

/* Builds the nodes that `plan` has work for, in the direction of `sender`. */
void qs_link_init(struct qs_link *link, const struct qs_plan *plan, enum sp_role sender,
                  struct qs_clock *clock, struct qs_trace *trace);

/* Sends a datagram; the link owns it from then on. */
void qs_link_send(struct qs_link *link, struct qs_wire *wire);

/* Sends a datagram at a later time: the host holds it until then. */
void qs_link_send_at(struct qs_link *link, struct qs_wire *wire, uint64_t at_ns);

/* Passes it to the next node. */
void qs_node_pass(struct qs_node *node, struct qs_wire *wire);
/* The same, at a later time. */
void qs_node_pass_at(struct qs_node *node, struct qs_wire *wire, uint64_t at_ns);
/* Does not pass it on: `why` is for the trace. */
void qs_node_drop(struct qs_node *node, struct qs_wire *wire, const char *why);

/* DUAL: a bottleneck with a queue for L4S: see dual_queue.h. */
void qs_node_take_dual(struct qs_node *node, struct qs_wire *wire);
/* Frees what waits there, if it is its action.  Returns whether it is. */
bool qs_dual_take_back(const struct qs_due *due);

/* Does to `wire` what the node is for. */
void qs_node_take(struct qs_node *node, struct qs_wire *wire);

/* Frees a datagram that an action of the clock still owned, at the end of a run. */
bool qs_link_take_back(const struct qs_due *due);

struct sp_addr qs_addr_of(enum sp_role role);
/* The address that a server prefers. */
struct sp_addr qs_addr_preferred(void);
/* Returns whether `addr` is on the client's side, behind its NAT or before it. */
bool qs_addr_is_client(const struct sp_addr *addr);

#endif
