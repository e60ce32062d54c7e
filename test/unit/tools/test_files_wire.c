/* SPDX-License-Identifier: MIT */
/* Messages of the protocol of "spate cp", and how streams are cut into them. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "tools/spate/cursor.h"
#include "tools/spate/files/inbox.h"
#include "tools/spate/files/wire.h"

static void paths_that_lead_out_are_refused(void **state)
{
    (void)state;
    static const struct {
        const char *path;
        bool is_good;
    } table[] = {
        {"a", true},     {"a/b/c.txt", true}, {"...", true},   {".hidden/..x", true},
        {"a b\n", true}, {"", false},         {"/", false},    {"/etc/passwd", false},
        {"..", false},   {"../a", false},     {"a/..", false}, {"a/../b", false},
        {".", false},    {"a/.", false},      {"a//b", false}, {"a/", false},
    };
    for (size_t i = 0; i < QT_COUNT(table); i++) {
        if (files_path_is_good(table[i].path, strlen(table[i].path)) != table[i].is_good)
            fail_msg("%s", table[i].path);
    }
    char path[FILES_PATH_SIZE + 1];
    memset(path, 'a', sizeof(path));
    assert_true(files_path_is_good(path, 255));
    assert_false(files_path_is_good(path, 256)); /* one component */
    for (size_t i = 100; i < sizeof(path); i += 100)
        path[i] = '/';
    assert_true(files_path_is_good(path, FILES_PATH_SIZE - 1));
    assert_false(files_path_is_good(path, FILES_PATH_SIZE));
    assert_false(files_path_is_good("a\0b", 3));
}

static struct files_item good_item(void)
{
    return (struct files_item){
        .kind = FILES_FILE,
        .mode = 0640,
        .mtime_ns = -1234567890123,
        .size = 10 << 20,
        .offset = 4 << 20,
        .piece_size = 4 << 20,
        .data_size = 300,
        .extents = {{.offset = 4 << 20, .size = 100}, {.offset = (8 << 20) - 200, .size = 200}},
        .extent_count = 2,
        .path = "folder/file",
    };
}

static bool read_item(const uint8_t *data, size_t size, struct files_item *ret)
{
    struct files_message message;
    return files_message_find(data, size, &message) == 1 && files_item_read(&message, ret);
}

static void an_item_is_read_as_it_was_written(void **state)
{
    (void)state;
    uint8_t bytes[FILES_ITEM_SIZE_MAX];
    struct files_item item = good_item();
    struct files_item got;
    size_t size = files_item_write(&item, bytes);
    assert_true(read_item(bytes, size, &got));
    assert_int_equal(got.kind, item.kind);
    assert_int_equal(got.mode, item.mode);
    assert_int_equal(got.mtime_ns, item.mtime_ns);
    assert_int_equal(got.size, item.size);
    assert_int_equal(got.offset, item.offset);
    assert_int_equal(got.piece_size, item.piece_size);
    assert_int_equal(got.data_size, 300);
    assert_int_equal(got.extent_count, 2);
    assert_memory_equal(got.extents, item.extents, 2 * sizeof(got.extents[0]));
    assert_string_equal(got.path, "folder/file");
    assert_string_equal(got.target, "");
}

/* Cuts a message short in its bytes, and then in its body with a head that agrees. */
static void no_truncation_of_a_message_is_read(void **state)
{
    (void)state;
    uint8_t bytes[FILES_ITEM_SIZE_MAX];
    struct files_item item = good_item();
    struct files_item got_item;
    struct files_request request = {
        .type = FILES_WANT, .is_pinned = true, .size = 1000, .piece_size = 1000, .path = "a/b"};
    struct files_request got_request;
    struct files_result result = {.index = 7, .status = FILES_CORRUPT};
    struct files_result got_result;
    for (int kind = 0; kind < 3; kind++) {
        size_t size = kind == 0   ? files_item_write(&item, bytes)
                      : kind == 1 ? files_request_write(&request, bytes)
                                  : files_result_write(FILES_RESULT, &result, bytes);
        for (size_t cut = 0; cut <= size; cut++) {
            uint8_t *copy = malloc(cut > 0 ? cut : 1); /* of that size: a sanitizer sees more */
            struct files_message message;
            assert_non_null(copy);
            memcpy(copy, bytes, cut);
            assert_int_equal(files_message_find(copy, cut, &message), cut == size);
            if (cut >= FILES_HEAD_SIZE) {
                message = (struct files_message){
                    .type = (enum files_type)copy[0],
                    .body = copy + FILES_HEAD_SIZE,
                    .size = (uint32_t)(cut - FILES_HEAD_SIZE),
                };
                bool is_read = kind == 0   ? files_item_read(&message, &got_item)
                               : kind == 1 ? files_request_read(&message, &got_request)
                                           : files_result_read(&message, &got_result);
                assert_int_equal(is_read, cut == size);
            }
            free(copy);
        }
    }
    assert_int_equal(got_result.status, FILES_CORRUPT);
    assert_int_equal(got_result.index, 7);
    assert_true(got_request.is_pinned);
}

static void items_that_contradict_themselves_are_refused(void **state)
{
    (void)state;
    uint8_t bytes[FILES_ITEM_SIZE_MAX];
    struct files_item got;
    for (int i = 0; i < 15; i++) {
        struct files_item item = good_item();
        switch (i) {
        case 0:
            item.mode = 04755;
            break;
        case 1:
            item.size = FILES_SIZE_MAX + 1;
            break;
        case 2:
            item.offset = item.size + 1;
            break;
        case 3:
            item.piece_size = UINT64_MAX;
            break;
        case 4:
            item.extents[0].offset -= 1; /* before the piece */
            break;
        case 5:
            item.extents[1].size += 1; /* beyond it */
            break;
        case 6:
            item.extents[1].size = UINT64_MAX;
            break;
        case 7:
            item.extents[1].offset = item.extents[0].offset; /* they overlap */
            break;
        case 8:
            item.extents[0].size = 0;
            break;
        case 9:
            strcpy(item.path, "../file");
            break;
        case 10:
            strcpy(item.target, "of a file");
            break;
        case 11:
            item.kind = FILES_LINK; /* without a target, with a size */
            break;
        case 12:
            item.kind = FILES_FOLDER; /* with a size */
            break;
        case 13:
            item.kind = (enum files_kind)4;
            break;
        default:
            strcpy(item.path, "/etc/passwd");
            break;
        }
        size_t size = files_item_write(&item, bytes);
        if (read_item(bytes, size, &got))
            fail_msg("case %d", i);
    }
}

/* The longest target of a link fills its array, with the zero byte; one byte more has no place. */
static void a_text_that_has_no_place_is_refused(void **state)
{
    (void)state;
    static uint8_t bytes[FILES_ITEM_SIZE_MAX + 1];
    static struct files_item item, got;
    item = good_item();
    item.kind = FILES_LINK;
    item.size = item.offset = item.piece_size = 0;
    item.extent_count = 0;
    memset(item.target, 'a', FILES_PATH_SIZE - 1);
    size_t size = files_item_write(&item, bytes);
    assert_true(read_item(bytes, size, &got));
    assert_string_equal(got.target, item.target);

    uint8_t *text = bytes + size - (FILES_PATH_SIZE - 1);
    (void)number_write(text - 2, FILES_PATH_SIZE, 2);
    bytes[size++] = 'a';
    files_head_write(FILES_ITEM, (uint32_t)(size - FILES_HEAD_SIZE), bytes);
    assert_false(read_item(bytes, size, &got));
}

static void messages_are_found_in_bytes_of_any_cut(void **state)
{
    (void)state;
    uint8_t bytes[3 * FILES_ITEM_SIZE_MAX];
    struct files_item item = good_item();
    struct files_result result = {.index = 1};
    size_t size = files_item_write(&item, bytes);
    size += files_result_write(FILES_RESULT, &result, bytes + size);
    size += files_item_write(&item, bytes + size);
    for (size_t cut = 1; cut <= size; cut++) {
        struct files_inbox inbox = {.data = NULL};
        uint32_t count = 0;
        for (size_t at = 0; at < size; at += cut) {
            const uint8_t *data = bytes + at;
            size_t left = size - at < cut ? size - at : cut;
            struct files_message message;
            int found;
            while (left > 0 && (found = files_inbox_take(&inbox, &data, &left, &message)) != 0) {
                assert_int_equal(found, 1);
                assert_int_equal(message.type, count == 1 ? FILES_RESULT : FILES_ITEM);
                count++;
            }
            assert_int_equal(left, 0);
        }
        assert_int_equal(count, 3);
        assert_false(files_inbox_is_partial(&inbox));
        files_inbox_deinit(&inbox);
    }
}

static void no_message_is_larger_than_the_limit(void **state)
{
    (void)state;
    uint8_t head[FILES_HEAD_SIZE];
    struct files_message message;
    files_head_write(FILES_ITEM, FILES_BODY_MAX, head);
    assert_int_equal(files_message_find(head, sizeof(head), &message), 0);
    files_head_write(FILES_ITEM, FILES_BODY_MAX + 1, head);
    assert_int_equal(files_message_find(head, sizeof(head), &message), -1);
    head[0] = 0;
    assert_int_equal(files_message_find(head, 1, &message), -1);
    head[0] = FILES_KEY + 1;
    assert_int_equal(files_message_find(head, 1, &message), -1);
    assert_int_equal(files_message_find(head, 0, &message), 0);
}

static void chunks_cover_a_file_of_any_size(void **state)
{
    (void)state;
    static const uint64_t sizes[] = {1,         FILES_CHUNK_SIZE,  FILES_CHUNK_SIZE + 1,
                                     100000000, UINT64_C(1) << 40, FILES_SIZE_MAX};
    assert_int_equal(files_chunk_count(0), 0);
    for (size_t i = 0; i < QT_COUNT(sizes); i++) {
        uint64_t chunk = files_chunk_size(sizes[i]);
        uint64_t count = files_chunk_count(sizes[i]);
        assert_in_range(count, 1, FILES_CHUNKS_MAX);
        assert_true((count - 1) * chunk < sizes[i] && sizes[i] <= count * chunk);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(paths_that_lead_out_are_refused),
        cmocka_unit_test(an_item_is_read_as_it_was_written),
        cmocka_unit_test(no_truncation_of_a_message_is_read),
        cmocka_unit_test(items_that_contradict_themselves_are_refused),
        cmocka_unit_test(a_text_that_has_no_place_is_refused),
        cmocka_unit_test(messages_are_found_in_bytes_of_any_cut),
        cmocka_unit_test(no_message_is_larger_than_the_limit),
        cmocka_unit_test(chunks_cover_a_file_of_any_size),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
