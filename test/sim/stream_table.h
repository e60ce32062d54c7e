/* SPDX-License-Identifier: MIT */
#ifndef QS_STREAM_TABLE_H
#define QS_STREAM_TABLE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* An object for each stream ID that was ever used in a connection; it keeps its
 * address until the end. */

enum { QS_STREAM_FORMS = 4 }; /* the two low bits of an ID */

struct qs_stream_table {
    size_t item_size;
    struct qs_stream_row {
        void **items; /* by ID / 4; NULL: not named yet */
        size_t count;
    } rows[QS_STREAM_FORMS];
};

void qs_stream_table_init(struct qs_stream_table *table, size_t item_size);
void qs_stream_table_deinit(struct qs_stream_table *table);

/* The item of `id`, or NULL. */
void *qs_stream_table_find(const struct qs_stream_table *table, uint64_t id);

/* The item of `id`, made of zeros if it is new.  NULL for an ID that no run can reach:
 * a message from the network would otherwise decide about our memory. */
void *qs_stream_table_get(struct qs_stream_table *table, uint64_t id);

/* Walks all: `*id` starts at QS_STREAM_FIRST, NULL is the end. */
#define QS_STREAM_FIRST UINT64_MAX
void *qs_stream_table_next(const struct qs_stream_table *table, uint64_t *id);

/* Return the byte at `offset` of stream `id`, as `role` sends it, and eight of them at once.
 * Every run has the same contents, so that every received byte can be checked. */
void qs_content_fill(int role, uint64_t id, uint64_t offset, uint8_t *out, size_t size);
bool qs_content_is(int role, uint64_t id, uint64_t offset, const uint8_t *data, size_t size);

#endif
