/* SPDX-License-Identifier: MIT */
/* Requests and URLs of "spate serve" and "spate get". */

#include "test/support/qt.h"

#include <stdio.h>
#include <stdlib.h>

#include "tools/spate/hq.h"
#include "tools/spate/number.h"

static void requests_name_a_path_below_the_root_or_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        int status;
        const char *path;
    } table[] = {
        {"GET /file\r\n", 0, "file"},
        {"GET /file\n", 0, "file"},
        {"GET /file", 0, "file"},
        {"GET /\r\n", 0, ""},
        {"GET /a/b/c.txt\r\n", 0, "a/b/c.txt"},
        {"GET /a?query\r\n", 0, "a"},
        {"GET /a%20b%25\r\n", 0, "a b%"},
        {"GET /a b\r\n", 0, "a b"},
        {"GET /%C3%bc\r\n", 0, "\xc3\xbc"},
        {"GET /...\r\n", 0, "..."},
        {"GET /a\r\nmore", 0, "a"},
        {"GET /..\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /../etc/passwd\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a/../b\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a/..\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /./a\r\n", HQ_BAD_REQUEST, NULL},
        {"GET //etc/passwd\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a//b\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a/\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /%2e%2e/a\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a%2f..%2fb\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /%2fetc\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a%00b\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a%\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a%4\r\n", HQ_BAD_REQUEST, NULL},
        {"GET /a%4g\r\n", HQ_BAD_REQUEST, NULL},
        {"GET file\r\n", HQ_BAD_REQUEST, NULL},
        {"GET\r\n", HQ_BAD_REQUEST, NULL},
        {"POST /file\r\n", HQ_BAD_REQUEST, NULL},
        {"get /file\r\n", HQ_BAD_REQUEST, NULL},
        {"\r\n", HQ_BAD_REQUEST, NULL},
        {"", HQ_BAD_REQUEST, NULL},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        char path[HQ_REQUEST_MAX] = "untouched";
        int status = hq_request_parse(table[i].text, strlen(table[i].text), path);
        if (status != table[i].status)
            fail_msg("%s: status %d", table[i].text, status);
        assert_string_equal(path, status == 0 ? table[i].path : "untouched");
    }
}

/* In memory of its exact size, so that a sanitizer sees each byte too far. */
static void every_truncation_of_a_request_is_a_path_or_is_refused(void **state)
{
    (void)state;
    static const char text[] = "GET /ab/%41?x\r\n";
    for (size_t size = 0; size < sizeof(text); size++) {
        char path[HQ_REQUEST_MAX];
        char *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, text, size);
        int status = hq_request_parse(copy, size, path);
        bool is_cut_percent = size == 9 || size == 10;
        bool is_refused = size < 5 || size == 8 || is_cut_percent;
        assert_int_equal(status, is_refused ? HQ_BAD_REQUEST : 0);
        free(copy);
    }
}

static void a_request_that_is_too_long_is_refused(void **state)
{
    (void)state;
    static char text[2 * HQ_REQUEST_MAX];
    char path[HQ_REQUEST_MAX];
    memset(text, 'a', sizeof(text));
    memcpy(text, "GET /", 5);
    assert_int_equal(hq_request_parse(text, HQ_REQUEST_MAX - 1, path), 0);
    assert_int_equal(strlen(path), HQ_REQUEST_MAX - 1 - 5);
    assert_int_equal(hq_request_parse(text, HQ_REQUEST_MAX, path), HQ_TOO_LONG);
    assert_int_equal(hq_request_parse(text, sizeof(text), path), HQ_TOO_LONG);
}

static void urls_are_read_and_encoded(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host;
        uint16_t port;
        const char *name;
        const char *request;
    } table[] = {
        {"https://host/file", "host", 443, "file", "GET /file\r\n"},
        {"https://host:4433/a/b", "host", 4433, "b", "GET /a/b\r\n"},
        {"https://[::1]:1/b", "::1", 1, "b", "GET /b\r\n"},
        {"https://[2001:db8::1]/b", "2001:db8::1", 443, "b", "GET /b\r\n"},
        {"https://h:65535/b?q=/c#f", "h", 65535, "b", "GET /b?q=/c\r\n"},
        {"https://h/a%20b%2e", "h", 443, "a b.", "GET /a%20b%2e\r\n"},
        {"https://h/a b\xc3\xbc\n", "h", 443, "a b\xc3\xbc\n", "GET /a%20b%C3%BC%0A\r\n"},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        struct hq_url url;
        const char *wrong = hq_url_parse(table[i].text, &url);
        if (wrong != NULL)
            fail_msg("%s: %s", table[i].text, wrong);
        assert_string_equal(url.host, table[i].host);
        assert_int_equal(url.port, table[i].port);
        assert_string_equal(url.name, table[i].name);
        assert_int_equal(url.request_size, strlen(table[i].request));
        assert_memory_equal(url.request, table[i].request, url.request_size);
    }
}

static void urls_that_name_no_file_here_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *wrong;
    } table[] = {
        {"", "https://"},
        {"http://h/a", "https://"},
        {"https://h", "no path"},
        {"https://h?a", "no path"},
        {"https://h/", "no file"},
        {"https://h/a/", "no file"},
        {"https://h/.", "no file"},
        {"https://h/..", "no file"},
        {"https://h/%2e%2e", "no file"},
        {"https://h/a%2fb", "no file"},
        {"https://h/a%", "'%'"},
        {"https://h/a%0", "'%'"},
        {"https://h/a%00b", "'%'"},
        {"https:///a", "no host"},
        {"https://:1/a", "no host"},
        {"https://h:/a", "port"},
        {"https://h:0/a", "port"},
        {"https://h:65536/a", "port"},
        {"https://h:123456/a", "port"},
        {"https://h:1x/a", "port"},
        {"https://::1/a", "no host"},
        {"https://[::1/a", "']'"},
        {"https://[::1]1/a", "']'"},
        {"https://[]/a", "no host"},
        {"https://me@h/a", "user name"},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        struct hq_url url;
        const char *wrong = hq_url_parse(table[i].text, &url);
        if (wrong == NULL || strstr(wrong, table[i].wrong) == NULL)
            fail_msg("%s: %s", table[i].text, wrong == NULL ? "accepted" : wrong);
    }
}

static void every_truncation_of_a_url_is_a_url_or_is_refused(void **state)
{
    (void)state;
    static const char text[] = "https://[::1]:443/a/%41%42?x#y";
    for (size_t size = 0; size < sizeof(text); size++) {
        struct hq_url url;
        char *copy = malloc(size + 1);
        assert_non_null(copy);
        memcpy(copy, text, size);
        copy[size] = 0;
        bool is_good = hq_url_parse(copy, &url) == NULL;
        assert_true(!is_good || (url.port > 0 && url.name[0] != 0 && url.request_size > 7));
        assert_int_equal(is_good, size == 19 || size == 23 || size >= 26);
        free(copy);
    }
}

static void names_and_paths_that_are_too_long_are_refused(void **state)
{
    (void)state;
    char text[4 * HQ_REQUEST_MAX] = "https://h/";
    struct hq_url url;
    size_t at = strlen(text);
    memset(text + at, 'a', 255);
    assert_null(hq_url_parse(text, &url));
    assert_int_equal(strlen(url.name), 255);
    memset(text + at, 'a', 256);
    assert_non_null(strstr(hq_url_parse(text, &url), "too long"));

    memset(text + at, ' ', 2 * HQ_REQUEST_MAX); /* encoded as three bytes each */
    memcpy(text + at + HQ_REQUEST_MAX / 2, "/x", 3);
    assert_string_equal(hq_url_parse(text, &url), "is too long");
}

static void codes_have_words(void **state)
{
    (void)state;
    static const uint64_t codes[] = {400, 403, 404, 414, 499, 500, 503};
    for (size_t i = 0; i < QT_COUNT(codes); i++)
        assert_string_not_equal(hq_status_text(codes[i]), hq_status_text(1));
}

static void numbers_have_units_and_a_range(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        bool is_good;
        uint64_t value;
    } table[] = {
        {"1", true, 1},
        {"2000", true, 2000},
        {"2K", true, 2000},
        {"1Ki", true, 1024},
        {"0", false, 0},
        {"2001", false, 0},
        {"2Ki", false, 0},
        {"1G", false, 0},
        {"-1", false, 0},
        {"+1", false, 0},
        {" 1", false, 0},
        {"1 ", false, 0},
        {"1x", false, 0},
        {"", false, 0},
        {"0x10", false, 0},
        {"1.5", false, 0},
        {"99999999999999999999", false, 0},
        {"18446744073709551615K", false, 0},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        uint64_t value = 0;
        if (number_parse(table[i].text, 1, 2000, &value) != table[i].is_good ||
            value != table[i].value)
            fail_msg("%s: %lu", table[i].text, (unsigned long)value);
    }
}

static void names_of_ciphers_are_bits(void **state)
{
    (void)state;
    uint32_t bits = 77;
    assert_false(number_parse_ciphers("", &bits));
    assert_false(number_parse_ciphers("aes", &bits));
    assert_false(number_parse_ciphers("aes-128-gcm,", &bits));
    assert_false(number_parse_ciphers(",aes-128-gcm", &bits));
    assert_int_equal(bits, 77);
    assert_true(number_parse_ciphers("chacha20-poly1305", &bits));
    assert_int_equal(bits, 4);
    assert_true(number_parse_ciphers("aes-128-gcm,aes-256-gcm", &bits));
    assert_int_equal(bits, 3);
}

static void names_of_versions_are_values(void **state)
{
    (void)state;
    enum spate_versions versions = SPATE_VERSIONS_ONLY_2;
    assert_false(number_parse_versions("", &versions));
    assert_false(number_parse_versions("2", &versions));
    assert_int_equal(versions, SPATE_VERSIONS_ONLY_2);
    assert_true(number_parse_versions("prefer-2", &versions));
    assert_int_equal(versions, SPATE_VERSIONS_PREFER_2);
    assert_true(number_parse_versions("both", &versions));
    assert_int_equal(versions, SPATE_VERSIONS_BOTH);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(requests_name_a_path_below_the_root_or_are_refused),
        cmocka_unit_test(every_truncation_of_a_request_is_a_path_or_is_refused),
        cmocka_unit_test(a_request_that_is_too_long_is_refused),
        cmocka_unit_test(urls_are_read_and_encoded),
        cmocka_unit_test(urls_that_name_no_file_here_are_refused),
        cmocka_unit_test(every_truncation_of_a_url_is_a_url_or_is_refused),
        cmocka_unit_test(names_and_paths_that_are_too_long_are_refused),
        cmocka_unit_test(codes_have_words),
        cmocka_unit_test(numbers_have_units_and_a_range),
        cmocka_unit_test(names_of_ciphers_are_bits),
        cmocka_unit_test(names_of_versions_are_values),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
