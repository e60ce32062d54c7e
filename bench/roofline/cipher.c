/* SPDX-License-Identifier: MIT */
#include "bench/roofline/cipher.h"

/* Seals and opens a train of packets at a time, as a connection does: one packet after the other in
 * a slot.  Opening destroys its input, so the train is copied back before the clock starts.  That
 * leaves it in the cache as the kernel's own copy would. */

#include <stdlib.h>
#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/failure.h"
#include "crypto/aead_fused.h"
#include "crypto/protect.h"
#include "crypto/suite.h"
#include "proto/wire/frame.h"
#include "uring/send.h"

enum {
    CID_SIZE = 8, /* of the engine's connections */
    PN_SIZE = 2,
    PAGE_SIZE = 4096,
    TRAIN_ROOM = 65536,
    /* Some CPUs copy at half the speed where source and destination lie alike in their pages: on a
     * Zen 3, a packet of 65,507 bytes took 38 us to seal then, and 17 with this. */
    SKEW = PAGE_SIZE / 2,
};
_Static_assert(TRAIN_ROOM >= SU_TRAIN_SIZE_MAX, "a train fits");
#define WARMUP_NS (10 * NS_PER_MS)

struct bench {
    struct sp_key *key;
    struct cipher_shape shape;
    uint32_t packet_size;
    uint32_t packet_count;
    uint8_t head[64];
    uint8_t *memory;
    uint8_t *payload; /* of a whole train */
    uint8_t *slot;
    uint8_t *sealed; /* what the slot holds before it is opened */
};

struct cipher_shape cipher_shape_of(uint32_t mtu)
{
    const struct sp_stream_head head = {.offset = UINT64_C(1) << 30};
    struct cipher_shape shape = {
        .header = 1 + CID_SIZE + PN_SIZE,
        .head = sp_frame_stream_head_size(&head),
    };
    shape.payload = mtu - shape.header - shape.head - SP_TAG_SIZE;
    return shape;
}

static uint8_t *packet_at(const struct bench *b, uint8_t *slot, uint32_t index)
{
    return slot + (size_t)index * b->packet_size;
}

static void seal_train(struct bench *b)
{
    for (uint32_t i = 0; i < b->packet_count; i++) {
        const struct sb_bytes parts[] = {
            {.data = b->head, .size = b->shape.head},
            {.data = b->payload + (size_t)i * b->shape.payload, .size = b->shape.payload},
        };
        uint8_t *packet = packet_at(b, b->slot, i);
        const struct sp_seal seal = {
            .pn = i,
            .header = packet,
            .header_size = b->shape.header,
            .parts = parts,
            .part_count = SB_COUNT(parts),
            .out = packet + b->shape.header,
        };
        sc_protect_ops.seal(b->key, &seal);
    }
}

/* False if one of them is not authentic. */
static bool open_train(struct bench *b)
{
    struct sp_open packets[SU_SEGMENT_COUNT_MAX];
    bool is_good = true;
    for (uint32_t i = 0; i < b->packet_count; i++) {
        uint8_t *packet = packet_at(b, b->slot, i);
        packets[i] = (struct sp_open){
            .pn = i,
            .header = packet,
            .header_size = b->shape.header,
            .data = packet + b->shape.header,
            .size = b->packet_size - b->shape.header,
        };
    }
    sc_protect_ops.open(b->key, packets, b->packet_count);
    for (uint32_t i = 0; i < b->packet_count; i++)
        is_good &= packets[i].is_authentic;
    return is_good;
}

/* Mean CPU time of a packet, of sealing or of opening. */
static double time_it(struct bench *b, bool is_seal, uint64_t duration_ns, bool *is_good)
{
    uint64_t spent_ns = 0;
    uint64_t packet_count = 0;
    while (spent_ns < duration_ns) {
        if (!is_seal)
            memcpy(b->slot, b->sealed, (size_t)b->packet_size * b->packet_count);
        uint64_t begin_ns = clock_cpu_ns();
        if (is_seal)
            seal_train(b);
        else
            *is_good &= open_train(b);
        spent_ns += clock_cpu_ns() - begin_ns;
        packet_count += b->packet_count;
    }
    return (double)spent_ns / (double)packet_count;
}

static bool prepare(struct bench *b, const struct cipher_setup *setup)
{
    const struct sc_suite *suite = sc_suite_find(setup->suite);
    static const uint8_t secret[SP_SECRET_SIZE_MAX] = {42};
    size_t size = (size_t)b->packet_size * b->packet_count;
    /* As the engine chooses. */
    const struct sc_fused *fused = setup->crypto == SPATE_CRYPTO_OPENSSL ? NULL : sc_fused_best();
    if (suite == NULL || (setup->crypto == SPATE_CRYPTO_FUSED && fused == NULL))
        return false;
    const struct sp_protect protect = sc_protect(fused);
    b->key = protect.ops->key(protect.context, SP_VERSION_1, suite->id, secret, suite->secret_size);
    b->memory = aligned_alloc(PAGE_SIZE, 4 * TRAIN_ROOM);
    if (b->key == NULL || b->memory == NULL)
        return false;
    b->slot = b->memory;
    b->sealed = b->memory + TRAIN_ROOM;
    b->payload = b->memory + 2 * TRAIN_ROOM + SKEW;
    memset(b->payload, 0xa5, size);
    memset(b->slot, 0x40, size);
    return true;
}

bool cipher_run(const struct cipher_setup *setup, const struct flow_shape *flow,
                double *ret_seal_ns, double *ret_open_ns, struct failure *failure)
{
    struct bench b = {
        .shape = cipher_shape_of(flow->segment_size),
        .packet_size = flow->segment_size,
        .packet_count = flow->segment_count,
    };
    bool is_authentic = true;
    bool is_good = prepare(&b, setup);
    if (is_good) {
        (void)time_it(&b, true, WARMUP_NS, &is_authentic);
        *ret_seal_ns = time_it(&b, true, setup->duration_ns / 2, &is_authentic);
        memcpy(b.sealed, b.slot, (size_t)b.packet_size * b.packet_count);
        (void)time_it(&b, false, WARMUP_NS, &is_authentic);
        *ret_open_ns = time_it(&b, false, setup->duration_ns / 2, &is_authentic);
    }
    sc_protect_ops.destroy(b.key);
    free(b.memory);
    if (!is_good)
        return failure_set(failure, "the cipher: no such suite or --crypto here, or out of memory");
    return is_authentic || failure_set(failure, "the cipher does not open what it has sealed");
}
