/* SPDX-License-Identifier: MIT */
#include "proto/stream_map.h"

#include <string.h>

#include "proto/base/assert.h"

#define BUCKETS_MIN 16
#define BUCKETS_MAX 65536 /* beyond, chains grow: 512 KiB a connection is enough */

/* IDs of one kind are multiples of 4 apart and dense: shifting out the kind and mixing it
 * back in above spreads them evenly.  A peer cannot choose IDs, only count them up. */
static uint32_t bucket_of(const struct sp_stream_map *map, uint64_t id)
{
    return ((uint32_t)(id >> 2) * 2654435761u + (uint32_t)(id & 3) * 0x9e37u) >> 7 & map->mask;
}

static size_t size_of(uint32_t bucket_count)
{
    return (size_t)bucket_count * sizeof(struct sp_stream *);
}

bool sp_stream_map_init(struct sp_stream_map *map, struct sb_memory *memory, uint64_t streams_max)
{
    uint32_t count = BUCKETS_MIN;
    while (count < streams_max && count < BUCKETS_MAX)
        count *= 2;

    struct sp_stream **buckets = memory->take(memory->context, size_of(count));
    if (buckets == NULL)
        return false;
    memset(buckets, 0, size_of(count));
    *map = (struct sp_stream_map){.memory = memory, .buckets = buckets, .mask = count - 1};
    return true;
}

void sp_stream_map_deinit(struct sp_stream_map *map)
{
    if (map->buckets == NULL)
        return;
    SB_ASSERT(map->count == 0);
    map->memory->give(map->memory->context, map->buckets, size_of(map->mask + 1));
    *map = (struct sp_stream_map){0};
}

struct sp_stream *sp_stream_map_find(const struct sp_stream_map *map, uint64_t id)
{
    struct sp_stream *stream = map->buckets[bucket_of(map, id)];
    while (stream != NULL && stream->id != id)
        stream = stream->hash_next;
    return stream;
}

void sp_stream_map_add(struct sp_stream_map *map, struct sp_stream *stream)
{
    SB_DEBUG_ASSERT(sp_stream_map_find(map, stream->id) == NULL);
    struct sp_stream **bucket = &map->buckets[bucket_of(map, stream->id)];
    stream->hash_next = *bucket;
    *bucket = stream;
    map->count++;
}

void sp_stream_map_remove(struct sp_stream_map *map, struct sp_stream *stream)
{
    struct sp_stream **link = &map->buckets[bucket_of(map, stream->id)];
    while (*link != NULL && *link != stream)
        link = &(*link)->hash_next;
    SB_ASSERT(*link == stream);
    *link = stream->hash_next;
    stream->hash_next = NULL;
    SB_ASSERT(map->count > 0);
    map->count--;
}

struct sp_stream *sp_stream_map_any(const struct sp_stream_map *map)
{
    for (uint32_t i = 0; map->count > 0 && i <= map->mask; i++)
        if (map->buckets[i] != NULL)
            return map->buckets[i];
    return NULL;
}
