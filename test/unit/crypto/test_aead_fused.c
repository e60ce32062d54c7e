/* SPDX-License-Identifier: MIT */
/* The fused AES-GCM: what random packets (test/fuzz/aead_random.c) cannot show. */

#include "test/support/qt.h"

#include <string.h>

#include "crypto/protect.h"
#include "crypto/suite.h"
#include "test/support/fused_variants.h"
#include "test/support/gcm_reference.h"
#include "test/support/owned.h"

enum { SIZE_MAX_TRIED = 1100 }; /* groups of all kinds, several in a row */

static const uint8_t aes_key[32] = {7, 1, 9};
static const uint8_t iv[SC_IV_SIZE] = {5, 4, 3, 2, 1};
static const uint8_t header[] = {0x43, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9};
static const uint8_t plain[SIZE_MAX_TRIED] = {1, 2, 3};
static const struct sc_fused *variants[QT_FUSED_VARIANTS_MAX];
static size_t variant_count;

static void seal(const struct sc_fused *fused, const struct sc_fused_key *key, uint64_t pn,
                 size_t size, uint8_t *out)
{
    const struct sb_bytes part = {.data = plain, .size = size};
    fused->seal(key, &(struct sp_seal){
                         .pn = pn,
                         .header = header,
                         .header_size = sizeof(header),
                         .parts = &part,
                         .part_count = 1,
                         .out = out,
                     });
}

static bool opens(const struct sc_fused *fused, const struct sc_fused_key *key, uint64_t pn,
                  const uint8_t *head, const uint8_t *packet, size_t size)
{
    uint8_t data[SIZE_MAX_TRIED + SP_TAG_SIZE];
    memcpy(data, packet, size + SP_TAG_SIZE);
    struct sp_open open = {
        .pn = pn,
        .header = head,
        .header_size = sizeof(header),
        .data = data,
        .size = size + SP_TAG_SIZE,
    };
    fused->open(key, &open, 1);
    return open.is_authentic;
}

/* Of packets that take either way through the code. */
static void any_one_bit_that_is_turned_over_is_noticed(void **state)
{
    (void)state;
    static const size_t sizes[] = {0, 1, 20, 300, SIZE_MAX_TRIED};
    enum { PN = 0x1234 };
    for (size_t v = 0; v < variant_count; v++) {
        const struct sc_fused *fused = variants[v];
        for (size_t s = 0; s < 2 * QT_COUNT(sizes); s++) {
            size_t size = sizes[s / 2];
            struct sc_fused_key key;
            uint8_t packet[SIZE_MAX_TRIED + SP_TAG_SIZE], head[sizeof(header)];
            fused->init_key(&key, aes_key, s % 2 == 0 ? 16 : 32, iv);
            seal(fused, &key, PN, size, packet);
            memcpy(head, header, sizeof(head));
            assert_true(opens(fused, &key, PN, head, packet, size));
            for (size_t bit = 0; bit < 8 * (size + SP_TAG_SIZE); bit++) {
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_false(opens(fused, &key, PN, head, packet, size));
                packet[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            for (size_t bit = 0; bit < 8 * sizeof(header); bit++) {
                head[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_false(opens(fused, &key, PN, head, packet, size));
                head[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            for (size_t bit = 0; bit < 62; bit++)
                assert_false(opens(fused, &key, PN ^ UINT64_C(1) << bit, head, packet, size));
            for (size_t bit = 0; bit < 8 * SC_IV_SIZE; bit++) {
                key.iv[bit / 8] ^= (uint8_t)(1 << bit % 8);
                assert_false(opens(fused, &key, PN, head, packet, size));
                key.iv[bit / 8] ^= (uint8_t)(1 << bit % 8);
            }
            assert_true(opens(fused, &key, PN, head, packet, size));
        }
    }
}

static void what_is_shorter_than_a_tag_is_refused(void **state)
{
    (void)state;
    for (size_t v = 0; v < variant_count; v++) {
        struct sc_fused_key key;
        uint8_t data[SP_TAG_SIZE] = {1, 2, 3}, before[SP_TAG_SIZE];
        memcpy(before, data, sizeof(data));
        variants[v]->init_key(&key, aes_key, 16, iv);
        for (size_t size = 0; size < SP_TAG_SIZE; size++) {
            struct sp_open open = {.header = header,
                                   .header_size = sizeof(header),
                                   .data = data,
                                   .size = size,
                                   .is_authentic = true};
            variants[v]->open(&key, &open, 1);
            assert_false(open.is_authentic);
            assert_memory_equal(data, before, sizeof(data));
        }
    }
}

static void each_packet_of_a_batch_has_its_own_answer(void **state)
{
    (void)state;
    enum { COUNT = 7, FORGED = 3, SIZE = 100 };
    for (size_t v = 0; v < variant_count; v++) {
        static uint8_t data[COUNT][SIZE + SP_TAG_SIZE];
        struct sc_fused_key key;
        struct sp_open packets[COUNT];
        variants[v]->init_key(&key, aes_key, 16, iv);
        for (size_t i = 0; i < COUNT; i++) {
            seal(variants[v], &key, i, SIZE - i, data[i]);
            packets[i] = (struct sp_open){.pn = i,
                                          .header = header,
                                          .header_size = sizeof(header),
                                          .data = data[i],
                                          .size = SIZE - i + SP_TAG_SIZE};
        }
        data[FORGED][0] ^= 1;
        variants[v]->open(&key, packets, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(packets[i].is_authentic, i != FORGED);
            if (i != FORGED)
                assert_memory_equal(data[i], plain, SIZE - i);
        }
    }
}

/* The counter of a block is its last 32 bits, and no carry may leave them: such IVs are common. */
static void an_iv_of_ones_is_like_any_other(void **state)
{
    (void)state;
    uint8_t ones[SC_IV_SIZE], want[SIZE_MAX_TRIED + SP_TAG_SIZE], out[sizeof(want)];
    memset(ones, 0xff, sizeof(ones));
    qt_gcm_seal(aes_key, 16, ones, 5, header, sizeof(header), plain, SIZE_MAX_TRIED, want);
    for (size_t v = 0; v < variant_count; v++) {
        struct sc_fused_key key;
        variants[v]->init_key(&key, aes_key, 16, ones);
        seal(variants[v], &key, 5, SIZE_MAX_TRIED, out);
        assert_memory_equal(out, want, sizeof(want));
    }
}

static void seal_wrongly(const struct sc_fused_key *key, const struct sp_seal *packet)
{
    variants[0]->seal(key, packet);
    packet->out[packet->parts[0].size] ^= 1;
}

static void open_anything(const struct sc_fused_key *key, struct sp_open *packets, size_t count)
{
    variants[0]->open(key, packets, count);
    packets[0].is_authentic = true;
}

static void mask_wrongly(const struct sc_fused_schedule *schedule, const uint8_t *const *samples,
                         size_t count, uint8_t (*ret)[SP_MASK_SIZE])
{
    variants[0]->masks(schedule, samples, count, ret);
    ret[0][0] ^= 1;
}

static void the_self_test_passes_what_is_right_and_nothing_else(void **state)
{
    (void)state;
    for (size_t v = 0; v < variant_count; v++)
        assert_true(sc_fused_self_test(variants[v]));
    struct sc_fused wrong = *variants[0];
    wrong.seal = seal_wrongly;
    assert_false(sc_fused_self_test(&wrong));
    wrong = *variants[0];
    wrong.open = open_anything;
    assert_false(sc_fused_self_test(&wrong));
    wrong = *variants[0];
    wrong.masks = mask_wrongly;
    assert_false(sc_fused_self_test(&wrong));
}

static void the_best_is_the_first_without_a_reason_against_it(void **state)
{
    (void)state;
    const struct sc_fused *first = NULL;
    const struct sc_fused *fused;
    const char *reason = NULL;
    for (size_t i = 0; (fused = sc_fused_at(i, &reason)) != NULL; i++) {
        assert_true(reason == NULL || strlen(reason) > 0);
        if (reason == NULL && first == NULL)
            first = fused;
    }
    assert_ptr_equal(sc_fused_best(), first);
}

static void key_end(void *key)
{
    sc_protect_ops.destroy(key);
}

/* A packet that one seals opens with the other, so nothing on the wire tells them apart. */
static void fused_and_openssl_open_what_the_other_seals(void **state)
{
    (void)state;
    static const uint8_t secret[SP_SECRET_SIZE_MAX] = {42};
    const struct sp_protect_ops *ops = &sc_protect_ops;
    void *contexts[] = {NULL, (void *)(uintptr_t)variants[0]};
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        const struct sc_suite *suite = sc_suite_at(s);
        for (size_t from = 0; from < 2; from++) {
            struct sp_key *pairs[2][2]; /* the first keys and the next ones */
            for (size_t i = 0; i < 2; i++) {
                void *context = contexts[i == 0 ? from : 1 - from];
                pairs[0][i] =
                    ops->key(context, SP_VERSION_1, suite->id, secret, suite->secret_size);
                (void)owned_add(pairs[0][i], key_end);
                pairs[1][i] = owned_add(ops->next(pairs[0][i]), key_end);
            }
            for (size_t i = 0; i < QT_COUNT(pairs); i++) {
                uint8_t packet[SIZE_MAX_TRIED + SP_TAG_SIZE];
                const struct sb_bytes part = {.data = plain, .size = sizeof(plain)};
                const struct sb_bytes head = {.data = header, .size = sizeof(header)};
                const struct sp_seal sealed = {.pn = 8,
                                               .header = header,
                                               .header_size = sizeof(header),
                                               .parts = &part,
                                               .part_count = 1,
                                               .out = packet};
                assert_int_equal(ops->seal(pairs[i][0], &sealed), 0);
                assert_true(sp_open_in_place(ops, pairs[i][1], 8, head, packet, sizeof(packet)));
                assert_memory_equal(packet, plain, sizeof(plain));
            }
            owned_end_all();
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(any_one_bit_that_is_turned_over_is_noticed),
        cmocka_unit_test(what_is_shorter_than_a_tag_is_refused),
        cmocka_unit_test(each_packet_of_a_batch_has_its_own_answer),
        cmocka_unit_test(an_iv_of_ones_is_like_any_other),
        cmocka_unit_test(the_self_test_passes_what_is_right_and_nothing_else),
        cmocka_unit_test(the_best_is_the_first_without_a_reason_against_it),
        QT_TEST(owned, fused_and_openssl_open_what_the_other_seals),
    };

    sb_assert_handler = qt_on_assert;
    variant_count = qt_fused_variants(variants);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
