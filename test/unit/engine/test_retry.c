/* SPDX-License-Identifier: MIT */
/* Retry packets and the use of their tokens: RFC 9000, Sections 8.1.2, 8.1.4 and 17.2.5. */

#include "test/support/qt.h"

#include "crypto/retry_tag.h"
#include "engine/base/clock.h"
#include "engine/base/entropy.h"
#include "engine/conn/resume.h"
#include "engine/net/retry.h"
#include "test/support/owned.h"

static const struct sp_addr client = {.ip = {192, 0, 2, 7}, .port = 50000, .family = 4};
static const uint8_t key[SC_TOKEN_KEY_SIZE] = {9};

static const struct sp_peek initial = {
    .is_long = true,
    .version = SP_VERSION_1,
    .dcid = {(const uint8_t *)"firstchoice", 11},
    .scid = {(const uint8_t *)"clients", 7},
};

struct fixture {
    struct se_retry retry;
    struct se_entropy entropy;
    uint8_t packet[SE_RETRY_SIZE];
    size_t size;
    struct sp_header header;
};

static void fixture_end(void *fixture)
{
    struct fixture *f = fixture;
    se_retry_deinit(&f->retry);
    se_entropy_deinit(&f->entropy);
}

static struct fixture *make(void)
{
    struct fixture *f = owned_alloc(sizeof(*f));
    (void)owned_add(f, fixture_end);
    assert_int_equal(se_retry_init(&f->retry, key), 0);
    assert_int_equal(se_entropy_init(&f->entropy), 0);
    return f;
}

static void answer_to(struct fixture *f, const struct sp_peek *peek)
{
    struct sp_cid scid = {.size = SE_CID_SIZE};
    se_entropy_fill(&f->entropy, scid.bytes, scid.size);
    const struct se_retry_args args = {peek, &client, scid, &f->entropy};
    f->size = se_retry_write(&f->retry, &args, f->packet);
    assert_true(f->size > 0 && f->size <= sizeof(f->packet));
    assert_true(sp_header_read(f->packet, f->size, SE_CID_SIZE, &f->header));
    assert_int_equal(f->header.type, SP_PACKET_RETRY);
}

static void answer(struct fixture *f)
{
    answer_to(f, &initial);
}

static enum sc_token_result open_for(struct fixture *f, struct sp_cid dcid, struct sc_token *ret)
{
    const struct sp_peek peek = {.version = f->header.version, .dcid = {dcid.bytes, dcid.size}};
    return se_retry_open(&f->retry, f->header.token, &client, &peek, ret);
}

static void a_retry_names_a_fresh_cid_and_is_authentic(void **state)
{
    (void)state;
    struct fixture *f = make();
    answer(f);
    struct sp_cid original = sp_cid_of(initial.dcid.data, initial.dcid.size);
    struct sp_cid scid = sp_cid_of(initial.scid.data, initial.scid.size);
    assert_true(sc_retry_tag_is_authentic(SP_VERSION_1, &original, f->packet, f->size));
    assert_true(sp_cid_equal(&f->header.dcid, &scid));
    assert_int_equal(f->header.scid.size, SE_CID_SIZE);
    struct sp_cid first = f->header.scid;
    answer(f);
    assert_false(sp_cid_equal(&first, &f->header.scid));
}

static void its_token_proves_the_address_once(void **state)
{
    (void)state;
    struct fixture *f = make();
    struct sc_token token;
    struct sp_cid original = sp_cid_of(initial.dcid.data, initial.dcid.size);
    answer(f);
    /* Until it has made a connection it may come again: an Initial may be damaged. */
    for (int i = 0; i < 2; i++)
        assert_int_equal(open_for(f, f->header.scid, &token), SC_TOKEN_VALID);
    assert_true(sp_cid_equal(&token.original_dcid, &original));
    assert_true(sp_cid_equal(&token.retry_scid, &f->header.scid));

    uint64_t mark = se_retry_mark_of(f->header.token);
    se_retry_use(&f->retry, mark);
    se_retry_forget(&f->retry, mark + SE_RETRY_USED); /* of the same row */
    assert_int_equal(open_for(f, f->header.scid, &token), SC_TOKEN_INVALID);
    se_retry_forget(&f->retry, mark);
    assert_int_equal(open_for(f, f->header.scid, &token), SC_TOKEN_VALID);
    se_retry_use(&f->retry, mark);
    assert_int_equal(open_for(f, f->header.scid, &token), SC_TOKEN_INVALID);
    answer(f); /* another one is not concerned */
    assert_int_equal(open_for(f, f->header.scid, &token), SC_TOKEN_VALID);
}

/* [RFC9000 7.3] */
static void it_is_good_for_the_cid_of_its_retry_only(void **state)
{
    (void)state;
    struct fixture *f = make();
    struct sc_token token;
    answer(f);
    struct sp_cid wrong = f->header.scid;
    wrong.bytes[0] ^= 1;
    assert_int_equal(open_for(f, wrong, &token), SC_TOKEN_INVALID);
    wrong = f->header.scid;
    wrong.size--;
    assert_int_equal(open_for(f, wrong, &token), SC_TOKEN_INVALID);
    assert_int_equal(open_for(f, sp_cid_of(initial.dcid.data, initial.dcid.size), &token),
                     SC_TOKEN_INVALID);
    assert_int_equal(open_for(f, f->header.scid, &token), SC_TOKEN_VALID);
}

/* [RFC9369 4.1, 5] */
static void it_is_good_for_the_version_of_its_retry_only(void **state)
{
    (void)state;
    struct fixture *f = make();
    struct sc_token token;
    for (int is_2 = 0; is_2 < 2; is_2++) {
        struct sp_peek peek = initial;
        peek.version = is_2 ? SP_VERSION_2 : SP_VERSION_1;
        answer_to(f, &peek);
        assert_int_equal(f->header.version, peek.version);
        assert_int_equal(open_for(f, f->header.scid, &token), SC_TOKEN_VALID);
        assert_int_equal(token.version, peek.version);
        f->header.version = is_2 ? SP_VERSION_1 : SP_VERSION_2;
        assert_int_equal(open_for(f, f->header.scid, &token), SC_TOKEN_INVALID);
    }
}

/* [RFC9369 5] Then it is as good as none. */
static void a_token_for_later_is_good_for_its_version_only(void **state)
{
    (void)state;
    struct fixture *f = make();
    static const uint8_t nonce[SC_TOKEN_NONCE_SIZE] = {7};
    uint8_t sealed[SC_TOKEN_SIZE];
    for (int is_2 = 0; is_2 < 2; is_2++) {
        const struct sc_token token = {
            .kind = SC_TOKEN_NEW,
            .version = is_2 ? SP_VERSION_2 : SP_VERSION_1,
            .issued_ns = se_clock_wall_ns(),
        };
        assert_true(sc_token_seal(f->retry.tokens, &token, &client, nonce, sealed));
        const struct sb_bytes bytes = {sealed, sizeof(sealed)};
        struct sp_peek peek = initial;
        struct sc_token got;
        peek.version = is_2 ? SP_VERSION_1 : SP_VERSION_2;
        assert_int_equal(se_retry_open(&f->retry, bytes, &client, &peek, &got), SC_TOKEN_FOREIGN);
        peek.version = token.version;
        assert_int_equal(se_retry_open(&f->retry, bytes, &client, &peek, &got), SC_TOKEN_VALID);
    }
}

/* [RFC9369 5] The application's token begins with the version that it is for. */
static void a_client_uses_a_token_for_its_version_only(void **state)
{
    (void)state;
    static const uint8_t bytes[] = {0x6b, 0x33, 0x43, 0xcf, 'a', 'b', 'c'};
    for (size_t size = 0; size <= sizeof(bytes); size++) {
        struct sb_bytes token = se_token_of(SP_VERSION_2, (struct sb_bytes){bytes, size});
        assert_int_equal(token.size, size > 4 ? size - 4 : 0);
        if (token.size > 0)
            assert_ptr_equal(token.data, bytes + 4);
        assert_int_equal(se_token_of(SP_VERSION_1, (struct sb_bytes){bytes, size}).size, 0);
    }
}

/* [RFC9000 8.1.3] */
static void tokens_for_later_are_all_different(void **state)
{
    (void)state;
    struct fixture *f = make();
    enum { TOKENS = 20 };
    uint8_t tokens[TOKENS][SP_NEW_TOKEN_SIZE_MAX];
    for (size_t i = 0; i < TOKENS; i++) {
        size_t size = se_retry_new_token(&f->retry, &f->entropy, &client, SP_VERSION_1, tokens[i]);
        assert_int_equal(size, SC_TOKEN_SIZE);
        for (size_t j = 0; j < i; j++)
            assert_memory_not_equal(tokens[i], tokens[j], SC_TOKEN_SIZE);
    }
}

static void no_token_is_no_fault(void **state)
{
    (void)state;
    struct fixture *f = make();
    struct sc_token token;
    assert_int_equal(open_for(f, sp_cid_of(NULL, 0), &token), SC_TOKEN_FOREIGN);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_retry_names_a_fresh_cid_and_is_authentic),
        QT_TEST(owned, its_token_proves_the_address_once),
        QT_TEST(owned, it_is_good_for_the_cid_of_its_retry_only),
        QT_TEST(owned, it_is_good_for_the_version_of_its_retry_only),
        QT_TEST(owned, a_token_for_later_is_good_for_its_version_only),
        QT_TEST(owned, a_client_uses_a_token_for_its_version_only),
        QT_TEST(owned, tokens_for_later_are_all_different),
        QT_TEST(owned, no_token_is_no_fault),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
