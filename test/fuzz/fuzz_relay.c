/* SPDX-License-Identifier: MIT */
/* Input: messages of a neighbour of "spate relay", each after a byte with its size.
 *
 * They go into a core with two neighbours.  What it sends on is well-formed, has fewer hops than
 * before and bytes that came; what it delivers is whole; and all packets come back. */

#include <errno.h>
#include <stdio.h>

#include "test/support/fuzz.h"
#include "tools/spate/relay/core.h"

enum { PACKETS = 2048, READS = 4, PEER_SIZE_MAX = 200 };

static uint64_t delivered_count;

static int send_op(void *user, uint16_t peer, const uint8_t *head, size_t head_size,
                   struct relay_packet *packet, size_t offset, size_t size)
{
    uint8_t bytes[PEER_SIZE_MAX];
    struct relay_head got;
    (void)user;
    SB_ASSERT(peer < 2 && offset <= packet->size && size <= packet->size - offset);
    SB_ASSERT(head_size + size <= PEER_SIZE_MAX);
    memcpy(bytes, head, head_size);
    memcpy(bytes + head_size, packet->data + offset, size);
    SB_ASSERT(relay_head_read(bytes, head_size + size, &got) == head_size);
    return size % 7 == 3 ? -EAGAIN : 0;
}

static size_t size_max_op(void *user, uint16_t peer)
{
    (void)user;
    (void)peer;
    return PEER_SIZE_MAX;
}

static void deliver_op(void *user, const struct iovec *parts, uint32_t count, size_t size)
{
    size_t sum = 0;
    (void)user;
    for (uint32_t i = 0; i < count; i++) {
        const volatile uint8_t *bytes = parts[i].iov_base;
        if (parts[i].iov_len > 0)
            (void)bytes[parts[i].iov_len - 1];
        sum += parts[i].iov_len;
    }
    SB_ASSERT(sum == size && size <= RELAY_PACKET_MAX && count <= RELAY_PIECES_MAX);
    delivered_count++;
}

static void release(struct spate_shard *shard, struct spate_slice *slice)
{
    (void)shard;
    free(slice->buffer);
}

static uint64_t sum_of(const struct relay_core *core)
{
    uint64_t sum = core->reassembly.dropped_count;
    for (uint32_t i = 0; i < RELAY_DROP_COUNT; i++)
        sum += core->drop_counts[i];
    return sum;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct relay_core core;
    struct relay_packets packets;
    uint64_t now_ns = UINT64_C(1000000000);
    if (size < 2)
        return 0;
    SB_ASSERT(relay_packets_init(&packets, NULL, PACKETS, READS));
    packets.release = release;
    SB_ASSERT(relay_core_init(&core, &packets, now_ns, 5));
    core.unit = 1;
    core.role = (data[0] & 1) != 0 ? RELAY_ONBOARD : RELAY_ROADSIDE;
    core.format = (enum relay_format)(data[0] / 2 % 3);
    core.has_trains = (data[0] & 8) != 0;
    core.ops = (struct relay_ops){send_op, size_max_op, deliver_op, NULL};
    relay_core_join(&core, 0, 2, false, (data[0] & 16) != 0 ? 1000 : 0, now_ns);
    relay_core_join(&core, 1, 3, (data[0] & 32) != 0, 0, now_ns);
    uint64_t before = sum_of(&core);
    for (size_t at = 1; at < size; now_ns += 1000000) {
        size_t piece = data[at++];
        piece = piece < size - at ? piece : size - at;
        uint8_t *copy = fuzz_copy(data + at, piece);
        const struct spate_slice slice = {.data = copy, .size = piece, .buffer = copy};
        struct relay_packet *packet = relay_packet_of_slice(&packets, &slice);
        SB_ASSERT(packet != NULL);
        relay_core_from_peer(&core, (uint16_t)(at % 2), packet, now_ns);
        relay_packet_unref(packet);
        at += piece;
    }
    SB_ASSERT(sum_of(&core) >= before);
    relay_core_deinit(&core);
    uint32_t count = 0;
    for (const struct relay_packet *p = packets.free_slices; p != NULL; p = p->next_free)
        count++;
    SB_ASSERT(count == PACKETS && packets.free_read_count == READS);
    relay_packets_deinit(&packets);
    return 0;
}
