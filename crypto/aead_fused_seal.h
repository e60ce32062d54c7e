/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_SEAL_H
#define SC_AEAD_FUSED_SEAL_H

/* Seals packets with the fused AES-GCM.  How it works stands in aead_fused_impl.h. */

#include "crypto/aead_fused_pass.h"
#include "crypto/aead_fused_wide.h"
#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* The scatter list of the plaintext, and how far it has been read. */
struct source {
    const struct sb_bytes *next; /* part */
    const uint8_t *at;
    size_t run; /* bytes at `at` */
};

INLINE struct source source_of(const struct sp_seal *packet)
{
    return (struct source){
        .next = packet->parts + 1,
        .at = packet->parts[0].data,
        .run = packet->parts[0].size,
    };
}

/* Takes `size` bytes if they stand in one place. */
INLINE const uint8_t *source_take(struct source *source, size_t size)
{
    if (SB_UNLIKELY(source->run < size))
        return NULL;
    const uint8_t *at = source->at;
    source->at += size;
    source->run -= size;
    return at;
}

/* Brings `size` bytes of several parts together, of a vector at most. */
static __attribute__((noinline)) void source_join(struct source *source, size_t size, uint8_t *ret)
{
    while (size > 0) {
        while (source->run == 0) {
            source->at = source->next->data;
            source->run = source->next->size;
            source->next++;
        }
        size_t now = SB_MIN(SB_MIN(size, source->run), (size_t)16);
        sc_store_some(ret, sc_load_some(source->at, now), now);
        ret += now;
        size -= now;
        source->at += now;
        source->run -= now;
    }
}

/* A vector that begins with less than a block, the head of a frame, and goes on in the next part:
 * put together in registers, since a load out of what was stored in pieces has to wait. */
INLINE bool source_cross(struct source *source, uint8_t *ret)
{
    size_t head = source->run;
    if (head == 0 || head >= 16 || source->next->size < VEC_SIZE)
        return false;
    const uint8_t *data = source->next->data;
    __m128i block =
        _mm_or_si128(sc_load_some(source->at, head), sc_move_up(sc_load_all(data), head));
    vec_store(ret, vec_concat(block, data + 16 - head));
    source->at = data + VEC_SIZE - head;
    source->run = source->next->size + head - VEC_SIZE;
    source->next++;
    return true;
}

enum { PLACES = SB_MAX(VEC_GROUP, VEC_WIDE) };

/* Where the text of a group is found: all in one place, or vector by vector. */
struct places {
    const uint8_t *all; /* NULL: see `each` */
    const uint8_t *each[PLACES];
    uint8_t joined[PLACES * VEC_SIZE]; /* vectors that cross the border of two parts */
};

static __attribute__((noinline)) void places_find_each(struct places *places, struct source *source,
                                                       size_t size)
{
    for (size_t i = 0; size > 0; i++) {
        uint8_t *joined = places->joined + i * VEC_SIZE;
        size_t now = SB_MIN(size, (size_t)VEC_SIZE);
        places->each[i] = source_take(source, now);
        if (places->each[i] == NULL) {
            if (now < VEC_SIZE || !source_cross(source, joined))
                source_join(source, now, joined);
            places->each[i] = joined;
        }
        size -= now;
    }
}

/* Finds the next `size` bytes.  Done before the rounds, which hide how long it takes. */
INLINE void places_find(struct places *places, struct source *source, size_t size)
{
    places->all = source_take(source, size);
    if (SB_UNLIKELY(places->all == NULL))
        places_find_each(places, source, size);
}

INLINE void seal_group(const struct pass *pass, const vec state[VEC_GROUP],
                       const struct places *places, uint8_t *out)
{
#define SEAL(i) \
    vec_store(out + i * VEC_SIZE, pass_crypt(pass, state[i], vec_load(at + i * VEC_SIZE)));
#define SEAL_EACH(i) \
    vec_store(out + i * VEC_SIZE, pass_crypt(pass, state[i], vec_load(places->each[i])));
    const uint8_t *at = places->all;
    if (SB_LIKELY(at != NULL)) {
        VEC_EACH(SEAL)
    } else {
        VEC_EACH(SEAL_EACH)
    }
#undef SEAL_EACH
#undef SEAL
}

#if VEC_WIDE > 0
/* Encrypts the group whose rounds are done, and leaves the ciphertext to be hashed. */
INLINE void seal_wide_group(struct wide *wide, const struct pass *pass, const struct places *places,
                            uint8_t *out)
{
    const uint8_t *at = places->all;
#define SEAL(i) \
    wide->text[i] = pass_crypt(pass, wide->state[i], vec_load(at + (i) * VEC_SIZE)); \
    vec_store(out + (i) * VEC_SIZE, wide->text[i]);
#define SEAL_EACH(i) \
    wide->text[i] = pass_crypt(pass, wide->state[i], vec_load(places->each[i])); \
    vec_store(out + (i) * VEC_SIZE, wide->text[i]);
    if (SB_LIKELY(at != NULL)) {
        WIDE_EACH(SEAL)
    } else {
        WIDE_EACH(SEAL_EACH)
    }
#undef SEAL_EACH
#undef SEAL
}
#endif

/* Seals the wide groups at the beginning of a packet of `size` bytes.  Returns their bytes. */
INLINE size_t seal_wide(struct pass *pass, struct source *source, struct places *places,
                        uint8_t *out, size_t size)
{
#if VEC_WIDE > 0
    struct wide wide;
    wide_begin(&wide, pass);
    places_find(places, source, WIDE_SIZE);
    wide_pass(&wide, pass, false);
    seal_wide_group(&wide, pass, places, out);
    size_t done = WIDE_SIZE;
    for (; size - done >= WIDE_SIZE; done += WIDE_SIZE) {
        places_find(places, source, WIDE_SIZE);
        wide_pass(&wide, pass, true);
        seal_wide_group(&wide, pass, places, out + done);
    }
    wide_hash(&wide, pass);
    wide_end(&wide, pass);
    return done;
#else
    (void)pass, (void)source, (void)places, (void)out, (void)size;
    return 0;
#endif
}

/* Less than a group, the last of the packet: into `out` and into the sum. */
INLINE void seal_rest(struct pass *pass, struct sum *sum, const vec state[VEC_GROUP],
                      const struct places *places, uint8_t *out, size_t size)
{
    size_t power = power_at(blocks_of(size) + 1);
    size_t whole = size / VEC_SIZE;
    size_t some = size % VEC_SIZE;
    vec state_last = state[0];
    const uint8_t *at = places->all;
#define PLACE(i) (at != NULL ? at + (i) * VEC_SIZE : places->each[i])
#define SEAL(i) \
    if (i < whole) { \
        vec text = pass_crypt(pass, state[i], vec_load(PLACE(i))); \
        vec_store(out + i * VEC_SIZE, text); \
        pass_hash(pass, sum, text, i, power); \
    } else if (i == whole) { \
        state_last = state[i]; \
    }
    VEC_EACH(SEAL)
    if (some > 0) {
        vec text = pass_crypt(pass, state_last, vec_load_some(PLACE(whole), some));
        vec_store_some(out + whole * VEC_SIZE, text, some);
        text = vec_reverse(vec_keep(text, some));
        text = vec_xor(text, vec_first(pass->hash));
        pass->hash = _mm_setzero_si128();
        sum_add(sum, text, pass->key, power + whole * VEC_BLOCKS);
    }
#undef SEAL
#undef PLACE
}

/* Seals `size` bytes. */
INLINE void seal_packet(const struct sc_fused_key *key, const struct sp_seal *packet, size_t size,
                        bool is_wide)
{
    struct source source = source_of(packet);
    struct places places;
    struct pass pass = pass_of(key, packet->pn);
    vec state[VEC_GROUP];
    uint8_t *out = packet->out;
    size_t left = size;
    struct sum sum;
    if (is_wide) {
        sum = pass_header(&pass, packet->header, packet->header_size, 0);
        pass.hash = sum_reduce(&sum);
        sum = sum_zero();
        size_t wide = seal_wide(&pass, &source, &places, out, left);
        out += wide;
        left -= wide;
    }
    places_find(&places, &source, SB_MIN(left, (size_t)GROUP_SIZE));
    if (!is_wide && left < GROUP_SIZE) {
        sum = pass_header(&pass, packet->header, packet->header_size, blocks_of(left) + 1);
    } else if (!is_wide) {
        sum = pass_header(&pass, packet->header, packet->header_size, 0);
        pass.hash = sum_reduce(&sum);
        sum = sum_zero();
    }
    if (left < GROUP_SIZE) {
        pass_group(&pass, state, true, NULL);
    } else {
        pass_group(&pass, state, false, NULL);
        seal_group(&pass, state, &places, out);
        for (left -= GROUP_SIZE; left >= GROUP_SIZE; left -= GROUP_SIZE) {
            places_find(&places, &source, GROUP_SIZE);
            pass_group(&pass, state, false, out);
            out += GROUP_SIZE;
            seal_group(&pass, state, &places, out);
        }
        places_find(&places, &source, left);
        pass_group(&pass, state, true, out);
        out += GROUP_SIZE;
    }
    seal_rest(&pass, &sum, state, &places, out, left);
    sc_store_all(out + left, pass_tag(&pass, &sum, packet->header_size, size));
}

/* Apart, so that what it needs costs smaller packets nothing. */
static __attribute__((noinline)) void seal_wide_packet(const struct sc_fused_key *key,
                                                       const struct sp_seal *packet, size_t size)
{
    seal_packet(key, packet, size, true);
}

static inline void fused_seal(const struct sc_fused_key *key, const struct sp_seal *packet)
{
    SB_ASSERT(packet->part_count >= 1 && packet->pn <= SP_PN_MAX);
    size_t size = 0;
    for (size_t i = 0; i < packet->part_count; i++)
        size += packet->parts[i].size;
    SB_ASSERT(size <= SIZE_MAX_SUPPORTED);
    if (wide_fits(size))
        seal_wide_packet(key, packet, size);
    else
        seal_packet(key, packet, size, false);
}

#endif
