/* SPDX-License-Identifier: MIT */
/* Input: a byte that chooses where a stream is cut, then its bytes: messages of "spate swarm", or a
 * metainfo.
 *
 * Messages do not depend on the cut, and no part of one lies outside of its slice.  A metainfo that
 * is read obeys its limits, and is the same after it was written. */

#include "test/support/fuzz.h"
#include "tools/spate/swarm/meta.h"
#include "tools/spate/swarm/wire.h"

struct sum {
    uint32_t messages;
    uint32_t bytes;
    uint64_t check; /* of all numbers and bytes in their order */
};

static void add(struct sum *sum, uint64_t value)
{
    sum->check = (sum->check ^ value) * UINT64_C(0x100000001b3);
}

static void add_message(struct sum *sum, const struct swarm_message *message)
{
    SB_ASSERT(message->type >= SWARM_HELLO && message->type < SWARM_TYPE_COUNT);
    for (uint32_t i = 0; message->data != NULL && i < message->size; i++)
        add(sum, message->data[i]);
    sum->bytes += message->size;
    if (!message->is_last)
        return;
    sum->messages++;
    add(sum, message->type);
    for (int i = 0; i < 3; i++)
        add(sum, message->numbers[i]);
}

static struct sum read_stream(const uint8_t *data, size_t size, size_t cut)
{
    struct swarm_reader reader = {.type = 0};
    struct sum sum = {.messages = 0};
    int found = 0;
    for (size_t at = 0; at < size && found >= 0; at += cut) {
        size_t left = size - at < cut ? size - at : cut;
        uint8_t *copy = fuzz_copy(data + at, left);
        const uint8_t *from = copy;
        const uint8_t *end = copy + left;
        struct swarm_message message;
        while ((found = swarm_reader_next(&reader, &from, &left, &message)) > 0) {
            SB_ASSERT(message.data == NULL ||
                      (message.data >= copy && message.data + message.size <= end));
            add_message(&sum, &message);
        }
        free(copy);
    }
    return sum;
}

static void check_meta(const uint8_t *data, size_t size)
{
    struct meta meta;
    uint8_t *copy = fuzz_copy(data, size);
    if (meta_parse(copy, size, &meta) == NULL) {
        uint8_t *again;
        uint64_t at = 0;
        struct meta_segment segment;
        SB_ASSERT(meta.total <= META_TOTAL_MAX && meta.piece_count <= SWARM_PIECES_MAX);
        while (meta_next_segment(&meta, &at, meta.total, &segment))
            SB_ASSERT(segment.offset + segment.size <= meta.files[segment.file].size);
        SB_ASSERT(at == meta.total);
        SB_ASSERT(meta_write(&meta, &again) == size && memcmp(again, data, size) == 0);
        free(again);
    }
    meta_deinit(&meta);
    free(copy);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    size_t cut = data[0] % 64 + 1;
    struct sum cuts = read_stream(data + 1, size - 1, cut);
    struct sum whole = read_stream(data + 1, size - 1, size);
    SB_ASSERT(cuts.messages == whole.messages && cuts.bytes == whole.bytes);
    SB_ASSERT(cuts.check == whole.check);
    check_meta(data + 1, size - 1);
    return 0;
}
