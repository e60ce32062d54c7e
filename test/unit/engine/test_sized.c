/* SPDX-License-Identifier: MIT */
/* Structs that programs fill in: older ones, newer ones, and those that nobody initialised. */

#include "test/support/qt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include <spate/spate.h>

#include "engine/config/sized.h"
#include "test/support/owned.h"

static void the_library_knows_the_version_of_its_headers(void **state)
{
    (void)state;
    assert_string_equal(spate_version(), SPATE_VERSION);
    assert_int_equal(spate_version_number(), SPATE_VERSION_NUMBER);
    assert_true(SPATE_VERSION_MAKE(0, 1, 0) < SPATE_VERSION_MAKE(0, 1, 1));
    assert_true(SPATE_VERSION_MAKE(0, 255, 255) < SPATE_VERSION_MAKE(1, 0, 0));
}

/* ---- the rule, with a struct that has grown twice ---- */

struct first {
    size_t size;
    uint64_t a;
};
struct second {
    size_t size;
    uint64_t a;
    uint64_t b;
};
struct third {
    size_t size;
    uint64_t a;
    uint64_t b;
    uint64_t c;
};

static const struct se_sized second_shape = {"second", SE_SIZE_THROUGH(struct second, a),
                                             sizeof(struct second)};

static void an_older_struct_leaves_the_new_fields_at_their_defaults(void **state)
{
    (void)state;
    const struct first given = {.size = sizeof(given), .a = 1};
    struct second own = {.a = 10, .b = 20};
    assert_int_equal(se_sized_take(&second_shape, &given, &own, NULL), 0);
    assert_int_equal(own.size, sizeof(own));
    assert_int_equal(own.a, 1);
    assert_int_equal(own.b, 20);
}

static void a_newer_struct_is_taken_if_it_sets_nothing_new(void **state)
{
    (void)state;
    struct third given = {.size = sizeof(given), .a = 1, .b = 2};
    struct {
        struct second own;
        uint64_t after;
    } room = {.after = 99};
    assert_int_equal(se_sized_take(&second_shape, &given, &room.own, NULL), 0);
    assert_int_equal(room.own.size, sizeof(room.own));
    assert_int_equal(room.own.b, 2);
    assert_int_equal(room.after, 99);

    struct spate_error error = {""};
    struct second untouched = {.a = 7};
    given.c = UINT64_C(1) << 63;
    assert_int_equal(se_sized_take(&second_shape, &given, &untouched, &error), -E2BIG);
    assert_string_equal(error.text, "second has a field set that this library (" SPATE_VERSION
                                    ") does not know: the program was built for a newer one");
    assert_int_equal(untouched.a, 7);
}

static void what_is_given_back_is_cut_or_filled_up_with_zeroes(void **state)
{
    (void)state;
    const struct second own = {.size = 1, .a = 2, .b = 3};
    for (size_t size = 0; size <= sizeof(struct third); size++) {
        uint8_t ret[sizeof(struct third) + 1];
        memset(ret, 0xaa, sizeof(ret));
        se_sized_give(&own, sizeof(own), ret, size);
        for (size_t i = 0; i < sizeof(ret); i++) {
            uint8_t expected = i < sizeof(own) ? ((const uint8_t *)&own)[i] : 0;
            assert_int_equal(ret[i], i < size ? expected : 0xaa);
        }
    }
}

/* ---- each struct of the public API ---- */

static void engine_end(void *engine)
{
    spate_engine_destroy(engine);
}

/* Returns what the function returns that takes the struct, and undoes its effect. */
static int give_config(const void *given, struct spate_error *error)
{
    struct spate_engine *engine = NULL;
    int result = spate_engine_create(given, &engine, error);
    spate_engine_destroy(engine);
    return result;
}

static int give_server_options(const void *given, struct spate_error *error)
{
    struct spate_tls *tls = NULL;
    int result = spate_tls_server_create(given, &tls, error);
    spate_tls_destroy(tls);
    return result;
}

static int give_client_options(const void *given, struct spate_error *error)
{
    struct spate_tls *tls = NULL;
    int result = spate_tls_client_create(given, &tls, error);
    spate_tls_destroy(tls);
    return result;
}

static void no_events(struct spate_shard *shard, const struct spate_event *events, uint32_t count,
                      void *user)
{
    (void)shard;
    (void)events;
    (void)count;
    (void)user;
}

static int give_handlers(const void *given, struct spate_error *error)
{
    struct spate_config config;
    spate_config_init(&config);
    config.receive_slots = 2;
    config.transmit_slots = 1;
    struct spate_engine *engine;
    assert_int_equal(spate_engine_create(&config, &engine, error), 0);
    (void)owned_add(engine, engine_end);
    int result = spate_engine_start(engine, given, error);
    if (result == -EINVAL || result == -E2BIG) { /* which must not count as a start */
        struct spate_handlers handlers;
        spate_handlers_init(&handlers);
        handlers.on_events = no_events;
        assert_int_equal(spate_engine_start(engine, &handlers, NULL), 0);
    }
    owned_end(engine);
    return result;
}

static int give_self_signed(const void *given, struct spate_error *error)
{
    char *cert = NULL, *key = NULL;
    int result = spate_self_signed(given, &cert, &key, error);
    spate_free(cert);
    spate_free(key);
    return result;
}

static const char *const alpn[] = {"test"};
static char *cert_pem;
static char *key_pem;

static void fill_config(void *ret)
{
    struct spate_config *config = ret;
    spate_config_init(config);
    config->receive_slots = 2;
    config->transmit_slots = 1;
}

static void fill_server_options(void *ret)
{
    struct spate_tls_options *options = ret;
    spate_tls_options_init(options);
    options->cert_pem = cert_pem;
    options->key_pem = key_pem;
    options->alpn = alpn;
    options->alpn_count = 1;
}

static void fill_client_options(void *ret)
{
    struct spate_tls_options *options = ret;
    spate_tls_options_init(options);
    options->alpn = alpn;
    options->alpn_count = 1;
    options->insecure = true;
}

static void fill_handlers(void *ret)
{
    struct spate_handlers *handlers = ret;
    spate_handlers_init(handlers);
    handlers->on_events = no_events;
}

static void fill_self_signed(void *ret)
{
    spate_self_signed_options_init(ret);
}

static const struct public_struct {
    const char *name;
    size_t size_first; /* up to the last field of 0.1 */
    size_t size;
    void (*fill)(void *ret);
    int (*give)(const void *given, struct spate_error *error);
} structs[] = {
    {"spate_config", SE_SIZE_THROUGH(struct spate_config, reserved), sizeof(struct spate_config),
     fill_config, give_config},
    {"spate_tls_options", SE_SIZE_THROUGH(struct spate_tls_options, keylog_file),
     sizeof(struct spate_tls_options), fill_server_options, give_server_options},
    {"spate_tls_options", SE_SIZE_THROUGH(struct spate_tls_options, keylog_file),
     sizeof(struct spate_tls_options), fill_client_options, give_client_options},
    {"spate_handlers", SE_SIZE_THROUGH(struct spate_handlers, user), sizeof(struct spate_handlers),
     fill_handlers, give_handlers},
    {"spate_self_signed_options", SE_SIZE_THROUGH(struct spate_self_signed_options, reserved),
     sizeof(struct spate_self_signed_options), fill_self_signed, give_self_signed},
};

/* Gives the struct as a program has it whose own is `size` bytes: in a block of exactly that
 * size, so that a sanitizer sees what is read past it; what the library does not know of it is
 * filled with `extra`. */
static int give(const struct public_struct *s, size_t size, uint8_t extra,
                struct spate_error *error)
{
    uint64_t full[128];
    assert_true(s->size <= sizeof(full));
    s->fill(full);
    assert_int_equal(full[0], s->size); /* the initialiser sets it, and it is the first */
    uint8_t *block = owned_alloc(size);
    memset(block, extra, size);
    memcpy(block, full, size < s->size ? size : s->size);
    memcpy(block, &size, sizeof(size));
    int result = s->give(block, error);
    owned_end(block);
    return result;
}

static void every_struct_may_be_older_as_long_as_it_has_the_first_fields(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(structs); i++) {
        const struct public_struct *s = &structs[i];
        struct spate_error error = {""};
        if (give(s, s->size_first, 0, &error) != 0)
            fail_msg("%s: %s", s->name, error.text);
        assert_int_equal(give(s, s->size_first - 1, 0, &error), -EINVAL);
        char line[sizeof(error.text)];
        (void)snprintf(line, sizeof(line), "%s.size is %zu: call %s_init() first", s->name,
                       s->size_first - 1, s->name);
        assert_string_equal(error.text, line);
    }
}

static void every_struct_may_be_newer_as_long_as_the_rest_is_zero(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(structs); i++) {
        const struct public_struct *s = &structs[i];
        struct spate_error error = {""};
        if (give(s, s->size, 0, &error) != 0 || give(s, s->size + 24, 0, &error) != 0 ||
            give(s, SE_SIZED_MAX, 0, &error) != 0)
            fail_msg("%s: %s", s->name, error.text);
        assert_int_equal(give(s, s->size + 24, 1, &error), -E2BIG);
        assert_non_null(strstr(error.text, s->name));
        assert_non_null(strstr(error.text, "does not know"));
        assert_int_equal(give(s, s->size + 24, 1, NULL), -E2BIG);
    }
}

static void reserved_bytes_are_zero_and_ignored(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_self_signed_options options;
    struct spate_error error = {""};
    memset(&config, 0xff, sizeof(config));
    memset(&options, 0xff, sizeof(options));
    fill_config(&config);
    spate_self_signed_options_init(&options);
    for (size_t i = 0; i < sizeof(config.reserved); i++)
        assert_int_equal(config.reserved[i], 0);
    assert_int_equal(options.reserved, 0);
    memset(config.reserved, 0xff, sizeof(config.reserved));
    options.reserved = UINT32_MAX;
    if (give_config(&config, &error) != 0 || give_self_signed(&options, &error) != 0)
        fail_msg("%s", error.text);

    struct spate_library libraries[2];
    memset(libraries, 0xff, sizeof(libraries));
    assert_int_equal(spate_libraries(libraries, 2), 2);
    for (size_t i = 0; i < 2; i++)
        for (size_t j = 0; j < sizeof(libraries[i].reserved); j++)
            assert_int_equal(libraries[i].reserved[j], 0);
}

static void a_struct_that_nobody_initialised_is_refused(void **state)
{
    (void)state;
    static const size_t garbage[] = {0, 1, sizeof(size_t), SE_SIZED_MAX + 1, SIZE_MAX};
    for (size_t i = 0; i < QT_COUNT(structs); i++) {
        const struct public_struct *s = &structs[i];
        struct spate_error error = {""};
        for (size_t j = 0; j < QT_COUNT(garbage); j++) {
            uint64_t full[128];
            s->fill(full);
            memcpy(full, &garbage[j], sizeof(garbage[j]));
            assert_int_equal(s->give(full, &error), -EINVAL);
            assert_non_null(strstr(error.text, "_init() first"));
        }
        assert_int_equal(s->give(NULL, &error), -EINVAL);
        assert_non_null(strstr(error.text, "is NULL"));
    }
}

static void handlers_without_on_events_are_refused(void **state)
{
    (void)state;
    struct spate_error error = {""};
    struct spate_handlers handlers;
    spate_handlers_init(&handlers);
    assert_int_equal(give_handlers(&handlers, &error), -EINVAL);
    assert_string_equal(error.text, "on_events is NULL");
}

static void an_older_program_gets_only_the_defaults_that_it_has_room_for(void **state)
{
    (void)state;
    struct spate_config whole;
    spate_config_init(&whole);
    union {
        struct spate_config config;
        uint8_t bytes[sizeof(struct spate_config) + 16];
    } room;
    size_t older = offsetof(struct spate_config, pacing);
    memset(&room, 0xaa, sizeof(room));
    spate_config_init_sized(&room.config, older);
    assert_int_equal(room.config.size, older);
    whole.size = older;
    assert_memory_equal(&room, &whole, older);
    for (size_t i = older; i < sizeof(room); i++)
        assert_int_equal(room.bytes[i], 0xaa);

    spate_config_init_sized(&room.config, sizeof(room));
    assert_int_equal(room.config.size, sizeof(room));
    for (size_t i = sizeof(room.config); i < sizeof(room); i++)
        assert_int_equal(room.bytes[i], 0);
}

static void counters_of_a_shard_come_in_the_size_that_is_asked_for(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_engine *engine;
    fill_config(&config);
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    (void)owned_add(engine, engine_end);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    assert_true(spate_shard_turn(shard, 0) >= 0);

    struct spate_shard_stats stats;
    spate_shard_stats(shard, &stats);
    assert_int_equal(stats.turns, 1);
    uint64_t counters[sizeof(stats) / sizeof(uint64_t) + 2];
    memset(counters, 0xaa, sizeof(counters));
    spate_shard_stats_sized(shard, (struct spate_shard_stats *)counters, sizeof(uint64_t));
    assert_int_equal(counters[0], 1);
    assert_int_equal(counters[1], UINT64_C(0xaaaaaaaaaaaaaaaa));
    spate_shard_stats_sized(shard, (struct spate_shard_stats *)counters,
                            sizeof(stats) + sizeof(uint64_t));
    assert_memory_equal(counters, &stats, sizeof(stats));
    assert_int_equal(counters[QT_COUNT(counters) - 2], 0);
    assert_int_equal(counters[QT_COUNT(counters) - 1], UINT64_C(0xaaaaaaaaaaaaaaaa));
}

static void capabilities_come_in_entries_of_the_size_that_is_asked_for(void **state)
{
    (void)state;
    struct older {
        const char *name;
        bool have;
    } older[3] = {{NULL, false}};
    struct newer {
        struct spate_cap cap;
        const char *more;
    } newer[2] = {{.more = "none"}, {.more = "none"}};
    struct spate_cap caps[2];
    size_t count = spate_caps(caps, 2);
    assert_true(count > 20);
    assert_int_equal(spate_caps_sized((struct spate_cap *)older, 2, sizeof(older[0])), count);
    assert_int_equal(spate_caps_sized((struct spate_cap *)newer, 2, sizeof(newer[0])), count);
    for (size_t i = 0; i < 2; i++) {
        assert_string_equal(older[i].name, caps[i].name);
        assert_int_equal(older[i].have, caps[i].have);
        assert_string_equal(newer[i].cap.name, caps[i].name);
        assert_string_equal(newer[i].cap.reason, caps[i].reason);
        assert_null(newer[i].more);
    }
    assert_null(older[2].name);

    struct spate_library libraries[2];
    struct spate_library one[2] = {{.name = "none", .version = "none"}, {.name = "none"}};
    assert_int_equal(spate_libraries(libraries, 2), 2);
    assert_string_equal(libraries[0].name, "OpenSSL");
    assert_string_equal(libraries[1].name, "liburing");
    assert_int_equal(spate_libraries_sized(one, 1, sizeof(const char *)), 2);
    assert_string_equal(one[0].name, "OpenSSL");
    assert_string_equal(one[0].version, "none");
    assert_string_equal(one[1].name, "none");
}

static int make_certificate(void **state)
{
    (void)state;
    struct spate_self_signed_options options;
    spate_self_signed_options_init(&options);
    return spate_self_signed(&options, &cert_pem, &key_pem, NULL);
}

static int free_certificate(void **state)
{
    (void)state;
    spate_free(cert_pem);
    spate_free(key_pem);
    return 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_library_knows_the_version_of_its_headers),
        cmocka_unit_test(an_older_struct_leaves_the_new_fields_at_their_defaults),
        cmocka_unit_test(a_newer_struct_is_taken_if_it_sets_nothing_new),
        cmocka_unit_test(what_is_given_back_is_cut_or_filled_up_with_zeroes),
        QT_TEST(owned, every_struct_may_be_older_as_long_as_it_has_the_first_fields),
        QT_TEST(owned, every_struct_may_be_newer_as_long_as_the_rest_is_zero),
        cmocka_unit_test(reserved_bytes_are_zero_and_ignored),
        QT_TEST(owned, a_struct_that_nobody_initialised_is_refused),
        QT_TEST(owned, handlers_without_on_events_are_refused),
        cmocka_unit_test(an_older_program_gets_only_the_defaults_that_it_has_room_for),
        QT_TEST(owned, counters_of_a_shard_come_in_the_size_that_is_asked_for),
        cmocka_unit_test(capabilities_come_in_entries_of_the_size_that_is_asked_for),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, make_certificate, free_certificate);
}
