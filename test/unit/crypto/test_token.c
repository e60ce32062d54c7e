/* SPDX-License-Identifier: MIT */
/* Tokens of address validation: RFC 9000, Sections 8.1.2 to 8.1.4. */

#include "test/support/qt.h"

#include <stdlib.h>

#include "crypto/token.h"
#include "test/support/owned.h"

static const uint8_t key[SC_TOKEN_KEY_SIZE] = {1, 2, 3};
static const uint8_t other_key[SC_TOKEN_KEY_SIZE] = {1, 2, 4};
static const uint8_t nonce[SC_TOKEN_NONCE_SIZE] = "nonce-nonce";

#define HOUR_NS (3600 * SB_S)
#define WALL_NS (490000 * HOUR_NS + 7 * SB_S) /* shortly after the beginning of an epoch */

static void tokens_end(void *tokens)
{
    sc_tokens_destroy(tokens);
}

static struct sc_tokens *make(const uint8_t bytes[SC_TOKEN_KEY_SIZE])
{
    struct sc_tokens *tokens = sc_tokens_create(bytes);
    assert_non_null(tokens);
    return owned_add(tokens, tokens_end);
}

static const struct sp_addr client = {.ip = {192, 0, 2, 7}, .port = 50000, .family = 4};

static struct sc_token token_of(uint64_t issued_ns)
{
    return (struct sc_token){
        .kind = SC_TOKEN_RETRY,
        .issued_ns = issued_ns,
        .original_dcid = sp_cid_of((const uint8_t *)"original-original-20", 20),
        .retry_scid = sp_cid_of((const uint8_t *)"chosen", 6),
    };
}

/* A token for `client`, issued at WALL_NS. */
static void seal(struct sc_tokens *tokens, uint8_t ret[SC_TOKEN_SIZE])
{
    struct sc_token token = token_of(WALL_NS);
    assert_true(sc_token_seal(tokens, &token, &client, nonce, ret));
}

static enum sc_token_result open_at(struct sc_tokens *tokens, const uint8_t *bytes, size_t size,
                                    const struct sp_addr *address, uint64_t wall_ns)
{
    struct sc_token got;
    memset(&got, 0x5a, sizeof(got));
    struct sc_token before = got;
    uint8_t *exact = malloc(size > 0 ? size : 1); /* so that a read beyond it is found */
    assert_non_null(exact);
    memcpy(exact, bytes, size);
    enum sc_token_result result =
        sc_token_open(tokens, (struct sb_bytes){exact, size}, address, wall_ns, &got);
    free(exact);
    if (result == SC_TOKEN_VALID) {
        struct sc_token want = token_of(WALL_NS);
        assert_int_equal(got.kind, want.kind);
        assert_int_equal(got.issued_ns, want.issued_ns);
        assert_true(sp_cid_equal(&got.original_dcid, &want.original_dcid));
        assert_true(sp_cid_equal(&got.retry_scid, &want.retry_scid));
    } else {
        assert_memory_equal(&got, &before, sizeof(got)); /* untouched */
    }
    return result;
}

static enum sc_token_result open_now(struct sc_tokens *tokens, const uint8_t *bytes, size_t size)
{
    return open_at(tokens, bytes, size, &client, WALL_NS);
}

static void a_token_comes_back_as_it_was_given(void **state)
{
    (void)state;
    struct sc_tokens *tokens = make(key);
    uint8_t bytes[SC_TOKEN_SIZE];
    seal(tokens, bytes);
    assert_int_equal(open_now(tokens, bytes, sizeof(bytes)), SC_TOKEN_VALID);
    assert_int_equal(open_now(tokens, bytes, sizeof(bytes)),
                     SC_TOKEN_VALID); /* it keeps no state */
}

/* [RFC9000 8.1.4] Nothing of it is readable or can be changed. */
static void every_truncation_and_every_flipped_bit_is_noticed(void **state)
{
    (void)state;
    struct sc_tokens *tokens = make(key);
    uint8_t bytes[SC_TOKEN_SIZE];
    uint8_t longer[SC_TOKEN_SIZE + 1] = {0};
    seal(tokens, bytes);
    for (size_t size = 0; size < sizeof(bytes); size++)
        assert_int_equal(open_now(tokens, bytes, size), SC_TOKEN_FOREIGN);
    memcpy(longer, bytes, sizeof(bytes));
    assert_int_equal(open_now(tokens, longer, sizeof(longer)), SC_TOKEN_FOREIGN);

    for (size_t bit = 0; bit < 8 * sizeof(bytes); bit++) {
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
        /* The kind and the key's id say whose token it is. */
        assert_int_equal(open_now(tokens, bytes, sizeof(bytes)),
                         bit < 40 ? SC_TOKEN_FOREIGN : SC_TOKEN_INVALID);
        bytes[bit / 8] ^= (uint8_t)(1 << bit % 8);
    }
    assert_int_equal(open_now(tokens, bytes, sizeof(bytes)), SC_TOKEN_VALID);
}

static void the_connection_ids_cannot_be_read(void **state)
{
    (void)state;
    struct sc_tokens *tokens = make(key);
    uint8_t bytes[SC_TOKEN_SIZE];
    seal(tokens, bytes);
    for (size_t i = 0; i + 6 <= sizeof(bytes); i++) {
        assert_memory_not_equal(bytes + i, "origin", 6);
        assert_memory_not_equal(bytes + i, "chosen", 6);
    }
}

/* [RFC9000 8.1.4] */
static void a_token_of_another_address_or_port_is_invalid(void **state)
{
    (void)state;
    struct sc_tokens *tokens = make(key);
    uint8_t bytes[SC_TOKEN_SIZE];
    seal(tokens, bytes);
    struct sp_addr others[4] = {client, client, client, client};
    others[0].ip[3] ^= 1;
    others[1].port++;
    others[2].family = 6;
    others[3].ip[0] = 0;
    for (size_t i = 0; i < QT_COUNT(others); i++)
        assert_int_equal(open_at(tokens, bytes, sizeof(bytes), &others[i], WALL_NS),
                         SC_TOKEN_INVALID);

    /* A process that listens at "::" sees an IPv4 client like this. */
    static const struct sp_addr mapped = {
        .ip = {[10] = 0xff, 0xff, 192, 0, 2, 7}, .port = 50000, .family = 6};
    assert_int_equal(open_at(tokens, bytes, sizeof(bytes), &mapped, WALL_NS), SC_TOKEN_VALID);
}

static void a_token_expires(void **state)
{
    (void)state;
    struct sc_tokens *tokens = make(key);
    uint8_t bytes[SC_TOKEN_SIZE];
    seal(tokens, bytes);
    static const struct {
        int64_t after_ns;
        enum sc_token_result want;
    } rows[] = {
        {0, SC_TOKEN_VALID},
        {(int64_t)SC_TOKEN_RETRY_NS, SC_TOKEN_VALID},
        {(int64_t)SC_TOKEN_RETRY_NS + 1, SC_TOKEN_INVALID},
        {-(int64_t)SC_TOKEN_RETRY_NS, SC_TOKEN_VALID}, /* clocks differ; it is another epoch */
        {-(int64_t)SC_TOKEN_RETRY_NS - 1, SC_TOKEN_INVALID},
        {(int64_t)HOUR_NS, SC_TOKEN_INVALID},
        {(int64_t)HOUR_NS * 2, SC_TOKEN_INVALID},
        {(int64_t)HOUR_NS * 256, SC_TOKEN_INVALID}, /* the byte in the token is equal */
    };
    for (size_t i = 0; i < QT_COUNT(rows); i++)
        assert_int_equal(
            open_at(tokens, bytes, sizeof(bytes), &client, WALL_NS + (uint64_t)rows[i].after_ns),
            rows[i].want);
}

/* [RFC9000 8.1.3] A token of NEW_TOKEN lives for a day and is for any port of the address. */
static void a_token_for_later_connections_lasts_a_day(void **state)
{
    (void)state;
    struct sc_tokens *tokens = make(key);
    struct sc_token token = {.kind = SC_TOKEN_NEW, .issued_ns = WALL_NS};
    struct sc_token got;
    uint8_t bytes[SC_TOKEN_SIZE];
    struct sb_bytes all = {bytes, sizeof(bytes)};
    assert_true(sc_token_seal(tokens, &token, &client, nonce, bytes));
    for (uint64_t hour = 0; hour <= 24; hour++) {
        struct sp_addr later = client;
        later.port = (uint16_t)(1 + hour);
        assert_int_equal(sc_token_open(tokens, all, &later, WALL_NS + hour * HOUR_NS, &got),
                         SC_TOKEN_VALID);
        assert_int_equal(got.kind, SC_TOKEN_NEW);
    }
    assert_int_equal(sc_token_open(tokens, all, &client, WALL_NS + 24 * HOUR_NS + 1, &got),
                     SC_TOKEN_INVALID);
    struct sp_addr other = client;
    other.ip[3]++;
    assert_int_equal(sc_token_open(tokens, all, &other, WALL_NS, &got), SC_TOKEN_INVALID);
    bytes[0] = SC_TOKEN_RETRY; /* the kind is authenticated */
    assert_int_equal(sc_token_open(tokens, all, &client, WALL_NS, &got), SC_TOKEN_INVALID);
    for (size_t size = 0; size < sizeof(bytes); size++)
        assert_int_equal(
            sc_token_open(tokens, (struct sb_bytes){bytes, size}, &client, WALL_NS, &got),
            SC_TOKEN_FOREIGN);
}

/* A token that was sealed at the end of an hour is opened in the next one, also by a process that
 * has not lived in the hour before. */
static void keys_rotate_and_the_last_one_still_opens(void **state)
{
    (void)state;
    uint8_t bytes[3][SC_TOKEN_SIZE];
    for (uint64_t i = 0; i < 3; i++) {
        struct sc_token token = token_of(490001 * HOUR_NS + i * HOUR_NS - SB_S);
        struct sc_tokens *tokens = make(key);
        struct sc_tokens *fresh = make(key);
        struct sc_token got;
        assert_true(sc_token_seal(tokens, &token, &client, nonce, bytes[i]));
        struct sb_bytes all = {bytes[i], SC_TOKEN_SIZE};
        uint64_t later_ns = token.issued_ns + 2 * SB_S;
        assert_int_equal(sc_token_open(tokens, all, &client, later_ns, &got), SC_TOKEN_VALID);
        assert_int_equal(sc_token_open(fresh, all, &client, later_ns, &got), SC_TOKEN_VALID);
    }
    /* One nonce in three hours: three different key streams. */
    assert_memory_not_equal(bytes[0] + 40, bytes[1] + 40, 30);
    assert_memory_not_equal(bytes[1] + 40, bytes[2] + 40, 30);
}

/* What an engine whose keys rotate for years does with its few ciphers. */
static void one_owner_seals_and_opens_for_many_hours(void **state)
{
    (void)state;
    struct sc_tokens *tokens = make(key);
    for (uint64_t hour = 0; hour < 20; hour++) {
        uint8_t bytes[SC_TOKEN_SIZE];
        struct sc_token got;
        struct sc_token token = token_of(WALL_NS + hour * HOUR_NS);
        assert_true(sc_token_seal(tokens, &token, &client, nonce, bytes));
        assert_int_equal(sc_token_open(tokens, (struct sb_bytes){bytes, sizeof(bytes)}, &client,
                                       token.issued_ns, &got),
                         SC_TOKEN_VALID);
        assert_int_equal(got.issued_ns, token.issued_ns);
    }
}

static void a_process_with_the_same_key_opens_it_and_no_other(void **state)
{
    (void)state;
    uint8_t bytes[SC_TOKEN_SIZE];
    seal(make(key), bytes);
    assert_int_equal(open_now(make(key), bytes, sizeof(bytes)), SC_TOKEN_VALID);
    assert_int_equal(open_now(make(other_key), bytes, sizeof(bytes)), SC_TOKEN_FOREIGN);
    sc_tokens_destroy(NULL);
}

/* Tokens of other software count as absent.  [RFC9000 8.1.3] */
static void foreign_tokens_are_told_from_ours(void **state)
{
    (void)state;
    struct sc_tokens *tokens = make(key);
    uint8_t bytes[256];
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        memset(bytes, (int)size, sizeof(bytes));
        bytes[0] = SC_TOKEN_RETRY;
        assert_int_equal(open_now(tokens, bytes, size), SC_TOKEN_FOREIGN);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_token_comes_back_as_it_was_given),
        QT_TEST(owned, every_truncation_and_every_flipped_bit_is_noticed),
        QT_TEST(owned, the_connection_ids_cannot_be_read),
        QT_TEST(owned, a_token_of_another_address_or_port_is_invalid),
        QT_TEST(owned, a_token_for_later_connections_lasts_a_day),
        QT_TEST(owned, a_token_expires),
        QT_TEST(owned, keys_rotate_and_the_last_one_still_opens),
        QT_TEST(owned, one_owner_seals_and_opens_for_many_hours),
        QT_TEST(owned, a_process_with_the_same_key_opens_it_and_no_other),
        QT_TEST(owned, foreign_tokens_are_told_from_ours),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
