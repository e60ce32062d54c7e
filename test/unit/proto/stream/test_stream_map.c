/* SPDX-License-Identifier: MIT */
/* Streams by ID. */

#include "test/support/qt.h"

#include "proto/stream/stream_map.h"
#include "test/sim/random.h"
#include "test/support/heap.h"

enum { STREAMS = 400 };

static struct sp_stream streams[STREAMS]; /* IDs 0 to STREAMS - 1: all four kinds */

static void *take_nothing(void *context, size_t size)
{
    (void)context, (void)size;
    return NULL;
}

/* With memory for buckets, and without: then chains are long. */
static void any_order_of_adding_and_removing_finds_what_is_there(void **state)
{
    (void)state;
    for (size_t n = 0; n < 4; n++) {
        struct heap heap;
        heap_init(&heap);
        struct sb_memory none = {.take = take_nothing};
        struct sp_stream_map map;
        sp_stream_map_init(&map, n % 2 == 0 ? &heap.memory : &none);
        struct qs_random random;
        qs_random_init(&random, n);
        bool is_in[STREAMS] = {false};
        uint32_t count = 0;
        for (int i = 0; i < 4000; i++) {
            uint64_t id = qs_random_below(&random, STREAMS);
            struct sp_stream *found = sp_stream_map_find(&map, id);
            assert_ptr_equal(found, is_in[id] ? &streams[id] : NULL);
            streams[id].id = id;
            if (is_in[id])
                sp_stream_map_remove(&map, &streams[id]);
            else
                sp_stream_map_add(&map, &streams[id]);
            is_in[id] = !is_in[id];
            count = is_in[id] ? count + 1 : count - 1;
            assert_int_equal(map.count, count);
        }
        assert_true(map.mask >= SP_STREAM_MAP_FEW - 1);
        assert_int_equal(map.mask + 1 > SP_STREAM_MAP_FEW, n % 2 == 0);
        uint32_t walked = 0;
        SP_STREAM_MAP_EACH(stream, &map) {
            assert_true(is_in[stream->id]);
            walked++;
        }
        assert_int_equal(walked, count);
        for (struct sp_stream *stream; (stream = sp_stream_map_any(&map)) != NULL; count--)
            sp_stream_map_remove(&map, stream);
        assert_int_equal(count, 0);
        sp_stream_map_deinit(&map);
        sp_stream_map_deinit(&map); /* once more is harmless */
        heap_deinit(&heap);
    }
}

static void few_streams_take_no_memory(void **state)
{
    (void)state;
    struct heap heap;
    heap_init(&heap);
    struct sp_stream_map map;
    sp_stream_map_init(&map, &heap.memory);
    for (uint32_t i = 0; i < SP_STREAM_MAP_FEW; i++) {
        streams[i].id = i;
        sp_stream_map_add(&map, &streams[i]);
    }
    assert_int_equal(heap.block_count, 0);
    streams[SP_STREAM_MAP_FEW].id = SP_STREAM_MAP_FEW;
    sp_stream_map_add(&map, &streams[SP_STREAM_MAP_FEW]);
    assert_int_equal(heap.block_count, 1);
    for (uint32_t i = 0; i <= SP_STREAM_MAP_FEW; i++)
        sp_stream_map_remove(&map, &streams[i]);
    sp_stream_map_deinit(&map);
    heap_deinit(&heap);
}

static void misuse_is_our_bug(void **state)
{
    (void)state;
    struct heap heap;
    heap_init(&heap);
    struct sp_stream_map map;
    sp_stream_map_init(&map, &heap.memory);
    streams[5].id = 5;
    expect_assert_failure(sp_stream_map_remove(&map, &streams[5]));
    sp_stream_map_add(&map, &streams[5]);
    expect_assert_failure(sp_stream_map_deinit(&map));
    sp_stream_map_remove(&map, &streams[5]);
    sp_stream_map_deinit(&map);
    heap_deinit(&heap);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_order_of_adding_and_removing_finds_what_is_there),
        cmocka_unit_test(few_streams_take_no_memory),
        cmocka_unit_test(misuse_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
