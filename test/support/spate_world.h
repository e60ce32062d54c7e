/* SPDX-License-Identifier: MIT */
#ifndef SPATE_WORLD_H
#define SPATE_WORLD_H

#include "test/support/owned.h"

#include <netinet/in.h>
#include <sys/socket.h>

#include <spate/spate.h>

/* A server and a client, each an engine of one shard, on loopback, run by the test's own
 * thread: whole connections over real sockets, through the public API alone.
 *
 * Every event is handed to the end's on_event, or if it has none to pw_default(), which gives
 * slices back and counts.  A test that waits for something uses pw_until(), which fails the test
 * after PW_PATIENCE_NS. */

#if !defined(QT_SLOWER)
#define QT_SLOWER 1 /* meson.build has another one for sanitizers */
#endif
#define PW_PATIENCE_NS (QT_SLOWER * UINT64_C(20000000000))
#define PW_SERVER_NAME "localhost"

struct pw_end {
    const char *name;
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls;
    void (*on_event)(struct pw_end *end, struct spate_event *event);
    void *context; /* the test's */

    /* Counted for every event, before on_event. */
    uint32_t connected_count;
    uint32_t closed_count;
    uint64_t bytes_in;
    uint64_t fin_count;
    uint64_t sent_count;
    uint64_t stream_closed_count;
    struct spate_conn *conn;  /* the last that was connected, NULL when one closed */
    struct spate_close close; /* of the last CLOSED */
    char close_reason[256];
};

struct pw_config {
    void (*server)(struct spate_config *config); /* changes to the defaults; may be NULL */
    void (*client)(struct spate_config *config);
    bool is_v6;
    bool is_any; /* the server listens at 0.0.0.0 */
};

struct pw {
    struct pw_end server;
    struct pw_end client;
    struct spate_listener *listener;
    struct sockaddr_storage address; /* the server's */
    socklen_t address_size;
    uint32_t closed_before; /* connections of the client that ended before pw_connected() */
    char *cert_pem;
    char *key_pem;
};

/* The back-end that SPATE_TEST_BACKEND names: each program is run over both. */
enum spate_backend pw_backend(void);

/* Makes both ends; owned by the test (test/support/owned.h). */
struct pw *pw_create(const struct pw_config *config);
/* Frees what is in a struct pw that the test filled itself, for owned_add(). */
void pw_deinit(void *w);

/* Begins a connection to the server. */
struct spate_conn *pw_connect(struct pw *w);
/* Begins one with settings of its own. */
struct spate_conn *pw_connect_with(struct pw *w, struct spate_settings *settings);
/* Connects to the server, and runs both sides until they are connected. */
struct spate_conn *pw_connected(struct pw *w);

/* Counts the events of an end, and hands them out. */
void pw_hand_out(struct pw_end *end);
/* One turn of an end, if it exists; hands out the events. */
void pw_wait(struct pw_end *end, uint64_t wait_ns);
/* One turn of each end that exists, without a wait; hands out the events. */
void pw_turn(struct pw *w);
/* Runs turns until `is_done` returns true. */
void pw_until(struct pw *w, bool (*is_done)(struct pw *w));
/* Turns for `ns`. */
void pw_for(struct pw *w, uint64_t ns);

/* What happens to an event that no test cares for: slices go back. */
void pw_default(struct pw_end *end, struct spate_event *event);

/* A server's and a client's TLS, from the same fresh certificate. */
void pw_make_tls(struct pw *w);
/* A function for on_early of struct spate_tls_options. */
typedef bool (*pw_on_early)(void *user, const char *server_name, const uint8_t *alpn,
                            size_t alpn_size);
/* Replaces the server's TLS by one that gives each connection a ticket, and accepts 0-RTT if
 * `on_early` does or is NULL.  Listeners that exist keep theirs. */
void pw_accept_early(struct pw *w, pw_on_early on_early, void *user);

/* Makes an engine with the defaults and the backend of this run, and nothing else. */
struct spate_engine *pw_make_engine(void);

/* Makes one whose threads run on `cpus`: see struct spate_config. */
struct spate_engine *pw_make_engine_on(const int *cpus);

/* Listens on the port of the world, for several shards: the first one chooses it.  Returns what
 * spate_shard_listen() does.  Threads: any. */
int pw_listen_at_one_port(struct pw *w, struct spate_shard *shard);

/* 127.0.0.1 or ::1. */
struct sockaddr_storage pw_loopback(bool is_v6, uint16_t port, socklen_t *ret_size);

struct spate_shard_stats pw_stats(const struct pw_end *end);
/* The sum of each counter and gauge over some shards. */
struct spate_shard_stats pw_stats_of_all(struct spate_shard *const *shards, uint32_t count);

uint64_t pw_now_ns(void);

/* Returns a non-blocking UDP socket on 127.0.0.1; owned by the test. */
int pw_udp_socket(void);

/* ---- A relay between a client and the server, as a network in the middle ---- */

#define PW_DATAGRAM_MAX 2000
#define PW_SAMPLES_MAX  200

struct pw_sample {
    uint8_t data[PW_DATAGRAM_MAX];
    size_t size;
};

struct pw_relay {
    int to_client; /* the client is connected to this one */
    int to_server; /* connected to the server */
    struct sockaddr_storage client;
    socklen_t client_size;
    bool drops_to_client;
    struct pw_sample samples[PW_SAMPLES_MAX]; /* the first datagrams of the client */
    uint32_t sample_count;
};

/* Owned by the test. */
struct pw_relay *pw_relay_create(const struct pw *w);
/* Passes on what has arrived. */
void pw_relay_pass(struct pw_relay *relay);
/* Does what a balancer does with the samples, and empties them: asserts that all with a short
 * header have a CID that names the server of `lb`.  Returns how many had one, of those with a long
 * header too. */
uint32_t pw_relay_balance(struct pw_relay *relay, const struct spate_quic_lb *lb);
/* pw_connect() by way of the relay. */
struct spate_conn *pw_connect_through(struct pw *w, const struct pw_relay *relay);

/* Reproducible bytes: byte i of stream `seed`. */
static inline uint8_t pw_byte(uint64_t seed, uint64_t i)
{
    return (uint8_t)((i * 131 + seed * 29) ^ (i >> 8) ^ (i >> 16));
}

#endif
