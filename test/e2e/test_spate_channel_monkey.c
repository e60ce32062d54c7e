/* SPDX-License-Identifier: MIT */
/* Channels and a user that knows no rules: random commands, most of them wrong, results that are
 * taken late, and one of three ends.  A failure is replayed with SPATE_TEST_SEED=N. */

#include "test/support/channel_user.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

static void takes_messages(struct spate_config *config)
{
    config->message_frame_size_max = 65535;
}

static uint64_t roll(uint64_t *seed)
{
    *seed ^= *seed << 13;
    *seed ^= *seed >> 7;
    *seed ^= *seed << 17;
    return *seed;
}

/* One random command, most of them wrong. */
static void ask_anything(struct cu *u, uint64_t *seed, const struct spate_connect_options *options)
{
    uint64_t r = roll(seed);
    uint64_t conn_id = r % 5 == 0 ? roll(seed) : u->conn_id;
    const uint64_t streams[] = {SPATE_STREAM_LAST, u->stream_id, 0, 4, 2, roll(seed)};
    uint64_t stream_id = streams[r / 8 % QT_COUNT(streams)];
    size_t size = r / 64 % 3000;
    bool fin = r / 256 % 8 == 0;
    static uint8_t lent[4096];
    static struct spate_stream_progress progress;
    static struct spate_conn_stats stats;
    static const struct iovec pieces[] = {{cu_pattern, 700}, {NULL, 0}, {cu_pattern + 1, 1400}};
    switch (r / 65536 % 15) {
    case 0:
        (void)CU_ASK(u, spate_channel_connect, options, NULL);
        return;
    case 1:
        if (r % 16 == 1)
            (void)CU_ASK(u, spate_channel_conn_close, conn_id, r / 4, "monkey");
        return;
    case 2:
        (void)CU_ASK(u, spate_channel_stream_open, conn_id, r % 2 == 0, NULL);
        return;
    case 3:
        (void)CU_ASK(u, spate_channel_stream_reset, conn_id, stream_id, roll(seed));
        return;
    case 4:
        (void)CU_ASK(u, spate_channel_stream_stop, conn_id, stream_id, r / 1024);
        return;
    case 5:
        (void)CU_ASK(u, spate_channel_stream_set_user, conn_id, stream_id, NULL);
        return;
    case 6:
        (void)CU_ASK(u, spate_channel_datagram_send, conn_id, cu_pattern, size, SPATE_FOREVER,
                     (unsigned)(r % 2));
        return;
    case 7:
        (void)CU_ASK(u, spate_channel_stream_sendv, conn_id, stream_id, pieces, r % 4, fin);
        return;
    case 8:
        (void)CU_ASK(u, spate_channel_stream_receive_into, conn_id, stream_id, lent, size);
        return;
    case 9:
        (void)CU_ASK(u, spate_channel_stream_set_priority, conn_id, stream_id,
                     (uint32_t)(r / 1024 % 10), fin);
        return;
    case 10:
        (void)CU_ASK(u, spate_channel_stream_reset_at, conn_id, stream_id, r / 1024, size);
        return;
    case 11:
        (void)CU_ASK(u, spate_channel_stream_progress, conn_id, stream_id, &progress);
        (void)CU_ASK(u, spate_channel_conn_stats, conn_id, &stats);
        return;
    default:
        (void)CU_ASK(u, spate_channel_stream_send, conn_id, stream_id, cu_pattern, size, fin);
    }
}

/* Keeps up with nothing, and answers what comes as if it were a request. */
static void babble(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA)
        (void)spate_stream_send(event->conn, event->stream_id, cu_pattern, 3000, event->u.data.fin,
                                0);
    if (event->kind == SPATE_EVENT_DATAGRAM)
        spate_slice_release(end->shard, &event->u.datagram.slice);
    pw_default(end, event);
}

static void run_monkey(uint64_t seed)
{
    struct pw *w =
        cu_world(&(struct pw_config){.server = takes_messages, .client = takes_messages});
    const struct spate_channel_options options = {
        .size = sizeof(options),
        .commands_max = (uint32_t)(1 + roll(&seed) % 40),
        .results_max = (uint32_t)(1 + roll(&seed) % 20),
    };
    struct cu *u = cu_user(w, &options);
    struct spate_connect_options to;
    w->server.on_event = babble;
    cu_options(w, &to);
    for (int i = 0; i < 3000; i++) {
        ask_anything(u, &seed, &to);
        u->holds = roll(&seed) % 4 == 0;
        u->is_lazy = roll(&seed) % 2 == 0;
        if (roll(&seed) % 6 == 0)
            pw_turn(w);
        if (roll(&seed) % 10 == 0)
            cu_take(u);
        if (u->held_count > 50)
            cu_release_all(u);
    }
    u->holds = false;
    cu_release_all(u);
    switch (roll(&seed) % 3) {
    case 0:
        cu_destroy(u);
        pw_for(w, 1000000);
        break;
    case 1:
        spate_engine_destroy(w->client.engine);
        w->client.engine = NULL;
        while (cu_take(u) > 0)
            continue;
        assert_true(u->is_over);
        assert_int_equal(u->answered_count, u->asked_count);
        break;
    default:
        spate_channel_close(u->channel, 0);
        cu_run_until_over(w, u);
    }
    owned_end_all();
}

static void a_user_without_rules_gets_each_answer_once(void **state)
{
    (void)state;
    const char *seed = getenv("SPATE_TEST_SEED");
    uint64_t first = seed != NULL ? strtoull(seed, NULL, 10) : pw_now_ns() / 1000 % 1000000;
    for (uint64_t i = 0; i < (seed != NULL ? 1 : 12); i++) {
        printf("# SPATE_TEST_SEED=%llu\n", (unsigned long long)(first + i));
        run_monkey((first + i) * UINT64_C(0x9e3779b97f4a7c15) | 1);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_user_without_rules_gets_each_answer_once),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
