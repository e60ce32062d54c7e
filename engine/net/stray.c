/* SPDX-License-Identifier: MIT */
#include "engine/net/stray.h"

/* A queue of its own, so that a flood of strays leaves the application's posts alone.  The copies
 * are not in the budget: SE_STRAYS_MAX bounds them, and what a connection keeps of one is copied
 * again, into the budget. */

#include <stdlib.h>
#include <string.h>

#include "engine/config/config.h"
#include "engine/net/handover.h"
#include "engine/net/shared_ports.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/wire/header.h"

struct se_stray {
    struct sb_buffer buffer; /* first: it is released by its address */
    struct su_received received;
    struct su_address bound; /* of the socket that it came to */
    uint32_t owner;
    uint8_t data[];
};

/* First packets of a connection have a CID that the client has chosen: they are nobody's yet. */
static bool begins_connection(const struct se_unmatched *unmatched)
{
    struct sp_header header;
    return unmatched->peek.is_long &&
           (!sp_header_read(unmatched->data, unmatched->size, 0, &header) ||
            header.type != SP_PACKET_HANDSHAKE);
}

uint32_t se_stray_owner(const struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    const struct sb_bytes *dcid = &unmatched->peek.dcid;
    const struct se_cid_form *form = &shard->own_cids.form;
    if ((!form->has_shards && !form->has_tag) || dcid->size != form->size)
        return SE_STRAY_NONE;
    uint32_t owner = se_cid_shard(form, dcid->data);
    bool is_stray = owner != shard->index && owner < shard->config->shard_count;
    if (form->has_tag && se_cid_tag(form, dcid->data) != shard->shared_ports->tag) {
        is_stray = se_handover_is_other(shard->handover, se_cid_tag(form, dcid->data));
        owner = SE_STRAY_OTHER;
    }
    return is_stray && !begins_connection(unmatched) ? owner : SE_STRAY_NONE;
}

static void release(struct sb_buffer *buffer)
{
    free(SB_CONTAINER_OF(buffer, struct se_stray, buffer));
}

/* Returns a copy without datagrams, with room for the rest of the buffer from `from` on. */
static struct se_stray *begin_copy(const struct se_port *port, const struct su_received *received,
                                   const uint8_t *from, uint32_t owner)
{
    uint32_t room = received->size - (uint32_t)(from - received->payload);
    struct se_stray *stray = malloc(sizeof(*stray) + room);
    if (stray == NULL)
        return NULL;
    stray->buffer = (struct sb_buffer){.ref_count = 1, .release = release};
    stray->received = *received;
    stray->received.payload = stray->data;
    stray->received.size = 0;
    stray->received.buffer = &stray->buffer;
    stray->bound = port->socket.local;
    stray->owner = owner;
    return stray;
}

/* Returns the copy for a shard; NULL: there is none yet. */
static struct se_stray *find(const struct se_strays *strays, uint32_t owner)
{
    for (uint32_t i = strays->count; i > 0; i--)
        if (strays->of[i - 1]->owner == owner)
            return strays->of[i - 1];
    return NULL;
}

/* All datagrams of a buffer but its last have one size: so have those of each copy. */
void se_strays_add(struct se_strays *strays, struct se_port *port,
                   const struct su_received *received, const uint8_t *data, uint32_t size,
                   uint32_t owner)
{
    struct se_stray *stray = find(strays, owner);
    if (stray == NULL) {
        stray = begin_copy(port, received, data, owner);
        if (stray == NULL) {
            port->shard->counts.own.strays_dropped++;
            return;
        }
        SB_ASSERT(strays->count < SB_COUNT(strays->of));
        strays->of[strays->count++] = stray;
    }
    memcpy(stray->data + stray->received.size, data, size);
    stray->received.size += size;
}

static void pass(struct spate_shard *shard, struct se_stray *stray)
{
    struct spate_shard *target = spate_engine_shard(shard->engine, stray->owner);
    const struct se_post post = {.argument = stray};
    SB_ASSERT(target != NULL && target != shard);
    stray->received.segment_size = SB_MIN(stray->received.segment_size, stray->received.size);
    if (se_mpsc_push(&target->strays, &post) != 0) {
        free(stray);
        shard->counts.own.strays_dropped++;
        return;
    }
    shard->counts.own.strays_out++;
    if (su_wake_ring_from(&target->wake, &shard->ring))
        shard->has_rung = true;
}

void se_strays_pass(struct se_strays *strays, struct spate_shard *shard)
{
    for (uint32_t i = 0; i < strays->count; i++)
        pass(shard, strays->of[i]);
    strays->count = 0;
}

void se_strays_ring(struct spate_shard *shard)
{
    if (SB_LIKELY(!shard->has_rung))
        return;
    shard->has_rung = false;
    (void)!su_ring_submit(&shard->ring); /* what the kernel does not take now goes with the wait */
}

void se_strays_ring_lost(struct spate_shard *shard, uint32_t target)
{
    struct spate_shard *sleeper = spate_engine_shard(shard->engine, target);
    if (sleeper != NULL)
        su_wake_ring_lost(&sleeper->wake);
}

/* Returns the shard's own socket at an address, or NULL. */
static struct se_port *port_at(struct spate_shard *shard, const struct su_address *address)
{
    for (uint64_t left = shard->ports_used; left != 0; left &= left - 1) {
        struct se_port *port = &shard->ports[__builtin_ctzll(left)];
        if (port->state == SE_PORT_OPEN && su_address_is_equal(&port->socket.local, address))
            return port;
    }
    return NULL;
}

void se_strays_take(struct spate_shard *shard)
{
    struct se_post post;
    for (uint32_t i = 0; i < SE_STRAYS_MAX && se_mpsc_pop(&shard->strays, &post); i++) {
        struct se_stray *stray = post.argument;
        struct se_port *port = port_at(shard, &stray->bound);
        if (port == NULL) {
            shard->counts.own.strays_dropped++;
            free(stray);
            continue;
        }
        shard->counts.own.strays_in++;
        se_rx_take_copy(port, &stray->received);
    }
}

void se_strays_close(struct spate_shard *shard)
{
    struct se_post post;
    se_mpsc_close(&shard->strays);
    while (!se_mpsc_is_drained(&shard->strays)) {
        if (!se_mpsc_pop(&shard->strays, &post))
            continue;
        shard->counts.own.strays_dropped++;
        free(post.argument);
    }
}
