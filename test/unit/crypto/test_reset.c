/* SPDX-License-Identifier: MIT */
/* Stateless reset tokens: RFC 9000, Section 10.3.2. */

#include "test/support/qt.h"

#include "crypto/reset.h"
#include "test/support/hex.h"
#include "test/support/owned.h"

static const uint8_t key[SC_RESET_KEY_SIZE] = {1, 2, 3};

static void reset_end(void *reset)
{
    sc_reset_destroy(reset);
}

static struct sc_reset *make_reset(const uint8_t bytes[SC_RESET_KEY_SIZE])
{
    struct sc_reset *reset = sc_reset_create(bytes);
    assert_non_null(reset);
    return owned_add(reset, reset_end);
}

static void a_token_is_the_start_of_the_hmac_of_the_cid(void **state)
{
    (void)state;
    /* RFC 4231, test case 1 has a key of 20 bytes; zeros behind it do not change an
     * HMAC, so it serves for our key of 32. */
    uint8_t rfc_key[SC_RESET_KEY_SIZE] = {0};
    memset(rfc_key, 0x0b, 20);
    struct sc_reset *reset = make_reset(rfc_key);
    struct sp_cid cid = sp_cid_of((const uint8_t *)"Hi There", 8);
    uint8_t token[SP_RESET_TOKEN_SIZE];
    sc_reset_token(reset, &cid, token);
    struct qt_hex want = qt_hex("b0344c61d8db38535ca8afceaf0bf12b");
    assert_memory_equal(token, want.bytes, want.size);
}

static void the_same_key_gives_the_same_token_after_a_restart(void **state)
{
    (void)state;
    struct sp_cid cid = sp_cid_of((const uint8_t *)"abcdefgh", 8);
    uint8_t before[SP_RESET_TOKEN_SIZE], after[SP_RESET_TOKEN_SIZE];
    for (int i = 0; i < 2; i++) {
        struct sc_reset *reset = make_reset(key);
        sc_reset_token(reset, &cid, i == 0 ? before : after);
        owned_end(reset);
    }
    assert_true(sc_reset_token_equal(before, after));
    after[15] ^= 1;
    assert_false(sc_reset_token_equal(before, after));
}

static void every_cid_has_a_token_of_its_own(void **state)
{
    (void)state;
    struct sc_reset *reset = make_reset(key);
    uint8_t tokens[SP_CID_SIZE_MAX + 1][SP_RESET_TOKEN_SIZE];
    static const uint8_t zeros[SP_CID_SIZE_MAX];
    for (size_t size = 0; size <= SP_CID_SIZE_MAX; size++) {
        struct sp_cid cid = sp_cid_of(zeros, size); /* one the start of the next */
        sc_reset_token(reset, &cid, tokens[size]);
        for (size_t other = 0; other < size; other++)
            assert_false(sc_reset_token_equal(tokens[size], tokens[other]));
    }
    sc_reset_destroy(NULL);
}

/* [RFC9000 21.11] */
static void every_shard_has_a_key_of_its_own(void **state)
{
    (void)state;
    enum { SHARDS = 64 };
    uint8_t keys[SHARDS][SC_RESET_KEY_SIZE];
    for (uint32_t i = 0; i < SHARDS; i++) {
        uint8_t again[SC_RESET_KEY_SIZE];
        sc_reset_derive_key(key, i, keys[i]);
        sc_reset_derive_key(key, i, again);
        assert_memory_equal(keys[i], again, sizeof(again));
        assert_memory_not_equal(keys[i], key, sizeof(key));
        for (uint32_t other = 0; other < i; other++)
            assert_memory_not_equal(keys[i], keys[other], sizeof(keys[i]));
    }
    /* A change would make the resets of a restarted server meaningless to its old clients. */
    struct qt_hex want = qt_hex("de0ae52fb23afb75d468a8164d97382d");
    assert_memory_equal(keys[1], want.bytes, want.size);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_token_is_the_start_of_the_hmac_of_the_cid),
        QT_TEST(owned, the_same_key_gives_the_same_token_after_a_restart),
        QT_TEST(owned, every_cid_has_a_token_of_its_own),
        QT_TEST(owned, every_shard_has_a_key_of_its_own),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
