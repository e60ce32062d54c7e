/* SPDX-License-Identifier: MIT */
/* Input: a byte that chooses where a stream is cut, then its bytes: messages of "spate cp".
 *
 * Messages do not depend on the cut, what is read obeys its limits, and an item is the same after
 * it was written and read again. */

#include "tools/spate/files/inbox.h"
#include "test/support/fuzz.h"

static void check_item(const struct files_item *item)
{
    static uint8_t bytes[FILES_ITEM_SIZE_MAX];
    struct files_item again;
    struct files_message message;
    uint64_t sum = 0;
    SB_ASSERT(files_path_is_good(item->path, strlen(item->path)));
    SB_ASSERT(item->size <= FILES_SIZE_MAX && item->mode <= 0777);
    SB_ASSERT(item->offset <= item->size && item->piece_size <= item->size - item->offset);
    for (uint32_t i = 0; i < item->extent_count; i++) {
        SB_ASSERT(item->extents[i].offset >= item->offset);
        SB_ASSERT(item->extents[i].offset + item->extents[i].size <=
                  item->offset + item->piece_size);
        sum += item->extents[i].size;
    }
    SB_ASSERT(sum == item->data_size && sum <= item->piece_size);
    size_t size = files_item_write(item, bytes);
    SB_ASSERT(size <= sizeof(bytes));
    SB_ASSERT(files_message_find(bytes, size, &message) == 1);
    SB_ASSERT(files_item_read(&message, &again));
    SB_ASSERT(again.size == item->size && again.mtime_ns == item->mtime_ns);
    SB_ASSERT(again.data_size == item->data_size && strcmp(again.path, item->path) == 0);
}

static void check_message(const struct files_message *message)
{
    struct files_item item;
    struct files_request request;
    struct files_result result;
    SB_ASSERT(message->size <= FILES_BODY_MAX);
    if (files_item_read(message, &item))
        check_item(&item);
    if (files_request_read(message, &request)) {
        bool is_root = request.path[0] == 0 && request.type == FILES_LIST;
        SB_ASSERT(is_root || files_path_is_good(request.path, strlen(request.path)));
        SB_ASSERT(request.size <= FILES_SIZE_MAX && request.offset <= FILES_SIZE_MAX);
    }
    if (files_result_read(message, &result))
        SB_ASSERT(result.status < FILES_STATUS_COUNT);
}

/* Returns the number of messages; those before a wrong one. */
static uint32_t read_stream(const uint8_t *data, size_t size, size_t cut)
{
    struct files_inbox inbox = {.data = NULL};
    uint32_t count = 0;
    int found = 0;
    for (size_t at = 0; at < size && found >= 0; at += cut) {
        size_t left = size - at < cut ? size - at : cut;
        uint8_t *copy = fuzz_copy(data + at, left);
        const uint8_t *from = copy;
        struct files_message message;
        while (left > 0 && (found = files_inbox_take(&inbox, &from, &left, &message)) > 0) {
            check_message(&message);
            count++;
        }
        free(copy);
    }
    files_inbox_deinit(&inbox);
    return count;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t cut = data[0] % 64 + 1;
    SB_ASSERT(read_stream(data + 1, size - 1, cut) == read_stream(data + 1, size - 1, size));
    return 0;
}
