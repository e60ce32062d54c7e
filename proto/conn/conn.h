/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_H
#define SP_CONN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/pool.h"
#include "proto/conn/event.h"
#include "proto/wire/header.h"
#include "proto/packet/protect.h"
#include "proto/conn/stats.h"
#include "proto/packet/tls.h"
#include "proto/recovery/cc.h"
#include "proto/stream/copies.h"
#include "proto/wire/qlog.h"
#include "proto/wire/types.h"

/* A QUIC connection, either role, without I/O.  [RFC9000]
 *
 * Datagrams and time go in, datagrams and events come out, and nothing is ever
 * called back.  Usage order, on one thread:
 *
 *     sp_conn_create()
 *     loop:  sp_conn_receive() | an operation on a stream | sp_conn_on_deadline()
 *            sp_conn_next_event() until it returns false
 *            sp_conn_send() until it returns 0
 *            sleep until sp_conn_deadline_ns()
 *     sp_conn_bury()         after SP_EVENT_CLOSED: a tombstone takes its place
 *     sp_conn_destroy()      after that, after SP_EVENT_DRAINED, or at any time
 *
 * `now_ns` never goes backwards.  Received bytes are handed out as slices of the datagrams, or
 * written into memory that was lent for them.  Bytes to send are lent, and read again when a packet
 * with them was lost. */

struct sp_conn;
struct sp_tombstone;

/* A connection without anything in flight rests after so long without a packet, or after three PTOs
 * if they are longer: see conn/rest.c.  Longer than the pauses of a connection that is in use:
 * waking takes 2 us. */
#define SP_REST_AFTER_NS SB_S

/* Timers of idle connections are due at multiples of this, 34 ms.  A shard with many of them wakes
 * up once for all that are due, at most 30 times a second, and what they send leaves together.  It
 * is no longer because a socket holds only some 5,000 small datagrams of a burst. */
#define SP_COARSE_NS (UINT64_C(1) << 25)

/* The configuration: constant, shared by connections. */
struct sp_config {
    uint64_t idle_timeout_ns;         /* 0: none */
    uint64_t keep_alive_ns;           /* silence after which a PING is sent; 0: none */
    uint64_t handshake_timeout_ns;    /* 0: none; but see handshake_deadline() */
    uint64_t ack_delay_ns_max;        /* we delay an ACK by at most this; < 2^14 ms */
    size_t datagram_size_max;         /* UDP payload bytes we send once it is safe; >= 1200 */
    uint64_t stream_window_bytes;     /* receive window at the start */
    uint64_t stream_window_bytes_max; /* receive window up to which auto-tuning goes */
    uint64_t conn_window_bytes;
    uint64_t conn_window_bytes_max;
    uint64_t streams_bidi_max;  /* bidirectional streams that the peer may have open */
    uint64_t streams_uni_max;   /* unidirectional streams that the peer may have open */
    uint64_t streams_local_max; /* streams that we may have open at a time, both kinds together */
    uint8_t cid_size;           /* of the CIDs that we issue: 4 to 20 */
    bool migration; /* we allow the peer to move to another address (disable_active_migration).  A
                       rebinding of its NAT is followed in any case */
    bool ecn;       /* mark our packets ECT(0) while the path passes it on */
    bool pacing;
    uint64_t conn_rate_bytes_per_s_max; /* see sp_conn_set_rate_limit(); 0: none */
    enum sp_cc_kind cc_kind;            /* the congestion controller */
    uint64_t fixed_rate_bytes_per_s;    /* the rate of SP_CC_FIXED; at least 1 */
    uint64_t initial_rtt_ns;            /* assumed until it is measured.  [RFC9002 6.2.2] */
    uint32_t initial_window_packets;    /* of a new path.  [RFC9002 7.2] */
    struct sp_versions versions;        /* of QUIC that we speak, the preferred one first */
    /* Bytes of the largest DATAGRAM frame that we accept, with its type and length; 0: none.
     * [RFC9221 3] */
    uint32_t message_frame_size_max;
    uint32_t message_count_max; /* messages that wait to be sent; and those that wait to be taken */
    uint64_t message_bytes_max; /* bytes in them */
    bool grease; /* accept packets without the fixed bit, and use reserved values.  [RFC9287] */
    uint64_t key_update_packets; /* packets sent with one key; 0: up to the cipher's limit */
    bool spin_bit;               /* use the spin bit, on 15 of 16 connections.  [RFC9000 17.4] */
    uint32_t first_version;      /* client: of its first flight; 0: the preferred one */
    bool
        follow_preferred; /* client: report the addresses that the server prefers.  [RFC9000 9.6] */
    bool orders_versions; /* server: our order of preference decides, not the client's */
    bool reset_stream_at; /* let the peer reset streams with a reliable size.  [reliable-reset 3] */
    bool ack_frequency;   /* let the peer choose our ACKs, and choose its own.  [ack-frequency 3] */
};

/* Sets usable values: windows of 1 MiB growing to 128 MiB, 30 s idle, 100 streams. */
void sp_config_init(struct sp_config *config);

/* Bounds for the pools that the connections of one shard share. */
struct sp_pool_limits {
    uint32_t conns_max;
    uint32_t streams_max;
};

/* The pools for all memory of connections: one set per shard. */
struct sp_pools {
    struct sb_memory *memory;
    /* Connections that hold more than so many bytes give no more credit: the caller sets it while
     * memory is short.  UINT64_MAX: it is not. */
    uint64_t share_bytes;
    /* The windows of all connections grow by so many bytes at most: the caller sets it once, before
     * the first connection.  UINT64_MAX: each up to conn_window_bytes_max.
     *
     *     widened_bytes = sum of what windows of connections have beyond conn_window_bytes
     *     widened_bytes <= widen_bytes_max */
    uint64_t widen_bytes_max;
    uint64_t widened_bytes;
    struct sb_pool conns;
    struct sb_pool handshakes;  /* state that a connection needs until it is confirmed */
    struct sb_pool earlies;     /* state of connections with 0-RTT */
    struct sb_pool paths;       /* those beside the first of a connection */
    struct sb_pool validations; /* of paths */
    struct sb_pool models;      /* of paths with BBR */
    struct sb_pool careful;     /* of paths that an earlier connection has measured */
    struct sb_pool streams;
    struct sb_pool chunks;         /* references to lent bytes to send */
    struct sb_pool pieces;         /* references to received bytes that wait */
    struct sb_pool lent;           /* references to memory lent for received bytes */
    struct sb_pool messages;       /* payloads of DATAGRAM frames, sent or received */
    struct sb_pool message_states; /* of connections that have any */
    struct sb_pool priorities;     /* of connections that use any */
    struct sb_pool ranges;
    struct sb_pool acks;     /* ranges of received packets, of spaces that have many */
    struct sb_pool packets;  /* blocks of sent packets */
    struct sb_pool frames;   /* records of the frames in sent packets */
    struct sp_copies copies; /* of received bytes */
};

/* `memory` is borrowed until sp_pools_deinit(). */
void sp_pools_init(struct sp_pools *pools, const struct sp_pool_limits *limits,
                   struct sb_memory *memory);
/* Allocates a few free objects of each kind that a connection needs at rare moments (a loss, a
 * packet out of order), as far as there is memory: allocating then would delay recovery. */
void sp_pools_reserve(struct sp_pools *pools);
/* Frees the pools.  All connections must have been destroyed, and all slices of copies released. */
void sp_pools_deinit(struct sp_pools *pools);
/* Takes back the copies that the application still holds: slices of them become invalid.  For a
 * caller that ends without waiting for them.  All connections must have been destroyed. */
void sp_pools_reclaim(struct sp_pools *pools);
/* Copies received bytes that wait in buffers of which they use a small part, so that those buffers
 * are released.  Call it after each batch of sp_conn_receive(), with `is_scarce` if there are few
 * buffers left: then it looks also at some bytes that have waited for longer.  A buffer whose
 * `size` is 0 is left alone. */
void sp_pools_compact(struct sp_pools *pools, bool is_scarce);
/* Returns the objects in use, over all pools: 0 after all connections were destroyed. */
uint64_t sp_pools_used(const struct sp_pools *pools);

/* Functions that a connection calls in its host. */
struct sp_host {
    /* Fills `out` with bytes that nobody can predict. */
    void (*random)(void *context, void *out, size_t size);
    /* Writes the Stateless Reset token of a CID that we issue.  [RFC9000 10.3.2] */
    void (*reset_token)(void *context, const struct sp_cid *cid,
                        uint8_t ret_token[SP_RESET_TOKEN_SIZE]);
    /* Makes a CID of `size` bytes: random, or one that encodes a route. */
    void (*make_cid)(void *context, size_t size, struct sp_cid *ret);
    /* Makes the TLS handshake.  Called for a server only after the first packet authenticated, so
     * that garbage of an unauthenticated peer costs no TLS state.  Returns NULL without memory or
     * budget. */
    struct sp_tls *(*make_tls)(void *context);
    void *context;
    /* Server: makes the token of a NEW_TOKEN frame.  Returns its size, 0 for none.  NULL: none is
     * sent.  [RFC9000 8.1.3] */
    size_t (*new_token)(void *context, uint8_t ret_token[SP_NEW_TOKEN_SIZE_MAX]);
};

struct sp_conn_args {
    enum sp_role role;
    const struct sp_config *config; /* borrowed until the end, like the next four */
    struct sp_pools *pools;
    struct sp_protect protect;
    const struct sp_tls_ops *tls_ops;
    struct sp_host host;
    struct sp_path path;
    /* Server: both CIDs of the client's first Initial.  Client: ignored, it chooses its own. */
    struct sp_cid client_dcid;
    struct sp_cid client_scid;
    /* Of the client's first flight; 0, for a client: the preferred one. */
    uint32_t version;
    /* Versions of QUIC that this connection may have, the preferred one first.  Without any: those
     * of `config`, and a `version` of 0 is config->first_version. */
    struct sp_versions versions;
    bool address_is_valid; /* server: a token has proved the client's address */
    /* Server: the client repeats its Initial with the token of a Retry packet.  `client_dcid` is
     * the source CID of that Retry, and `original_dcid` the destination CID of the Initial before
     * it. [RFC9000 7.3] */
    bool has_retry;
    struct sp_cid original_dcid;
    /* Client, both copied and empty if there is none.  `early_params`: the server's transport
     * parameters in the connection that TLS resumes, encoded; if TLS offers 0-RTT.  If they cannot
     * be read, no 0-RTT packets are sent.  `token`: of a NEW_TOKEN frame; a longer one than
     * SP_NEW_TOKEN_SIZE_MAX is ignored.  [RFC9000 7.4.1, 8.1.3] */
    struct sb_bytes early_params;
    struct sb_bytes token;
    /* Server: the addresses to which it wants the client to move, copied; NULL: none.
     * [RFC9000 9.6] */
    const struct sp_preferred *preferred;
    /* CIDs that the peer has at a time, up to SP_CIDS_MAX and its own limit; the one of preferred
     * addresses comes in addition.  A server with 1 asks its client not to move.  0: SP_CIDS_MAX.
     * [RFC9000 5.1.1] */
    uint32_t cid_count_max;
    /* Gets records of what happens: see proto/wire/qlog.h.  Borrowed until the connection is
     * destroyed.  NULL: nothing is recorded. */
    struct sp_qlog *qlog;
};

/* Makes a connection.  A client then has its first flight to send.  A server waits for
 * sp_conn_receive() with the datagram that it was made for.  Returns NULL without memory, and owns
 * nothing then. */
SB_MUST_USE struct sp_conn *sp_conn_create(const struct sp_conn_args *args, uint64_t now_ns);

/* Frees all.  Held slices stay valid; lent bytes are the caller's again.  NULL is accepted. */
void sp_conn_destroy(struct sp_conn *conn);

/* Does a part of sp_conn_destroy(): returns false when `*steps`, which it counts down, is 0 before
 * all is freed.  Then only this function may be called with `conn`, until it returns true.  Takes
 * about 50 ns per step; a connection takes 200, and as many as it has packets in flight, frames
 * in them and 4 times its streams. */
SB_MUST_USE bool sp_conn_destroy_some(struct sp_conn *conn, uint32_t *steps);

/* Processes a batch of datagrams, in the order of arrival, and then decides once whether to send an
 * ACK.  Overwrites the bytes of the datagrams. */
void sp_conn_receive(struct sp_conn *conn, const struct sp_datagram *datagrams, uint32_t count,
                     uint64_t now_ns);

/* Returns true once a packet of the peer has authenticated, and at a server only if a ClientHello
 * has begun.  Destroy a server's connection for which this is false after its first batch: it was
 * made for garbage, or for an Initial that begins nothing, and has sent nothing. */
bool sp_conn_is_authenticated(const struct sp_conn *conn);
/* Returns true while the handshake is not complete, and counts against the handshake budget. */
bool sp_conn_is_handshaking(const struct sp_conn *conn);

/* What became of 0-RTT.  [RFC9001 4.6.2] */
enum sp_early_state {
    SP_EARLY_NONE,    /* client: not offered; server: not offered, or not decided yet */
    SP_EARLY_OFFERED, /* client: it may be sent, and the server has not answered */
    SP_EARLY_ACCEPTED,
    SP_EARLY_REJECTED,
};
enum sp_early_state sp_conn_early(const struct sp_conn *conn);
/* Returns whether bytes or the end of a stream of the peer, if there is one, came in 0-RTT. */
bool sp_conn_stream_is_early(const struct sp_conn *conn, uint64_t id);

bool sp_conn_is_closed(const struct sp_conn *conn); /* closing, draining or drained */
bool sp_conn_is_drained(const struct sp_conn *conn);
/* Returns whether the connection is idle and has given back what it needs only for packets: its
 * next one takes memory for keys again. */
bool sp_conn_is_resting(const struct sp_conn *conn);
/* Returns true if the peer has proved that it receives what is sent to its address: by a token or a
 * Handshake packet.  Always true at a client.  [RFC9000 8.1] */
bool sp_conn_is_address_valid(const struct sp_conn *conn);

/* Fills one train of up to `count_max` datagrams.  Returns their number; 0 if nothing may be sent
 * now.  Call it until it returns 0.  It never ends the connection: if memory has run out, or the
 * key may seal no more packets, it returns 0 and sp_conn_on_deadline(), which is due, ends it. */
SB_MUST_USE uint32_t sp_conn_send(struct sp_conn *conn, struct sp_train *train, uint64_t now_ns);

/* Why sp_conn_send() returns 0.  Each comment names what ends that wait. */
enum sp_wait {
    SP_WAIT_NONE,          /* nothing: sp_conn_send() has something to do now */
    SP_WAIT_IDLE,          /* nothing to send: an application's call or a datagram of the peer; a
                              keep-alive at `at_ns` */
    SP_WAIT_ACK_DELAY,     /* an ACK alone: it leaves at `at_ns`, or with whatever leaves before */
    SP_WAIT_CWND,          /* the congestion window is full, or without pacing a burst has left: an
                              ACK, or the loss timer at `at_ns` */
    SP_WAIT_PACER,         /* time: more credit at `at_ns` */
    SP_WAIT_HELD,          /* a rate limit of the host: sp_conn_send() with a train that is not
                              held */
    SP_WAIT_TRAIN,         /* a train would be cut short by the congestion window: as for CWND */
    SP_WAIT_AMPLIFICATION, /* an unproven address got enough: a datagram of the peer, whose PTO is
                              armed.  [RFC9000 8.1, RFC9002 6.2.2.1]  After the handshake also the
                              end of the path's validation, or of the connection, at `at_ns` */
    SP_WAIT_CONN_CREDIT,   /* flow control: MAX_DATA of the peer; DATA_BLOCKED again at `at_ns` */
    SP_WAIT_STREAM_CREDIT, /* flow control: MAX_STREAM_DATA of the peer, of at least one stream;
                              STREAM_DATA_BLOCKED again at `at_ns` */
    SP_WAIT_KEY,           /* a key that does not exist yet: a handshake message of the peer */
    SP_WAIT_EXHAUSTED,     /* the handshake's keys may seal nothing more: its timeout, unless the
                              peer gets on without us.  [RFC9001 6.6] */
    SP_WAIT_MEMORY,        /* no memory to record a packet, or credit is held back: tried again at
                              `at_ns`, or when other connections have given some back */
    SP_WAIT_ENDING,        /* the connection cannot go on: sp_conn_on_deadline() ends it, now */
    SP_WAIT_CLOSED,        /* a packet of the peer that is answered with CONNECTION_CLOSE, if we
                              closed; the connection is drained at `at_ns` */
};

/* `at_ns`: when the connection acts by itself at the latest; SB_NEVER if only the event of
 * `reason` can end the wait.  A CWND wait has no timer before the handshake is confirmed if
 * only 1-RTT packets are in flight: the peer's PTO brings what confirms it.  [RFC9002 6.2.1] */
struct sp_send_wait {
    enum sp_wait reason;
    uint64_t at_ns;
};

/* Explains why sp_conn_send() with a train of `train_count` datagrams sends nothing at `now_ns`.
 * A host that holds trains asks with the time at which the last one departs, if that is later.
 * Changes nothing.  If there are several reasons, returns the one that the sender checks first.
 * After sp_conn_send() returned 0 for such a train, sp_conn_deadline_ns() is `at_ns` or earlier. */
SB_MUST_USE struct sp_send_wait sp_conn_send_wait(const struct sp_conn *conn, uint32_t train_count,
                                                  uint64_t now_ns);

/* Returns the reason of sp_conn_send_wait() for a train like the last one that sp_conn_send() got.
 * Call it behind sp_conn_send(), before anything else is done to the connection. */
SB_MUST_USE enum sp_wait sp_conn_last_wait(const struct sp_conn *conn, uint64_t now_ns);

/* Returns a few words for people. */
const char *sp_wait_name(enum sp_wait reason);

/* Returns when to call sp_conn_on_deadline() next; SB_NEVER if no timer is armed.  A time that has
 * passed means now.  After that call, sp_conn_send() may have something to send. */
uint64_t sp_conn_deadline_ns(const struct sp_conn *conn);
void sp_conn_on_deadline(struct sp_conn *conn, uint64_t now_ns);

/* The same for a host that has received what arrived until `heard_ns`.  What the peer is waited for
 * (ACKs, the handshake, any packet) counts as missing only if it was due until then. */
void sp_conn_on_deadline_heard(struct sp_conn *conn, uint64_t now_ns, uint64_t heard_ns);
/* Returns true if it would do nothing: more must be received before. */
bool sp_conn_must_listen(const struct sp_conn *conn, uint64_t now_ns, uint64_t heard_ns);
/* Returns when something is due whatever the peer sends: SB_NEVER, if nothing is. */
uint64_t sp_conn_own_deadline_ns(const struct sp_conn *conn);

/* The system refused to send a datagram of `size` bytes, because it is larger than the path takes
 * (EMSGSIZE).  Call sp_conn_send() afterwards. */
void sp_conn_on_too_large(struct sp_conn *conn, size_t size, uint64_t now_ns);

/* Releases a part of what an ended connection holds: its packets in flight, and the bytes of its
 * streams.  Returns false when `*steps`, which it counts down, is 0 before all is released: see
 * sp_conn_destroy_some().  sp_conn_next_event() would release all the rest at once. */
SB_MUST_USE bool sp_conn_unwind(struct sp_conn *conn, uint32_t *steps);

/* Takes the next event.  Returns false, and leaves `*ret` untouched, if there is none. */
SB_MUST_USE bool sp_conn_next_event(struct sp_conn *conn, struct sp_event *ret);

/* Takes up to `count_max` further slices of the stream that the SP_EVENT_STREAM_DATA taken last is
 * about, and nothing was called since.  They follow its bytes; each counts as handed out, like
 * those of the event.  Returns their number.  `*ret_fin`: the stream ends after them, or if there
 * are none after the bytes of the event; do not call it for an event that has `fin`. */
SB_MUST_USE uint32_t sp_conn_more_data(struct sp_conn *conn, uint64_t stream_id,
                                       struct sb_slice *ret, uint32_t count_max, bool *ret_fin);

/* Takes the next event about routes: CID_ADDED, CID_REMOVED, TOKEN_ADDED or TOKEN_REMOVED.  For a
 * caller that has no room for other events but must route the next datagram. */
SB_MUST_USE bool sp_conn_next_route(struct sp_conn *conn, struct sp_event *ret);
/* Returns whether sp_conn_next_route() may have an event: false is certain. */
bool sp_conn_may_have_route(const struct sp_conn *conn);

/* Takes the next SP_EVENT_STREAM_OPENED, for an application that must process all of these first.
 */
SB_MUST_USE bool sp_conn_next_opened(struct sp_conn *conn, struct sp_event *ret);

/* The result of an operation on a stream. */
enum sp_result {
    SP_DONE,
    SP_AGAIN,       /* not now: a limit of streams (open), or of lent buffers (receive_into) */
    SP_GONE,        /* no such stream, or that part of it is closed */
    SP_INVALID,     /* the stream has no such part, or an argument is out of range */
    SP_CLOSED,      /* the connection is closed */
    SP_NO_MEMORY,   /* try again later: no event reports that there is memory */
    SP_UNSUPPORTED, /* the peer lacks the extension */
};

/* Opens a stream.  SP_AGAIN: at the limit of the peer or of the configuration.
 * SP_EVENT_STREAMS_AVAILABLE follows when that has changed.  It does not after SP_NO_MEMORY. */
SB_MUST_USE enum sp_result sp_conn_open(struct sp_conn *conn, bool is_uni, uint64_t *ret_id);

/* Returns the pointer of sp_conn_stream_set_user(); NULL: there is none, or no such stream. */
void *sp_conn_stream_user(const struct sp_conn *conn, uint64_t id);

/* Returns how many streams exist, of both sides and both kinds. */
uint64_t sp_conn_stream_count(const struct sp_conn *conn);
/* Returns whether a MAX_STREAMS frame waits to be sent. */
bool sp_conn_owes_streams(const struct sp_conn *conn);
/* Returns whether sp_conn_open() has opened a stream, or a message waits, was sent, or was given up
 * and has a result. */
bool sp_conn_has_begun(const struct sp_conn *conn);

struct sp_write {
    const void *data; /* lent until the SP_EVENT_STREAM_SENT with `tag` */
    size_t size;      /* may be 0 with `fin` */
    uint64_t tag;     /* returned once per write, also for an empty one */
    bool fin;
};

/* Queues bytes.  They are lent only if the result is SP_DONE. */
SB_MUST_USE enum sp_result sp_conn_write(struct sp_conn *conn, uint64_t id,
                                         const struct sp_write *write);

struct sp_writev {
    const struct sb_bytes *ranges; /* each lent as by sp_write; the list itself is not */
    size_t count;
    uint64_t tag; /* returned once for all of them */
    bool fin;
};

/* Queues several ranges in order, which come back by one SP_EVENT_STREAM_SENT.  All of them are
 * lent if the result is SP_DONE, otherwise none. */
SB_MUST_USE enum sp_result sp_conn_writev(struct sp_conn *conn, uint64_t id,
                                          const struct sp_writev *write);

/* How far the sending part of a stream has come, in bytes from its start. */
struct sp_progress {
    uint64_t queued_bytes; /* by the application */
    uint64_t credit_bytes; /* that the peer allows */
    uint64_t sent_bytes;   /* at least once */
    uint64_t acked_bytes;  /* without a gap; after a reset as before it */
    bool fin_queued;
    bool fin_acked;
    uint64_t wanted_bytes; /* that should be queued and not acknowledged: two windows */
};

SB_MUST_USE enum sp_result sp_conn_progress(const struct sp_conn *conn, uint64_t id,
                                            struct sp_progress *ret);

/* Urgencies, 0 is the most urgent, and the one that streams begin with.  [RFC9218 4.1] */
enum { SP_URGENCY_FIRST = 3, SP_URGENCY_MAX = 7 };

/* Changes the priority of the sending part: conn/schedule.h says what it means.  Streams begin with
 * SP_URGENCY_FIRST, incremental. */
SB_MUST_USE enum sp_result sp_conn_stream_set_priority(struct sp_conn *conn, uint64_t id,
                                                       uint32_t urgency, bool is_incremental);

/* Abandons the sending part.  [RFC9000 19.4]  SP_EVENT_STREAM_SENT returns the lent bytes. */
SB_MUST_USE enum sp_result sp_conn_reset(struct sp_conn *conn, uint64_t id, uint64_t error);

/* Abandons what follows the first `reliable_size` bytes, 0 to those queued; earlier bytes are
 * delivered.  Again with a smaller size: that counts, and the first error.  SP_UNSUPPORTED: the
 * peer does not know RESET_STREAM_AT.  SP_EVENT_STREAM_SENT returns the lent bytes, those with
 * bytes below the boundary when these are acknowledged.  [reliable-reset 5] */
SB_MUST_USE enum sp_result sp_conn_reset_at(struct sp_conn *conn, uint64_t id, uint64_t error,
                                            uint64_t reliable_size);

/* Asks the peer to stop; what still arrives is discarded.  [RFC9000 19.5] */
SB_MUST_USE enum sp_result sp_conn_stop(struct sp_conn *conn, uint64_t id, uint64_t error);

/* Gives the peer credit for `size` received bytes of stream `id`, which the application no longer
 * needs.  The stream may be closed already.  Asserts that no more is returned than was handed
 * out. */
void sp_conn_consume(struct sp_conn *conn, uint64_t id, uint64_t size);

struct sp_lend {
    uint8_t *data; /* lent until an SP_EVENT_STREAM_PLACED with is_returned */
    uint64_t size; /* at least 1, below 2^62 */
    uint64_t tag;  /* repeated in each event about these bytes */
};

/* Lends memory for the next `size` bytes of the stream that have not been delivered, after those
 * for which memory was lent before.  The cipher writes the bytes there if it can; otherwise they
 * are copied.  SP_EVENT_STREAM_PLACED reports them, and they count as consumed then.  Bytes that
 * were not reported are undefined, because a forged packet may have overwritten them.  After the
 * first call the stream has no SP_EVENT_STREAM_DATA: its bytes wait until memory is lent.  When the
 * connection ends, bytes that still wait come by SP_EVENT_STREAM_DATA.
 * `*ret_offset`: the offset of the memory's first byte in the stream.  SP_AGAIN: too many buffers,
 * or no memory. */
SB_MUST_USE enum sp_result sp_conn_receive_into(struct sp_conn *conn, uint64_t id,
                                                const struct sp_lend *lend, uint64_t *ret_offset);

SB_MUST_USE enum sp_result sp_conn_stream_set_user(struct sp_conn *conn, uint64_t id, void *user);

/* Replaces all CIDs of ours: issues new ones, as soon as the handshake is complete, and asks the
 * peer to retire the others.  Those stay valid until it does.  `count_max`: as cid_count_max of
 * struct sp_conn_args, from now on; with SP_CIDS_MAX the first new one may have to wait until the
 * peer retires one by itself.  Does nothing on a closed connection.  [RFC9000 5.1.2] */
void sp_conn_renew_cids(struct sp_conn *conn, uint32_t count_max);
/* Returns whether the peer has not retired all CIDs that sp_conn_renew_cids() replaced. */
bool sp_conn_has_old_cids(const struct sp_conn *conn);

/* Updates the 1-RTT keys as soon as the peer may follow: the handshake is confirmed, and it has
 * acknowledged a packet of the update before.  The next packet to be sent has the new ones.
 * [RFC9001 6]  SP_CLOSED, or SP_DONE: also if an update waits already. */
SB_MUST_USE enum sp_result sp_conn_update_keys(struct sp_conn *conn);

/* Returns the version of QUIC.  It is final once the handshake is complete. */
uint32_t sp_conn_version(const struct sp_conn *conn);

/* Closes with an application's error.  [RFC9000 10.2]  Later calls are ignored.  Received bytes
 * that no event has delivered are dropped. `error` is below 2^62.  `reason` is copied, cut at
 * SP_REASON_SIZE_MAX. */
void sp_conn_close(struct sp_conn *conn, uint64_t error, const char *reason, size_t reason_size,
                   uint64_t now_ns);
/* Closes with a transport error: for hosts that shut down or run out of memory. */
void sp_conn_close_transport(struct sp_conn *conn, enum sp_err error, const char *reason,
                             uint64_t now_ns);

/* Ends a connection whose peer cannot be reached: nothing more is sent, and as no answer can come
 * that would need one, it is drained at once. */
void sp_conn_abandon(struct sp_conn *conn, enum sp_err error, const char *reason, uint64_t now_ns);

/* Ends the connection: a datagram that ends in one of the peer's reset tokens arrived.
 * [RFC9000 10.3.1] */
void sp_conn_on_stateless_reset(struct sp_conn *conn, uint64_t now_ns);

/* Writes what must stay of a closed connection (conn/tombstone.h).  Returns true if it did: the
 * connection sends nothing more and can only be destroyed.  Returns false, and changes nothing, if
 * SP_EVENT_CLOSED was not taken, the CONNECTION_CLOSE waits to be sent, the connection is drained,
 * or its answer is too large to be kept: that of a client before it has Handshake keys, whose
 * datagrams have at least 1200 bytes [RFC9000 14.1].  Then it stays until SP_EVENT_DRAINED. */
SB_MUST_USE bool sp_conn_bury(struct sp_conn *conn, struct sp_tombstone *ret);

/* An earlier connection has measured the path in use: see proto/recovery/careful.h.  Call it when
 * SP_EVENT_CONNECTED was taken, before much is sent.  Without pacing, with a controller that does
 * not take it, without memory, and if it was called before, it does nothing. */
void sp_conn_resume_path(struct sp_conn *conn, const struct sp_careful_saved *saved);
/* Gets what the connection has measured of the path in use, for a later one until `until_ns`: at
 * its end.  Returns false if that is of no use. */
bool sp_conn_observe_path(const struct sp_conn *conn, uint64_t now_ns, uint64_t until_ns,
                          struct sp_careful_saved *ret);

/* TLS has got the answer for which SP_EVENT_TLS_WAIT asked: works off what follows from it.  The
 * answer may come at any time, also from a call of this connection's owner that TLS does not know.
 * Does nothing once the connection is closed. */
void sp_conn_resume_tls(struct sp_conn *conn, uint64_t now_ns);

/* Client: moves the connection to path `to`, whose `remote` is the peer's address, once
 * PATH_RESPONSE has proved that it works.  [RFC9000 9.2]  SP_EVENT_PATH reports the outcome; until
 * then, and if it fails, the present path is used.  SP_INVALID: a server, or the peer forbids it
 * (disable_active_migration).  SP_AGAIN: the handshake is not confirmed, another move goes on, `to`
 * is in use, or the peer has issued no CID for another path. */
SB_MUST_USE enum sp_result sp_conn_migrate(struct sp_conn *conn, const struct sp_path *to,
                                           uint64_t now_ns);

/* Client: moves to `to`, whose `remote` is one of those that SP_EVENT_PREFERRED has reported, as
 * sp_conn_migrate() does.  Not even a server that forbids moves forbids this one, and after it
 * none. [RFC9000 9.6, 18.2] */
SB_MUST_USE enum sp_result sp_conn_move_to_preferred(struct sp_conn *conn, const struct sp_path *to,
                                                     uint64_t now_ns);

/* Limits what is sent to `bytes_per_s`, at least 1; 0: no limit.  It bounds the rate of the pacer,
 * also without `pacing`.  ACKs alone and probes of paths are neither held back nor counted. */
void sp_conn_set_rate_limit(struct sp_conn *conn, uint64_t bytes_per_s, uint64_t now_ns);

/* What a host that shares something between its connections asks of each. */
struct sp_flight {
    uint64_t bytes;      /* in flight on the path in use [RFC9002 2] */
    uint64_t rtt_min_ns; /* its shortest round trip; SB_NEVER: not measured yet */
    uint64_t lost_count; /* packets that were declared lost on that path, ever */
};
struct sp_flight sp_conn_flight(const struct sp_conn *conn);

/* Returns whether the connection has something to send that only a held train keeps back. */
bool sp_conn_is_held(const struct sp_conn *conn, uint64_t now_ns);

/* Returns whether only the pacer kept the last train from being made, or from being longer. */
bool sp_conn_is_pacer_blocked(const struct sp_conn *conn);

/* The host has it take turns of so many trains, which the pacer then cuts no shorter; 0: none. */
void sp_conn_set_turns(struct sp_conn *conn, uint32_t train_count);

/* Returns the number of the path in use, which no other path of the connection ever has. */
uint32_t sp_conn_path_number(const struct sp_conn *conn);

/* Returns the path in use. */
const struct sp_path *sp_conn_path(const struct sp_conn *conn);

/* Returns the number of paths, at least 1: the one in use, and those beside it. */
uint32_t sp_conn_path_count(const struct sp_conn *conn);

/* Returns whether a path of the connection has this `socket`: the host must keep it then.  Look
 * again after the events about routes. */
bool sp_conn_uses_socket(const struct sp_conn *conn, uint64_t socket);

struct sp_tls *sp_conn_tls(struct sp_conn *conn); /* NULL before it is made, and once released */
/* Frees the TLS handshake of a closed connection, which needs it no more: its keys stay. */
void sp_conn_release_tls(struct sp_conn *conn);
/* Returns the bytes that the connection holds because of what the peer has sent:
 *
 *   - received bytes that wait, with their administration;
 *   - copies, those in slices that the application holds included;
 *   - the bytes of all slices that the application has not returned by sp_conn_consume();
 *   - packets that wait for their keys, at most SP_UNDECRYPTABLE_MAX;
 *   - a client's tokens of NEW_TOKEN frames, at most two: the one in use, and one not taken.
 *
 * Without the last two, at most SP_HELD_BYTES_PER_CREDIT_MAX bytes per byte of credit that the peer
 * has used and the application has not returned, and SP_HELD_BYTES_PER_STREAM_MAX per stream,
 * whatever the fragments, as long as slices of a stream are released in order. */
uint64_t sp_conn_held_bytes(const struct sp_conn *conn);

/* Returns the credit that the peer has left, as far as its packets show.  [RFC9000 4.1] */
uint64_t sp_conn_unused_credit(const struct sp_conn *conn);
/* Returns the size of a stream's receive window; 0 if there is no such stream. */
uint64_t sp_conn_stream_window_bytes(const struct sp_conn *conn, uint64_t id);
/* Returns the smoothed round-trip time of the path in use.  [RFC9002 5.3] */
uint64_t sp_conn_rtt_ns(const struct sp_conn *conn);
/* Returns the bytes that the connection occupies in the pools: itself, its streams, the records of
 * what it has queued, sent and received.  What TLS and the keys take is not among them.  O(1). */
uint64_t sp_conn_memory_bytes(const struct sp_conn *conn);
void sp_conn_stats(const struct sp_conn *conn, struct sp_stats *ret);

/* Returns how long after it was sent the largest packet of the last ACK was acknowledged, once; 0
 * if no ACK has come since that gave a sample of the round trip.  [RFC9002 5.1] */
uint64_t sp_conn_take_acked_after_ns(struct sp_conn *conn);

/* Walks the whole connection and asserts its invariants; for tests. */
void sp_conn_check(const struct sp_conn *conn);

#endif
