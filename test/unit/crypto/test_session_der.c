/* SPDX-License-Identifier: MIT */
#include "test/support/qt.h"

#include <string.h>

#include "crypto/session_der.h"

/* A SEQUENCE of `parts`, with its length as DER has it. */
static size_t sequence(const uint8_t *parts, size_t size, uint8_t *ret)
{
    size_t head = size < 0x80 ? 2 : size < 0x100 ? 3 : 4;
    ret[0] = 0x30;
    if (head == 2)
        ret[1] = (uint8_t)size;
    else
        ret[1] = (uint8_t)(0x80 + head - 2);
    if (head == 3)
        ret[2] = (uint8_t)size;
    if (head == 4) {
        ret[2] = (uint8_t)(size >> 8);
        ret[3] = (uint8_t)size;
    }
    memcpy(ret + head, parts, size);
    return head + size;
}

/* Two elements, a certificate of `size` bytes, one element. */
static size_t make(size_t size, uint8_t *ret)
{
    static const uint8_t before[] = {0x02, 1, 1, 0x04, 2, 0x13, 0x01};
    static const uint8_t after[] = {0xa4, 3, 0x04, 1, 9};
    uint8_t parts[70000];
    uint8_t cert[70000] = {0};
    size_t used = sizeof(before);
    memcpy(parts, before, used);
    size_t cert_size = sequence(cert, size, parts + used);
    parts[used] = 0xa3;
    used += cert_size;
    memcpy(parts + used, after, sizeof(after));
    return sequence(parts, used + sizeof(after), ret);
}

static void what_is_left_is_der(void **state)
{
    (void)state;
    static const uint8_t want[] = {0x30, 12, 0x02, 1, 1, 0x04, 2, 0x13, 0x01, 0xa4, 3, 0x04, 1, 9};
    static const size_t sizes[] = {0, 1, 100, 127, 128, 200, 255, 256, 2000, 65000};
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        uint8_t der[70000];
        size_t size = make(sizes[i], der);
        assert_true(sc_session_der_drop_cert(der, &size));
        assert_int_equal(size, sizeof(want));
        assert_memory_equal(der, want, size);
        /* There is no other one. */
        assert_false(sc_session_der_drop_cert(der, &size));
        assert_int_equal(size, sizeof(want));
        assert_memory_equal(der, want, size);
    }
}

static void what_is_cut_stays_as_it_is(void **state)
{
    (void)state;
    uint8_t whole[600], der[600];
    size_t all = make(500, whole);
    for (size_t cut = 0; cut < all; cut++) {
        size_t size = cut;
        memcpy(der, whole, cut);
        assert_false(sc_session_der_drop_cert(der, &size));
        assert_int_equal(size, cut);
        assert_memory_equal(der, whole, cut);
    }
    size_t size = all + 1; /* one byte too many */
    memcpy(der, whole, all);
    assert_false(sc_session_der_drop_cert(der, &size));
}

static void other_forms_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } table[] = {
        {"\x31\x02\xa3\x00", 4},                 /* no SEQUENCE */
        {"\x30\x02\xbf\x00", 4},                 /* a tag of several bytes */
        {"\x30\x80\xa3\x00\x00\x00", 6},         /* of indefinite length */
        {"\x30\x84\x00\x00\x00\x02\xa3\x00", 8}, /* a length of four bytes */
        {"\x30\x04\x04\x03\xa3\x00", 6},         /* an element that is longer than the whole */
        {"\x30\x06\x04\x82\xff\xff\xa3\x00", 8}, /* .. by far */
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        uint8_t der[16];
        size_t size = table[i].size;
        memcpy(der, table[i].bytes, size);
        assert_false(sc_session_der_drop_cert(der, &size));
        assert_memory_equal(der, table[i].bytes, size);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_is_left_is_der),
        cmocka_unit_test(what_is_cut_stays_as_it_is),
        cmocka_unit_test(other_forms_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
