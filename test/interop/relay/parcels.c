/* SPDX-License-Identifier: MIT */
#include "test/interop/relay/parcels.h"

#include <stdlib.h>
#include <string.h>

void parcels_init(struct parcels *parcels, uint64_t bytes_max)
{
    memset(parcels, 0, sizeof(*parcels));
    parcels->bytes_max = bytes_max;
}

void parcels_deinit(struct parcels *parcels)
{
    for (size_t i = 0; i < parcels->count; i++)
        free(parcels->heap[i]);
    free(parcels->heap);
    memset(parcels, 0, sizeof(*parcels));
}

struct parcel *parcel_create(size_t size)
{
    struct parcel *parcel = malloc(sizeof(*parcel) + size);
    if (parcel != NULL)
        *parcel = (struct parcel){.size = size};
    return parcel;
}

static bool is_before(const struct parcel *a, const struct parcel *b)
{
    return a->due_ns != b->due_ns ? a->due_ns < b->due_ns : a->number < b->number;
}

static bool make_room(struct parcels *parcels)
{
    if (parcels->count < parcels->room)
        return true;
    size_t room = parcels->room == 0 ? 1024 : 2 * parcels->room;
    struct parcel **heap = realloc(parcels->heap, room * sizeof(struct parcel *));
    if (heap == NULL)
        return false;
    parcels->heap = heap;
    parcels->room = room;
    return true;
}

bool parcels_add(struct parcels *parcels, struct parcel *parcel)
{
    if (parcels->bytes + parcel->size > parcels->bytes_max || !make_room(parcels)) {
        free(parcel);
        return false;
    }
    parcel->number = parcels->added_count++;
    parcels->bytes += parcel->size;
    size_t at = parcels->count++;
    while (at > 0 && is_before(parcel, parcels->heap[(at - 1) / 2])) {
        parcels->heap[at] = parcels->heap[(at - 1) / 2];
        at = (at - 1) / 2;
    }
    parcels->heap[at] = parcel;
    return true;
}

struct parcel *parcels_first(const struct parcels *parcels)
{
    return parcels->count > 0 ? parcels->heap[0] : NULL;
}

struct parcel *parcels_take(struct parcels *parcels)
{
    struct parcel *first = parcels->heap[0];
    struct parcel *last = parcels->heap[--parcels->count];
    parcels->bytes -= first->size;
    size_t at = 0;
    for (;;) {
        size_t child = 2 * at + 1;
        if (child >= parcels->count)
            break;
        if (child + 1 < parcels->count && is_before(parcels->heap[child + 1], parcels->heap[child]))
            child++;
        if (!is_before(parcels->heap[child], last))
            break;
        parcels->heap[at] = parcels->heap[child];
        at = child;
    }
    if (parcels->count > 0)
        parcels->heap[at] = last;
    return first;
}
