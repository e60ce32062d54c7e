/* SPDX-License-Identifier: MIT */
/* Streams by ID. */

#include "test/support/qt.h"

#include "proto/base/steps.h"
#include "proto/stream/stream_map.h"
#include "test/sim/random.h"
#include "test/support/heap.h"

enum { STREAMS = 400 };

static struct sp_stream streams[STREAMS]; /* IDs 0 to STREAMS - 1: all four kinds */

struct world {
    struct heap heap;
    struct sp_stream_map map;
};

static void world_deinit(struct world *world)
{
    if (!heap_is_open(&world->heap))
        return; /* never begun, or ended already */
    while (sp_stream_map_pop(&world->map) != NULL)
        continue;
    sp_stream_map_deinit(&world->map);
    sp_stream_map_deinit(&world->map); /* once more is harmless */
    heap_deinit(&world->heap);
}

/* `memory`: where the map takes its buckets, NULL for the heap. */
static void world_init_with(struct world *world, struct sb_memory *memory, uint64_t secret)
{
    world_deinit(world); /* of the sample before */
    heap_init(&world->heap);
    sp_stream_map_init(&world->map, memory != NULL ? memory : &world->heap.memory, secret);
}

static void world_init(struct world *world, struct sb_memory *memory)
{
    world_init_with(world, memory, UINT64_C(0x9e3779b97f4a7c15));
}

QT_FIXTURE(world, world_deinit)

static void *take_nothing(void *context, size_t size)
{
    (void)context, (void)size;
    return NULL;
}

/* With memory for buckets, and without: then chains are long. */
static void any_order_of_adding_and_removing_finds_what_is_there(void **state)
{
    struct world *world = *state;
    struct sp_stream_map *map = &world->map;
    static struct sb_memory none = {.take = take_nothing};
    for (size_t n = 0; n < 4; n++) {
        world_init(world, n % 2 == 0 ? NULL : &none);
        struct qs_random random;
        qs_random_init(&random, n);
        bool is_in[STREAMS] = {false};
        uint32_t count = 0;
        for (int i = 0; i < 4000; i++) {
            uint64_t id = qs_random_below(&random, STREAMS);
            struct sp_stream *found = sp_stream_map_find(map, id);
            assert_ptr_equal(found, is_in[id] ? &streams[id] : NULL);
            streams[id].id = id;
            if (is_in[id])
                sp_stream_map_remove(map, &streams[id]);
            else
                sp_stream_map_add(map, &streams[id]);
            is_in[id] = !is_in[id];
            count = is_in[id] ? count + 1 : count - 1;
            assert_int_equal(map->count, count);
        }
        assert_true(map->mask >= SP_STREAM_MAP_FEW - 1);
        assert_int_equal(map->mask + 1 > SP_STREAM_MAP_FEW, n % 2 == 0);
        uint32_t walked = 0;
        SP_STREAM_MAP_EACH(stream, map) {
            assert_true(is_in[stream->id]);
            walked++;
        }
        assert_int_equal(walked, count);
        uint64_t steps = SB_STEPS_COUNT();
        for (struct sp_stream *stream; (stream = sp_stream_map_pop(map)) != NULL; count--) {
            assert_true(is_in[stream->id]);
            is_in[stream->id] = false;
        }
        assert_int_equal(count, 0);
        assert_in_range(SB_STEPS_COUNT() - steps, 0, map->mask); /* one walk over the buckets */
    }
}

static void few_streams_take_no_memory(void **state)
{
    struct world *world = *state;
    struct sp_stream_map *map = &world->map;
    world_init(world, NULL);
    for (uint32_t i = 0; i < SP_STREAM_MAP_FEW; i++) {
        streams[i].id = i;
        sp_stream_map_add(map, &streams[i]);
    }
    assert_int_equal(world->heap.block_count, 0);
    streams[SP_STREAM_MAP_FEW].id = SP_STREAM_MAP_FEW;
    sp_stream_map_add(map, &streams[SP_STREAM_MAP_FEW]);
    assert_int_equal(world->heap.block_count, 1);
    for (uint32_t i = 0; i <= SP_STREAM_MAP_FEW; i++)
        sp_stream_map_remove(map, &streams[i]);
}

static void misuse_is_our_bug(void **state)
{
    struct world *world = *state;
    struct sp_stream_map *map = &world->map;
    world_init(world, NULL);
    streams[5].id = 5;
    expect_assert_failure(sp_stream_map_remove(map, &streams[5]));
    sp_stream_map_add(map, &streams[5]);
    expect_assert_failure(sp_stream_map_deinit(map));
    sp_stream_map_remove(map, &streams[5]);
}

/* Returns how many streams the fullest bucket has. */
static uint32_t longest_of(const struct sp_stream_map *map)
{
    uint32_t longest = 0;
    for (uint32_t i = 0; i <= map->mask; i++) {
        uint32_t length = 0;
        for (const struct sp_stream *s = map->buckets[i]; s != NULL; s = s->hash_next)
            length++;
        longest = SB_MAX(longest, length);
    }
    return longest;
}

/* Returns the bucket where `stream` would be: what was added last comes first there. */
static uint32_t bucket_for(struct sp_stream_map *map, struct sp_stream *stream)
{
    uint32_t i = 0;
    sp_stream_map_add(map, stream);
    while (map->buckets[i] != stream)
        i++;
    sp_stream_map_remove(map, stream);
    return i;
}

enum { CHOSEN = 100 };

/* Chooses IDs of one kind that share a bucket of the map, which has at least as many buckets. */
static void choose_ids(struct sp_stream_map *map, uint64_t ret[CHOSEN])
{
    static struct sp_stream stream;
    uint32_t count = 0;
    for (stream.id = 2; count < CHOSEN; stream.id += 4)
        if (bucket_for(map, &stream) == 0)
            ret[count++] = stream.id;
}

static void add_all(struct sp_stream_map *map, const uint64_t ids[CHOSEN])
{
    for (uint32_t i = 0; i < CHOSEN; i++) {
        streams[i].id = ids[i];
        sp_stream_map_add(map, &streams[i]);
    }
}

/* A peer that opens streams and closes all but those of one bucket, as far as it can know. */
static void streams_that_a_peer_keeps_open_share_no_bucket(void **state)
{
    struct world *world = *state;
    uint64_t ids[CHOSEN], dense[CHOSEN];
    for (uint32_t i = 0; i < CHOSEN; i++)
        dense[i] = 4 * i + 2;
    world_init_with(world, NULL, 1234567);
    add_all(&world->map, dense);
    while (sp_stream_map_pop(&world->map) != NULL)
        continue;
    assert_true(world->map.mask + 1 >= CHOSEN);
    choose_ids(&world->map, ids);
    add_all(&world->map, ids);
    assert_int_equal(longest_of(&world->map), CHOSEN); /* with the secret it would be easy */

    struct qs_random random;
    qs_random_init(&random, 1);
    uint32_t sum = 0;
    for (uint32_t n = 0; n < 100; n++) {
        world_init_with(world, NULL, qs_random_next(&random));
        add_all(&world->map, ids);
        sum += longest_of(&world->map);
    }
    assert_in_range(sum / 100, 1, 4);
}

/* IDs are counted up, mostly those of one kind: whatever the secret is, chains are short. */
static void chains_are_short_with_any_secret(void **state)
{
    struct world *world = *state;
    struct qs_random random;
    qs_random_init(&random, 2);
    for (uint32_t kinds = 1; kinds <= 4; kinds += 3) {
        uint32_t sum = 0;
        for (uint32_t n = 0; n < 400; n++) {
            world_init_with(world, NULL, qs_random_next(&random));
            for (uint32_t i = 0; i < STREAMS; i++) {
                streams[i].id = i * 4 / kinds;
                sp_stream_map_add(&world->map, &streams[i]);
            }
            sum += longest_of(&world->map);
        }
        assert_in_range(sum / 400, 1, 3);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(world, any_order_of_adding_and_removing_finds_what_is_there),
        QT_TEST(world, few_streams_take_no_memory),
        QT_TEST(world, streams_that_a_peer_keeps_open_share_no_bucket),
        QT_TEST(world, chains_are_short_with_any_secret),
        QT_TEST(world, misuse_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
