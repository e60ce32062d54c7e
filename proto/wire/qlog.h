/* SPDX-License-Identifier: MIT */
#ifndef SP_QLOG_H
#define SP_QLOG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/wire/limits.h"
#include "proto/wire/types.h"

/* Records of what happens in a connection, for qlog [draft-ietf-quic-qlog-quic-events].
 *
 * A connection writes small records of bounded size into a sink, which its host embeds in what it
 * needs to pass them on.  Text is made of them elsewhere: engine/qlog/text.h.  A connection without
 * a sink pays one branch per event.
 *
 *     record = kind, time, count of numbers, count of texts   1 + 8 + 1 + 1 bytes
 *              numbers                                        varints; the largest means "none"
 *              texts                                          each a varint, and so many bytes
 *
 * Threads: those of the connection. */

/* The comment of each kind lists its numbers; then its texts after a semicolon. */
enum sp_qlog_kind {
    SP_QLOG_STARTED,      /* role; local and remote address, our CID, the peer's, the first DCID */
    SP_QLOG_STATE,        /* before, now: enum sp_qlog_state */
    SP_QLOG_CLOSED,       /* enum sp_close_kind, is_local, error, frame type; reason */
    SP_QLOG_VERSION,      /* role, chosen; versions of ours, 4 bytes each */
    SP_QLOG_ALPN,         /* ; chosen, the cipher's name.  The host writes it */
    SP_QLOG_PARAMETERS,   /* is_local, role of who has sent them; encoded [RFC9000 18] */
    SP_QLOG_SENT,         /* as RECEIVED; then: is_mtu_probe, is_pto_probe */
    SP_QLOG_RECEIVED,     /* enum sp_packet_type, number, bytes of payload, bytes of packet, key
                             phase, ack_delay_exponent, waited for keys; frames: sp_qlog_frames() */
    SP_QLOG_DROPPED,      /* enum sp_packet_type, bytes, enum sp_qlog_drop */
    SP_QLOG_BUFFERED,     /* enum sp_packet_type, bytes */
    SP_QLOG_LOST,         /* enum sp_space, number, enum sp_qlog_loss */
    SP_QLOG_RECOVERY,     /* initial RTT in ns, datagram bytes, initial window, minimum window */
    SP_QLOG_METRICS,      /* RTT in ns: minimum, smoothed, latest, variation; PTO count, window,
                             bytes in flight, ssthresh, packets in flight, pacing in bytes/s */
    SP_QLOG_CONGESTION,   /* before, now: enum sp_cc_phase */
    SP_QLOG_TIMER,        /* enum sp_qlog_timer, enum sp_qlog_timer_event, ns until it is due */
    SP_QLOG_KEY,          /* enum sp_qlog_key, phase, enum sp_qlog_key_event */
    SP_QLOG_MTU,          /* before, now */
    SP_QLOG_ECN,          /* before, now: enum sp_ecn_state */
    SP_QLOG_CID,          /* is_local; before, now */
    SP_QLOG_TUPLE,        /* number of the path; local, remote address */
    SP_QLOG_MIGRATION,    /* number of the path, enum sp_qlog_migration; local, remote address */
    SP_QLOG_STREAM,       /* id, is_opened */
    SP_QLOG_OMITTED,      /* records that a full ring has dropped before.  The host writes it */
    SP_QLOG_ACKED,        /* enum sp_space, number of a packet, bits: bit n stands for that + n */
    SP_QLOG_SPIN,         /* the spin bit */
    SP_QLOG_WAIT,         /* before, now: enum sp_qlog_wait */
    SP_QLOG_RETRY,        /* bytes of the packet, version, bytes of the token; source CID */
    SP_QLOG_REFUSAL,      /* a Version Negotiation packet: its bytes; versions, 4 bytes each */
    SP_QLOG_UDP_SENT,     /* as UDP_RECEIVED */
    SP_QLOG_UDP_RECEIVED, /* datagrams, bytes of each, of the last one, enum sp_ecn */
    SP_QLOG_STREAM_WAIT,  /* stream, then as WAIT */
    SP_QLOG_MOVED,    /* stream, or none: a message; offset, bytes, fin, is to the application */
    SP_QLOG_RESTORED, /* of the server, for 0-RTT: initial_max_data, .._stream_data_bidi_local,
                         .._bidi_remote, .._uni, initial_max_streams_bidi, .._uni */
    SP_QLOG_KINDS,
};

enum sp_qlog_state {
    SP_QLOG_STATE_NONE,
    SP_QLOG_STATE_ATTEMPTED,
    SP_QLOG_STATE_HANDSHAKE,
    SP_QLOG_STATE_COMPLETE,
    SP_QLOG_STATE_CONFIRMED,
    SP_QLOG_STATE_CLOSING,
    SP_QLOG_STATE_DRAINING,
    SP_QLOG_STATE_CLOSED,
};

/* Why a packet was dropped. */
enum sp_qlog_drop {
    SP_QLOG_DROP_GENERAL,
    SP_QLOG_DROP_INTERNAL, /* no memory */
    SP_QLOG_DROP_REJECTED, /* a limit, or another path */
    SP_QLOG_DROP_UNSUPPORTED,
    SP_QLOG_DROP_INVALID, /* it cannot be parsed, or does not fit */
    SP_QLOG_DROP_DUPLICATE,
    SP_QLOG_DROP_UNKNOWN_CID,
    SP_QLOG_DROP_DECRYPTION,
    SP_QLOG_DROP_NO_KEY,
    SP_QLOG_DROPS,
};

enum sp_qlog_loss {
    SP_QLOG_LOSS_REORDERING, /* by packets that were acknowledged.  [RFC9002 6.1.1] */
    SP_QLOG_LOSS_TIME,       /* [RFC9002 6.1.2] */
    SP_QLOG_LOSSES,
};

enum sp_qlog_timer {
    SP_QLOG_TIMER_LOSS, /* loss detection, PTO included.  [RFC9002 A.8] */
    SP_QLOG_TIMER_ACK,
};

enum sp_qlog_timer_event {
    SP_QLOG_TIMER_SET,
    SP_QLOG_TIMER_EXPIRED,
    SP_QLOG_TIMER_CANCELLED,
};

/* Keys, as bits of struct sp_qlog.keys; qlog calls them by who seals with them. */
enum sp_qlog_key {
    SP_QLOG_KEY_SERVER_INITIAL,
    SP_QLOG_KEY_CLIENT_INITIAL,
    SP_QLOG_KEY_SERVER_HANDSHAKE,
    SP_QLOG_KEY_CLIENT_HANDSHAKE,
    SP_QLOG_KEY_SERVER_0RTT, /* never used: servers send no 0-RTT */
    SP_QLOG_KEY_CLIENT_0RTT,
    SP_QLOG_KEY_SERVER_1RTT,
    SP_QLOG_KEY_CLIENT_1RTT,
    SP_QLOG_KEYS,
};

enum sp_qlog_key_event {
    SP_QLOG_KEY_BY_TLS,
    SP_QLOG_KEY_BY_PEER, /* an update.  [RFC9001 6] */
    SP_QLOG_KEY_BY_US,
    SP_QLOG_KEY_DISCARDED,
};

enum sp_qlog_migration {
    SP_QLOG_PROBING,
    SP_QLOG_PROBING_ABANDONED,
    SP_QLOG_PROBING_DONE,
    SP_QLOG_MIGRATION_STARTED,
    SP_QLOG_MIGRATION_COMPLETE,
};

/* What keeps a connection from sending.  The host knows reasons of its own. */
enum sp_qlog_wait {
    SP_QLOG_WAIT_NONE,       /* it sends, or has nothing to send */
    SP_QLOG_WAIT_SCHEDULING, /* the host: a rate limit, no transmit slot */
    SP_QLOG_WAIT_PACING,
    SP_QLOG_WAIT_AMPLIFICATION,
    SP_QLOG_WAIT_CWND,
    SP_QLOG_WAIT_CONN_CREDIT,
    SP_QLOG_WAIT_STREAM_CREDIT,
    SP_QLOG_WAIT_KEY,
    SP_QLOG_WAIT_MEMORY,
    SP_QLOG_WAIT_STREAM_ID, /* of a stream: MAX_STREAMS */
    SP_QLOG_WAITS,
};

enum {
    SP_QLOG_NUMBERS_MAX = 12,
    SP_QLOG_TEXTS_MAX = 5,
    /* Of the frames of one packet: as many as fit are recorded, and the number of the others. */
    SP_QLOG_FRAMES_SIZE_MAX = 2048,
    /* Of a record: its longest has frames, or transport parameters. */
    SP_QLOG_RECORD_SIZE_MAX = 3072,
};

#define SP_QLOG_NONE SB_VARINT_MAX /* a number that there is not */

struct sp_qlog_record {
    enum sp_qlog_kind kind;
    uint32_t number_count;
    uint32_t text_count;
    uint64_t time_ns;
    uint64_t numbers[SP_QLOG_NUMBERS_MAX];
    struct sb_bytes texts[SP_QLOG_TEXTS_MAX];
};

/* What was recorded of a path last. */
struct sp_qlog_path {
    uint32_t number;
    bool is_used; /* the place has a path */
    uint8_t state;
};

/* The sink of one connection.  All but `write` and `has_datagrams` is the connection's: what was
 * recorded last, so that changes are seen.  Zero before sp_conn_create(). */
struct sp_qlog {
    /* Takes a record of at most SP_QLOG_RECORD_SIZE_MAX bytes, which are borrowed. */
    void (*write)(struct sp_qlog *qlog, const uint8_t *record, size_t size);
    bool has_datagrams; /* record those of UDP too */
    bool spin;
    uint64_t now_ns;
    enum sp_qlog_wait wait;
    enum sp_qlog_state state;
    uint32_t keys; /* bit: enum sp_qlog_key */
    uint32_t version;
    uint32_t cc_phase; /* enum sp_cc_phase */
    uint32_t ecn_state;
    uint32_t datagram_size;
    uint64_t read_phase, write_phase;
    uint64_t metrics[10]; /* the numbers of SP_QLOG_METRICS */
    uint64_t loss_at_ns;  /* SB_NEVER: the timer is not set */
    uint64_t ack_at_ns;
    struct sp_cid remote_cid;
    uint32_t path; /* sp_conn_path.made_number of the one in use */
    bool is_proven;
    struct sp_qlog_path paths[SP_PATHS_MAX];
};

/* Encodes a record and hands it to the sink.  `record->time_ns` is ignored: it is qlog->now_ns.
 * Numbers above SP_QLOG_NONE are recorded as that. */
void sp_qlog_write(struct sp_qlog *qlog, const struct sp_qlog_record *record);

/* Records `count` numbers, and no texts. */
void sp_qlog_numbers(struct sp_qlog *qlog, enum sp_qlog_kind kind, const uint64_t *numbers,
                     uint32_t count);

/* Records what the connection waits for from now on, if that has changed. */
void sp_qlog_wait(struct sp_qlog *qlog, enum sp_qlog_wait wait);

/* Reads a record back.  Returns false if it is malformed.  The texts point into `data`. */
SB_MUST_USE bool sp_qlog_read(const uint8_t *data, size_t size, struct sp_qlog_record *ret);

/* A frame of a packet, as sp_qlog_frames() has recorded it. */
enum sp_qlog_frame_kind {
    SP_QLOG_FRAME_STREAM,   /* id, offset, size, fin */
    SP_QLOG_FRAME_CRYPTO,   /* offset, size */
    SP_QLOG_FRAME_DATAGRAM, /* size */
    SP_QLOG_FRAME_PADDING,  /* size */
    SP_QLOG_FRAME_OTHER,    /* its bytes: see sp_frame_read() */
    SP_QLOG_FRAME_OMITTED,  /* the number of those for which there was no room: the last */
};

struct sp_qlog_frame {
    enum sp_qlog_frame_kind kind;
    uint64_t numbers[4];
    struct sb_bytes bytes; /* OTHER */
};

/* Writes the frames of a packet without their data.  `parts`: its plaintext, in which every frame
 * but its data lies within one part.  Stops at what is no frame.  Returns the bytes written. */
size_t sp_qlog_frames(const struct sb_bytes *parts, uint32_t part_count,
                      uint8_t ret[SP_QLOG_FRAMES_SIZE_MAX]);

/* Writes one frame that has data of a stream. */
size_t sp_qlog_frame_of_stream(uint64_t id, uint64_t offset, uint64_t size, bool fin,
                               uint8_t ret[SP_QLOG_FRAMES_SIZE_MAX]);

/* Takes the next frame from what sp_qlog_frames() has written.  Returns false at the end. */
SB_MUST_USE bool sp_qlog_next_frame(struct sb_reader *reader, struct sp_qlog_frame *ret);

enum { SP_QLOG_ADDR_SIZE = 19 };

/* An address as a text: family, 16 bytes of IP, port. */
void sp_qlog_addr(const struct sp_addr *addr, uint8_t ret[SP_QLOG_ADDR_SIZE]);
SB_MUST_USE bool sp_qlog_addr_read(struct sb_bytes text, struct sp_addr *ret);

#endif
