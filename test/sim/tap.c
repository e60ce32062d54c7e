/* SPDX-License-Identifier: MIT */
#include "test/sim/tap.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/wire/frame.h"

struct sp_key {
    struct qs_tap *tap;
    struct sp_key *inner;
    uint64_t sealed_count;
};

static struct sp_key *wrap(struct qs_tap *tap, struct sp_key *inner)
{
    if (inner == NULL)
        return NULL;
    struct sp_key *key = malloc(sizeof(*key));
    SB_ASSERT(key != NULL);
    *key = (struct sp_key){.tap = tap, .inner = inner};
    tap->key_count++;
    return key;
}

static bool tap_initial(void *context, uint32_t version, const struct sp_cid *dcid,
                        enum sp_role role, struct sp_key **ret_read, struct sp_key **ret_write)
{
    struct qs_tap *tap = context;
    struct sp_key *read;
    struct sp_key *write;
    if (!tap->inner.ops->initial(tap->inner.context, version, dcid, role, &read, &write))
        return false;
    *ret_read = wrap(tap, read);
    *ret_write = wrap(tap, write);
    return true;
}

static struct sp_key *tap_key(void *context, uint32_t version, enum sp_suite suite,
                              const uint8_t *secret, size_t secret_size)
{
    struct qs_tap *tap = context;
    return wrap(tap, tap->inner.ops->key(tap->inner.context, version, suite, secret, secret_size));
}

static struct sp_key *tap_next(const struct sp_key *key)
{
    return wrap(key->tap, key->tap->inner.ops->next(key->inner));
}

static void tap_destroy(struct sp_key *key)
{
    if (key == NULL)
        return;
    SB_ASSERT(key->tap->key_count > 0);
    key->tap->key_count--;
    key->tap->inner.ops->destroy(key->inner);
    free(key);
}

static struct sp_key_limits tap_limits(const struct sp_key *key)
{
    const struct qs_null_plan *plan = key->tap->limits;
    struct sp_key_limits limits = key->tap->inner.ops->limits(key->inner);
    limits.seal_count_max = SB_MIN(limits.seal_count_max, plan->seal_count_max);
    limits.fail_count_max = SB_MIN(limits.fail_count_max, plan->fail_count_max);
    return limits;
}

static struct qs_packet packet_of(struct sb_bytes header, uint64_t pn, struct sb_bytes payload)
{
    static const struct {
        enum sp_packet_type type;
        enum sp_space space;
    } forms[] = {
        {SP_PACKET_INITIAL, SP_SPACE_INITIAL},
        {SP_PACKET_ZERO_RTT, SP_SPACE_APP},
        {SP_PACKET_HANDSHAKE, SP_SPACE_HANDSHAKE},
    };
    struct qs_packet packet = {
        .type = SP_PACKET_ONE_RTT,
        .space = SP_SPACE_APP,
        .pn = pn,
        .header = header,
        .payload = payload,
    };
    if (header.data[0] & SP_HEADER_LONG) {
        int form = (int)sp_header_long_type(sb_load_u32(header.data + 1), header.data[0]);
        SB_ASSERT(form < 3); /* a Retry is not protected like this */
        packet.type = forms[form].type;
        packet.space = forms[form].space;
    }
    return packet;
}

/* Puts other frames into the packet, if that is wanted of this one. */
static bool forge(struct qs_tap *tap, const struct qs_packet *packet, uint8_t *plain, size_t size)
{
    const struct qs_forgery *forgery = tap->forgery;
    if (forgery == NULL || tap->has_forged || packet->type != forgery->type ||
        packet->pn < forgery->pn_min || size < forgery->size)
        return false;
    tap->has_forged = true;
    memcpy(plain, forgery->frames, forgery->size);
    memset(plain + forgery->size, SP_FRAME_PADDING, size - forgery->size);
    return true;
}

static size_t tap_seal(struct sp_key *key, const struct sp_seal *seal)
{
    struct qs_tap *tap = key->tap;
    size_t size = 0;
    for (size_t i = 0; i < seal->part_count; i++)
        size += seal->parts[i].size;
    /* Before sealing: it may be in place. */
    uint8_t *plain = malloc(size + 1);
    SB_ASSERT(plain != NULL);
    for (size_t i = 0, at = 0; i < seal->part_count; at += seal->parts[i].size, i++) {
        if (seal->parts[i].size > 0)
            memcpy(plain + at, seal->parts[i].data, seal->parts[i].size);
    }

    key->sealed_count++;
    uint64_t limit = tap_limits(key).seal_count_max;
    if (key->sealed_count > limit)
        qs_fail(tap->trace, "a key sealed %" PRIu64 " packets, its limit is %" PRIu64,
                key->sealed_count, limit);
    struct qs_packet packet = packet_of((struct sb_bytes){seal->header, seal->header_size},
                                        seal->pn, (struct sb_bytes){plain, size});
    packet.sealed_at = seal->out;
    packet.is_forged = forge(tap, &packet, plain, size);
    tap->on_packet(tap->context, &packet);
    struct sp_seal other = *seal;
    struct sb_bytes part = {plain, size};
    if (packet.is_forged) {
        other.parts = &part;
        other.part_count = 1;
    }
    if (key->sealed_count <= limit)
        (void)tap->inner.ops->seal(key->inner, &other);
    free(plain);
    return 0;
}

static void report_opened(struct qs_tap *tap, const struct sp_open *open)
{
    size_t size = open->size - SP_TAG_SIZE;
    uint8_t *plain = malloc(size + 1);
    SB_ASSERT(plain != NULL);
    size_t head_size = open->body != NULL ? open->head_size : size;
    bool has_head = open->body != NULL && open->head != NULL;
    memcpy(plain, has_head ? open->head : open->data, head_size);
    if (head_size < size)
        memcpy(plain + head_size, open->body, size - head_size);
    struct qs_packet packet = packet_of((struct sb_bytes){open->header, open->header_size},
                                        open->pn, (struct sb_bytes){plain, size});
    tap->on_packet(tap->context, &packet);
    free(plain);
}

static void tap_open(struct sp_key *key, struct sp_open *packets, size_t count)
{
    struct qs_tap *tap = key->tap;
    for (size_t i = 0; i < count; i++) {
        struct sp_open before = packets[i];
        uint8_t header[1 + SP_CID_SIZE_MAX + SP_PN_SIZE_MAX];
        if (packets[i].head != NULL) { /* the body may replace the header */
            SB_ASSERT(before.header_size <= sizeof(header));
            memcpy(header, before.header, before.header_size);
            before.header = header;
        }
        tap->inner.ops->open(key->inner, &packets[i], 1);
        if (packets[i].is_authentic)
            report_opened(tap, &before);
        else
            tap->failed_count++;
    }
}

static bool tap_opens_down(const struct sp_key *key)
{
    return key->tap->inner.ops->opens_down(key->inner);
}

static void tap_peek(struct sp_key *key, const struct sp_open *packet, size_t size, uint8_t *ret)
{
    key->tap->inner.ops->peek(key->inner, packet, size, ret);
}

static void tap_masks(struct sp_key *key, const uint8_t *const *samples, size_t count,
                      uint8_t (*ret_masks)[SP_MASK_SIZE])
{
    key->tap->inner.ops->masks(key->inner, samples, count, ret_masks);
}

static void tap_rest(struct sp_key *key)
{
    key->tap->inner.ops->rest(key->inner);
}

static bool tap_wake(struct sp_key *key)
{
    return key->tap->inner.ops->wake(key->inner);
}

static bool tap_retry_is_authentic(void *context, uint32_t version,
                                   const struct sp_cid *original_dcid, const uint8_t *packet,
                                   size_t size)
{
    struct qs_tap *tap = context;
    return tap->inner.ops->retry_is_authentic(tap->inner.context, version, original_dcid, packet,
                                              size);
}

static const struct sp_protect_ops tap_ops = {
    .initial = tap_initial,
    .key = tap_key,
    .next = tap_next,
    .destroy = tap_destroy,
    .limits = tap_limits,
    .seal = tap_seal,
    .open = tap_open,
    .opens_down = tap_opens_down,
    .peek = tap_peek,
    .masks = tap_masks,
    .rest = tap_rest,
    .wake = tap_wake,
    .retry_is_authentic = tap_retry_is_authentic,
};

struct sp_protect qs_tap_protect(struct qs_tap *tap)
{
    return (struct sp_protect){.ops = &tap_ops, .context = tap};
}
