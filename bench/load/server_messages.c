/* SPDX-License-Identifier: MIT */
/* The server of messages: replies to requests, and publications.
 *
 * A publication is one head and the payload region, lent to every subscriber: nothing is copied for
 * them.  Up to `inflight` publications are under way.  One is over when every subscriber of its
 * time has it, and then the next one begins: so the slowest subscriber slows down the publisher
 * instead of losing messages.  One that refuses a publication, for lack of memory, is closed: it
 * would not have all of them.  Within that window each subscriber goes on at its own pace: `next`
 * is the publication that it gets next, and a messenger that is full says when it has room.
 *
 * What can be attacked: a client can ask for messages of 64 MiB (flow control), never take them
 * (its shard publishes to nobody then), or subscribe otherwise than the first one (it is closed).
 */

#include "bench/load/server_messages.h"

#include <errno.h>
#include <stdlib.h>

#include "bench/load/clock.h"
#include "bench/load/messages.h"
#include "bench/load/options.h"

/* Application error codes of ours, beside those of server.c and of the messenger. */
enum {
    MESSAGES_BAD_HEAD = 16,
    MESSAGES_BAD_PAYLOAD,
    MESSAGES_BAD_ORDER,
    MESSAGES_OTHER_TOPIC,
    MESSAGES_NO_MEMORY,
    MESSAGES_REFUSED,
};

struct message_peer {
    struct message_peer *next; /* among the subscribers */
    struct message_peer *previous;
    struct server_messages *owner;
    struct spate_conn *conn;
    struct spate_messenger *messenger;
    bool is_subscriber;
    bool is_starved;          /* -ENOBUFS: goes on when something of its own has come back */
    uint64_t next_number;     /* subscriber: of the next publication */
    uint64_t under_way_count; /* subscriber: publications that are lent to its messenger */
    uint64_t next_request;    /* the number of the next request in MESSAGES_CHANNEL */
};

#define NO_PUBLICATION UINT64_MAX /* tag of a reply */

struct publication {
    uint8_t head[MESSAGES_HEAD_SIZE];
    uint32_t waiting_count; /* subscribers that do not have it yet */
};

/* Invariant: end - first <= inflight; ring[n % inflight] is publication n, first <= n < end; a
 * subscriber's next_number <= end. */
struct server_messages {
    const struct options *options;
    uint64_t *payload_in;
    uint64_t *payload_out;
    struct message_peer *subscribers;
    uint32_t subscriber_count;
    struct publication *ring;
    uint64_t ring_size;
    uint64_t inflight;
    uint64_t first;
    uint64_t end;
    uint64_t size;
    bool is_ordered;
};

struct server_messages *server_messages_create(const struct options *o, uint64_t *payload_in,
                                               uint64_t *payload_out)
{
    struct server_messages *s = calloc(1, sizeof(*s));
    if (s == NULL)
        return NULL;
    *s = (struct server_messages){
        .options = o, .payload_in = payload_in, .payload_out = payload_out};
    return s;
}

void server_messages_destroy(struct server_messages *s)
{
    if (s == NULL)
        return;
    free(s->ring);
    free(s);
}

struct message_peer *server_messages_accept(struct server_messages *s, struct spate_conn *conn)
{
    const struct spate_messenger_options options = messages_options();
    struct message_peer *peer = calloc(1, sizeof(*peer));
    if (peer == NULL)
        return NULL;
    peer->owner = s;
    peer->conn = conn;
    if (spate_messenger_create(conn, &options, &peer->messenger, NULL) == 0)
        return peer;
    free(peer);
    return NULL;
}

/* ---- publications ---- */

/* Gives a subscriber what it may have. */
static void feed(struct message_peer *peer)
{
    struct server_messages *s = peer->owner;
    struct iovec pieces[MESSAGES_PIECES_MAX];
    struct spate_message_options options = {
        .size = sizeof(options),
        .channel = s->is_ordered ? MESSAGES_CHANNEL : 0,
    };
    while (peer->next_number < s->end) {
        const struct publication *p = &s->ring[peer->next_number % s->inflight];
        size_t count = messages_pieces(p->head, s->size, pieces);
        options.tag = peer->next_number;
        int status = spate_message_send(peer->messenger, pieces, count, &options, NULL);
        if (status == -EAGAIN || status == -ENOTCONN)
            return; /* ROOM or CLOSED follows */
        if (status == -ENOBUFS && peer->under_way_count > 0) {
            peer->is_starved = true;
            return;
        }
        if (status != 0) {
            spate_conn_close(peer->conn, MESSAGES_NO_MEMORY, "a message could not be sent");
            return;
        }
        peer->next_number++;
        peer->under_way_count++;
        *s->payload_out += s->size;
    }
}

/* Begins as many publications as may be under way. */
static void publish(struct server_messages *s)
{
    uint64_t before = s->end;
    while (s->subscriber_count > 0 && s->end - s->first < s->inflight) {
        struct publication *p = &s->ring[s->end % s->inflight];
        const struct messages_head head = {
            .value = s->size, .number = s->end, .time_ns = clock_now_ns()};
        messages_write_head(p->head, &head);
        p->waiting_count = s->subscriber_count;
        s->end++;
    }
    for (struct message_peer *peer = s->subscribers; s->end != before && peer != NULL;
         peer = peer->next)
        feed(peer);
}

/* One subscriber less waits for a publication. */
static void settle(struct server_messages *s, uint64_t number)
{
    s->ring[number % s->inflight].waiting_count--;
    while (s->first < s->end && s->ring[s->first % s->inflight].waiting_count == 0)
        s->first++;
}

/* A topic is what the first subscriber asks for; when nobody is left it may change. */
static bool set_topic(struct server_messages *s, const struct messages_head *head)
{
    bool is_ordered = head->time_ns != 0;
    if (s->subscriber_count > 0)
        return s->size == head->value && s->inflight == head->number && s->is_ordered == is_ordered;
    if (head->number > s->ring_size) {
        struct publication *ring = calloc(head->number, sizeof(*ring));
        if (ring == NULL)
            return false;
        free(s->ring);
        s->ring = ring;
        s->ring_size = head->number;
    }
    s->size = head->value;
    s->inflight = head->number;
    s->is_ordered = is_ordered;
    return true;
}

static void subscribe(struct message_peer *peer, const struct messages_head *head)
{
    struct server_messages *s = peer->owner;
    if (head->value < MESSAGES_SIZE_MIN || head->value > MESSAGES_SIZE_MAX || head->number == 0 ||
        head->number > MESSAGES_INFLIGHT_MAX || peer->is_subscriber) {
        spate_conn_close(peer->conn, MESSAGES_BAD_HEAD, "a subscription is wrong");
        return;
    }
    if (!set_topic(s, head)) {
        spate_conn_close(peer->conn, MESSAGES_OTHER_TOPIC, "others have subscribed differently");
        return;
    }
    peer->is_subscriber = true;
    peer->next_number = s->end;
    peer->next = s->subscribers;
    if (s->subscribers != NULL)
        s->subscribers->previous = peer;
    s->subscribers = peer;
    s->subscriber_count++;
    publish(s);
}

static void unsubscribe(struct message_peer *peer)
{
    struct server_messages *s = peer->owner;
    if (peer->previous != NULL)
        peer->previous->next = peer->next;
    else
        s->subscribers = peer->next;
    if (peer->next != NULL)
        peer->next->previous = peer->previous;
    s->subscriber_count--;
    for (uint64_t number = peer->next_number; number < s->end; number++)
        settle(s, number);
}

/* ---- messages of clients ---- */

static void answer(struct message_peer *peer, uint64_t id, const struct messages_head *head)
{
    struct iovec pieces[MESSAGES_PIECES_MAX];
    size_t count = messages_pieces(NULL, head->value, pieces);
    int status = spate_message_reply(peer->messenger, id, pieces, count, NO_PUBLICATION);
    if (status == 0)
        *peer->owner->payload_out += head->value;
    else if (status != -EPIPE && status != -ENOTCONN) /* the client has not lost interest */
        spate_conn_close(peer->conn, MESSAGES_NO_MEMORY, "a reply could not be sent");
}

/* Takes a request or a subscription. */
static void take(struct message_peer *peer, struct spate_message *message)
{
    struct server_messages *s = peer->owner;
    struct messages_head head = {0};
    bool is_good = messages_read_head(message, &head) && head.value <= MESSAGES_SIZE_MAX;
    bool is_request = message->kind == SPATE_MESSAGE_REQUEST;
    bool is_payload =
        !is_request || !s->options->verify || messages_match(message, MESSAGES_HEAD_SIZE);
    *s->payload_in += message->size_bytes;
    uint64_t id = message->id;
    uint32_t channel = message->channel;
    spate_message_release(peer->messenger, message);
    if (!is_good || !is_payload) {
        spate_conn_close(peer->conn, is_good ? MESSAGES_BAD_PAYLOAD : MESSAGES_BAD_HEAD,
                         "a message differs from what was agreed on");
        return;
    }
    if (!is_request) {
        subscribe(peer, &head);
        return;
    }
    if (channel != 0 && head.number != peer->next_request++) {
        spate_conn_close(peer->conn, MESSAGES_BAD_ORDER, "a request came out of order");
        return;
    }
    answer(peer, id, &head);
}

static void on_sent(struct message_peer *peer, uint64_t tag)
{
    if (tag == NO_PUBLICATION)
        return;
    peer->under_way_count--;
    settle(peer->owner, tag);
}

static void take_all(struct message_peer *peer)
{
    struct spate_message message;
    bool has_room = false;
    while (spate_messenger_next(peer->messenger, &message)) {
        switch (message.kind) {
        case SPATE_MESSAGE_RECEIVED:
        case SPATE_MESSAGE_REQUEST:
            take(peer, &message);
            break;
        case SPATE_MESSAGE_SENT:
            on_sent(peer, message.tag);
            if (message.tag != NO_PUBLICATION && message.fate == SPATE_MESSAGE_REFUSED)
                spate_conn_close(peer->conn, MESSAGES_REFUSED,
                                 "a subscriber refused a publication");
            has_room |= peer->is_starved;
            break;
        case SPATE_MESSAGE_ROOM:
            has_room = true;
            break;
        case SPATE_MESSAGE_REPLY:
        case SPATE_MESSAGE_FAILED:
            break;
        }
    }
    if (has_room) {
        peer->is_starved = false;
        feed(peer);
    }
    publish(peer->owner);
}

void server_messages_event(struct message_peer *peer, const struct spate_event *e)
{
    struct server_messages *s = peer->owner;
    (void)spate_messenger_event(peer->messenger, e);
    if (e->kind != SPATE_EVENT_CLOSED) {
        take_all(peer);
        return;
    }
    struct spate_message message;
    while (spate_messenger_next(peer->messenger, &message)) {
        if (message.kind == SPATE_MESSAGE_SENT)
            on_sent(peer, message.tag);
        spate_message_release(peer->messenger, &message);
    }
    if (peer->is_subscriber)
        unsubscribe(peer);
    spate_messenger_destroy(peer->messenger);
    free(peer);
    publish(s);
}

void server_messages_forget(struct message_peer *peer)
{
    free(peer);
}
