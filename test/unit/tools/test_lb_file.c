/* SPDX-License-Identifier: MIT */
/* The file of spate serve --quic-lb. */

#include "test/support/qt.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/spate/lb_file.h"

#define KEY "8f95f09245765f80256934e50c66207F"

static char path[] = "/tmp/spate-lb-XXXXXX";

static int make_file(void **state)
{
    (void)state;
    strcpy(path + strlen(path) - 6, "XXXXXX");
    int fd = mkstemp(path);
    return fd < 0 ? -1 : close(fd);
}

static int remove_file(void **state)
{
    (void)state;
    return unlink(path);
}

static void put(const char *text, size_t size)
{
    FILE *file = fopen(path, "w");
    assert_non_null(file);
    assert_int_equal(fwrite(text, 1, size, file), size);
    assert_int_equal(fclose(file), 0);
}

static void a_line_is_a_configuration(void **state)
{
    (void)state;
    struct spate_quic_lb lb;
    const char text[] = "# of the balancers in the south\n\n3 0a0B0c 8 " KEY " length\n";
    put(text, strlen(text));
    assert_null(lb_file_read(path, &lb));
    assert_int_equal(lb.config_id, 3);
    assert_int_equal(lb.server_id_size, 3);
    assert_memory_equal(lb.server_id, "\x0a\x0b\x0c", 3);
    assert_int_equal(lb.nonce_size, 8);
    assert_true(lb.is_encrypted && lb.encodes_length);
    assert_int_equal(lb.key[0], 0x8f);
    assert_int_equal(lb.key[15], 0x7f);
    put("0 ff 18 -", 9);
    assert_null(lb_file_read(path, &lb));
    assert_int_equal(lb.nonce_size, 18);
    assert_false(lb.is_encrypted || lb.encodes_length);
}

static void everything_else_is_refused(void **state)
{
    (void)state;
    static const char *const texts[] = {
        "",
        "\n",
        "# 1 31 8 -\n",
        "1 31 8\n",
        "1 31 8 - length more\n",
        "1 31 8 - short\n",
        "1 31 8 -\n2 31 8 -\n",
        "x 31 8 -\n",
        "256 31 8 -\n",
        "1 3 8 -\n",
        "1 3g 8 -\n",
        "1 000102030405060708090a0b0c0d0e0f 8 -\n",
        "1 31 -8 -\n",
        "1 31 8 --\n",
        "1 31 8 " KEY "00\n",
        "1 31 8 g" KEY "\n",
    };
    for (size_t i = 0; i < QT_COUNT(texts); i++) {
        struct spate_quic_lb lb = {.config_id = 77};
        put(texts[i], strlen(texts[i]));
        if (lb_file_read(path, &lb) == NULL)
            fail_msg("accepted: %s", texts[i]);
        assert_int_equal(lb.config_id, 77);
    }
    struct spate_quic_lb lb;
    put("1 31 8 -\0x", 10);
    assert_non_null(lb_file_read(path, &lb));
    assert_string_equal(lb_file_read("/no/such/file", &lb), "No such file or directory");
}

static void a_cut_line_is_no_other_configuration(void **state)
{
    (void)state;
    const char text[] = "1 31 8 " KEY " length";
    for (size_t size = 0; size < strlen(text); size++) {
        struct spate_quic_lb lb;
        put(text, size);
        bool is_whole = size == strlen(text) - strlen(" length") || size == strlen(text) - 6;
        assert_true((lb_file_read(path, &lb) == NULL) == is_whole);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(a_line_is_a_configuration, make_file, remove_file),
        cmocka_unit_test_setup_teardown(everything_else_is_refused, make_file, remove_file),
        cmocka_unit_test_setup_teardown(a_cut_line_is_no_other_configuration, make_file,
                                        remove_file),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
