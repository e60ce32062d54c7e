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
 * A text of WIDE_SIZE bytes or more begins with wide groups, where the layer has them: eight states
 * are as many as two rounds in each cycle with a latency of four need.  They differ from a group in
 * what is counted, because at that rate each instruction counts (aead_fused_wide.h):
 *
 *   - Products are by Karatsuba's rule.  Zen 5 begins one in two cycles, of any width, while it
 * does four rounds, so four products per vector take 8 cycles, three take 6, and the rounds take 5.
 *     On Intel one more XOR pays for the product: the same number of instructions on its two ports.
 *   - One reduction, of two more products, is for 32 blocks and not for 16.
 *   - A counter block is one XOR: the blocks of a group differ in 5 bits, which stand in a table.
 *   - Ciphertext stays in registers until it is hashed: a load that crosses a cache line is two.
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

#include "crypto/aead_fused_open.h"
#include "crypto/aead_fused_seal.h"

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
