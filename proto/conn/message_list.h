/* SPDX-License-Identifier: MIT */
#ifndef SP_MESSAGE_LIST_H
#define SP_MESSAGE_LIST_H

#include "proto/conn/messages.h"

/* Lists of messages, in the order in which they came.  That of received ones goes both ways: the
 * oldest gives way to others, and the newest are taken back. */

static inline void sp_message_append(struct sp_message_list *list, struct sp_message *message)
{
    message->next = NULL;
    if (list->first == NULL)
        list->first = message;
    else
        list->last->next = message;
    list->last = message;
}

/* Returns the first one, or NULL. */
static inline struct sp_message *sp_message_pop(struct sp_message_list *list)
{
    struct sp_message *message = list->first;
    if (message != NULL)
        list->first = message->next;
    return message;
}

static inline void sp_message_add_received(struct sp_message_list *list, struct sp_message *message)
{
    message->before = list->first == NULL ? NULL : list->last;
    sp_message_append(list, message);
}

static inline struct sp_message *sp_message_pop_oldest(struct sp_message_list *list)
{
    struct sp_message *message = sp_message_pop(list);
    if (list->first != NULL)
        list->first->before = NULL;
    return message;
}

/* Returns the last one of a list that is not empty. */
static inline struct sp_message *sp_message_pop_newest(struct sp_message_list *list)
{
    struct sp_message *message = list->last;
    if (message->before == NULL)
        return sp_message_pop(list);
    list->last = message->before;
    list->last->next = NULL;
    return message;
}

#endif
