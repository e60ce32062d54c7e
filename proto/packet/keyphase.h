/* SPDX-License-Identifier: MIT */
#ifndef SP_KEYPHASE_H
#define SP_KEYPHASE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/packet/protect.h"

/* The 1-RTT keys and their updates.  [RFC9001 6]
 *
 * Phases are counted from 0; the key phase bit is the count's lowest bit.
 *
 *     read_phase <= write_phase <= read_phase + 1
 *
 * `read_next` is made ahead, so that a packet with the other key phase bit takes as
 * long to refuse as any other.  [RFC9001 6.3] */
struct sp_keyphase {
    const struct sp_protect_ops *ops;
    struct sp_key *read_prev; /* for packets that come late; NULL when it is dropped */
    struct sp_key *read;
    struct sp_key *read_next;
    struct sp_key *write;
    uint64_t read_phase;
    uint64_t write_phase;
    uint64_t read_first_pn;  /* lowest number seen in read_phase */
    uint64_t write_first_pn; /* first number sent in write_phase */
    uint64_t write_count;    /* packets sealed with `write` */
    uint64_t update_at;      /* value of write_count from which on it is updated; 0: asked for */
    uint64_t update_packets; /* the owner's limit of that; 0: none */
    uint64_t prev_until_ns;  /* when read_prev is dropped; SB_NEVER without one */
    uint64_t failed_count;   /* packets that did not open, over all keys */
    struct sp_key_limits limits;
    bool is_resting;     /* no key may open or seal before sp_keyphase_wake() */
    bool write_is_acked; /* a packet of write_phase was acknowledged */
    bool read_is_acked;  /* the peer may update its keys: we have acknowledged a packet of
                            read_phase, or that is the first phase */
};

void sp_keyphase_init(struct sp_keyphase *keys, const struct sp_protect_ops *ops);
void sp_keyphase_deinit(struct sp_keyphase *keys);

/* Install the first keys; take ownership.  False without memory for the next read key. */
SB_MUST_USE bool sp_keyphase_set_read(struct sp_keyphase *keys, struct sp_key *key);
void sp_keyphase_set_write(struct sp_keyphase *keys, struct sp_key *key);

/* Returns the key for a packet with this key phase bit and number.  If the key was discarded
 * already, returns another one in its place, with which no such packet is authentic: refusing the
 * packet takes as long as for any other.  [RFC9001 5.5, 6.3, 9.5] */
struct sp_key *sp_keyphase_read_key(const struct sp_keyphase *keys, bool phase_bit, uint64_t pn);

enum sp_keyphase_result {
    SP_KEYPHASE_SAME,
    SP_KEYPHASE_UPDATED, /* the peer's update was taken, ours follows */
    SP_KEYPHASE_NO_MEMORY,
    SP_KEYPHASE_VIOLATION, /* KEY_UPDATE_ERROR: see sp_keyphase_on_opened() */
};

/* A packet that was opened. */
struct sp_keyphase_opened {
    const struct sp_key *key; /* the result of sp_keyphase_read_key() */
    uint64_t pn;
    uint64_t next_pn_known; /* one more than the largest number of a packet opened before */
};

/* Records packet `pn`, which was opened with `key`, if that is the key of the present phase.
 * Returns false otherwise: sp_keyphase_on_opened() has to decide. */
static inline bool sp_keyphase_is_same(struct sp_keyphase *keys, const struct sp_key *key,
                                       uint64_t pn)
{
    if (SB_UNLIKELY(key != keys->read))
        return false;
    keys->read_first_pn = SB_MIN(keys->read_first_pn, pn);
    return true;
}

/* Records that a packet was opened.  If the peer has updated its keys, late packets of the previous
 * phase are still read until `prev_until_ns`.
 *
 * Returns VIOLATION for a second update before we acknowledged a packet of the first one
 * [RFC9001 6.2], which bounds the keys that a peer can make us derive to a pair for each ACK of
 * ours, and for newer keys at a lower number than older ones [RFC9001 6.4]. */
enum sp_keyphase_result sp_keyphase_on_opened(struct sp_keyphase *keys,
                                              const struct sp_keyphase_opened *opened,
                                              uint64_t next_pn_to_send, uint64_t prev_until_ns);

/* Records that an ACK frame whose largest number is `largest` is sent now. */
static inline void sp_keyphase_on_ack_sent(struct sp_keyphase *keys, uint64_t largest)
{
    keys->read_is_acked |= largest >= keys->read_first_pn;
}

/* Returns whether an ACK frame may acknowledge `largest` in a packet that was opened with `key`: a
 * peer that has seen our new keys answers with its own new keys.  [RFC9001 6.2]  Call it after
 * sp_keyphase_on_opened(). */
bool sp_keyphase_may_ack(const struct sp_keyphase *keys, const struct sp_key *key,
                         uint64_t largest);

/* True if the write key is to be updated, by its limit, the owner's or a wish, and may be updated
 * now.  [RFC9001 5.3, 6.1, 6.6] */
bool sp_keyphase_wants_update(const struct sp_keyphase *keys, bool is_confirmed);
/* True if the write key must not seal anything more. */
bool sp_keyphase_is_exhausted(const struct sp_keyphase *keys);

/* Moves on to the next write key.  False without memory. */
SB_MUST_USE bool sp_keyphase_update_write(struct sp_keyphase *keys, uint64_t next_pn_to_send);

/* Lets all keys rest: there must be no key of the previous phase. */
void sp_keyphase_rest(struct sp_keyphase *keys);
/* Makes them usable again.  Returns false without memory; they rest still, and it can be called
 * again. */
SB_MUST_USE bool sp_keyphase_wake(struct sp_keyphase *keys);

void sp_keyphase_drop_prev(struct sp_keyphase *keys);

#endif
