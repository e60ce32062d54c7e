/* SPDX-License-Identifier: MIT */
/* Messages of peers that break the rules, over networks that lose them, and their end. */

#include "test/support/messenger_world.h"

#include <errno.h>
#include <stdlib.h>

#include "engine/message/messenger.h"
#include "engine/shard/shard.h"
#include "test/support/lossy_relay.h"

#define MS UINT64_C(1000000)

/* ---- a peer that breaks the rules ---- */

static void send_raw(struct mw *world, bool is_uni, const void *bytes, size_t size, bool fin)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(world->conn, is_uni, &id), 0);
    assert_int_equal(spate_stream_send(world->conn, id, bytes, size, fin, 0), 0);
}

static void malformed_messages_close_the_connection(void **state)
{
    (void)state;
    static const struct {
        const char *bytes;
        size_t size;
        const char *more; /* a second message; NULL: none */
        size_t more_size;
    } samples[] = {
        {"", 0, NULL, 0},                      /* no header */
        {"\x41", 1, NULL, 0},                  /* half of a channel */
        {"\x11\x00x", 3, NULL, 0},             /* channel 17 of 16 */
        {"\x01", 1, NULL, 0},                  /* no number */
        {"\x01\x00x", 3, "\x01\x00y", 3},      /* a number twice */
        {"\x01\x05x", 3, "\x01\x05y", 3},      /* the same while it waits */
        {"\x01\x80\x01\x00\x00x", 6, NULL, 0}, /* far ahead */
        {"\xff\xff\xff\xff\xff\xff\xff\xff\x00", 9, NULL, 0},
    };
    for (size_t i = 0; i < QT_COUNT(samples); i++) {
        struct mw *world = mw_make();
        world->client.is_plain = true;
        mw_connect_both(world);
        send_raw(world, true, samples[i].bytes, samples[i].size, true);
        if (samples[i].more != NULL)
            send_raw(world, true, samples[i].more, samples[i].more_size, true);
        mw_until(world, mw_client_is_closed, 1);
        assert_int_equal(world->w->client.close.kind, SPATE_CLOSE_APP);
        assert_int_equal(world->w->client.close.error, SPATE_MESSAGE_ERROR_PROTOCOL);
        owned_end_all();
    }
}

static void begun_messages_cost_little_and_expire_with_their_stream(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->client.is_plain = true;
    mw_connect_both(world);
    static const char begin[] = "\0begun";
    for (uint32_t i = 0; i < 100; i++)
        send_raw(world, i % 2 == 0, begin, 6, false);
    pw_for(world->w, 300 * MS);
    struct spate_messenger_stats stats = mw_stats_of(&world->server);
    assert_int_equal(stats.incomplete_now, 100);
    assert_true(stats.receive_bytes_now <= 100 * (16384 + 6));
    assert_int_equal(world->server.counts[SPATE_MESSAGE_RECEIVED], 0);
    for (uint64_t i = 0; i < 50; i++) {
        assert_int_equal(spate_stream_reset(world->conn, i * 4 + 2, 1), 0);
        assert_int_equal(spate_stream_reset(world->conn, i * 4, 1), 0);
    }
    pw_for(world->w, 300 * MS);
    stats = mw_stats_of(&world->server);
    assert_int_equal(stats.incomplete_now, 0);
    assert_int_equal(stats.receive_bytes_now, 0);
    assert_int_equal(stats.abandoned, 100);
}

/* A channel has a table for what came too early: one message of a peer makes it, in each channel.
 */
static void places_for_what_comes_too_early_count_as_memory(void **state)
{
    (void)state;
    enum { CHANNELS = 16, TABLE_BYTES = 16 * 1024 };
    struct mw *world = mw_make();
    world->client.is_plain = true;
    mw_connect_both(world);
    uint64_t before_bytes = pw_stats(&world->w->server).memory_bytes_now;
    static char early[CHANNELS][3];
    for (uint32_t i = 0; i < CHANNELS; i++) {
        memcpy(early[i], "\x01\x05x", sizeof(early[i]));
        early[i][0] = (char)(i + 1);
        send_raw(world, true, early[i], sizeof(early[i]), true);
    }
    pw_for(world->w, 300 * MS);
    uint64_t held_bytes = pw_stats(&world->w->server).memory_bytes_now - before_bytes;
    assert_true(held_bytes >= (uint64_t)CHANNELS * TABLE_BYTES);
    assert_int_equal(world->server.counts[SPATE_MESSAGE_RECEIVED], 0);
}

/* Unreliable messages need no credit, so the limit is kept by dropping them. */
static void datagrams_that_nobody_releases_stay_within_the_limit(void **state)
{
    (void)state;
    enum { COUNT = 500, SIZE = 1000, LIMIT = 64 * 1024 };
    struct mw *world = mw_make();
    world->server.options.receive_bytes_max = LIMIT;
    world->server.keeps = true;
    mw_connect_both(world);
    const struct spate_message_options options = {.size = sizeof(options), .is_unreliable = true};
    for (uint32_t i = 0; i < COUNT;) {
        if (mw_send_number(&world->client, i, SIZE, &options) == 0)
            i++;
        pw_turn(world->w);
    }
    mw_until(world, mw_client_has_back, COUNT);
    struct spate_messenger_stats stats = mw_stats_of(&world->server);
    assert_true(stats.receive_bytes_now <= LIMIT);
    assert_int_equal(world->server.counts[SPATE_MESSAGE_RECEIVED], LIMIT / SIZE);
    assert_true(stats.refused > 0);
    for (uint32_t i = 0; i < world->server.kept_count; i++)
        spate_message_release(world->server.messenger, &world->server.kept[i]);
    world->server.kept_count = 0;
    assert_int_equal(mw_send_number(&world->client, COUNT, SIZE, &options), 0); /* there is room */
    mw_until(world, mw_server_has, LIMIT / SIZE + 1);
}

static void crumbs_become_one_message(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    world->client.is_plain = true;
    mw_connect_both(world);
    uint64_t id;
    assert_int_equal(spate_stream_open(world->conn, true, &id), 0);
    assert_int_equal(spate_stream_send(world->conn, id, "\0", 1, false, 0), 0);
    for (uint32_t i = 0; i < 400; i++) { /* a packet each, some in a millisecond */
        pw_turn(world->w);
        assert_int_equal(spate_stream_send(world->conn, id, mw_pattern + i, 1, i == 399, 0), 0);
    }
    mw_until(world, mw_server_has, 1);
    assert_int_equal(world->server.seen[0].size, 400);
}

/* ---- the end ---- */

static void what_is_under_way_at_the_end_is_reported(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    const struct spate_message_options request = {.size = sizeof(request), .wants_reply = true};
    for (uint32_t i = 0; i < 10; i++)
        assert_int_equal(mw_send_number(&world->client, i, 100, &request), 0);
    mw_until(world, mw_server_has_requests, 10);
    assert_int_equal(mw_send_number(&world->client, 10, 8000000, NULL), 0);
    spate_conn_close(world->w->server.conn, 3, NULL);
    mw_until(world, mw_client_is_closed, 1);
    mw_take_all(&world->client);
    assert_int_equal(world->client.counts[SPATE_MESSAGE_FAILED], 10);
    assert_int_equal(world->client.counts[SPATE_MESSAGE_SENT], 11);
    assert_int_equal(mw_stats_of(&world->client).send_bytes_now, 0);
    assert_int_equal(mw_send_number(&world->client, 0, 10, NULL), -ENOTCONN);
    assert_int_equal(spate_message_cancel(world->client.messenger, 0), -ENOTCONN);
}

static void a_messenger_may_be_destroyed_too_early_and_with_its_engine(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct mw *world = mw_make();
        world->server.keeps = i == 0;
        mw_connect_both(world);
        for (uint32_t k = 0; k < 20; k++)
            assert_int_equal(mw_send_number(&world->client, k, 500000, NULL), 0);
        if (i < 2)
            pw_for(world->w, 5 * MS);
        if (i % 2 == 0) {
            spate_messenger_destroy(world->client.messenger);
            spate_messenger_destroy(world->server.messenger);
            world->client.messenger = NULL;
            world->server.messenger = NULL;
            pw_for(world->w, 100 * MS); /* both close, and end */
            assert_int_equal(world->w->client.closed_count, 1);
        } else {
            world->client.messenger = NULL; /* the engines free them */
            world->server.messenger = NULL;
        }
        owned_end_all();
    }
}

static void mistakes_are_told(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    mw_connect_both(world);
    struct spate_messenger *messenger = NULL;
    struct spate_error error = {""};
    struct spate_messenger_options options;
    spate_messenger_options_init(&options);
    options.message_size_max = 0;
    assert_int_equal(spate_messenger_create(world->conn, &options, &messenger, &error), -EINVAL);
    assert_true(strstr(error.text, "message_size_max") != NULL);
    spate_messenger_options_init(&options);
    options.channels_max = 1025;
    assert_int_equal(spate_messenger_create(world->conn, &options, &messenger, &error), -EINVAL);
    options.size = 3;
    assert_int_equal(spate_messenger_create(world->conn, &options, &messenger, &error), -EINVAL);
    spate_messenger_options_init(&options);
    struct {
        struct spate_messenger_options options;
        uint64_t more;
    } newer = {options, 1};
    newer.options.size = sizeof(newer);
    assert_int_equal(spate_messenger_create(world->conn, &newer.options, &messenger, &error),
                     -E2BIG);
    spate_messenger_destroy(NULL);

    struct spate_message_options how = {.size = sizeof(how), .channel = 17};
    assert_int_equal(mw_send_number(&world->client, 0, 10, &how), -EINVAL);
    how = (struct spate_message_options){.size = sizeof(how), .priority = 9};
    assert_int_equal(mw_send_number(&world->client, 0, 10, &how), -EINVAL);
    const struct iovec bad = {NULL, 1};
    assert_int_equal(spate_message_send(world->client.messenger, &bad, 1, NULL, NULL), -EINVAL);
    static const struct iovec many[SPATE_MESSAGE_PIECES_MAX + 1];
    assert_int_equal(spate_message_send(world->client.messenger, many, QT_COUNT(many), NULL, NULL),
                     -EINVAL);
    assert_int_equal(spate_message_reply(world->client.messenger, 400, many, 1, 0), -EPIPE);
    assert_int_equal(spate_message_cancel(world->client.messenger, 400), -EPIPE);
}

/* The first message of the channel was lost with the end of the connection: the sender knows that
 * the others have arrived. */
static void whole_messages_behind_a_missing_one_come_out_at_the_end(void **state)
{
    (void)state;
    static const char *const messages[] = {"\x01\x01\1\0\0\0", "\x01\x03\3\0\0\0",
                                           "\x01\x02\2\0\0\0"};
    struct mw *world = mw_make();
    world->client.is_plain = true;
    mw_connect_both(world);
    for (uint32_t i = 0; i < 3; i++)
        send_raw(world, true, messages[i], 6, true);
    pw_for(world->w, 100 * MS);
    assert_int_equal(world->server.counts[SPATE_MESSAGE_RECEIVED], 0);
    spate_conn_close(world->conn, 3, NULL);
    while (world->w->server.closed_count == 0)
        pw_turn(world->w);
    mw_take_all(&world->server);
    assert_int_equal(world->server.seen_count, 3);
    for (uint32_t i = 0; i < 3; i++) {
        assert_int_equal(world->server.seen[i].kind, SPATE_MESSAGE_RECEIVED);
        assert_int_equal(world->server.seen[i].number, i + 1);
    }
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
}

/* ---- no memory ---- */

/* A pool that has no object any more, and gets none. */
struct dry {
    struct sb_pool *pool;
    void *taken[1024];
    uint32_t count;
    uint32_t count_max;
};

static void dry_up(struct dry *dry, struct sb_pool *pool)
{
    *dry = (struct dry){.pool = pool, .count_max = pool->count_max};
    pool->count_max = pool->made_count;
    void *object;
    while ((object = sb_pool_take(pool)) != NULL) {
        assert_true(dry->count < QT_COUNT(dry->taken));
        dry->taken[dry->count++] = object;
    }
}

static void fill_again(struct dry *dry)
{
    dry->pool->count_max = dry->count_max;
    while (dry->count > 0)
        sb_pool_give(dry->pool, dry->taken[--dry->count]);
}

/* Refused before anything of it is kept, and the next ones of its channel arrive all the same. */
static void what_finds_no_memory_holds_up_no_channel(void **state)
{
    (void)state;
    for (uint32_t i = 0; i < 4; i++) {
        struct mw *world = mw_make();
        mw_connect_both(world);
        struct spate_shard *shard = world->w->server.shard;
        const struct spate_message_options options = {
            .size = sizeof(options), .channel = 1, .wants_reply = i >= 2};
        bool (*has)(const struct mw *, uint32_t) = i >= 2 ? mw_server_has_requests : mw_server_has;
        assert_int_equal(mw_send_number(&world->client, 0, 1000, &options), 0);
        mw_until(world, has, 1);
        struct dry dry;
        dry_up(&dry, i % 2 == 0 ? &shard->exchange_pool : &shard->segment_pool);
        assert_int_equal(mw_send_number(&world->client, 1, 3000, &options), 0);
        mw_until(world, mw_client_has_back, 2);
        fill_again(&dry);
        assert_int_equal(mw_stats_of(&world->server).refused, 1);
        assert_int_equal(mw_send_number(&world->client, 2, 1000, &options), 0);
        mw_until(world, has, 2);
        assert_int_equal(world->server.seen[1].number, 2);
        assert_int_equal(world->w->client.closed_count, 0);
        owned_end_all();
    }
}

/* ---- everything at once, over a network that loses datagrams ---- */

/* With so little memory the server refuses one now and then, so that the others get on. */
static bool are_accounted_for(const struct mw *world, uint32_t count)
{
    return world->server.counts[SPATE_MESSAGE_RECEIVED] +
               world->server.counts[SPATE_MESSAGE_REQUEST] + mw_stats_of(&world->server).refused >=
           count;
}

static bool are_answered(const struct mw *world, uint32_t count)
{
    return world->client.counts[SPATE_MESSAGE_REPLY] + world->client.counts[SPATE_MESSAGE_FAILED] >=
           count;
}

static void swarm(uint64_t seed)
{
    struct mw *world = mw_make();
    world->server.replies = true;
    world->server.options.receive_bytes_max = 128 << 10;
    const struct lossy_relay_config config = {
        .server = world->w->address,
        .server_size = world->w->address_size,
        .loss_per_thousand = 30,
        .seed = seed,
    };
    struct lossy_relay *relay = lossy_relay_start(&config);
    world->w->address = lossy_relay_address(relay, &world->w->address_size);
    mw_connect_both(world);
    uint64_t random = seed;
    uint32_t requests = 0, sent = 0;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (sent < 150 && pw_now_ns() < end_ns) {
        random = random * UINT64_C(6364136223846793005) + UINT64_C(1442695040888963407);
        uint64_t draw = random >> 20;
        struct spate_message_options options = {.size = sizeof(options)};
        options.channel = draw % 3 == 0 ? 1 + (uint32_t)(draw / 3 % 3) : 0;
        options.wants_reply = draw / 16 % 4 == 0;
        options.priority = (uint8_t)(draw / 64 % 9);
        size_t size = 4 + (draw / 1024 % 8 == 0 ? draw / 8192 % 400000 : draw / 8192 % 3000);
        if (mw_send_number(&world->client, sent, size, &options) == 0) {
            sent++;
            requests += options.wants_reply;
        }
        pw_turn(world->w);
    }
    assert_int_equal(sent, 150);
    mw_until(world, are_accounted_for, sent);
    mw_until(world, are_answered, requests);
    assert_true(mw_stats_of(&world->server).refused <= 15); /* most are not */
    mw_until(world, mw_client_has_back, sent);
    uint32_t last[4] = {0};
    for (uint32_t i = 0; i < world->server.seen_count; i++) {
        const struct mw_seen *seen = &world->server.seen[i];
        if (seen->channel == 0 ||
            (seen->kind != SPATE_MESSAGE_RECEIVED && seen->kind != SPATE_MESSAGE_REQUEST))
            continue;
        assert_true(seen->number >= last[seen->channel]);
        last[seen->channel] = seen->number + 1;
    }
    assert_int_equal(mw_stats_of(&world->server).receive_bytes_now, 0);
    assert_int_equal(mw_stats_of(&world->server).incomplete_now, 0);
    assert_true(lossy_relay_lost(relay) > 0);
    owned_end_all();
}

static void everything_at_once_survives_losses(void **state)
{
    (void)state;
    for (uint64_t seed = 1; seed <= 6; seed++)
        swarm(seed);
}

/* Takes all of them, and lets no more be made. */
static uint32_t exhaust(struct sb_pool *pool, void **ret, uint32_t count_max)
{
    uint32_t count = 0;
    pool->count_max = pool->made_count;
    while (count < count_max && (ret[count] = sb_pool_take(pool)) != NULL)
        count++;
    assert_in_range(count, 1, count_max - 1);
    return count;
}

static bool waits_no_more(const struct mw *world, uint32_t count)
{
    (void)count;
    return mw_stats_of(&world->server).waiting_now == 0;
}

/* The one before it comes late and has no place: nothing is freed that would wake the next one,
 * whose end is still to come. */
static void a_message_that_waits_goes_on_when_the_one_before_is_left_out(void **state)
{
    enum { SIZE = 200000, PLACES = 10000 };
    static uint8_t second[2 + SIZE] = {1, 1}; /* of channel 1 */
    static void *places[PLACES];
    (void)state;
    struct mw *world = mw_make();
    world->client.is_plain = true;
    world->server.options.receive_bytes_max = 64 << 10;
    mw_connect_both(world);
    memcpy(second + 2, mw_pattern, SIZE);
    send_raw(world, true, second, sizeof(second), false);
    mw_until(world, mw_server_waits, 1);
    pw_for(world->w, 20 * MS);
    struct sb_pool *pool = &world->server.messenger->shard->exchange_pool;
    uint32_t count = exhaust(pool, places, PLACES);
    send_raw(world, true, "\x01\x00x", 3, true);
    mw_until(world, waits_no_more, 1);
    assert_int_equal(mw_stats_of(&world->server).refused, 1);
    assert_int_equal(mw_stats_of(&world->server).incomplete_now, 1);
    for (uint32_t i = 0; i < count; i++)
        sb_pool_give(pool, places[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, malformed_messages_close_the_connection),
        QT_TEST(owned, begun_messages_cost_little_and_expire_with_their_stream),
        QT_TEST(owned, places_for_what_comes_too_early_count_as_memory),
        QT_TEST(owned, datagrams_that_nobody_releases_stay_within_the_limit),
        QT_TEST(owned, crumbs_become_one_message),
        QT_TEST(owned, what_is_under_way_at_the_end_is_reported),
        QT_TEST(owned, a_messenger_may_be_destroyed_too_early_and_with_its_engine),
        QT_TEST(owned, whole_messages_behind_a_missing_one_come_out_at_the_end),
        QT_TEST(owned, what_finds_no_memory_holds_up_no_channel),
        QT_TEST(owned, mistakes_are_told),
        QT_TEST(owned, everything_at_once_survives_losses),
        QT_TEST(owned, a_message_that_waits_goes_on_when_the_one_before_is_left_out),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(mw_pattern);
    return result;
}
