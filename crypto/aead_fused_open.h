/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_OPEN_H
#define SC_AEAD_FUSED_OPEN_H

/* Opens packets, and looks into them, with the fused AES-GCM.  How it works stands in
 * aead_fused_impl.h. */

#include <string.h>

#include "crypto/aead_fused_pass.h"
#include "crypto/aead_fused_wide.h"
#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* Marks a secret-derived value as public: the result of open().  For a test that tracks secrets. */
#ifndef DECLASSIFY
#define DECLASSIFY(value) ((void)(value))
#endif

_Static_assert((size_t)GROUP_SIZE > SP_PEEK_SIZE_MAX, "less than a group is enough to peek");

/* Where the plaintext goes to: the head, and then the body, which may be elsewhere. */
struct target {
    uint8_t *at;
    size_t run; /* bytes at `at` */
    uint8_t *body;
};

/* Gives room for `size` bytes if they go to one place. */
INLINE uint8_t *target_room(struct target *target, size_t size)
{
    if (target->run == 0 && target->body != NULL) {
        target->at = target->body;
        target->run = SIZE_MAX;
    }
    if (SB_UNLIKELY(target->run < size))
        return NULL;
    uint8_t *at = target->at;
    target->at += size;
    target->run -= size;
    return at;
}

/* Stores `size` bytes that the border goes through, a vector at most. */
static __attribute__((noinline)) void target_split(struct target *target, const uint8_t *from,
                                                   size_t size)
{
    size_t head = target->run;
    memcpy(target->at, from, head);
    target->run = 0;
    memcpy(target_room(target, size - head), from + head, size - head);
}

/* Opens a vector, or the first `size` bytes of one, at `data`. */
INLINE void open_vec(const struct pass *pass, vec state, vec text, struct target *target,
                     size_t size)
{
    text = pass_crypt(pass, state, text);
    uint8_t *to = target_room(target, size);
    if (SB_UNLIKELY(to == NULL)) {
        uint8_t joined[VEC_SIZE];
        vec_store(joined, text);
        target_split(target, joined, size);
    } else if (size == VEC_SIZE) {
        vec_store(to, text);
    } else {
        vec_store_some(to, text, size);
    }
}

INLINE void open_group(const struct pass *pass, const vec state[VEC_GROUP], const uint8_t *data,
                       struct target *target)
{
    uint8_t *to = target_room(target, GROUP_SIZE);
    if (SB_LIKELY(to != NULL)) {
        /* All loads before all stores: the compiler cannot know that the two may only be equal. */
#define OPEN(i)  vec text##i = pass_crypt(pass, state[i], vec_load(data + i * VEC_SIZE));
#define STORE(i) vec_store(to + i * VEC_SIZE, text##i);
        VEC_EACH(OPEN)
        VEC_EACH(STORE)
#undef STORE
#undef OPEN
    } else {
#define OPEN(i) open_vec(pass, state[i], vec_load(data + i * VEC_SIZE), target, VEC_SIZE);
        VEC_EACH(OPEN)
#undef OPEN
    }
}

#if VEC_WIDE > 0
INLINE void open_wide_group(const struct wide *wide, const struct pass *pass, struct target *target)
{
    uint8_t *to = target_room(target, WIDE_SIZE);
    if (SB_LIKELY(to != NULL)) {
#define OPEN(i) vec_store(to + (i) * VEC_SIZE, pass_crypt(pass, wide->state[i], wide->text[i]));
        WIDE_EACH(OPEN)
#undef OPEN
    } else {
#define OPEN(i) open_vec(pass, wide->state[i], wide->text[i], target, VEC_SIZE);
        WIDE_EACH(OPEN)
#undef OPEN
    }
}
#endif

/* Opens the wide groups at the beginning of `size` bytes of text.  Returns their bytes. */
INLINE size_t open_wide(struct pass *pass, const uint8_t *data, size_t size, struct target *target)
{
#if VEC_WIDE > 0
    struct wide wide;
    size_t done = 0;
    if (!wide_fits(size))
        return 0;
    wide_begin(&wide, pass);
    for (; size - done >= WIDE_SIZE; done += WIDE_SIZE) {
#define LOAD(i) wide.text[i] = vec_load(data + done + (i) * VEC_SIZE);
        WIDE_EACH(LOAD)
#undef LOAD
        wide_pass(&wide, pass, true);
        open_wide_group(&wide, pass, target);
    }
    wide_end(&wide, pass);
    return done;
#else
    (void)pass, (void)data, (void)size, (void)target;
    return 0;
#endif
}

/* Hashes less than a group, the last of the packet. */
INLINE void hash_rest(struct pass *pass, struct sum *sum, const uint8_t *data, size_t size)
{
    size_t power = power_at(blocks_of(size) + 1);
#define HASH(i) \
    if (size >= (i + 1) * VEC_SIZE) \
        pass_hash(pass, sum, vec_load(data + i * VEC_SIZE), i, power);
    VEC_EACH(HASH)
#undef HASH
    size_t whole = size / VEC_SIZE;
    size_t some = size % VEC_SIZE;
    if (some > 0) {
        vec text = vec_load_some(data + whole * VEC_SIZE, some);
        text = vec_xor(vec_reverse(text), vec_first(pass->hash));
        pass->hash = _mm_setzero_si128();
        sum_add(sum, text, pass->key, power + whole * VEC_BLOCKS);
    }
}

INLINE void open_rest(const struct pass *pass, const vec state[VEC_GROUP], const uint8_t *data,
                      size_t size, struct target *target)
{
    size_t whole = size / VEC_SIZE;
    vec state_last = state[0];
#define OPEN(i) \
    if (i < whole) \
        open_vec(pass, state[i], vec_load(data + i * VEC_SIZE), target, VEC_SIZE); \
    else if (i == whole) \
        state_last = state[i];
    VEC_EACH(OPEN)
#undef OPEN
    size_t some = size % VEC_SIZE;
    if (some > 0) {
        vec text = vec_load_some(data + whole * VEC_SIZE, some);
        open_vec(pass, state_last, text, target, some);
    }
}

/* Clears the decrypted text of a forgery, so that no caller can read it. */
static __attribute__((noinline, cold)) void forget(const struct sp_open *packet, size_t size)
{
    size_t head_size = packet->body == NULL ? size : packet->head_size;
    memset(sp_open_head(packet), 0, head_size);
    if (head_size < size)
        memset(packet->body, 0, size - head_size);
}

INLINE void open_one(const struct sc_fused_key *key, struct sp_open *packet)
{
    SB_ASSERT(packet->pn <= SP_PN_MAX);
    SB_ASSERT(packet->size <= SIZE_MAX_SUPPORTED);
    packet->is_authentic = false;
    if (packet->size < SP_TAG_SIZE)
        return;
    size_t size = packet->size - SP_TAG_SIZE;
    SB_ASSERT(packet->body == NULL || packet->head_size <= size);

    struct target target = {
        .at = sp_open_head(packet),
        .run = packet->body == NULL ? SIZE_MAX : packet->head_size,
        .body = packet->body,
    };
    struct pass pass = pass_of(key, packet->pn);
    struct sum sum;
    vec state[VEC_GROUP];
    const uint8_t *data = packet->data;
    size_t left = size;
    if (left < GROUP_SIZE) {
        sum = pass_header(&pass, packet->header, packet->header_size, blocks_of(left) + 1);
    } else {
        sum = pass_header(&pass, packet->header, packet->header_size, 0);
        pass.hash = sum_reduce(&sum);
        sum = sum_zero();
        size_t wide = open_wide(&pass, data, left, &target);
        data += wide;
        left -= wide;
        for (; left >= GROUP_SIZE; left -= GROUP_SIZE) {
            pass_group(&pass, state, false, data);
            open_group(&pass, state, data, &target);
            data += GROUP_SIZE;
        }
    }
    hash_rest(&pass, &sum, data, left);
    pass_group(&pass, state, true, NULL);
    __m128i tag = pass_tag(&pass, &sum, packet->header_size, size);
    __m128i wrong = _mm_xor_si128(tag, sc_load_all(data + left));
    open_rest(&pass, state, data, left, &target);
    int right = _mm_movemask_epi8(_mm_cmpeq_epi8(wrong, _mm_setzero_si128()));
    DECLASSIFY(right);
    packet->is_authentic = right == 0xffff;
    if (SB_UNLIKELY(!packet->is_authentic))
        forget(packet, size);
}

static inline void fused_open(const struct sc_fused_key *key, struct sp_open *packets, size_t count)
{
    for (size_t i = 0; i < count; i++)
        open_one(key, &packets[i]);
}

static inline void fused_peek(const struct sc_fused_key *key, const struct sp_open *packet,
                              size_t size, uint8_t *ret)
{
    SB_ASSERT(size <= SP_PEEK_SIZE_MAX && packet->size >= SP_TAG_SIZE + size);
    struct pass pass = pass_of(key, packet->pn);
    struct target target = {.at = ret, .run = SIZE_MAX};
    vec state[VEC_GROUP];
    pass_group(&pass, state, false, NULL);
    open_rest(&pass, state, packet->data, size, &target);
}

#endif
