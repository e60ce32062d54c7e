/* SPDX-License-Identifier: MIT */
/* Settings of connections: which fields they may change, and how long they live. */

#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include "engine/config/config.h"
#include "engine/config/settings.h"
#include "test/support/owned.h"

/* Stores a value that is allowed and is not the default. */
static void store_other(const struct se_config_field *field, struct spate_config *config)
{
    uint64_t value = field->initial == field->max  ? field->min
                     : field->initial < field->min ? field->min
                                                   : field->initial + 1;
    char *at = (char *)config + field->offset;
    if (field->size == sizeof(uint64_t)) {
        memcpy(at, &value, sizeof(value));
    } else if (field->size == sizeof(uint32_t)) {
        uint32_t half = (uint32_t)value;
        memcpy(at, &half, sizeof(half));
    } else {
        *at = field->initial == 0;
    }
}

static void each_field_is_of_connections_or_of_the_engine(void **state)
{
    (void)state;
    struct spate_config engine;
    spate_config_init(&engine);
    uint32_t of_conn = 0;
    for (size_t i = 0; i < se_config_field_count; i++) {
        const struct se_config_field *field = &se_config_fields[i];
        struct spate_config config = engine;
        struct spate_settings *settings = NULL;
        struct spate_error error = {""};
        config.stream_window_bytes_max *= 2;
        config.conn_window_bytes_max *= 2;
        store_other(field, &config);
        int result = se_settings_make(&engine, &config, &settings, &error);
        assert_int_equal(result, field->is_of_conn ? 0 : -EINVAL);
        assert_true(field->is_of_conn ||
                    strncmp(error.text, field->name, strlen(field->name)) == 0);
        of_conn += field->is_of_conn;
        se_settings_unref(settings);
    }
    assert_in_range(of_conn, 20, se_config_field_count - 10);
}

static void the_last_user_frees_them(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_settings *settings = NULL;
    spate_config_init(&config);
    config.idle_timeout_ns = 5000000;
    assert_int_equal(se_settings_make(&config, &config, &settings, NULL), 0);
    assert_int_equal(settings->proto.idle_timeout_ns, 5000000);
    assert_int_equal(settings->proto.cid_size, SE_CID_SIZE);
    assert_ptr_equal(se_settings_ref(settings), settings);
    assert_int_equal(settings->ref_count, 2);
    spate_settings_destroy(settings);
    assert_int_equal(settings->ref_count, 1);
    se_settings_unref(settings); /* the address sanitizer sees whether that was the last */
    assert_null(se_settings_ref(NULL));
    se_settings_unref(NULL);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, each_field_is_of_connections_or_of_the_engine),
        QT_TEST(owned, the_last_user_frees_them),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
