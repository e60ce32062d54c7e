/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/heap.h"

/* Sanitizers have heaps of their own. */
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define OTHER_HEAP
#endif

#define S UINT64_C(1000000000)

enum { BLOCKS = 4000, BLOCK_SIZE = 8000, MANY = 1000 };

static void it_waits_for_many_handshakes_and_quiet(void **state)
{
    (void)state;
    struct heap heap = {0};
    assert_int_equal(heap_look(&heap, 5 * S), UINT64_MAX);
    heap_note(&heap, 5 * S);
    assert_int_equal(heap_look(&heap, 5 * S), UINT64_MAX); /* one is not many */
    for (int i = 0; i < MANY; i++)
        heap_note(&heap, 6 * S);
    assert_int_equal(heap_look(&heap, 6 * S), 2 * S);
    assert_int_equal(heap_look(&heap, 7 * S), S);
    heap_note(&heap, 7 * S);
    assert_int_equal(heap_look(&heap, 8 * S), S); /* not quiet */
    assert_int_equal(heap_look(&heap, 9 * S), UINT64_MAX);
    assert_int_equal(heap.handshakes, 0);
    assert_int_equal(heap_look(&heap, 20 * S), UINT64_MAX); /* once */
}

#ifndef OTHER_HEAP
static long resident_pages(void)
{
    long size, resident;
    FILE *file = fopen("/proc/self/statm", "r");
    assert_non_null(file);
    assert_int_equal(fscanf(file, "%ld %ld", &size, &resident), 2);
    (void)fclose(file);
    return resident;
}

static void pages_between_what_stays_go_back(void **state)
{
    (void)state;
    static void *large[BLOCKS], *small[BLOCKS];
    struct heap heap = {.handshakes = MANY};
    for (int i = 0; i < BLOCKS; i++) {
        large[i] = malloc(BLOCK_SIZE);
        small[i] = malloc(32);
        assert_non_null(large[i]);
        assert_non_null(small[i]);
        memset(large[i], 1, BLOCK_SIZE);
    }
    for (int i = 0; i < BLOCKS; i++)
        free(large[i]);
    long before = resident_pages();
    (void)heap_look(&heap, 10 * S);
    long given = before - resident_pages();
    assert_true(given > BLOCKS / 2); /* at least half a page of each */
    for (int i = 0; i < BLOCKS; i++)
        free(small[i]);
}
#endif

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(it_waits_for_many_handshakes_and_quiet),
#ifndef OTHER_HEAP
        cmocka_unit_test(pages_between_what_stays_go_back),
#endif
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
