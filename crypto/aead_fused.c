/* SPDX-License-Identifier: MIT */
#include "crypto/aead_fused.h"

/* Chooses the variant of the fused AES-GCM: asks the CPU which variants it can run, and tests each
 * of them before it is used.
 *
 * The known answers are published ones: test cases 4 and 16 of GCM's specification (McGrew, Viega),
 * which are shorter than a group, and FIPS 197 appendix C for the masks.  For packets of a group or
 * more the known answers are tags, since a tag depends on every byte before it; the tests have them
 * from OpenSSL. */

#include <string.h>

#include <openssl/crypto.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"

#if SC_WITH_FUSED

#include <cpuid.h>

/* Bits of CPUID's answers and of XCR0.  (Intel's manual, volume 2, CPUID; volume 1, 13.3) */
enum {
    LEAF_1_ECX_PCLMULQDQ = 1u << 1,
    LEAF_1_ECX_SSSE3 = 1u << 9,
    LEAF_1_ECX_AES = 1u << 25,
    LEAF_1_ECX_OSXSAVE = 1u << 27,
    LEAF_1_ECX = LEAF_1_ECX_PCLMULQDQ | LEAF_1_ECX_SSSE3 | LEAF_1_ECX_AES | LEAF_1_ECX_OSXSAVE,
    LEAF_7_ECX_VAES = 1u << 9,
    LEAF_7_ECX_VPCLMULQDQ = 1u << 10,
    LEAF_7_ECX = LEAF_7_ECX_VAES | LEAF_7_ECX_VPCLMULQDQ,
    LEAF_7_EBX_AVX2 = 1u << 5,
    XCR0_YMM = 0x06,
    XCR0_ZMM = 0xe6,
};
#define LEAF_7_EBX_AVX512 (1u << 16 | 1u << 17 | 1u << 30 | 1u << 31) /* F, DQ, BW, VL */

struct variant {
    const struct sc_fused *fused;
    uint32_t leaf_7_ebx;
    uint64_t xcr0;
    const char *reason; /* written once, under `once` */
};

static struct variant variants[] = {
    {.fused = &sc_fused_avx512, .leaf_7_ebx = LEAF_7_EBX_AVX512, .xcr0 = XCR0_ZMM},
    {.fused = &sc_fused_avx2, .leaf_7_ebx = LEAF_7_EBX_AVX2, .xcr0 = XCR0_YMM},
};
static CRYPTO_ONCE once = CRYPTO_ONCE_STATIC_INIT;

static uint64_t read_xcr0(void)
{
    uint32_t low;
    uint32_t high;
    __asm__("xgetbv" : "=a"(low), "=d"(high) : "c"(0));
    return (uint64_t)high << 32 | low;
}

/* Why this CPU cannot run the variant; NULL: it can. */
static const char *missing_for(const struct variant *v)
{
    uint32_t eax;
    uint32_t ebx;
    uint32_t ecx;
    uint32_t edx;
    if (__get_cpuid(1, &eax, &ebx, &ecx, &edx) == 0 || (ecx & LEAF_1_ECX) != LEAF_1_ECX)
        return "the CPU has no AES instructions";
    if (__get_cpuid_count(7, 0, &eax, &ebx, &ecx, &edx) == 0 || (ecx & LEAF_7_ECX) != LEAF_7_ECX)
        return "the CPU has no VAES or no VPCLMULQDQ";
    if ((ebx & v->leaf_7_ebx) != v->leaf_7_ebx)
        return v->xcr0 == XCR0_ZMM ? "the CPU has no AVX-512" : "the CPU has no AVX2";
    if ((read_xcr0() & v->xcr0) != v->xcr0)
        return "the kernel does not keep the vector registers";
    return NULL;
}

static void probe(void)
{
    for (size_t i = 0; i < SB_COUNT(variants); i++) {
        variants[i].reason = missing_for(&variants[i]);
        if (variants[i].reason == NULL && !sc_fused_self_test(variants[i].fused))
            variants[i].reason = "its self-test failed";
    }
}

const struct sc_fused *sc_fused_at(size_t index, const char **ret_reason)
{
    if (index >= SB_COUNT(variants) || CRYPTO_THREAD_run_once(&once, probe) != 1)
        return NULL;
    *ret_reason = variants[index].reason;
    return variants[index].fused;
}

#else

const struct sc_fused *sc_fused_at(size_t index, const char **ret_reason)
{
    (void)index, (void)ret_reason;
    return NULL;
}

#endif

const struct sc_fused *sc_fused_best(void)
{
    const char *reason = NULL;
    const struct sc_fused *fused;
    for (size_t i = 0; (fused = sc_fused_at(i, &reason)) != NULL; i++) {
        if (reason == NULL)
            return fused;
    }
    return NULL;
}

/* ---- The self-test ---- */

/* The key of test case 4; that of case 16 is it twice.  The nonce is the cases' too. */
static const uint8_t test_key[32] = {
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
    0xfe, 0xff, 0xe9, 0x92, 0x86, 0x65, 0x73, 0x1c, 0x6d, 0x6a, 0x8f, 0x94, 0x67, 0x30, 0x83, 0x08,
};
static const uint8_t test_iv[SC_IV_SIZE] = {
    0xca, 0xfe, 0xba, 0xbe, 0xfa, 0xce, 0xdb, 0xad, 0xde, 0xca, 0xf8, 0x88,
};
static const uint8_t test_header[20] = {
    0xfe, 0xed, 0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xfe, 0xed,
    0xfa, 0xce, 0xde, 0xad, 0xbe, 0xef, 0xab, 0xad, 0xda, 0xd2,
};
static const uint8_t test_plain[60] = {
    0xd9, 0x31, 0x32, 0x25, 0xf8, 0x84, 0x06, 0xe5, 0xa5, 0x59, 0x09, 0xc5, 0xaf, 0xf5, 0x26,
    0x9a, 0x86, 0xa7, 0xa9, 0x53, 0x15, 0x34, 0xf7, 0xda, 0x2e, 0x4c, 0x30, 0x3d, 0x8a, 0x31,
    0x8a, 0x72, 0x1c, 0x3c, 0x0c, 0x95, 0x95, 0x68, 0x09, 0x53, 0x2f, 0xcf, 0x0e, 0x24, 0x49,
    0xa6, 0xb5, 0x25, 0xb1, 0x6a, 0xed, 0xf5, 0xaa, 0x0d, 0xe6, 0x57, 0xba, 0x63, 0x7b, 0x39,
};

enum {
    TEST_SIZE_MAX = 1403, /* groups of all kinds, several in a row, and a rest that is no block */
    TEST_REPEATS = 24,    /* of `test_plain`, cut at that */
};

static const struct answer {
    size_t key_size;
    size_t size;
    uint8_t tag[SP_TAG_SIZE];
} answers[] = {
    {16,
     60,
     {0x5b, 0xc9, 0x4f, 0xbc, 0x32, 0x21, 0xa5, 0xdb, 0x94, 0xfa, 0xe9, 0x5a, 0xe7, 0x12, 0x1a,
      0x47}}, /* case 4 */
    {32,
     60,
     {0x76, 0xfc, 0x6e, 0xce, 0x0f, 0x4e, 0x17, 0x68, 0xcd, 0xdf, 0x88, 0x53, 0xbb, 0x2d, 0x55,
      0x1b}}, /* case 16 */
    {16,
     TEST_SIZE_MAX,
     {0xf2, 0xb4, 0x07, 0xe5, 0x6e, 0xfb, 0x66, 0x21, 0x63, 0x4d, 0x93, 0x5f, 0x21, 0x6c, 0x17,
      0x7d}},
    {32,
     TEST_SIZE_MAX,
     {0x65, 0x9b, 0xbc, 0xe5, 0x45, 0xcb, 0xf0, 0xdc, 0x18, 0x8a, 0x67, 0x01, 0xa5, 0x51, 0x56,
      0xda}},
};

/* [FIPS197 C.1, C.3] */
static const uint8_t mask_sample[SP_SAMPLE_SIZE] = {
    0x00, 0x11, 0x22, 0x33, 0x44, 0x55, 0x66, 0x77, 0x88, 0x99, 0xaa, 0xbb, 0xcc, 0xdd, 0xee, 0xff,
};
static const struct {
    size_t key_size;
    uint8_t mask[SP_MASK_SIZE];
} mask_answers[] = {
    {16, {0x69, 0xc4, 0xe0, 0xd8, 0x6a}},
    {32, {0x8e, 0xa2, 0xb7, 0xca, 0x51}},
};

/* Seals in two parts and opens to two places. */
static bool packet_is_right(const struct sc_fused *fused, const struct answer *answer)
{
    uint8_t plain[TEST_REPEATS * sizeof(test_plain)];
    uint8_t packet[TEST_SIZE_MAX + SP_TAG_SIZE];
    uint8_t body[TEST_SIZE_MAX];
    struct sc_fused_key key;
    enum { HEAD = 7 };
    for (size_t i = 0; i < TEST_REPEATS; i++)
        memcpy(plain + i * sizeof(test_plain), test_plain, sizeof(test_plain));
    const struct sb_bytes parts[] = {
        {.data = plain, .size = HEAD},
        {.data = plain + HEAD, .size = answer->size - HEAD},
    };
    fused->init_key(&key, test_key, answer->key_size, test_iv);
    fused->seal(&key, &(struct sp_seal){
                          .header = test_header,
                          .header_size = sizeof(test_header),
                          .parts = parts,
                          .part_count = SB_COUNT(parts),
                          .out = packet,
                      });
    bool is_right = memcmp(packet + answer->size, answer->tag, SP_TAG_SIZE) == 0;

    struct sp_open open = {
        .header = test_header,
        .header_size = sizeof(test_header),
        .data = packet,
        .size = answer->size + SP_TAG_SIZE,
        .body = body,
        .head_size = HEAD,
    };
    uint8_t peeked[HEAD];
    fused->peek(&key, &open, HEAD, peeked);
    fused->open(&key, &open, 1);
    is_right = is_right && open.is_authentic && memcmp(peeked, plain, HEAD) == 0 &&
               memcmp(packet, plain, HEAD) == 0 &&
               memcmp(body, plain + HEAD, answer->size - HEAD) == 0;
    packet[answer->size] ^= 1;
    fused->open(&key, &open, 1);
    return is_right && !open.is_authentic;
}

bool sc_fused_self_test(const struct sc_fused *fused)
{
    bool is_right = true;
    for (size_t i = 0; i < SB_COUNT(answers); i++)
        is_right = is_right && packet_is_right(fused, &answers[i]);
    for (size_t i = 0; i < SB_COUNT(mask_answers); i++) {
        uint8_t key[SC_KEY_SIZE_MAX];
        struct sc_fused_schedule schedule;
        const uint8_t *sample = mask_sample;
        uint8_t mask[1][SP_MASK_SIZE];
        for (size_t j = 0; j < sizeof(key); j++)
            key[j] = (uint8_t)j;
        fused->init_schedule(&schedule, key, mask_answers[i].key_size);
        fused->masks(&schedule, &sample, 1, mask);
        is_right = is_right && memcmp(mask[0], mask_answers[i].mask, SP_MASK_SIZE) == 0;
    }
    return is_right;
}
