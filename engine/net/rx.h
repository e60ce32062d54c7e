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
};
_Static_assert(SE_RX_ITEMS < SE_RX_NONE, "indices fit");

struct se_rx_source {
    struct sb_buffer *buffer; /* holds a reference */
    struct sp_path path;
    enum sp_ecn ecn;
    uint64_t waited_ns; /* since it arrived: see engine/net/early.h */
};

struct se_rx_item {
    uint8_t *data;
    struct sb_buffer *copy; /* holds a reference; NULL: the bytes are in the source's buffer */
    uint32_t size;
    uint16_t source;
    uint16_t next;     /* next item of this connection, or SE_RX_NONE */
    bool is_transient; /* its slot is wanted back */
};

struct se_rx {
    uint32_t source_count;
    uint32_t item_count;
    struct sb_link conns; /* connections that have items */
    struct se_rx_source sources[SE_RX_SOURCES];
    struct se_rx_item items[SE_RX_ITEMS];
};

/* Cuts one buffer into datagrams, routes them and chains them by connection.  Takes over the
 * reference to the buffer.  Without room, delivers the earlier datagrams first. */
void se_rx_take(struct se_port *port, const struct su_received *received);

/* The same for a buffer whose memory is wanted back: what a connection keeps is copied. */
void se_rx_take_copy(struct se_port *port, const struct su_received *received);

/* Delivers to each connection its datagrams, then drops the references to the buffers. */
void se_rx_deliver(struct spate_shard *shard);

/* Handles the turn's completions, then delivers the datagrams that they brought. */
void se_rx_run(struct spate_shard *shard);

#endif
