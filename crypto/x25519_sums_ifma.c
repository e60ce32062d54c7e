/* SPDX-License-Identifier: MIT */
#include "crypto/x25519_table.h"

/* Four points at a time: each lane adds up a quarter of the entries.
 *
 * So a key takes 16 additions one after the other in the place of 64, and none of them moves
 * anything between lanes.  Two lanes have digits of the same row, whose entries are read once for
 * both: an index of each lane picks from a vector of eight limbs.
 *
 * Time does not depend on the key: its digits are indices within registers, and masks. */

#include "crypto/field25519_ifma.h"

enum { STEPS = SC_X25519_ROWS / 2 };

/* Lanes, as masks: of the rows from 0 on, and from 16 on. */
enum { LANES_OF_LOW = 5, LANES_OF_HIGH = 10 };

struct points {
    struct sc_four X, Y, Z, T;
};

struct entries {
    struct sc_four sum, difference, product;
};

static struct sc_four number(uint64_t value)
{
    struct sc_four ret = {.limb = {sc_four_everywhere(value)}};
    for (int i = 1; i < SC_FIELD_LIMBS; i++)
        ret.limb[i] = _mm256_setzero_si256();
    return ret;
}

/* The lanes `lanes` of `before` become the entries of `row` at `index`. */
static inline __m512i pick(__m512i before, const uint64_t row[SC_X25519_ROW_POINTS], __m512i index,
                           __mmask8 lanes)
{
    return _mm512_mask_permutexvar_epi64(before, lanes, index, _mm512_load_si512(row));
}

/* The entries of both rows for the digits, which are -8 to 8. */
static inline struct entries look_up(const struct sc_x25519_row *low,
                                     const struct sc_x25519_row *high, __m256i digits)
{
    const __m256i sizes = _mm256_abs_epi64(digits);
    const __m512i index =
        _mm512_castsi256_si512(_mm256_sub_epi64(sizes, sc_four_everywhere(1))); /* mod 8 */
    const __mmask8 any = _mm256_test_epi64_mask(digits, digits);
    const __mmask8 negative = _mm256_cmplt_epi64_mask(digits, _mm256_setzero_si256());
    const struct sc_four neutral[] = {number(1), number(1), number(0)};
    struct sc_four found[3];
    for (int i = 0; i < SC_X25519_ENTRY_LIMBS; i++) {
        const int part = i / SC_FIELD_LIMBS;
        const int limb = i % SC_FIELD_LIMBS;
        __m512i v = _mm512_castsi256_si512(neutral[part].limb[limb]);
        v = pick(v, low->limbs[i], index, any & LANES_OF_LOW);
        v = pick(v, high->limbs[i], index, any & LANES_OF_HIGH);
        found[part].limb[limb] = _mm512_castsi512_si256(v);
    }
    const struct sc_four minus = sc_four_minus(&found[2]);
    return (struct entries){
        .sum = sc_four_blend(&found[0], &found[1], negative),
        .difference = sc_four_blend(&found[1], &found[0], negative),
        .product = sc_four_blend(&found[2], &minus, negative),
    };
}

/* As in crypto/x25519.c. */
static inline void add(struct points *p, const struct entries *q)
{
    struct sc_four t = sc_four_sub(&p->Y, &p->X);
    const struct sc_four a = sc_four_mul(&t, &q->difference);
    t = sc_four_add(&p->Y, &p->X);
    const struct sc_four b = sc_four_mul(&t, &q->sum);
    const struct sc_four c = sc_four_mul(&p->T, &q->product);
    const struct sc_four d = sc_four_add(&p->Z, &p->Z);
    const struct sc_four e = sc_four_sub(&b, &a);
    const struct sc_four f = sc_four_sub(&d, &c);
    const struct sc_four g = sc_four_add(&d, &c);
    const struct sc_four h = sc_four_add(&b, &a);
    p->X = sc_four_mul(&e, &f);
    p->Y = sc_four_mul(&g, &h);
    p->Z = sc_four_mul(&f, &g);
    p->T = sc_four_mul(&e, &h);
}

void sc_x25519_sums_ifma(const struct sc_x25519_row table[SC_X25519_ROWS],
                         const int8_t digits[SC_X25519_DIGITS],
                         struct sc_x25519_point ret[SC_X25519_SUMS])
{
    struct points p = {.X = number(0), .Y = number(1), .Z = number(1), .T = number(0)};
    for (int row = 0; row < STEPS; row++) {
        const int8_t *low = digits + 2 * row;
        const int8_t *high = low + 2 * STEPS;
        const struct entries entries = look_up(
            &table[row], &table[row + STEPS], _mm256_setr_epi64x(low[1], high[1], low[0], high[0]));
        add(&p, &entries);
    }
    for (int lane = 0; lane < SC_X25519_SUMS; lane++)
        ret[lane] = (struct sc_x25519_point){
            .X = sc_four_lane(&p.X, lane),
            .Y = sc_four_lane(&p.Y, lane),
            .Z = sc_four_lane(&p.Z, lane),
            .T = sc_four_lane(&p.T, lane),
        };
}
