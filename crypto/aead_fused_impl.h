/* SPDX-License-Identifier: MIT */
#ifndef SC_AEAD_FUSED_IMPL_H
#define SC_AEAD_FUSED_IMPL_H

/* AES-GCM, fused for packets: the algorithm, for a vector of VEC_BLOCKS blocks.
 *
 * GCM (D. McGrew, J. Viega: The Galois/Counter Mode of Operation, 2005; NIST SP 800-38D)
 * encrypts counter blocks and XORs them to the text, and hashes the ciphertext by
 *
 *     Y = (Y ^ block) * H      over GF(2^128), for each block
 *
 * Both are done on VEC_GROUP vectors at a time, each filling the gaps that the other leaves in
 * the execution units, because they depend on different things:
 *
 *   seal   encrypts a group while it hashes the ciphertext of the group before
 *   open   encrypts a group while it hashes the ciphertext that this group will decrypt
 *
 * The end of a text, less than a group, goes through all vectors too: an AES round has a latency
 * of four cycles and two can begin in each, so one block takes as long as eight.  The block that
 * encrypts the tag takes part in the same rounds.
 *
 * Hashing (S. Gueron, M. Kounavis: Intel Carry-Less Multiplication Instruction and its Usage
 * for Computing the GCM Mode, 2010):
 *
 *   - Aggregation: with powers of H that are computed once per key, n blocks are
 *     Y = (Y ^ B1) H^n ^ B2 H^(n-1) ^ .. ^ Bn H, and are reduced once.
 *   - Bytes are reversed on the way in, so that a register has the polynomial's bits in order but
 *     for their direction.  The product of two such is one bit off; so the powers are
 *     kept times x.  (S. Gueron: the same, in "AES-GCM for efficient authenticated encryption".)
 *   - The reduction modulo x^128 + x^7 + x^2 + x + 1 folds the low 64 bits up, twice, with one
 *     multiplication by 0xc2000000_00000000 each.
 *   - A product of 128 bits is four of 64, or three by Karatsuba's rule: the layer says.
 *
 * A packet whose text is shorter than a group, which is what most of the ACKs are, takes one pass
 * and one reduction: header, text and lengths are hashed into one sum.
 *
 * Registers, with AVX2: VEC_GROUP = 6 states, three sums, a block that is hashed, its fold,
 * the round key, the counter, the order of bytes, and one or two to spare.  Round keys
 * are broadcast from memory as they are needed, and powers are operands in memory: both are
 * in the L1 cache, and one load per cycle costs nothing here.
 *
 * Nothing branches on a key, a text or a tag, and none is used as an address: AES and products are
 * instructions whose time does not depend on data (Intel: Data Operand Independent Timing
 * list), tags are compared as a whole.  Sizes and places are not secret.
 *
 * A peer controls `data`, `size`, `header` of open(): nothing is asserted of their bytes. */

#include <string.h>

#include "crypto/aead_fused.h"
#include "crypto/aead_fused_hash.h"
#include "proto/base/assert.h"
#include "proto/base/compiler.h"

/* Marks a secret-derived value as public: the result of open().  For a test that tracks secrets. */
#ifndef DECLASSIFY
#define DECLASSIFY(value) ((void)(value))
#endif

_Static_assert((size_t)GROUP_SIZE > SP_PEEK_SIZE_MAX, "less than a group is enough to peek");

/* ---- A packet's way through ---- */

struct pass {
    const struct sc_fused_key *key;
    vec counter; /* blocks, with the counter in the machine's order */
    vec last_key;
    vec tag_state; /* the counter block that hides the tag, between rounds, first */
    __m128i hash;  /* Y so far: added to the next block */
};

INLINE struct pass pass_of(const struct sc_fused_key *key, uint64_t pn)
{
    /* [RFC9001 5.3] The packet number, big endian and padded on the left, XOR the IV. */
    __m128i number = _mm_cvtsi64_si128((long long)__builtin_bswap64(pn));
    __m128i nonce = _mm_xor_si128(sc_load_all(key->iv), _mm_slli_si128(number, 4));
    const struct sc_fused_schedule *schedule = &key->schedule;
    __m128i one = _mm_xor_si128(nonce, _mm_set_epi32(0x01000000, 0, 0, 0)); /* big endian */
    __m128i two = _mm_xor_si128(nonce, _mm_set_epi32(2, 0, 0, 0));
    return (struct pass){
        .key = key,
        .counter = vec_add(vec_every(two), vec_count()),
        .last_key = round_key(schedule, schedule->rounds),
        .tag_state = vec_xor(vec_first(one), round_key(schedule, 0)),
        .hash = _mm_setzero_si128(),
    };
}

/* The next counter blocks. */
INLINE vec pass_count(struct pass *pass)
{
    const vec order = vec_every(_mm_set_epi8(12, 13, 14, 15, 11, 10, 9, 8, 7, 6, 5, 4, 3, 2, 1, 0));
    const vec step = vec_every(_mm_set_epi32(VEC_BLOCKS, 0, 0, 0));
    vec blocks = vec_bytes(pass->counter, order);
    pass->counter = vec_add(pass->counter, step);
    return blocks;
}

/* Adds vector `i` at `text` to `sum`, as one of those that the power `at` is the first of. */
INLINE void pass_hash(struct pass *pass, struct sum *sum, vec text, size_t i, size_t at)
{
    vec blocks = vec_reverse(text);
    if (i == 0) {
        blocks = vec_xor(blocks, vec_first(pass->hash));
        pass->hash = _mm_setzero_si128();
    }
    sum_add(sum, blocks, pass->key, at + i * VEC_BLOCKS);
}

/* Runs all rounds but the last over the next group of counter blocks, and over the tag's with
 * `with_tag`; and hashes the group at `hashed` meanwhile, if there is one. */
INLINE void pass_group(struct pass *pass, vec state[VEC_GROUP], bool with_tag,
                       const uint8_t *hashed)
{
    const struct sc_fused_schedule *schedule = &pass->key->schedule;
    struct sum sum = sum_zero();
    vec key = round_key(schedule, 0);
#define BEGIN(i) state[i] = vec_xor(pass_count(pass), key);
#define ROUND(i) state[i] = vec_round(state[i], key);
    /* clang-format off */
#define ROUNDS(r) \
    key = round_key(schedule, r); \
    VEC_EACH(ROUND) \
    if (with_tag) \
        pass->tag_state = vec_round(pass->tag_state, key);
#define HASH(i) \
    if (hashed != NULL && i < VEC_GROUP) \
        pass_hash(pass, &sum, vec_load(hashed + i * VEC_SIZE), i, \
                  power_at(VEC_GROUP * VEC_BLOCKS));
    VEC_EACH(BEGIN)
    ROUNDS(1) HASH(0)
    ROUNDS(2) HASH(1)
    ROUNDS(3) HASH(2)
    ROUNDS(4) HASH(3)
    ROUNDS(5) HASH(4)
    ROUNDS(6) HASH(5)
    ROUNDS(7)
    ROUNDS(8)
    ROUNDS(9)
        /* clang-format on */
        if (hashed != NULL) pass->hash = sum_reduce(&sum);
    if (schedule->rounds > 10) {
        ROUNDS(10)
        ROUNDS(11)
        ROUNDS(12)
        ROUNDS(13)
    }
#undef HASH
#undef ROUNDS
#undef ROUND
#undef BEGIN
}
_Static_assert(VEC_GROUP <= 6, "there is a place in pass_group() to hash each");

/* The last round, and the text that it is XORed to. */
INLINE vec pass_crypt(const struct pass *pass, vec state, vec text)
{
    return vec_last_round(state, vec_xor(text, pass->last_key));
}

/* Hashes associated data.  The last of it is left in the sum, to be reduced with `behind` more
 * blocks. */
INLINE struct sum pass_header(struct pass *pass, const uint8_t *header, size_t size, size_t behind)
{
    while (SB_UNLIKELY(size > VEC_SIZE)) { /* an Initial with a token */
        struct sum one = sum_zero();
        pass_hash(pass, &one, vec_load(header), 0, power_at(VEC_BLOCKS));
        pass->hash = sum_reduce(&one);
        header += VEC_SIZE;
        size -= VEC_SIZE;
    }
    struct sum sum = sum_zero();
    vec last = vec_load_some(header, size);
    pass_hash(pass, &sum, last, 0, power_at((size + 15) / 16 + behind));
    return sum;
}

/* The tag: hashes the lengths, and hides the result under the tag's counter block. */
INLINE __m128i pass_tag(struct pass *pass, struct sum *sum, size_t header_size, size_t size)
{
    __m128i bits = _mm_set_epi64x((long long)header_size * 8, (long long)size * 8);
    sum_add(sum, vec_first(_mm_xor_si128(bits, pass->hash)), pass->key, power_at(1));
    vec hash = vec_first(reverse(sum_reduce(sum)));
    return vec_low(pass_crypt(pass, pass->tag_state, hash));
}

INLINE size_t blocks_of(size_t size)
{
    return (size + 15) / 16;
}

/* ---- Seal ---- */

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

/* Where the text of a group is found: all in one place, or vector by vector. */
struct places {
    const uint8_t *all; /* NULL: see `each` */
    const uint8_t *each[VEC_GROUP];
    uint8_t joined[GROUP_SIZE]; /* vectors that cross the border of two parts */
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

static inline void fused_seal(const struct sc_fused_key *key, const struct sp_seal *packet)
{
    SB_ASSERT(packet->part_count >= 1 && packet->pn <= SP_PN_MAX);
    size_t size = 0;
    for (size_t i = 0; i < packet->part_count; i++)
        size += packet->parts[i].size;
    SB_ASSERT(size <= SIZE_MAX_SUPPORTED);

    struct source source = source_of(packet);
    struct places places;
    struct pass pass = pass_of(key, packet->pn);
    struct sum sum;
    vec state[VEC_GROUP];
    uint8_t *out = packet->out;
    size_t left = size;
    places_find(&places, &source, SB_MIN(left, (size_t)GROUP_SIZE));
    if (left < GROUP_SIZE) {
        sum = pass_header(&pass, packet->header, packet->header_size, blocks_of(left) + 1);
        pass_group(&pass, state, true, NULL);
    } else {
        sum = pass_header(&pass, packet->header, packet->header_size, 0);
        pass.hash = sum_reduce(&sum);
        sum = sum_zero();
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

/* ---- Open ---- */

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
    memset(packet->data, 0, head_size);
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
        .at = packet->data,
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

/* ---- Masks ---- */

/* [RFC9001 5.4.3] A group of blocks at a time, for a block alone takes as long. */
static inline void fused_masks(const struct sc_fused_schedule *schedule,
                               const uint8_t *const *samples, size_t count,
                               uint8_t (*ret)[SP_MASK_SIZE])
{
    enum { BATCH = VEC_GROUP * VEC_BLOCKS };
    while (count > 0) {
        size_t now = SB_MIN(count, (size_t)BATCH);
        const uint8_t *at[BATCH];
        for (size_t i = 0; i < BATCH; i++)
            at[i] = samples[SB_MIN(i, now - 1)];
        vec key = round_key(schedule, 0);
#define BEGIN(i) vec state##i = vec_xor(vec_join(at + i * VEC_BLOCKS), key);
#define ROUND(i) state##i = vec_round(state##i, key);
#define END(i)   vec_store(blocks[i * VEC_BLOCKS], vec_last_round(state##i, key));
        VEC_EACH(BEGIN)
        for (size_t r = 1; r < schedule->rounds; r++) {
            key = round_key(schedule, r);
            VEC_EACH(ROUND)
        }
        key = round_key(schedule, schedule->rounds);
        uint8_t blocks[BATCH][16];
        VEC_EACH(END)
#undef END
#undef ROUND
#undef BEGIN
        for (size_t i = 0; i < now; i++)
            memcpy(ret[i], blocks[i], SP_MASK_SIZE);
        samples += now;
        ret += now;
        count -= now;
    }
}

/* The six of them. */
#define SC_FUSED_OF(name_of_it) \
    { \
        .name = (name_of_it), \
        .init_schedule = fused_init_schedule, \
        .init_key = fused_init_key, \
        .seal = fused_seal, \
        .open = fused_open, \
        .peek = fused_peek, \
        .masks = fused_masks, \
    }

#endif
