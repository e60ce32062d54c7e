/* SPDX-License-Identifier: MIT */
/* What test/e2e/gdb.py looks at: two connections with a stream, a shard that knows one of them,
 * ring operations, varints.  gdb stops in show(), where all of it is known. */

#include "test/support/qt.h"

#include "engine/shard/shard.h"
#include "proto/base/compiler.h"
#include "test/support/conn_pair.h"
#include "uring/op.h"

struct shown {
    struct sp_conn *client;
    struct sp_conn *server;
    struct sp_stream *stream;
    struct spate_shard *shard;
    struct su_op op;
    struct su_completion completion;
    uint64_t user_data;
    uint8_t varints[15];
};

static struct conn_pair pair;
static struct spate_shard shard;
static struct spate_conn conn;

void show(struct shown *shown, struct spate_shard *of_thread);

/* `of_thread`: as the frames of a turn have it. */
SB_NEVER_INLINE void show(struct shown *shown, struct spate_shard *of_thread)
{
    __asm__ volatile("" : : "r"(shown), "r"(of_thread) : "memory");
}

int main(void)
{
    struct shown shown = {
        .op = {.kind = SU_OP_SEND, .generation = 3, .index = 17},
        .completion = {.op = {.kind = SU_OP_APP + 2, .index = 1}, .result = -11, .flags = 2},
        /* [RFC9000 A.1] */
        .varints = {0x25, 0x7b, 0xbd, 0x9d, 0x7f, 0x3e, 0x7d, 0xc2, 0x19, 0x7c, 0x5e, 0xff, 0x14,
                    0xe8, 0x8c},
    };
    shown.user_data = su_op_pack(shown.op);

    pair_init(&pair);
    pair_connect(&pair);
    shown.client = pair_conn(&pair, SP_CLIENT);
    shown.server = pair_conn(&pair, SP_SERVER);
    uint64_t id;
    assert_int_equal(sp_conn_open(shown.client, false, &id), SP_DONE);
    struct sp_write write = {.data = "hello", .size = 5};
    assert_int_equal(sp_conn_write(shown.client, id, &write), SP_DONE);
    shown.stream = sp_stream_map_find(&shown.client->streams, id);

    sb_list_init(&shard.all);
    sb_list_init(&conn.all_link);
    sb_list_push_back(&shard.all, &conn.all_link);
    conn.index = 5;
    conn.proto = shown.client;
    conn.shard = &shard;
    conn.id = 4711;
    shown.shard = &shard;

    show(&shown, &shard);
    pair_deinit(&pair);
    return 0;
}
