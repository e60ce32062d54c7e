/* SPDX-License-Identifier: MIT */
/* The configuration: each bad value is named in one clear line. */

#include "test/support/qt.h"

#include <errno.h>
#include <string.h>

#include "engine/config.h"

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

SPOIL(no_shard, c->shard_count = 0)
SPOIL(many_shards, c->shard_count = 65)
SPOIL(bad_cpu, c->cpus = negative_cpu)
SPOIL(no_backend, c->backend = (enum spate_backend)3)
SPOIL(no_crypto, c->crypto = (enum spate_crypto)3)
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
    {no_shard, "shard_count is 0, must be 1 to 64"},
    {many_shards, "shard_count is 65, must be 1 to 64"},
    {bad_cpu, "cpus[0] is -3, must not be negative"},
    {no_backend, "backend is 3, must be 0 to 2"},
    {no_crypto, "crypto is 3, must be 0 to 2"},
    {no_conns, "conns_max is 0, must be 1 to 1000000"},
    {many_conns, "conns_max is 1000001, must be 1 to 1000000"},
    {no_handshakes, "handshakes_max is 0, must be 1 to 1000000"},
    {no_memory, "memory_bytes_max is 1000, must be 1048576 to 70368744177664"},
    {one_receive_slot, "receive_slots is 1, must be 2 to 32768"},
    {many_receive_slots, "receive_slots is 32769, must be 2 to 32768"},
    {no_transmit_slot, "transmit_slots is 0, must be 1 to 16384"},
    {many_transmit_slots, "transmit_slots is 16385, must be 1 to 16384"},
    {small_socket_buffer, "socket_buffer_bytes is 1, must be 65536 to 1073741824"},
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

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_initial_values_are_accepted),
        cmocka_unit_test(no_timeout_at_all_is_accepted),
        cmocka_unit_test(each_bad_value_gives_one_clear_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
