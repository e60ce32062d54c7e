/* SPDX-License-Identifier: MIT */
/* Messages and metainfos of "spate swarm". */

#include "test/support/qt.h"

#include <stdlib.h>

#include "tools/spate/swarm/meta.h"
#include "tools/spate/swarm/wire.h"

enum { STREAM_MAX = 400 };

/* A message of each type, one after the other. */
static size_t make_stream(uint8_t ret[STREAM_MAX])
{
    static const uint32_t pieces = 0x01020304;
    static const uint32_t bits = 3;
    static const uint32_t request[] = {7, 0x8000, 0xfffffffe};
    size_t size = swarm_message_write(SWARM_HELLO, &pieces, ret);
    for (int i = 0; i < SWARM_ID_SIZE + SWARM_PROOF_SIZE; i++)
        ret[size++] = (uint8_t)i;
    size += swarm_message_write(SWARM_BITFIELD, &bits, ret + size);
    for (int i = 0; i < 3; i++)
        ret[size++] = (uint8_t)(0xa0 + i);
    size += swarm_message_write(SWARM_HAVE, &pieces, ret + size);
    size += swarm_message_write(SWARM_CHOKE, NULL, ret + size);
    size += swarm_message_write(SWARM_UNCHOKE, NULL, ret + size);
    size += swarm_message_write(SWARM_REQUEST, request, ret + size);
    return size;
}

/* What a reader has found, with the bytes of all parts put together. */
struct found {
    uint32_t count; /* complete messages */
    enum swarm_type types[16];
    uint32_t numbers[16][3];
    uint8_t bytes[STREAM_MAX];
    uint32_t byte_count;
};

static int read_part(struct swarm_reader *reader, const uint8_t *data, size_t size,
                     struct found *ret)
{
    uint8_t *copy = malloc(size + 1); /* a sanitizer sees reads beyond it */
    assert_non_null(copy);
    memcpy(copy, data, size);
    const uint8_t *at = copy;
    struct swarm_message message;
    int found;
    while ((found = swarm_reader_next(reader, &at, &size, &message)) > 0) {
        if (message.data != NULL) {
            assert_true(message.data >= copy && message.size > 0);
            memcpy(ret->bytes + ret->byte_count, message.data, message.size);
            ret->byte_count += message.size;
        }
        if (!message.is_last)
            continue;
        ret->types[ret->count] = message.type;
        memcpy(ret->numbers[ret->count++], message.numbers, sizeof(message.numbers));
    }
    free(copy);
    return found;
}

static void messages_are_read_whatever_the_slices(void **state)
{
    (void)state;
    uint8_t bytes[STREAM_MAX];
    size_t size = make_stream(bytes);
    for (size_t cut = 1; cut <= size; cut++) {
        struct swarm_reader reader = {.type = 0};
        struct found found = {.count = 0};
        for (size_t at = 0; at < size; at += cut) {
            size_t left = size - at < cut ? size - at : cut;
            assert_int_equal(read_part(&reader, bytes + at, left, &found), 0);
        }
        assert_int_equal(found.count, 6);
        assert_false(swarm_reader_is_partial(&reader));
        for (uint32_t i = 0; i < 6; i++)
            assert_int_equal(found.types[i], SWARM_HELLO + i);
        assert_int_equal(found.numbers[0][0], 0x01020304);
        assert_int_equal(found.numbers[1][0], 3);
        assert_int_equal(found.numbers[5][0], 7);
        assert_int_equal(found.numbers[5][1], 0x8000);
        assert_int_equal(found.numbers[5][2], 0xfffffffe);
        assert_int_equal(found.byte_count, 64 + 3);
        for (int i = 0; i < 64; i++)
            assert_int_equal(found.bytes[i], i);
        assert_int_equal(found.bytes[66], 0xa2);
    }
}

static void no_truncation_of_a_message_is_one(void **state)
{
    (void)state;
    uint8_t bytes[STREAM_MAX];
    size_t size = make_stream(bytes);
    size_t ends[] = {69, 77, 82, 83, 84, 97};
    assert_int_equal(ends[5], size);
    for (size_t i = 0; i < size; i++) {
        struct swarm_reader reader = {.type = 0};
        struct found found = {.count = 0};
        uint32_t whole = 0;
        while (ends[whole] <= i)
            whole++;
        assert_int_equal(read_part(&reader, bytes, i, &found), 0);
        assert_int_equal(found.count, whole);
        bool is_end = i == 0 || (whole > 0 && ends[whole - 1] == i);
        assert_int_equal(swarm_reader_is_partial(&reader), !is_end);
    }
}

static void what_is_no_message_is_refused_for_good(void **state)
{
    (void)state;
    static const struct {
        uint8_t bytes[5];
        size_t size;
    } table[] = {
        {{0}, 1},
        {{SWARM_TYPE_COUNT}, 1},
        {{255}, 1},
        {{SWARM_BITFIELD, 0, 0, 0, 0}, 5},
        {{SWARM_BITFIELD, 0, 2, 0, 1}, 5}, /* 1 byte more than there may be */
        {{SWARM_BITFIELD, 0xff, 0xff, 0xff, 0xff}, 5},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        struct swarm_reader reader = {.type = 0};
        struct found found = {.count = 0};
        assert_int_equal(read_part(&reader, table[i].bytes, table[i].size, &found), -1);
        assert_int_equal(read_part(&reader, (const uint8_t[]){SWARM_CHOKE}, 1, &found), -1);
        assert_int_equal(found.count, 0);
    }
    struct swarm_reader reader = {.type = 0};
    struct found found = {.count = 0};
    const uint8_t largest[] = {SWARM_BITFIELD, 0, 2, 0, 0};
    assert_int_equal(read_part(&reader, largest, sizeof(largest), &found), 0);
}

/* ---- The metainfo ---- */

static struct meta_file files[4];
static uint8_t hashes[3 * META_HASH_SIZE];

/* Two pieces and a bit: the second file begins in the first piece. */
static struct meta make_meta(void)
{
    static char paths[4][8] = {"a", "b/a", "b/b", "c"};
    files[0] = (struct meta_file){.size = 60000, .mode = 0644, .mtime_ns = -5, .path = paths[0]};
    files[1] = (struct meta_file){.size = 0, .offset = 60000, .mode = 0600, .path = paths[1]};
    files[2] = (struct meta_file){.size = 100000, .offset = 60000, .mode = 0755, .path = paths[2]};
    files[3] = (struct meta_file){.size = 1, .offset = 160000, .path = paths[3]};
    for (size_t i = 0; i < sizeof(hashes); i++)
        hashes[i] = (uint8_t)i;
    return (struct meta){.piece_size = 64 << 10,
                         .piece_count = 3,
                         .file_count = 4,
                         .total = 160001,
                         .files = files,
                         .hashes = hashes};
}

static void a_metainfo_is_read_as_it_was_written(void **state)
{
    (void)state;
    struct meta meta = make_meta();
    struct meta got;
    uint8_t *data;
    size_t size = meta_write(&meta, &data);
    assert_true(size > 0);
    assert_null(meta_parse(data, size, &got));
    assert_int_equal(got.piece_size, 64 << 10);
    assert_int_equal(got.piece_count, 3);
    assert_int_equal(got.total, 160001);
    assert_int_equal(got.file_count, 4);
    assert_memory_equal(got.id, meta.id, SWARM_ID_SIZE);
    assert_memory_equal(got.hashes, hashes, sizeof(hashes));
    for (uint32_t i = 0; i < 4; i++) {
        assert_string_equal(got.files[i].path, files[i].path);
        assert_int_equal(got.files[i].offset, files[i].offset);
        assert_int_equal(got.files[i].size, files[i].size);
        assert_int_equal(got.files[i].mtime_ns, files[i].mtime_ns);
        assert_int_equal(got.files[i].mode, files[i].mode);
    }
    meta_deinit(&got);
    for (size_t i = 0; i < size; i++) {
        uint8_t *copy = malloc(i + 1);
        assert_non_null(copy);
        memcpy(copy, data, i);
        assert_non_null(meta_parse(copy, i, &got));
        assert_null(got.files);
        free(copy);
    }
    free(data);
}

static void hostile_names_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *one;
        const char *two;
        bool is_good;
    } table[] = {
        {"a", "b", true},
        {"a", "a", false},
        {"b", "a", false},
        {"a", "a/b", false},
        {"a", "../b", false},
        {"/a", "b", false},
        {"..", "b", false},
        {"a/../b", "c", false},
        {"a", "b/", false},
        {"a", "b//c", false},
        {"", "b", false},
        {"a-b", "a/b", true},
        {"a", "b/.", false},
        {"a", "c/.spate-part-0", false},
        {".spate-part-1/x", "b", false},
        {".spate", "b", true},
        {"a/b", "a/b/c/d", false},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        struct meta meta = make_meta();
        struct meta got;
        uint8_t *data;
        char one[32];
        char two[32];
        strcpy(one, table[i].one);
        strcpy(two, table[i].two);
        files[0].path = one;
        files[1].path = two;
        meta.file_count = 2;
        meta.piece_count = 1;
        size_t size = meta_write(&meta, &data);
        const char *wrong = meta_parse(data, size, &got);
        if ((wrong == NULL) != table[i].is_good)
            fail_msg("%s, %s: %s", one, two, wrong != NULL ? wrong : "is read");
        meta_deinit(&got);
        free(data);
    }
}

static void numbers_that_contradict_are_refused(void **state)
{
    (void)state;
    struct meta got;
    for (int i = 0; i < 7; i++) {
        struct meta meta = make_meta();
        uint8_t *data;
        meta.piece_size = i == 0 ? 96 << 10 : i == 1 ? 32 << 10 : i == 2 ? 32 << 20 : 64 << 10;
        meta.piece_count = i == 3 ? 2 : 3; /* a hash is missing */
        files[1].mode = i == 4 ? 01000 : 0600;
        files[2].size = i == 5 ? META_TOTAL_MAX : 100000;
        size_t size = meta_write(&meta, &data);
        assert_non_null(meta_parse(data, i == 6 ? size - 1 : size, &got));
        free(data);
    }
}

static void segments_cover_every_byte_once(void **state)
{
    (void)state;
    struct meta meta = make_meta();
    struct meta_segment segment;
    uint64_t at = 0;
    uint64_t sum = 0;
    uint32_t expected[] = {0, 2, 2, 2, 3};
    uint32_t count = 0;
    for (uint32_t piece = 0; piece < 3; piece++) {
        uint64_t end = at + meta_piece_bytes(&meta, piece);
        while (meta_next_segment(&meta, &at, end, &segment)) {
            assert_true(count < QT_COUNT(expected));
            assert_int_equal(segment.file, expected[count]);
            assert_int_equal(files[segment.file].offset + segment.offset, sum);
            assert_true(segment.offset + segment.size <= files[segment.file].size);
            sum += segment.size;
            count++;
        }
        assert_int_equal(at, end);
    }
    assert_int_equal(sum, meta.total);
    assert_int_equal(count, QT_COUNT(expected));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(messages_are_read_whatever_the_slices),
        cmocka_unit_test(no_truncation_of_a_message_is_one),
        cmocka_unit_test(what_is_no_message_is_refused_for_good),
        cmocka_unit_test(a_metainfo_is_read_as_it_was_written),
        cmocka_unit_test(hostile_names_are_refused),
        cmocka_unit_test(numbers_that_contradict_are_refused),
        cmocka_unit_test(segments_cover_every_byte_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
