/* SPDX-License-Identifier: MIT */
#include "proto/stream/stream_map.h"

/* A hash table with chains through the streams.
 *
 * It starts with the buckets inside the map and grows by a factor of GROWTH when streams
 * outnumber buckets.  Growth that finds no memory is skipped: chains become longer, nothing
 * fails.
 *
 * What can be attacked: a peer counts IDs up, but it decides which streams stay open.  If it knew
 * the buckets, it could keep those of one bucket, and each of its frames would walk over all of
 * them.  So the factor of the hash is a secret. */

#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/steps.h"

#define BUCKETS_MAX 65536 /* beyond, chains grow: 512 KiB per connection is enough */
#define GROWTH      8     /* large, so that there are few steps */

/* Multiply-shift: two IDs below 2^36 share one of n buckets with at most 2/n of all factors.
 * (M. Dietzfelbinger et al., A reliable randomized algorithm for the closest-pair problem, 1997) */
static uint32_t bucket_of(const struct sp_stream_map *map, uint64_t id)
{
    return (uint32_t)(id * map->factor >> 32) & map->mask;
}

static size_t size_of(uint32_t bucket_count)
{
    return (size_t)bucket_count * sizeof(struct sp_stream *);
}

void sp_stream_map_init(struct sp_stream_map *map, struct sb_memory *memory, uint64_t secret)
{
    *map = (struct sp_stream_map){
        .memory = memory, .factor = secret | 1, .mask = SP_STREAM_MAP_FEW - 1};
    map->buckets = map->few;
}

static void give_buckets(struct sp_stream_map *map)
{
    if (map->buckets != map->few)
        map->memory->give(map->memory->context, map->buckets, size_of(map->mask + 1));
}

void sp_stream_map_deinit(struct sp_stream_map *map)
{
    if (map->buckets == NULL)
        return;
    SB_ASSERT(map->count == 0);
    give_buckets(map);
    *map = (struct sp_stream_map){0};
}

/* Without memory everything stays as it is, and chains are longer. */
static void grow(struct sp_stream_map *map)
{
    uint32_t count = GROWTH * (map->mask + 1);
    struct sp_stream_map grown = {.factor = map->factor, .mask = count - 1};
    grown.buckets = map->memory->take(map->memory->context, size_of(count));
    if (grown.buckets == NULL)
        return;
    memset(grown.buckets, 0, size_of(count));
    for (uint32_t i = 0; i <= map->mask; i++) {
        for (struct sp_stream *stream = map->buckets[i], *next; stream != NULL; stream = next) {
            next = stream->hash_next;
            struct sp_stream **bucket = &grown.buckets[bucket_of(&grown, stream->id)];
            stream->hash_next = *bucket;
            *bucket = stream;
        }
    }
    give_buckets(map);
    map->buckets = grown.buckets;
    map->mask = grown.mask;
}

struct sp_stream *sp_stream_map_find(const struct sp_stream_map *map, uint64_t id)
{
    struct sp_stream *stream = map->buckets[bucket_of(map, id)];
    while (stream != NULL && stream->id != id) {
        SB_STEP();
        stream = stream->hash_next;
    }
    return stream;
}

void sp_stream_map_add(struct sp_stream_map *map, struct sp_stream *stream)
{
    SB_DEBUG_ASSERT(sp_stream_map_find(map, stream->id) == NULL);
    if (map->count > map->mask && map->mask + 1 < BUCKETS_MAX)
        grow(map);
    struct sp_stream **bucket = &map->buckets[bucket_of(map, stream->id)];
    stream->hash_next = *bucket;
    *bucket = stream;
    map->count++;
    map->popped_count = 0;
}

void sp_stream_map_remove(struct sp_stream_map *map, struct sp_stream *stream)
{
    struct sp_stream **link = &map->buckets[bucket_of(map, stream->id)];
    while (*link != NULL && *link != stream) {
        SB_STEP();
        link = &(*link)->hash_next;
    }
    SB_ASSERT(*link == stream);
    *link = stream->hash_next;
    stream->hash_next = NULL;
    SB_ASSERT(map->count > 0);
    map->count--;
}

struct sp_stream *sp_stream_map_pop(struct sp_stream_map *map)
{
    if (map->count == 0)
        return NULL;
    while (map->buckets[map->popped_count] == NULL) {
        SB_STEP();
        map->popped_count++;
        SB_ASSERT(map->popped_count <= map->mask);
    }
    struct sp_stream *stream = map->buckets[map->popped_count];
    map->buckets[map->popped_count] = stream->hash_next;
    stream->hash_next = NULL;
    map->count--;
    return stream;
}
