/* SPDX-License-Identifier: MIT */
/* Packet headers: RFC 9000, Sections 17.2 and 17.3; RFC 8999, Sections 5 and 6. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "proto/wire/header.h"
#include "test/support/packet_samples.h"

#define V1  "\0\0\0\1"
#define TEN "0123456789"

/* Reads from a heap block of exactly that size, so that a sanitizer sees any step past it. */
static bool read_exactly(const uint8_t *bytes, size_t size, uint8_t cid_size, struct sp_header *ret)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    assert_non_null(copy);
    memcpy(copy, bytes, size);
    struct sp_header unused;
    bool was_read = sp_header_read(copy, size, cid_size, &unused);
    free(copy);
    if (was_read)
        assert_true(sp_header_read(bytes, size, cid_size, ret)); /* with pointers that last */
    return was_read;
}

static void assert_bytes_equal(struct sb_bytes got, struct sb_bytes want)
{
    assert_int_equal(got.size, want.size);
    if (want.size > 0)
        assert_memory_equal(got.data, want.data, want.size);
}

static void assert_header_equal(const struct sp_header *got, const struct sp_header *want)
{
    assert_int_equal(got->type, want->type);
    assert_int_equal(got->first, want->first);
    assert_int_equal(got->version, want->version);
    assert_true(sp_cid_equal(&got->dcid, &want->dcid));
    assert_true(sp_cid_equal(&got->scid, &want->scid));
    assert_bytes_equal(got->raw_dcid, want->raw_dcid);
    assert_bytes_equal(got->raw_scid, want->raw_scid);
    assert_bytes_equal(got->token, want->token);
    assert_bytes_equal(got->versions, want->versions);
    assert_int_equal(got->pn_offset, want->pn_offset);
    assert_int_equal(got->size, want->size);
}

static void good_headers_are_read_in_full(void **state)
{
    (void)state;
    for (size_t i = 0; i < packet_sample_count; i++) {
        const struct packet_sample *s = &packet_samples[i];
        struct sp_header got;
        print_message("    %s\n", s->name);
        assert_true(read_exactly(s->bytes, s->size, PACKET_SAMPLE_CID_SIZE, &got));
        assert_header_equal(&got, &s->want);
    }
}

/* [RFC9001 5.4.2] Where the end of a packet is told by its length or by the datagram, what is
 * cut is refused: it is too short for the sample, or ends before its length does. */
static void truncated_headers_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < packet_sample_count; i++) {
        const struct packet_sample *s = &packet_samples[i];
        for (size_t size = 0; size < s->size; size++) {
            struct sp_header got;
            memset(&got, 0x5a, sizeof(got));
            struct sp_header before = got;
            bool was_read = read_exactly(s->bytes, size, PACKET_SAMPLE_CID_SIZE, &got);
            if (!was_read) {
                assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
                continue;
            }
            /* Only these have no end of their own, or had more behind it. */
            switch (s->want.type) {
            case SP_PACKET_RETRY:
                assert_int_equal(got.token.size, s->want.token.size - (s->size - size));
                assert_true(got.token.size > 0);
                break;
            case SP_PACKET_VERSION_NEGOTIATION:
                assert_int_equal(got.versions.size % 4, 0);
                assert_true(got.versions.size > 0);
                break;
            case SP_PACKET_UNKNOWN_VERSION:
                assert_true(size >= 7 + got.raw_dcid.size + got.raw_scid.size);
                break;
            case SP_PACKET_ONE_RTT:
                assert_true(size >= 1 + PACKET_SAMPLE_CID_SIZE + 20);
                break;
            default:
                assert_true(size >= s->want.size);
            }
        }
    }
}

static void forbidden_headers_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *why;
        const char *bytes;
        size_t size;
    } samples[] = {
#define BAD(why, text) {why, text, sizeof(text) - 1}
        BAD("[RFC9000 17.2] dcid of 21", "\xc0" V1 "\x15" TEN TEN "x\0\0\x14" TEN TEN),
        BAD("[RFC9000 17.2] scid of 21", "\xc0" V1 "\0\x15" TEN TEN "x\0\x14" TEN TEN),
        BAD("[RFC9001 5.4.2] long, no whole sample", "\xe0" V1 "\0\0\x13" TEN TEN),
        BAD("[RFC9001 5.4.2] initial, length 0", "\xc0" V1 "\0\0\0\0" TEN TEN),
        BAD("[RFC9001 5.4.2] short, no whole sample", "\x40"
                                                      "dcid" TEN "abcdefghi"),
        BAD("length over the end", "\xe0" V1 "\0\0\x15" TEN TEN),
        BAD("the largest length", "\xe0" V1 "\0\0\xff\xff\xff\xff\xff\xff\xff\xff" TEN TEN),
        BAD("token over the end", "\xc0" V1 "\0\0\x20\x14" TEN TEN),
        BAD("the largest token", "\xc0" V1 "\0\0\xff\xff\xff\xff\xff\xff\xff\xff" TEN TEN),
        BAD("[RFC9000 17.2.5.2] retry, empty token", "\xf0" V1 "\0\0" TEN "abcdef"),
        BAD("[RFC8999 6] no version listed", "\x80\0\0\0\0\0\0"),
        BAD("[RFC8999 6] half a version listed", "\x80\0\0\0\0\0\0\0\0\0\1\0\0"),
        BAD("unknown version, cid over the end", "\xc0\x1a\x2a\x3a\x4a\xff" TEN TEN),
        BAD("empty", ""),
#undef BAD
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct sp_header got;
        print_message("    %s\n", samples[i].why);
        assert_false(read_exactly((const uint8_t *)samples[i].bytes, samples[i].size,
                                  PACKET_SAMPLE_CID_SIZE, &got));
    }
}

/* [RFC9000 5.1] Short headers have no length of the CID: it is ours. */
/* [RFC9287 3] Whether it is allowed is for the connection to say. */
static void the_fixed_bit_changes_nothing(void **state)
{
    (void)state;
    for (size_t i = 0; i < packet_sample_count; i++) {
        const struct packet_sample *sample = &packet_samples[i];
        uint8_t bytes[128];
        struct sp_header got;
        memcpy(bytes, sample->bytes, sample->size);
        bytes[0] ^= SP_HEADER_FIXED;
        assert_true(read_exactly(bytes, sample->size, 4, &got));
        assert_int_equal(got.type, sample->want.type);
        assert_int_equal(got.first, sample->want.first ^ SP_HEADER_FIXED);
        assert_int_equal(got.pn_offset, sample->want.pn_offset);
    }
}

static void a_short_header_is_cut_by_our_cid_size(void **state)
{
    (void)state;
    static const uint8_t bytes[1 + 20 + 20] = {0x40, 1, 2, 3};
    for (uint8_t cid_size = 0; cid_size <= SP_CID_SIZE_MAX; cid_size++) {
        struct sp_header got;
        size_t least = 1 + (size_t)cid_size + 20;
        assert_true(read_exactly(bytes, least, cid_size, &got));
        assert_int_equal(got.dcid.size, cid_size);
        assert_memory_equal(got.dcid.bytes, bytes + 1, cid_size);
        assert_int_equal(got.pn_offset, 1 + cid_size);
        assert_false(read_exactly(bytes, least - 1, cid_size, &got));
    }
    struct sp_header got;
    expect_assert_failure(assert_false(sp_header_read(bytes, sizeof(bytes), 21, &got)));
}

static struct sp_cid cid_of_size(uint8_t size)
{
    static const uint8_t bytes[SP_CID_SIZE_MAX] = TEN TEN;
    return sp_cid_of(bytes, size);
}

static void written_long_headers_are_read_back(void **state)
{
    (void)state;
    static const uint8_t token[200] = "token";
    static const uint8_t cid_sizes[] = {0, 1, 8, 20};
    static const size_t token_sizes[] = {0, 1, 63, 64, 200};
    for (unsigned n = 0; n < 3 * 4 * 4 * 4 * 5 * 2; n++) {
        struct sp_long_header h = {
            .version = n < 3 * 4 * 4 * 4 * 5 ? SP_VERSION_1 : SP_VERSION_2,
            .type = (enum sp_packet_type)(n % 3),
            .dcid = cid_of_size(cid_sizes[n / 3 % 4]),
            .scid = cid_of_size(cid_sizes[n / 12 % 4]),
            .pn = 0x1122334455667788,
            .pn_size = 1 + n / 48 % 4,
        };
        if (h.type == SP_PACKET_INITIAL)
            h.token = (struct sb_bytes){.data = token, .size = token_sizes[n / 192 % 5]};

        uint8_t out[512];
        struct sb_writer w = sb_writer_of(out, sizeof(out));
        uint8_t *length_at = NULL;
        uint8_t *pn_at = NULL;
        sp_header_write_long(&w, &h, &length_at, &pn_at);
        assert_false(w.failed);
        size_t size = sb_writer_used(&w);
        assert_int_equal(size, sp_header_long_size(&h));
        assert_ptr_equal(pn_at + h.pn_size, out + size);
        assert_int_equal(sp_pn_read(pn_at, h.pn_size),
                         (uint32_t)h.pn & UINT32_MAX >> (32 - 8 * h.pn_size));

        /* [RFC9000 17.2] The payload counts, and the packet number with it. */
        size_t payload_size = 24;
        sp_header_set_length(length_at, h.pn_size + payload_size);
        struct sp_header got;
        assert_true(sp_header_read(out, size + payload_size + 3, 0, &got));
        assert_int_equal(got.type, h.type);
        assert_int_equal(got.first & SP_HEADER_LONG_RESERVED, 0);
        assert_int_equal((got.first & SP_HEADER_PN_SIZE) + 1, h.pn_size);
        assert_int_equal(got.version, h.version);
        assert_true(sp_cid_equal(&got.dcid, &h.dcid));
        assert_true(sp_cid_equal(&got.scid, &h.scid));
        assert_bytes_equal(got.token, h.token);
        assert_ptr_equal(out + got.pn_offset, pn_at);
        assert_int_equal(got.size, size + payload_size);

        for (size_t room = 0; room < size; room++) {
            uint8_t *no_length_at = NULL;
            uint8_t *no_pn_at = NULL;
            w = sb_writer_of(out, room);
            sp_header_write_long(&w, &h, &no_length_at, &no_pn_at);
            assert_true(w.failed);
            assert_null(no_length_at);
            assert_null(no_pn_at);
        }
    }
}

static void written_short_headers_are_read_back(void **state)
{
    (void)state;
    for (unsigned n = 0; n < 21 * 4 * 2 * 2; n++) {
        struct sp_cid dcid = cid_of_size((uint8_t)(n % 21));
        struct sp_short_header h = {
            .dcid = &dcid,
            .pn = 0xa1b2c3d4,
            .pn_size = 1 + n / 21 % 4,
            .spin = n / 84 % 2 != 0,
            .key_phase = n / 168 % 2 != 0,
        };
        uint8_t out[64] = {0};
        struct sb_writer w = sb_writer_of(out, sizeof(out));
        uint8_t *pn_at = NULL;
        sp_header_write_short(&w, &h, &pn_at);
        assert_false(w.failed);
        assert_int_equal(sb_writer_used(&w), sp_header_short_size(&h));
        assert_int_equal(out[0],
                         0x40 | (h.spin ? 0x20 : 0) | (h.key_phase ? 0x04 : 0) | (h.pn_size - 1));

        struct sp_header got;
        assert_true(sp_header_read(out, sizeof(out), dcid.size, &got));
        assert_int_equal(got.type, SP_PACKET_ONE_RTT);
        assert_true(sp_cid_equal(&got.dcid, &dcid));
        assert_ptr_equal(out + got.pn_offset, pn_at);

        for (size_t room = 0; room < sp_header_short_size(&h); room++) {
            uint8_t *no_pn_at = NULL;
            w = sb_writer_of(out, room);
            sp_header_write_short(&w, &h, &no_pn_at);
            assert_true(w.failed);
            assert_null(no_pn_at);
        }
    }
}

/* [RFC9001 A.2, A.3, A.5] Headers before and after protection, with the masks given there. */
static void protection_is_that_of_the_samples(void **state)
{
    (void)state;
    static const struct {
        uint8_t plain[5];
        uint8_t masked[5];
        uint8_t mask[SP_MASK_SIZE];
        uint32_t pn_size;
    } samples[] = {
        {{0xc3, 0x00, 0x00, 0x00, 0x02},
         {0xc0, 0x7b, 0x9a, 0xec, 0x34},
         {0x43, 0x7b, 0x9a, 0xec, 0x36},
         4},
        {{0xc1, 0x00, 0x01}, {0xcf, 0xc0, 0xd9}, {0x2e, 0xc0, 0xd8, 0x35, 0x6a}, 2},
        {{0x42, 0x00, 0xbf, 0xf4}, {0x4c, 0xfe, 0x41, 0x89}, {0xae, 0xfe, 0xfe, 0x7d, 0x03}, 3},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        uint8_t packet[5];
        memcpy(packet, samples[i].plain, sizeof(packet));
        sp_header_mask(&packet[0], &packet[1], samples[i].pn_size, samples[i].mask);
        assert_memory_equal(packet, samples[i].masked, sizeof(packet));
        assert_int_equal(sp_header_unmask(&packet[0], &packet[1], samples[i].mask),
                         samples[i].pn_size);
        assert_memory_equal(packet, samples[i].plain, sizeof(packet));
    }
}

/* [RFC9001 5.4.1] */
static void protection_covers_its_bits_only(void **state)
{
    (void)state;
    static const uint8_t mask[SP_MASK_SIZE] = {0xff, 0xff, 0xff, 0xff, 0xff};
    for (unsigned first = 0; first <= 0xff; first++) {
        uint8_t byte = (uint8_t)first;
        sp_header_mask(&byte, NULL, 0, mask);
        assert_int_equal(byte ^ first, (first & 0x80) != 0 ? 0x0f : 0x1f);
    }
}

/* [RFC9000 17.2.1] */
static void version_negotiation_is_read_back(void **state)
{
    (void)state;
    static const uint8_t long_cid[255] = TEN;
    static const uint32_t versions[] = {SP_VERSION_1, 0x1a2a3a4a};
    struct sb_bytes dcid = {.data = long_cid, .size = sizeof(long_cid)};
    struct sb_bytes scid = {.data = long_cid, .size = 0};
    uint8_t out[300];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sp_header_write_version_negotiation(&w, 0x15, dcid, scid, versions, 2);
    assert_false(w.failed);
    assert_int_equal(out[0], 0xd5);

    struct sp_header got;
    assert_true(sp_header_read(out, sb_writer_used(&w), 8, &got));
    assert_int_equal(got.type, SP_PACKET_VERSION_NEGOTIATION);
    assert_bytes_equal(got.raw_dcid, dcid);
    assert_bytes_equal(got.raw_scid, scid);
    assert_int_equal(got.versions.size, 8);
    assert_memory_equal(got.versions.data, "\0\0\0\1\x1a\x2a\x3a\x4a", 8);
    expect_assert_failure(sp_header_write_version_negotiation(&w, 0, dcid, scid, versions, 0));
}

static void impossible_headers_are_our_bugs(void **state)
{
    (void)state;
    uint8_t out[100];
    uint8_t *at;
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    struct sp_long_header h = {.version = SP_VERSION_1, .type = SP_PACKET_RETRY, .pn_size = 1};
    expect_assert_failure(sp_header_write_long(&w, &h, &at, &at));
    h = (struct sp_long_header){.version = SP_VERSION_1, .type = SP_PACKET_INITIAL, .pn_size = 5};
    expect_assert_failure(sp_header_write_long(&w, &h, &at, &at));
    h = (struct sp_long_header){.version = SP_VERSION_1, .type = SP_PACKET_INITIAL, .pn_size = 0};
    expect_assert_failure(sp_header_write_long(&w, &h, &at, &at));
    h = (struct sp_long_header){
        .version = SP_VERSION_1, .type = SP_PACKET_HANDSHAKE, .pn_size = 1, .token.size = 1};
    expect_assert_failure(sp_header_write_long(&w, &h, &at, &at));
    expect_assert_failure(sp_header_set_length(out, 1 << 14)); /* [RFC9000 16] */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(good_headers_are_read_in_full),
        cmocka_unit_test(truncated_headers_are_refused),
        cmocka_unit_test(forbidden_headers_are_refused),
        cmocka_unit_test(the_fixed_bit_changes_nothing),
        cmocka_unit_test(a_short_header_is_cut_by_our_cid_size),
        cmocka_unit_test(written_long_headers_are_read_back),
        cmocka_unit_test(written_short_headers_are_read_back),
        cmocka_unit_test(protection_is_that_of_the_samples),
        cmocka_unit_test(protection_covers_its_bits_only),
        cmocka_unit_test(version_negotiation_is_read_back),
        cmocka_unit_test(impossible_headers_are_our_bugs),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
