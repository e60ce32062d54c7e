/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/core.h"

/* The decisions: what came from the device, and what came from a neighbour.
 *
 * What can be attacked: neighbours are authenticated, and may be hostile all the same.  Each is
 * held to its rate before anything else is done; a flooded packet is passed on once, any packet
 * RELAY_HOPS_MAX times at most; nothing is allocated; announcements have bounded tables, and cannot
 * take prefixes that others have or the command line gives to them.  A unit can claim any other:
 * the trust of the tunnel is in who may join it. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#define QUESTION_NS UINT64_C(100000000)

#define PATH_NAME(name, text) text,
const char *const relay_path_names[RELAY_PATH_COUNT] = {RELAY_PATHS(PATH_NAME)};
const char *const relay_drop_names[RELAY_DROP_COUNT] = {RELAY_DROPS(PATH_NAME)};

static void forget_unit(void *user, uint32_t unit)
{
    struct relay_core *core = user;
    relay_book_forget(&core->book, unit);
}

bool relay_core_init(struct relay_core *ret, struct relay_packets *packets, uint64_t route_ns,
                     uint64_t key)
{
    memset(ret, 0, sizeof(*ret));
    ret->packets = packets;
    ret->hops = 8;
    ret->book.key = key;
    relay_routes_init(&ret->routes, route_ns);
    ret->routes.removed = forget_unit;
    ret->routes.user = ret;
    if (relay_seen_init(&ret->seen, key) && relay_reassembly_init(&ret->reassembly))
        return true;
    relay_core_deinit(ret);
    return false;
}

void relay_core_deinit(struct relay_core *core)
{
    (void)relay_core_resume(core, true);
    relay_reassembly_deinit(&core->reassembly);
    relay_seen_deinit(&core->seen);
}

/* ---- Neighbours ---- */

void relay_core_join(struct relay_core *core, uint16_t peer, uint32_t unit, bool is_upstream,
                     uint64_t rate_bytes_per_s, uint64_t now_ns)
{
    core->peers[peer] = (struct relay_neighbour){
        .unit = unit,
        .is_upstream = is_upstream,
        .is_alive = true,
        .cost = 1,
        .bucket = relay_bucket_of(rate_bytes_per_s, RELAY_PACKET_MAX, now_ns),
    };
    if (peer >= core->peer_count)
        core->peer_count = (uint16_t)(peer + 1);
}

void relay_core_leave(struct relay_core *core, uint16_t peer)
{
    core->peers[peer].unit = 0;
    core->peers[peer].is_alive = false;
    relay_routes_lose(&core->routes, peer);
    relay_reassembly_forget(&core->reassembly, peer, 0);
    if (core->stalled.packet != NULL && core->stalled.peer == peer)
        (void)relay_core_resume(core, true);
}

void relay_core_has_room(struct relay_core *core, uint16_t peer)
{
    core->peers[peer].is_clogged = false;
}

void relay_core_set_alive(struct relay_core *core, uint16_t peer, bool is_alive)
{
    if (core->peers[peer].is_alive && !is_alive)
        relay_routes_lose(&core->routes, peer);
    core->peers[peer].is_alive = is_alive;
}

/* ---- Control ---- */

static struct relay_head own_head(struct relay_core *core, enum relay_kind kind, uint32_t total)
{
    return (struct relay_head){.kind = (uint8_t)kind,
                               .hops = core->hops,
                               .source = core->unit,
                               .target = RELAY_ALL,
                               .sequence = core->sequence++,
                               .total = total};
}

void relay_core_announce(struct relay_core *core, uint64_t now_ns)
{
    uint8_t body[RELAY_CONTROL_MAX];
    size_t size = relay_announcement_write(core->own, core->own_count, body);
    struct relay_packet *packet = relay_core_control(core, body, size);
    core->answer_ns = now_ns;
    if (packet == NULL)
        return;
    struct relay_head head = own_head(core, RELAY_CONTROL, (uint32_t)size);
    head.flags = RELAY_FLOOD | RELAY_ROUTED;
    head.next = RELAY_ALL;
    head.sequence = core->announcement_sequence++;
    core->path_counts[RELAY_PATH_CONTROL_BROADCAST]++;
    (void)relay_core_fan_out(core, RELAY_NO_PEER, &head, packet, 0);
    relay_packet_unref(packet);
}

/* Asks a unit to announce itself now: no route leads to it, or one that may be stale.  Without a
 * route the question is flooded. */
static void ask(struct relay_core *core, uint32_t unit, uint64_t now_ns)
{
    static const uint8_t body[] = {RELAY_QUESTION};
    if (now_ns < core->question_ns + QUESTION_NS)
        return;
    core->question_ns = now_ns;
    struct relay_packet *packet = relay_core_control(core, body, sizeof(body));
    if (packet == NULL)
        return;
    struct relay_head head = own_head(core, RELAY_CONTROL, sizeof(body));
    head.target = unit;
    const struct relay_candidate *way = relay_routes_find(&core->routes, unit);
    if (way == NULL) {
        head.flags = RELAY_FLOOD;
        core->path_counts[RELAY_PATH_CONTROL_BROADCAST]++;
        (void)relay_core_fan_out(core, RELAY_NO_PEER, &head, packet, 0);
    } else {
        uint32_t offset;
        head.flags = RELAY_ROUTED;
        head.cost = way->cost;
        core->path_counts[RELAY_PATH_CONTROL_UNICAST]++;
        if (relay_core_send(core, way->peer, head, packet, 0, &offset) != 0)
            relay_core_drop(core, RELAY_DROP_FULL);
    }
    relay_packet_unref(packet);
}

/* Returns whether it is to be passed on. */
static bool on_announcement(struct relay_core *core, uint16_t peer, const struct relay_head *head,
                            const uint8_t *body, size_t size, uint64_t now_ns)
{
    struct relay_prefix prefixes[RELAY_ANNOUNCED_MAX];
    int count = relay_announcement_read(body, size, prefixes);
    /* Only a flooded one has the cost of its way. */
    if (count < 0 || (head->flags & RELAY_FLOOD) == 0 || (head->flags & RELAY_ROUTED) == 0) {
        relay_core_drop(core, RELAY_DROP_MALFORMED);
        return false;
    }
    enum relay_age age = relay_routes_age(&core->routes, head->source, head->sequence, now_ns);
    if (age == RELAY_TOO_MANY) {
        relay_core_drop(core, RELAY_DROP_LIMITED);
        return false;
    }
    if (!relay_routes_hear(&core->routes, head->source, head->sequence, peer, head->cost, now_ns))
        return false;
    if (age != RELAY_NEW)
        return true;
    relay_book_keep(&core->book, head->source, prefixes, (uint32_t)count);
    for (int i = 0; i < count; i++) {
        uint32_t owner = relay_book_owner(&core->book, &prefixes[i]);
        if (owner != 0 && owner != head->source && relay_routes_find(&core->routes, owner) == NULL)
            relay_book_forget(&core->book, owner); /* so the prefix can move */
        (void)relay_book_add(&core->book, &prefixes[i], head->source, false);
    }
    return true;
}

/* Control packets are never cut: they fit into the smallest message.  Returns whether a flooded one
 * is to be passed on. */
static bool on_control(struct relay_core *core, uint16_t peer, const struct relay_head *head,
                       const uint8_t *body, size_t size, uint64_t now_ns)
{
    if (head->offset == 0 && head->total == size) {
        if (body[0] == RELAY_ANNOUNCEMENT)
            return on_announcement(core, peer, head, body, size, now_ns);
        if (body[0] == RELAY_QUESTION && size == 1) {
            if (head->target == core->unit && now_ns >= core->answer_ns + QUESTION_NS)
                relay_core_announce(core, now_ns);
            return true;
        }
    }
    relay_core_drop(core, RELAY_DROP_MALFORMED);
    return false;
}

/* ---- From the device ---- */

/* Sends to one neighbour.  What does not fit into its queue waits, and the device with it, unless
 * that was in vain before. */
static void send_stalling(struct relay_core *core, uint16_t peer, const struct relay_head *head,
                          struct relay_packet *packet, uint64_t now_ns)
{
    uint32_t offset;
    int e = relay_core_send(core, peer, *head, packet, 0, &offset);
    if (e == 0)
        return;
    if (e != -EAGAIN || core->stalled.packet != NULL || core->peers[peer].is_clogged) {
        relay_core_drop(core, RELAY_DROP_FULL);
        return;
    }
    relay_packet_ref(packet);
    core->stalled =
        (struct relay_stalled){.packet = packet, .peer = peer, .since_ns = now_ns, .head = *head};
    core->stalled.head.offset = offset;
}

static void fan_out_own(struct relay_core *core, struct relay_head *head,
                        struct relay_packet *packet, enum relay_path path)
{
    head->flags |= RELAY_FLOOD;
    core->path_counts[path]++;
    if (relay_core_fan_out(core, RELAY_NO_PEER, head, packet, 0) == 0)
        relay_core_drop(core, RELAY_DROP_NO_WAY);
}

/* Returns the unit that a packet of the device is for: RELAY_ALL for a group, RELAY_NOBODY if it is
 * not known. */
static uint32_t resolve(struct relay_core *core, const struct relay_packet *packet,
                        bool *ret_cached)
{
    struct relay_address target, source;
    size_t skip = core->has_trains ? 10 : 0;
    *ret_cached = false;
    if (core->format == RELAY_FORMAT_OPAQUE)
        return core->device_target;
    if (packet->size < skip)
        return RELAY_ALL;
    const uint8_t *at = packet->data + skip;
    size_t size = packet->size - skip;
    bool is_good = core->format == RELAY_FORMAT_IP
                       ? relay_address_of_ip(at, size, &target, &source)
                       : relay_address_of_frame(at, size, &target, &source);
    if (!is_good || relay_address_is_group(&target))
        return RELAY_ALL;
    uint32_t unit = relay_book_cached(&core->book, &target);
    *ret_cached = unit != 0;
    return unit != 0 ? unit : relay_book_find(&core->book, &target);
}

void relay_core_from_device(struct relay_core *core, struct relay_packet *packet, uint64_t now_ns)
{
    if (packet->size == 0)
        return;
    bool is_cached;
    uint32_t unit = resolve(core, packet, &is_cached);
    struct relay_head head = own_head(core, RELAY_DATA, (uint32_t)packet->size);
    head.flags = core->has_trains ? RELAY_TRAIN : 0;
    head.target = unit;
    if (unit == RELAY_ALL) {
        fan_out_own(core, &head, packet, RELAY_PATH_DEVICE_BROADCAST);
        return;
    }
    const struct relay_candidate *way =
        unit != RELAY_NOBODY ? relay_routes_find(&core->routes, unit) : NULL;
    if (way != NULL) {
        head.flags |= RELAY_ROUTED;
        head.cost = way->cost;
        core->path_counts[is_cached ? RELAY_PATH_DEVICE_CACHED : RELAY_PATH_DEVICE_ROUTED]++;
        send_stalling(core, way->peer, &head, packet, now_ns);
        return;
    }
    uint16_t up = relay_core_upstream(core);
    if (up != RELAY_NO_PEER) {
        if (unit == RELAY_NOBODY)
            head.flags |= RELAY_UP;
        core->path_counts[RELAY_PATH_DEVICE_UP]++;
        send_stalling(core, up, &head, packet, now_ns);
        return;
    }
    head.target = unit == RELAY_NOBODY ? RELAY_ALL : unit;
    if (unit != RELAY_NOBODY)
        ask(core, unit, now_ns);
    fan_out_own(core, &head, packet,
                unit == RELAY_NOBODY ? RELAY_PATH_DEVICE_NO_CACHE : RELAY_PATH_DEVICE_NO_ROUTE);
}

/* ---- From a neighbour ---- */

/* Returns whether a flooded packet, of which we have the beginning, is for our device: to a group,
 * or to one of our prefixes.  Without prefixes everything is. */
static bool is_ours(struct relay_core *core, const struct relay_head *head, const uint8_t *at,
                    size_t size)
{
    struct relay_address target, source;
    size_t skip = (head->flags & RELAY_TRAIN) != 0 ? 10 : 0;
    if (head->target != RELAY_ALL || core->format != RELAY_FORMAT_IP || core->own_count == 0 ||
        size < skip || !relay_address_of_ip(at + skip, size - skip, &target, &source) ||
        relay_address_is_group(&target))
        return true;
    for (uint32_t i = 0; i < core->own_count; i++) {
        if (relay_prefix_has(&core->own[i], &target))
            return true;
    }
    return false;
}

/* A bridge learns from whom it gets frames. */
static void learn(struct relay_core *core, const struct relay_head *head, const uint8_t *at,
                  size_t size)
{
    struct relay_address target, source;
    size_t skip = (head->flags & RELAY_TRAIN) != 0 ? 10 : 0;
    if (core->format == RELAY_FORMAT_FRAME && size > skip &&
        relay_address_of_frame(at + skip, size - skip, &target, &source) &&
        !relay_address_is_group(&source))
        relay_book_learn(&core->book, &source, head->source);
}

static void deliver_parts(struct relay_core *core, const struct relay_head *head,
                          const struct iovec *parts, uint32_t count)
{
    if (((head->flags & RELAY_TRAIN) != 0) != core->has_trains ||
        !is_ours(core, head, parts[0].iov_base, parts[0].iov_len)) {
        relay_core_drop(core, RELAY_DROP_FOREIGN);
        return;
    }
    learn(core, head, parts[0].iov_base, parts[0].iov_len);
    core->path_counts[RELAY_PATH_DELIVERED]++;
    core->ops.deliver(core->ops.user, parts, count, head->total);
}

static void deliver(struct relay_core *core, uint16_t peer, const struct relay_head *head,
                    struct relay_packet *packet, size_t from, uint64_t now_ns)
{
    struct iovec parts[RELAY_PIECES_MAX];
    if (packet->size - from == head->total) {
        parts[0] = (struct iovec){(void *)(uintptr_t)(packet->data + from), head->total};
        deliver_parts(core, head, parts, 1);
        return;
    }
    struct relay_partial *partial =
        relay_reassembly_add(&core->reassembly, peer, head, packet, from, now_ns);
    if (partial == NULL)
        return;
    for (uint32_t i = 0; i < partial->piece_count; i++) {
        const struct relay_piece *piece = &partial->pieces[i];
        parts[i] =
            (struct iovec){(void *)(uintptr_t)(piece->packet->data + piece->from), piece->size};
    }
    deliver_parts(core, head, parts, partial->piece_count);
    relay_reassembly_drop(&core->reassembly, partial);
}

static void on_flood(struct relay_core *core, uint16_t peer, struct relay_head *head,
                     struct relay_packet *packet, size_t from, uint64_t now_ns)
{
    bool is_control = head->kind == RELAY_CONTROL;
    if (is_control) { /* an announcement by another way is news: it may be cheaper */
        if ((head->flags & RELAY_ROUTED) != 0)
            head->cost = relay_cost_add(head->cost, core->peers[peer].cost);
        if (!on_control(core, peer, head, packet->data + from, packet->size - from, now_ns))
            return;
    }
    if (relay_seen_check(&core->seen, head->source,
                         head->sequence ^ (is_control ? UINT32_C(0x80000000) : 0), head->offset)) {
        relay_core_drop(core, RELAY_DROP_SEEN);
        return;
    }
    bool is_for_us = head->target == core->unit;
    if (!is_control && (is_for_us || head->target == RELAY_ALL))
        deliver(core, peer, head, packet, from, now_ns);
    if (is_for_us)
        return;
    if (head->hops <= 1) {
        relay_core_drop(core, RELAY_DROP_HOPS);
        return;
    }
    head->hops--;
    core->path_counts[is_control ? RELAY_PATH_CONTROL_BROADCAST : RELAY_PATH_BROADCAST]++;
    (void)relay_core_fan_out(core, peer, head, packet, from);
}

/* Passes a packet to another unit on, by its route, or upstream, or to all. */
static void forward(struct relay_core *core, uint16_t peer, struct relay_head *head,
                    struct relay_packet *packet, size_t from, uint64_t now_ns)
{
    if (head->hops <= 1) {
        relay_core_drop(core, RELAY_DROP_HOPS);
        return;
    }
    head->hops--;
    bool is_up = (head->flags & RELAY_UP) != 0;
    const struct relay_candidate *way =
        is_up ? NULL : relay_routes_find(&core->routes, head->target);
    uint16_t to = way != NULL && way->peer != peer ? way->peer : RELAY_NO_PEER;
    enum relay_path path =
        core->role == RELAY_ONBOARD ? RELAY_PATH_DOWN_FORWARD : RELAY_PATH_ROUTED;
    /* Who sent it takes its way for cheaper than ours is from here: one of both is stale. */
    if (way != NULL && (head->flags & RELAY_ROUTED) != 0 && way->cost > head->cost)
        ask(core, head->target, now_ns);
    if (to != RELAY_NO_PEER) {
        head->flags |= RELAY_ROUTED;
        head->cost = way->cost;
    } else {
        head->flags &= (uint8_t)~RELAY_ROUTED;
        to = relay_core_upstream(core);
        path = RELAY_PATH_UP_FORWARD;
        if (to == peer)
            to = RELAY_NO_PEER;
    }
    if (head->kind == RELAY_CONTROL)
        path = RELAY_PATH_CONTROL_UNICAST;
    if (to != RELAY_NO_PEER) {
        core->path_counts[path]++;
        relay_core_pass(core, to, head, packet, from);
    } else if (is_up || core->role == RELAY_ONBOARD) {
        relay_core_drop(core, RELAY_DROP_NO_WAY);
    } else { /* a roadside unit knows neighbours that it has no route by yet */
        head->flags |= RELAY_FLOOD;
        core->path_counts[RELAY_PATH_BROADCAST]++;
        (void)relay_seen_check(&core->seen, head->source, head->sequence, head->offset);
        (void)relay_core_fan_out(core, peer, head, packet, from);
    }
}

void relay_core_from_peer(struct relay_core *core, uint16_t peer, struct relay_packet *packet,
                          uint64_t now_ns)
{
    struct relay_head head;
    if (!relay_bucket_take(&core->peers[peer].bucket, packet->size, now_ns)) {
        relay_core_drop(core, RELAY_DROP_LIMITED);
        return;
    }
    size_t from = relay_head_read(packet->data, packet->size, &head);
    if (from == 0 || head.kind > RELAY_CONTROL) {
        relay_core_drop(core, RELAY_DROP_MALFORMED);
        return;
    }
    if (head.source == core->unit) {
        relay_core_drop(core, RELAY_DROP_LOOPED);
        return;
    }
    if ((head.flags & RELAY_FLOOD) != 0) {
        on_flood(core, peer, &head, packet, from, now_ns);
        return;
    }
    if ((head.flags & RELAY_ROUTED) != 0 && head.next != core->unit) {
        relay_core_drop(core, RELAY_DROP_STRAY);
        return;
    }
    bool is_for_us = head.target == core->unit ||
                     ((head.flags & RELAY_UP) != 0 && relay_core_upstream(core) == RELAY_NO_PEER &&
                      core->role == RELAY_ROADSIDE);
    if (!is_for_us)
        forward(core, peer, &head, packet, from, now_ns);
    else if (head.kind == RELAY_CONTROL)
        (void)on_control(core, peer, &head, packet->data + from, packet->size - from, now_ns);
    else
        deliver(core, peer, &head, packet, from, now_ns);
}
