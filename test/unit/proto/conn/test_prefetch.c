/* SPDX-License-Identifier: MIT */
/* What is fetched early stays as it is, whatever the packets hold. */

#include "test/support/qt.h"

#include <string.h>

#include "proto/conn/prefetch.h"
#include "proto/wire/frame.h"
#include "test/support/conn_pair.h"

QT_FIXTURE(conn_pair, pair_deinit)

static void fetching_changes_nothing(void **state)
{
    struct conn_pair *pair = *state;
    static uint8_t bytes[8], before[sizeof(struct sp_conn)];
    uint64_t id = 0;
    pair_init(pair);
    pair_connect(pair);
    struct sp_conn *conn = pair_conn(pair, SP_CLIENT);
    sp_conn_prefetch_rest(conn); /* nothing is in the schedule */
    for (uint32_t i = 0; i < 2 * SP_STREAM_MAP_FEW; i++) {
        const struct sp_write write = {.data = bytes, .size = sizeof(bytes)};
        assert_int_equal(sp_conn_open(conn, false, &id), SP_DONE);
        assert_int_equal(sp_conn_write(conn, id, &write), SP_DONE);
    }
    /* A stream that is open, one that is not, a frame that ends too early, another frame, and one
     * that was forged. */
    static uint8_t payloads[][4] = {
        {SP_FRAME_STREAM, 4}, {SP_FRAME_STREAM | 7, 0x3f}, {SP_FRAME_STREAM, 0xc0},
        {SP_FRAME_PING},      {SP_FRAME_STREAM, 8},
    };
    struct sp_open opens[QT_COUNT(payloads)];
    for (uint32_t i = 0; i < QT_COUNT(payloads); i++)
        opens[i] = (struct sp_open){.data = payloads[i],
                                    .size = sizeof(payloads[i]),
                                    .is_authentic = i + 1 < QT_COUNT(payloads)};
    memcpy(before, conn, sizeof(before));
    sp_conn_prefetch(conn);
    sp_conn_prefetch_rest(conn);
    sp_conn_prefetch_streams(conn, opens, QT_COUNT(payloads));
    sp_conn_prefetch_streams(conn, opens, 0);
    assert_memory_equal(before, conn, sizeof(before));
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(conn_pair, fetching_changes_nothing),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
