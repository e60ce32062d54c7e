/* SPDX-License-Identifier: MIT */
#include "proto/packet/keyphase.h"

/* Which 1-RTT key opens or seals which packet.  [RFC9001 6]
 *
 * A packet with the other phase bit belongs to the previous keys if its number is below the
 * first one of this phase, and otherwise to the next keys.  Only a packet that opened with the
 * next keys moves them on, so nobody without the keys can cause an update.  The reply to an
 * update uses the new keys at once.  Our own updates begin at 7/8 of the cipher's limit. */

#include "proto/base/assert.h"
#include "proto/base/time.h"

void sp_keyphase_init(struct sp_keyphase *keys, const struct sp_protect_ops *ops)
{
    /* [RFC9001 6.1] The first update needs a confirmed handshake, but no acknowledgment. */
    *keys = (struct sp_keyphase){.ops = ops, .prev_until_ns = SB_NEVER, .read_is_acked = true};
}

void sp_keyphase_deinit(struct sp_keyphase *keys)
{
    if (keys->ops == NULL)
        return;
    keys->ops->destroy(keys->read_prev);
    keys->ops->destroy(keys->read);
    keys->ops->destroy(keys->read_next);
    keys->ops->destroy(keys->write);
    *keys = (struct sp_keyphase){0};
}

/* Sets when a new write key is updated: early enough that a lost round trip does not reach the
 * limit. */
static void plan_update(struct sp_keyphase *keys)
{
    uint64_t limit = keys->limits.seal_count_max - keys->limits.seal_count_max / 8;
    bool is_earlier = keys->update_packets != 0 && keys->update_packets < limit;
    keys->update_at = is_earlier ? keys->update_packets : limit;
}

bool sp_keyphase_set_read(struct sp_keyphase *keys, struct sp_key *key)
{
    SB_ASSERT(keys->read == NULL);
    keys->read = key;
    keys->read_next = keys->ops->next(key);
    keys->limits = keys->ops->limits(key);
    return keys->read_next != NULL;
}

void sp_keyphase_set_write(struct sp_keyphase *keys, struct sp_key *key)
{
    SB_ASSERT(keys->write == NULL);
    keys->write = key;
    keys->limits = keys->ops->limits(key);
    plan_update(keys);
}

struct sp_key *sp_keyphase_read_key(const struct sp_keyphase *keys, bool phase_bit, uint64_t pn)
{
    if (phase_bit == (keys->read_phase & 1))
        return keys->read;
    /* The next key stands in for a discarded one: an honest peer seals nothing with it there. */
    if (keys->read_prev != NULL && pn < keys->read_first_pn)
        return keys->read_prev;
    return keys->read_next;
}

enum sp_keyphase_result sp_keyphase_on_opened(struct sp_keyphase *keys,
                                              const struct sp_keyphase_opened *opened,
                                              uint64_t next_pn_to_send, uint64_t prev_until_ns)
{
    if (sp_keyphase_is_same(keys, opened->key, opened->pn) || opened->key != keys->read_next)
        return SP_KEYPHASE_SAME;

    /* [RFC9001 6.4] All packets so far have older keys. */
    if (opened->pn < opened->next_pn_known)
        return SP_KEYPHASE_VIOLATION;
    /* [RFC9001 6.1, 6.2] If we have updated first, this is the peer's answer. */
    if (keys->write_phase == keys->read_phase && !keys->read_is_acked)
        return SP_KEYPHASE_VIOLATION;
    struct sp_key *next = keys->ops->next(keys->read_next);
    if (next == NULL)
        return SP_KEYPHASE_NO_MEMORY;
    keys->ops->destroy(keys->read_prev);
    keys->read_prev = keys->read;
    keys->read = keys->read_next;
    keys->read_next = next;
    keys->read_phase++;
    keys->read_first_pn = opened->pn;
    keys->read_is_acked = false;
    keys->prev_until_ns = prev_until_ns;

    /* [RFC9001 6.2] Answer with the same phase before anything else is sent. */
    if (keys->write_phase < keys->read_phase && !sp_keyphase_update_write(keys, next_pn_to_send))
        return SP_KEYPHASE_NO_MEMORY;
    return SP_KEYPHASE_UPDATED;
}

bool sp_keyphase_may_ack(const struct sp_keyphase *keys, const struct sp_key *key, uint64_t largest)
{
    bool is_newest = key == keys->read && keys->read_phase == keys->write_phase;
    return is_newest || largest < keys->write_first_pn;
}

bool sp_keyphase_wants_update(const struct sp_keyphase *keys, bool is_confirmed)
{
    return is_confirmed && keys->write_is_acked && keys->write_phase == keys->read_phase &&
           keys->write_count >= keys->update_at;
}

bool sp_keyphase_is_exhausted(const struct sp_keyphase *keys)
{
    return keys->write_count >= keys->limits.seal_count_max;
}

bool sp_keyphase_update_write(struct sp_keyphase *keys, uint64_t next_pn_to_send)
{
    SB_ASSERT(keys->write_phase <= keys->read_phase);
    struct sp_key *next = keys->ops->next(keys->write);
    if (next == NULL)
        return false;
    keys->ops->destroy(keys->write);
    keys->write = next;
    keys->write_phase++;
    keys->write_first_pn = next_pn_to_send;
    keys->write_count = 0;
    plan_update(keys);
    keys->write_is_acked = false;
    return true;
}

void sp_keyphase_rest(struct sp_keyphase *keys)
{
    SB_ASSERT(keys->read_prev == NULL && keys->read != NULL && keys->write != NULL);
    keys->ops->rest(keys->read);
    keys->ops->rest(keys->read_next);
    keys->ops->rest(keys->write);
    keys->is_resting = true;
}

bool sp_keyphase_wake(struct sp_keyphase *keys)
{
    if (!keys->ops->wake(keys->read) || !keys->ops->wake(keys->read_next) ||
        !keys->ops->wake(keys->write))
        return false;
    keys->is_resting = false;
    return true;
}

void sp_keyphase_drop_prev(struct sp_keyphase *keys)
{
    keys->ops->destroy(keys->read_prev);
    keys->read_prev = NULL;
    keys->prev_until_ns = SB_NEVER;
}
