/* SPDX-License-Identifier: MIT */
#ifndef SE_SEGMENTS_H
#define SE_SEGMENTS_H

#include "engine/message/messenger.h"

/* The bytes of a message that is received: a list of runs, of slices or of buffers. */

/* A buffer on the heap, charged to the shard and counted for the connection.  NULL without
 * memory. */
struct se_message_buffer *se_message_buffer_make(struct spate_messenger *messenger, size_t size);
/* `buffer` may be NULL. */
void se_message_buffer_free(struct spate_messenger *messenger, struct se_message_buffer *buffer);

/* Appends a run; NULL without memory. */
struct se_segment *se_segment_append(struct se_exchange *exchange, const uint8_t *data,
                                     size_t size);
/* The same for a slice, which is the exchange's then.  False without memory. */
SB_MUST_USE bool se_segment_append_slice(struct se_exchange *exchange,
                                         const struct spate_slice *slice);
/* Gives back all of them, but not a buffer that is still lent. */
void se_segments_free(struct se_exchange *exchange);
/* Copies the slices of a message into buffers, one for those side by side, and gives them back.
 * False without memory: some may be slices still. */
SB_MUST_USE bool se_segments_compact(struct se_exchange *exchange);

#endif
