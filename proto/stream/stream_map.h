/* SPDX-License-Identifier: MIT */
#ifndef SP_STREAM_MAP_H
#define SP_STREAM_MAP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/base/pool.h"
#include "proto/stream/stream.h"

enum { SP_STREAM_MAP_FEW = 16 };

/* The streams of a connection by ID: a hash table with chains through the streams.
 * A few buckets are in it; more are taken as streams become more, and kept until its end, so that
 * a connection costs what it uses.  It may not be moved.
 *
 *     count <= buckets, or there was no memory, or there are as many as there may be */
struct sp_stream_map {
    struct sb_memory *memory; /* borrowed */
    struct sp_stream **buckets;
    uint64_t factor; /* of the hash; odd */
    uint32_t mask;
    uint32_t count;
    uint32_t popped_count; /* buckets from the first on that sp_stream_map_pop() has found empty */
    struct sp_stream *few[SP_STREAM_MAP_FEW];
};

/* Takes no memory yet.  `secret`: random, so that a peer cannot know which streams share a bucket.
 */
void sp_stream_map_init(struct sp_stream_map *map, struct sb_memory *memory, uint64_t secret);
/* The map must be empty. */
void sp_stream_map_deinit(struct sp_stream_map *map);

struct sp_stream *sp_stream_map_find(const struct sp_stream_map *map, uint64_t id);
void sp_stream_map_add(struct sp_stream_map *map, struct sp_stream *stream);
void sp_stream_map_remove(struct sp_stream_map *map, struct sp_stream *stream);

/* Bytes of buckets outside of the map. */
static inline uint64_t sp_stream_map_bytes(const struct sp_stream_map *map)
{
    return map->buckets == map->few || map->buckets == NULL
               ? 0
               : ((uint64_t)map->mask + 1) * sizeof(map->buckets[0]);
}

/* Removes and returns any stream, or returns NULL: for taking the map apart.  Takes all of them in
 * one walk over the buckets, if none is added meanwhile. */
struct sp_stream *sp_stream_map_pop(struct sp_stream_map *map);

/* Walks all streams; the stream at hand may not be removed in the body. */
#define SP_STREAM_MAP_EACH(stream, map) \
    for (uint32_t bucket_ = 0; bucket_ <= (map)->mask; bucket_++) \
        for (struct sp_stream *stream = (map)->buckets[bucket_]; stream != NULL; \
             stream = stream->hash_next)

#endif
