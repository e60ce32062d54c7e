/* SPDX-License-Identifier: MIT */
#ifndef HOSTILE_H
#define HOSTILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/conn/conn.h"
#include "test/sim/random.h"

/* A client that completes a real handshake and then sends whatever it likes, without I/O.
 *
 *     hostile_host_init()
 *     hostile_create()
 *     loop until its state is not HOSTILE_HANDSHAKE:
 *            hostile_send() until it returns 0 | hostile_receive() | hostile_on_time()
 *     HOSTILE_READY:  hostile_fill() a packet's frames  ->  hostile_seal()  ->  send it
 *                     hostile_receive() what comes back
 *     hostile_destroy()
 *
 * A connection of proto/ makes the handshake.  Once it is confirmed the hostile client takes its
 * keys and its packet numbers, and the connection itself sends nothing any more: no congestion
 * control, no flow control but what hostile_fill() chooses to respect, no answer to anything. */

/* What hostile clients of one process share. */
struct hostile_host {
    struct sp_config config; /* change it before the first hostile_create() */
    struct sp_protect protect;
    const struct sp_tls_ops *tls_ops;
    struct sp_tls *(*make_tls)(void *context, uint64_t seed);
    void *context;
    struct sb_memory memory;
    struct sp_pools pools;
};

/* `protect`, `tls_ops` and `context` are borrowed until hostile_host_deinit(). */
void hostile_host_init(struct hostile_host *host, const struct sp_protect *protect,
                       const struct sp_tls_ops *tls_ops,
                       struct sp_tls *(*make_tls)(void *context, uint64_t seed), void *context);
/* All clients must have been destroyed.  Accepts a host of zeros. */
void hostile_host_deinit(struct hostile_host *host);

enum hostile_state {
    HOSTILE_HANDSHAKE,
    HOSTILE_READY,  /* the handshake is confirmed: packets are made by hand from here on */
    HOSTILE_CLOSED, /* a CONNECTION_CLOSE or a Stateless Reset came, or the handshake failed */
};

/* What hostile_fill() puts into a packet. */
enum hostile_kind {
    HOSTILE_ORDINARY,    /* one STREAM frame, in order, as large as fits: the measure */
    HOSTILE_MESSAGE,     /* one STREAM frame of 50 bytes, in order */
    HOSTILE_FRAGMENT,    /* one STREAM frame of one byte, every second byte */
    HOSTILE_FRAGMENTS,   /* .. as many of them as fit */
    HOSTILE_SWELL,       /* bytes in order until the window has grown, then fragments */
    HOSTILE_REPEAT,      /* one-byte STREAM frames that were sent before, at random places */
    HOSTILE_ACKS,        /* many ACK frames, valid */
    HOSTILE_ACK_ALL,     /* one ACK frame of everything that came lately */
    HOSTILE_ACK_RANGES,  /* one ACK frame with as many ranges as fit */
    HOSTILE_KEY_UPDATE,  /* a PING, in the next key phase as soon as the last one is acknowledged */
    HOSTILE_NEW_CIDS,    /* NEW_CONNECTION_ID that retire what came before */
    HOSTILE_RETIRE,      /* RETIRE_CONNECTION_ID of everything */
    HOSTILE_OPEN,        /* one STREAM frame that opens all streams that are allowed */
    HOSTILE_OPEN_EACH,   /* a STREAM frame per stream */
    HOSTILE_RESETS,      /* RESET_STREAM, RESET_STREAM_AT, STOP_SENDING of all streams */
    HOSTILE_CREDIT,      /* MAX_DATA and MAX_STREAM_DATA, one byte more each */
    HOSTILE_BLOCKED,     /* DATA_BLOCKED, STREAM_DATA_BLOCKED, STREAMS_BLOCKED */
    HOSTILE_CRYPTO,      /* CRYPTO frames of one byte, every second byte */
    HOSTILE_CHALLENGES,  /* PATH_CHALLENGE */
    HOSTILE_PINGS,       /* PING frames, as many as fit */
    HOSTILE_DATAGRAMS,   /* DATAGRAM frames of one byte, as many as fit, if the peer takes any */
    HOSTILE_TINY,        /* one PING: the smallest datagram that is acknowledged */
    HOSTILE_ANY,         /* frames of all kinds with random fields, most of them legal */
    HOSTILE_KINDS_LEGAL, /* the kinds above do not break the protocol by themselves */
    HOSTILE_ACK_UNSENT = HOSTILE_KINDS_LEGAL, /* an ACK of packets that were never sent */
    HOSTILE_KEY_RUSH,                         /* a PING in a packet of the next key phase */
    HOSTILE_GARBAGE,                          /* random bytes for frames */
    HOSTILE_KINDS,
};

/* Returns a name such as "key-update". */
const char *hostile_kind_name(enum hostile_kind kind);

enum { HOSTILE_SEEN_MAX = 256, HOSTILE_CHALLENGES_MAX = 16 };

struct hostile {
    struct hostile_host *host;
    struct sp_conn *conn; /* of the handshake; afterwards it owns the first keys */
    struct qs_random random;
    enum hostile_state state;

    /* Keys: of `conn`, or from the next phase on our own. */
    struct sp_key *read;
    struct sp_key *write;
    uint64_t read_phase;
    uint64_t write_phase;
    uint64_t write_first_pn; /* first number sent in write_phase */
    bool write_is_acked;     /* the peer has seen write_phase, or it is the first one */
    uint64_t next_pn;
    uint64_t largest_in; /* largest packet number that was opened; SB_VARINT_NONE: none */
    uint64_t seen[HOSTILE_SEEN_MAX]; /* a ring of opened numbers, which may be acknowledged */
    uint64_t seen_count;
    /* Only packets of so many bytes are counted as seen: 0 to SIZE_MAX, unless the owner changes
     * that. */
    size_t seen_size_min;
    size_t seen_size_max;
    uint8_t challenges[HOSTILE_CHALLENGES_MAX][SP_PATH_DATA_SIZE]; /* a ring of what came */
    uint64_t challenge_count;
    struct sp_cid dcid;

    /* As far as the peer has allowed. */
    uint64_t conn_limit;
    uint64_t conn_start;       /* the first conn_limit: stream 0 gets half of it and all growth */
    uint64_t stream_limit;     /* of stream 0 */
    uint64_t stream_start;     /* of any other bidirectional stream */
    uint64_t streams_limit[2]; /* bidirectional, unidirectional */
    uint64_t cid_sequence_in;  /* the largest of the CIDs that the peer has issued */

    /* What hostile_fill() has done so far. */
    uint64_t stream_offset; /* HOSTILE_ORDINARY, on stream 0 */
    uint64_t odd_offset;    /* HOSTILE_FRAGMENT(S), on stream 4 */
    uint64_t swell_offset;  /* HOSTILE_SWELL: the next fragment, on stream 0; 0: none yet */
    uint64_t odd_count;     /* fragments of it that were sent at least once */
    uint64_t repeat_depth;  /* HOSTILE_REPEAT: how many fragments before the last; 0: any */
    uint64_t crypto_offset;
    uint64_t cid_sequence;
    uint64_t retire_sequence;
    uint64_t stream_next[2]; /* the next one that OPEN_EACH and RESETS name */
    uint64_t credit;         /* beyond what the transport parameters gave */

    uint64_t opened_count; /* packets of the peer */
    uint64_t bytes_in;     /* of STREAM frames */
};

/* Makes a client whose handshake is to be carried.  NULL without memory. */
struct hostile *hostile_create(struct hostile_host *host, const struct sp_path *path, uint64_t seed,
                               uint64_t now_ns);
void hostile_destroy(struct hostile *hostile); /* NULL is accepted */

/* Writes the handshake's next datagram.  Returns its size; 0: nothing to send now. */
size_t hostile_send(struct hostile *hostile, uint8_t *out, size_t room, uint64_t now_ns);
/* Takes a datagram; it is copied. */
void hostile_receive(struct hostile *hostile, const uint8_t *data, size_t size, uint64_t now_ns);
/* Runs the handshake's timers. */
void hostile_on_time(struct hostile *hostile, uint64_t now_ns);

/* HOSTILE_READY: writes the frames of one packet of `kind`, up to `room` bytes.  Returns their
 * size, at least 1. */
size_t hostile_fill(struct hostile *hostile, enum hostile_kind kind, uint8_t *out, size_t room);

/* HOSTILE_READY: makes the datagram of one packet with these frames.  `room` must be 64 bytes more
 * than `size`.  Returns the datagram's size. */
size_t hostile_seal(struct hostile *hostile, const uint8_t *frames, size_t size, uint8_t *out,
                    size_t room);

/* HOSTILE_READY: the packets that follow have the next key phase.  If the peer has not acknowledged
 * a packet of the current one, that is an error.  [RFC9001 6.1] */
void hostile_update_key(struct hostile *hostile);

/* Makes a datagram of 1,200 bytes with one Initial of a client that nobody has authenticated: these
 * frames, and PADDING.  The CIDs are the caller's, so that several datagrams can belong together.
 * Returns its size; 0 without memory. */
size_t hostile_initial(const struct sp_protect *protect, const struct sp_cid *dcid,
                       const struct sp_cid *scid, uint64_t pn, const uint8_t *frames, size_t size,
                       uint8_t out[SP_DATAGRAM_SIZE_MIN]);

#endif
