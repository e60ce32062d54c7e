/* SPDX-License-Identifier: MIT */
#include "test/sim/stream_table.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "test/sim/random.h"

enum { INDEX_MAX = 1 << 16 };

void qs_stream_table_init(struct qs_stream_table *table, size_t item_size)
{
    *table = (struct qs_stream_table){.item_size = item_size};
}

void qs_stream_table_deinit(struct qs_stream_table *table)
{
    for (int form = 0; form < QS_STREAM_FORMS; form++) {
        struct qs_stream_row *row = &table->rows[form];
        for (size_t i = 0; i < row->count; i++)
            free(row->items[i]);
        free(row->items);
    }
    *table = (struct qs_stream_table){0};
}

void *qs_stream_table_find(const struct qs_stream_table *table, uint64_t id)
{
    const struct qs_stream_row *row = &table->rows[id % QS_STREAM_FORMS];
    uint64_t index = id / QS_STREAM_FORMS;
    return index < row->count ? row->items[index] : NULL;
}

void *qs_stream_table_get(struct qs_stream_table *table, uint64_t id)
{
    struct qs_stream_row *row = &table->rows[id % QS_STREAM_FORMS];
    uint64_t index = id / QS_STREAM_FORMS;
    if (index >= INDEX_MAX)
        return NULL;
    if (index >= row->count) {
        size_t count = 2 * (size_t)index + 4;
        row->items = realloc(row->items, count * sizeof(*row->items));
        SB_ASSERT(row->items != NULL);
        memset(row->items + row->count, 0, (count - row->count) * sizeof(*row->items));
        row->count = count;
    }
    if (row->items[index] == NULL) {
        row->items[index] = calloc(1, table->item_size);
        SB_ASSERT(row->items[index] != NULL);
    }
    return row->items[index];
}

void *qs_stream_table_next(const struct qs_stream_table *table, uint64_t *id)
{
    uint64_t next = *id == QS_STREAM_FIRST ? 0 : *id + QS_STREAM_FORMS;
    for (uint64_t form = next % QS_STREAM_FORMS; form < QS_STREAM_FORMS; form++, next = form) {
        const struct qs_stream_row *row = &table->rows[form];
        for (uint64_t i = next / QS_STREAM_FORMS; i < row->count; i++) {
            if (row->items[i] != NULL) {
                *id = i * QS_STREAM_FORMS + form;
                return row->items[i];
            }
        }
    }
    return NULL;
}

static uint64_t content_word(int role, uint64_t id, uint64_t index)
{
    return qs_mix(index * UINT64_C(0x9e3779b97f4a7c15) + id * 2 + (uint64_t)role + 1);
}

void qs_content_fill(int role, uint64_t id, uint64_t offset, uint8_t *out, size_t size)
{
    for (size_t done = 0; done < size;) {
        uint64_t word = content_word(role, id, (offset + done) / 8);
        size_t skip = (size_t)((offset + done) % 8);
        size_t part = size - done < 8 - skip ? size - done : 8 - skip;
        memcpy(out + done, (const uint8_t *)&word + skip, part);
        done += part;
    }
}

bool qs_content_is(int role, uint64_t id, uint64_t offset, const uint8_t *data, size_t size)
{
    for (size_t done = 0; done < size;) {
        uint64_t word = content_word(role, id, (offset + done) / 8);
        size_t skip = (size_t)((offset + done) % 8);
        size_t part = size - done < 8 - skip ? size - done : 8 - skip;
        if (memcmp(data + done, (const uint8_t *)&word + skip, part) != 0)
            return false;
        done += part;
    }
    return true;
}
