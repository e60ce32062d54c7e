/* SPDX-License-Identifier: MIT */
#ifndef SE_BUDGET_H
#define SE_BUDGET_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/engine.h>

#include "engine/base/siphash.h"
#include "proto/base/compiler.h"
#include "proto/base/list.h"
#include "proto/base/time.h"
#include "proto/wire/types.h"

/* The handshake budget of a shard: who may hold one of the handshakes_max places, and for how long.
 *
 * An entry is an unfinished handshake of a client.  It is unproven until a token or a Handshake
 * packet has proved the client's address: anybody can begin such a handshake in anybody's name.
 *
 *     count == entries of `unproven` and `proven` <= count_max
 *     unproven_count == entries of `unproven` == sum of prefixes[].unproven_count
 *
 * The lists are in the order in which entries joined them. */

enum {
    /* Address prefixes (IPv4 /24, IPv6 /56) are hashed to so many rows: enough that a client rarely
     * shares a row with an attacker, and 8 KiB per shard. */
    SE_PREFIXES = 1024,

    /* Entries that are looked at for one to evict: more would cost an attacker's packet too much.
     */
    SE_EVICT_STEPS_MAX = 64,
};

/* An entry is never evicted before this time: a client far away has answered by then, and a burst
 * of honest clients beyond the budget is dropped and comes again instead of being thrown out. */
#define SE_EVICT_AGE_NS (250 * SB_MS)

struct se_budget_entry {
    struct sb_link link; /* in one of the lists while it holds a place */
    uint64_t since_ns;
    uint16_t prefix;
    bool is_proven;
};

struct se_prefix {
    uint32_t count;          /* entries, proven or not */
    uint32_t unproven_count; /* of them */
};

struct se_budget {
    struct se_siphash_key key; /* of the prefixes' hash: nobody can choose a row */
    uint32_t count_max;
    uint32_t retry_from;  /* unproven entries from which on AUTO answers with Retry */
    uint32_t prefix_max;  /* unproven entries that one prefix may hold */
    uint32_t prefix_fair; /* entries of a prefix above which it gives way to others */
    uint32_t count;
    uint32_t unproven_count;
    bool is_retrying; /* AUTO: on from retry_from, off from half of it */
    struct sb_link unproven;
    struct sb_link proven;
    struct se_prefix prefixes[SE_PREFIXES];
};

struct se_budget_limits {
    uint32_t handshakes_max;
    uint32_t conns_max;  /* connections have a limit too, */
    uint32_t memory_max; /* and memory suffices for so many handshakes */
};

/* `key` is random. */
void se_budget_init(struct se_budget *budget, const struct se_budget_limits *limits,
                    struct se_siphash_key key);

/* What to do with an Initial that begins a connection. */
enum se_admission {
    SE_ADMISSION_ACCEPT,
    SE_ADMISSION_RETRY, /* the address must be proved first: answer with a Retry packet */
    SE_ADMISSION_EVICT, /* accept it in the place of another one */
    SE_ADMISSION_DROP,  /* no place: the client tries again */
};

struct se_newcomer {
    const struct sp_addr *address;
    bool is_proven;  /* by a token */
    bool lacks_conn; /* the shard is at conns_max */
    enum spate_retry retry;
    uint64_t now_ns;
};

/* Decides, and for EVICT sets `*ret_victim` to the entry that has to leave.  Changes nothing but
 * is_retrying. */
enum se_admission se_budget_ask(struct se_budget *budget, const struct se_newcomer *newcomer,
                                struct se_budget_entry **ret_victim);

/* Takes a place.  `entry` is in no list.  The caller has asked before, in the same turn. */
void se_budget_join(struct se_budget *budget, struct se_budget_entry *entry,
                    const struct sp_addr *address, bool is_proven, uint64_t now_ns);
/* The entry's address is proved; no effect if it was. */
void se_budget_prove(struct se_budget *budget, struct se_budget_entry *entry);
/* Gives the place back; no effect if the entry has none. */
void se_budget_leave(struct se_budget *budget, struct se_budget_entry *entry);

/* Walks the lists and asserts the equations above; for tests. */
void se_budget_check(const struct se_budget *budget);

#endif
