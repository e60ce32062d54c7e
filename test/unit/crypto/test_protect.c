/* SPDX-License-Identifier: MIT */
/* Packet protection with each suite: what the vectors of RFC 9001 do not show. */

#include "test/support/qt.h"

#include "crypto/protect.h"
#include "crypto/suite.h"
#include "test/support/ciphers.h"
#include "test/support/owned.h"

static const struct sp_protect_ops *const ops = &sc_protect_ops;

static void key_end(void *key)
{
    ops->destroy(key);
}

static struct sp_key *key_of(const struct sc_suite *suite, uint8_t seed)
{
    uint8_t secret[SP_SECRET_SIZE_MAX];
    memset(secret, seed, sizeof(secret));
    struct sp_key *key = ops->key(qt_cipher, SP_VERSION_1, suite->id, secret, suite->secret_size);
    assert_non_null(key);
    return owned_add(key, key_end);
}

static const uint8_t header[] = {0x43, 1, 2, 3, 4, 5, 6, 7, 8, 0, 0, 0, 9};

/* Returns what seal() says that it copied. */
static size_t seal(struct sp_key *key, uint64_t pn, const struct sb_bytes *parts, size_t count,
                   uint8_t *out)
{
    return ops->seal(key, &(struct sp_seal){
                              .pn = pn,
                              .header = header,
                              .header_size = sizeof(header),
                              .parts = parts,
                              .part_count = count,
                              .out = out,
                          });
}

static void parts_are_sealed_as_if_they_were_one(void **state)
{
    (void)state;
    uint8_t plain[700], one[700 + SP_TAG_SIZE], many[700 + SP_TAG_SIZE];
    for (size_t i = 0; i < sizeof(plain); i++)
        plain[i] = (uint8_t)(i * 7);
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        struct sp_key *key = key_of(sc_suite_at(s), 1);
        for (size_t a = 0; a < 40; a++) {
            size_t b = 3 * a; /* an empty part too */
            const struct sb_bytes parts[] = {
                {.data = plain, .size = a},
                {.data = plain + a, .size = b},
                {.data = NULL, .size = 0},
                {.data = plain + a + b, .size = sizeof(plain) - a - b},
            };
            const struct sb_bytes whole = {.data = plain, .size = sizeof(plain)};
            seal(key, a, &whole, 1, one);
            seal(key, a, parts, QT_COUNT(parts), many);
            assert_memory_equal(one, many, sizeof(one));
        }
        owned_end(key);
    }
}

/* The next key shares the header key, so both rest and wake together. */
static void a_key_is_the_same_after_a_rest(void **state)
{
    (void)state;
    static const uint8_t sample[SP_SAMPLE_SIZE] = {1, 2, 3};
    const uint8_t *samples[] = {sample};
    uint8_t plain[100] = {9}, before[2][100 + SP_TAG_SIZE], after[2][100 + SP_TAG_SIZE];
    uint8_t mask_before[1][SP_MASK_SIZE], mask_after[1][SP_MASK_SIZE];
    const struct sb_bytes whole = {.data = plain, .size = sizeof(plain)};
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        struct sp_key *keys[2] = {key_of(sc_suite_at(s), 1)};
        keys[1] = owned_add(ops->next(keys[0]), key_end);
        for (int i = 0; i < 2; i++)
            seal(keys[i], 5, &whole, 1, before[i]);
        ops->masks(keys[0], samples, 1, mask_before);
        for (int round = 0; round < 3; round++) {
            ops->rest(keys[0]);
            ops->rest(keys[1]);
            ops->rest(keys[1]); /* once more is harmless */
            struct sp_key *third = owned_add(ops->next(keys[1]), key_end);
            assert_non_null(third);
            assert_true(ops->wake(keys[0]) && ops->wake(keys[1]) && ops->wake(keys[1]));
            owned_end(third);
            for (int i = 0; i < 2; i++)
                seal(keys[i], 5, &whole, 1, after[i]);
            ops->masks(keys[1], samples, 1, mask_after);
            assert_memory_equal(before, after, sizeof(before));
            assert_memory_equal(mask_before, mask_after, sizeof(mask_before));
        }
        ops->rest(keys[1]);
        owned_end(keys[1]); /* also while it rests */
        owned_end(keys[0]);
    }
}

static void parts_that_stand_in_the_output_are_sealed_in_place(void **state)
{
    (void)state;
    uint8_t plain[100], want[100 + SP_TAG_SIZE], out[100 + SP_TAG_SIZE];
    memset(plain, 0x5a, sizeof(plain));
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        struct sp_key *key = key_of(sc_suite_at(s), 2);
        const struct sb_bytes whole = {.data = plain, .size = sizeof(plain)};
        assert_int_equal(seal(key, 3, &whole, 1, want), 0);

        memcpy(out, plain, sizeof(plain));
        const struct sb_bytes same = {.data = out, .size = sizeof(plain)};
        assert_int_equal(seal(key, 3, &same, 1, out), 0);
        assert_memory_equal(out, want, sizeof(want));

        memcpy(out, plain, 20); /* frame heads are there, payload is elsewhere */
        const struct sb_bytes mixed[] = {{.data = out, .size = 20},
                                         {.data = plain + 20, .size = 80}};
        size_t copied = seal(key, 3, mixed, 2, out);
        assert_true(copied == 0 || copied == mixed[1].size); /* as the cipher has it */
        assert_memory_equal(out, want, sizeof(want));
        owned_end(key);
    }
}

static void packets_of_every_size_open_again_and_bad_ones_do_not(void **state)
{
    (void)state;
    uint8_t plain[200], packet[200 + SP_TAG_SIZE];
    memset(plain, 0xc3, sizeof(plain));
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        struct sp_key *ours = key_of(sc_suite_at(s), 3);
        struct sp_key *theirs = key_of(sc_suite_at(s), 3);
        for (size_t size = 0; size <= sizeof(plain); size++) {
            const struct sb_bytes part = {.data = plain, .size = size};
            uint64_t pn = SP_PN_MAX - size;
            seal(ours, pn, &part, 1, packet);
            assert_true(sp_open_in_place(ops, theirs, pn, (struct sb_bytes){header, sizeof(header)},
                                         packet, size + SP_TAG_SIZE));
            assert_memory_equal(packet, plain, size);

            seal(ours, pn, &part, 1, packet);
            packet[size / 2] ^= 0x10;
            assert_false(sp_open_in_place(ops, theirs, pn,
                                          (struct sb_bytes){header, sizeof(header)}, packet,
                                          size + SP_TAG_SIZE));
        }
        /* A forgery leaves the key as it was. */
        const struct sb_bytes part = {.data = plain, .size = 50};
        seal(ours, 7, &part, 1, packet);
        assert_true(sp_open_in_place(ops, theirs, 7, (struct sb_bytes){header, sizeof(header)},
                                     packet, 50 + SP_TAG_SIZE));
        owned_end(ours);
        owned_end(theirs);
    }
}

/* A batch in which every other packet is forged, with every place where the body can begin. */
static void a_batch_is_opened_with_its_bodies_elsewhere(void **state)
{
    (void)state;
    enum { SIZE = 90, COUNT = SIZE + 1 };
    uint8_t plain[SIZE], packets[COUNT][SIZE + SP_TAG_SIZE], bodies[COUNT][SIZE];
    for (size_t i = 0; i < SIZE; i++)
        plain[i] = (uint8_t)(i * 11);
    const struct sb_bytes part = {.data = plain, .size = SIZE};
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        struct sp_key *key = key_of(sc_suite_at(s), 6);
        struct sp_open opens[COUNT];
        for (size_t i = 0; i < COUNT; i++) {
            seal(key, i, &part, 1, packets[i]);
            opens[i] = (struct sp_open){
                .pn = i,
                .header = header,
                .header_size = sizeof(header),
                .data = packets[i],
                .size = SIZE + SP_TAG_SIZE,
                .body = bodies[i],
                .head_size = i,
            };
            uint8_t peeked[SP_PEEK_SIZE_MAX];
            size_t peek_size = SB_MIN(i, (size_t)SP_PEEK_SIZE_MAX);
            ops->peek(key, &opens[i], peek_size, peeked);
            assert_memory_equal(peeked, plain, peek_size);
            packets[i][SIZE - i % 2] ^= (uint8_t)(i % 4 < 2 ? 1 : 0);
        }
        ops->open(key, opens, COUNT);
        for (size_t i = 0; i < COUNT; i++) {
            assert_int_equal(opens[i].is_authentic, i % 4 >= 2);
            if (!opens[i].is_authentic)
                continue;
            assert_memory_equal(packets[i], plain, i);
            assert_memory_equal(bodies[i], plain + i, SIZE - i);
        }
        owned_end(key);
    }
}

static void every_flipped_bit_is_noticed_with_every_suite(void **state)
{
    (void)state;
    static const uint8_t plain[] = {0x01, 0x02, 0x03};
    const struct sb_bytes part = {.data = plain, .size = sizeof(plain)};
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        struct sp_key *key = key_of(sc_suite_at(s), 4);
        for (size_t bit = 0; bit < 8 * (sizeof(plain) + SP_TAG_SIZE); bit++) {
            uint8_t packet[sizeof(plain) + SP_TAG_SIZE];
            seal(key, 5, &part, 1, packet);
            packet[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_false(sp_open_in_place(ops, key, 5, (struct sb_bytes){header, sizeof(header)},
                                          packet, sizeof(packet)));
        }
        for (size_t bit = 0; bit < 8 * sizeof(header); bit++) {
            uint8_t packet[sizeof(plain) + SP_TAG_SIZE], bad[sizeof(header)];
            seal(key, 5, &part, 1, packet);
            memcpy(bad, header, sizeof(header));
            bad[bit / 8] ^= (uint8_t)(1u << (bit % 8));
            assert_false(sp_open_in_place(ops, key, 5, (struct sb_bytes){bad, sizeof(bad)}, packet,
                                          sizeof(packet)));
        }
        owned_end(key);
    }
}

static void a_batch_of_masks_is_the_same_as_one_by_one(void **state)
{
    (void)state;
    enum { COUNT = 150 }; /* more than two of the inner batches */
    static uint8_t bytes[COUNT][SP_SAMPLE_SIZE];
    static uint8_t batch[COUNT][SP_MASK_SIZE];
    const uint8_t *samples[COUNT];
    for (size_t i = 0; i < COUNT; i++) {
        memset(bytes[i], (int)i + 1, SP_SAMPLE_SIZE);
        samples[i] = bytes[i];
    }
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        struct sp_key *key = key_of(sc_suite_at(s), 5);
        ops->masks(key, samples, COUNT, batch);
        for (size_t i = 0; i < COUNT; i++) {
            uint8_t one[1][SP_MASK_SIZE];
            ops->masks(key, &samples[i], 1, one);
            assert_memory_equal(one[0], batch[i], SP_MASK_SIZE);
            assert_true(i == 0 || memcmp(batch[i], batch[i - 1], SP_MASK_SIZE) != 0);
        }
        ops->masks(key, samples, 0, batch); /* none is fine */
        owned_end(key);
    }
}

/* [RFC9001 6.1] */
static void a_key_update_changes_the_packet_key_and_keeps_the_header_key(void **state)
{
    (void)state;
    static const uint8_t plain[30];
    const struct sb_bytes part = {.data = plain, .size = sizeof(plain)};
    static const uint8_t sample_bytes[SP_SAMPLE_SIZE] = {1};
    const uint8_t *sample = sample_bytes;
    for (unsigned s = 0; s < SC_SUITE_COUNT; s++) {
        struct sp_key *first = key_of(sc_suite_at(s), 6);
        struct sp_key *peers = key_of(sc_suite_at(s), 6);
        struct sp_key *second = owned_add(ops->next(first), key_end);
        struct sp_key *peers_second = owned_add(ops->next(peers), key_end);
        uint8_t packet[sizeof(plain) + SP_TAG_SIZE];
        uint8_t before[1][SP_MASK_SIZE], after[1][SP_MASK_SIZE];

        seal(second, 1, &part, 1, packet);
        assert_false(sp_open_in_place(ops, peers, 1, (struct sb_bytes){header, sizeof(header)},
                                      packet, sizeof(packet)));
        seal(second, 1, &part, 1, packet);
        assert_true(sp_open_in_place(ops, peers_second, 1,
                                     (struct sb_bytes){header, sizeof(header)}, packet,
                                     sizeof(packet)));

        ops->masks(first, &sample, 1, before);
        owned_end(first); /* the header key outlives the first that had it */
        ops->masks(second, &sample, 1, after);
        assert_memory_equal(before[0], after[0], SP_MASK_SIZE);
        owned_end_all();
    }
}

/* [RFC9001 6.6] */
static void the_limits_are_those_of_the_rfc(void **state)
{
    (void)state;
    static const struct {
        enum sp_suite suite;
        unsigned seal_log2, fail_log2;
    } want[] = {
        {SP_SUITE_AES_128_GCM, 23, 52},
        {SP_SUITE_AES_256_GCM, 23, 52},
        {SP_SUITE_CHACHA20_POLY1305, 62, 36},
    };
    for (size_t i = 0; i < QT_COUNT(want); i++) {
        struct sp_key *key = key_of(sc_suite_find(want[i].suite), 7);
        struct sp_key_limits limits = ops->limits(key);
        assert_int_equal(limits.seal_count_max, UINT64_C(1) << want[i].seal_log2);
        assert_int_equal(limits.fail_count_max, UINT64_C(1) << want[i].fail_log2);
        owned_end(key);
    }
}

static void an_unknown_suite_has_no_key(void **state)
{
    (void)state;
    static const uint8_t secret[32];
    assert_null(ops->key(qt_cipher, SP_VERSION_1, SP_SUITE_NONE, secret, sizeof(secret)));
    assert_null(ops->key(qt_cipher, SP_VERSION_1, (enum sp_suite)0x1304, secret,
                         sizeof(secret))); /* AES-CCM */
    ops->destroy(NULL);
}

static void make_initial(const struct sp_cid *dcid, enum sp_role role, struct sp_key **ret_read,
                         struct sp_key **ret_write)
{
    assert_true(ops->initial(qt_cipher, SP_VERSION_1, dcid, role, ret_read, ret_write));
    (void)owned_add(*ret_read, key_end);
    (void)owned_add(*ret_write, key_end);
}

static void initial_keys_work_for_cids_of_every_size(void **state)
{
    (void)state;
    static const uint8_t plain[30];
    const struct sb_bytes part = {.data = plain, .size = sizeof(plain)};
    for (size_t size = 0; size <= SP_CID_SIZE_MAX; size++) {
        static const uint8_t bytes[SP_CID_SIZE_MAX] = {9, 8, 7};
        struct sp_cid dcid = sp_cid_of(bytes, size);
        struct sp_key *client_read, *client_write, *server_read, *server_write;
        uint8_t packet[sizeof(plain) + SP_TAG_SIZE];
        make_initial(&dcid, SP_CLIENT, &client_read, &client_write);
        make_initial(&dcid, SP_SERVER, &server_read, &server_write);
        seal(client_write, 0, &part, 1, packet);
        assert_true(sp_open_in_place(ops, server_read, 0, (struct sb_bytes){header, sizeof(header)},
                                     packet, sizeof(packet)));
        seal(server_write, 0, &part, 1, packet);
        assert_true(sp_open_in_place(ops, client_read, 0, (struct sb_bytes){header, sizeof(header)},
                                     packet, sizeof(packet)));
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, parts_are_sealed_as_if_they_were_one),
        QT_TEST(owned, parts_that_stand_in_the_output_are_sealed_in_place),
        QT_TEST(owned, packets_of_every_size_open_again_and_bad_ones_do_not),
        QT_TEST(owned, a_batch_is_opened_with_its_bodies_elsewhere),
        QT_TEST(owned, every_flipped_bit_is_noticed_with_every_suite),
        QT_TEST(owned, a_batch_of_masks_is_the_same_as_one_by_one),
        QT_TEST(owned, a_key_is_the_same_after_a_rest),
        QT_TEST(owned, a_key_update_changes_the_packet_key_and_keeps_the_header_key),
        QT_TEST(owned, the_limits_are_those_of_the_rfc),
        QT_TEST(owned, an_unknown_suite_has_no_key),
        QT_TEST(owned, initial_keys_work_for_cids_of_every_size),
    };

    sb_assert_handler = qt_on_assert;
    return qt_run_with_each_cipher(tests, QT_COUNT(tests));
}
