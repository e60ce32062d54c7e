/* SPDX-License-Identifier: MIT */
/* Control streams of HTTP/3 become whole frames, wherever their bytes are cut. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include "tools/spate/http3/control.h"
#include "tools/spate/http3/varint.h"

enum { OUT_MAX = 1 << 16, PIECES_MAX = 8192 };

#define PRIORITY_UPDATE 0xf0700

/* What came out. */
static struct out {
    uint8_t bytes[OUT_MAX];
    size_t size;
    size_t ends[PIECES_MAX]; /* of the pieces */
    size_t count;
    enum control_result result; /* the last one */
} out;

/* Feeds a copy without a byte behind it, so that a sanitizer sees who reads too far. */
static void feed(struct control *control, const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size > 0 ? size : 1);
    const uint8_t *at = copy;
    struct control_piece piece;
    assert_non_null(copy);
    memcpy(copy, data, size);
    while ((out.result = control_next(control, &at, &size, &piece)) == CONTROL_PIECE) {
        assert_true(piece.size > 0 && out.size + piece.size <= OUT_MAX && out.count < PIECES_MAX);
        memcpy(out.bytes + out.size, piece.data, piece.size);
        out.size += piece.size;
        out.ends[out.count++] = out.size;
    }
    if (out.result == CONTROL_MORE)
        assert_int_equal(size, 0);
    free(copy);
}

/* In slices of `cut` bytes, the first one of `first`. */
static void feed_cut(const uint8_t *data, size_t size, size_t first, size_t cut)
{
    struct control control = {.size = 0};
    memset(&out, 0, sizeof(out));
    for (size_t at = 0; at < size && out.result <= CONTROL_MORE;) {
        size_t part = at == 0 ? first : cut;
        if (part > size - at)
            part = size - at;
        feed(&control, data + at, part);
        at += part;
    }
}

/* ---- Streams ---- */

static struct {
    uint8_t bytes[OUT_MAX];
    size_t size;
    size_t ends[64]; /* of its type, and of its frames */
    size_t count;
} stream;

static void put(const void *data, size_t size)
{
    memcpy(stream.bytes + stream.size, data, size);
    stream.size += size;
}

static void put_number(uint64_t number)
{
    stream.size += varint_write(number, stream.bytes + stream.size);
}

static void put_frame(uint64_t kind, const void *payload, size_t size)
{
    put_number(kind);
    put_number(size);
    put(payload, size);
    stream.ends[stream.count++] = stream.size;
}

static void begin(uint64_t type)
{
    memset(&stream, 0, sizeof(stream));
    put_number(type);
    stream.ends[stream.count++] = stream.size;
}

static void begin_with_all_kinds(void)
{
    begin(0);
    put_frame(4, "\x06\x80\x10\0\0\x01\x50\0", 8);
    put_frame(PRIORITY_UPDATE, "\x08u=3, i", 7);
    put_frame(PRIORITY_UPDATE, "\xc0\0\0\0\0\0\0\x04", 8);
    put_frame(0x21, "", 0);
    put_frame(0x21, "grease", 6);
    put_frame(0xd, "\x05", 1);
    put_frame(7, "\x40\0", 2);
    put_frame(0x3fffffffffffffff, "x", 1);
}

static void frames_are_whole_wherever_they_are_cut(void **state)
{
    (void)state;
    begin_with_all_kinds();
    for (size_t cut = 1; cut <= stream.size; cut++) {
        for (size_t first = 1; first <= stream.size; first++) {
            feed_cut(stream.bytes, stream.size, first, cut);
            assert_int_equal(out.result, CONTROL_MORE);
            assert_int_equal(out.size, stream.size);
            assert_memory_equal(out.bytes, stream.bytes, stream.size);
            assert_int_equal(out.count, stream.count);
            assert_memory_equal(out.ends, stream.ends, stream.count * sizeof(stream.ends[0]));
        }
    }
}

static void a_frame_that_is_not_whole_stays(void **state)
{
    (void)state;
    begin_with_all_kinds();
    for (size_t size = 1; size < stream.size; size++) {
        size_t whole = 0;
        for (size_t i = 0; i < stream.count && stream.ends[i] <= size; i++)
            whole = stream.ends[i];
        feed_cut(stream.bytes, size, size, size);
        assert_int_equal(out.result, CONTROL_MORE);
        assert_int_equal(out.size, whole);
    }
}

static void other_streams_pass_as_they_come(void **state)
{
    (void)state;
    static const uint64_t types[] = {1, 2, 3, 0x21, 0x54, 0x3fffffffffffffff};
    for (size_t i = 0; i < QT_COUNT(types); i++) {
        begin(types[i]);
        for (int k = 0; k < 500; k++)
            put_number((uint64_t)k);
        for (size_t cut = 1; cut < 40; cut++) {
            feed_cut(stream.bytes, stream.size, cut, cut);
            assert_int_equal(out.result, CONTROL_MORE);
            assert_int_equal(out.size, stream.size);
            assert_memory_equal(out.bytes, stream.bytes, stream.size);
        }
    }
}

static void the_type_may_be_longer_than_it_needs_to_be(void **state)
{
    (void)state;
    struct control control = {.size = 0};
    memset(&out, 0, sizeof(out));
    feed(&control, (const uint8_t *)"\x80\0\0", 3);
    assert_int_equal(control.state, CONTROL_TYPE);
    feed(&control, (const uint8_t *)"\0", 1);
    assert_int_not_equal(control.state, CONTROL_TYPE);
    assert_int_equal(out.size, 4);
}

static void a_long_frame_passes_if_it_is_unknown(void **state)
{
    (void)state;
    static const uint8_t bytes[5000];
    static const size_t sizes[] = {CONTROL_FRAME_MAX - CONTROL_HEAD_MAX,
                                   CONTROL_FRAME_MAX - CONTROL_HEAD_MAX + 1, 5000};
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        begin(0);
        put_frame(0x21, bytes, sizes[i]);
        put_frame(7, "\0", 1);
        size_t last = stream.size - 3;
        for (size_t cut = 1; cut < 5000; cut += 97) {
            feed_cut(stream.bytes, stream.size, 1, cut);
            assert_int_equal(out.result, CONTROL_MORE);
            assert_int_equal(out.size, stream.size);
            assert_memory_equal(out.bytes, stream.bytes, stream.size);
            assert_int_equal(out.ends[out.count - 2], last);
        }
    }
}

static void a_long_frame_is_refused_if_it_is_known(void **state)
{
    (void)state;
    static const uint64_t kinds[] = {3, 4, 7, 0xd, PRIORITY_UPDATE};
    for (size_t i = 0; i < QT_COUNT(kinds); i++) {
        begin(0);
        put_number(kinds[i]);
        put_number(CONTROL_FRAME_MAX - CONTROL_HEAD_MAX + 1);
        feed_cut(stream.bytes, stream.size, 1, 1);
        assert_int_equal(out.result, CONTROL_TOO_LONG);
    }
}

static void a_frame_that_is_one_number_has_nothing_behind_it(void **state)
{
    (void)state;
    static const struct {
        uint64_t kind;
        const char *payload;
        size_t size;
        bool is_good;
    } table[] = {
        {7, "", 0, false},
        {7, "\x05", 1, true},
        {7, "\x40", 1, false},
        {7, "\x40\x05", 2, true},
        {7, "\x05x", 2, false},
        {0xd, "", 0, false},
        {0xd, "\x05", 1, true},
        {0xd, "\x80\0\0\0\0", 5, false},
        {0xd, "\x80\0\0", 3, false},
        {PRIORITY_UPDATE, "", 0, false},
        {PRIORITY_UPDATE, "\x40", 1, false},
        {PRIORITY_UPDATE, "\x04", 1, true},
        {PRIORITY_UPDATE, "\x04u=1", 4, true},
        {0x21, "", 0, true},
        {0x21, "\x40", 1, true},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        begin(0);
        put_frame(table[i].kind, table[i].payload, table[i].size);
        for (size_t cut = 1; cut < 8; cut++) {
            feed_cut(stream.bytes, stream.size, cut, cut);
            assert_int_equal(out.result, table[i].is_good ? CONTROL_MORE : CONTROL_FRAME_ERROR);
            assert_int_equal(out.size, table[i].is_good ? stream.size : 1);
        }
    }
}

/* We promise no push, and a client that allows some does not take that back. */
static void pushes_are_not_cancelled_and_do_not_become_fewer(void **state)
{
    (void)state;
    static const struct {
        uint64_t kinds[3];
        const char *numbers[3];
        enum control_result result;
    } table[] = {
        {{4, 3}, {"", "\0"}, CONTROL_ID_ERROR},
        {{4, 3}, {"", "\x40\x05"}, CONTROL_FRAME_ERROR}, /* its length is 1 */
        {{3, 4}, {"\0", ""}, CONTROL_MORE},              /* nghttp3 refuses the first frame */
        {{4, 0xd, 0xd}, {"", "\x05", "\x05"}, CONTROL_MORE},
        {{4, 0xd, 0xd}, {"", "\x05", "\x06"}, CONTROL_MORE},
        {{4, 0xd, 0xd}, {"", "\x05", "\x04"}, CONTROL_ID_ERROR},
        {{4, 0xd, 0xd}, {"", "\x01", "\0"}, CONTROL_ID_ERROR},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        begin(0);
        for (size_t k = 0; k < 3 && table[i].kinds[k] != 0; k++)
            put_frame(table[i].kinds[k], table[i].numbers[k], table[i].kinds[k] != 4);
        for (size_t cut = 1; cut < 8; cut++) {
            feed_cut(stream.bytes, stream.size, cut, cut);
            assert_int_equal(out.result, table[i].result);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(frames_are_whole_wherever_they_are_cut),
        cmocka_unit_test(a_frame_that_is_not_whole_stays),
        cmocka_unit_test(other_streams_pass_as_they_come),
        cmocka_unit_test(the_type_may_be_longer_than_it_needs_to_be),
        cmocka_unit_test(a_long_frame_passes_if_it_is_unknown),
        cmocka_unit_test(a_long_frame_is_refused_if_it_is_known),
        cmocka_unit_test(a_frame_that_is_one_number_has_nothing_behind_it),
        cmocka_unit_test(pushes_are_not_cancelled_and_do_not_become_fewer),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
