/* SPDX-License-Identifier: MIT */
/* Datagrams without a connection: RFC 9000, Sections 5.2.2, 6 and 10.3; RFC 8999, Section 5. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "proto/wire/stateless.h"
#include "test/support/packet_samples.h"

#define V1  "\0\0\0\1"
#define V2  "\x6b\x33\x43\xcf"
#define TEN "0123456789"

static bool peek_exactly(const uint8_t *bytes, size_t size, struct sp_peek *ret)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct sp_peek unused;
    bool was_read = sp_peek_read(copy, size, PACKET_SAMPLE_CID_SIZE, &unused);
    free(copy);
    if (was_read)
        assert_true(sp_peek_read(bytes, size, PACKET_SAMPLE_CID_SIZE, ret));
    return was_read;
}

static void assert_bytes_equal(struct sb_bytes got, struct sb_bytes want)
{
    assert_int_equal(got.size, want.size);
    if (want.size > 0)
        assert_memory_equal(got.data, want.data, want.size);
}

static void a_peek_agrees_with_the_header(void **state)
{
    (void)state;
    for (size_t i = 0; i < packet_sample_count; i++) {
        const struct packet_sample *s = &packet_samples[i];
        struct sp_peek got;
        assert_true(peek_exactly(s->bytes, s->size, &got));
        assert_int_equal(got.is_long, s->want.type != SP_PACKET_ONE_RTT);
        if (got.is_long) {
            assert_int_equal(got.version, s->want.version);
            assert_bytes_equal(got.dcid, s->want.raw_dcid);
            assert_bytes_equal(got.scid, s->want.raw_scid);
        } else {
            assert_int_equal(got.dcid.size, s->want.dcid.size);
            assert_memory_equal(got.dcid.data, s->want.dcid.bytes, got.dcid.size);
            assert_int_equal(got.scid.size, 0);
        }
    }
}

/* [RFC8999 5.1, 5.2] A peek ends with the CIDs. */
static void a_truncated_peek_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < packet_sample_count; i++) {
        const struct packet_sample *s = &packet_samples[i];
        bool is_long = s->want.type != SP_PACKET_ONE_RTT;
        size_t needed = is_long ? 7 + s->want.raw_dcid.size + s->want.raw_scid.size
                                : 1 + (size_t)PACKET_SAMPLE_CID_SIZE;
        for (size_t size = 0; size < s->size; size++) {
            struct sp_peek got;
            memset(&got, 0x5a, sizeof(got));
            struct sp_peek before = got;
            assert_int_equal(peek_exactly(s->bytes, size, &got), size >= needed);
            if (size < needed)
                assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
        }
    }
}

static const struct sp_versions both = {.count = 2, .list = {SP_VERSION_1, SP_VERSION_2}};
static const struct sp_versions only_1 = {.count = 1, .list = {SP_VERSION_1}};

static enum sp_unmatched judge(const char *head, size_t head_size, size_t size)
{
    uint8_t *datagram = calloc(1, size);
    assert_non_null(datagram);
    assert_true(head_size <= size);
    memcpy(datagram, head, head_size);
    struct sp_peek peek;
    assert_true(sp_peek_read(datagram, size, 8, &peek));
    enum sp_unmatched verdict = sp_unmatched_classify(datagram, size, &peek, &only_1);
    free(datagram);
    return verdict;
}

static void strangers_are_judged_by_the_rules(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *head;
        size_t head_size;
        size_t size;
        enum sp_unmatched want;
    } samples[] = {
#define SAMPLE(why, head, size, want) {why, head, sizeof(head) - 1, size, SP_UNMATCHED_##want}
        SAMPLE("an Initial",
               "\xc0" V1 "\x08"
               "12345678\0\0\x44\x9e",
               1200, ACCEPT),
        SAMPLE("[RFC9000 14.1] in a small datagram",
               "\xc0" V1 "\x08"
               "12345678\0\0\x44\x9d",
               1199, DROP),
        SAMPLE("[RFC9000 7.2] a short dcid",
               "\xc0" V1 "\x07"
               "1234567\0\0\x44\x9e",
               1200, DROP),
        SAMPLE("[RFC9000 17.2] no fixed bit",
               "\x80" V1 "\x08"
               "12345678\0\0\x44\x9e",
               1200, DROP),
        SAMPLE("length over the end",
               "\xc0" V1 "\x08"
               "12345678\0\0\x44\x9f",
               1200, DROP),
        SAMPLE("[RFC9000 5.2.2] 0-RTT",
               "\xd0" V1 "\x08"
               "12345678\0\x44\x9f",
               1200, DROP),
        SAMPLE("[RFC9000 5.2.2] Handshake",
               "\xe0" V1 "\x08"
               "12345678\0\x44\x9f",
               1200, DROP),
        SAMPLE("[RFC9000 5.2.2] Retry",
               "\xf0" V1 "\x08"
               "12345678\0\x44\x9f",
               1200, DROP),
        SAMPLE("[RFC9000 6.1] version 2",
               "\xc0" V2 "\x08"
               "12345678\0",
               1200, NEGOTIATE),
        SAMPLE("[RFC9000 6.1] a reserved version",
               "\x80\x1a\x2a\x3a\x4a\x01"
               "1\0",
               1200, NEGOTIATE),
        SAMPLE("[RFC9000 17.2.1] a long CID", "\x80" V2 "\x15" TEN TEN "x\0", 1200, NEGOTIATE),
        SAMPLE("[RFC9000 5.2.2] a small unknown one",
               "\xc0" V2 "\x08"
               "12345678\0",
               1199, DROP),
        SAMPLE("[RFC9000 6.1] Version Negotiation",
               "\xc0\0\0\0\0\x08"
               "12345678\0",
               1200, DROP),
        SAMPLE("[RFC9000 10.3] a short header",
               "\x40"
               "12345678",
               100, RESET),
        SAMPLE("[RFC9000 10.3.3] the smallest that is answered",
               "\x40"
               "12345678",
               22, RESET),
        SAMPLE("[RFC9000 10.3.3] an answer would be too small",
               "\x40"
               "12345678",
               21, DROP),
        SAMPLE("[RFC9000 17.3.1] short, no fixed bit",
               "\x3f"
               "12345678",
               100, DROP),
#undef SAMPLE
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        print_message("    %s\n", samples[i].why);
        assert_int_equal(judge(samples[i].head, samples[i].head_size, samples[i].size),
                         samples[i].want);
    }
}

/* The versions that a Version Negotiation in `datagram` lists. */
static struct sp_header negotiation_for(const struct sp_peek *peek,
                                        const struct sp_versions *versions, const uint8_t *random,
                                        uint8_t out[SP_NEGOTIATION_SIZE_MAX])
{
    struct sb_writer w = sb_writer_of(out, SP_NEGOTIATION_SIZE_MAX);
    sp_negotiation_write(&w, peek, versions, random);
    assert_false(w.failed);
    struct sp_header header;
    assert_true(sp_header_read(out, sb_writer_used(&w), 8, &header));
    assert_int_equal(header.type, SP_PACKET_VERSION_NEGOTIATION);
    return header;
}

/* [RFC9000 6.1, 17.2.1] */
#define R_0 "\x1a\x3a\x5a\x7a"

static void negotiation_swaps_the_cids_and_lists_our_versions(void **state)
{
    (void)state;
    static const uint8_t cids[2][255] = {{1, 2, 3}, {4, 5, 6}};
    struct sp_peek peek = {
        .is_long = true,
        .version = 0x709a50c4,
        .dcid = {.data = cids[0], .size = sizeof(cids[0])},
        .scid = {.data = cids[1], .size = sizeof(cids[1])},
    };
    static const char *const orders[] = {R_0 V1 V2, V1 R_0 V2, V1 V2 R_0};
    for (unsigned order = 0; order < QT_COUNT(orders); order++) {
        uint8_t random[SP_NEGOTIATION_RANDOM_SIZE] = {0x2f, (uint8_t)order, 0x12, 0x34, 0x56, 0x78};
        uint8_t out[SP_NEGOTIATION_SIZE_MAX];
        struct sp_header header = negotiation_for(&peek, &both, random, out);
        assert_int_equal(header.size, SP_NEGOTIATION_SIZE_MAX);
        assert_bytes_equal(header.raw_dcid, peek.scid);
        assert_bytes_equal(header.raw_scid, peek.dcid);
        assert_int_equal(header.first, 0xef);
        assert_int_equal(header.versions.size, 12);
        assert_memory_equal(header.versions.data, orders[order], 12);

        for (size_t size = 0; size < SP_NEGOTIATION_SIZE_MAX; size++) {
            struct sb_writer w = sb_writer_of(out, size);
            sp_negotiation_write(&w, &peek, &both, random);
            assert_true(w.failed);
        }
    }
}

/* [RFC9000 6.2] Else a client that asks for it on purpose would not be refused. */
static void negotiation_never_lists_the_version_it_refuses(void **state)
{
    (void)state;
    struct sp_peek peek = {.is_long = true, .version = 0x1a3a5a7a};
    static const uint8_t random[SP_NEGOTIATION_RANDOM_SIZE] = {0, 1, 0x1f, 0x3f, 0x5f, 0x7f};
    uint8_t out[SP_NEGOTIATION_SIZE_MAX];
    struct sp_header header = negotiation_for(&peek, &only_1, random, out);
    struct sp_cid none = {0};
    assert_true(sp_negotiation_is_refusal(&header, peek.version, &none, &none));
    assert_true(SP_VERSION_IS_GREASE(sb_load_u32(header.versions.data + 4)));
}

static void negotiation_of_what_we_speak_is_our_bug(void **state)
{
    (void)state;
    static const uint8_t random[SP_NEGOTIATION_RANDOM_SIZE];
    uint8_t out[SP_NEGOTIATION_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    struct sp_peek peek = {.is_long = true, .version = SP_VERSION_1};
    expect_assert_failure(sp_negotiation_write(&w, &peek, &both, random));
    peek.version = 0; /* [RFC9000 6.1] */
    expect_assert_failure(sp_negotiation_write(&w, &peek, &both, random));
    peek = (struct sp_peek){.is_long = false, .version = 2};
    expect_assert_failure(sp_negotiation_write(&w, &peek, &both, random));
}

/* [RFC9000 6.2, 17.2.1] */
static void only_the_answer_to_our_packet_refuses_us(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *bytes;
        size_t size;
        bool want;
    } samples[] = {
#define SAMPLE(why, text, want) {why, text, sizeof(text) - 1, want}
        SAMPLE("another version",
               "\x80\0\0\0\0\x04"
               "mine\x06"
               "theirs" V2,
               true),
        SAMPLE("our version",
               "\x80\0\0\0\0\x04"
               "mine\x06"
               "theirs" V1,
               false),
        SAMPLE("ours behind others",
               "\x80\0\0\0\0\x04"
               "mine\x06"
               "theirs" V2 "\x1a\x1a\x1a\x1a" V1,
               false),
        SAMPLE("another dcid",
               "\x80\0\0\0\0\x04"
               "mind\x06"
               "theirs" V2,
               false),
        SAMPLE("another scid",
               "\x80\0\0\0\0\x04"
               "mine\x06"
               "theirx" V2,
               false),
        SAMPLE("a part of our dcid",
               "\x80\0\0\0\0\x04"
               "mine\x05"
               "their" V2,
               false),
        SAMPLE("the CIDs not swapped",
               "\x80\0\0\0\0\x06"
               "theirs\x04"
               "mine" V2,
               false),
        SAMPLE("no CIDs", "\x80\0\0\0\0\0\0" V2, false),
#undef SAMPLE
    };
    struct sp_cid dcid = sp_cid_of((const uint8_t *)"theirs", 6);
    struct sp_cid scid = sp_cid_of((const uint8_t *)"mine", 4);
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_header header;
        print_message("    %s\n", samples[i].why);
        assert_true(sp_header_read((const uint8_t *)samples[i].bytes, samples[i].size, 4, &header));
        assert_int_equal(sp_negotiation_is_refusal(&header, SP_VERSION_1, &dcid, &scid),
                         samples[i].want);
    }
}

static size_t write_reset(size_t trigger_size, const uint8_t *random,
                          uint8_t out[SP_RESET_SIZE_MAX])
{
    struct sb_writer w = sb_writer_of(out, SP_RESET_SIZE_MAX);
    sp_reset_write(&w, trigger_size, (const uint8_t *)"the-token-of-16b", random);
    assert_false(w.failed);
    return sb_writer_used(&w);
}

/* [RFC9000 10.3, 10.3.3] */
static void a_reset_is_smaller_than_its_trigger(void **state)
{
    (void)state;
    for (size_t trigger_size = 22; trigger_size < 100; trigger_size++) {
        bool is_size_seen[SP_RESET_SIZE_MAX + 1] = {false};
        for (unsigned n = 0; n < 256; n++) {
            uint8_t random[SP_RESET_RANDOM_SIZE];
            for (size_t i = 0; i < sizeof(random); i++)
                random[i] = (uint8_t)(n + i * 7);
            uint8_t out[SP_RESET_SIZE_MAX];
            size_t size = write_reset(trigger_size, random, out);
            assert_true(size < trigger_size && size >= 21);
            if (trigger_size <= 43)
                assert_int_equal(size, trigger_size - 1);
            else
                assert_true(size >= 41); /* not to be told from a packet */
            is_size_seen[size] = true;

            assert_int_equal(out[0] & 0xc0, 0x40);
            assert_int_equal(out[0] & 0x3f, random[1] & 0x3f);
            assert_memory_equal(out + 1, random + 2, size - 17);
            assert_memory_equal(sp_reset_token_in(out, size), "the-token-of-16b", 16);

            /* Its peer takes it for a short header packet. */
            struct sp_header header;
            assert_true(sp_header_read(out, size, 0, &header));
            assert_int_equal(header.type, SP_PACKET_ONE_RTT);
        }
        for (size_t size = 43; trigger_size > 50 && size <= SP_RESET_SIZE_MAX; size++)
            assert_true(is_size_seen[size]);
    }
}

/* [RFC9000 10.3.3] */
static void resets_that_answer_each_other_come_to_an_end(void **state)
{
    (void)state;
    static const uint8_t random[SP_RESET_RANDOM_SIZE] = {0xff, 0xff};
    uint8_t out[SP_RESET_SIZE_MAX];
    size_t size = 1500;
    unsigned count = 0;
    memset(out, 0x40, sizeof(out));
    struct sp_peek peek = {.is_long = false};
    while (sp_unmatched_classify(out, size, &peek, &both) == SP_UNMATCHED_RESET) {
        size = write_reset(size, random, out);
        assert_true(++count < 100);
    }
    assert_int_equal(size, SP_RESET_SIZE_MIN);
}

static void a_reset_of_what_is_too_small_is_our_bug(void **state)
{
    (void)state;
    static const uint8_t random[SP_RESET_RANDOM_SIZE];
    uint8_t out[SP_RESET_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    expect_assert_failure(sp_reset_write(&w, 21, random, random));
}

/* [RFC9000 10.3.1] */
static void the_token_is_what_ends_the_datagram(void **state)
{
    (void)state;
    static const uint8_t datagram[64];
    for (size_t size = 0; size < sizeof(datagram); size++) {
        const uint8_t *token = sp_reset_token_in(datagram, size);
        if (size < 21)
            assert_null(token);
        else
            assert_ptr_equal(token, datagram + size - 16);
    }
}

/* [RFC9000 17.2.5] */
static void a_retry_sends_back_the_clients_cid_and_is_small(void **state)
{
    (void)state;
    static const uint8_t token[SP_RETRY_TOKEN_SIZE_MAX] = "token";
    static const size_t sizes[] = {1, 84, SP_RETRY_TOKEN_SIZE_MAX};
    const struct sp_cid scid = sp_cid_of((const uint8_t *)"ourchoice", 9);
    for (size_t i = 0; i < QT_COUNT(sizes) * (SP_CID_SIZE_MAX + 1u); i++) {
        size_t token_size = sizes[i % QT_COUNT(sizes)];
        const struct sp_peek initial = {
            .is_long = true,
            .version = SP_VERSION_1,
            .dcid = {(const uint8_t *)"theirchoice", 11},
            .scid = {(const uint8_t *)TEN TEN, i / QT_COUNT(sizes)},
        };
        uint8_t out[SP_RETRY_SIZE_MAX];
        struct sb_writer w = sb_writer_of(out, sizeof(out));
        sp_retry_write(&w, &initial, &scid, (struct sb_bytes){token, token_size}, (uint8_t)i);
        (void)sb_writer_room(&w, SP_TAG_SIZE);
        assert_false(w.failed);
        struct sp_header header;
        assert_true(sp_header_read(out, sb_writer_used(&w), 8, &header));
        assert_int_equal(header.type, SP_PACKET_RETRY);
        assert_bytes_equal(header.raw_dcid, initial.scid);
        assert_true(sp_cid_equal(&header.scid, &scid));
        assert_bytes_equal(header.token, (struct sb_bytes){token, token_size});
    }
}

/* [RFC9000 17.2.5.1] */
static void a_retry_with_the_clients_own_choice_is_our_bug(void **state)
{
    (void)state;
    const struct sp_cid scid = sp_cid_of((const uint8_t *)"theirchoice", 11);
    const struct sp_peek initial = {
        .is_long = true, .version = SP_VERSION_1, .dcid = {scid.bytes, scid.size}};
    uint8_t out[SP_RETRY_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    const struct sb_bytes token = {(const uint8_t *)"t", 1};
    expect_assert_failure(sp_retry_write(&w, &initial, &scid, token, 0));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_peek_agrees_with_the_header),
        cmocka_unit_test(a_truncated_peek_is_refused),
        cmocka_unit_test(strangers_are_judged_by_the_rules),
        cmocka_unit_test(negotiation_swaps_the_cids_and_lists_our_versions),
        cmocka_unit_test(negotiation_never_lists_the_version_it_refuses),
        cmocka_unit_test(negotiation_of_what_we_speak_is_our_bug),
        cmocka_unit_test(only_the_answer_to_our_packet_refuses_us),
        cmocka_unit_test(a_reset_is_smaller_than_its_trigger),
        cmocka_unit_test(resets_that_answer_each_other_come_to_an_end),
        cmocka_unit_test(a_reset_of_what_is_too_small_is_our_bug),
        cmocka_unit_test(the_token_is_what_ends_the_datagram),
        cmocka_unit_test(a_retry_sends_back_the_clients_cid_and_is_small),
        cmocka_unit_test(a_retry_with_the_clients_own_choice_is_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
