/* SPDX-License-Identifier: MIT */
#ifndef SB_LIST_H
#define SB_LIST_H

#include <stdbool.h>
#include <stddef.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* A circular doubly linked list whose links live inside the members.
 *
 * The head is a link too.  A link that is in no list points to itself, so
 * removing it twice is harmless and `sb_link_is_in` needs no flag. */
struct sb_link {
    struct sb_link *next;
    struct sb_link *prev;
};

static inline void sb_list_init(struct sb_link *head)
{
    head->next = head;
    head->prev = head;
}

static inline bool sb_list_is_empty(const struct sb_link *head)
{
    return head->next == head;
}

/* True if `link`, which was initialised, is a member of some list. */
static inline bool sb_link_is_in(const struct sb_link *link)
{
    return link->next != link;
}

static inline void sb_list_insert_before(struct sb_link *at, struct sb_link *link)
{
    SB_ASSERT(!sb_link_is_in(link));
    link->prev = at->prev;
    link->next = at;
    at->prev->next = link;
    at->prev = link;
}

static inline void sb_list_push_back(struct sb_link *head, struct sb_link *link)
{
    sb_list_insert_before(head, link);
}

static inline void sb_list_push_front(struct sb_link *head, struct sb_link *link)
{
    sb_list_insert_before(head->next, link);
}

static inline void sb_list_remove(struct sb_link *link)
{
    link->prev->next = link->next;
    link->next->prev = link->prev;
    sb_list_init(link);
}

/* The first member, or NULL. */
static inline struct sb_link *sb_list_first(const struct sb_link *head)
{
    return sb_list_is_empty(head) ? NULL : head->next;
}

/* Removes and returns the first member, or returns NULL. */
static inline struct sb_link *sb_list_pop_front(struct sb_link *head)
{
    struct sb_link *first = sb_list_first(head);
    if (first != NULL)
        sb_list_remove(first);
    return first;
}

/* Walks a list; `link` may be removed in the body, its neighbours may not. */
#define SB_LIST_EACH(link, head) \
    for (struct sb_link *link = (head)->next, *link##_next = link->next; link != (head); \
         link = link##_next, link##_next = link->next)

#endif
