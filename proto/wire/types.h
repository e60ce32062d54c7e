/* SPDX-License-Identifier: MIT */
#ifndef SP_TYPES_H
#define SP_TYPES_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/slice.h"
#include "proto/wire/quic.h"

enum sp_role {
    SP_CLIENT,
    SP_SERVER,
};

/* Packet number spaces.  [RFC9000 12.3] */
enum sp_space {
    SP_SPACE_INITIAL,
    SP_SPACE_HANDSHAKE,
    SP_SPACE_APP, /* 0-RTT and 1-RTT */
    SP_SPACES,
};

/* Encryption levels.  [RFC9001 2.1] */
enum sp_level {
    SP_LEVEL_INITIAL,
    SP_LEVEL_EARLY, /* 0-RTT */
    SP_LEVEL_HANDSHAKE,
    SP_LEVEL_APP, /* 1-RTT */
    SP_LEVELS,
};

/* The ECN field of an IP packet, as it stands there.  [RFC3168 5] */
enum sp_ecn {
    SP_ECN_NOT = 0,
    SP_ECN_ECT1 = 1,
    SP_ECN_ECT0 = 2,
    SP_ECN_CE = 3,
};

struct sp_cid {
    uint8_t size; /* 0 to SP_CID_SIZE_MAX */
    uint8_t bytes[SP_CID_SIZE_MAX];
};

static inline struct sp_cid sp_cid_of(const uint8_t *bytes, size_t size)
{
    SB_ASSERT(size <= SP_CID_SIZE_MAX);
    struct sp_cid cid = {.size = (uint8_t)size};
    if (size > 0)
        memcpy(cid.bytes, bytes, size);
    return cid;
}

static inline bool sp_cid_equal(const struct sp_cid *a, const struct sp_cid *b)
{
    return a->size == b->size && memcmp(a->bytes, b->bytes, a->size) == 0;
}

/* One end of a path.  proto/ only compares it: bytes that are equal mean the
 * same address and port.  The engine puts a sockaddr's contents in here. */
struct sp_addr {
    uint8_t ip[16];  /* IPv4 in the first 4 bytes, the others 0 */
    uint32_t scope;  /* of a link-local IPv6 address, host order */
    uint16_t port;   /* host order */
    uint16_t family; /* 0 unknown, 4, 6 */
};
_Static_assert(sizeof(struct sp_addr) == 24, "no padding: it is compared as bytes");

/* The addresses to which a server wants its clients to move.  [RFC9000 9.6]  A family of 0: there
 * is none of that kind. */
struct sp_preferred {
    struct sp_addr v4;
    struct sp_addr v6;
};

/* Returns whether there is one of them. */
static inline bool sp_preferred_has_any(const struct sp_preferred *preferred)
{
    return preferred->v4.family != 0 || preferred->v6.family != 0;
}

struct sp_path {
    struct sp_addr local;
    struct sp_addr remote;
    uint64_t socket; /* of the host: proto/ compares it and gives it back */
};
_Static_assert(sizeof(struct sp_path) == 56, "no padding: it is compared as bytes");

static inline bool sp_addr_equal(const struct sp_addr *a, const struct sp_addr *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

static inline bool sp_path_equal(const struct sp_path *a, const struct sp_path *b)
{
    return memcmp(a, b, sizeof(*a)) == 0;
}

/* One received UDP payload.  Packets are opened in place: `data` is
 * written.  Slices that the connection keeps take references to `buffer`. */
struct sp_datagram {
    uint8_t *data;
    size_t size;
    struct sb_buffer *buffer; /* NULL: the bytes outlive the connection */
    struct sp_path path;
    enum sp_ecn ecn;
    /* The buffer is wanted back: no reference is kept beyond the call.  Bytes that would have to
     * wait in it are dropped, everything else is processed. */
    bool is_transient;
    uint64_t waited_ns; /* 0 from the host; of one that was kept: how long it waited for its keys */
};

/* Datagrams of one size to send, back to back in one transmit slot: every
 * one has `segment_size` bytes, the last may be shorter. */
struct sp_train {
    /* Set by the caller. */
    uint8_t *data;
    size_t capacity;    /* bytes at `data` */
    uint32_t count_max; /* datagrams */
    bool is_held;       /* a rate limit of the host: only ACKs, probes and what ends a connection */
    /* A host that holds trains until they are due: for so long at most.  0: it does not. */
    uint64_t ahead_ns;
    uint64_t depart_min_ns; /* when the last train of the connection departs: not before that */
    /* Set by sp_conn_send(). */
    size_t size;
    size_t segment_size;
    uint32_t count;
    bool is_last; /* there is nothing more to send now: the next one would be empty */
    enum sp_ecn ecn;
    uint64_t depart_ns; /* the host holds the train until then; now or earlier: not at all */
    struct sp_path path;
};

#endif
