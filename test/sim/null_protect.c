/* SPDX-License-Identifier: MIT */
#include "test/sim/null_protect.h"

#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "test/sim/random.h"

struct sp_key {
    const struct qs_null_plan *plan;
    uint64_t packet[2]; /* one word for each half of the tag */
    uint64_t header;
    uint64_t sealed_count;
    uint64_t last_pn;
    bool is_resting;
};

void qs_null_plan_init(struct qs_null_plan *plan)
{
    *plan = (struct qs_null_plan){
        .seal_count_max = UINT64_C(1) << 23,
        .fail_count_max = UINT64_C(1) << 52,
    };
}

static struct sp_key *key_of(const struct qs_null_plan *plan, uint64_t seed)
{
    struct sp_key *key = malloc(sizeof(*key));
    if (key == NULL)
        return NULL;
    *key = (struct sp_key){
        .plan = plan,
        .packet = {qs_mix(seed + 1), qs_mix(seed + 2)},
        .header = qs_mix(seed + 3),
    };
    return key;
}

static bool null_initial(void *context, uint32_t version, const struct sp_cid *dcid,
                         enum sp_role role, struct sp_key **ret_read, struct sp_key **ret_write)
{
    uint64_t seed = qs_hash(UINT64_C(0x38762cf7f55934b3) ^ version, dcid->bytes, dcid->size);
    struct sp_key *from_client = key_of(context, seed);
    struct sp_key *from_server = key_of(context, ~seed);
    if (from_client == NULL || from_server == NULL) {
        free(from_client);
        free(from_server);
        return false;
    }
    *ret_read = role == SP_CLIENT ? from_server : from_client;
    *ret_write = role == SP_CLIENT ? from_client : from_server;
    return true;
}

static struct sp_key *null_key(void *context, uint32_t version, enum sp_suite suite,
                               const uint8_t *secret, size_t secret_size)
{
    if (suite == SP_SUITE_NONE)
        return NULL;
    return key_of(context, qs_hash((uint64_t)suite ^ (uint64_t)version << 32, secret, secret_size));
}

static struct sp_key *null_next(const struct sp_key *key)
{
    struct sp_key *next = malloc(sizeof(*next));
    if (next == NULL)
        return NULL;
    *next = (struct sp_key){
        .plan = key->plan,
        .packet = {qs_mix(key->packet[0] + 4), qs_mix(key->packet[1] + 4)},
        .header = key->header,
    };
    return next;
}

static void null_destroy(struct sp_key *key)
{
    if (key == NULL)
        return;
    memset(key, 0xdd, sizeof(*key));
    free(key);
}

static struct sp_key_limits null_limits(const struct sp_key *key)
{
    return (struct sp_key_limits){
        .seal_count_max = key->plan->seal_count_max,
        .fail_count_max = key->plan->fail_count_max,
    };
}

static void tag_of(const struct sp_key *key, uint64_t pn, struct sb_bytes header,
                   struct sb_bytes payload, uint8_t ret_tag[SP_TAG_SIZE])
{
    uint64_t hash = qs_hash(key->packet[0] ^ pn, header.data, header.size);
    hash = qs_hash(hash, payload.data, payload.size);
    uint64_t halves[2] = {qs_mix(hash ^ key->packet[0]), qs_mix(hash ^ key->packet[1])};
    memcpy(ret_tag, halves, SP_TAG_SIZE);
}

/* Hides the payload, so that no part of a packet that is cut looks like a token that was in it.
 * Twice it shows it again. */
static void veil(const struct sp_key *key, uint8_t *data, size_t size)
{
    for (size_t i = 0; i < size && !key->plan->accepts_anything; i++)
        data[i] ^= QS_NULL_VEIL;
}

/* The parts lie outside of `out`, or exactly where their bytes belong in it. */
static void check_overlap(const struct sp_seal *packet, size_t size)
{
    uintptr_t begin = (uintptr_t)packet->out;
    uintptr_t end = begin + size + SP_TAG_SIZE;
    uintptr_t at = begin;
    for (size_t i = 0; i < packet->part_count; i++) {
        uintptr_t part = (uintptr_t)packet->parts[i].data;
        size_t part_size = packet->parts[i].size;
        SB_ASSERT(part_size == 0 || part == at || part + part_size <= begin || part >= end);
        at += part_size;
    }
}

static void null_rest(struct sp_key *key)
{
    key->is_resting = true;
}

static bool null_wake(struct sp_key *key)
{
    key->is_resting = key->is_resting && key->plan->is_out_of_memory;
    return !key->is_resting;
}

static size_t null_seal(struct sp_key *key, const struct sp_seal *packet)
{
    SB_ASSERT(!key->is_resting);
    SB_ASSERT(packet->part_count > 0);
    SB_ASSERT(packet->header_size > 0);
    /* A nonce is used once.  [RFC9001 5.3] */
    SB_ASSERT(key->sealed_count == 0 || packet->pn > key->last_pn);
    SB_ASSERT(key->sealed_count < key->plan->seal_count_max);
    key->sealed_count++;
    key->last_pn = packet->pn;

    size_t size = 0;
    for (size_t i = 0; i < packet->part_count; i++)
        size += packet->parts[i].size;
    check_overlap(packet, size);

    uint8_t *at = packet->out;
    for (size_t i = 0; i < packet->part_count; i++) {
        if (packet->parts[i].size > 0)
            memmove(at, packet->parts[i].data, packet->parts[i].size);
        at += packet->parts[i].size;
    }
    veil(key, packet->out, size);
    tag_of(key, packet->pn, (struct sb_bytes){packet->header, packet->header_size},
           (struct sb_bytes){packet->out, size}, at);
    return 0; /* as a cipher that takes the parts where they are */
}

static void open_one(const struct sp_key *key, struct sp_open *packet)
{
    packet->is_authentic = false;
    if (packet->size < SP_TAG_SIZE)
        return;
    size_t payload_size = packet->size - SP_TAG_SIZE;
    uint8_t *end = packet->data + payload_size;
    uint8_t tag[SP_TAG_SIZE];
    tag_of(key, packet->pn, (struct sb_bytes){packet->header, packet->header_size},
           (struct sb_bytes){packet->data, payload_size}, tag);
    packet->is_authentic = memcmp(tag, end, SP_TAG_SIZE) == 0 || key->plan->accepts_anything;
    veil(key, packet->data, payload_size);
    if (packet->body != NULL) {
        SB_ASSERT(packet->head_size <= payload_size);
        size_t body_size = payload_size - packet->head_size;
        bool has_head = packet->head != NULL;
        if (has_head)
            memcpy(packet->head, packet->data, packet->head_size);
        bool is_down = packet->body <= packet->data && packet->body + body_size > packet->data;
        SB_ASSERT(!is_down || has_head);
        /* A real cipher has written before it knows. */
        if (packet->is_authentic)
            memmove(packet->body, packet->data + packet->head_size, body_size);
        else
            memset(packet->body, 0xee, body_size);
        uint8_t *rest = is_down    ? packet->body + body_size
                        : has_head ? packet->data
                                   : packet->data + packet->head_size;
        memset(rest, 0xee, (size_t)(end - rest));
    }
    if (packet->is_authentic)
        memset(end, 0xee, SP_TAG_SIZE); /* the tag must not be read */
    else if (packet->body == NULL)
        memset(packet->data, 0xee, payload_size);
    else
        memset(packet->head != NULL ? packet->head : packet->data, 0xee, packet->head_size);
}

static void null_open(struct sp_key *key, struct sp_open *packets, size_t count)
{
    SB_ASSERT(!key->is_resting);
    for (size_t i = 0; i < count; i++)
        open_one(key, &packets[i]);
}

static bool null_opens_down(const struct sp_key *key)
{
    (void)key;
    return true;
}

static void null_peek(struct sp_key *key, const struct sp_open *packet, size_t size, uint8_t *ret)
{
    SB_ASSERT(!key->is_resting);
    SB_ASSERT(size <= SP_PEEK_SIZE_MAX && packet->size >= SP_TAG_SIZE + size);
    memcpy(ret, packet->data, size);
    veil(key, ret, size);
}

static void null_masks(struct sp_key *key, const uint8_t *const *samples, size_t count,
                       uint8_t (*ret_masks)[SP_MASK_SIZE])
{
    SB_ASSERT(!key->is_resting);
    for (size_t i = 0; i < count; i++) {
        uint64_t mask = qs_hash(key->header, samples[i], SP_SAMPLE_SIZE);
        memcpy(ret_masks[i], &mask, SP_MASK_SIZE);
    }
}

bool qs_null_retry_tag(uint32_t version, const struct sp_cid *original_dcid, const uint8_t *packet,
                       size_t size, uint8_t ret[SP_TAG_SIZE])
{
    struct sp_key key = {.packet = {version, 2}};
    tag_of(&key, 0, (struct sb_bytes){original_dcid->bytes, original_dcid->size},
           (struct sb_bytes){packet, size}, ret);
    return true;
}

static bool null_retry_is_authentic(void *context, uint32_t version,
                                    const struct sp_cid *original_dcid, const uint8_t *packet,
                                    size_t size)
{
    (void)context;
    uint8_t tag[SP_TAG_SIZE];
    if (size < SP_TAG_SIZE)
        return false;
    (void)qs_null_retry_tag(version, original_dcid, packet, size - SP_TAG_SIZE, tag);
    return memcmp(tag, packet + size - SP_TAG_SIZE, SP_TAG_SIZE) == 0;
}

const struct sp_protect_ops qs_null_protect_ops = {
    .initial = null_initial,
    .key = null_key,
    .next = null_next,
    .destroy = null_destroy,
    .limits = null_limits,
    .seal = null_seal,
    .open = null_open,
    .opens_down = null_opens_down,
    .peek = null_peek,
    .masks = null_masks,
    .rest = null_rest,
    .wake = null_wake,
    .retry_is_authentic = null_retry_is_authentic,
};
