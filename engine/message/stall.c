/* SPDX-License-Identifier: MIT */
#include "engine/message/messenger.h"

/* Who gives way when nothing moves.
 *
 * Messages that wait for memory, or for an earlier one of their channel, may together hold all of
 * the peer's credit: then even the one that may go on cannot.  The youngest of those that are not
 * whole is refused, and if there is none the connection is closed, because a whole message cannot
 * be refused.  A peer that has credit left and sends nothing is silent, or cannot be heard: that is
 * no lack of memory, and nothing is refused for it. */

#include "engine/shard/shard.h"

/* Returns for how long nothing may move. */
static uint64_t patience_ns(const struct spate_messenger *messenger)
{
    return SB_MAX(SE_MESSAGE_STALL_NS,
                  SE_MESSAGE_STALL_RTTS * sp_conn_rtt_ns(messenger->conn->proto));
}

void se_stall_arm(struct spate_messenger *messenger)
{
    if (messenger->stall_ns != SB_NEVER)
        return;
    messenger->moved_ns = messenger->shard->now_ns;
    messenger->stall_ns =
        sb_time_add(messenger->moved_ns, patience_ns(messenger) / SE_MESSAGE_STALL_LOOKS);
}

/* Finds the message that began last of those that wait, or else, where more is kept than may be, of
 * those with memory that is not full: together they may have all of the peer's credit.  NULL: there
 * is none. */
static struct se_exchange *youngest_stalled(const struct spate_messenger *messenger)
{
    bool is_full = messenger->receive_bytes > messenger->options.receive_bytes_max;
    struct se_exchange *waiting = NULL, *lent = NULL;
    SB_LIST_EACH(link, &messenger->incoming) {
        struct se_exchange *exchange = SB_CONTAINER_OF(link, struct se_exchange, in_link);
        if (exchange->in == SE_IN_WAITING)
            waiting = exchange;
        else if (exchange->in == SE_IN_LENT && exchange != messenger->exempt)
            lent = exchange;
    }
    return waiting != NULL || !is_full ? waiting : lent;
}

/* Whether the peer cannot go on, or does not, is known by its credit: an outage of the path looks
 * like silence, and leaves credit.  While that is left, or the application holds messages, there is
 * no stall, and its time begins anew: with the last look that finds it so. */
void se_stall_run(struct spate_messenger *messenger, uint64_t now_ns)
{
    if (now_ns < messenger->stall_ns)
        return;
    messenger->stall_ns = SB_NEVER;
    if (messenger->conn == NULL)
        return;
    struct se_exchange *youngest = youngest_stalled(messenger);
    if (youngest == NULL && sb_list_is_empty(&messenger->holding))
        return;
    messenger->has_made_room = true; /* others may have given memory back: try again */
    uint64_t wait_ns = patience_ns(messenger);
    if (messenger->held_bytes > 0 ||
        sp_conn_unused_credit(messenger->conn->proto) >= SE_MESSAGE_CREDIT_LEAST)
        messenger->moved_ns = now_ns;
    messenger->stall_ns = sb_time_add(now_ns, wait_ns / SE_MESSAGE_STALL_LOOKS);
    if (now_ns < sb_time_add(messenger->moved_ns, wait_ns))
        return;
    messenger->moved_ns = now_ns;
    if (youngest != NULL)
        se_incoming_refuse(youngest, SPATE_MESSAGE_ERROR_BUSY);
    else
        spate_conn_close(messenger->conn, SPATE_MESSAGE_ERROR_BUSY,
                         "too many messages wait for another one");
}
