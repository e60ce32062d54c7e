/* SPDX-License-Identifier: MIT */
#ifndef SE_BUFFERS_H
#define SE_BUFFERS_H

#include <stdint.h>

#include "proto/base/pool.h"
#include "proto/base/slice.h"

/* Small buffers for datagrams that are copied out of their receive slot, so that a few held
 * bytes do not pin 64 KiB.  They come from the shard's memory budget. */

/* Payload of one: an Ethernet datagram with room to spare. */
#define SE_SMALL_SIZE 2048

struct se_small {
    struct sb_buffer buffer;
    struct sb_pool *pool;
    _Alignas(16) uint8_t data[SE_SMALL_SIZE];
};

struct se_buffers {
    struct sb_pool pool;
};

void se_buffers_init(struct se_buffers *buffers, uint32_t count_max, struct sb_memory *memory);

/* What is still held becomes invalid. */
void se_buffers_deinit(struct se_buffers *buffers);

/* A copy of `data`, `size` up to SE_SMALL_SIZE, with one reference for the caller; NULL at
 * the limit or without memory. */
SB_MUST_USE struct se_small *se_buffers_copy(struct se_buffers *buffers, const uint8_t *data,
                                             size_t size);

#endif
