/* SPDX-License-Identifier: MIT */
/* What an idle connection keeps of TLS and of its keys is in pools: nothing is on the heap, where
 * it would stand between what OpenSSL frees.  Runs with OpenSSL's allocator in our hands. */

#include "test/support/qt.h"

#include <stdlib.h>
#include <string.h>

#include <openssl/crypto.h>

#include "crypto/memory.h"
#include "crypto/protect.h"
#include "crypto/suite.h"
#include "test/support/heap.h"
#include "test/support/owned.h"
#include "test/support/tls_pair.h"

static int64_t live_count; /* allocations of OpenSSL, and ours by its functions */

static void *counting_malloc(size_t size, const char *file, int line)
{
    (void)file, (void)line;
    void *at = malloc(size);
    live_count += at != NULL;
    return at;
}

static void *counting_realloc(void *old, size_t size, const char *file, int line)
{
    (void)file, (void)line;
    void *at = realloc(old, size);
    live_count += old == NULL && at != NULL;
    return at;
}

static void counting_free(void *at, const char *file, int line)
{
    (void)file, (void)line;
    live_count -= at != NULL;
    free(at);
}

/* The memory of a shard, in small. */
static struct heap heap;
static struct sc_memory memory;
static struct sb_pool key_pool, schedule_pool;
static uint64_t charged_bytes;
static uint64_t charged_bytes_max;

static bool charge(void *context, uint64_t size)
{
    (void)context;
    if (size > charged_bytes_max - charged_bytes)
        return false;
    charged_bytes += size;
    return true;
}

static void refund(void *context, uint64_t size)
{
    (void)context;
    assert_true(charged_bytes >= size);
    charged_bytes -= size;
}

static int kept_setup(void **state)
{
    heap_init(&heap);
    sc_memory_init(&memory, &heap.memory);
    memory.charge = charge;
    memory.refund = refund;
    charged_bytes = 0;
    charged_bytes_max = UINT64_MAX;
    sb_pool_init(&key_pool, "keys", sizeof(struct sc_fused_key), UINT32_MAX, UINT32_MAX,
                 &heap.memory);
    sb_pool_init(&schedule_pool, "schedules", sizeof(struct sc_fused_schedule), UINT32_MAX,
                 UINT32_MAX, &heap.memory);
    return owned_setup(state);
}

static int kept_teardown(void **state)
{
    int result = owned_teardown(state);
    heap_pool_deinit(&key_pool);
    heap_pool_deinit(&schedule_pool);
    for (uint32_t i = 0; i < SC_MEMORY_POOLS; i++)
        heap_pool_deinit(&memory.pools[i]);
    heap_deinit(&heap);
    return result;
}

static const struct sp_protect_ops *const ops = &sc_protect_ops;

static uint64_t used_bytes(void)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < SC_MEMORY_POOLS; i++)
        bytes += (uint64_t)memory.pools[i].used_count * memory.pools[i].object_size;
    return bytes;
}

/* The keys of a connection: `read`, its successor, and `write`. */
static bool make_keys(struct sc_fused *fused, const struct sc_suite *suite, struct sp_key *ret[3])
{
    uint8_t secret[SP_SECRET_SIZE_MAX] = {1, 2, 3};
    ret[0] = ops->key(fused, SP_VERSION_1, suite->id, secret, suite->secret_size);
    ret[1] = ret[0] != NULL ? ops->next(ret[0]) : NULL;
    ret[2] = ops->key(fused, SP_VERSION_1, suite->id, secret, suite->secret_size);
    return ret[0] != NULL && ret[1] != NULL && ret[2] != NULL;
}

static void rest_keys(struct sp_key *keys[3])
{
    for (int i = 0; i < 3; i++)
        ops->rest(keys[i]);
}

static bool wake_keys(struct sp_key *keys[3])
{
    return ops->wake(keys[0]) && ops->wake(keys[1]) && ops->wake(keys[2]);
}

static void destroy_keys(struct sp_key *keys[3])
{
    for (int i = 0; i < 3; i++)
        ops->destroy(keys[i]);
}

static void judge_keys(struct sc_fused *fused, const struct sc_suite *suite)
{
    struct sp_key *keys[3];
    int64_t before = live_count;
    assert_true(make_keys(fused, suite, keys));
    bool is_openssl = live_count > before;
    assert_int_equal(is_openssl, !sc_fused_is_able(fused) || !suite->is_aes);
    assert_int_equal(charged_bytes > 0, is_openssl);
    for (int round = 0; round < 2; round++) {
        rest_keys(keys);
        assert_int_equal(live_count, before);
        assert_int_equal(charged_bytes, 0);
        assert_int_equal(key_pool.used_count + schedule_pool.used_count, 0);
        assert_in_range(used_bytes(), 100, 800);
        charged_bytes_max = is_openssl ? 1500 : 0; /* for some of them */
        assert_int_equal(wake_keys(keys), !is_openssl);
        charged_bytes_max = UINT64_MAX;
        assert_true(wake_keys(keys));
    }
    destroy_keys(keys);
    assert_int_equal(live_count, before);
    assert_int_equal(charged_bytes, 0);
    assert_int_equal(used_bytes(), 0);
}

static void keys_that_rest_keep_nothing_on_the_heap(void **state)
{
    (void)state;
    const struct sc_fused *best = sc_fused_best();
    struct sc_fused variants[2] = {{.name = "openssl"}};
    uint32_t count = 1;
    if (best != NULL)
        variants[count++] = *best;
    for (uint32_t i = 0; i < count; i++) {
        variants[i].memory = &memory;
        variants[i].keys = &key_pool;
        variants[i].schedules = &schedule_pool;
        for (unsigned s = 0; s < SC_SUITE_COUNT; s++)
            judge_keys(&variants[i], sc_suite_at(s));
    }
}

static void tls_that_rests_keeps_nothing_on_the_heap(void **state)
{
    (void)state;
    static struct qt_tls_pair first, pair;
    struct qt_tls_args args = qt_tls_args();
    qt_tls_open(&first, &args); /* what is made once: algorithms, caches */
    qt_tls_run(&first);
    qt_tls_assert_complete(&first);
    args.client_config = first.client_config;
    args.server_config = first.server_config;
    args.memory = &memory;

    for (int round = 0; round < 3; round++) {
        int64_t before = live_count;
        qt_tls_open(&pair, &args);
        qt_tls_run(&pair);
        qt_tls_assert_complete(&pair);
        for (int level = 0; level < SP_LEVELS; level++) {
            sc_tls_ops.drop(pair.client.tls, (enum sp_level)level);
            sc_tls_ops.drop(pair.server.tls, (enum sp_level)level);
        }
        sc_tls_ops.rest(pair.client.tls);
        sc_tls_ops.rest(pair.server.tls);
        if (round > 0) /* the first one with these configurations fills caches of theirs */
            assert_int_equal(live_count, before);
        assert_true(sc_tls_peer_certificate(pair.client.tls).size > 0);
        assert_string_equal(sc_tls_server_name(pair.server.tls), "localhost");
        assert_in_range(used_bytes(), 1000, 2048); /* of both */
        owned_end(pair.client.tls);
        owned_end(pair.server.tls);
        assert_int_equal(used_bytes(), 0);
        assert_true(round == 0 || live_count == before);
    }
}

static void any_size_can_be_taken(void **state)
{
    (void)state;
    for (size_t size = 1; size < 5000; size++) {
        uint8_t *at = sc_memory_take(&memory, size);
        uint8_t *on_heap = sc_memory_take(NULL, size);
        assert_non_null(at);
        assert_non_null(on_heap);
        memset(at, 1, size);
        memset(on_heap, 1, size);
        sc_memory_give(&memory, at, size);
        sc_memory_give(NULL, on_heap, size);
    }
    sc_memory_give(&memory, NULL, 7);
    assert_null(sc_memory_take_text(&memory, NULL));
    char *text = sc_memory_take_text(&memory, "a name");
    assert_string_equal(text, "a name");
    sc_memory_give_text(&memory, text);
    sc_memory_give_text(&memory, NULL);
    assert_int_equal(used_bytes(), 0);
}

int main(void)
{
    if (CRYPTO_set_mem_functions(counting_malloc, counting_realloc, counting_free) != 1)
        return 1;
    const struct CMUnitTest tests[] = {
        QT_TEST(kept, keys_that_rest_keep_nothing_on_the_heap),
        QT_TEST(kept, tls_that_rests_keeps_nothing_on_the_heap),
        QT_TEST(kept, any_size_can_be_taken),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
