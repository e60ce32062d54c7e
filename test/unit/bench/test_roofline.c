/* SPDX-License-Identifier: MIT */
/* The limit of the machine: its arithmetic, and that a packet of the cipher is a datagram. */

#include "test/support/qt.h"

#include <math.h>

#include "bench/load/failure.h"
#include "bench/load/limit.h"
#include "bench/roofline/cipher.h"
#include "bench/roofline/flow.h"

static void a_datagram_holds_header_frame_payload_and_tag(void **state)
{
    static const struct {
        uint32_t mtu;
        uint32_t payload;
        uint32_t segments;
    } samples[] = {
        /* 1 + 8 + 2 of header, 1 + 1 + 8 of frame, 16 of tag */
        {1200, 1163, 54},
        {1472, 1435, 44},
        {8900, 8863, 7},
        {65507, 65470, 1},
    };
    (void)state;
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct cipher_shape shape = cipher_shape_of(samples[i].mtu);
        assert_int_equal(limit_payload_bytes(samples[i].mtu), samples[i].payload);
        assert_int_equal(shape.header + shape.head + shape.payload + SP_TAG_SIZE, samples[i].mtu);
        assert_int_equal(flow_shape_of(samples[i].mtu).segment_count, samples[i].segments);
    }
}

static void the_dearer_side_is_the_limit(void **state)
{
    struct limit limit = {
        .payload = 1000,
        .send_ns = 100,
        .seal_ns = 300,
        .receive_ns = 50,
        .open_ns = 200,
    };
    (void)state;
    limit_derive(&limit);
    assert_true(fabs(limit.gbps - 20) < 1e-9);           /* 8,000 bits in 400 ns */
    assert_true(fabs(limit.cpu_s_per_gb - 0.65) < 1e-9); /* 650 ns for 1,000 bytes */
    assert_true(fabs(limit.kernel_cpu_s_per_gb - 0.15) < 1e-9);

    limit.open_ns = 750;
    limit_derive(&limit);
    assert_true(fabs(limit.gbps - 10) < 1e-9);
}

static void every_cipher_opens_what_it_seals(void **state)
{
    static const enum sp_suite suites[] = {SP_SUITE_AES_128_GCM, SP_SUITE_AES_256_GCM,
                                           SP_SUITE_CHACHA20_POLY1305};
    static const uint32_t mtus[] = {1200, 65507};
    (void)state;
    for (size_t i = 0; i < QT_COUNT(suites); i++) {
        for (size_t m = 0; m < QT_COUNT(mtus); m++) {
            const struct flow_shape shape = flow_shape_of(mtus[m]);
            double seal_ns = 0;
            double open_ns = 0;
            struct failure failure = {.is_set = false};
            struct cipher_setup setup = {.suite = suites[i], .duration_ns = 1000000};
            assert_true(cipher_run(&setup, &shape, &seal_ns, &open_ns, &failure));
            assert_true(seal_ns > 1 && open_ns > 1);
            setup.crypto = SPATE_CRYPTO_OPENSSL;
            assert_true(cipher_run(&setup, &shape, &seal_ns, &open_ns, &failure));
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_datagram_holds_header_frame_payload_and_tag),
        cmocka_unit_test(the_dearer_side_is_the_limit),
        cmocka_unit_test(every_cipher_opens_what_it_seals),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
