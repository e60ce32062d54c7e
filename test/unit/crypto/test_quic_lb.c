/* SPDX-License-Identifier: MIT */
/* The cipher of connection IDs for load balancers: the vectors of
 * draft-ietf-quic-load-balancers, Section 5.4 and Appendix B. */

#include "test/support/qt.h"

#include "crypto/quic_lb.h"
#include "test/support/hex.h"
#include "test/support/owned.h"

struct vector {
    const char *key;
    const char *server_id;
    const char *nonce;
    const char *cid; /* without the first octet */
};

#define APPENDIX_KEY "8f95f09245765f80256934e50c66207f"

static const struct vector vectors[] = {
    {"fdf726a9893ec05c0632d3956680baf0", "31441a", "9c69c275", "67947d29be054a"},
    {APPENDIX_KEY, "ed793a", "ee080dbf", "20b1d07b359d3c"},
    {APPENDIX_KEY, "ed793a51d49b8f5fab65", "ee080dbf48", "cc381bc74cb4fbad2823a3d1f8fed2"},
    {APPENDIX_KEY, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "4dd2d05a7b0de9b2b9907afb5ecf8cc3"},
    {APPENDIX_KEY, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d",
     "5779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"},
};

static void lb_end(void *lb)
{
    sc_lb_destroy(lb);
}

static struct sc_lb *make(const uint8_t *key, size_t server_id_size, size_t nonce_size)
{
    struct sc_lb *lb = sc_lb_create(key, (uint8_t)server_id_size, (uint8_t)nonce_size);
    assert_non_null(lb);
    return owned_add(lb, lb_end);
}

static void the_vectors_of_the_draft_are_met_both_ways(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(vectors); i++) {
        struct qt_hex key = qt_hex(vectors[i].key);
        struct qt_hex server_id = qt_hex(vectors[i].server_id);
        struct qt_hex nonce = qt_hex(vectors[i].nonce);
        struct qt_hex cid = qt_hex(vectors[i].cid);
        struct sc_lb *lb = make(key.bytes, server_id.size, nonce.size);
        uint8_t text[SC_LB_SIZE_MAX];
        uint8_t got[SC_LB_SIZE_MAX];
        memcpy(text, server_id.bytes, server_id.size);
        memcpy(text + server_id.size, nonce.bytes, nonce.size);

        sc_lb_encrypt(lb, text);
        assert_int_equal(cid.size, server_id.size + nonce.size);
        assert_memory_equal(text, cid.bytes, cid.size);

        sc_lb_decrypt_server_id(lb, text, got);
        assert_memory_equal(got, server_id.bytes, server_id.size);
        assert_memory_equal(text, cid.bytes, cid.size);

        sc_lb_decrypt(lb, text);
        assert_memory_equal(text, server_id.bytes, server_id.size);
        assert_memory_equal(text + server_id.size, nonce.bytes, nonce.size);
    }
}

/* Each pair of lengths: a wrong number of passes, or a wrong middle byte, shows in some. */
static void every_length_comes_back_from_its_cipher(void **state)
{
    (void)state;
    const uint8_t key[SC_LB_KEY_SIZE] = {7, 1, 3};
    for (uint8_t size = SC_LB_SIZE_MIN; size <= SC_LB_SIZE_MAX; size++) {
        for (uint8_t id_size = 0; id_size <= size - 4; id_size++) {
            struct sc_lb *lb = make(key, id_size, size - id_size);
            uint8_t text[SC_LB_SIZE_MAX + 1];
            uint8_t plain[SC_LB_SIZE_MAX + 1];
            uint8_t got[SC_LB_SIZE_MAX];
            for (uint8_t i = 0; i <= SC_LB_SIZE_MAX; i++)
                plain[i] = (uint8_t)(37 * i + size);
            memcpy(text, plain, sizeof(text));
            sc_lb_encrypt(lb, text);
            assert_memory_not_equal(text, plain, size);
            assert_memory_equal(text + size, plain + size, sizeof(text) - size);
            sc_lb_decrypt_server_id(lb, text, got);
            assert_memory_equal(got, plain, id_size);
            sc_lb_decrypt(lb, text);
            assert_memory_equal(text, plain, sizeof(text));
            owned_end(lb);
        }
    }
}

/* Nonces are texts of such a cipher without a server ID: that needs a permutation. */
static void two_texts_never_have_one_cipher_text(void **state)
{
    (void)state;
    enum { COUNT = 4096 };
    const uint8_t key[SC_LB_KEY_SIZE] = {9};
    static uint32_t seen[COUNT];
    struct sc_lb *lb = make(key, 0, 4);
    for (uint32_t i = 0; i < COUNT; i++) {
        const uint8_t plain[4] = {0, 0, (uint8_t)(i >> 8), (uint8_t)i};
        memcpy(&seen[i], plain, 4);
        sc_lb_encrypt(lb, (uint8_t *)&seen[i]);
        for (uint32_t other = 0; other < i; other++)
            assert_int_not_equal(seen[i], seen[other]);
    }
}

static void another_key_gives_another_server_id(void **state)
{
    (void)state;
    struct qt_hex key = qt_hex(APPENDIX_KEY);
    struct qt_hex cid = qt_hex("4dd2d05a7b0de9b2b9907afb5ecf8cc3");
    uint8_t right[8];
    uint8_t wrong[8];
    sc_lb_decrypt_server_id(make(key.bytes, 8, 8), cid.bytes, right);
    key.bytes[15] ^= 1;
    sc_lb_decrypt_server_id(make(key.bytes, 8, 8), cid.bytes, wrong);
    assert_memory_not_equal(right, wrong, sizeof(right));
}

static void other_lengths_are_our_bug(void **state)
{
    (void)state;
    const uint8_t key[SC_LB_KEY_SIZE] = {1};
    expect_assert_failure((void)!sc_lb_create(key, 0, SC_LB_SIZE_MIN - 1));
    expect_assert_failure((void)!sc_lb_create(key, 10, SC_LB_SIZE_MAX - 9));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, the_vectors_of_the_draft_are_met_both_ways),
        QT_TEST(owned, every_length_comes_back_from_its_cipher),
        QT_TEST(owned, two_texts_never_have_one_cipher_text),
        QT_TEST(owned, another_key_gives_another_server_id),
        QT_TEST(owned, other_lengths_are_our_bug),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
