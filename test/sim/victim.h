/* SPDX-License-Identifier: MIT */
#ifndef QS_VICTIM_H
#define QS_VICTIM_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/conn/conn.h"
#include "test/sim/host.h"
#include "test/sim/monkey.h"
#include "test/sim/oracle_path.h"
#include "test/sim/stream_table.h"

/* What the victim's application does with the bytes that it gets. */
enum qs_victim_mode {
    QS_VICTIM_READS,   /* takes them and gives credit at once */
    QS_VICTIM_HOLDS,   /* keeps the slices for a while */
    QS_VICTIM_IGNORES, /* keeps the slices until the connection ends, and gives no credit */
    QS_VICTIM_LENDS,   /* lends memory to some streams, and reads the others */
    QS_VICTIM_MODES,
};

struct qs_held_slice;
struct qs_victim_memory;

/* What the application knows of a stream. */
struct qs_victim_stream {
    uint64_t next_offset; /* of the bytes that come next */
    uint32_t memory_count;
    bool has_lent;
    bool fin_seen;
};

/* A server's connection whose peer is a monkey. */
struct qs_victim {
    struct qs_host *host;
    struct sp_conn *conn; /* NULL: freed */
    struct qs_random random;
    char who[16];
    enum qs_victim_mode mode;
    struct qs_monkey_report *report;
    struct qs_held_slice *held;
    struct qs_victim_memory *lent; /* memory to receive into */
    struct qs_stream_table streams;
    uint32_t acts_ppm; /* how often the application does something by itself */
    uint32_t answer_count;
    uint32_t lending_count; /* streams */
    uint64_t pinned_bytes;  /* of receive buffers that the connection or its application keeps */
    uint64_t object_count;  /* of the host's pools that are this connection's */
    uint64_t pool_bytes;
    uint64_t received_count; /* datagrams */
    uint64_t sent_count;     /* datagrams without bytes of streams */
    uint64_t timer_ns;
    struct qs_spins spins;
    uint64_t call_count;
    bool is_connected;
    bool is_closed;
    bool is_drained;
    struct qs_oracle_path paths; /* a place other than 0 proves that it receives by `proves` */
    /* Takes a datagram that the victim sends to `place`; borrowed during the call. */
    void (*answer)(void *context, uint32_t place, const uint8_t *data, size_t size);
    void *context;
};

/* Makes the connection for a client's first datagram.  The fields `host`, `report`, `mode`,
 * `acts_ppm`, `answer`, `context` and `random` are set before.  Returns false if there is none. */
bool qs_victim_start(struct qs_victim *victim, const uint8_t *data, size_t size);

struct qs_victim_datagram {
    uint8_t data[2048];
    size_t size;
    uint32_t place; /* of the address that it comes from; 0: the one of the handshake */
    /* It has the answer to a PATH_CHALLENGE that was sent to `proven`. */
    bool proves;
    uint32_t proven;
};

/* Receives a batch, whose kind is for the report, and lets the connection do all that it wants. */
void qs_victim_receive(struct qs_victim *victim, enum hostile_kind kind,
                       const struct qs_victim_datagram *datagrams, uint32_t count);

/* Frees the connection and what its application holds. */
void qs_victim_end(struct qs_victim *victim);

/* victim_app.c: the application. */
void qs_victim_event(struct qs_victim *victim, const struct sp_event *event);
/* Gives back slices whose time is up, and now and then acts by itself. */
void qs_victim_work(struct qs_victim *victim);
/* When qs_victim_work() has something to do; SB_NEVER: not. */
uint64_t qs_victim_app_deadline_ns(const struct qs_victim *victim);
/* The connection is gone: all is the application's again. */
void qs_victim_app_end(struct qs_victim *victim);

#endif
