/* SPDX-License-Identifier: MIT */
/* What the load generator takes for a leak. */

#include "test/support/qt.h"

#include <string.h>

#include "bench/load/failure.h"
#include "bench/load/leaks.h"
#include "bench/load/result.h"

static struct result result;
static struct failure failure;

static int start(void **state)
{
    (void)state;
    memset(&result, 0, sizeof(result));
    memset(&failure, 0, sizeof(failure));
    result.have_server = true;
    result.handshakes = 100000;
    return 0;
}

static void a_heap_that_grows_with_the_connections_is_a_leak(void **state)
{
    (void)state;
    result.server[0].usage.heap_used_bytes = 10 << 20;
    result.server[1].usage.heap_used_bytes = (10 << 20) + 100000 * 100;
    assert_false(leaks_check(&result, &failure));
    assert_non_null(strstr(failure.text, "the server leaks: its heap has grown by 10000000 bytes, "
                                         "100 for each of 100000 connections"));
}

static void a_heap_that_settles_is_none(void **state)
{
    (void)state;
    result.client[1].usage.heap_used_bytes = 8 << 20; /* once, however many there were */
    result.server[0].usage.heap_used_bytes = 30 << 20;
    result.server[1].usage.heap_used_bytes = 20 << 20; /* it may shrink too */
    assert_true(leaks_check(&result, &failure));
    assert_false(failure.is_set);
}

static void descriptors_that_stay_are_a_leak(void **state)
{
    (void)state;
    result.client[0].usage.fds = 10;
    result.client[1].usage.fds = 26;
    assert_true(leaks_check(&result, &failure));
    result.client[1].usage.fds = 27;
    assert_false(leaks_check(&result, &failure));
    assert_non_null(strstr(failure.text, "the client leaks: it has 27 file descriptors"));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup(a_heap_that_grows_with_the_connections_is_a_leak, start),
        cmocka_unit_test_setup(a_heap_that_settles_is_none, start),
        cmocka_unit_test_setup(descriptors_that_stay_are_a_leak, start),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
