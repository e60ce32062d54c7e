/* SPDX-License-Identifier: MIT */
#ifndef SPATE_RELAY_CORE_H
#define SPATE_RELAY_CORE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/uio.h>

#include "tools/spate/relay/address.h"
#include "tools/spate/relay/bucket.h"
#include "tools/spate/relay/control.h"
#include "tools/spate/relay/header.h"
#include "tools/spate/relay/packet.h"
#include "tools/spate/relay/reassembly.h"
#include "tools/spate/relay/routes.h"
#include "tools/spate/relay/seen.h"

/* Where packets go.  The core knows neighbours by numbers and time as an argument; it sends and
 * delivers through three functions, so that tests need no network.
 *
 * Each way that a packet may take has a number here and a counter: */
#define RELAY_PATHS(X) \
    X(UP_FORWARD, "up_forward")             /* on-board: towards upstream */ \
    X(DOWN_FORWARD, "down_forward")         /* on-board: to a unit below */ \
    X(BROADCAST, "broadcast")               /* roadside: distributed on */ \
    X(ROUTED, "routed")                     /* roadside: forwarded by route */ \
    X(DEVICE_UP, "device_up")               /* on-board: from the device */ \
    X(DEVICE_BROADCAST, "device_broadcast") /* to all, fan-out */ \
    X(DEVICE_ROUTED, "device_routed")       /* looked up, by route */ \
    X(DEVICE_CACHED, "device_cached")       /* by cached next hop */ \
    X(DEVICE_NO_ROUTE, "device_no_route")   /* unit known, no route: fan-out */ \
    X(DEVICE_NO_CACHE, "device_no_cache")   /* unit not known: fan-out */ \
    X(CONTROL_BROADCAST, "control_broadcast") \
    X(CONTROL_UNICAST, "control_unicast") \
    X(DELIVERED, "delivered") /* to our device */

/* Why a packet or a piece went nowhere. */
#define RELAY_DROPS(X) \
    X(MALFORMED, "malformed") /* its header or body */ \
    X(LIMITED, "limited")     /* its neighbour brings more than it may */ \
    X(LOOPED, "looped")       /* our own */ \
    X(SEEN, "seen")           /* flooded, and passed on before */ \
    X(HOPS, "hops")           /* its hops are used up */ \
    X(STRAY, "stray")         /* for another next hop */ \
    X(NO_WAY, "no_way")       /* nobody to send it to */ \
    X(FULL, "full")           /* the queue of the next hop is full */ \
    X(SHORTAGE, "shortage")   /* all packets are in use */ \
    X(FOREIGN, "foreign")     /* flooded to an address that is not ours */

#define RELAY_ENUM_PATH(name, text) RELAY_PATH_##name,
enum relay_path { RELAY_PATHS(RELAY_ENUM_PATH) RELAY_PATH_COUNT };
#define RELAY_ENUM_DROP(name, text) RELAY_DROP_##name,
enum relay_drop { RELAY_DROPS(RELAY_ENUM_DROP) RELAY_DROP_COUNT };

extern const char *const relay_path_names[RELAY_PATH_COUNT];
extern const char *const relay_drop_names[RELAY_DROP_COUNT];

enum relay_role { RELAY_ROADSIDE, RELAY_ONBOARD };
enum relay_format { RELAY_FORMAT_IP, RELAY_FORMAT_FRAME, RELAY_FORMAT_OPAQUE };

enum { RELAY_PEERS_MAX = 256, RELAY_OWN_PREFIXES_MAX = RELAY_ANNOUNCED_MAX };

struct relay_neighbour {
    uint32_t unit; /* 0: none has this number */
    bool is_upstream;
    bool is_alive; /* answers heartbeats */
    uint16_t cost; /* of the hop */
    struct relay_bucket bucket;
    /* The packet of which a piece found no room last: its other pieces are of no use. */
    uint32_t lost_source;
    uint32_t lost_sequence;
    bool is_clogged; /* the device has waited for it in vain, and nothing was sent since */
};

struct relay_ops {
    /* Sends a header and bytes of a packet.  Keeps a reference of its own while it uses them.
     * Returns 0, or -EAGAIN if the queue is full, or another negative errno. */
    int (*send)(void *user, uint16_t peer, const uint8_t *head, size_t head_size,
                struct relay_packet *packet, size_t offset, size_t size);
    /* Returns the bytes of the largest message, header included; 0: none. */
    size_t (*size_max)(void *user, uint16_t peer);
    /* Gives a whole packet to the device. */
    void (*deliver)(void *user, const struct iovec *parts, uint32_t count, size_t size);
    void *user;
};

/* A packet of the device of which a part waits for room in a queue. */
struct relay_stalled {
    struct relay_packet *packet; /* NULL: none; holds a reference */
    uint16_t peer;
    uint32_t offset; /* that is next */
    uint64_t since_ns;
    struct relay_head head;
};

struct relay_core {
    uint32_t unit;
    enum relay_role role;
    enum relay_format format;
    uint32_t device_target; /* OPAQUE: unit, or RELAY_ALL */
    bool has_trains;        /* packets of the device begin with a virtio_net_hdr */
    uint8_t hops;
    uint32_t sequence;              /* of our packets */
    uint32_t announcement_sequence; /* of our announcements: begins with the time */
    uint64_t question_ns;           /* when we asked last */
    uint64_t answer_ns;             /* when we answered last */
    struct relay_ops ops;
    struct relay_packets *packets;
    struct relay_neighbour peers[RELAY_PEERS_MAX];
    uint16_t peer_count; /* one more than the largest number in use */
    struct relay_prefix own[RELAY_OWN_PREFIXES_MAX];
    uint32_t own_count;
    struct relay_book book;
    struct relay_routes routes;
    struct relay_seen seen;
    struct relay_reassembly reassembly;
    struct relay_stalled stalled;
    uint64_t path_counts[RELAY_PATH_COUNT];
    uint64_t drop_counts[RELAY_DROP_COUNT];
    uint64_t cut_count; /* packets that were sent in pieces */
};

/* Initialises all but what the caller sets afterwards: unit, role, format, ops and so on.  Returns
 * false without memory. */
bool relay_core_init(struct relay_core *ret, struct relay_packets *packets, uint64_t route_ns,
                     uint64_t key);
void relay_core_deinit(struct relay_core *core);

/* A neighbour comes or goes, or begins or ceases to answer. */
void relay_core_join(struct relay_core *core, uint16_t peer, uint32_t unit, bool is_upstream,
                     uint64_t rate_bytes_per_s, uint64_t now_ns);
void relay_core_leave(struct relay_core *core, uint16_t peer);
/* Its queue has room again. */
void relay_core_has_room(struct relay_core *core, uint16_t peer);
void relay_core_set_alive(struct relay_core *core, uint16_t peer, bool is_alive);

/* A packet was read from the device.  The caller keeps its reference. */
void relay_core_from_device(struct relay_core *core, struct relay_packet *packet, uint64_t now_ns);

/* A message with data or control came from a neighbour.  The caller keeps its reference. */
void relay_core_from_peer(struct relay_core *core, uint16_t peer, struct relay_packet *packet,
                          uint64_t now_ns);

/* Floods an announcement of this unit. */
void relay_core_announce(struct relay_core *core, uint64_t now_ns);

/* Goes on with the packet that waits for room.  Returns whether none waits any more, so that the
 * device may be read; `gives_up`: what waits is dropped. */
bool relay_core_resume(struct relay_core *core, bool gives_up);

/* ---- core_send.c, for core.c ---- */

/* Sends a packet to one neighbour, in as many pieces as it needs.  `head` describes the bytes from
 * `from` on; its `total` may be more than those.  Returns 0, or what the send of the first piece
 * that failed returned, with its offset in `*ret_offset`. */
int relay_core_send(struct relay_core *core, uint16_t peer, struct relay_head head,
                    struct relay_packet *packet, size_t from, uint32_t *ret_offset);
/* Passes a packet or a piece of another unit on to one neighbour, or drops it. */
void relay_core_pass(struct relay_core *core, uint16_t peer, const struct relay_head *head,
                     struct relay_packet *packet, size_t from);
/* To all neighbours that are alive but `except`.  Returns to how many. */
uint32_t relay_core_fan_out(struct relay_core *core, uint16_t except, const struct relay_head *head,
                            struct relay_packet *packet, size_t from);
/* Returns the cheapest neighbour upstream, or RELAY_NO_PEER. */
uint16_t relay_core_upstream(const struct relay_core *core);
/* Makes a control packet of this unit.  Returns NULL if all packets are in use. */
struct relay_packet *relay_core_control(struct relay_core *core, const uint8_t *body, size_t size);

static inline void relay_core_drop(struct relay_core *core, enum relay_drop why)
{
    core->drop_counts[why]++;
}

#endif
