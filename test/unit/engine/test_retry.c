/* SPDX-License-Identifier: MIT */
/* Retry packets and the use of their tokens: RFC 9000, Sections 8.1.2, 8.1.4 and 17.2.5. */

#include "test/support/qt.h"

#include "crypto/retry_tag.h"
#include "engine/conn_table.h"
#include "engine/entropy.h"
#include "engine/retry.h"
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
    struct se_table cids;
    struct se_entropy entropy;
    uint8_t packet[SE_RETRY_SIZE];
    size_t size;
    struct sp_header header;
};

static void fixture_end(void *fixture)
{
    struct fixture *f = fixture;
    se_retry_deinit(&f->retry);
    se_table_deinit(&f->cids);
    se_entropy_deinit(&f->entropy);
}

static struct fixture *make(void)
{
    struct fixture *f = owned_alloc(sizeof(*f));
    (void)owned_add(f, fixture_end);
    assert_int_equal(se_retry_init(&f->retry, key), 0);
    assert_int_equal(se_table_init(&f->cids, 10, (struct se_siphash_key){{1, 2}}, NULL), 0);
    assert_int_equal(se_entropy_init(&f->entropy), 0);
    return f;
}

static void answer_to(struct fixture *f, const struct sp_peek *peek)
{
    const struct se_retry_args args = {peek, &client, &f->cids, &f->entropy};
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

    se_retry_use(&f->retry, se_retry_mark_of(f->header.token));
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
        QT_TEST(owned, no_token_is_no_fault),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
