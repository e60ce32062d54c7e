/* SPDX-License-Identifier: MIT */
/* Transport parameters: RFC 9000, Sections 7.4 and 18. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include "proto/wire/tparam.h"

#define V1       "\0\0\0\1"
#define V2       "\x6b\x33\x43\xcf"
#define TEN      "0123456789"
#define MAX_TEXT "\xff\xff\xff\xff\xff\xff\xff\xff"

static enum sp_err read_exactly(const char *bytes, size_t size, enum sp_role sender,
                                struct sp_tparams *ret)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    enum sp_err err = sp_tparams_read((struct sb_bytes){.data = copy, .size = size}, sender, ret);
    if (err == SP_OK && ret->available_versions.data != NULL) /* the same bytes of the original */
        ret->available_versions.data =
            (const uint8_t *)bytes + (ret->available_versions.data - copy);
    free(copy);
    return err;
}

/* By member: the struct has holes. */
static void assert_params_equal(const struct sp_tparams *got, const struct sp_tparams *want)
{
    assert_int_equal(got->has_original_dcid, want->has_original_dcid);
    assert_int_equal(got->has_initial_scid, want->has_initial_scid);
    assert_int_equal(got->has_retry_scid, want->has_retry_scid);
    assert_int_equal(got->has_reset_token, want->has_reset_token);
    assert_int_equal(got->disable_active_migration, want->disable_active_migration);
    assert_int_equal(got->reset_stream_at, want->reset_stream_at);
    assert_true(sp_cid_equal(&got->original_dcid, &want->original_dcid));
    assert_true(sp_cid_equal(&got->initial_scid, &want->initial_scid));
    assert_true(sp_cid_equal(&got->retry_scid, &want->retry_scid));
    assert_memory_equal(got->reset_token, want->reset_token, sizeof(got->reset_token));
    assert_int_equal(got->has_preferred_cid, want->has_preferred_cid);
    assert_memory_equal(&got->preferred, &want->preferred, sizeof(got->preferred));
    assert_true(sp_cid_equal(&got->preferred_cid, &want->preferred_cid));
    assert_memory_equal(got->preferred_token, want->preferred_token, sizeof(got->reset_token));
    assert_int_equal(got->max_idle_timeout_ms, want->max_idle_timeout_ms);
    assert_int_equal(got->max_udp_payload_size, want->max_udp_payload_size);
    assert_int_equal(got->initial_max_data, want->initial_max_data);
    assert_int_equal(got->initial_max_stream_data_bidi_local,
                     want->initial_max_stream_data_bidi_local);
    assert_int_equal(got->initial_max_stream_data_bidi_remote,
                     want->initial_max_stream_data_bidi_remote);
    assert_int_equal(got->initial_max_stream_data_uni, want->initial_max_stream_data_uni);
    assert_int_equal(got->initial_max_streams_bidi, want->initial_max_streams_bidi);
    assert_int_equal(got->initial_max_streams_uni, want->initial_max_streams_uni);
    assert_int_equal(got->ack_delay_exponent, want->ack_delay_exponent);
    assert_int_equal(got->max_ack_delay_ms, want->max_ack_delay_ms);
    assert_int_equal(got->active_cid_limit, want->active_cid_limit);
    assert_int_equal(got->max_datagram_frame_size, want->max_datagram_frame_size);
    assert_int_equal(got->chosen_version, want->chosen_version);
    assert_int_equal(got->available_versions.size, want->available_versions.size);
    if (want->available_versions.size > 0)
        assert_memory_equal(got->available_versions.data, want->available_versions.data,
                            want->available_versions.size);
}

/* Every parameter, each with a value of its own. */
static struct sp_tparams all_params(void)
{
    struct sp_tparams p;
    sp_tparams_init(&p);
    p.has_original_dcid = true;
    p.original_dcid = sp_cid_of((const uint8_t *)"original", 8);
    p.has_initial_scid = true;
    p.initial_scid = sp_cid_of((const uint8_t *)TEN TEN, 20);
    p.has_retry_scid = true;
    p.retry_scid = sp_cid_of(NULL, 0);
    p.has_reset_token = true;
    memcpy(p.reset_token, "abcdefghijklmnop", sizeof(p.reset_token));
    p.has_preferred_cid = true;
    p.preferred_cid = sp_cid_of((const uint8_t *)TEN TEN, 20);
    memcpy(p.preferred_token, "ABCDEFGHIJKLMNOP", sizeof(p.preferred_token));
    p.preferred.v4 = (struct sp_addr){.ip = {192, 0, 2, 1}, .port = 443, .family = 4};
    p.preferred.v6 = (struct sp_addr){.ip = {0x20, 1, [15] = 1}, .port = 4433, .family = 6};
    p.disable_active_migration = true;
    p.reset_stream_at = true;
    p.max_idle_timeout_ms = 30000;
    p.max_udp_payload_size = 1200;
    p.initial_max_data = SB_VARINT_MAX;
    p.initial_max_stream_data_bidi_local = 5;
    p.initial_max_stream_data_bidi_remote = 6;
    p.initial_max_stream_data_uni = 7;
    p.initial_max_streams_bidi = SP_STREAM_COUNT_MAX;
    p.initial_max_streams_uni = 9;
    p.ack_delay_exponent = 20;
    p.max_ack_delay_ms = (1 << 14) - 1;
    p.active_cid_limit = 8;
    p.max_datagram_frame_size = 65535;
    p.chosen_version = SP_VERSION_2;
    p.available_versions = (struct sb_bytes){(const uint8_t *)V2 V1, 8};
    return p;
}

static size_t write_params(const struct sp_tparams *params, uint64_t grease,
                           uint8_t out[SP_TPARAMS_SIZE_MAX])
{
    struct sb_writer w = sb_writer_of(out, SP_TPARAMS_SIZE_MAX);
    sp_tparams_write(&w, params, grease);
    assert_false(w.failed);
    return sb_writer_used(&w);
}

/* [RFC9000 18.2] */
static void absent_parameters_have_the_defaults(void **state)
{
    (void)state;
    struct sp_tparams got;
    assert_int_equal(read_exactly("", 0, SP_CLIENT, &got), SP_OK);
    struct sp_tparams want = {
        .max_udp_payload_size = 65527,
        .ack_delay_exponent = 3,
        .max_ack_delay_ms = 25,
        .active_cid_limit = 2,
    };
    assert_params_equal(&got, &want);
}

static void each_parameter_is_read_into_its_place(void **state)
{
    (void)state;
    struct sp_tparams d;
    sp_tparams_init(&d);
    const struct {
        const char *bytes;
        size_t size;
        size_t at;
        uint64_t value;
    } samples[] = {
#define GOOD(text, member, value) \
    {text, sizeof(text) - 1, offsetof(struct sp_tparams, member), value}
        GOOD("\x01\x02\x67\x10", max_idle_timeout_ms, 10000),
        GOOD("\x03\x02\x44\xb0", max_udp_payload_size, 1200),
        GOOD("\x03\x08" MAX_TEXT, max_udp_payload_size, SB_VARINT_MAX),
        GOOD("\x04\x08" MAX_TEXT, initial_max_data, SB_VARINT_MAX),
        GOOD("\x05\x01\x05", initial_max_stream_data_bidi_local, 5),
        GOOD("\x06\x01\x06", initial_max_stream_data_bidi_remote, 6),
        GOOD("\x07\x01\x07", initial_max_stream_data_uni, 7),
        GOOD("\x08\x08\xd0\0\0\0\0\0\0\0", initial_max_streams_bidi, SP_STREAM_COUNT_MAX),
        GOOD("\x09\x08\xd0\0\0\0\0\0\0\0", initial_max_streams_uni, SP_STREAM_COUNT_MAX),
        GOOD("\x0a\x01\x14", ack_delay_exponent, 20),
        GOOD("\x0a\x01\0", ack_delay_exponent, 0),
        GOOD("\x0b\x02\x7f\xff", max_ack_delay_ms, 16383),
        GOOD("\x0e\x01\x02", active_cid_limit, 2),
        GOOD("\x20\x01\x01", max_datagram_frame_size, 1), /* [RFC9221 3] */
        GOOD("\x20\x04\x80\0\xff\xff", max_datagram_frame_size, 65535),
        GOOD("\x40\x0e\x40\x04\x80\0\0\x02", active_cid_limit, 2), /* long forms */
#undef GOOD
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_tparams got;
        assert_int_equal(read_exactly(samples[i].bytes, samples[i].size, SP_CLIENT, &got), SP_OK);
        uint64_t value;
        memcpy(&value, (const char *)&got + samples[i].at, sizeof(value));
        assert_int_equal(value, samples[i].value);

        /* And all others are as they were. */
        struct sp_tparams want = d;
        memcpy((char *)&want + samples[i].at, &value, sizeof(value));
        assert_params_equal(&got, &want);
    }
}

static void forbidden_parameters_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *bytes;
        size_t size;
    } samples[] = {
#define BAD(why, text) {why, text, sizeof(text) - 1}
        BAD("[RFC9000 18.2] original dcid of 21", "\x00\x15" TEN TEN "x"),
        BAD("[RFC9000 18.2] initial scid of 21", "\x0f\x15" TEN TEN "x"),
        BAD("[RFC9000 18.2] retry scid of 21", "\x10\x15" TEN TEN "x"),
        BAD("[RFC9000 18.2] reset token of 15", "\x02\x0f" TEN "abcde"),
        BAD("[RFC9000 18.2] reset token of 17", "\x02\x11" TEN "abcdefg"),
        BAD("[RFC9000 18.2] max_udp_payload_size 1199", "\x03\x02\x44\xaf"),
        BAD("[RFC9000 4.6] max_streams_bidi 2^60+1", "\x08\x08\xd0\0\0\0\0\0\0\x01"),
        BAD("[RFC9000 4.6] max_streams_uni 2^60+1", "\x09\x08\xd0\0\0\0\0\0\0\x01"),
        BAD("[RFC9000 18.2] ack_delay_exponent 21", "\x0a\x01\x15"),
        BAD("[RFC9000 18.2] max_ack_delay 2^14", "\x0b\x04\x80\0\x40\0"),
        BAD("[RFC9000 18.2] disable_active_migration with a value", "\x0c\x01\x01"),
        BAD("[RFC9000 18.2] active_connection_id_limit 1", "\x0e\x01\x01"),
        BAD("[RFC9000 18.2] active_connection_id_limit 0", "\x0e\x01\0"),
        BAD("[RFC9000 18.2] preferred_address, cid of 0", "\x0d\x29"
                                                          "4444pp" TEN "abcdefpp\0" TEN "abcdef"),
        BAD("[RFC9000 18.2] preferred_address, cid of 21",
            "\x0d\x3e"
            "4444pp" TEN "abcdefpp\x15" TEN TEN "x" TEN "abcdef"),
        BAD("[RFC9000 18.2] preferred_address, one byte more", "\x0d\x2b"
                                                               "4444pp" TEN "abcdefpp\x01"
                                                               "c" TEN "abcdef!"),
        BAD("[RFC9000 18.2] preferred_address, one byte less", "\x0d\x29"
                                                               "4444pp" TEN "abcdefpp\x01"
                                                               "c" TEN "abcde"),
        BAD("[RFC9000 18.2] preferred_address of a server without CIDs", "\x0f\0\x0d\x2a"
                                                                         "4444pp" TEN "abcdefpp\x01"
                                                                         "c" TEN "abcdef"),
        BAD("[RFC9000 7.4] number without a value", "\x04\0"),
        BAD("[RFC9000 7.4] number cut in its value", "\x04\x01\x40"),
        BAD("[RFC9000 7.4] number with more behind it", "\x04\x02\x01\0"),
        BAD("[RFC9221 3] max_datagram_frame_size without a value", "\x20\0"),
        BAD("[RFC9221 3] max_datagram_frame_size with more behind it", "\x20\x02\x01\0"),
        BAD("[RFC9287 3] grease_quic_bit with a value", "\x6a\xb2\x01\0"),
        BAD("[RFC9000 7.4] grease_quic_bit twice", "\x6a\xb2\0\x6a\xb2\0"),
        BAD("[reliable-reset 3] reset_stream_at with a value", "\x1d\x01\0"),
        BAD("[reliable-reset 3] .. of draft 07", "\xc0\x17\xf7\x58\x6d\x2c\xb5\x71\x01\0"),
        BAD("[RFC9000 7.4] reset_stream_at twice", "\x1d\0\x1d\0"),
        BAD("[RFC9000 7.4] max_datagram_frame_size twice", "\x20\x01\x01\x20\x01\x01"),
        BAD("[RFC9368 4] version_information without a version", "\x11\0"),
        BAD("[RFC9368 4] version_information cut in a version", "\x11\x07" V1 "\0\0\0"),
        BAD("[RFC9368 4] version_information with half a byte more", "\x11\x05" V1 "\0"),
        BAD("[RFC9368 4] version_information that chooses 0", "\x11\x08\0\0\0\0" V1),
        BAD("[RFC9368 4] version_information that has 0", "\x11\x0c" V1 V1 "\0\0\0\0"),
        BAD("[RFC9000 7.4] version_information twice", "\x11\x04" V1 "\x11\x04" V1),
        BAD("[RFC9000 7.4] twice", "\x04\x01\x01\x04\x01\x01"),
        BAD("[RFC9000 7.4] twice, without a value", "\x0c\0\x0c\0"),
        BAD("length over the end", "\x04\x02\x01"),
        BAD("the largest length", "\x04" MAX_TEXT "\x01"),
        BAD("unknown, length over the end", "\x1b\x02\x01"),
        BAD("id alone", "\x04"),
        BAD("half an id", "\x40"),
#undef BAD
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_tparams got;
        memset(&got, 0x5a, sizeof(got));
        struct sp_tparams before = got;
        print_message("    %s\n", samples[i].why);
        assert_int_equal(read_exactly(samples[i].bytes, samples[i].size, SP_SERVER, &got),
                         SP_ERR_TRANSPORT_PARAMETER);
        assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
    }
}

/* [RFC9368 3, 4] A server may be about to give up the version that it has chosen. */
static void a_clients_versions_have_the_chosen_one(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        enum sp_err of_client;
    } samples[] = {
#define SAMPLE(text, err) {text, sizeof(text) - 1, err}
        SAMPLE("\x11\x0c" V1 V2 V1, SP_OK),
        SAMPLE("\x11\x10" V2 "\x0a\x1a\x2a\x3a" V2 V1, SP_OK),
        SAMPLE("\x11\x04" V1, SP_ERR_TRANSPORT_PARAMETER),
        SAMPLE("\x11\x08" V1 V2, SP_ERR_TRANSPORT_PARAMETER),
#undef SAMPLE
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_tparams got;
        assert_int_equal(read_exactly(samples[i].bytes, samples[i].size, SP_SERVER, &got), SP_OK);
        assert_int_equal(got.available_versions.size, samples[i].size - 6);
        assert_int_equal(read_exactly(samples[i].bytes, samples[i].size, SP_CLIENT, &got),
                         samples[i].of_client);
    }
}

/* [RFC9000 18.2] */
static void a_client_may_not_send_what_is_the_servers(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
    } samples[] = {
#define ONLY(text) {text, sizeof(text) - 1}
        ONLY("\x00\x04"
             "dcid"),
        ONLY("\x02\x10" TEN "abcdef"),
        ONLY("\x0d\x2a"
             "4444pp" TEN "abcdefpp\x01"
             "c" TEN "abcdef"),
        ONLY("\x10\0"),
#undef ONLY
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_tparams got;
        assert_int_equal(read_exactly(samples[i].bytes, samples[i].size, SP_SERVER, &got), SP_OK);
        assert_int_equal(read_exactly(samples[i].bytes, samples[i].size, SP_CLIENT, &got),
                         SP_ERR_TRANSPORT_PARAMETER);
    }
}

/* [RFC9000 18.2] What stands next to what is refused above. */
static void the_longest_and_shortest_cids_are_accepted(void **state)
{
    (void)state;
    static const char longest[] = "\x0d\x3d"
                                  "4444pp" TEN "abcdefpp\x14" TEN TEN TEN "abcdef"
                                  "\x0f\x14" TEN TEN;
    struct sp_tparams got;
    assert_int_equal(read_exactly(longest, sizeof(longest) - 1, SP_SERVER, &got), SP_OK);
    assert_int_equal(got.initial_scid.size, 20);
    assert_true(got.has_preferred_cid);
    assert_int_equal(got.preferred_cid.size, 20);
    assert_memory_equal(got.preferred_cid.bytes, TEN TEN, 20);
    assert_memory_equal(got.preferred_token, TEN "abcdef", SP_RESET_TOKEN_SIZE);
    assert_int_equal(got.preferred.v4.family, 4);
    assert_memory_equal(got.preferred.v4.ip, "4444\0\0\0\0\0\0\0\0\0\0\0\0", 16);
    assert_int_equal(got.preferred.v4.port, 0x7070);
    assert_int_equal(got.preferred.v6.family, 6);
    assert_memory_equal(got.preferred.v6.ip, TEN "abcdef", 16);
    assert_int_equal(got.preferred.v6.port, 0x7070);
    static const char none[] = {0x0f, 0};
    assert_int_equal(read_exactly(none, sizeof(none), SP_SERVER, &got), SP_OK);
    assert_true(got.has_initial_scid);
    assert_int_equal(got.initial_scid.size, 0);
    assert_false(got.has_preferred_cid);
}

/* [RFC9000 18.2] */
static void a_preferred_address_may_lack_a_family(void **state)
{
    (void)state;
    for (int i = 0; i < 4; i++) {
        struct sp_tparams want, got;
        uint8_t out[SP_TPARAMS_SIZE_MAX];
        sp_tparams_init(&want);
        want.has_preferred_cid = true;
        want.preferred_cid = sp_cid_of((const uint8_t *)TEN, 10);
        memcpy(want.preferred_token, "abcdefghijklmnop", SP_RESET_TOKEN_SIZE);
        if ((i & 1) != 0)
            want.preferred.v4 = (struct sp_addr){.ip = {192, 0, 2, 1}, .port = 443, .family = 4};
        if ((i & 2) != 0)
            want.preferred.v6 = (struct sp_addr){.ip = {0x20, 1}, .port = 4433, .family = 6};
        struct sb_writer w = sb_writer_of(out, sizeof(out));
        sp_tparams_write(&w, &want, 0);
        assert_false(w.failed);
        assert_int_equal(read_exactly((const char *)out, sb_writer_used(&w), SP_SERVER, &got),
                         SP_OK);
        assert_memory_equal(&got.preferred, &want.preferred, sizeof(want.preferred));
        assert_true(sp_cid_equal(&got.preferred_cid, &want.preferred_cid));
        assert_memory_equal(got.preferred_token, want.preferred_token, SP_RESET_TOKEN_SIZE);
    }
}

/* [ack-frequency 3] In microseconds the one, in milliseconds the other, in any order. */
static void a_min_ack_delay_above_the_longest_is_refused(void **state)
{
    (void)state;
#define MIN "\xc0\0\0\0\xff\x04\xde\x1b"
    static const struct {
        const char *bytes;
        size_t size;
        enum sp_err want;
    } samples[] = {
#define SAMPLE(text, want) {text, sizeof(text) - 1, want}
        SAMPLE(MIN "\x04\x80\0\x61\xa8", SP_OK), /* 25,000 us, and 25 ms by default */
        SAMPLE(MIN "\x04\x80\0\x61\xa9", SP_ERR_TRANSPORT_PARAMETER),
        SAMPLE(MIN "\x02\x47\xd0\x0b\x01\x02", SP_OK), /* 2,000 us, 2 ms */
        SAMPLE(MIN "\x02\x47\xd1\x0b\x01\x02", SP_ERR_TRANSPORT_PARAMETER),
        SAMPLE("\x0b\x01\x02" MIN "\x02\x47\xd1", SP_ERR_TRANSPORT_PARAMETER),
        SAMPLE(MIN "\x01\0\x0b\x01\0", SP_OK),
        SAMPLE(MIN "\x01\x01\x0b\x01\0", SP_ERR_TRANSPORT_PARAMETER),
#undef SAMPLE
    };
#undef MIN
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_tparams got;
        print_message("    sample %d\n", (int)i);
        for (enum sp_role role = SP_CLIENT; role <= SP_SERVER; role++)
            assert_int_equal(read_exactly(samples[i].bytes, samples[i].size, role, &got),
                             samples[i].want);
    }
}

/* [reliable-reset 3] Both numbers are written, and each is enough. */
static void resets_at_a_size_have_two_numbers(void **state)
{
    (void)state;
#define AT    "\x1d\0"
#define AT_07 "\xc0\x17\xf7\x58\x6d\x2c\xb5\x71\0"
    static const struct {
        const char *bytes;
        size_t size;
        bool want;
    } samples[] = {
        {"", 0, false},
        {AT, sizeof(AT) - 1, true},
        {AT_07, sizeof(AT_07) - 1, true},
        {AT AT_07, sizeof(AT AT_07) - 1, true},
        {AT_07 AT, sizeof(AT_07 AT) - 1, true},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_tparams got;
        assert_int_equal(read_exactly(samples[i].bytes, samples[i].size, SP_CLIENT, &got), SP_OK);
        assert_int_equal(got.reset_stream_at, samples[i].want);
    }
    struct sp_tparams params;
    sp_tparams_init(&params);
    params.reset_stream_at = true;
    uint8_t out[SP_TPARAMS_SIZE_MAX];
    assert_true(write_params(&params, 0, out) > sizeof(AT AT_07) - 1);
    assert_memory_equal(out, AT AT_07, sizeof(AT AT_07) - 1);
#undef AT
#undef AT_07
}

/* [RFC9000 7.4.2, 18.1] */
static void unknown_parameters_are_skipped(void **state)
{
    (void)state;
    static const char bytes[] = "\x1b\x03"
                                "abc"    /* reserved */
                                "\x12\0" /* one past those that we know */
                                "\xff\xff\xff\xff\xff\xff\xff\xff\x01z"
                                "\x1f\0\x21\x02\x45\xdc" /* beside max_datagram_frame_size */
                                "\x04\x01\x2a";
    struct sp_tparams got;
    assert_int_equal(read_exactly(bytes, sizeof(bytes) - 1, SP_CLIENT, &got), SP_OK);
    assert_int_equal(got.initial_max_data, 42);
}

static void written_parameters_are_read_back(void **state)
{
    (void)state;
    static const uint64_t greases[] = {0, 1, 8, 31, UINT32_MAX, SB_VARINT_MAX, UINT64_MAX};
    for (size_t i = 0; i < QT_COUNT(greases); i++) {
        struct sp_tparams want = all_params();
        uint8_t out[SP_TPARAMS_SIZE_MAX];
        size_t size = write_params(&want, greases[i], out);
        struct sp_tparams got;
        assert_int_equal(read_exactly((const char *)out, size, SP_SERVER, &got), SP_OK);
        assert_params_equal(&got, &want);
    }
}

/* [RFC9000 18.1] What is left when all has its default is one parameter of 31 * N + 27. */
static void defaults_are_not_written_but_grease_is(void **state)
{
    (void)state;
    struct sp_tparams params;
    sp_tparams_init(&params);
    for (uint64_t grease = 0; grease < 100; grease++) {
        uint8_t out[SP_TPARAMS_SIZE_MAX];
        size_t size = write_params(&params, grease * 0x0123456789abcdef, out);
        struct sb_reader r = sb_reader_of(out, size);
        assert_int_equal(sb_reader_varint(&r) % 31, 27);
        (void)sb_reader_take(&r, sb_reader_varint(&r));
        assert_false(r.failed);
        assert_int_equal(sb_reader_left(&r), 0);
    }
}

/* Cut at a border between two parameters the rest is valid, with fewer of them. */
static void truncated_parameters_are_refused(void **state)
{
    (void)state;
    struct sp_tparams params = all_params();
    uint8_t out[SP_TPARAMS_SIZE_MAX];
    size_t whole = write_params(&params, 0x123, out);
    size_t border = 0;
    for (size_t size = 0; size < whole; size++) {
        if (size > border) {
            struct sb_reader r = sb_reader_of(out, whole);
            (void)sb_reader_take(&r, border);
            (void)sb_reader_varint(&r);
            (void)sb_reader_take(&r, sb_reader_varint(&r));
            border = whole - sb_reader_left(&r);
        }
        struct sp_tparams got;
        assert_int_equal(read_exactly((const char *)out, size, SP_SERVER, &got),
                         size == border ? SP_OK : SP_ERR_TRANSPORT_PARAMETER);
    }
}

static void a_writer_without_room_fails(void **state)
{
    (void)state;
    struct sp_tparams params = all_params();
    uint8_t out[SP_TPARAMS_SIZE_MAX];
    size_t whole = write_params(&params, 1, out);
    for (size_t size = 0; size < whole; size++) {
        struct sb_writer w = sb_writer_of(out, size);
        sp_tparams_write(&w, &params, 1);
        assert_true(w.failed);
    }
}

/* [RFC9000 7.4.1] */
static void lower_limits_do_not_cover_remembered_ones(void **state)
{
    (void)state;
    static const struct {
        size_t at;
        bool counts;
    } rows[] = {
        {offsetof(struct sp_tparams, initial_max_data), true},
        {offsetof(struct sp_tparams, initial_max_stream_data_bidi_local), true},
        {offsetof(struct sp_tparams, initial_max_stream_data_bidi_remote), true},
        {offsetof(struct sp_tparams, initial_max_stream_data_uni), true},
        {offsetof(struct sp_tparams, initial_max_streams_bidi), true},
        {offsetof(struct sp_tparams, initial_max_streams_uni), true},
        {offsetof(struct sp_tparams, active_cid_limit), true},
        {offsetof(struct sp_tparams, max_idle_timeout_ms), false},
        {offsetof(struct sp_tparams, max_ack_delay_ms), false},
        {offsetof(struct sp_tparams, ack_delay_exponent), false},
    };
    struct sp_tparams remembered = all_params();
    assert_true(sp_tparams_cover(&remembered, &remembered));
    for (size_t i = 0; i < QT_COUNT(rows); i++) {
        struct sp_tparams now = remembered;
        uint64_t value;
        memcpy(&value, (char *)&now + rows[i].at, sizeof(value));
        value--;
        memcpy((char *)&now + rows[i].at, &value, sizeof(value));
        assert_int_equal(sp_tparams_cover(&now, &remembered), !rows[i].counts);
        assert_true(sp_tparams_cover(&remembered, &now));
    }
    /* [reliable-reset 3] The extension stays, whatever it was before. */
    struct sp_tparams now = remembered;
    now.reset_stream_at = false;
    remembered.reset_stream_at = true;
    assert_false(sp_tparams_cover(&now, &remembered));
    assert_true(sp_tparams_cover(&remembered, &now));
}

static void forbidden_values_of_ours_are_our_bugs(void **state)
{
    (void)state;
    uint8_t out[SP_TPARAMS_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    struct sp_tparams params = all_params();
    params.max_udp_payload_size = 1199;
    expect_assert_failure(sp_tparams_write(&w, &params, 0));
    params = all_params();
    params.active_cid_limit = 1;
    expect_assert_failure(sp_tparams_write(&w, &params, 0));
    params = all_params();
    params.max_ack_delay_ms = 1 << 14;
    expect_assert_failure(sp_tparams_write(&w, &params, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(absent_parameters_have_the_defaults),
        cmocka_unit_test(each_parameter_is_read_into_its_place),
        cmocka_unit_test(forbidden_parameters_are_refused),
        cmocka_unit_test(a_clients_versions_have_the_chosen_one),
        cmocka_unit_test(a_client_may_not_send_what_is_the_servers),
        cmocka_unit_test(the_longest_and_shortest_cids_are_accepted),
        cmocka_unit_test(a_preferred_address_may_lack_a_family),
        cmocka_unit_test(a_min_ack_delay_above_the_longest_is_refused),
        cmocka_unit_test(resets_at_a_size_have_two_numbers),
        cmocka_unit_test(unknown_parameters_are_skipped),
        cmocka_unit_test(written_parameters_are_read_back),
        cmocka_unit_test(defaults_are_not_written_but_grease_is),
        cmocka_unit_test(truncated_parameters_are_refused),
        cmocka_unit_test(a_writer_without_room_fails),
        cmocka_unit_test(lower_limits_do_not_cover_remembered_ones),
        cmocka_unit_test(forbidden_values_of_ours_are_our_bugs),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
