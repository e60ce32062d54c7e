/* SPDX-License-Identifier: MIT */
/* The small limits under the large ones: answers a second, the memory budget. */

#include "test/support/qt.h"

#include <string.h>

#include "engine/base/entropy.h"
#include "engine/base/path.h"
#include "engine/net/admit.h"
#include "proto/base/time.h"

static uint32_t take_all(struct se_bucket *bucket, uint64_t now_ns)
{
    uint32_t count = 0;
    while (se_bucket_take(bucket, now_ns))
        count++;
    return count;
}

static void a_bucket_gives_its_burst_and_then_its_rate(void **state)
{
    (void)state;
    struct se_bucket b;
    se_bucket_init(&b, 1000, 50);
    uint64_t now = 123 * SB_S;
    assert_int_equal(take_all(&b, now), 50);
    assert_int_equal(take_all(&b, now), 0);
    assert_int_equal(take_all(&b, now + SB_MS - 1), 0);
    assert_int_equal(take_all(&b, now + 10 * SB_MS), 10);
    assert_int_equal(take_all(&b, now + 3600 * SB_S), 50); /* no more than the burst is saved */
}

static void entropy_gives_other_bytes_each_time_and_wipes_the_old(void **state)
{
    (void)state;
    struct se_entropy e;
    static const uint8_t zero[100];
    uint8_t large[2][5000];
    assert_int_equal(se_entropy_init(&e), 0);
    se_entropy_fill(&e, large[0], 100);
    assert_memory_equal(e.block, zero, 100);
    assert_memory_not_equal(large[0], zero, 100);
    se_entropy_fill(&e, large[0], sizeof(large[0]));
    se_entropy_fill(&e, large[1], sizeof(large[1]));
    assert_memory_not_equal(large[0], large[1], sizeof(large[0]));
    assert_memory_not_equal(large[0] + 4900, large[1] + 4900, 100);
    se_entropy_deinit(&e);
    assert_memory_equal(e.block, zero, 100);
}

static void addresses_survive_the_way_to_proto_and_back(void **state)
{
    (void)state;
    static const char *const texts[] = {"192.0.2.7:443", "[2001:db8::1]:65535", "[fe80::1%3]:1"};
    for (size_t i = 0; i < QT_COUNT(texts); i++) {
        struct su_address in;
        struct su_address out;
        struct sp_addr addr;
        assert_int_equal(su_address_parse(texts[i], &in), 0);
        se_addr_from(&in, &addr);
        se_addr_to(&addr, &out);
        assert_true(su_address_is_equal(&in, &out));

        struct sockaddr_storage user;
        socklen_t size;
        assert_int_equal(se_address_to_user(&addr, &user, &size), 0);
        assert_int_equal(su_address_from_kernel(&user, size, &out), 0);
        assert_true(su_address_is_equal(&in, &out));
    }
    static const struct sp_addr none;
    struct su_address out;
    struct sockaddr_storage user;
    socklen_t size = 77;
    se_addr_to(&none, &out);
    assert_int_equal(out.family, AF_UNSPEC);
    assert_true(se_address_to_user(&none, &user, &size) < 0);
    assert_int_equal(size, 77);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_bucket_gives_its_burst_and_then_its_rate),
        cmocka_unit_test(entropy_gives_other_bytes_each_time_and_wipes_the_old),
        cmocka_unit_test(addresses_survive_the_way_to_proto_and_back),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
