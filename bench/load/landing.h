/* SPDX-License-Identifier: MIT */
#ifndef LOAD_LANDING_H
#define LOAD_LANDING_H

#include <stddef.h>
#include <stdint.h>

#include <spate/event.h>

/* Memory of the application's own where the bytes of one stream shall be: either the library
 * receives into it, in pieces that are lent again as soon as they are full, or slices are
 * copied there.  Zeroed is ready for use. */
struct landing {
    uint8_t *memory; /* made when it is needed */
    uint32_t lent;   /* a bit for each piece */
    size_t copied_end;
};

/* NULL memory is accepted. */
void landing_free(struct landing *l);

/* Lends all that is not lent to this stream.  What could not be lent, because the stream is at its
 * end or for want of memory, is not missed: bytes come as slices then. */
void landing_lend(struct landing *l, struct spate_conn *conn, uint64_t stream_id);

/* Takes note of what came back by an event. */
void landing_on_placed(struct landing *l, const struct spate_event *e);

/* Copies bytes after those copied before, over the oldest ones. */
void landing_copy(struct landing *l, const uint8_t *data, size_t size);

#endif
