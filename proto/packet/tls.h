/* SPDX-License-Identifier: MIT */
#ifndef SP_TLS_H
#define SP_TLS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/packet/protect.h"
#include "proto/wire/types.h"

/* The TLS 1.3 handshake, as the connection needs it.  [RFC9001 4]
 *
 * proto/ declares this interface, crypto/ implements it on OpenSSL; the
 * simulator has one of its own.  Bytes go in, events are pulled out; TLS never
 * calls back into the connection.  Usage order:
 *
 *     start() -> { receive() -> next() until NONE } ... -> destroy()
 *
 * 0-RTT: a client that offers it reports the SECRET of SP_LEVEL_EARLY from start() on; a server
 * reports it if it accepts, after PEER_PARAMS and before the secrets of other levels.  No CRYPTO
 * data belongs to that level.  [RFC9001 4.6, 8.3] */

struct sp_tls; /* opaque: one handshake of one connection */

enum sp_tls_event_kind {
    SP_TLS_NONE,           /* nothing more to say for now */
    SP_TLS_CRYPTO,         /* `size` more bytes to send at `level`: see bytes() */
    SP_TLS_SECRET,         /* a traffic secret for `level` */
    SP_TLS_PEER_PARAMS,    /* the peer's transport parameters, still encoded */
    SP_TLS_EARLY_ACCEPTED, /* client: the server has accepted 0-RTT; before PEER_PARAMS */
    SP_TLS_EARLY_REJECTED, /* the server rejects 0-RTT; at a client before PEER_PARAMS */
    SP_TLS_TICKET,         /* client: ticket() has one more */
    SP_TLS_COMPLETE,       /* the handshake is complete. [RFC9001 4.1.1] */
    SP_TLS_ALERT,          /* the handshake failed; nothing follows */
    SP_TLS_EXCESS, /* the peer's bytes go on after its last message of a level [RFC9001 4.1.3], or
                      its ticket allows a part of 0-RTT [RFC9001 4.6.1]: the handshake failed, and
                      nothing follows */
    SP_TLS_WAIT,   /* the handshake waits for an answer that only its owner has; then more
                      events can be pulled: see sp_conn_resume_tls() */
};

struct sp_tls_event {
    enum sp_tls_event_kind kind;
    enum sp_level level;    /* CRYPTO, SECRET */
    size_t size;            /* CRYPTO */
    bool is_write;          /* SECRET: for our packets, not the peer's */
    enum sp_suite suite;    /* SECRET */
    struct sb_bytes secret; /* SECRET: valid until the next call, then wiped */
    struct sb_bytes params; /* PEER_PARAMS: valid until the next call */
    uint8_t alert;          /* ALERT: a TLS alert description */
};

/* Server: makes parameters that depend on the client's.  Writes them to `ret`, at most `room`
 * bytes, and returns their size; returns 0 if those that start() got shall be sent. */
typedef size_t (*sp_tls_answer)(void *context, struct sb_bytes peer_params, uint8_t *ret,
                                size_t room);

struct sp_tls_ops {
    /* Begins: a client then has its ClientHello to say.  `params` are our
     * encoded transport parameters, copied.  False without memory. */
    bool (*start)(struct sp_tls *tls, const uint8_t *params, size_t params_size);

    /* Server, before start(): `answer` is called once, by receive(), when the client's parameters
     * have come and before ours are sent: the one call that goes back into the connection.  It
     * calls no function of this table. */
    void (*set_answer)(struct sp_tls *tls, sp_tls_answer answer, void *context);

    /* Client: forgets the handshake so far, of which no byte of the server has come.  start()
     * begins another one.  False without memory. */
    bool (*restart)(struct sp_tls *tls);

    /* Takes the next bytes of the CRYPTO stream of `level`, in order, without
     * gaps.  All are consumed or buffered; what follows from them is pulled. */
    void (*receive)(struct sp_tls *tls, enum sp_level level, const uint8_t *data, size_t size);

    /* Returns the next event, in the order in which TLS raised them. */
    void (*next)(struct sp_tls *tls, struct sp_tls_event *ret);

    /* Returns bytes [offset, offset + size) of the data to send at `level`.  They can be read, at
     * any address, until drop() or destroy(): a lost CRYPTO frame is written again from here.  The
     * pointer is valid until the next call of another function of this table, so that a datagram
     * can be built from several pieces. */
    const uint8_t *(*bytes)(struct sp_tls *tls, enum sp_level level, uint64_t offset, size_t size);

    /* Takes the oldest ticket that the server gave, in a form that can be stored, and with which a
     * later handshake can be made.  It is valid until the next call of this function or destroy().
     * Returns false if there is none. */
    bool (*ticket)(struct sp_tls *tls, struct sb_bytes *ret);

    /* The keys of `level` are discarded: its bytes are not asked for again. */
    void (*drop)(struct sp_tls *tls, enum sp_level level);

    /* The connection is idle: the handshake was confirmed, and the peer has acknowledged all data
     * to send.  Frees what will hardly be needed again.  A ticket that a server sends later may be
     * ignored.  [RFC8446 4.6.1]  May be called again. */
    void (*rest)(struct sp_tls *tls);

    void (*destroy)(struct sp_tls *tls);
};

#endif
