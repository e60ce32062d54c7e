/* SPDX-License-Identifier: MIT */
/* The configuration: each bad value is named in one clear line, and <spate/config.h> has the
 * defaults and ranges of the list. */

#include "test/support/qt.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "engine/config/config.h"
#include "proto/base/time.h"
#include "proto/conn/conn.h"

struct bad_value {
    void (*spoil)(struct spate_config *config);
    const char *says;
};

static const int negative_cpu[] = {-3};

#define SPOIL(name, code) \
    static void name(struct spate_config *c) \
    { \
        code; \
    }

SPOIL(cpus_without_number, (c->shard_count = SPATE_SHARDS_AUTO, c->cpus = negative_cpu))
SPOIL(many_shards, c->shard_count = 65)
SPOIL(bad_cpu, c->cpus = negative_cpu)
SPOIL(no_backend, c->backend = (enum spate_backend)4)
SPOIL(many_hosted, (c->backend = SPATE_BACKEND_HOST, c->shard_count = 2))
SPOIL(hosted_hand_over, (c->backend = SPATE_BACKEND_HOST, c->hand_over = true))
SPOIL(no_crypto, c->crypto = (enum spate_crypto)3)
SPOIL(no_retry, c->retry = (enum spate_retry)3)
SPOIL(no_versions, c->versions = (enum spate_versions)5)
SPOIL(early_key_update, c->key_update_packets = 99)
SPOIL(no_conns, c->conns_max = 0)
SPOIL(many_conns, c->conns_max = 1000001)
SPOIL(no_handshakes, c->handshakes_max = 0)
SPOIL(no_memory, c->memory_bytes_max = 1000)
SPOIL(one_receive_slot, c->receive_slots = 1)
SPOIL(many_receive_slots, c->receive_slots = 32769)
SPOIL(no_transmit_slot, c->transmit_slots = 0)
SPOIL(many_transmit_slots, c->transmit_slots = 16385)
SPOIL(small_socket_buffer, c->socket_buffer_bytes = 1)
SPOIL(short_idle, c->idle_timeout_ns = 30)
SPOIL(short_keep_alive, c->keep_alive_ns = 1)
SPOIL(long_handshake, c->handshake_timeout_ns = UINT64_MAX)
SPOIL(long_ack_delay, c->ack_delay_ns_max = UINT64_C(16384000000))
SPOIL(small_datagrams, c->datagram_size_max = 1199)
SPOIL(large_datagrams, c->datagram_size_max = 65508)
SPOIL(no_stream_window, c->stream_window_bytes = 0)
SPOIL(endless_stream_window, c->stream_window_bytes_max = UINT64_MAX)
SPOIL(shrinking_stream_window, c->stream_window_bytes_max = c->stream_window_bytes - 1)
SPOIL(no_conn_window, c->conn_window_bytes = 0)
SPOIL(endless_conn_window, c->conn_window_bytes_max = UINT64_MAX)
SPOIL(shrinking_conn_window, c->conn_window_bytes_max = c->conn_window_bytes - 1)
SPOIL(many_bidi, c->streams_bidi_max = UINT32_MAX)
SPOIL(many_uni, c->streams_uni_max = UINT32_MAX)
SPOIL(many_local, c->streams_local_max = UINT32_MAX)

static const struct bad_value bad_values[] = {
    {cpus_without_number, "cpus is a list of shard_count CPUs, and shard_count is 0"},
    {many_shards, "shard_count is 65, must be 0 to 64"},
    {bad_cpu, "cpus[0] is -3, must not be negative"},
    {no_backend, "backend is 4, must be 0 to 3"},
    {many_hosted, "SPATE_BACKEND_HOST has one shard: create an engine for each thread"},
    {hosted_hand_over, "SPATE_BACKEND_HOST has no sockets that hand_over could give away"},
    {no_crypto, "crypto is 3, must be 0 to 2"},
    {no_retry, "retry is 3, must be 0 to 2"},
    {no_versions, "versions is 5, must be 0 to 4"},
    {early_key_update, "key_update_packets is 99, must be 100 to 100000000, or 0 for none"},
    {no_conns, "conns_max is 0, must be 1 to 1000000"},
    {many_conns, "conns_max is 1000001, must be 1 to 1000000"},
    {no_handshakes, "handshakes_max is 0, must be 1 to 1000000"},
    {no_memory, "memory_bytes_max is 1000, must be 1048576 to 70368744177664"},
    {one_receive_slot, "receive_slots is 1, must be 2 to 32768"},
    {many_receive_slots, "receive_slots is 32769, must be 2 to 32768"},
    {no_transmit_slot, "transmit_slots is 0, must be 1 to 16384"},
    {many_transmit_slots, "transmit_slots is 16385, must be 1 to 16384"},
    {small_socket_buffer, "socket_buffer_bytes is 1, must be 65536 to 1073741824"},
    {short_keep_alive, "keep_alive_ns is 1, must be 1000000 to 31536000000000000, or 0 for none"},
    {short_idle, "idle_timeout_ns is 30, must be 1000000 to 31536000000000000, or 0 for none"},
    {long_handshake, "handshake_timeout_ns is 18446744073709551615, must be 1000000 to "
                     "31536000000000000, or 0 for none"},
    {long_ack_delay, "ack_delay_ns_max is 16384000000, must be 0 to 16383000000"},
    {small_datagrams, "datagram_size_max is 1199, must be 1200 to 65507"},
    {large_datagrams, "datagram_size_max is 65508, must be 1200 to 65507"},
    {no_stream_window, "stream_window_bytes is 0, must be 1024 to 1152921504606846976"},
    {endless_stream_window, "stream_window_bytes_max is 18446744073709551615, must be 1024 to "
                            "1152921504606846976"},
    {shrinking_stream_window, "stream_window_bytes is 1048576, more than "
                              "stream_window_bytes_max (1048575)"},
    {no_conn_window, "conn_window_bytes is 0, must be 1024 to 1152921504606846976"},
    {endless_conn_window, "conn_window_bytes_max is 18446744073709551615, must be 1024 to "
                          "1152921504606846976"},
    {shrinking_conn_window,
     "conn_window_bytes is 1048576, more than conn_window_bytes_max (1048575)"},
    {many_bidi, "streams_bidi_max is 4294967295, must be 0 to 1048576"},
    {many_uni, "streams_uni_max is 4294967295, must be 0 to 1048576"},
    {many_local, "streams_local_max is 4294967295, must be 0 to 1048576"},
};

static void the_initial_values_are_accepted(void **state)
{
    (void)state;
    struct spate_config config;
    struct spate_error error = {"untouched"};
    spate_config_init(&config);
    assert_int_equal(se_config_check(&config, &error), 0);
    assert_string_equal(error.text, "untouched");
}

static void no_timeout_at_all_is_accepted(void **state)
{
    (void)state;
    struct spate_config config;
    spate_config_init(&config);
    config.idle_timeout_ns = 0;
    config.handshake_timeout_ns = 0;
    assert_int_equal(se_config_check(&config, NULL), 0);
}

static void each_bad_value_gives_one_clear_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(bad_values); i++) {
        struct spate_config config;
        struct spate_error error = {""};
        spate_config_init(&config);
        config.stream_window_bytes_max = config.stream_window_bytes * 4;
        bad_values[i].spoil(&config);
        assert_int_equal(se_config_check(&config, &error), -EINVAL);
        assert_string_equal(error.text, bad_values[i].says);
        assert_int_equal(se_config_check(&config, NULL), -EINVAL);
    }
}

static void proto_gets_its_fields(void **state)
{
    (void)state;
    struct spate_config config;
    struct sp_config proto;
    spate_config_init(&config);
    config.idle_timeout_ns = 1;
    config.handshake_timeout_ns = 2;
    config.ack_delay_ns_max = 3;
    config.datagram_size_max = 4;
    config.stream_window_bytes = 5;
    config.stream_window_bytes_max = 6;
    config.conn_window_bytes = 7;
    config.conn_window_bytes_max = 8;
    config.streams_bidi_max = 9;
    config.streams_uni_max = 10;
    config.streams_local_max = 11;
    config.pacing = false;
    config.ecn = false;
    config.keep_alive_ns = 12;
    se_config_to_proto(&config, &proto);
    assert_int_equal(proto.idle_timeout_ns, 1);
    assert_int_equal(proto.handshake_timeout_ns, 2);
    assert_int_equal(proto.ack_delay_ns_max, 3);
    assert_int_equal(proto.datagram_size_max, 4);
    assert_int_equal(proto.stream_window_bytes, 5);
    assert_int_equal(proto.stream_window_bytes_max, 6);
    assert_int_equal(proto.conn_window_bytes, 7);
    assert_int_equal(proto.conn_window_bytes_max, 8);
    assert_int_equal(proto.streams_bidi_max, 9);
    assert_int_equal(proto.streams_uni_max, 10);
    assert_int_equal(proto.streams_local_max, 11);
    assert_int_equal(proto.cid_size, SE_CID_SIZE);
    assert_false(proto.pacing);
    assert_false(proto.ecn);
    assert_int_equal(proto.keep_alive_ns, 12);
}

/* ---- what the header says ---- */

/* Writes 16383000000 of a field in ns as "16,383 ms": the largest unit that divides it. */
static void write_value(const struct se_config_field *field, uint64_t value, char *ret, size_t size)
{
    static const struct {
        uint64_t size;
        const char *suffix;
        const char *name;
    } units[] = {
        {86400 * SB_S, "_ns", " days"},
        {SB_S, "_ns", " s"},
        {SB_MS, "_ns", " ms"},
        {SB_US, "_ns", " us"},
        {UINT64_C(1) << 60, "_bytes", " EiB"},
        {UINT64_C(1) << 40, "_bytes", " TiB"},
        {1 << 30, "_bytes", " GiB"},
        {1 << 20, "_bytes", " MiB"},
        {1 << 10, "_bytes", " KiB"},
    };
    if (value == SPATE_FOREVER) {
        (void)snprintf(ret, size, "SPATE_FOREVER");
        return;
    }
    const char *unit = "";
    for (size_t i = 0; i < QT_COUNT(units) && value > 0; i++) {
        if (strstr(field->name, units[i].suffix) == NULL || value % units[i].size != 0)
            continue;
        value /= units[i].size;
        unit = units[i].name;
        break;
    }
    assert_true(value < UINT64_C(1000000000000));
    unsigned billions = (unsigned)(value / 1000000000), number = (unsigned)(value % 1000000000);
    if (billions > 0)
        (void)snprintf(ret, size, "%u,%03u,%03u,%03u%s", billions, number / 1000000,
                       number / 1000 % 1000, number % 1000, unit);
    else if (number >= 1000000)
        (void)snprintf(ret, size, "%u,%03u,%03u%s", number / 1000000, number / 1000 % 1000,
                       number % 1000, unit);
    else if (number >= 1000)
        (void)snprintf(ret, size, "%u,%03u%s", number / 1000, number % 1000, unit);
    else
        (void)snprintf(ret, size, "%u%s", number, unit);
}

static void write_words(const struct se_config_field *field, char *ret, size_t size)
{
    char initial[32], min[32], max[32];
    write_value(field, field->initial, initial, sizeof(initial));
    write_value(field, field->min, min, sizeof(min));
    write_value(field, field->max, max, sizeof(max));
    if (field->size == sizeof(bool))
        (void)snprintf(ret, size, " Default %s", field->initial != 0 ? "true" : "false");
    else if (strcmp(field->name, "backend") == 0)
        (void)snprintf(ret, size, " Default SPATE_BACKEND_AUTO");
    else if (strcmp(field->name, "crypto") == 0)
        (void)snprintf(ret, size, " Default SPATE_CRYPTO_AUTO");
    else if (strcmp(field->name, "retry") == 0)
        (void)snprintf(ret, size, " Default SPATE_RETRY_AUTO");
    else if (strcmp(field->name, "versions") == 0)
        (void)snprintf(ret, size, " Default SPATE_VERSIONS_BOTH");
    else if (strcmp(field->name, "congestion") == 0)
        (void)snprintf(ret, size, " Default SPATE_CONGESTION_CUBIC");
    else if (strcmp(field->name, "kernel_pacing") == 0)
        (void)snprintf(ret, size, " Default SPATE_KERNEL_PACING_AUTO");
    else if (strcmp(field->name, "pinning") == 0)
        (void)snprintf(ret, size, " Default SPATE_PINNING_AUTO");
    else
        (void)snprintf(ret, size, " Default %s; %s to %s%s", initial, min, max,
                       field->zero_is_none ? ", or 0 for none" : "");
}

/* Copies the comment above `field` with one space between words.  `text` begins with the struct. */
static void find_comment(const char *text, const char *name, char *ret, size_t size)
{
    char end[64];
    (void)snprintf(end, sizeof(end), " %s;", name);
    const char *field = strstr(text, end);
    assert_non_null(field);
    const char *comment = NULL;
    for (const char *at = text; (at = strstr(at, "/*")) != NULL && at < field; at++)
        comment = at;
    assert_non_null(comment);
    size_t used = 0;
    for (const char *at = comment + 2; strncmp(at, "*/", 2) != 0; at++) {
        bool is_gap = strchr(" *\n", *at) != NULL;
        assert_true(used + 1 < size);
        if (!is_gap || used == 0 || ret[used - 1] != ' ')
            ret[used++] = is_gap ? ' ' : *at;
    }
    ret[used] = '\0';
}

static void the_header_has_the_default_and_the_range_of_each_field(void **state)
{
    (void)state;
    static char text[64 * 1024];
    FILE *file = fopen(QT_SOURCE_ROOT "/engine/include/spate/config.h", "r");
    assert_non_null(file);
    size_t size = fread(text, 1, sizeof(text) - 1, file);
    assert_int_equal(fclose(file), 0);
    assert_true(size > 0 && size < sizeof(text) - 1);
    char *body = strstr(text, "\nstruct spate_config {");
    assert_non_null(body);
    strstr(body, "\n};")[1] = '\0';

    for (size_t i = 0; i < se_config_field_count; i++) {
        char comment[1024];
        char words[128];
        find_comment(body, se_config_fields[i].name, comment, sizeof(comment));
        write_words(&se_config_fields[i], words, sizeof(words));
        const char *found = strstr(comment, words);
        const char *after = found != NULL ? found + strlen(words) : "";
        bool is_whole = strncmp(after, ". ", 2) == 0 || strncmp(after, ", ", 2) == 0;
        if (!is_whole)
            print_error("%s: no \"%s\" in \"%s\"\n", se_config_fields[i].name, words, comment);
        assert_true(is_whole);
    }
    size_t field_count = 0;
    for (const char *at = body; (at = strstr(at, ";\n")) != NULL; at++)
        field_count++;
    /* size and reserved have a comment on their line; cpus, quic_lb, lent_ring, stat_file, qlog,
     * log and the keys have no range. */
    assert_int_equal(field_count, se_config_field_count + 8);
}

static void defaults_are_those_of_the_list(void **state)
{
    (void)state;
    struct spate_config config;
    spate_config_init(&config);
    for (size_t i = 0; i < se_config_field_count; i++)
        assert_int_equal(se_config_value(&config, &se_config_fields[i]),
                         se_config_fields[i].initial);
    assert_int_equal(config.conns_max, 10000);
    assert_int_equal(config.spin_ns, 500000);
    assert_true(config.gso && !config.zero_copy);
    assert_null(config.cpus);
    static const uint8_t unset[SPATE_KEY_SIZE];
    assert_memory_equal(config.token_key, unset, sizeof(unset));
    assert_memory_equal(config.reset_key, unset, sizeof(unset));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_initial_values_are_accepted),
        cmocka_unit_test(no_timeout_at_all_is_accepted),
        cmocka_unit_test(each_bad_value_gives_one_clear_line),
        cmocka_unit_test(defaults_are_those_of_the_list),
        cmocka_unit_test(proto_gets_its_fields),
        cmocka_unit_test(the_header_has_the_default_and_the_range_of_each_field),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
