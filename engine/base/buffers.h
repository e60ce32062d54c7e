/* SPDX-License-Identifier: MIT */
#ifndef SE_BUFFERS_H
#define SE_BUFFERS_H

#include <stdint.h>

#include "proto/base/list.h"
#include "proto/base/pool.h"
#include "proto/base/slice.h"

/* Buffers for datagrams that are copied out of their receive slot, so that a few held
 * bytes do not pin 64 KiB.  They come from the shard's memory budget: small ones from a
 * pool, larger ones, which are rare, each from the heap. */

/* Payload of a small one: an Ethernet datagram with room to spare. */
#define SE_SMALL_SIZE 2048

struct se_buffers {
    struct sb_pool small;
    struct sb_memory *memory;
    struct sb_link large; /* struct se_large.link: large buffers in use */
};

void se_buffers_init(struct se_buffers *buffers, uint32_t small_max, struct sb_memory *memory);

/* Frees all copies: those that are still referenced become invalid. */
void se_buffers_deinit(struct se_buffers *buffers);

/* Copies `size` bytes to `*ret_data`.  Returns the buffer that owns them, with one reference, the
 * caller's.  Returns NULL at the limit or without memory. */
SB_MUST_USE struct sb_buffer *se_buffers_copy(struct se_buffers *buffers, const uint8_t *data,
                                              size_t size, uint8_t **ret_data);

#endif
