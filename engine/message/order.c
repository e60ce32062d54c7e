/* SPDX-License-Identifier: MIT */
#include "engine/message/order.h"

/* Numbers select bits and places modulo a window, so everything is O(1), whatever numbers a peer
 * chooses.  The place for what is ahead is allocated when something is. */

#include <stdlib.h>

#include "proto/base/assert.h"

char se_order_skip[1];

void se_order_deinit(struct se_order *channel)
{
    SB_ASSERT(channel->held_count == 0);
    free(channel->held);
    channel->held = NULL;
}

/* ---- sending ---- */

bool se_order_may_send(const struct se_order *channel)
{
    return channel->send_next - channel->send_oldest < SE_ORDER_WINDOW;
}

static uint64_t *word_of(struct se_order *channel, uint64_t sequence)
{
    return &channel->send_done[sequence % SE_ORDER_WINDOW / 64];
}

static uint64_t bit_of(uint64_t sequence)
{
    return UINT64_C(1) << sequence % 64;
}

void se_order_send(struct se_order *channel)
{
    SB_ASSERT(se_order_may_send(channel));
    *word_of(channel, channel->send_next) &= ~bit_of(channel->send_next);
    channel->send_next++;
}

void se_order_sent(struct se_order *channel, uint64_t sequence)
{
    SB_ASSERT(sequence >= channel->send_oldest && sequence < channel->send_next);
    *word_of(channel, sequence) |= bit_of(sequence);
    while (channel->send_oldest < channel->send_next &&
           (*word_of(channel, channel->send_oldest) & bit_of(channel->send_oldest)) != 0)
        channel->send_oldest++;
}

/* ---- receiving ---- */

enum se_order_result se_order_put(struct se_order *channel, uint64_t sequence, void *item)
{
    if (sequence < channel->receive_next || sequence - channel->receive_next >= SE_ORDER_AHEAD_MAX)
        return SE_ORDER_BAD;
    void **place = &channel->head;
    if (sequence != channel->receive_next) {
        if (channel->held == NULL)
            channel->held = calloc(SE_ORDER_AHEAD_MAX, sizeof(channel->held[0]));
        if (channel->held == NULL)
            return SE_ORDER_NO_MEMORY;
        place = &channel->held[sequence % SE_ORDER_AHEAD_MAX];
    }
    if (*place != NULL)
        return SE_ORDER_BAD;
    *place = item;
    channel->held_count++;
    return SE_ORDER_DONE;
}

/* Takes the head, NULL if it is not there, and lets the next one be it. */
static void *advance(struct se_order *channel)
{
    void *item = channel->head;
    channel->head = NULL;
    channel->held_count -= item != NULL;
    channel->receive_next++;
    if (channel->held != NULL) {
        void **place = &channel->held[channel->receive_next % SE_ORDER_AHEAD_MAX];
        channel->head = *place;
        *place = NULL;
    }
    return item;
}

void *se_order_take(struct se_order *channel)
{
    while (channel->head != NULL) {
        void *item = advance(channel);
        if (item != se_order_skip)
            return item;
    }
    return NULL;
}

void *se_order_take_any(struct se_order *channel)
{
    while (channel->held_count > 0) {
        void *item = advance(channel);
        if (item != NULL && item != se_order_skip)
            return item;
    }
    return NULL;
}
