/* SPDX-License-Identifier: MIT */
/* Addresses on the command lines of spate. */

#include "test/support/qt.h"

#include <string.h>

#include "tools/spate/net.h"

static void a_host_and_a_port_are_split(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        const char *host; /* NULL: it is refused */
        uint16_t port;
    } table[] = {
        {"127.0.0.1:4433", "127.0.0.1", 4433},
        {"[::1]:4433", "::1", 4433},
        {"[::]:0", "::", 0},
        {"a.example:65535", "a.example", 65535},
        {"a:00001", "a", 1},
        {"a:65536", NULL, 0},
        {"a:000001", NULL, 0},
        {"a:", NULL, 0},
        {"a:1x", NULL, 0},
        {"a:+1", NULL, 0},
        {"a: 1", NULL, 0},
        {"a", NULL, 0},
        {"", NULL, 0},
        {":", NULL, 0},
        {":1", NULL, 0},
        {"::1:4433", NULL, 0},
        {"[]:1", NULL, 0},
        {"[:1", NULL, 0},
        {"[::1:4433", NULL, 0},
        {"[::1]4433", NULL, 0},
        {"[::1]", NULL, 0},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        char host[NET_HOST_SIZE] = "untouched";
        uint16_t port = 7;
        assert_int_equal(net_split(table[i].text, host, &port), table[i].host != NULL);
        assert_string_equal(host, table[i].host != NULL ? table[i].host : "untouched");
        assert_int_equal(port, table[i].host != NULL ? table[i].port : 7);
    }
}

static void a_host_that_is_too_long_is_refused(void **state)
{
    (void)state;
    for (size_t size = NET_HOST_SIZE - 1; size <= NET_HOST_SIZE; size++) {
        char text[NET_HOST_SIZE + 8];
        char host[NET_HOST_SIZE];
        uint16_t port;
        memset(text, 'a', size);
        memcpy(text + size, ":1", 3);
        assert_int_equal(net_split(text, host, &port), size < NET_HOST_SIZE);
    }
}

static void a_name_is_written_as_it_is_read(void **state)
{
    (void)state;
    static const char *const texts[] = {"a.example:1", "[::1]:443", "127.0.0.1:65535"};
    for (size_t i = 0; i < QT_COUNT(texts); i++) {
        char host[NET_HOST_SIZE];
        char name[NET_NAME_SIZE];
        uint16_t port;
        assert_true(net_split(texts[i], host, &port));
        net_format_name(host, port, name);
        assert_string_equal(name, texts[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_host_and_a_port_are_split),
        cmocka_unit_test(a_host_that_is_too_long_is_refused),
        cmocka_unit_test(a_name_is_written_as_it_is_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
