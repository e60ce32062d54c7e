/* SPDX-License-Identifier: MIT */
#ifndef SB_TREAP_H
#define SB_TREAP_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/compiler.h"

/* A search tree whose nodes live inside the members of a sorted list.  Each has a priority, which
 * is not higher than its parent's.  If nobody can guess the priorities, the depth is about
 * 2 ln(count), in whatever order members come.
 *
 * A new node is hung below its neighbour in the list, where there is always room, and rotated up;
 * one to be removed is rotated down until it has one child at most.  Both take two rotations on
 * average.  The owner descends by itself: child[1] leads to what comes later. */
struct sb_treap_node {
    struct sb_treap_node *parent;
    struct sb_treap_node *child[2];
};

/* Returns whether the priority of `a` is higher than that of `b`. */
typedef bool (*sb_treap_is_above)(struct sb_treap_node *a, struct sb_treap_node *b);

/* Returns the link that leads to `node`. */
static inline struct sb_treap_node **sb_treap_link(struct sb_treap_node **root,
                                                   const struct sb_treap_node *node)
{
    struct sb_treap_node *parent = node->parent;
    return parent == NULL ? root : &parent->child[parent->child[1] == node];
}

/* Makes the child on `side` of `node` its parent. */
static inline void sb_treap_rotate(struct sb_treap_node **root, struct sb_treap_node *node,
                                   uint32_t side)
{
    struct sb_treap_node *child = node->child[side];
    struct sb_treap_node *between = child->child[!side];
    *sb_treap_link(root, node) = child;
    child->parent = node->parent;
    child->child[!side] = node;
    node->parent = child;
    node->child[side] = between;
    if (between != NULL)
        between->parent = node;
}

/* Adds a node between two neighbours, NULL at an end, that are in the tree. */
static inline void sb_treap_insert(struct sb_treap_node **root, struct sb_treap_node *node,
                                   struct sb_treap_node *prev, struct sb_treap_node *next,
                                   sb_treap_is_above is_above)
{
    /* `prev` has no right child, or the leftmost node below that is the next one. */
    bool is_below_prev = prev != NULL && prev->child[1] == NULL;
    *node = (struct sb_treap_node){.parent = is_below_prev ? prev : next};
    *(node->parent == NULL ? root : &node->parent->child[is_below_prev]) = node;
    while (node->parent != NULL && is_above(node, node->parent))
        sb_treap_rotate(root, node->parent, node->parent->child[1] == node);
}

static inline void sb_treap_remove(struct sb_treap_node **root, struct sb_treap_node *node,
                                   sb_treap_is_above is_above)
{
    while (node->child[0] != NULL && node->child[1] != NULL)
        sb_treap_rotate(root, node, is_above(node->child[1], node->child[0]));
    struct sb_treap_node *child = node->child[node->child[0] == NULL];
    *sb_treap_link(root, node) = child;
    if (child != NULL)
        child->parent = node->parent;
}

#endif
