/* SPDX-License-Identifier: MIT */
/* Values of HTTP's fields, as "spate serve" reads and writes them. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "tools/spate/http3/fields.h"
#include "tools/spate/http3/mime.h"

/* A copy that ends where the text does, so that a sanitizer sees who reads too far. */
static char *exact(const char *text, size_t size)
{
    char *copy = strndup(text, size);
    assert_non_null(copy);
    return copy;
}

static void dates_are_written_as_the_rfc_has_them(void **state)
{
    (void)state;
    static const struct {
        int64_t seconds;
        const char *text;
    } table[] = {
        {784111777, "Sun, 06 Nov 1994 08:49:37 GMT"},
        {0, "Thu, 01 Jan 1970 00:00:00 GMT"},
        {951782400, "Tue, 29 Feb 2000 00:00:00 GMT"},
        {-1, "Wed, 31 Dec 1969 23:59:59 GMT"},
        {253402300799, "Fri, 31 Dec 9999 23:59:59 GMT"},
        {253402300800, "Thu, 01 Jan 1970 00:00:00 GMT"}, /* five digits: no date of HTTP */
        {INT64_MAX, "Thu, 01 Jan 1970 00:00:00 GMT"},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char text[HTTP_DATE_SIZE];
        http_date_write(table[i].seconds, text);
        assert_string_equal(text, table[i].text);
    }
}

static void dates_are_read_in_three_formats(void **state)
{
    (void)state;
    static const char *const good[] = {"Sun, 06 Nov 1994 08:49:37 GMT",
                                       "Sunday, 06-Nov-94 08:49:37 GMT",
                                       "Sun Nov  6 08:49:37 1994"};
    static const char *const bad[] = {
        "",
        "Sun",
        "Sun, 06 Nov 1994 08:49:37 GMTx",
        "Sun, 06 Nov 1994 08:49:37 CET",
        "Sun, 32 Nov 1994 08:49:37 GMT",
        "Sun, 06 Foo 1994 08:49:37 GMT",
        "784111777",
        "Sun, 06 Nov 1994 08:49:37 GMT Sun, 06 Nov 1994 08:49:37 GMT"};
    int64_t seconds;
    for (size_t i = 0; i < 3; i++) {
        char *text = exact(good[i], strlen(good[i]));
        seconds = 0;
        assert_true(http_date_read(text, &seconds));
        assert_int_equal(seconds, 784111777);
        for (size_t size = 0; size < strlen(good[i]); size++) {
            char *part = exact(good[i], size);
            assert_false(http_date_read(part, &seconds));
            free(part);
        }
        free(text);
    }
    for (size_t i = 0; i < sizeof(bad) / sizeof(bad[0]); i++)
        assert_false(http_date_read(bad[i], &seconds));
}

static void tags_are_found_in_lists(void **state)
{
    (void)state;
    static const struct {
        const char *list;
        bool strong;
        bool weak;
    } table[] = {
        {"\"x\"", true, true},
        {"W/\"x\"", false, true},
        {"\"a\", \"x\"", true, true},
        {" \"a\" ,\t, W/\"b\",\"x\" ", true, true},
        {"*", true, true},
        {" * ", true, true},
        {"*, \"x\"", false, false},
        {"\"y\"", false, false},
        {"\"xx\"", false, false},
        {"x", false, false},
        {"\"x", false, false},
        {"\"a\" \"x\"", false, false},
        {"w/\"x\"", false, false},
        {"W/", false, false},
        {"", false, false},
        {",,,", false, false},
        {"\"", false, false},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        char *list = exact(table[i].list, strlen(table[i].list));
        assert_int_equal(http_tags_have(list, "\"x\"", false), table[i].strong);
        assert_int_equal(http_tags_have(list, "\"x\"", true), table[i].weak);
        free(list);
    }
}

static void ranges_name_bytes_or_are_ignored(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        uint64_t file_size;
        enum http_range kind;
        uint64_t first;
        uint64_t size;
    } table[] = {
        {"bytes=0-0", 10, HTTP_RANGE_PART, 0, 1},
        {"bytes=0-9", 10, HTTP_RANGE_PART, 0, 10},
        {"bytes=3-", 10, HTTP_RANGE_PART, 3, 7},
        {"bytes=9-99", 10, HTTP_RANGE_PART, 9, 1},
        {"bytes=-3", 10, HTTP_RANGE_PART, 7, 3},
        {"bytes=-99", 10, HTTP_RANGE_PART, 0, 10},
        {"Bytes=1-2", 10, HTTP_RANGE_PART, 1, 2},
        {"bytes= 1-2 ", 10, HTTP_RANGE_PART, 1, 2},
        {"bytes=1-18446744073709551615", 10, HTTP_RANGE_PART, 1, 9},
        {"bytes=1-99999999999999999999999", 10, HTTP_RANGE_PART, 1, 9},
        {"bytes=10-", 10, HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=18446744073709551615-", 10, HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=99999999999999999999999-", 10, HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=-0", 10, HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=0-", 0, HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=-1", 0, HTTP_RANGE_OUTSIDE, 0, 0},
        {"bytes=5-2", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"bytes=1-2,4-5", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"bytes=1-2, bytes=4-5", 10, HTTP_RANGE_IGNORED, 0, 0}, /* two fields */
        {"bytes=", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"bytes=-", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"bytes=1", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"bytes=a-b", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"bytes=0x1-2", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"bytes=1--2", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"bytes=+1-2", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"lines=1-2", 10, HTTP_RANGE_IGNORED, 0, 0},
        {"", 10, HTTP_RANGE_IGNORED, 0, 0},
    };
    for (size_t i = 0; i < sizeof(table) / sizeof(table[0]); i++) {
        uint64_t first = 0;
        uint64_t part = 0;
        char *text = exact(table[i].text, strlen(table[i].text));
        assert_int_equal(http_range_read(text, table[i].file_size, &first, &part), table[i].kind);
        assert_int_equal(first, table[i].first);
        assert_int_equal(part, table[i].size);
        free(text);
    }
}

static void types_follow_the_end_of_the_name(void **state)
{
    (void)state;
    assert_string_equal(mime_of("index.html"), "text/html; charset=utf-8");
    assert_string_equal(mime_of("a/b.c/PICTURE.PNG"), "image/png");
    assert_string_equal(mime_of("x.tar.gz"), "application/gzip");
    assert_string_equal(mime_of("a.html/file"), "application/octet-stream");
    assert_string_equal(mime_of("html"), "application/octet-stream");
    assert_string_equal(mime_of("x."), "application/octet-stream");
    assert_string_equal(mime_of(""), "application/octet-stream");
    assert_string_equal(mime_of("module.wasm"), "application/wasm");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(dates_are_written_as_the_rfc_has_them),
        cmocka_unit_test(dates_are_read_in_three_formats),
        cmocka_unit_test(tags_are_found_in_lists),
        cmocka_unit_test(ranges_name_bytes_or_are_ignored),
        cmocka_unit_test(types_follow_the_end_of_the_name),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
