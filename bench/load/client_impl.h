/* SPDX-License-Identifier: MIT */
#ifndef LOAD_CLIENT_IMPL_H
#define LOAD_CLIENT_IMPL_H

/* Shared by client.c and the scenarios; no other file includes it. */

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

#include "bench/load/burden.h"
#include "bench/load/client.h"
#include "bench/load/failure.h"
#include "bench/load/host_loop.h"
#include "bench/load/result.h"

struct bulk;
struct client;
struct hold;
struct rr;

enum phase {
    PHASE_CONNECT, /* the first connection finds an address that answers, then the others */
    PHASE_WARMUP,
    PHASE_MEASURE,
    PHASE_DRAIN, /* open loop: wait for what was meant to start before the end */
    PHASE_CLOSE,
    PHASE_OVER,
};

/* One connection of a scenario that keeps them. */
struct client_conn {
    struct spate_conn *conn;
    uint32_t index;
    uint32_t running_count; /* rr, closed loop: requests on it; datagram: without a result;
                               messages: requests without a reply */
    bool is_open;           /* from CONNECTED to CLOSED */
    bool is_blocked;        /* spate_stream_open() said -EAGAIN and nothing has changed since */
};

/* A scenario.  All run on the client's thread. */
struct client_ops {
    /* Whether connections are made beforehand and kept; else the scenario makes its own. */
    bool keeps_conns;
    /* With `keeps_conns`: the load begins with the first connection, and the scenario makes the
     * others by client_connect_one().  It ends when is_done() returns true, not by time. */
    bool opens_conns;
    /* Whether the first sample of the server is waited for: the scenario takes others. */
    bool waits_for_samples;
    /* Prepares the state.  Returns false with client_fail(). */
    bool (*open)(struct client *c);
    /* CONNECTED and CLOSED of kept connections, before the client handles them.  NULL: not needed.
     */
    void (*on_conn)(struct client *c, const struct spate_event *e);
    /* All connections are there: starts the load. */
    void (*begin)(struct client *c, uint64_t now_ns);
    void (*on_event)(struct client *c, const struct spate_event *e, uint64_t now_ns);
    /* Starts requests that are due; called once per turn.  Returns the latest time of the next
     * call. */
    uint64_t (*on_turn)(struct client *c, uint64_t now_ns);
    /* Whether all is done: with --bytes, that they have arrived; in the drain, that nothing
     * is waited for. */
    bool (*is_done)(const struct client *c);
    /* Called at the beginning (index 0) and at the end (1) of the measured part.  NULL: not needed.
     */
    void (*on_sample)(struct client *c, uint32_t index);
    /* Fills in what the scenario has counted. */
    void (*finish)(struct client *c, uint64_t now_ns);
    /* Whatever open() has done. */
    void (*close)(struct client *c);
};

extern const struct client_ops client_bulk_ops;
extern const struct client_ops client_rr_ops;
extern const struct client_ops client_handshake_ops;
extern const struct client_ops client_datagram_ops;
extern const struct client_ops client_messages_ops;
extern const struct client_ops client_mixed_ops; /* calls those of bulk and of rr */
extern const struct client_ops client_idle_ops;
extern const struct client_ops client_soak_ops; /* mixed, and points over time */

struct client {
    const struct client_setup *setup;
    const struct options *options;
    const struct client_ops *ops;
    void *state; /* handshake's, datagram's, messages', idle's or soak's; NULL: none */
    struct bulk *bulk;
    struct rr *rr;
    struct hold *hold;   /* bulk: slices that are kept for a while; NULL: none are */
    uint32_t bulk_count; /* the first connections, which bulk has; the others are rr's */
    struct failure *failure;
    struct result *result;

    struct spate_engine *engine;
    struct spate_shard *shard;
    struct host_loop loop;
    struct burden burden;
    struct spate_tls *tls;
    uint8_t *ticket; /* the newest, or NULL; for client_connect() */
    size_t ticket_size;
    struct client_conn *conns; /* conn_count of them */
    uint32_t conn_count;
    uint32_t open_count;
    uint32_t begun_count;   /* of `conns`: those below have been connected */
    uint32_t connect_count; /* calls of client_connect() */
    uint32_t address_index;

    enum phase phase;
    uint64_t phase_end_ns;   /* when it is over at the latest */
    uint64_t begin_ns;       /* of the load */
    uint64_t measure_end_ns; /* when the measured part is over by time */
    uint64_t progress_ns;    /* when the server was heard last, to CHECK_INTERVAL_NS */
    uint64_t packets_in;     /* at that time */
    uint64_t check_at_ns;    /* the next look at timeouts and at the other process */
    bool is_waiting;         /* something is expected from the server */
    uint32_t samples_asked;  /* of the server's process */

    uint64_t payload_in_bytes;
    uint64_t payload_out_bytes;
    uint64_t finished_count; /* requests or handshakes, for the progress line */
};

bool client_fail(struct client *c, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* "the server at 127.0.0.1:4433" */
#define CLIENT_PEER_SIZE (ADDRESS_TEXT_SIZE + 16)
void client_peer_text(const struct client *c, char *ret, size_t ret_size);

/* Whether what finishes now counts. */
static inline bool client_is_measuring(const struct client *c)
{
    return c->phase == PHASE_MEASURE;
}

/* Connects to the server's address that has answered, with the newest ticket if there is one.
 * Returns as spate_shard_connect_with(). */
int client_connect(struct client *c, void *user, struct spate_conn **ret,
                   struct spate_error *error);

/* Connects c->conns[index].  Returns false with client_fail(). */
bool client_connect_one(struct client *c, uint32_t index);

/* Takes a sample of both processes, without the sums over connections, and waits for the server's.
 * Without a process of our own `*ret_server` stays as it is.  Returns false with client_fail(). */
bool client_sample(struct client *c, struct sample *ret_client, struct sample *ret_server);

/* Sets the failure from a connection that has ended. */
void client_fail_closed(struct client *c, const struct spate_close *close);

/* Gives an event's bytes back, and counts `payload_size` of them as received. */
void client_release(struct client *c, const struct spate_event *e, size_t payload_size);

#endif
