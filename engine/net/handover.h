/* SPDX-License-Identifier: MIT */
#ifndef SE_HANDOVER_H
#define SE_HANDOVER_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#include <spate/config.h>

#include "engine/base/wheel.h"
#include "engine/net/handover_wire.h"
#include "proto/base/compiler.h"
#include "proto/wire/types.h"

/* One process replaces another one at the same ports, and no packet of either gets lost.
 *
 * CIDs of an engine that may be replaced name their shard and the engine's tag, behind what load
 * balancers read if they do.  The kernel's program steers by both, so two processes keep their
 * connections while they share the ports; what begins a connection goes to the newer one.  See
 * engine/net/shared_ports.h.  So the CIDs of both have one form, and if they are masked, one mask:
 * it follows from the reset key, which is handed over.
 *
 *     the old process              the channel             the new process
 *     spate_engine_hand_over()  <-- HELLO --               spate_engine_take_over()
 *     OFFERED                    -- KEYS, GROUP... -->
 *                                                          its shards listen
 *                               <-- TAKE --                spate_engine_take_over_finish()
 *     GOING                      -- GO -->
 *                                                          attaches its program
 *     GIVEN                     <-- TAKEN --
 *     serves its connections
 *     ends                       -- end of file -->        its sockets become idle
 *
 * Up to GO nothing has changed for the old process.  If the new one ends before TAKEN, the old one
 * attaches its own program again.  If the old one ends before GO, the new one goes on alone.  One
 * that gives up says REFUSED before it closes the channel: a channel that ends without that is of a
 * process that has ended.
 *
 * A process that takes over gets the sockets and the channels of those that still end too, so each
 * process sees the end of all that were there before. */

struct spate_engine;
struct spate_error;
struct spate_shard;

/* Of the side that gives. */
enum se_giving {
    SE_GIVING_NONE,
    SE_GIVING_GREETED, /* waits for HELLO */
    SE_GIVING_OFFERED, /* waits for TAKE */
    SE_GIVING_GOING,   /* waits for TAKEN */
    SE_GIVING_GIVEN,
};

/* Of the side that takes. */
enum se_taking {
    SE_TAKING_NONE,
    SE_TAKING_LISTENS, /* has the sockets of others; its shards listen */
    SE_TAKING_TAKEN,
};

/* Another process whose sockets we have. */
struct se_process {
    int channel; /* readable when it has ended */
    uint8_t tag;
};

struct se_handover {
    struct se_shared_ports *ports; /* the engine's; its lock guards what is not marked */
    bool is_on;                    /* the configuration's hand_over; constant */
    enum se_giving giving;         /* of the thread that gives or takes */
    enum se_taking taking;         /* of the thread that gives or takes */
    int channel;                   /* to the one that takes: a duplicate of the program's; or -1 */
    uint64_t giving_end_ns;        /* when that is given up */
    struct se_process processes[SE_HANDOVER_PROCESSES_MAX]; /* the first is the newest */
    uint32_t process_count;

    /* Written before shards run. */
    uint8_t token_key[SPATE_KEY_SIZE];
    uint8_t reset_key[SPATE_KEY_SIZE];

    /* Of the thread of shard 0. */
    struct se_timer timer;

    /* Any thread.  Relaxed: they only decide about single datagrams. */
    _Atomic uint64_t others[4];   /* bit t: a process with tag t lives */
    _Atomic uint64_t given_at_ns; /* when another process took over; 0: none did */
};

/* For how long nobody uses the sockets of a process that has ended: its ring may read from them a
 * moment longer if it was killed, 250 ms at most as was seen. */
#define SE_HANDOVER_REST_NS (2 * SB_S)

void se_handover_init(struct se_handover *handover, struct se_shared_ports *ports, bool is_on);
void se_handover_deinit(struct se_handover *handover);

/* Returns whether another process has taken over.  Threads: any. */
static inline bool se_handover_is_given(const struct se_handover *handover)
{
    return atomic_load_explicit(&handover->given_at_ns, memory_order_relaxed) != 0;
}

/* Returns whether a CID's tag may be that of another process that lives: then its packets are not
 * answered here.  Threads: any. */
bool se_handover_is_other(const struct se_handover *handover, uint8_t tag);

/* Writes the reset token of a CID that no connection of the shard has: of this engine, or of one
 * whose keys it has.  [RFC9000 10.3.2] */
void se_handover_reset_token(const struct spate_shard *shard, const struct sp_cid *cid,
                             uint8_t ret[SP_RESET_TOKEN_SIZE]);

/* Returns until when a shard that shuts down must wait, because connections may still begin here;
 * SB_NEVER if it need not wait. */
uint64_t se_handover_linger_end_ns(const struct spate_shard *shard);

/* Has shard 0 look from now on whether the other processes live.  Threads: any. */
void se_handover_watch(struct spate_shard *shard);

/* Looks which of the other processes have ended.  On the thread of shard 0. */
void se_handover_on_timer(struct spate_shard *shard);

/* Takes a process out that has ended; its sockets are idle.  The caller holds the lock. */
void se_handover_forget(struct se_handover *handover, uint32_t index, uint64_t now_ns);

#endif
