/* SPDX-License-Identifier: MIT */
#ifndef SE_RX_H
#define SE_RX_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/wire/types.h"
#include "uring/recv.h"

struct se_port;
struct spate_shard;

/* The datagrams of a turn: GRO buffers, cut into datagrams and chained by connection, so that each
 * connection receives its datagrams as batches, in the order of arrival. */

enum {
    SE_RX_SOURCES = 128, /* buffers per delivery to the connections */
    SE_RX_ITEMS = 1024,  /* datagrams per delivery; more than one buffer can hold */
    SE_RX_NONE = UINT16_MAX,

    /* Datagrams of handshakes that may wait for a later turn, mostly 2 KiB; above that a turn does
     * more handshakes.  With 150 us for each they have waited 10 ms then. */
    SE_RX_HELD_MAX = 64,
};
_Static_assert(SE_RX_ITEMS + SE_RX_HELD_MAX < SE_RX_NONE, "indices fit");

struct se_rx_source {
    struct sb_buffer *buffer; /* holds a reference */
    struct sp_path path;
    enum sp_ecn ecn;
    uint64_t waited_ns; /* since it arrived: see engine/net/early.h, and struct se_rx_held */
};

struct se_rx_item {
    uint8_t *data;
    struct sb_buffer *copy; /* holds a reference; NULL: the bytes are in the source's buffer */
    uint32_t size;
    uint16_t source;
    uint16_t next;     /* next item of this connection, or SE_RX_NONE */
    bool is_transient; /* its slot is wanted back */
};

/* A datagram of a handshake that waits for a later turn. */
struct se_rx_held {
    struct spate_conn *conn;
    struct sb_buffer *copy; /* holds a reference */
    uint8_t *data;
    uint32_t size;
    enum sp_ecn ecn;
    struct sp_path path;
    uint64_t since_ns; /* when it arrived */
};

/* A coarse time: ticks of 134 ms, which come round in 18 years. */
static inline uint32_t se_rx_tick(uint64_t now_ns)
{
    return (uint32_t)(now_ns >> 27);
}

enum {
    SE_RX_NEWCOMER_TICKS = 3, /* a connection is no newcomer when it is older: half a second */
    SE_RX_GUARD_TICKS = 8, /* a datagram of one that is not says that others will come for long */
};

/* `held` is in the order of service: by connection, and of each in the order of arrival.  Nothing
 * else of a connection waits between turns. */
struct se_rx {
    uint32_t source_count;
    uint32_t item_count;
    uint32_t held_count;
    uint32_t work_done;    /* on handshakes, in this turn: see work_of() */
    uint32_t guarded_tick; /* when a connection that is no newcomer was served last */
    bool is_put_off;       /* this turn does no handshakes */
    bool was_put_off;      /* the last one did none */
    struct sb_link conns;  /* connections that have items */
    struct se_rx_source sources[SE_RX_SOURCES + SE_RX_HELD_MAX];
    struct se_rx_item items[SE_RX_ITEMS + SE_RX_HELD_MAX];
    struct se_rx_held held[SE_RX_HELD_MAX];
};

/* Cuts one buffer into datagrams, routes them and chains them by connection.  Takes over the
 * reference to the buffer.  Without room, delivers the earlier datagrams first. */
void se_rx_take(struct se_port *port, const struct su_received *received);

/* The same for a buffer whose memory is wanted back: what a connection keeps is copied. */
void se_rx_take_copy(struct se_port *port, const struct su_received *received);

/* Delivers to each connection its datagrams, then drops the references to the buffers.  Those of
 * handshakes beyond the bound of the turn are kept, as copies. */
void se_rx_deliver(struct spate_shard *shard);

/* Handles the turn's completions, then delivers the datagrams that they brought. */
void se_rx_run(struct spate_shard *shard);

#endif
