/* SPDX-License-Identifier: MIT */
#ifndef SE_HANDOVER_WIRE_H
#define SE_HANDOVER_WIRE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/config.h>

#include "engine/net/shared_ports.h"
#include "proto/base/compiler.h"

/* The messages of a hand-over: see engine/net/handover.h for their order.
 *
 *     all        "SPHO", version, kind
 *     HELLO
 *     KEYS       token key, reset key,
 *                of CIDs: size, place of the shard and the tag, 1 if they are masked or 0,
 *                count of groups,
 *                count of processes, the tag of each; the first is the sender.
 *                descriptors: the channels of the others
 *     GROUP      family (4 or 6), port, 16 bytes of address, scope,
 *                count of sockets; of each: use, shard, tag.  descriptors: the sockets.
 *                use: 1 of the process with the tag, 2 nobody's, 3 nobody's but not yet to be used
 *     TAKE, GO
 *     TAKEN      tag
 *     REFUSED    text, to the end
 *
 * Numbers are in network order. */

enum se_handover_kind {
    SE_HANDOVER_HELLO = 1,
    SE_HANDOVER_KEYS,
    SE_HANDOVER_GROUP,
    SE_HANDOVER_TAKE,
    SE_HANDOVER_GO,
    SE_HANDOVER_TAKEN,
    SE_HANDOVER_REFUSED,
};

enum {
    SE_HANDOVER_VERSION = 1,
    SE_HANDOVER_VERSION_AT = 4, /* its place in every message */
    SE_HANDOVER_SIZE_MAX = 1024,
    SE_HANDOVER_TEXT_MAX = 200,
    SE_HANDOVER_GROUPS_MAX = 64,   /* addresses of an engine: preferred ones are one per shard */
    SE_HANDOVER_PROCESSES_MAX = 8, /* that serve at the same time: seven end, slowly */
    SE_HANDOVER_SOCKET_SIZE = 3,   /* bytes of a socket in a GROUP */
};

struct se_handover_keys {
    uint8_t token[SPATE_KEY_SIZE];
    uint8_t reset[SPATE_KEY_SIZE];
    uint8_t cid_size;
    uint8_t word_at; /* of a CID: the shard, followed by the tag */
    bool is_masked;  /* they are, by what follows from the reset key: see engine/conn/cids.h */
    uint8_t group_count;
    uint8_t process_count;
    uint8_t tags[SE_HANDOVER_PROCESSES_MAX];
};

struct se_handover_socket {
    enum se_socket_use use; /* OTHER or IDLE */
    bool is_resting;        /* IDLE: a ring may still read from it */
    uint8_t shard;
    uint8_t tag;
};

struct se_handover_group {
    struct su_address address;
    uint32_t count;
    struct se_handover_socket sockets[SU_STEER_SOCKETS_MAX];
};

struct se_handover_message {
    enum se_handover_kind kind;
    union {
        struct se_handover_keys keys;
        struct se_handover_group group;
        uint8_t tag;                         /* TAKEN */
        char text[SE_HANDOVER_TEXT_MAX + 1]; /* REFUSED */
    };
};

/* Reads a message that came with `fd_count` descriptors.  Returns 0, or with `*ret` undefined:
 *   -EPROTONOSUPPORT  it is of another version
 *   -EPROTO           it is none, or breaks a rule */
SB_MUST_USE int se_handover_read(const uint8_t *data, size_t size, uint32_t fd_count,
                                 struct se_handover_message *ret);

/* Writes a message.  Returns its size. */
size_t se_handover_write(const struct se_handover_message *message,
                         uint8_t ret[SE_HANDOVER_SIZE_MAX]);

#endif
