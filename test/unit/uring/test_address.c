/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include "uring/address.h"

static void numeric_addresses_are_read_and_written(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *written; /* NULL: refused */
    } cases[] = {
        {"127.0.0.1:443", "127.0.0.1:443"},
        {"0.0.0.0:0", "0.0.0.0:0"},
        {"255.255.255.255:65535", "255.255.255.255:65535"},
        {"[::1]:443", "[::1]:443"},
        {"[2001:db8:0::1]:1", "[2001:db8::1]:1"},
        {"[fe80::1%3]:443", "[fe80::1%3]:443"},
        {"[::ffff:192.0.2.1]:5", "192.0.2.1:5"},      /* mapped addresses become canonical */
        {"[2001:db8::1%3]:443", "[2001:db8::1]:443"}, /* a scope means nothing here */
        {"", NULL},
        {":", NULL},
        {":443", NULL},
        {"127.0.0.1", NULL},
        {"127.0.0.1:", NULL},
        {"127.0.0.1:65536", NULL},
        {"127.0.0.1:-1", NULL},
        {"127.0.0.1:+1", NULL},
        {"127.0.0.1: 1", NULL},
        {"127.0.0.1:1 ", NULL},
        {"127.0.0.1:0x50", NULL},
        {"127.0.0.1:99999999999999999999", NULL},
        {"127.0.0:1", NULL},
        {"localhost:1", NULL},
        {"::1:443", NULL},
        {"[::1:443", NULL},
        {"::1]:443", NULL},
        {"[]:443", NULL},
        {"[:443", NULL},
        {"[::1]443", NULL},
        {"[::1%]:443", NULL},
        {"[::1%eth0]:443", NULL},
        {"[::1%4294967296]:443", NULL},
        {"[127.0.0.1]:443", NULL},
        {"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa:"
         "1",
         NULL},
    };
    for (size_t i = 0; i < QT_COUNT(cases); i++) {
        struct su_address address = {0};
        char text[SU_ADDRESS_TEXT_SIZE];
        int error = su_address_parse(cases[i].text, &address);
        assert_int_equal(error, cases[i].written == NULL ? -EINVAL : 0);
        assert_string_equal(su_address_format(&address, text),
                            cases[i].written == NULL ? "-" : cases[i].written);
    }
}

static void the_longest_address_fits_its_text(void **state)
{
    (void)state;
    struct su_address address = {
        .v6 = {.sin6_family = AF_INET6, .sin6_port = 0xffff, .sin6_scope_id = UINT32_MAX}};
    memset(&address.v6.sin6_addr, 0xff, 16);
    char text[SU_ADDRESS_TEXT_SIZE];
    assert_string_equal(su_address_format(&address, text),
                        "[ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff%4294967295]:65535");
}

static void mapped_addresses_exist_only_at_the_socket(void **state)
{
    (void)state;
    struct su_address v4;
    struct su_address v6;
    struct su_address back;
    assert_int_equal(su_address_parse("192.0.2.7:99", &v4), 0);
    assert_int_equal(su_address_parse("[2001:db8::7]:99", &v6), 0);

    struct su_address mapped = su_address_for_socket(&v4, AF_INET6);
    assert_int_equal(mapped.family, AF_INET6);
    assert_true(IN6_IS_ADDR_V4MAPPED(&mapped.v6.sin6_addr));
    assert_int_equal(su_address_size(&mapped), sizeof(struct sockaddr_in6));
    assert_int_equal(su_address_from_kernel(&mapped, sizeof(mapped.v6), &back), 0);
    assert_true(su_address_is_equal(&back, &v4));

    struct su_address same = su_address_for_socket(&v4, AF_INET);
    assert_true(su_address_is_equal(&same, &v4));
    same = su_address_for_socket(&v6, AF_INET6);
    assert_true(su_address_is_equal(&same, &v6));
}

static void names_cut_short_are_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {"192.0.2.7:99", "[fe80::7%2]:99"};
    for (size_t i = 0; i < QT_COUNT(texts); i++) {
        struct su_address address;
        struct su_address ret = {0};
        assert_int_equal(su_address_parse(texts[i], &address), 0);
        size_t size = su_address_size(&address);
        for (size_t cut = 0; cut < size; cut++) {
            uint8_t *exact = test_malloc(cut + 1); /* one more, so that it is not empty */
            memcpy(exact, &address, cut);
            assert_int_equal(su_address_from_kernel(exact, cut, &ret), -EINVAL);
            test_free(exact);
        }
        assert_int_equal(ret.family, AF_UNSPEC);
        assert_int_equal(su_address_from_kernel(&address, size, &ret), 0);
        assert_true(su_address_is_equal(&address, &ret));
    }
    struct sockaddr local = {.sa_family = AF_UNIX};
    struct su_address ret;
    assert_int_equal(su_address_from_kernel(&local, sizeof(local), &ret), -EINVAL);
}

static void each_part_counts_in_a_comparison(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "192.0.2.1:1",   "192.0.2.1:2",   "192.0.2.2:1",   "[fe80::1%1]:1",
        "[fe80::1%2]:1", "[fe80::1%1]:2", "[fe80::2%1]:1",
    };
    for (size_t i = 0; i < QT_COUNT(texts); i++) {
        for (size_t j = 0; j < QT_COUNT(texts); j++) {
            struct su_address a;
            struct su_address b;
            assert_int_equal(su_address_parse(texts[i], &a), 0);
            assert_int_equal(su_address_parse(texts[j], &b), 0);
            assert_int_equal(su_address_is_equal(&a, &b), i == j);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numeric_addresses_are_read_and_written),
        cmocka_unit_test(the_longest_address_fits_its_text),
        cmocka_unit_test(mapped_addresses_exist_only_at_the_socket),
        cmocka_unit_test(names_cut_short_are_refused),
        cmocka_unit_test(each_part_counts_in_a_comparison),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
