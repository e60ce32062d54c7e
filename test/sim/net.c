/* SPDX-License-Identifier: MIT */
#include "test/sim/net.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"

struct qs_wire *qs_wire_create(const uint8_t *data, size_t size)
{
    struct qs_wire *wire = malloc(sizeof(*wire));
    SB_ASSERT(wire != NULL);
    *wire = (struct qs_wire){.data = malloc(size > 0 ? size : 1), .size = size};
    SB_ASSERT(wire->data != NULL);
    if (size > 0)
        memcpy(wire->data, data, size);
    return wire;
}

void qs_wire_destroy(struct qs_wire *wire)
{
    if (wire == NULL)
        return;
    free(wire->data);
    free(wire);
}

struct sp_addr qs_addr_of(enum sp_role role)
{
    return (struct sp_addr){
        .ip = {10, 0, 0, role == SP_CLIENT ? 1 : 2},
        .port = role == SP_CLIENT ? 4000 : 443,
        .family = 4,
    };
}

struct sp_addr qs_addr_preferred(void)
{
    struct sp_addr addr = qs_addr_of(SP_SERVER);
    addr.ip[3] = 3;
    return addr;
}

bool qs_addr_is_client(const struct sp_addr *addr)
{
    return addr->ip[3] == 1;
}

static bool has_work(const struct qs_plan *plan, const struct qs_path_plan *path,
                     enum qs_node_kind kind)
{
    switch (kind) {
    case QS_NODE_DROP_NTH:
        return path->drop_first > 0;
    case QS_NODE_LATE_NTH:
        return path->late_nth > 0;
    case QS_NODE_LATE_INITIAL:
        return path->initial_late_ns > 0;
    case QS_NODE_VERSION_NTH:
        return path->version_nth > 0;
    case QS_NODE_LOSS:
        return path->loss_ppm > 0;
    case QS_NODE_BURST:
        return path->burst_begin_ppm > 0;
    case QS_NODE_POLICER:
        return path->policer_bytes_per_s > 0;
    case QS_NODE_DUPLICATE:
        return path->duplicate_ppm > 0;
    case QS_NODE_CORRUPT:
        return path->corrupt_ppm > 0;
    case QS_NODE_TRUNCATE:
        return path->truncate_ppm > 0;
    case QS_NODE_MARK:
        return path->mark_ppm > 0;
    case QS_NODE_BLEACH:
        return path->bleaches_ecn || path->drops_ecn;
    case QS_NODE_MTU:
        return path->mtu > 0;
    case QS_NODE_BLACKHOLE:
        return path->blackhole_until_ns > 0;
    case QS_NODE_BOTTLENECK:
        return path->rate_bytes_per_s > 0 && !path->has_l4s;
    case QS_NODE_DUAL:
        return path->rate_bytes_per_s > 0 && path->has_l4s;
    case QS_NODE_REORDER:
        return path->reorder_ppm > 0 || path->reorder_every > 0;
    case QS_NODE_WAY:
        return plan->moves.count > 0;
    case QS_NODE_REBIND:
        return plan->rebind.count > 0;
    case QS_NODE_COPY:
        return plan->copier.copy_ppm > 0;
    case QS_NODE_DELAY:
    case QS_NODE_KINDS:
        break;
    }
    return true;
}

void qs_link_init(struct qs_link *link, const struct qs_plan *plan, enum sp_role sender,
                  struct qs_clock *clock, struct qs_trace *trace)
{
    *link = (struct qs_link){
        .clock = clock,
        .trace = trace,
        .path = &plan->path[sender],
        .plan = plan,
        .began_ns = clock->now_ns,
        .meter = sender == SP_SERVER ? plan->meter : NULL,
        .name = sender == SP_CLIENT ? "net>" : "net<",
    };
    const struct dual_config dual = {
        .bits_per_s = link->path->rate_bytes_per_s * 8,
        .bytes_max = link->path->queue_bytes,
    };
    dual_init(&link->dual, &dual, qs_hash(plan->seed, "dual", 4) + (uint64_t)sender, clock->now_ns);
    qs_random_init(&link->random, qs_hash(plan->seed, "link", 4) + (uint64_t)sender);
    for (int kind = 0; kind < QS_NODE_KINDS; kind++) {
        if (!has_work(plan, link->path, (enum qs_node_kind)kind))
            continue;
        struct qs_node *node = &link->nodes[link->node_count++];
        node->kind = (enum qs_node_kind)kind;
        node->link = link;
        if (link->node_count > 1)
            node[-1].next = node;
    }
}

void qs_link_send(struct qs_link *link, struct qs_wire *wire)
{
    wire->number = ++link->sent_count;
    link->under_way_count++;
    qs_node_take(&link->nodes[0], wire);
}

static void take_later(void *context, void *argument)
{
    qs_node_take(context, argument);
}

void qs_link_send_at(struct qs_link *link, struct qs_wire *wire, uint64_t at_ns)
{
    wire->number = ++link->sent_count;
    link->under_way_count++;
    qs_clock_at(link->clock, at_ns, take_later, &link->nodes[0], wire);
}

void qs_node_pass(struct qs_node *node, struct qs_wire *wire)
{
    struct qs_link *link = node->link;
    if (node->kind == QS_NODE_BOTTLENECK)
        node->waiting_bytes -= wire->size;
    if (node->next != NULL) {
        qs_node_take(node->next, wire);
        return;
    }
    SB_ASSERT(link->under_way_count > 0);
    link->under_way_count--;
    link->deliver(link->context, wire);
}

static void pass_later(void *context, void *argument)
{
    qs_node_pass(context, argument);
}

void qs_node_pass_at(struct qs_node *node, struct qs_wire *wire, uint64_t at_ns)
{
    qs_clock_at(node->link->clock, at_ns, pass_later, node, wire);
}

bool qs_link_take_back(const struct qs_due *due)
{
    if (qs_dual_take_back(due))
        return true;
    if (due->action != pass_later && due->action != take_later)
        return false;
    const struct qs_node *node = due->context;
    SB_ASSERT(node->link->under_way_count > 0);
    node->link->under_way_count--;
    qs_wire_destroy(due->argument);
    return true;
}
