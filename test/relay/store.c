/* SPDX-License-Identifier: MIT */
#include "test/relay/store.h"

#include <stdlib.h>
#include <string.h>

enum { BLOCK_BYTES = 1 << 20, ALIGN = 16 };

static const uint32_t class_bytes[STORE_CLASSES] = {256, 2048, 16384, PACKET_SIZE_MAX};

struct store_block {
    struct store_block *next;
    uint64_t unused; /* keeps what follows aligned */
    uint8_t data[BLOCK_BYTES];
};

void store_init(struct store *store, uint64_t bytes_max)
{
    *store = (struct store){.bytes_max = bytes_max};
}

void store_deinit(struct store *store)
{
    while (store->blocks != NULL) {
        struct store_block *next = store->blocks->next;
        free(store->blocks);
        store->blocks = next;
    }
}

static uint8_t *new_block(struct store *store)
{
    if (store->bytes + BLOCK_BYTES > store->bytes_max)
        return NULL;
    struct store_block *block = malloc(sizeof(*block));
    if (block == NULL)
        return NULL;
    block->next = store->blocks;
    store->blocks = block;
    store->bytes += BLOCK_BYTES;
    return block->data;
}

static bool add_slots(struct store *store, uint32_t class_index)
{
    size_t size = sizeof(struct store_slot) + class_bytes[class_index];
    size = (size + ALIGN - 1) / ALIGN * ALIGN;
    uint8_t *data = new_block(store);
    for (size_t at = 0; data != NULL && at + size <= BLOCK_BYTES; at += size) {
        struct store_slot *slot = (struct store_slot *)(void *)(data + at);
        slot->class_index = class_index;
        slot->next = store->slots[class_index];
        store->slots[class_index] = slot;
    }
    return data != NULL;
}

static bool add_parcels(struct store *store)
{
    uint8_t *data = new_block(store);
    size_t size = sizeof(struct parcel_item);
    for (size_t at = 0; data != NULL && at + size <= BLOCK_BYTES; at += size) {
        struct wheel_item *item = (struct wheel_item *)(void *)(data + at);
        item->next = store->parcels;
        store->parcels = item;
    }
    return data != NULL;
}

struct store_slot *store_keep(struct store *store, const struct packet *packet)
{
    uint32_t class_index = 0;
    while (class_bytes[class_index] < packet->size)
        class_index++;
    if (store->slots[class_index] == NULL && !add_slots(store, class_index))
        return NULL;
    struct store_slot *slot = store->slots[class_index];
    store->slots[class_index] = slot->next;
    slot->refs = 1;
    memcpy(slot->data, packet->data, packet->size);
    slot->packet = *packet;
    slot->packet.data = slot->data;
    store->slots_used++;
    return slot;
}

void store_unref(struct store *store, struct store_slot *slot)
{
    if (--slot->refs > 0)
        return;
    slot->next = store->slots[slot->class_index];
    store->slots[slot->class_index] = slot;
    store->slots_used--;
}

struct parcel_item *store_parcel(struct store *store, struct store_slot *slot)
{
    if (store->parcels == NULL && !add_parcels(store))
        return NULL;
    struct parcel_item *parcel = (struct parcel_item *)(void *)store->parcels;
    store->parcels = parcel->item.next;
    *parcel = (struct parcel_item){.slot = slot};
    slot->refs++;
    store->parcels_used++;
    return parcel;
}

void store_parcel_free(struct store *store, struct parcel_item *parcel)
{
    store_unref(store, parcel->slot);
    parcel->item.next = store->parcels;
    store->parcels = &parcel->item;
    store->parcels_used--;
}
