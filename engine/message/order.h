/* SPDX-License-Identifier: MIT */
#ifndef SE_ORDER_H
#define SE_ORDER_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* One channel of messages in both directions: numbers what is sent, and puts what is received into
 * order.  Messages travel on streams of their own, so they overtake each other.
 *
 * A sender is at most SE_ORDER_WINDOW ahead of the oldest message that the peer may lack.  A
 * receiver accepts twice that, because a message that was given up counts as sent before the peer
 * knows.
 *
 *     send_oldest <= send_next <= send_oldest + SE_ORDER_WINDOW
 *     held_count = items that wait, `head` included */
enum {
    SE_ORDER_WINDOW = 1024,
    SE_ORDER_AHEAD_MAX = 2 * SE_ORDER_WINDOW,
};

struct se_order {
    uint64_t send_next;
    uint64_t send_oldest;                     /* all before it have arrived, or were given up */
    uint64_t send_done[SE_ORDER_WINDOW / 64]; /* bit n % window: n has, or was */
    uint64_t receive_next;
    uint32_t held_count;
    void *head;  /* the item with number receive_next; NULL: not there yet */
    void **held; /* SE_ORDER_AHEAD_MAX items by number, those after receive_next; NULL: none */
};

/* Bytes of the places that se_order_put() makes for the first item that is not the next one. */
#define SE_ORDER_HELD_BYTES (SE_ORDER_AHEAD_MAX * sizeof(void *))

enum se_order_result {
    SE_ORDER_DONE,
    SE_ORDER_BAD,       /* the number came before, or is too far ahead: the peer's fault */
    SE_ORDER_NO_MEMORY, /* nothing has changed */
};

/* An item in the place of a message that was given up: se_order_take() does not return it. */
extern char se_order_skip[1];

/* A channel of zeros is ready.  Frees its memory; items that wait are the caller's before. */
void se_order_deinit(struct se_order *channel);

/* Returns whether another message may be sent now. */
bool se_order_may_send(const struct se_order *channel);
/* Counts one, whose number was send_next. */
void se_order_send(struct se_order *channel);
/* Number `sequence` has arrived, or was given up. */
void se_order_sent(struct se_order *channel, uint64_t sequence);

/* Puts a whole message, or se_order_skip, at its place. */
SB_MUST_USE enum se_order_result se_order_put(struct se_order *channel, uint64_t sequence,
                                              void *item);
/* Takes the next one in order; NULL: it has not arrived. */
void *se_order_take(struct se_order *channel);
/* Takes the next one of those that wait, whatever is missing before it, for the end; NULL: none
 * does. All together take a step per place. */
void *se_order_take_any(struct se_order *channel);

#endif
