/* SPDX-License-Identifier: MIT */
#include "tools/spate/relay/packet.h"

#include <assert.h>
#include <stdlib.h>

#include "tools/spate/relay/header.h"

bool relay_packets_init(struct relay_packets *ret, struct spate_shard *shard, uint32_t slice_count,
                        uint32_t read_count)
{
    *ret = (struct relay_packets){.shard = shard};
    ret->slices = calloc(slice_count, sizeof(*ret->slices));
    ret->reads = calloc(read_count, sizeof(*ret->reads));
    ret->bytes = malloc((size_t)read_count * RELAY_PACKET_MAX);
    if (ret->slices == NULL || ret->reads == NULL || ret->bytes == NULL) {
        relay_packets_deinit(ret);
        return false;
    }
    for (uint32_t i = 0; i < slice_count; i++) {
        ret->slices[i].next_free = ret->free_slices;
        ret->free_slices = &ret->slices[i];
    }
    for (uint32_t i = 0; i < read_count; i++) {
        ret->reads[i].room = ret->bytes + (size_t)i * RELAY_PACKET_MAX;
        ret->reads[i].next_free = ret->free_reads;
        ret->free_reads = &ret->reads[i];
    }
    ret->free_read_count = read_count;
    return true;
}

void relay_packets_deinit(struct relay_packets *packets)
{
    free(packets->slices);
    free(packets->reads);
    free(packets->bytes);
    *packets = (struct relay_packets){.shard = NULL};
}

struct relay_packet *relay_packet_of_slice(struct relay_packets *packets,
                                           const struct spate_slice *slice)
{
    struct relay_packet *packet = packets->free_slices;
    if (packet == NULL)
        return NULL;
    packets->free_slices = packet->next_free;
    packet->owner = packets;
    packet->ref_count = 1;
    packet->data = slice->data;
    packet->size = slice->size;
    packet->slice = *slice;
    return packet;
}

struct relay_packet *relay_packet_to_read(struct relay_packets *packets)
{
    struct relay_packet *packet = packets->free_reads;
    if (packet == NULL)
        return NULL;
    packets->free_reads = packet->next_free;
    packets->free_read_count--;
    packet->owner = packets;
    packet->ref_count = 1;
    packet->data = packet->room;
    packet->size = 0;
    return packet;
}

void relay_packet_unref(struct relay_packet *packet)
{
    assert(packet->ref_count > 0);
    if (--packet->ref_count > 0)
        return;
    struct relay_packets *packets = packet->owner;
    if (packet->room != NULL) {
        packet->next_free = packets->free_reads;
        packets->free_reads = packet;
        packets->free_read_count++;
        return;
    }
    if (packets->release != NULL)
        packets->release(packets->shard, &packet->slice);
    packet->next_free = packets->free_slices;
    packets->free_slices = packet;
}
