/* SPDX-License-Identifier: MIT */
/* What each kind of node does.  Random damage ends with the plan's faults; what belongs to the
 * path itself (delay, rate, MTU, blackhole) stays. */

#include "test/sim/net.h"

#include <inttypes.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/wire/header.h"
#include "test/sim/ways.h"
#include "test/sim/meter.h"

void qs_node_drop(struct qs_node *node, struct qs_wire *wire, const char *why)
{
    struct qs_link *link = node->link;
    qs_note(link->trace, "%s datagram %" PRIu64 " of %zu bytes: %s", link->name, wire->number,
            wire->size, why);
    link->damaged_count++;
    if (link->meter != NULL)
        qs_meter_on_dropped(link->meter, link->clock->now_ns);
    SB_ASSERT(link->under_way_count > 0);
    link->under_way_count--;
    qs_wire_destroy(wire);
}

static bool has_chance(struct qs_node *node, uint32_t ppm)
{
    struct qs_link *link = node->link;
    return link->clock->now_ns < link->plan->faults_end_ns && qs_random_chance(&link->random, ppm);
}

static void note_change(const struct qs_node *node, const struct qs_wire *wire, const char *what)
{
    qs_note(node->link->trace, "%s datagram %" PRIu64 " of %zu bytes: %s", node->link->name,
            wire->number, wire->size, what);
}

static void take_drop_nth(struct qs_node *node, struct qs_wire *wire)
{
    const struct qs_path_plan *path = node->link->path;
    if (wire->number >= path->drop_first && wire->number - path->drop_first < path->drop_count)
        qs_node_drop(node, wire, "dropped by number");
    else
        qs_node_pass(node, wire);
}

static void take_late_nth(struct qs_node *node, struct qs_wire *wire)
{
    const struct qs_path_plan *path = node->link->path;
    if (wire->number != path->late_nth) {
        qs_node_pass(node, wire);
        return;
    }
    note_change(node, wire, "late by number");
    qs_node_pass_at(node, wire, node->link->clock->now_ns + path->late_ns);
}

static void take_late_initial(struct qs_node *node, struct qs_wire *wire)
{
    struct sp_header header;
    if (!sp_header_read(wire->data, wire->size, 0, &header) || header.type != SP_PACKET_INITIAL) {
        qs_node_pass(node, wire);
        return;
    }
    note_change(node, wire, "late, as an Initial");
    qs_node_pass_at(node, wire, node->link->clock->now_ns + node->link->path->initial_late_ns);
}

static void take_version_nth(struct qs_node *node, struct qs_wire *wire)
{
    if (wire->number == node->link->path->version_nth && wire->size > 5) {
        note_change(node, wire, "version changed");
        wire->data[4] = 0xfe;
    }
    qs_node_pass(node, wire);
}

static void take_loss(struct qs_node *node, struct qs_wire *wire)
{
    if (has_chance(node, node->link->path->loss_ppm))
        qs_node_drop(node, wire, "lost");
    else
        qs_node_pass(node, wire);
}

static void take_burst(struct qs_node *node, struct qs_wire *wire)
{
    const struct qs_path_plan *path = node->link->path;
    uint32_t change_ppm = node->is_in_burst ? path->burst_end_ppm : path->burst_begin_ppm;
    if (has_chance(node, change_ppm))
        node->is_in_burst = !node->is_in_burst;
    if (node->is_in_burst && has_chance(node, path->burst_loss_ppm))
        qs_node_drop(node, wire, "lost in a burst");
    else
        qs_node_pass(node, wire);
}

static void take_duplicate(struct qs_node *node, struct qs_wire *wire)
{
    struct qs_link *link = node->link;
    struct qs_wire *copy = NULL;
    if (has_chance(node, link->path->duplicate_ppm)) {
        copy = qs_wire_create(wire->data, wire->size);
        copy->from = wire->from;
        copy->to = wire->to;
        copy->ecn = wire->ecn;
        copy->number = wire->number;
        link->under_way_count++;
        note_change(node, wire, "duplicated");
    }
    qs_node_pass(node, wire);
    if (copy != NULL)
        qs_node_pass(node, copy);
}

/* Version Negotiation packets are not protected: what was changed in them is believed. */
static bool is_unprotected(const struct qs_wire *wire)
{
    static const uint8_t none[4];
    return wire->size > sizeof(none) && (wire->data[0] & 0x80) != 0 &&
           memcmp(wire->data + 1, none, sizeof(none)) == 0;
}

static void take_corrupt(struct qs_node *node, struct qs_wire *wire)
{
    struct qs_random *random = &node->link->random;
    if (wire->size > 0 && !is_unprotected(wire) &&
        has_chance(node, node->link->path->corrupt_ppm)) {
        uint64_t count = 1 + qs_random_below(random, 3);
        for (uint64_t i = 0; i < count; i++) {
            size_t at = (size_t)qs_random_below(random, wire->size);
            wire->data[at] ^= (uint8_t)qs_random_between(random, 1, 255);
        }
        node->link->damaged_count++;
        note_change(node, wire, "corrupted");
    }
    qs_node_pass(node, wire);
}

static void take_truncate(struct qs_node *node, struct qs_wire *wire)
{
    if (wire->size > 0 && has_chance(node, node->link->path->truncate_ppm)) {
        size_t size = (size_t)qs_random_below(&node->link->random, wire->size);
        struct qs_wire *shorter = qs_wire_create(wire->data, size);
        shorter->from = wire->from;
        shorter->to = wire->to;
        shorter->ecn = wire->ecn;
        shorter->number = wire->number;
        node->link->damaged_count++;
        note_change(node, wire, "truncated");
        qs_wire_destroy(wire);
        wire = shorter;
    }
    qs_node_pass(node, wire);
}

static bool is_ect(const struct qs_wire *wire)
{
    return wire->ecn == SP_ECN_ECT0 || wire->ecn == SP_ECN_ECT1;
}

static void take_mark(struct qs_node *node, struct qs_wire *wire)
{
    if (is_ect(wire) && has_chance(node, node->link->path->mark_ppm)) {
        wire->ecn = SP_ECN_CE;
        note_change(node, wire, "marked");
    }
    qs_node_pass(node, wire);
}

static void take_bleach(struct qs_node *node, struct qs_wire *wire)
{
    if (node->link->path->drops_ecn && wire->ecn != SP_ECN_NOT) {
        qs_node_drop(node, wire, "marked");
        return;
    }
    wire->ecn = SP_ECN_NOT;
    qs_node_pass(node, wire);
}

static void take_mtu(struct qs_node *node, struct qs_wire *wire)
{
    const struct qs_path_plan *path = node->link->path;
    uint64_t now_ns = node->link->clock->now_ns;
    bool is_then = path->mtu_then_from_ns != 0 && now_ns >= path->mtu_then_from_ns;
    size_t mtu = is_then ? path->mtu_then : now_ns >= path->mtu_from_ns ? path->mtu : SIZE_MAX;
    if (wire->size > mtu)
        qs_node_drop(node, wire, "too large");
    else
        qs_node_pass(node, wire);
}

static void take_blackhole(struct qs_node *node, struct qs_wire *wire)
{
    const struct qs_path_plan *path = node->link->path;
    uint64_t now_ns = node->link->clock->now_ns;
    if (now_ns >= path->blackhole_from_ns && now_ns < path->blackhole_until_ns)
        qs_node_drop(node, wire, "blackhole");
    else
        qs_node_pass(node, wire);
}

static uint64_t time_of(const struct qs_path_plan *path, uint64_t bytes)
{
    return bytes * SB_S / path->rate_bytes_per_s;
}

/* A token bucket without a queue. */
static void take_policer(struct qs_node *node, struct qs_wire *wire)
{
    const struct qs_path_plan *path = node->link->path;
    uint64_t now_ns = node->link->clock->now_ns;
    uint64_t bucket_ns = path->policer_bytes * SB_S / path->policer_bytes_per_s;
    uint64_t missing_ns = sb_time_since(node->full_at_ns, now_ns);
    uint64_t wire_ns = wire->size * SB_S / path->policer_bytes_per_s;
    if (missing_ns + wire_ns > bucket_ns) {
        qs_node_drop(node, wire, "policed");
        return;
    }
    node->full_at_ns = now_ns + missing_ns + wire_ns;
    qs_node_pass(node, wire);
}

/* Returns the rate at `at_ns`, and when it changes next. */
static uint64_t rate_at(const struct qs_link *link, uint64_t at_ns, uint64_t *ret_until_ns)
{
    const struct qs_path_plan *path = link->path;
    uint64_t period_ns = path->rate_period_ns;
    uint64_t run_ns = at_ns - link->began_ns;
    uint64_t base_ns = period_ns == 0 ? 0 : run_ns - run_ns % period_ns;
    uint64_t rate = path->rate_bytes_per_s;
    *ret_until_ns = period_ns == 0 ? SB_NEVER : link->began_ns + base_ns + period_ns;
    for (uint32_t i = 0; i < path->rate_step_count; i++) {
        uint64_t step_ns = base_ns + path->rate_steps[i].at_ns;
        if (step_ns > run_ns) {
            *ret_until_ns = sb_time_min(*ret_until_ns, link->began_ns + step_ns);
            break;
        }
        rate = path->rate_steps[i].bytes_per_s;
    }
    return rate;
}

/* Returns when `size` bytes have left that begin to leave at `from_ns`. */
static uint64_t left_at(const struct qs_link *link, uint64_t size, uint64_t from_ns)
{
    uint64_t until_ns;
    for (uint64_t left = size;;) {
        uint64_t rate = rate_at(link, from_ns, &until_ns);
        uint64_t time_ns = (left * SB_S + rate - 1) / rate;
        if (until_ns == SB_NEVER || from_ns + time_ns <= until_ns)
            return from_ns + time_ns;
        left -= SB_MIN(left, (uint64_t)((until_ns - from_ns) * (unsigned __int128)rate / SB_S));
        from_ns = until_ns;
    }
}

/* A queue before a wire whose rate changes. */
static void take_changing_bottleneck(struct qs_node *node, struct qs_wire *wire)
{
    struct qs_link *link = node->link;
    uint64_t now_ns = link->clock->now_ns;
    if (node->waiting_bytes + wire->size > link->path->queue_bytes) {
        qs_node_drop(node, wire, "queue full");
        return;
    }
    node->waiting_bytes += wire->size;
    uint64_t from_ns = SB_MAX(node->busy_until_ns, now_ns);
    node->busy_until_ns = left_at(link, wire->size, from_ns);
    if (link->meter != NULL)
        qs_meter_on_passed(link->meter, wire->size, now_ns, from_ns - now_ns);
    qs_node_pass_at(node, wire, node->busy_until_ns);
}

/* A queue before a wire of limited rate, in time instead of bytes: `busy_until_ns` is when all
 * that waits has left. */
static void take_bottleneck(struct qs_node *node, struct qs_wire *wire)
{
    struct qs_link *link = node->link;
    const struct qs_path_plan *path = link->path;
    uint64_t now_ns = link->clock->now_ns;
    uint64_t wait_ns = sb_time_since(node->busy_until_ns, now_ns);
    if (path->rate_step_count > 0) {
        take_changing_bottleneck(node, wire);
        return;
    }
    if (wait_ns + time_of(path, wire->size) > time_of(path, path->queue_bytes)) {
        qs_node_drop(node, wire, "queue full");
        return;
    }
    if (path->mark_bytes > 0 && is_ect(wire) && wait_ns > time_of(path, path->mark_bytes))
        wire->ecn = SP_ECN_CE;
    node->busy_until_ns = now_ns + wait_ns + time_of(path, wire->size);
    node->waiting_bytes += wire->size;
    if (link->meter != NULL)
        qs_meter_on_passed(link->meter, wire->size, now_ns, wait_ns);
    qs_node_pass_at(node, wire, node->busy_until_ns);
}

static void take_delay(struct qs_node *node, struct qs_wire *wire)
{
    struct qs_link *link = node->link;
    uint64_t at_ns = link->clock->now_ns + link->path->delay_ns;
    if (link->path->jitter_ns > 0)
        at_ns += qs_random_below(&link->random, link->path->jitter_ns);
    if (at_ns < node->last_ns)
        at_ns = node->last_ns;
    node->last_ns = at_ns;
    qs_node_pass_at(node, wire, at_ns);
}

static bool is_reordered(struct qs_node *node, const struct qs_wire *wire)
{
    const struct qs_path_plan *path = node->link->path;
    if (path->reorder_ns == 0)
        return false;
    if (path->reorder_every == 0)
        return has_chance(node, path->reorder_ppm);
    return node->link->clock->now_ns < node->link->plan->faults_end_ns &&
           wire->number % path->reorder_every == 0;
}

static void take_reorder(struct qs_node *node, struct qs_wire *wire)
{
    struct qs_link *link = node->link;
    if (!is_reordered(node, wire)) {
        qs_node_pass(node, wire);
        return;
    }
    note_change(node, wire, "reordered");
    const struct qs_path_plan *path = link->path;
    uint64_t least_ns = SB_MAX(path->reorder_ns_min, 1);
    uint64_t more_ns = least_ns + qs_random_below(&link->random, path->reorder_ns - least_ns + 1);
    qs_node_pass_at(node, wire, link->clock->now_ns + more_ns);
}

/* Returns how often the NAT has forgotten the client. */
static uint32_t rebind_count(const struct qs_plan *plan, uint64_t now_ns)
{
    if (now_ns < plan->rebind.at_ns)
        return 0;
    uint64_t count = plan->rebind.count;
    if (plan->rebind.every_ns > 0)
        count = SB_MIN(count, 1 + (now_ns - plan->rebind.at_ns) / plan->rebind.every_ns);
    return (uint32_t)count;
}

/* The client's NAT: after the n-th rebinding the client has other ports outside, or another
 * address, and what goes to those before gets lost. */
static void take_rebind(struct qs_node *node, struct qs_wire *wire)
{
    enum { PORTS = 1000 };
    const struct qs_plan *plan = node->link->plan;
    uint32_t count = rebind_count(plan, node->link->clock->now_ns);
    if (qs_addr_is_client(&wire->from)) {
        wire->from.port = (uint16_t)(wire->from.port + PORTS * count);
        wire->from.ip[2] = plan->rebind.changes_ip ? (uint8_t)count : 0;
    } else if (qs_addr_is_client(&wire->to)) {
        uint32_t first_port = qs_addr_of(SP_CLIENT).port + PORTS * count;
        uint8_t ip = plan->rebind.changes_ip ? (uint8_t)count : 0;
        if (wire->to.port < first_port || wire->to.port >= first_port + PORTS ||
            wire->to.ip[2] != ip) {
            qs_node_drop(node, wire, "to an address that was rebound");
            return;
        }
        wire->to.port = (uint16_t)(wire->to.port - PORTS * count);
        wire->to.ip[2] = 0;
    }
    qs_node_pass(node, wire);
}

/* The way between the server and one of the client's addresses. */
static void take_way(struct qs_node *node, struct qs_wire *wire)
{
    const struct qs_plan *plan = node->link->plan;
    const struct sp_addr *client = qs_addr_is_client(&wire->from) ? &wire->from : &wire->to;
    if (qs_way_is_dead(plan, client))
        qs_node_drop(node, wire, "on a way that leads nowhere");
    else if (wire->size > qs_way_mtu(plan, client))
        qs_node_drop(node, wire, "too large for its way");
    else
        qs_node_pass(node, wire);
}

/* Copies a packet of the client, from another address.  What the server sends there is lost. */
static void take_copy(struct qs_node *node, struct qs_wire *wire)
{
    enum { ATTACKER = 66 };
    struct qs_link *link = node->link;
    const struct qs_copier_plan *copier = &link->plan->copier;
    if (wire->to.ip[3] == ATTACKER) {
        qs_node_drop(node, wire, "to the attacker");
        return;
    }
    bool is_short = wire->size > 0 && (wire->data[0] & 0x80) == 0;
    if (!qs_addr_is_client(&wire->from) || !is_short || !has_chance(node, copier->copy_ppm)) {
        qs_node_pass(node, wire);
        return;
    }
    struct qs_wire *copy = qs_wire_create(wire->data, wire->size);
    copy->from = wire->from;
    copy->from.ip[3] = ATTACKER;
    if (copier->has_many)
        copy->from.port = (uint16_t)qs_random_between(&link->random, 1, UINT16_MAX);
    copy->to = copier->goes_elsewhere ? qs_addr_preferred() : wire->to;
    copy->ecn = wire->ecn;
    copy->number = wire->number;
    if (qs_random_chance(&link->random, copier->forged_ppm))
        copy->data[qs_random_below(&link->random, copy->size)] ^= 1;
    link->under_way_count++;
    note_change(node, wire, "copied");
    uint64_t late_ns = qs_random_below(&link->random, copier->race_ns + 1);
    qs_node_pass(node, copy);
    qs_node_pass_at(node, wire, link->clock->now_ns + late_ns);
}

void qs_node_take(struct qs_node *node, struct qs_wire *wire)
{
    static void (*const take[QS_NODE_KINDS])(struct qs_node *, struct qs_wire *) = {
        [QS_NODE_DROP_NTH] = take_drop_nth,
        [QS_NODE_LATE_NTH] = take_late_nth,
        [QS_NODE_LATE_INITIAL] = take_late_initial,
        [QS_NODE_VERSION_NTH] = take_version_nth,
        [QS_NODE_LOSS] = take_loss,
        [QS_NODE_BURST] = take_burst,
        [QS_NODE_POLICER] = take_policer,
        [QS_NODE_DUPLICATE] = take_duplicate,
        [QS_NODE_CORRUPT] = take_corrupt,
        [QS_NODE_TRUNCATE] = take_truncate,
        [QS_NODE_MARK] = take_mark,
        [QS_NODE_BLEACH] = take_bleach,
        [QS_NODE_MTU] = take_mtu,
        [QS_NODE_BLACKHOLE] = take_blackhole,
        [QS_NODE_BOTTLENECK] = take_bottleneck,
        [QS_NODE_DUAL] = qs_node_take_dual,
        [QS_NODE_DELAY] = take_delay,
        [QS_NODE_REORDER] = take_reorder,
        [QS_NODE_WAY] = take_way,
        [QS_NODE_REBIND] = take_rebind,
        [QS_NODE_COPY] = take_copy,
    };
    take[node->kind](node, wire);
}
