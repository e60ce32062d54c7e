/* SPDX-License-Identifier: MIT */
/* The load generator's JSON writer. */

#include "test/support/qt.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>

#include "bench/load/json.h"

static char *text;
static size_t text_size;
static FILE *file;

static struct json begin(void)
{
    file = open_memstream(&text, &text_size);
    assert_non_null(file);
    return json_of(file);
}

static void expect(const char *expected)
{
    assert_int_equal(fclose(file), 0);
    assert_string_equal(text, expected);
    free(text);
}

static void members_are_separated_by_commas_and_indented(void **state)
{
    (void)state;
    struct json j = begin();
    json_begin(&j, NULL);
    json_integer(&j, "a", UINT64_MAX);
    json_begin(&j, "inner");
    json_bool(&j, "yes", true);
    json_null(&j, "nothing");
    json_end(&j);
    json_bool(&j, "no", false);
    json_end(&j);
    expect("{\n"
           "  \"a\": 18446744073709551615,\n"
           "  \"inner\": {\n"
           "    \"yes\": true,\n"
           "    \"nothing\": null\n"
           "  },\n"
           "  \"no\": false\n"
           "}\n");
}

static void an_empty_object_has_no_line_inside(void **state)
{
    (void)state;
    struct json j = begin();
    json_begin(&j, NULL);
    json_begin(&j, "inner");
    json_end(&j);
    json_end(&j);
    expect("{\n  \"inner\": {}\n}\n");
}

static void a_list_has_members_without_keys(void **state)
{
    (void)state;
    struct json j = begin();
    json_begin(&j, NULL);
    json_begin_list(&j, "none");
    json_end_list(&j);
    json_begin_list(&j, "two");
    for (uint64_t i = 0; i < 2; i++) {
        json_begin(&j, NULL);
        json_integer(&j, "n", i);
        json_end(&j);
    }
    json_end_list(&j);
    json_end(&j);
    expect("{\n  \"none\": [],\n  \"two\": [\n    {\n      \"n\": 0\n    },\n    {\n"
           "      \"n\": 1\n    }\n  ]\n}\n");
}

static void texts_are_escaped(void **state)
{
    (void)state;
    struct json j = begin();
    json_begin(&j, NULL);
    json_text(&j, "t", "a\"b\\c\n\x01\xc3\xa9");
    json_end(&j);
    expect("{\n  \"t\": \"a\\\"b\\\\c\\u000a\\u0001\xc3\xa9\"\n}\n");
}

static void what_is_not_finite_is_null(void **state)
{
    (void)state;
    struct json j = begin();
    json_begin(&j, NULL);
    json_number(&j, "n", NAN);
    json_number(&j, "i", INFINITY);
    json_number(&j, "x", 0.25);
    json_end(&j);
    expect("{\n  \"n\": null,\n  \"i\": null,\n  \"x\": 0.250000\n}\n");
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(members_are_separated_by_commas_and_indented),
        cmocka_unit_test(an_empty_object_has_no_line_inside),
        cmocka_unit_test(a_list_has_members_without_keys),
        cmocka_unit_test(texts_are_escaped),
        cmocka_unit_test(what_is_not_finite_is_null),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
