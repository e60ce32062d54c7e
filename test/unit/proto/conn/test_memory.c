/* SPDX-License-Identifier: MIT */
/* A connection and memory: what it holds, and how a lack of it ends. */

#include "test/support/conn_pair.h"
#include "test/support/qt.h"

#include <string.h>

#include "proto/base/time.h"

QT_FIXTURE(conn_pair, pair_deinit)

static uint64_t open_and_write(struct sp_conn *conn, const void *data, size_t size)
{
    uint64_t id = 0;
    assert_int_equal(sp_conn_open(conn, false, &id), SP_DONE);
    const struct sp_write write = {.data = data, .size = size};
    assert_int_equal(sp_conn_write(conn, id, &write), SP_DONE);
    return id;
}

/* The bytes in use in the pools, and in the maps of streams, which are taken beside them. */
static uint64_t used_bytes(const struct conn_pair *pair)
{
    uint64_t bytes = 0;
    for (const struct sb_pool *pool = pair->memory.pools; pool != NULL; pool = pool->next)
        bytes += (uint64_t)pool->used_count * pool->object_size;
    for (int role = 0; role < 2; role++)
        bytes += sp_stream_map_bytes(&pair->ends[role].conn->streams);
    return bytes;
}

static void what_is_taken_is_charged_to_the_connection_that_takes_it(void **state)
{
    static const uint8_t data[3000];
    struct conn_pair *pair = *state;
    pair_init(pair);
    pair_start(pair);
    struct sp_conn *client = pair_conn(pair, SP_CLIENT);
    uint64_t at_start = sp_conn_memory_bytes(client);
    assert_int_equal(at_start, pair->pools.conns.object_size + pair->pools.handshakes.object_size);
    pair_shuttle(pair);
    struct sp_conn *server = pair_conn(pair, SP_SERVER);
    assert_int_equal(sp_conn_memory_bytes(client) + sp_conn_memory_bytes(server), used_bytes(pair));
    assert_true(sp_conn_memory_bytes(client) < at_start + pair->pools.packets.object_size);

    uint64_t client_before = sp_conn_memory_bytes(client);
    uint64_t server_before = sp_conn_memory_bytes(server);
    enum { COUNT = 40 };
    for (uint32_t i = 0; i < COUNT; i++)
        (void)open_and_write(client, data, sizeof(data));
    uint64_t stream_bytes = pair->pools.streams.object_size + pair->pools.chunks.object_size;
    assert_true(sp_conn_memory_bytes(client) >= client_before + COUNT * stream_bytes);
    assert_int_equal(sp_conn_memory_bytes(server), server_before);
    pair_carry(pair, SP_CLIENT);
    assert_int_equal(sp_conn_memory_bytes(client) + sp_conn_memory_bytes(server), used_bytes(pair));
    assert_true(sp_conn_memory_bytes(server) > server_before);
    pair_shuttle(pair);
    assert_int_equal(sp_conn_memory_bytes(client) + sp_conn_memory_bytes(server), used_bytes(pair));

    struct sp_stats stats;
    sp_conn_stats(server, &stats);
    assert_int_equal(stats.memory_bytes, sp_conn_memory_bytes(server));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, what_is_taken_is_charged_to_the_connection_that_takes_it),
    };

    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
