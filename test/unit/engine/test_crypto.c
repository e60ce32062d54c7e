/* SPDX-License-Identifier: MIT */
/* Which AES-GCM an engine gets. */

#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include "engine/config/crypto.h"

static const struct sc_fused untouched;

static void openssl_is_what_it_gets_who_asks_for_it(void **state)
{
    (void)state;
    const struct sc_fused *fused = &untouched;
    assert_int_equal(se_crypto_choose(SPATE_CRYPTO_OPENSSL, &fused, NULL), 0);
    assert_null(fused);
}

static void auto_takes_the_best_that_there_is(void **state)
{
    (void)state;
    const struct sc_fused *fused = &untouched;
    assert_int_equal(se_crypto_choose(SPATE_CRYPTO_AUTO, &fused, NULL), 0);
    assert_ptr_equal(fused, sc_fused_best());
}

static void fused_is_there_or_says_why_not(void **state)
{
    (void)state;
    const struct sc_fused *fused = &untouched;
    struct spate_error error = {""};
    int result = se_crypto_choose(SPATE_CRYPTO_FUSED, &fused, &error);
    if (sc_fused_best() != NULL) {
        assert_int_equal(result, 0);
        assert_ptr_equal(fused, sc_fused_best());
        assert_string_equal(error.text, "");
    } else {
        assert_int_equal(result, -ENOTSUP);
        assert_ptr_equal(fused, &untouched);
        assert_non_null(strstr(error.text, "there is no fused AES-GCM: "));
    }
}

static void the_probe_names_what_auto_takes(void **state)
{
    (void)state;
    struct spate_error reason = {""};
    const char *name = spate_crypto_probe(&reason);
    if (sc_fused_best() != NULL)
        assert_string_equal(name, sc_fused_best()->name);
    else
        assert_string_equal(name, "openssl");
    assert_int_equal(reason.text[0] != '\0', sc_fused_best() == NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(openssl_is_what_it_gets_who_asks_for_it),
        cmocka_unit_test(auto_takes_the_best_that_there_is),
        cmocka_unit_test(fused_is_there_or_says_why_not),
        cmocka_unit_test(the_probe_names_what_auto_takes),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
