/* SPDX-License-Identifier: MIT */
/* Which frame may stand in which packet: Table 3 of RFC 9000, Section 12.4. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/wire/frame_table.h"

/* The table as it is printed there: type values, packets, special rules. */
static const struct row {
    uint64_t first;
    uint64_t last;
    const char *name;
    const char *pkts;
    const char *spec;
} rows[] = {
    {0x00, 0x00, "PADDING", "IH01", "NP"},
    {0x01, 0x01, "PING", "IH01", ""},
    {0x02, 0x03, "ACK", "IH_1", "NC"},
    {0x04, 0x04, "RESET_STREAM", "__01", ""},
    {0x05, 0x05, "STOP_SENDING", "__01", ""},
    {0x06, 0x06, "CRYPTO", "IH_1", ""},
    {0x07, 0x07, "NEW_TOKEN", "___1", ""},
    {0x08, 0x0f, "STREAM", "__01", ""},
    {0x10, 0x10, "MAX_DATA", "__01", ""},
    {0x11, 0x11, "MAX_STREAM_DATA", "__01", ""},
    {0x12, 0x13, "MAX_STREAMS", "__01", ""},
    {0x14, 0x14, "DATA_BLOCKED", "__01", ""},
    {0x15, 0x15, "STREAM_DATA_BLOCKED", "__01", ""},
    {0x16, 0x17, "STREAMS_BLOCKED", "__01", ""},
    {0x18, 0x18, "NEW_CONNECTION_ID", "__01", "P"},
    {0x19, 0x19, "RETIRE_CONNECTION_ID", "__01", ""},
    {0x1a, 0x1a, "PATH_CHALLENGE", "__01", "P"},
    {0x1b, 0x1b, "PATH_RESPONSE", "___1", "P"},
    {0x1c, 0x1c, "CONNECTION_CLOSE", "IH01", "N"},
    {0x1d, 0x1d, "CONNECTION_CLOSE", "__01", "N"}, /* "ih": only 0x1c in Initial, Handshake */
    {0x1e, 0x1e, "HANDSHAKE_DONE", "___1", ""},
    {0x1f, 0x1f, "IMMEDIATE_ACK", "___1", ""},   /* [ack-frequency 3, 5] */
    {0x24, 0x24, "RESET_STREAM_AT", "__01", ""}, /* [reliable-reset 4] */
    {0x30, 0x31, "DATAGRAM", "__01", ""},        /* [RFC9221 3, 5] */
};

static void the_table_is_that_of_the_rfc(void **state)
{
    (void)state;
    uint64_t next = 0;
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        const struct row *row = &rows[i];
        for (; next < row->first; next++)
            assert_int_equal(sp_frame_rule_of(next)->flags, 0);
        for (; next <= row->last; next++) {
            const struct sp_frame_rule *rule = sp_frame_rule_of(next);
            assert_string_equal(rule->name, row->name);
            unsigned want = 0;
            want |= strchr(row->pkts, 'I') ? SP_IN_INITIAL : 0;
            want |= strchr(row->pkts, 'H') ? SP_IN_HANDSHAKE : 0;
            want |= strchr(row->pkts, '0') ? SP_IN_ZERO_RTT : 0;
            want |= strchr(row->pkts, '1') ? SP_IN_ONE_RTT : 0;
            want |= strchr(row->spec, 'N') ? SP_FRAME_NOT_ELICITING : 0;
            want |= strchr(row->spec, 'C') ? SP_FRAME_NOT_IN_FLIGHT : 0;
            want |= strchr(row->spec, 'P') ? SP_FRAME_PROBING : 0;
            assert_int_equal(rule->flags, want);
            assert_int_equal(sp_frame_is_eliciting(next), strchr(row->spec, 'N') == NULL);
        }
    }
    for (; next < SP_FRAME_SHORT_TYPES; next++)
        assert_int_equal(sp_frame_rule_of(next)->flags, 0);
}

static void other_types_have_no_rule(void **state)
{
    (void)state;
    static const uint64_t types[] = {0x20, 0x2f, 0x32,  0x3f,       0x40,
                                     0xae, 0xb0, 0x100, UINT32_MAX, UINT64_MAX};
    for (size_t i = 0; i < QT_COUNT(types); i++) {
        assert_int_equal(sp_frame_rule_of(types[i])->flags, 0);
        assert_string_equal(sp_frame_name(types[i]), "unknown");
    }
}

/* A row of the wrong part of the table would never be found. */
static void long_types_are_in_the_long_table(void **state)
{
    (void)state;
    const struct sp_frame_long_rule *row = sp_frame_long_rules;
    for (; row->rule.flags != 0; row++) {
        assert_true(row->type >= SP_FRAME_SHORT_TYPES && row->type <= SB_VARINT_MAX);
        assert_ptr_equal(sp_frame_rule_of(row->type), &row->rule);
        assert_non_null(row->rule.name);
    }
    /* [ack-frequency 3] Not in 0-RTT packets. */
    assert_string_equal(sp_frame_name(SP_FRAME_ACK_FREQUENCY), "ACK_FREQUENCY");
    assert_int_equal(sp_frame_rule_of(SP_FRAME_ACK_FREQUENCY)->flags, SP_IN_ONE_RTT);
    assert_int_equal(row->type, UINT64_MAX); /* the end */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_table_is_that_of_the_rfc),
        cmocka_unit_test(other_types_have_no_rule),
        cmocka_unit_test(long_types_are_in_the_long_table),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
