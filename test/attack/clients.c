/* SPDX-License-Identifier: MIT */
/* Clients that misbehave, each with a socket of its own.
 *
 * A client connects, may ask for bytes, sends packets of one kind to prepare the server's state,
 * then packets of the kind that the attack is about.  It may then close and begin again, and it may
 * end its handshake before that is complete. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/wire/frame.h"
#include "test/attack/attack.h"

enum {
    BATCH_MAX = 8,     /* datagrams that a client sends in one turn */
    RECEIVES_MAX = 64, /* datagrams that a client reads in one turn */
    FRAMES_SIZE_MAX = 1350,
    HANDSHAKES_AT_ONCE = 20, /* more would only find the server's socket full */
    PLACES = 50,             /* addresses of a client that wanders */
    REST_NS = 200 * 1000,    /* sleep when there is nothing to do */
};

enum ending {
    ENDING_NONE,   /* goes on until the attack is over */
    ENDING_CLOSE,  /* closes after `repeat_count` packets, and begins again */
    ENDING_REFUSE, /* refuses the server's certificate, and begins again */
};

struct attack_client_plan {
    const char *name;
    const char *what;
    uint32_t conn_count;
    uint64_t rate;       /* of datagrams */
    uint64_t begin_rate; /* of connections per second; 0: as many as go */
    enum hostile_kind prepare;
    uint32_t prepare_count;
    enum hostile_kind kind;
    uint32_t repeat_count; /* for ENDING_CLOSE */
    enum ending ending;
    uint64_t repeat_depth; /* see hostile.h */
    uint64_t asks_bytes;   /* of the server, on its first stream; 0: none */
    uint64_t ack_delay_ns; /* claimed as max_ack_delay; 0: the usual one */
    uint64_t window_bytes; /* that the server may send; 0: the usual one */
    bool wanders;          /* sends each packet from another address, as if it had moved there */
};

static const struct attack_client_plan plans[] = {
    {.name = "ordinary",
     .what = "full datagrams in order: the measure for the others",
     .conn_count = 1,
     .rate = 10000,
     .kind = HOSTILE_ORDINARY},
    {.name = "connect",
     .what = "connects and closes in order: the measure for those that do so otherwise",
     .begin_rate = 1000,
     .conn_count = 50,
     .kind = HOSTILE_TINY,
     .repeat_count = 1,
     .ending = ENDING_CLOSE},
    {.name = "download",
     .what = "is sent as much as there may be: the measure for those that ask for it otherwise",
     .conn_count = 4,
     .rate = 10000,
     .asks_bytes = UINT64_C(1) << 40,
     .window_bytes = 64 << 20,
     .kind = HOSTILE_ACK_ALL},
    {.name = "messages",
     .what = "messages of 50 bytes that the application keeps",
     .conn_count = 1,
     .rate = 10000,
     .kind = HOSTILE_MESSAGE},
    {.name = "fragments",
     .what = "one byte per packet, every second byte",
     .conn_count = 17,
     .rate = 60000,
     .kind = HOSTILE_FRAGMENT},
    {.name = "fragments-packed",
     .what = "packets full of frames of one byte, every second byte",
     .conn_count = 17,
     .rate = 10000,
     .kind = HOSTILE_FRAGMENTS},
    {.name = "repeat",
     .what = "frames of one byte again and again, among as many pieces as there may be",
     .conn_count = 1,
     .rate = 10000,
     .prepare = HOSTILE_FRAGMENTS,
     .prepare_count = 100,
     .kind = HOSTILE_REPEAT,
     .repeat_depth = 255},
    {.name = "open-close",
     .what = "opens all streams with one packet, closes, begins again",
     .begin_rate = 1000,
     .conn_count = 50,
     .rate = 10000,
     .kind = HOSTILE_OPEN,
     .repeat_count = 1,
     .ending = ENDING_CLOSE},
    {.name = "open-each",
     .what = "opens streams with a byte for each, closes, begins again",
     .begin_rate = 1000,
     .conn_count = 50,
     .rate = 10000,
     .kind = HOSTILE_OPEN_EACH,
     .repeat_count = 1,
     .ending = ENDING_CLOSE},
    {.name = "acks",
     .what = "packets full of ACK frames while megabytes are in flight",
     .conn_count = 1,
     .rate = 10000,
     .asks_bytes = UINT64_C(1) << 40,
     .window_bytes = 64 << 20,
     .prepare = HOSTILE_ACK_ALL,
     .prepare_count = 2000,
     .kind = HOSTILE_ACKS},
    {.name = "key-update",
     .what = "a key update whenever the last one is acknowledged",
     .conn_count = 1,
     .rate = 10000,
     .kind = HOSTILE_KEY_UPDATE},
    {.name = "key-rush",
     .what = "a key update in every packet, which is an error: again and again",
     .begin_rate = 1000,
     .conn_count = 50,
     .rate = 10000,
     .kind = HOSTILE_KEY_RUSH},
    {.name = "crypto",
     .what = "CRYPTO frames of one byte in 1-RTT packets, every second byte",
     .conn_count = 17,
     .rate = 10000,
     .kind = HOSTILE_CRYPTO},
    {.name = "pings",
     .what = "packets full of PINGs",
     .conn_count = 1,
     .rate = 10000,
     .kind = HOSTILE_PINGS},
    {.name = "datagrams",
     .what = "packets full of DATAGRAM frames of one byte",
     .conn_count = 4,
     .rate = 10000,
     .kind = HOSTILE_DATAGRAMS},
    {.name = "resets",
     .what = "RESET_STREAM and STOP_SENDING of every stream",
     .conn_count = 4,
     .rate = 10000,
     .kind = HOSTILE_RESETS},
    {.name = "challenges",
     .what = "packets full of PATH_CHALLENGE",
     .conn_count = 1,
     .rate = 10000,
     .kind = HOSTILE_CHALLENGES},
    {.name = "challenges-moving",
     .what = "packets full of PATH_CHALLENGE, each from another address",
     .conn_count = 1,
     .rate = 10000,
     .kind = HOSTILE_CHALLENGES,
     .wanders = true},
    {.name = "wander",
     .what = "small packets from spoofed addresses, while it is sent as much as there may be",
     .conn_count = 4,
     .rate = 10000,
     .asks_bytes = UINT64_C(1) << 40,
     .window_bytes = 64 << 20,
     .kind = HOSTILE_TINY,
     .wanders = true},
    {.name = "any",
     .what = "frames of all kinds",
     .conn_count = 8,
     .rate = 10000,
     .kind = HOSTILE_ANY},
    {.name = "refuse",
     .what = "refuses the certificate before the handshake is complete, again and again",
     .begin_rate = 1000,
     .conn_count = 100,
     .ending = ENDING_REFUSE},
    {.name = "drain",
     .what = "connects and closes, and claims a max_ack_delay of 16 s",
     .begin_rate = 1000,
     .conn_count = 50,
     .kind = HOSTILE_TINY,
     .repeat_count = 1,
     .ending = ENDING_CLOSE,
     .ack_delay_ns = 16383 * SB_MS},
};

const struct attack_client_plan *attack_client_plan(const char *name)
{
    for (size_t i = 0; i < SB_COUNT(plans); i++)
        if (strcmp(plans[i].name, name) == 0)
            return &plans[i];
    return NULL;
}

void attack_list_clients(void)
{
    for (size_t i = 0; i < SB_COUNT(plans); i++)
        printf("%-18s %s\n", plans[i].name, plans[i].what);
}

/* An address to which a client pretends to move.  It answers nothing, so it never proves that it
 * receives: the server may send it three times what came from there.  [RFC9000 8, 9.3] */
struct place {
    int fd;
    uint64_t bytes_in;
    uint64_t bytes_out;
};

struct client {
    struct place places[PLACES]; /* of one that wanders, once it is connected */
    bool has_places;
    int fd;
    uint32_t host;           /* which of 127.0.0.x */
    struct hostile *hostile; /* NULL: to begin */
    bool is_shaking;         /* counts in clients.handshake_count */
    uint64_t sent_count;
};

struct clients {
    const struct attack_client_plan *plan;
    const struct attack_options *options;
    struct hostile_host host;
    struct attack_result *result;
    struct attack_pace pace;
    struct attack_pace begin_pace;
    struct client *all;
    uint32_t count;
    uint32_t handshake_count; /* under way */
    int places_fd;            /* epoll: which places have got something */
};

static void client_begin(struct clients *s, struct client *c, uint64_t now_ns)
{
    if (s->handshake_count >= HANDSHAKES_AT_ONCE ||
        attack_pace_take(&s->begin_pace, 1, now_ns) == 0)
        return;
    c->fd = attack_socket(s->options, c->host);
    struct sp_path path = {.local = {.family = 4}, .remote = {.family = 4, .port = 1}};
    uint64_t seed = s->options->seed * 1000003 + s->result->begun_count;
    c->hostile = hostile_create(&s->host, &path, seed ^ now_ns, now_ns);
    if (c->hostile == NULL)
        attack_die("no memory for a client");
    c->hostile->repeat_depth = s->plan->repeat_depth;
    c->sent_count = 0;
    c->is_shaking = true;
    s->result->begun_count++;
    s->handshake_count++;
}

/* Its handshake is over, one way or the other. */
static void client_note_over(struct clients *s, struct client *c)
{
    if (!c->is_shaking)
        return;
    c->is_shaking = false;
    s->handshake_count--;
    s->result->ready_count += c->hostile->state == HOSTILE_READY;
}

static void places_open(struct clients *s, struct client *c)
{
    for (uint32_t i = 0; i < PLACES; i++) {
        struct place *place = &c->places[i];
        *place = (struct place){.fd = attack_socket(s->options, (c->host + 1 + i) % 200)};
        struct epoll_event event = {.events = EPOLLIN, .data.ptr = place};
        if (epoll_ctl(s->places_fd, EPOLL_CTL_ADD, place->fd, &event) != 0)
            attack_die("cannot poll a socket");
    }
    c->has_places = true;
}

/* Only of those that have got something: to ask each would take the honest client's CPU time. */
static void places_receive(struct clients *s)
{
    uint8_t in[65536];
    struct epoll_event events[PLACES];
    int count;
    do {
        count = epoll_wait(s->places_fd, events, PLACES, 0);
        for (int i = 0; i < count; i++) {
            struct place *place = events[i].data.ptr;
            for (ssize_t size; (size = recv(place->fd, in, sizeof(in), 0)) > 0;)
                place->bytes_in += (uint64_t)size;
        }
    } while (count == PLACES);
}

/* Counts the places that got more than they may. */
static void places_close(struct clients *s, struct client *c)
{
    places_receive(s);
    for (uint32_t i = 0; i < PLACES; i++) {
        const struct place *place = &c->places[i];
        s->result->found_count += place->bytes_in > SP_AMPLIFICATION_FACTOR * place->bytes_out;
        s->result->bytes_in += place->bytes_in;
        (void)close(place->fd);
    }
    c->has_places = false;
}

static void client_end(struct clients *s, struct client *c)
{
    if (c->hostile == NULL)
        return;
    client_note_over(s, c);
    if (c->has_places)
        places_close(s, c);
    s->result->bytes_in += c->hostile->bytes_in;
    hostile_destroy(c->hostile);
    c->hostile = NULL;
    (void)close(c->fd);
}

/* Datagrams that the kernel does not take are lost, as any. */
static void client_send(const struct client *c, const uint8_t *data, size_t size)
{
    (void)!send(c->fd, data, size, 0);
}

static void client_flush(struct client *c, uint64_t now_ns)
{
    uint8_t out[2048];
    size_t size;
    while ((size = hostile_send(c->hostile, out, sizeof(out), now_ns)) > 0)
        client_send(c, out, size);
}

/* Returns whether anything came. */
static bool client_receive(struct client *c, uint64_t now_ns)
{
    uint8_t in[65536];
    bool any = false;
    for (uint32_t i = 0; i < RECEIVES_MAX; i++) {
        ssize_t size = recv(c->fd, in, sizeof(in), 0);
        if (size <= 0)
            break;
        any = true;
        hostile_receive(c->hostile, in, (size_t)size, now_ns);
    }
    return any;
}

static void send_frames(struct clients *s, struct client *c, const uint8_t *frames, size_t size)
{
    uint8_t out[2048];
    size_t sealed_size = hostile_seal(c->hostile, frames, size, out, sizeof(out));
    if (s->plan->wanders && c->sent_count > 0) {
        if (!c->has_places)
            places_open(s, c);
        struct place *place = &c->places[c->sent_count % PLACES];
        if (send(place->fd, out, sealed_size, 0) > 0)
            place->bytes_out += sealed_size;
    } else {
        client_send(c, out, sealed_size);
    }
    c->sent_count++;
    s->result->datagram_count++;
    s->result->byte_count += sealed_size;
}

/* Asks as spate-bench does: 8 bytes, big endian, how many bytes are wanted back. */
static void ask(struct clients *s, struct client *c)
{
    uint8_t frames[64];
    struct sb_writer w = sb_writer_of(frames, sizeof(frames));
    struct sp_stream_head head = {.id = 0, .size = 8, .has_length = true, .fin = true};
    sp_frame_write_stream_head(&w, &head);
    for (int shift = 56; shift >= 0; shift -= 8) {
        uint8_t byte = (uint8_t)(s->plan->asks_bytes >> shift);
        sb_writer_bytes(&w, &byte, 1);
    }
    send_frames(s, c, frames, sb_writer_used(&w));
}

static void client_close(struct clients *s, struct client *c)
{
    uint8_t frames[64];
    struct sb_writer w = sb_writer_of(frames, sizeof(frames));
    sp_frame_write_close(&w, &(struct sp_frame_close){.is_app = true, .error = 1});
    send_frames(s, c, frames, sb_writer_used(&w));
    client_end(s, c);
}

/* Returns whether anything was sent. */
static bool client_attack(struct clients *s, struct client *c, uint64_t now_ns)
{
    const struct attack_client_plan *plan = s->plan;
    if (c->sent_count == 0 && plan->asks_bytes > 0)
        ask(s, c);
    uint32_t count = attack_pace_take(&s->pace, BATCH_MAX, now_ns);
    for (uint32_t i = 0; i < count; i++) {
        uint8_t frames[FRAMES_SIZE_MAX];
        enum hostile_kind kind = c->sent_count < plan->prepare_count ? plan->prepare : plan->kind;
        size_t size = hostile_fill(c->hostile, kind, frames, sizeof(frames));
        send_frames(s, c, frames, size);
        if (plan->ending == ENDING_CLOSE && c->sent_count >= plan->repeat_count) {
            client_close(s, c);
            return true;
        }
    }
    return count > 0;
}

/* [RFC8446 6.2] bad_certificate, as soon as the server has answered. */
static void client_refuse(struct clients *s, struct client *c, uint64_t now_ns)
{
    enum { ALERT_BAD_CERTIFICATE = 42 };
    sp_conn_close_transport(c->hostile->conn, (enum sp_err)(SP_ERR_CRYPTO + ALERT_BAD_CERTIFICATE),
                            "", now_ns);
    client_flush(c, now_ns);
    s->result->datagram_count++;
    client_end(s, c);
}

/* Returns whether anything was done. */
static bool client_turn(struct clients *s, struct client *c, uint64_t now_ns)
{
    if (c->hostile == NULL) {
        client_begin(s, c, now_ns);
        if (c->hostile == NULL)
            return false;
        client_flush(c, now_ns);
        return true;
    }
    bool any = client_receive(c, now_ns);
    if (c->hostile->state == HOSTILE_HANDSHAKE) {
        if (any && s->plan->ending == ENDING_REFUSE) {
            client_refuse(s, c, now_ns);
            return true;
        }
        hostile_on_time(c->hostile, now_ns);
        client_flush(c, now_ns);
        return any;
    }
    client_note_over(s, c);
    if (c->hostile->state == HOSTILE_CLOSED) {
        s->result->closed_count++;
        client_end(s, c);
        return true;
    }
    return client_attack(s, c, now_ns) || any;
}

void attack_clients(const struct attack_client_plan *plan, const struct attack_options *options,
                    struct attack_result *ret)
{
    struct clients s = {.plan = plan, .options = options, .result = ret};
    attack_host_init(&s.host);
    if (plan->ack_delay_ns > 0)
        s.host.config.ack_delay_ns_max = plan->ack_delay_ns;
    if (plan->window_bytes > 0) {
        s.host.config.conn_window_bytes = s.host.config.conn_window_bytes_max = plan->window_bytes;
        s.host.config.stream_window_bytes = s.host.config.stream_window_bytes_max =
            plan->window_bytes;
    }
    s.count = options->conn_count > 0 ? options->conn_count : plan->conn_count;
    s.all = calloc(s.count, sizeof(*s.all));
    s.places_fd = epoll_create1(EPOLL_CLOEXEC);
    if (s.all == NULL || s.places_fd < 0)
        attack_die("no memory");
    for (uint32_t i = 0; i < s.count; i++)
        s.all[i].host = i % 200;
    uint64_t start_ns = attack_now_ns();
    s.pace = (struct attack_pace){.start_ns = start_ns,
                                  .rate = options->rate > 0 ? options->rate : plan->rate};
    s.begin_pace = (struct attack_pace){.start_ns = start_ns, .rate = plan->begin_rate};

    uint64_t now_ns = start_ns;
    while (now_ns - start_ns < options->duration_ns) {
        bool any = false;
        if (plan->wanders)
            places_receive(&s);
        for (uint32_t i = 0; i < s.count; i++)
            any = client_turn(&s, &s.all[i], now_ns) || any;
        if (!any)
            (void)nanosleep(&(struct timespec){.tv_nsec = REST_NS}, NULL);
        now_ns = attack_now_ns();
    }
    for (uint32_t i = 0; i < s.count; i++)
        client_end(&s, &s.all[i]);
    (void)close(s.places_fd);
    free(s.all);
    hostile_host_deinit(&s.host);
}
