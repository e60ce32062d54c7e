/* SPDX-License-Identifier: MIT */
/* Connection IDs that load balancers can read, as a shard makes them and as a balancer reads them:
 * draft-ietf-quic-load-balancers, Sections 3 to 5 and Appendix B. */

#include "test/support/qt.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/config/config.h"
#include "engine/config/quic_lb.h"
#include "engine/shard/lb_keeper.h"
#include "engine/shard/shard.h"
#include "test/support/hex.h"
#include "test/support/owned.h"

#define KEY "8f95f09245765f80256934e50c66207f"

static const uint8_t reset_key[SPATE_KEY_SIZE] = {5, 4, 3};

static struct spate_quic_lb config_of(uint8_t config_id, const char *server_id, uint8_t nonce_size,
                                      const char *key)
{
    struct spate_quic_lb lb;
    struct qt_hex id = qt_hex(server_id);
    spate_quic_lb_init(&lb);
    lb.config_id = config_id;
    lb.server_id_size = (uint8_t)id.size;
    lb.nonce_size = nonce_size;
    lb.encodes_length = true;
    memcpy(lb.server_id, id.bytes, id.size);
    if (key != NULL) {
        lb.is_encrypted = true;
        memcpy(lb.key, qt_hex(key).bytes, sizeof(lb.key));
    }
    return lb;
}

/* Shards of one engine, of which only what makes CIDs is there. */
struct fixture {
    struct spate_shard *shards;
    struct spate_shard *each[8];
    uint32_t count;
    struct se_lb_keeper keeper;
};

static void fixture_end(void *fixture)
{
    struct fixture *f = fixture;
    for (uint32_t i = 0; i < f->count; i++) {
        se_cids_deinit(&f->shards[i]);
        se_table_deinit(&f->shards[i].cids);
        se_entropy_deinit(&f->shards[i].entropy);
    }
    free(f->shards);
    se_lb_keeper_close(&f->keeper);
}

static struct se_shared_ports tagged = {.tag = 0xa7};

static struct fixture *make_with(const struct spate_quic_lb *lb, uint32_t count, bool has_tag)
{
    struct fixture *f = owned_alloc(sizeof(*f));
    (void)owned_add(f, fixture_end);
    f->shards = aligned_alloc(_Alignof(struct spate_shard), count * sizeof(struct spate_shard));
    assert_non_null(f->shards);
    memset(f->shards, 0, count * sizeof(struct spate_shard));
    f->count = count;
    f->keeper.has_tag = has_tag;
    assert_int_equal(se_lb_keeper_open(&f->keeper, lb, count, NULL), 0);
    se_lb_keeper_set_mask(&f->keeper, reset_key);
    for (uint32_t i = 0; i < count; i++) {
        struct spate_shard *shard = &f->shards[i];
        const struct se_siphash_key key = {{1, 2}};
        shard->index = i;
        shard->shared_ports = &tagged;
        f->each[i] = shard;
        atomic_init(&shard->wake.bell_fd, SU_WAKE_NONE); /* nobody sleeps */
        assert_int_equal(se_table_init(&shard->cids, 10, key, NULL), 0);
        assert_int_equal(se_entropy_init(&shard->entropy), 0);
        assert_int_equal(se_lb_keeper_begin(&f->keeper, shard), 0);
    }
    return f;
}

static struct fixture *make(const struct spate_quic_lb *lb, uint32_t count)
{
    return make_with(lb, count, false);
}

static struct sp_cid make_cid(struct fixture *f, uint32_t shard)
{
    struct sp_cid cid;
    se_cids_make(&f->shards[shard], true, &cid);
    return cid;
}

static void reader_end(void *reader)
{
    spate_quic_lb_reader_destroy(reader);
}

static struct spate_quic_lb_reader *reader_of(const struct spate_quic_lb *lb)
{
    struct spate_quic_lb_reader *reader;
    struct spate_error error = {""};
    assert_int_equal(spate_quic_lb_reader_create(lb, &reader, &error), 0);
    assert_string_equal(error.text, "");
    return owned_add(reader, reader_end);
}

/* ---- The vectors ---- */

struct vector {
    uint8_t config_id;
    bool is_encrypted;
    const char *server_id;
    const char *nonce;
    const char *cid;
};

/* The draft prints the second one with the zero that begins its nonce displaced: nonce 3487d970b,
 * CID 20a350d28b4203487d970b. */
static const struct vector vectors[] = {
    {0, false, "c4605e", "4504cc4f", "07c4605e4504cc4f"},
    {1, false, "350d28b420", "03487d970b", "2a350d28b42003487d970b"},
    {0, true, "ed793a", "ee080dbf", "0720b1d07b359d3c"},
    {1, true, "ed793a51d49b8f5fab65", "ee080dbf48", "2fcc381bc74cb4fbad2823a3d1f8fed2"},
    {2, true, "ed793a51d49b8f5f", "ee080dbf48c0d1e5", "504dd2d05a7b0de9b2b9907afb5ecf8cc3"},
    {3, true, "ed793a51d49b8f5fab", "ee080dbf48c0d1e55d", "725779c9cc86beb3a3a4a3ca96fce4bfe0cdbc"},
};

static void balancers_read_the_vectors_of_the_draft(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        struct qt_hex want = qt_hex(v->server_id);
        struct qt_hex cid = qt_hex(v->cid);
        struct spate_quic_lb lb =
            config_of(v->config_id, v->server_id, (uint8_t)(qt_hex(v->nonce).size),
                      v->is_encrypted ? KEY : NULL);
        struct spate_quic_lb_reader *reader = reader_of(&lb);
        uint8_t got[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX] = {0};
        assert_int_equal(spate_quic_lb_read(reader, cid.bytes, cid.size, got), 0);
        assert_memory_equal(got, want.bytes, want.size);
        /* A server's own octets may follow. */
        memset(got, 0, sizeof(got));
        assert_int_equal(spate_quic_lb_read(reader, cid.bytes, cid.size + 1, got), 0);
        assert_memory_equal(got, want.bytes, want.size);
        for (size_t size = 0; size < cid.size; size++)
            assert_int_equal(spate_quic_lb_read(reader, cid.bytes, size, got), -EMSGSIZE);
        cid.bytes[0] ^= 0x20;
        assert_int_equal(spate_quic_lb_read(reader, cid.bytes, cid.size, got), -ENOENT);
    }
}

/* Of an engine with one shard, from a given nonce on. */
static void servers_write_the_vectors_of_the_draft(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(vectors); i++) {
        const struct vector *v = &vectors[i];
        if (!v->is_encrypted)
            continue; /* nonces in clear are random */
        struct qt_hex nonce = qt_hex(v->nonce);
        struct qt_hex want = qt_hex(v->cid);
        struct spate_quic_lb lb = config_of(v->config_id, v->server_id, (uint8_t)nonce.size, KEY);
        struct fixture *f = make(&lb, 1);
        struct se_lb_args args = f->keeper.args;
        memcpy(args.first_nonce, nonce.bytes, nonce.size);
        struct se_lb *known = se_lb_create(&args, 0);
        assert_non_null(known);
        se_cids_put(&f->shards[0], known);
        se_cids_take(&f->shards[0]);
        struct sp_cid cid = make_cid(f, 0);
        assert_int_equal(cid.size, want.size + 1);
        assert_int_equal(cid.bytes[0], (want.bytes[0] & 0xe0) | want.size); /* with our own octet */
        assert_memory_equal(cid.bytes + 1, want.bytes + 1, want.size - 1);
    }
}

/* ---- What servers make ---- */

static void each_cid_leads_to_its_server_and_its_shard(void **state)
{
    (void)state;
    enum { SHARDS = 5, EACH = 300 };
    static const struct {
        const char *server_id;
        uint8_t nonce_size;
    } sizes[] = {{"07", 4}, {"0a0b0c0d0e0f1011", 8}, {"010203040506070809", 9}, {"55", 17}};
    for (size_t i = 0; i < 2 * QT_COUNT(sizes); i++) {
        const char *id = sizes[i / 2].server_id;
        struct spate_quic_lb lb =
            config_of((uint8_t)(i % 7), id, sizes[i / 2].nonce_size, i % 2 != 0 ? KEY : NULL);
        lb.encodes_length = i % 3 != 0;
        struct fixture *f = make(&lb, SHARDS);
        struct spate_quic_lb_reader *reader = reader_of(&lb);
        struct qt_hex want = qt_hex(id);
        uint32_t clear_count = 0;
        for (uint32_t n = 0; n < SHARDS * EACH; n++) {
            struct sp_cid cid = make_cid(f, n % SHARDS);
            uint8_t got[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX];
            assert_int_equal(cid.size, se_quic_lb_cid_size(&lb, false));
            assert_int_equal(spate_quic_lb_read(reader, cid.bytes, cid.size, got), 0);
            assert_memory_equal(got, want.bytes, want.size);
            assert_int_equal(se_cid_shard(&f->shards[0].own_cids.form, cid.bytes), n % SHARDS);
            clear_count += cid.bytes[cid.size - 1] == n % SHARDS;
            if (lb.encodes_length)
                assert_int_equal(cid.bytes[0] & 0x1f, cid.size - 1);
        }
        assert_true(clear_count < SHARDS * EACH / 20); /* 1 of 256: nobody reads the shard there */
        owned_end(f);
    }
}

static int compare(const void *a, const void *b)
{
    return memcmp(a, b, 4);
}

/* [quic-lb 9.6] All shards together, across the counter's end. */
static void no_nonce_is_used_twice(void **state)
{
    (void)state;
    enum { SHARDS = 3, COUNT = 30000 };
    static uint8_t nonces[COUNT][4];
    struct spate_quic_lb lb = config_of(1, "2a", 4, NULL);
    struct fixture *f = make(&lb, SHARDS);
    memset(f->keeper.args.first_nonce, 0xff, sizeof(f->keeper.args.first_nonce));
    for (uint32_t i = 0; i < SHARDS; i++) {
        se_cids_put(&f->shards[i], se_lb_create(&f->keeper.args, i));
        se_cids_take(&f->shards[i]);
    }
    uint32_t close = 0;
    for (uint32_t i = 0; i < COUNT; i++) {
        struct sp_cid cid = make_cid(f, i % SHARDS);
        memcpy(nonces[i], cid.bytes + 2, sizeof(nonces[i]));
        close += i > 0 && nonces[i][0] == nonces[i - 1][0];
    }
    assert_true(close < COUNT / 64); /* 1 of 256: they do not look like a counter */
    qsort(nonces, COUNT, sizeof(nonces[0]), compare);
    for (uint32_t i = 1; i < COUNT; i++)
        assert_memory_not_equal(nonces[i - 1], nonces[i], sizeof(nonces[i]));
}

/* [quic-lb 3.2, 9.6] */
static void without_nonces_cids_are_unroutable(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(2, "2a07", 4, KEY);
    lb.encodes_length = false;
    struct fixture *f = make(&lb, 2);
    struct se_cids *cids = &f->shards[1].own_cids;
    assert_int_equal(se_cids_nonces_left(cids), UINT64_C(1) << 31);
    /* The next one of 2^31: nobody makes so many here. */
    f->keeper.args.shard_count = UINT32_C(0xffffffff);
    se_cids_put(&f->shards[1], se_lb_create(&f->keeper.args, 1));
    se_cids_take(&f->shards[1]);
    assert_int_equal(se_cids_nonces_left(cids), 1);
    assert_int_equal(se_cids_count_max(cids), SP_CIDS_MAX - 1);
    assert_int_equal(make_cid(f, 1).bytes[0] >> 5, 2);
    assert_int_equal(se_cids_nonces_left(cids), 0);
    assert_int_equal(se_cids_count_max(cids), 1); /* no spare one */
    assert_int_equal(f->shards[1].counts.own.cids_unroutable, 0);
    for (uint32_t i = 1; i <= 100; i++) {
        struct sp_cid cid = make_cid(f, 1);
        assert_int_equal(cid.bytes[0], 0xe0 | (cid.size - 1));
        assert_int_equal(se_cid_shard(&cids->form, cid.bytes), 1);
        assert_int_equal(f->shards[1].counts.own.cids_unroutable, i);
    }
}

static void an_engine_without_a_configuration_yet_is_unroutable(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(SPATE_QUIC_LB_UNROUTABLE, "00", 7, NULL);
    struct fixture *f = make(&lb, 1);
    struct sp_cid cid = make_cid(f, 0);
    uint8_t got[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX];
    assert_int_equal(cid.size, 10);
    assert_int_equal(cid.bytes[0], 0xe9);
    assert_int_equal(se_cids_count_max(&f->shards[0].own_cids), 1);
    assert_int_equal(spate_quic_lb_read(reader_of(&lb), cid.bytes, cid.size, got), -ENOENT);

    struct spate_quic_lb next = config_of(0, "0102", 6, KEY);
    struct spate_error error = {""};
    assert_int_equal(se_lb_keeper_change(&f->keeper, f->each, &next, &error), 0);
    se_cids_take(&f->shards[0]);
    cid = make_cid(f, 0);
    assert_int_equal(spate_quic_lb_read(reader_of(&next), cid.bytes, cid.size, got), 0);
    assert_memory_equal(got, next.server_id, 2);
    assert_int_equal(se_cids_count_max(&f->shards[0].own_cids), SP_CIDS_MAX - 1);
}

static void a_client_of_the_engine_uses_up_no_nonce(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(3, "0102", 6, KEY);
    struct fixture *f = make(&lb, 1);
    uint64_t before = se_cids_nonces_left(&f->shards[0].own_cids);
    struct sp_cid cid;
    se_cids_make(&f->shards[0], false, &cid);
    assert_int_equal(cid.bytes[0] >> 5, SPATE_QUIC_LB_UNROUTABLE);
    assert_int_equal(se_cids_nonces_left(&f->shards[0].own_cids), before);
    assert_int_equal(f->shards[0].counts.own.cids_unroutable, 0);
}

static void without_load_balancers_cids_are_as_before(void **state)
{
    (void)state;
    struct fixture *one = make(NULL, 1);
    struct fixture *four = make(NULL, 4);
    uint32_t same = 0;
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(make_cid(one, 0).size, SE_CID_SIZE);
        same += make_cid(one, 0).bytes[1] == 0;
        assert_int_equal(make_cid(four, 2).bytes[SE_STRAY_CID_AT], 2);
    }
    assert_true(same < 16);
    assert_int_equal(se_cids_count_max(&one->shards[0].own_cids), SP_CIDS_MAX);
    assert_int_equal(se_cids_nonces_left(&one->shards[0].own_cids), 0);
    struct spate_quic_lb lb = config_of(0, "01", 6, NULL);
    struct spate_error error = {""};
    assert_int_equal(se_lb_keeper_change(&one->keeper, one->each, &lb, &error), -EINVAL);
    assert_string_equal(error.text, "the engine was created without quic_lb");
}

static void an_engine_that_hands_over_puts_its_tag_after_the_shard(void **state)
{
    (void)state;
    for (uint32_t shard_count = 1; shard_count <= 4; shard_count += 3) {
        struct fixture *f = make_with(NULL, shard_count, true);
        uint32_t last = shard_count - 1;
        const struct se_cid_form *form = &f->shards[last].own_cids.form;
        for (uint32_t i = 0; i < 64; i++) {
            struct sp_cid cid = make_cid(f, last);
            assert_int_equal(cid.size, SE_CID_SIZE);
            assert_int_equal(cid.bytes[1], last);
            assert_int_equal(cid.bytes[2], 0xa7);
            assert_int_equal(se_cid_shard(form, cid.bytes), last);
            assert_int_equal(se_cid_tag(form, cid.bytes), 0xa7);
        }
    }
}

/* What balancers read is what it would be without the tag, and the tag does not show that two CIDs
 * are of one process. */
static void with_load_balancers_the_tag_follows_too(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 8; i++) {
        uint8_t nonce_size = i < 4 ? 6 : 15; /* the longest that fits */
        uint32_t shard_count = (i & 1) != 0 ? 4 : 1;
        struct spate_quic_lb lb = config_of(2, "0102", nonce_size, (i & 2) != 0 ? KEY : NULL);
        struct fixture *f = make_with(&lb, shard_count, true);
        struct spate_quic_lb_reader *reader = reader_of(&lb);
        uint32_t last = shard_count - 1;
        const struct se_cid_form *form = &f->shards[last].own_cids.form;
        uint32_t same = 0;
        for (uint32_t n = 0; n < 64; n++) {
            uint8_t got[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX];
            struct sp_cid cid = make_cid(f, last);
            assert_int_equal(cid.size, 1 + 2 + nonce_size + 2);
            assert_int_equal(cid.bytes[0] & 0x1f, cid.size - 1);
            assert_int_equal(spate_quic_lb_read(reader, cid.bytes, cid.size, got), 0);
            assert_memory_equal(got, lb.server_id, 2);
            assert_int_equal(se_cid_shard(form, cid.bytes), last);
            assert_int_equal(se_cid_tag(form, cid.bytes), 0xa7);
            same += cid.bytes[cid.size - 1] == 0xa7;
        }
        assert_true(same < 8);
    }
}

/* One of a Retry leads to the server, but to none of its processes: the newest takes it. */
static void the_cid_of_a_retry_has_no_tag(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(2, "0102", 6, KEY);
    struct fixture *f = make_with(&lb, 1, true);
    struct spate_quic_lb_reader *reader = reader_of(&lb);
    uint32_t tagged_count = 0;
    for (uint32_t n = 0; n < 64; n++) {
        uint8_t got[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX];
        struct sp_cid cid;
        se_cids_make_retry(&f->shards[0], &cid);
        assert_int_equal(cid.size, 1 + 2 + 6 + 2);
        assert_int_equal(spate_quic_lb_read(reader, cid.bytes, cid.size, got), 0);
        assert_memory_equal(got, lb.server_id, 2);
        tagged_count += se_cid_tag(&f->shards[0].own_cids.form, cid.bytes) == 0xa7;
    }
    assert_true(tagged_count < 8);
}

static void a_change_keeps_the_tag(void **state)
{
    (void)state;
    struct spate_quic_lb first = config_of(0, "0102", 6, KEY);
    struct spate_quic_lb next = config_of(1, "010203", 5, "00112233445566778899aabbccddeeff");
    struct spate_quic_lb none = config_of(SPATE_QUIC_LB_UNROUTABLE, "01", 7, NULL);
    struct fixture *f = make_with(&first, 1, true);
    const struct spate_quic_lb *changes[] = {&next, &none};
    for (uint32_t i = 0; i < QT_COUNT(changes); i++) {
        assert_int_equal(se_lb_keeper_change(&f->keeper, f->each, changes[i], NULL), 0);
        se_cids_take(&f->shards[0]);
        struct sp_cid cid = make_cid(f, 0);
        assert_int_equal(cid.bytes[0] >> 5, changes[i]->config_id);
        assert_int_equal(se_cid_shard(&f->shards[0].own_cids.form, cid.bytes), 0);
        assert_int_equal(se_cid_tag(&f->shards[0].own_cids.form, cid.bytes), 0xa7);
    }
}

/* ---- What is refused ---- */

struct bad {
    uint8_t config_id;
    uint8_t server_id_size;
    uint8_t nonce_size;
    uint32_t shards;
    bool has_tag;
    const char *says;
};

static const struct bad bad_values[] = {
    {8, 1, 8, 1, false, "quic_lb.config_id is 8, must be 0 to 7"},
    {0, 0, 8, 1, false, "quic_lb.server_id_size is 0, must be 1 to 15"},
    {0, 16, 4, 1, false, "quic_lb.server_id_size is 16, must be 1 to 15"},
    {0, 1, 3, 1, false, "quic_lb.nonce_size is 3, must be 4 to 18"},
    {0, 1, 19, 1, false, "quic_lb.nonce_size is 19, must be 4 to 18"},
    {0, 10, 10, 1, false, "quic_lb.server_id_size + nonce_size is 20, must be 5 to 19"},
    {0, 10, 9, 2, false,
     "quic_lb.server_id_size + nonce_size is 19, must be 5 to 18 with several shards"},
    {0, 9, 9, 1, true, "quic_lb.server_id_size + nonce_size is 18, must be 5 to 17 with hand_over"},
    {7, 8, 11, 4, true,
     "quic_lb.server_id_size + nonce_size is 19, must be 5 to 17 with hand_over"},
    {7, 1, 4, 1, false, "quic_lb.server_id_size + nonce_size is 5, must be 6 to 19"},
};

static void each_bad_value_gives_one_clear_line(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(bad_values); i++) {
        const struct bad *bad = &bad_values[i];
        struct se_lb_keeper keeper = {.has_tag = bad->has_tag};
        struct spate_quic_lb lb;
        struct spate_error error = {""};
        spate_quic_lb_init(&lb);
        lb.config_id = bad->config_id;
        lb.server_id_size = bad->server_id_size;
        lb.nonce_size = bad->nonce_size;
        assert_int_equal(se_lb_keeper_open(&keeper, &lb, bad->shards, &error), -EINVAL);
        assert_string_equal(error.text, bad->says);
        assert_int_equal(se_lb_keeper_open(&keeper, &lb, bad->shards, NULL), -EINVAL);
        struct spate_quic_lb_reader *reader = NULL;
        if (bad->shards == 1 && !bad->has_tag)
            assert_int_equal(spate_quic_lb_reader_create(&lb, &reader, &error), -EINVAL);
        assert_null(reader);
    }
    struct spate_error error = {""};
    struct spate_quic_lb_reader *reader;
    assert_int_equal(spate_quic_lb_reader_create(NULL, &reader, &error), -EINVAL);
    assert_string_equal(error.text, "the spate_quic_lb is NULL");
}

static void a_change_must_keep_the_length_and_bring_another_key(void **state)
{
    (void)state;
    struct spate_quic_lb first = config_of(0, "0102", 6, KEY);
    struct fixture *f = make(&first, 1);
    struct spate_error error = {""};
    struct spate_quic_lb longer = config_of(1, "0102", 7, KEY);
    assert_int_equal(se_lb_keeper_change(&f->keeper, f->each, &longer, &error), -EINVAL);
    assert_string_equal(error.text, "quic_lb.server_id_size + nonce_size is 9; that of the engine "
                                    "is 8");
    struct spate_quic_lb next = config_of(0, "010203", 5, "00112233445566778899aabbccddeeff");
    assert_int_equal(se_lb_keeper_change(&f->keeper, f->each, &next, &error), -EEXIST);
    assert_string_equal(error.text, "quic_lb.config_id is 0, as before: a balancer could not tell "
                                    "them apart");
    next.config_id = 1;
    assert_int_equal(se_lb_keeper_change(&f->keeper, f->each, &next, &error), 0);
    first.config_id = 2;
    assert_int_equal(se_lb_keeper_change(&f->keeper, f->each, &first, &error), -EEXIST);
    assert_string_equal(error.text, "quic_lb.key was used before: nonces would repeat");
    first.is_encrypted = false; /* nothing hides its nonces: they may be any */
    assert_int_equal(se_lb_keeper_change(&f->keeper, f->each, &first, &error), 0);
    se_cids_take(&f->shards[0]); /* the last one counts */
    assert_int_equal(make_cid(f, 0).bytes[0] >> 5, 2);
}

/* A connection ID of 20 bytes has an octet of the server after 18 bytes of server ID and nonce, and
 * none after 19. */
static void a_change_must_keep_the_place_of_the_servers_octet(void **state)
{
    (void)state;
    for (uint8_t was = 18; was <= 19; was++) {
        uint8_t is = was == 18 ? 19 : 18;
        struct spate_quic_lb first = config_of(0, "0102", was - 2, KEY);
        struct spate_quic_lb next =
            config_of(1, "0102", is - 2, "00112233445566778899aabbccddeeff");
        struct fixture *f = make(&first, 1);
        struct spate_error error = {""};
        assert_int_equal(se_lb_keeper_change(&f->keeper, f->each, &next, &error), -EINVAL);
        assert_string_equal(error.text, was == 18
                                            ? "quic_lb.server_id_size + nonce_size is 19; that of "
                                              "the engine is 18"
                                            : "quic_lb.server_id_size + nonce_size is 18; that of "
                                              "the engine is 19");
    }
}

/* ---- Datagrams ---- */

static void balancers_read_both_kinds_of_header(void **state)
{
    (void)state;
    struct spate_quic_lb lb = config_of(2, "c4605e", 4, KEY);
    struct fixture *f = make(&lb, 1);
    struct spate_quic_lb_reader *reader = reader_of(&lb);
    struct sp_cid cid = make_cid(f, 0);
    uint8_t got[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX];
    uint8_t brief[1 + SP_CID_SIZE_MAX + 20] = {0x40};
    memcpy(brief + 1, cid.bytes, cid.size);
    for (size_t size = 0; size < sizeof(brief); size++) {
        int result = spate_quic_lb_read_datagram(reader, brief, size, got);
        assert_int_equal(result, size < 1 + 8 ? -EMSGSIZE : 0);
    }
    assert_memory_equal(got, lb.server_id, 3);

    /* A version that nobody knows, with a source CID of two bytes. */
    uint8_t long_header[64] = {0x80, 0x1a, 0x2a, 0x3a, 0x4a, cid.size};
    memcpy(long_header + 6, cid.bytes, cid.size);
    long_header[6 + cid.size] = 2;
    size_t whole = 6 + (size_t)cid.size + 1 + 2;
    memset(got, 0, sizeof(got));
    for (size_t size = 0; size <= whole; size++) {
        int result = spate_quic_lb_read_datagram(reader, long_header, size, got);
        assert_int_equal(result, size < whole ? -EMSGSIZE : 0);
    }
    assert_memory_equal(got, lb.server_id, 3);
    long_header[5] = 0;
    assert_int_equal(spate_quic_lb_read_datagram(reader, long_header, whole, got), -EMSGSIZE);
    long_header[5] = cid.size;
    long_header[6] ^= 0x80;
    assert_int_equal(spate_quic_lb_read_datagram(reader, long_header, whole, got), -ENOENT);
}

/* The byte that names a shard is masked: two engines with the same configuration and other keys
 * mask a CID differently. */
static void the_mask_of_a_shard_depends_on_the_key(void **state)
{
    (void)state;
    const struct spate_quic_lb lb = config_of(0, "0102", 8, NULL);
    const uint8_t other_key[SPATE_KEY_SIZE] = {7};
    const struct se_cid_form form = se_cid_form_of(&lb, 4, true, reset_key);
    const struct se_cid_form other = se_cid_form_of(&lb, 4, true, other_key);
    uint8_t cid[SP_CID_SIZE_MAX] = {0};
    uint32_t equal_count = 0;
    for (cid[3] = 0; cid[3] < 100; cid[3]++)
        equal_count += su_steer_mask(&form.byte, cid) == su_steer_mask(&other.byte, cid);
    assert_in_range(equal_count, 0, 5);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, balancers_read_the_vectors_of_the_draft),
        QT_TEST(owned, servers_write_the_vectors_of_the_draft),
        QT_TEST(owned, each_cid_leads_to_its_server_and_its_shard),
        QT_TEST(owned, no_nonce_is_used_twice),
        QT_TEST(owned, without_nonces_cids_are_unroutable),
        QT_TEST(owned, an_engine_without_a_configuration_yet_is_unroutable),
        QT_TEST(owned, a_client_of_the_engine_uses_up_no_nonce),
        QT_TEST(owned, without_load_balancers_cids_are_as_before),
        QT_TEST(owned, an_engine_that_hands_over_puts_its_tag_after_the_shard),
        QT_TEST(owned, with_load_balancers_the_tag_follows_too),
        QT_TEST(owned, the_cid_of_a_retry_has_no_tag),
        QT_TEST(owned, a_change_keeps_the_tag),
        QT_TEST(owned, each_bad_value_gives_one_clear_line),
        QT_TEST(owned, a_change_must_keep_the_length_and_bring_another_key),
        QT_TEST(owned, a_change_must_keep_the_place_of_the_servers_octet),
        QT_TEST(owned, balancers_read_both_kinds_of_header),
        QT_TEST(owned, the_mask_of_a_shard_depends_on_the_key),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
