/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SHARE_H
#define SPATE_SHARE_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

/* Who may have how much of a memory that all connections of a server share.  Connections are
 * counted by the address that they come from, as a client may have many: an IPv4 address, or the
 * first 56 bits of an IPv6 one, which is what a site has at least [RFC6177].
 *
 * All connections of an address may have half of what they leave to other addresses: a third of all
 * if they are alone.  One connection may have as much as it leaves to the others of its address: a
 * sixth of all.  So neither the connections of one address nor those of some, which take memory and
 * give none back, leave nothing for the next one.  An address that has nothing may take what there
 * is.  What is not prevented: each hostile address takes a third of what is left, and of 10 of them
 * 1.7 % remain; who shares the address of a hostile client has what that one leaves; and where
 * 0-RTT is accepted, an address may be another's until the handshake is complete. */

enum share_kind {
    SHARE_LENT,   /* what is sent */
    SHARE_KEPT,   /* what stays until the peer goes on */
    SHARE_WANTED, /* what is asked for */
    SHARE_KINDS,
};

/* What the connections of an address have. */
struct share_source {
    uint8_t prefix[8]; /* the address family, and up to 7 bytes of the address */
    uint32_t users;    /* connections */
    uint64_t bytes[SHARE_KINDS];
};

/* The addresses that have connections to one server: a tree of share_source. */
struct share_sources {
    void *tree;
};

/* What a connection has of one kind.  Invariant: *source_bytes is the sum over the connections of
 * its address. */
struct share {
    uint64_t bytes;
    uint64_t *source_bytes;
};

/* Returns that of the peer's address, for a new connection, which gives it back by
 * share_source_leave().  NULL: there is no memory. */
struct share_source *share_source_join(struct share_sources *sources,
                                       const struct spate_conn *conn);
void share_source_leave(struct share_sources *sources, struct share_source *source);

/* Frees all, also those that have connections. */
void share_sources_deinit(struct share_sources *sources);

/* Returns a share of nothing. */
static inline struct share share_begin(struct share_source *source, enum share_kind kind)
{
    return (struct share){.source_bytes = &source->bytes[kind]};
}

/* Returns whether a connection may take `size` bytes more.
 *
 *   left_bytes  That nobody has. */
static inline bool share_allows(const struct share *share, uint64_t size, uint64_t left_bytes)
{
    const uint64_t held_bytes = *share->source_bytes;
    if (held_bytes == 0)
        return size <= left_bytes;
    /* Of x bytes more: held + x <= (left - x) / 2. */
    uint64_t room = left_bytes > 2 * held_bytes ? (left_bytes - 2 * held_bytes) / 3 : 0;
    if (size > room)
        return false;
    return share->bytes == 0 || share->bytes + size <= room - size;
}

static inline void share_take(struct share *share, uint64_t size)
{
    share->bytes += size;
    *share->source_bytes += size;
}

static inline void share_give(struct share *share, uint64_t size)
{
    share->bytes -= size;
    *share->source_bytes -= size;
}

#endif
