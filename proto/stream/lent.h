/* SPDX-License-Identifier: MIT */
#ifndef SP_LENT_H
#define SP_LENT_H

#include <stddef.h>
#include <stdint.h>

/* Memory of the application, lent for the next bytes of a stream.  The buffers of a stream stand
 * side by side, in the order in which they were lent:
 *
 *     first->offset + first->delivered_bytes <= next byte to hand out
 *     each begins where the one before it ends
 */
struct sp_lent {
    struct sp_lent *next;
    uint8_t *data;
    uint64_t size;
    uint64_t offset;          /* of data[0] in the stream */
    uint64_t delivered_bytes; /* bytes handed out */
    uint64_t tag;             /* the application's */
};

static inline uint64_t sp_lent_end(const struct sp_lent *lent)
{
    return lent->offset + lent->size;
}

/* The buffer for the byte at `offset`, or NULL.  The list is short: see SP_LENT_BUFFERS_MAX. */
static inline struct sp_lent *sp_lent_find(struct sp_lent *first, uint64_t offset)
{
    struct sp_lent *lent = first;
    while (lent != NULL && offset >= sp_lent_end(lent))
        lent = lent->next;
    return lent != NULL && offset >= lent->offset ? lent : NULL;
}

#endif
