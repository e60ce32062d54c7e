/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include <errno.h>
#include <netinet/udp.h>
#include <stdlib.h>
#include <string.h>

#include "uring/cmsg.h"

/* A buffer of control messages, made with the system's own macros: a second opinion. */
struct maker {
    _Alignas(struct cmsghdr) uint8_t bytes[256];
    size_t size;
};

static void add(struct maker *maker, int level, int type, const void *data, size_t size)
{
    assert_true(maker->size + CMSG_SPACE(size) <= sizeof(maker->bytes));
    struct cmsghdr head = {.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    memcpy(maker->bytes + maker->size, &head, sizeof(head));
    if (size != 0)
        memcpy(maker->bytes + maker->size + CMSG_LEN(0), data, size);
    maker->size += CMSG_SPACE(size);
}

static struct maker everything_v6(void)
{
    struct maker maker = {0};
    int segment_size = 1200;
    int tclass = 0xb8 | 3;
    uint32_t dropped = 0xfffffff0;
    struct in6_pktinfo info = {.ipi6_addr = IN6ADDR_LOOPBACK_INIT, .ipi6_ifindex = 1};
    add(&maker, SOL_SOCKET, SO_RXQ_OVFL, &dropped, sizeof(dropped));
    add(&maker, SOL_UDP, UDP_GRO, &segment_size, sizeof(segment_size));
    add(&maker, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    add(&maker, SOL_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass));
    return maker;
}

static void what_comes_with_an_ipv6_datagram_is_read(void **state)
{
    (void)state;
    struct maker maker = everything_v6();
    struct su_control control;
    struct su_address loopback;
    assert_int_equal(su_address_parse("[::1]:0", &loopback), 0);

    assert_int_equal(su_cmsg_parse(maker.bytes, maker.size, &control), 0);
    assert_int_equal(control.segment_size, 1200);
    assert_int_equal(control.ecn, 3);
    assert_true(control.has_dropped_count);
    assert_int_equal(control.dropped_count, 0xfffffff0);
    assert_true(su_address_is_equal(&control.local, &loopback));
}

static void what_comes_with_an_ipv4_datagram_is_read(void **state)
{
    (void)state;
    struct maker maker = {0};
    uint8_t tos = 0x02;
    struct in_pktinfo info = {.ipi_addr = {htonl(0xc0000207)}, .ipi_ifindex = 9};
    add(&maker, SOL_IP, IP_PKTINFO, &info, sizeof(info));
    add(&maker, SOL_IP, IP_TOS, &tos, sizeof(tos));

    struct su_control control;
    struct su_address local;
    assert_int_equal(su_address_parse("192.0.2.7:0", &local), 0);
    assert_int_equal(su_cmsg_parse(maker.bytes, maker.size, &control), 0);
    assert_int_equal(control.segment_size, 0);
    assert_int_equal(control.ecn, 2);
    assert_false(control.has_dropped_count);
    assert_true(su_address_is_equal(&control.local, &local));
}

static void the_kernels_time_stamp_is_read(void **state)
{
    (void)state;
    struct maker maker = {0};
    struct su_control control;
    struct timespec stamp = {.tv_sec = 1700000000, .tv_nsec = 123456789};
    add(&maker, SOL_SOCKET, SO_TIMESTAMPNS, &stamp, sizeof(stamp));
    assert_int_equal(su_cmsg_parse(maker.bytes, maker.size, &control), 0);
    assert_true(control.stamp_ns == UINT64_C(1700000000123456789));

    struct maker cut = {0};
    add(&cut, SOL_SOCKET, SO_TIMESTAMPNS, &stamp, sizeof(stamp) - 1);
    assert_int_equal(su_cmsg_parse(cut.bytes, cut.size, &control), -EBADMSG);
}

static void a_mapped_local_address_becomes_ipv4(void **state)
{
    (void)state;
    struct maker maker = {0};
    struct su_address local;
    assert_int_equal(su_address_parse("192.0.2.7:0", &local), 0);
    struct su_address mapped = su_address_for_socket(&local, AF_INET6);
    struct in6_pktinfo info = {.ipi6_addr = mapped.v6.sin6_addr, .ipi6_ifindex = 4};
    add(&maker, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info));

    struct su_control control;
    assert_int_equal(su_cmsg_parse(maker.bytes, maker.size, &control), 0);
    assert_true(su_address_is_equal(&control.local, &local));
}

static void nothing_and_unknown_messages_are_fine(void **state)
{
    (void)state;
    struct su_control control = {.ecn = 3};
    assert_int_equal(su_cmsg_parse(NULL, 0, &control), 0);
    assert_int_equal(control.ecn, 0);
    assert_int_equal(control.local.family, AF_UNSPEC);

    struct maker maker = {0};
    int value = 77;
    add(&maker, SOL_SOCKET, SO_TIMESTAMP, &value, sizeof(value));
    add(&maker, SOL_IP, IP_TTL, &value, sizeof(value));
    add(&maker, SOL_IPV6, IPV6_HOPLIMIT, &value, sizeof(value));
    add(&maker, SOL_UDP, 200, NULL, 0);
    add(&maker, 12345, 1, &value, sizeof(value));
    add(&maker, SOL_IPV6, IPV6_TCLASS, &value, sizeof(value));
    assert_int_equal(su_cmsg_parse(maker.bytes, maker.size, &control), 0);
    assert_int_equal(control.ecn, 1);
}

/* True if `size` bytes are whole messages, of which the last may lack padding. */
static bool is_whole(const struct maker *maker, size_t size)
{
    for (size_t at = 0; at < size;) {
        struct cmsghdr head;
        memcpy(&head, maker->bytes + at, sizeof(head));
        if (size < at + head.cmsg_len)
            return false;
        at += CMSG_ALIGN(head.cmsg_len);
    }
    return true;
}

/* Parsed out of a heap block that ends where the messages do, so that ASan sees a read past it. */
static void every_cut_is_seen(void **state)
{
    (void)state;
    struct maker maker = everything_v6();
    size_t error_count = 0;
    for (size_t size = 0; size < maker.size; size++) {
        for (size_t shift = 0; shift < 8; shift++) {
            uint8_t *block = malloc(size + shift + 1);
            assert_non_null(block);
            uint8_t *start = block + 1 + shift;
            memcpy(start, maker.bytes, size);
            struct su_control control = {.dropped_count = 5};
            int error = su_cmsg_parse(start, size, &control);
            assert_int_equal(error, is_whole(&maker, size) ? 0 : -EBADMSG);
            if (error != 0) {
                assert_int_equal(control.dropped_count, 5);
                error_count++;
            }
            free(block);
        }
    }
    assert_true(error_count >= 8 * 4 * 15); /* at least within each of the four heads */
}

static void lengths_that_lie_are_refused(void **state)
{
    (void)state;
    static const size_t lengths[] = {
        0, 1, sizeof(struct cmsghdr) - 1, 1000, SIZE_MAX, SIZE_MAX - 7, SIZE_MAX / 2 + 1};
    for (size_t i = 0; i < QT_COUNT(lengths); i++) {
        struct maker maker = everything_v6();
        memcpy(maker.bytes, &lengths[i], sizeof(lengths[i]));
        struct su_control control;
        assert_int_equal(su_cmsg_parse(maker.bytes, maker.size, &control), -EBADMSG);
    }
}

static void known_messages_with_too_little_data_are_refused(void **state)
{
    (void)state;
    static const struct {
        int level;
        int type;
        size_t needed;
    } cases[] = {
        {SOL_UDP, UDP_GRO, sizeof(int)},
        {SOL_SOCKET, SO_RXQ_OVFL, sizeof(uint32_t)},
        {SOL_IP, IP_TOS, 1},
        {SOL_IP, IP_PKTINFO, sizeof(struct in_pktinfo)},
        {SOL_IPV6, IPV6_TCLASS, sizeof(int)},
        {SOL_IPV6, IPV6_PKTINFO, sizeof(struct in6_pktinfo)},
    };
    static const uint8_t ones[64] = {1, 1, 1};
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        for (size_t size = 0; size <= cases[i].needed; size++) {
            struct maker maker = {0};
            struct su_control control;
            add(&maker, cases[i].level, cases[i].type, ones, size);
            assert_int_equal(su_cmsg_parse(maker.bytes, maker.size, &control),
                             size < cases[i].needed ? -EBADMSG : 0);
        }
    }

    struct maker maker = {0};
    struct su_control control;
    int negative = -1;
    add(&maker, SOL_UDP, UDP_GRO, &negative, sizeof(negative));
    assert_int_equal(su_cmsg_parse(maker.bytes, maker.size, &control), -EBADMSG);
}

/* What su_cmsg_build writes, looked at with the system's macros. */
static const struct cmsghdr *find(struct msghdr *message, int level, int type)
{
    for (struct cmsghdr *head = CMSG_FIRSTHDR(message); head != NULL;
         head = CMSG_NXTHDR(message, head)) {
        if (head->cmsg_level == level && head->cmsg_type == type)
            return head;
    }
    return NULL;
}

static void only_what_is_asked_for_is_built(void **state)
{
    (void)state;
    _Alignas(struct cmsghdr) uint8_t bytes[SU_CONTROL_SEND_SIZE];
    struct su_address v4;
    struct su_address v6;
    struct su_address any;
    assert_int_equal(su_address_parse("192.0.2.7:1", &v4), 0);
    assert_int_equal(su_address_parse("[fe80::7%5]:1", &v6), 0);
    assert_int_equal(su_address_parse("[::]:1", &any), 0);

    const struct {
        struct su_control_request request;
        bool has_tos, has_tclass, has_segment, has_info4, has_info6, has_time;
    } cases[] = {
        {{.socket_family = AF_INET, .is_v4 = true}, 0, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET6, .source = &any}, 0, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET6, .source = &v4, .is_v4 = false}, 0, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET, .is_v4 = true, .ecn = 2}, 1, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET6, .is_v4 = true, .ecn = 2}, 1, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET6, .ecn = 1}, 0, 1, 0, 0, 0, 0},
        {{.socket_family = AF_INET, .is_v4 = true, .ecn = 2, .socket_tos = 2}, 0, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET, .is_v4 = true, .ecn = 1, .socket_tos = 2}, 1, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET6, .is_v4 = true, .socket_tos = 2}, 1, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET6, .socket_tos = 2}, 0, 1, 0, 0, 0, 0},
        {{.socket_family = AF_INET6, .ecn = 2, .socket_tos = 2}, 0, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET, .is_v4 = true, .socket_tos = 0xb8}, 0, 0, 0, 0, 0, 0},
        {{.socket_family = AF_INET, .is_v4 = true, .source = &v4}, 0, 0, 0, 1, 0, 0},
        {{.socket_family = AF_INET6, .is_v4 = true, .source = &v4}, 0, 0, 0, 0, 1, 0},
        {{.socket_family = AF_INET6, .source = &v6, .ecn = 3, .segment_size = 1252},
         0,
         1,
         1,
         0,
         1,
         0},
        {{.socket_family = AF_INET, .is_v4 = true, .source = &v4, .ecn = 3, .segment_size = 1},
         1,
         0,
         1,
         1,
         0,
         0},
        {{.socket_family = AF_INET, .is_v4 = true, .depart_ns = 1}, 0, 0, 0, 0, 0, 1},
        {{.socket_family = AF_INET6, .source = &v6, .ecn = 3, .segment_size = 1, .depart_ns = 9},
         0,
         1,
         1,
         0,
         1,
         1},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        memset(bytes, 0xa5, sizeof(bytes));
        uint32_t size = su_cmsg_build(bytes, &cases[i].request);
        struct msghdr message = {.msg_control = bytes, .msg_controllen = size};
        assert_int_equal(find(&message, SOL_IP, IP_TOS) != NULL, cases[i].has_tos);
        assert_int_equal(find(&message, SOL_IPV6, IPV6_TCLASS) != NULL, cases[i].has_tclass);
        assert_int_equal(find(&message, SOL_UDP, UDP_SEGMENT) != NULL, cases[i].has_segment);
        assert_int_equal(find(&message, SOL_IP, IP_PKTINFO) != NULL, cases[i].has_info4);
        assert_int_equal(find(&message, SOL_IPV6, IPV6_PKTINFO) != NULL, cases[i].has_info6);
        assert_int_equal(find(&message, SOL_SOCKET, SCM_TXTIME) != NULL, cases[i].has_time);
        for (uint32_t at = size; at < sizeof(bytes); at++)
            assert_int_equal(bytes[at], 0xa5);
    }
}

static void built_values_are_the_right_ones(void **state)
{
    (void)state;
    _Alignas(struct cmsghdr) uint8_t bytes[SU_CONTROL_SEND_SIZE];
    struct su_address source;
    assert_int_equal(su_address_parse("[fe80::7%5]:1", &source), 0);
    struct su_control_request request = {
        .source = &source,
        .socket_family = AF_INET6,
        .ecn = 3,
        .socket_tos = 0xb8,
        .segment_size = 1252,
        .depart_ns = UINT64_C(0x123456789abcdef0),
    };
    struct msghdr message = {.msg_control = bytes,
                             .msg_controllen = su_cmsg_build(bytes, &request)};

    uint16_t segment_size;
    int tclass;
    struct in6_pktinfo info;
    memcpy(&segment_size, CMSG_DATA(find(&message, SOL_UDP, UDP_SEGMENT)), sizeof(segment_size));
    memcpy(&tclass, CMSG_DATA(find(&message, SOL_IPV6, IPV6_TCLASS)), sizeof(tclass));
    memcpy(&info, CMSG_DATA(find(&message, SOL_IPV6, IPV6_PKTINFO)), sizeof(info));
    uint64_t depart_ns;
    memcpy(&depart_ns, CMSG_DATA(find(&message, SOL_SOCKET, SCM_TXTIME)), sizeof(depart_ns));
    assert_int_equal(depart_ns, UINT64_C(0x123456789abcdef0));
    assert_int_equal(segment_size, 1252);
    assert_int_equal(tclass, 0xbb);
    assert_int_equal(info.ipi6_ifindex, 5);
    assert_memory_equal(&info.ipi6_addr, &source.v6.sin6_addr, 16);
}

static void what_a_host_has_received_is_written_as_the_kernel_does(void **state)
{
    (void)state;
    static const char *const locals[] = {"10.1.2.3:0", "[fe80::1]:0", NULL};
    static const uint32_t sizes[] = {0, 1200, 65535};
    for (uint32_t i = 0; i < 27; i++) {
        struct su_control want = {.segment_size = sizes[i / 9], .ecn = (uint8_t)(i % 4)};
        struct su_control got;
        uint8_t bytes[SU_CONTROL_RECEIVE_SIZE + 1];
        const char *local = locals[i % 3];
        if (local != NULL)
            assert_int_equal(su_address_parse(local, &want.local), 0);
        uint32_t size = su_cmsg_write_received(bytes + 1, &want);
        assert_int_equal(su_cmsg_parse(bytes + 1, size, &got), 0);
        assert_int_equal(got.segment_size, want.segment_size);
        assert_int_equal(got.ecn, want.ecn);
        assert_int_equal(got.local.family, want.local.family);
        if (local != NULL)
            assert_true(su_address_is_equal(&got.local, &want.local));
        assert_false(got.has_dropped_count);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_comes_with_an_ipv6_datagram_is_read),
        cmocka_unit_test(what_comes_with_an_ipv4_datagram_is_read),
        cmocka_unit_test(the_kernels_time_stamp_is_read),
        cmocka_unit_test(a_mapped_local_address_becomes_ipv4),
        cmocka_unit_test(nothing_and_unknown_messages_are_fine),
        cmocka_unit_test(every_cut_is_seen),
        cmocka_unit_test(lengths_that_lie_are_refused),
        cmocka_unit_test(known_messages_with_too_little_data_are_refused),
        cmocka_unit_test(only_what_is_asked_for_is_built),
        cmocka_unit_test(built_values_are_the_right_ones),
        cmocka_unit_test(what_a_host_has_received_is_written_as_the_kernel_does),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
