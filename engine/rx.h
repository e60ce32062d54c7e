/* SPDX-License-Identifier: MIT */
#ifndef SE_RX_H
#define SE_RX_H

#include <stdint.h>

#include "proto/base/list.h"
#include "proto/wire/types.h"
#include "uring/recv.h"

struct se_port;
struct spate_shard;

/* What arrived in a turn: GRO buffers, cut into datagrams, chained by connection, so that
 * each connection gets its datagrams as batches, in the order of arrival. */

enum {
    SE_RX_SOURCES = 128, /* buffers before connections get what was gathered */
    SE_RX_ITEMS = 1024,  /* datagrams, likewise; more than one buffer can hold */
    SE_RX_NONE = UINT16_MAX,
};
_Static_assert(SE_RX_ITEMS < SE_RX_NONE, "indices fit");

struct se_rx_source {
    struct sb_buffer *buffer; /* a reference */
    struct sp_path path;
    enum sp_ecn ecn;
};

struct se_rx_item {
    uint8_t *data;
    struct sb_buffer *copy; /* a reference, or NULL: the bytes are in the source's buffer */
    uint32_t size;
    uint16_t source;
    uint16_t next; /* of the same connection */
};

struct se_rx {
    uint32_t source_count;
    uint32_t item_count;
    struct sb_link conns; /* that have items */
    struct se_rx_source sources[SE_RX_SOURCES];
    struct se_rx_item items[SE_RX_ITEMS];
};

/* Cuts one buffer into datagrams, routes them and chains them by connection.  Takes over the
 * reference to the buffer.  Delivers first what was gathered before if there is no room. */
void se_rx_take(struct se_port *port, const struct su_received *received);

/* Gives each connection its datagrams, and gives the references to buffers back. */
void se_rx_deliver(struct spate_shard *shard);

/* Takes the turn's completions and delivers what they brought. */
void se_rx_run(struct spate_shard *shard);

#endif
