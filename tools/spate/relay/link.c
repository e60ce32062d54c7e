/* SPDX-License-Identifier: MIT */
/* Connections to neighbours: the hello, heartbeats, and what comes.
 *
 * Each side opens a unidirectional stream for its hello; nothing of a connection counts before the
 * other side's was good.  If two units connect to each other at once, the connection stays that the
 * unit with the lower number began; of two in one direction, the later one: the other side was
 * started again.
 *
 * A heartbeat is a message of 32 bytes behind all others in the queue, so what it measures is what
 * a packet takes.  Data waits DATA_NS in it.  A heartbeat or control packet that finds the queue
 * full is owed, and no data is queued before it.
 *
 * Bounds: RELAY_PEERS_MAX connections, each with the queue of message_bytes_max.  A neighbour that
 * does not acknowledge keeps RELAY_READS_PER_LINK packets of the device and RELAY_SLICES_PER_LINK
 * pieces of others, until its connection is closed after DEAD_NS. */

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "tools/spate/close_text.h"
#include "tools/spate/message.h"
#include "tools/spate/relay/node.h"

#define HELLO_NS       UINT64_C(2000000000)
#define STRANGERS_MAX  32 /* connections of others before their hello */
#define RETRY_MIN_NS   UINT64_C(250000000)
#define RETRY_MAX_NS   UINT64_C(4000000000)
#define DATA_NS        UINT64_C(300000000)
#define DEAD_NS        UINT64_C(2000000000)
#define ANNOUNCE_BEATS 5
#define MISSED_MAX     3

static uint16_t index_of(const struct relay_node *node, const struct relay_link *link)
{
    return (uint16_t)(link - node->links);
}

static struct relay_link *link_take(struct relay_node *node)
{
    for (uint32_t i = 0; i < RELAY_PEERS_MAX; i++) {
        if (node->links[i].conn == NULL)
            return &node->links[i];
    }
    return NULL;
}

static void refuse(struct relay_link *link, enum relay_error error, const char *reason)
{
    link->was_refused = true;
    spate_conn_close(link->conn, error, reason);
}

/* Finds a place for a connection that another unit has begun.  Some are kept for those that we
 * begin, and of strangers the one that has waited longest for its hello gives way. */
static struct relay_link *take_for_other(struct relay_node *node)
{
    uint32_t other_count = 0, stranger_count = 0;
    struct relay_link *oldest = NULL;
    for (uint32_t i = 0; i < RELAY_PEERS_MAX; i++) {
        struct relay_link *link = &node->links[i];
        if (link->conn == NULL || !link->is_server)
            continue;
        other_count++;
        if (link->is_ready || link->was_refused)
            continue;
        stranger_count++;
        if (oldest == NULL || link->begun_ns < oldest->begun_ns)
            oldest = link;
    }
    if (stranger_count >= STRANGERS_MAX)
        refuse(oldest, RELAY_ERROR_BUSY, "too many strangers");
    return other_count < RELAY_PEERS_MAX - node->options->target_count ? link_take(node) : NULL;
}

/* ---- Hello ---- */

static void say_hello(struct relay_node *node, struct relay_link *link)
{
    struct relay_hello hello = {.unit = node->options->unit};
    uint64_t stream_id;
    hello.proves = node->token.size > 0 &&
                   files_token_prove(&node->token, link->conn, link->is_server, hello.proof);
    relay_hello_write(&hello, link->hello_out);
    if (spate_stream_open(link->conn, true, &stream_id) != 0 ||
        spate_stream_send(link->conn, stream_id, link->hello_out, RELAY_HELLO_SIZE, true, 0) != 0)
        spate_conn_close(link->conn, RELAY_ERROR_BUSY, "too much to do");
}

static bool is_proven(const struct relay_node *node, const struct relay_link *link,
                      const struct relay_hello *hello)
{
    const struct files_message proof = {
        .type = FILES_AUTH, .size = RELAY_PROOF_SIZE, .body = hello->proof};
    return node->token.size == 0 ||
           (hello->proves && files_token_check(&node->token, link->conn, !link->is_server, &proof));
}

/* Returns whether the connection is the one to keep, if both units have begun one. */
static bool is_preferred(const struct relay_node *node, const struct relay_link *link,
                         uint32_t unit)
{
    return link->is_server == (unit < node->options->unit);
}

/* Returns false if the new connection to the unit is the one to close. */
static bool settle_duplicate(struct relay_node *node, struct relay_link *link, uint32_t unit)
{
    for (uint32_t i = 0; i < RELAY_PEERS_MAX; i++) {
        struct relay_link *other = &node->links[i];
        if (other == link || other->conn == NULL || !other->is_ready || other->unit != unit)
            continue;
        if (is_preferred(node, other, unit) && !is_preferred(node, link, unit))
            return false;
        other->is_ready = false;
        relay_core_leave(&node->core, (uint16_t)i);
        refuse(other, RELAY_ERROR_DUPLICATE, "another connection is used");
    }
    return true;
}

static void on_hello(struct relay_node *node, struct relay_link *link)
{
    struct relay_hello hello;
    if (link->is_ready || !relay_hello_read(link->hello_in, link->hello_size, &hello) ||
        hello.unit == node->options->unit) {
        refuse(link, RELAY_ERROR_HELLO, "not a hello of another unit");
        return;
    }
    if (!is_proven(node, link, &hello)) {
        message("relay", "unit %u does not prove the token", hello.unit);
        refuse(link, RELAY_ERROR_TOKEN, "the token is not proven");
        return;
    }
    if (link->target >= 0) /* so that it is not tried while another connection is used */
        node->targets[link->target].unit = hello.unit;
    if (!settle_duplicate(node, link, hello.unit)) {
        refuse(link, RELAY_ERROR_DUPLICATE, "another connection is used");
        return;
    }
    uint64_t now_ns = spate_shard_now_ns(node->shard);
    bool is_upstream = link->target >= 0 && node->options->targets[link->target].is_upstream;
    link->is_ready = true;
    link->unit = hello.unit;
    link->answer_ns = link->beat_ns = now_ns;
    if (link->target >= 0)
        node->targets[link->target].pause_ns = RETRY_MIN_NS;
    relay_core_join(&node->core, index_of(node, link), hello.unit, is_upstream,
                    node->options->rate_bytes_per_s, now_ns);
    node->announce_ns = now_ns; /* the new neighbour shall know soon */
    message("relay", "unit %u is a neighbour", hello.unit);
}

static void take_hello(struct relay_link *link, const struct spate_slice *slice)
{
    size_t room = RELAY_HELLO_SIZE - link->hello_size;
    if (slice->size > room) {
        refuse(link, RELAY_ERROR_HELLO, "more than a hello");
    } else {
        memcpy(link->hello_in + link->hello_size, slice->data, slice->size);
        link->hello_size += (uint32_t)slice->size;
    }
}

/* Bytes of a stream: those of the hello. */
static void on_stream(struct relay_node *node, struct relay_link *link,
                      const struct spate_event *event)
{
    for (size_t i = 0; i < event->u.batch.count; i++) {
        struct spate_slice slice = event->u.batch.slices[i];
        if (link != NULL && link->conn != NULL && !link->was_refused)
            take_hello(link, &slice);
        spate_slice_release(node->shard, &slice);
    }
    if (event->u.batch.fin && link != NULL && link->conn != NULL && !link->was_refused)
        on_hello(node, link);
}

/* ---- Heartbeats ---- */

static int send_copy(struct relay_link *link, const uint8_t *at, size_t size)
{
    return spate_conn_datagram_send(link->conn, at, size, 0, SPATE_FOREVER,
                                    SPATE_DATAGRAM_COPY | SPATE_DATAGRAM_SILENT);
}

/* Returns whether it is done with: sent, or not to be sent at all. */
static bool send_beat(struct relay_node *node, struct relay_link *link, enum relay_kind kind,
                      uint32_t sequence, const uint8_t body[8])
{
    uint8_t at[RELAY_ROUTED_SIZE + 8];
    const struct relay_head head = {.kind = (uint8_t)kind,
                                    .hops = 1,
                                    .source = node->options->unit,
                                    .target = link->unit,
                                    .sequence = sequence,
                                    .total = 8};
    size_t size = relay_head_write(&head, at);
    memcpy(at + size, body, 8);
    return send_copy(link, at, size + 8) != -EAGAIN;
}

/* Sends what is owed.  Returns whether nothing is owed any more.  A heartbeat counts as asked when
 * it is queued, so one that waits for room is not a lost one. */
static bool pay(struct relay_node *node, struct relay_link *link)
{
    if ((link->owes & RELAY_OWES_ANSWER) != 0 &&
        send_beat(node, link, RELAY_BEAT_ANSWER, link->answer_sequence, link->answer))
        link->owes &= ~(unsigned)RELAY_OWES_ANSWER;
    if ((link->owes & RELAY_OWES_BEAT) != 0) {
        uint8_t body[8];
        uint64_t now_ns = spate_shard_now_ns(node->shard);
        memcpy(body, &now_ns, 8);
        if (send_beat(node, link, RELAY_BEAT, link->beat, body)) {
            link->owes &= ~(unsigned)RELAY_OWES_BEAT;
            link->answers <<= 1;
            link->beat++;
        }
    }
    if ((link->owes & RELAY_OWES_CONTROL) != 0 &&
        send_copy(link, link->control, link->control_size) != -EAGAIN)
        link->owes &= ~(unsigned)RELAY_OWES_CONTROL;
    return link->owes == 0;
}

/* Half of the round trip, and eight times as much if all heartbeats get lost. */
static uint16_t cost_of(const struct relay_link *link)
{
    uint32_t asked = link->beat < 32 ? link->beat : 32;
    uint32_t answered = (uint32_t)__builtin_popcount(link->answers);
    uint32_t lost = answered < asked ? asked - answered : 0;
    uint64_t cost = link->rtt_ns / (2 * 1000 * RELAY_COST_US);
    cost += cost * 8 * lost / 32 + lost * 4;
    return relay_cost_add(1, cost > RELAY_COST_MAX ? RELAY_COST_MAX : (uint32_t)cost);
}

static void on_answer(struct relay_node *node, struct relay_link *link,
                      const struct relay_head *head, const uint8_t *body)
{
    uint64_t sent_ns;
    uint64_t now_ns = spate_shard_now_ns(node->shard);
    uint32_t age = link->beat - 1 - head->sequence;
    memcpy(&sent_ns, body, 8); /* our own, of this host's order */
    if (age >= 32 || sent_ns > now_ns || (link->answers >> age & 1) != 0)
        return; /* not one that we have asked for */
    uint64_t rtt_ns = now_ns - sent_ns;
    link->answers |= UINT32_C(1) << age;
    link->rtt_ns = link->rtt_ns == 0 ? rtt_ns : (7 * link->rtt_ns + rtt_ns) / 8;
    if (link->rtt_min_ns == 0 || rtt_ns < link->rtt_min_ns)
        link->rtt_min_ns = rtt_ns;
    if (rtt_ns > link->rtt_max_ns)
        link->rtt_max_ns = rtt_ns;
    link->answer_ns = now_ns;
    node->core.peers[index_of(node, link)].cost = cost_of(link);
    relay_core_set_alive(&node->core, index_of(node, link), true);
}

static void beat(struct relay_node *node, struct relay_link *link, uint64_t now_ns)
{
    if (link->owes != 0)
        (void)pay(node, link);
    if (now_ns < link->beat_ns)
        return;
    link->beat_ns = now_ns + node->options->beat_ns;
    if (now_ns > link->answer_ns + (MISSED_MAX + 1) * node->options->beat_ns)
        relay_core_set_alive(&node->core, index_of(node, link), false);
    link->owes |= RELAY_OWES_BEAT;
    (void)pay(node, link);
}

/* A neighbour that is silent gives back what it keeps: its connection ends. */
static void end_silent(struct relay_node *node, struct relay_link *link, uint64_t now_ns)
{
    uint16_t peer = index_of(node, link);
    if (node->core.peers[peer].is_alive || now_ns < link->answer_ns + DEAD_NS ||
        link->held_slices + link->held_reads == 0)
        return;
    message("relay", "unit %u has gone: it is silent", link->unit);
    link->is_ready = false;
    relay_core_leave(&node->core, peer);
    refuse(link, RELAY_ERROR_SILENT, "nothing is acknowledged");
}

/* ---- Messages ---- */

/* Returns whether it was a heartbeat.  Those are answered whatever else the neighbour brings. */
static bool take_beat(struct relay_node *node, struct relay_link *link,
                      const struct spate_slice *slice)
{
    struct relay_head head;
    if (slice->size != RELAY_HEAD_SIZE + 8 ||
        relay_head_read(slice->data, slice->size, &head) != RELAY_HEAD_SIZE ||
        head.kind < RELAY_BEAT || head.source != link->unit)
        return false;
    if (head.kind == RELAY_BEAT) {
        link->owes |= RELAY_OWES_ANSWER; /* an older one that is owed has become worthless */
        link->answer_sequence = head.sequence;
        memcpy(link->answer, slice->data + RELAY_HEAD_SIZE, 8);
        (void)pay(node, link);
    } else {
        on_answer(node, link, &head, slice->data + RELAY_HEAD_SIZE);
    }
    return true;
}

static void on_message(struct relay_node *node, struct relay_link *link,
                       const struct spate_slice *slice)
{
    link->in_count++;
    link->in_bytes += slice->size;
    struct relay_packet *packet = NULL;
    if (link->is_ready && !take_beat(node, link, slice)) {
        packet = relay_packet_of_slice(&node->packets, slice);
        if (packet == NULL)
            relay_core_drop(&node->core, RELAY_DROP_SHORTAGE);
    }
    if (packet == NULL) {
        struct spate_slice given = *slice;
        spate_slice_release(node->shard, &given);
        return;
    }
    relay_core_from_peer(&node->core, index_of(node, link), packet,
                         spate_shard_now_ns(node->shard));
    relay_packet_unref(packet);
}

size_t relay_link_size_max(void *user, uint16_t peer)
{
    const struct relay_node *node = user;
    const struct relay_link *link = &node->links[peer];
    return link->is_ready ? spate_conn_datagram_size_max(link->conn) : 0;
}

/* Control packets are small, and nobody keeps the buffers of the device for them. */
static int send_control(struct relay_node *node, struct relay_link *link, const uint8_t *head,
                        size_t head_size, const uint8_t *body, size_t size)
{
    uint8_t at[sizeof(link->control)];
    if (head_size + size > sizeof(at))
        return -EMSGSIZE;
    memcpy(at, head, head_size);
    memcpy(at + head_size, body, size);
    int e = pay(node, link) ? send_copy(link, at, head_size + size) : -EAGAIN;
    if (e == -EAGAIN && (link->owes & RELAY_OWES_CONTROL) == 0) {
        memcpy(link->control, at, head_size + size);
        link->control_size = (uint32_t)(head_size + size);
        link->owes |= RELAY_OWES_CONTROL;
        e = 0;
    }
    return e;
}

/* The lowest bit of a tag: the first piece of a packet of the device. */
static uint64_t tag_of(const struct relay_packet *packet, size_t offset)
{
    return (uintptr_t)packet | (packet->room != NULL && offset == 0);
}

int relay_link_send(void *user, uint16_t peer, const uint8_t *head, size_t head_size,
                    struct relay_packet *packet, size_t offset, size_t size)
{
    struct relay_node *node = user;
    struct relay_link *link = &node->links[peer];
    if (!link->is_ready)
        return -ENOTCONN;
    if ((head[0] & 15) == RELAY_CONTROL) {
        int sent = send_control(node, link, head, head_size, packet->data + offset, size);
        link->out_count += sent == 0;
        link->out_bytes += sent == 0 ? head_size + size : 0;
        return sent;
    }
    if (link->owes != 0 && !pay(node, link))
        return -EAGAIN;
    bool is_read = packet->room != NULL;
    bool is_copied = is_read && packet->size <= SPATE_DATAGRAM_COPY_SIZE_MAX &&
                     (node->packets.free_read_count < RELAY_READS / 2 ||
                      link->held_reads >= RELAY_READS_PER_LINK);
    uint64_t tag = tag_of(packet, offset);
    if (!is_copied && (is_read ? (tag & 1) != 0 && link->held_reads >= RELAY_READS_PER_LINK
                               : link->held_slices >= RELAY_SLICES_PER_LINK))
        return -EAGAIN;
    const struct spate_datagram d = {
        .size = sizeof(d),
        .head = head,
        .head_size = head_size,
        .data = packet->data + offset,
        .data_size = size,
        .tag = tag,
        .deadline_ns = spate_shard_now_ns(node->shard) + DATA_NS,
        .flags = is_copied ? SPATE_DATAGRAM_COPY | SPATE_DATAGRAM_SILENT : 0,
    };
    int e = spate_conn_datagram_send_with(link->conn, &d);
    if (e == 0) {
        if (!is_copied) {
            relay_packet_ref(packet);
            link->held_reads += (uint32_t)(tag & 1);
            link->held_slices += !is_read;
        }
        link->out_count++;
        link->out_bytes += head_size + size;
    }
    return e;
}

static void on_sent(struct relay_link *link, const struct spate_event *event)
{
    for (size_t i = 0; i < event->u.datagrams_sent.count; i++) {
        uint64_t tag = event->u.datagrams_sent.results[i].tag;
        struct relay_packet *packet = (struct relay_packet *)(uintptr_t)(tag & ~UINT64_C(1));
        if (link != NULL && link->conn == event->conn) {
            link->held_reads -= (uint32_t)(tag & 1);
            link->held_slices -= packet->room == NULL;
        }
        relay_packet_unref(packet);
    }
}

/* ---- Begin and end ---- */

static void on_connected(struct relay_node *node, struct spate_event *event)
{
    struct relay_link *link = event->conn_user;
    if (link == NULL) {
        link = take_for_other(node);
        if (link == NULL) {
            spate_conn_close(event->conn, RELAY_ERROR_BUSY, "too many neighbours");
            return;
        }
        *link = (struct relay_link){.conn = event->conn, .is_server = true, .target = -1};
        spate_conn_set_user(event->conn, link);
    }
    link->begun_ns = spate_shard_now_ns(node->shard);
    say_hello(node, link);
}

static void pause_target(struct relay_target *target, uint64_t now_ns)
{
    target->retry_ns = now_ns + target->pause_ns;
    target->pause_ns = target->pause_ns * 2 > RETRY_MAX_NS ? RETRY_MAX_NS : target->pause_ns * 2;
}

static void on_closed(struct relay_node *node, struct relay_link *link,
                      const struct spate_close *close)
{
    char why[300];
    uint64_t now_ns = spate_shard_now_ns(node->shard);
    close_text(close, why, sizeof(why));
    if (link->is_ready) {
        message("relay", "unit %u has gone: %s", link->unit, why);
        relay_core_leave(&node->core, index_of(node, link));
    }
    if (link->target >= 0) {
        struct relay_target *target = &node->targets[link->target];
        if (target->pause_ns == RETRY_MIN_NS && !link->is_ready && !link->was_refused)
            message("relay", "%s: %s", node->options->targets[link->target].text, why);
        target->link = -1;
        pause_target(target, now_ns);
    }
    link->conn = NULL;
    link->is_ready = false;
}

void relay_link_event(struct relay_node *node, struct spate_event *event)
{
    struct relay_link *link = event->conn_user;
    if (event->kind == SPATE_EVENT_CONNECTED) {
        on_connected(node, event);
        return;
    }
    switch (event->kind) {
    case SPATE_EVENT_STREAM_BATCH:
        on_stream(node, link, event);
        break;
    case SPATE_EVENT_DATAGRAM_BATCH:
        for (size_t i = 0; i < event->u.batch.count; i++) {
            struct spate_slice slice = event->u.batch.slices[i];
            if (link != NULL)
                on_message(node, link, &slice);
            else
                spate_slice_release(node->shard, &slice);
        }
        break;
    case SPATE_EVENT_DATAGRAMS_SENT:
        on_sent(link, event);
        break;
    case SPATE_EVENT_DATAGRAM_ROOM:
        if (link != NULL && link->is_ready) {
            relay_core_has_room(&node->core, index_of(node, link));
            (void)pay(node, link);
        }
        break;
    case SPATE_EVENT_CLOSED:
        if (link != NULL)
            on_closed(node, link, &event->u.close);
        break;
    default:
        break;
    }
}

static bool has_unit(const struct relay_node *node, uint32_t unit)
{
    for (uint32_t i = 0; unit != 0 && i < RELAY_PEERS_MAX; i++) {
        if (node->links[i].conn != NULL && node->links[i].is_ready && node->links[i].unit == unit)
            return true;
    }
    return false;
}

static void connect_target(struct relay_node *node, uint32_t number, uint64_t now_ns)
{
    const struct relay_options *o = node->options;
    struct relay_target *target = &node->targets[number];
    struct relay_link *link = link_take(node);
    struct spate_error error = {""};
    char host[NET_HOST_SIZE] = "";
    uint16_t port;
    if (link == NULL || has_unit(node, target->unit)) {
        target->retry_ns = now_ns + target->pause_ns;
        return;
    }
    (void)net_split(o->targets[number].text, host, &port); /* it was good for net_parse() */
    *link = (struct relay_link){.target = (int)number};
    int e = spate_shard_connect(
        node->shard, (const struct sockaddr *)&o->targets[number].address.storage,
        o->targets[number].address.size, host, node->client_tls, link, &link->conn, &error);
    if (e == 0) {
        target->link = index_of(node, link);
        return;
    }
    if (target->pause_ns == RETRY_MIN_NS)
        message("relay", "%s: %s", o->targets[number].text, message_why(&error, e));
    pause_target(target, now_ns);
}

void relay_link_tick(struct relay_node *node, uint64_t now_ns)
{
    for (uint32_t i = 0; i < RELAY_PEERS_MAX; i++) {
        struct relay_link *link = &node->links[i];
        if (link->conn == NULL)
            continue;
        if (link->is_ready) {
            beat(node, link, now_ns);
            end_silent(node, link, now_ns);
        } else if (link->begun_ns != 0 && now_ns > link->begun_ns + HELLO_NS &&
                   !link->was_refused) {
            refuse(link, RELAY_ERROR_HELLO, "no hello came");
        }
    }
    for (uint32_t i = 0; i < node->options->target_count; i++) {
        if (node->targets[i].link < 0 && now_ns >= node->targets[i].retry_ns)
            connect_target(node, i, now_ns);
    }
    relay_reassembly_forget(&node->core.reassembly, RELAY_ALL, now_ns);
    if (now_ns < node->announce_ns)
        return;
    node->announce_ns = now_ns + ANNOUNCE_BEATS * node->options->beat_ns;
    relay_core_announce(&node->core, now_ns);
    relay_routes_expire(&node->core.routes, now_ns);
}
