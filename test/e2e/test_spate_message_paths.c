/* SPDX-License-Identifier: MIT */
/* Messages over a path that changes: silence, and NATs that forget. */

#include "test/support/messenger_world.h"

#include <errno.h>
#include <stdlib.h>

#include "test/support/lossy_relay.h"

#define MS UINT64_C(1000000)

/* Slower machines need longer to be late. */
#define IDLE_NS (QT_SLOWER * 400 * MS)

static void short_idle(struct spate_config *config)
{
    config->idle_timeout_ns = IDLE_NS;
}

static void short_idle_kept_alive(struct spate_config *config)
{
    config->idle_timeout_ns = IDLE_NS;
    config->keep_alive_ns = IDLE_NS / 4;
}

static struct lossy_relay *put_relay_between(struct mw *world, uint32_t loss_per_thousand)
{
    const struct lossy_relay_config config = {
        .server = world->w->address,
        .server_size = world->w->address_size,
        .loss_per_thousand = loss_per_thousand,
        .seed = 3,
    };
    struct lossy_relay *relay = lossy_relay_start(&config);
    world->w->address = lossy_relay_address(relay, &world->w->address_size);
    return relay;
}

static void keep_alives_carry_messages_over_silence(void **state)
{
    (void)state;
    struct mw *world = mw_make_with(short_idle, short_idle_kept_alive);
    world->server.replies = true;
    mw_connect_both(world);
    const struct spate_message_options request = {.size = sizeof(request), .wants_reply = true};
    for (uint32_t i = 0; i < 3; i++) {
        pw_for(world->w, 3 * IDLE_NS);
        assert_int_equal(mw_send_number(&world->client, i, 5000, &request), 0);
        mw_until(world, mw_client_has_replies, i + 1);
        assert_int_equal(mw_send_number(&world->server, i, 5000, NULL), 0);
    }
    assert_int_equal(world->w->client.closed_count, 0);
    assert_int_equal(world->client.counts[SPATE_MESSAGE_FAILED], 0);
}

/* The same without keep-alives: what the test above relies on. */
static void without_keep_alives_silence_ends_the_connection(void **state)
{
    (void)state;
    struct mw *world = mw_make_with(short_idle, short_idle);
    mw_connect_both(world);
    assert_int_equal(mw_send_number(&world->client, 0, 100, NULL), 0);
    mw_until(world, mw_server_has, 1);
    pw_for(world->w, 3 * IDLE_NS);
    assert_int_equal(world->w->client.closed_count, 1);
    assert_int_equal(mw_send_number(&world->client, 1, 100, NULL), -ENOTCONN);
}

enum { REBIND_COUNT = 400, REBIND_EVERY = 50 };

/* Whether each of the numbers came exactly once as that kind. */
static void check_once(const struct mw_side *side, enum spate_message_kind kind)
{
    static uint32_t counts[REBIND_COUNT];
    memset(counts, 0, sizeof(counts));
    for (uint32_t i = 0; i < side->seen_count; i++)
        if (side->seen[i].kind == kind) {
            assert_true(side->seen[i].number < REBIND_COUNT);
            counts[side->seen[i].number]++;
        }
    for (uint32_t i = 0; i < REBIND_COUNT; i++)
        assert_int_equal(counts[i], 1);
}

/* Requests of the client and messages of the server, while the client's port changes again and
 * again: all arrive once, and all replies. */
static void messages_survive_a_nat_that_rebinds(void **state)
{
    (void)state;
    struct mw *world = mw_make();
    struct lossy_relay *relay = put_relay_between(world, 5);
    world->server.replies = true;
    mw_connect_both(world);
    pw_for(world->w, 100 * MS); /* nobody moves before the handshake is confirmed [RFC9000 9] */
    uint32_t asked = 0, told = 0, rebound = 0;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while ((asked < REBIND_COUNT || told < REBIND_COUNT) && pw_now_ns() < end_ns) {
        const struct spate_message_options request = {
            .size = sizeof(request), .channel = asked % 3, .wants_reply = true};
        size_t size = 4 + asked * 97 % 20000;
        if (asked < REBIND_COUNT && mw_send_number(&world->client, asked, size, &request) == 0) {
            asked++;
            if (asked % REBIND_EVERY == 0) {
                lossy_relay_rebind(relay);
                rebound++;
                mw_until(world, mw_client_has_replies, asked / 2); /* some are under way */
            }
        }
        if (told < asked && mw_send_number(&world->server, told, 4 + told * 61 % 9000, NULL) == 0)
            told++;
        pw_turn(world->w);
    }
    assert_int_equal(rebound, REBIND_COUNT / REBIND_EVERY);
    mw_until(world, mw_client_has_replies, REBIND_COUNT);
    mw_until(world, mw_server_has_requests, REBIND_COUNT);
    while (world->client.counts[SPATE_MESSAGE_RECEIVED] < REBIND_COUNT && pw_now_ns() < end_ns)
        pw_turn(world->w);
    check_once(&world->server, SPATE_MESSAGE_REQUEST);
    check_once(&world->client, SPATE_MESSAGE_REPLY);
    check_once(&world->client, SPATE_MESSAGE_RECEIVED);
    assert_int_equal(world->client.counts[SPATE_MESSAGE_FAILED], 0);
    assert_true(world->server.path_count > 0);
    mw_until(world, mw_client_has_back, REBIND_COUNT);
    for (uint32_t i = 0; i < world->client.seen_count; i++)
        if (world->client.seen[i].kind == SPATE_MESSAGE_SENT)
            assert_int_equal(world->client.seen[i].fate, SPATE_MESSAGE_ACKED);
}

/* The server speaks first after the NAT has forgotten the flow: it can because a keep-alive of the
 * client has shown it the new port. */
static void a_keep_alive_lets_the_server_speak_through_a_forgetful_nat(void **state)
{
    (void)state;
    struct mw *world = mw_make_with(NULL, short_idle_kept_alive);
    struct lossy_relay *relay = put_relay_between(world, 0);
    mw_connect_both(world);
    pw_for(world->w, 100 * MS);
    for (uint32_t i = 0; i < 3; i++) {
        lossy_relay_rebind(relay);
        pw_for(world->w, IDLE_NS);
        uint64_t from_ns = pw_now_ns();
        assert_int_equal(mw_send_number(&world->server, i, 3000, NULL), 0);
        while (world->client.counts[SPATE_MESSAGE_RECEIVED] <= i) {
            pw_turn(world->w);
            assert_true(pw_now_ns() - from_ns < PW_PATIENCE_NS);
        }
        print_message("after the port has changed: %llu us\n",
                      (unsigned long long)(pw_now_ns() - from_ns) / 1000);
    }
    assert_true(world->server.path_count >= 3);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, keep_alives_carry_messages_over_silence),
        QT_TEST(owned, without_keep_alives_silence_ends_the_connection),
        QT_TEST(owned, messages_survive_a_nat_that_rebinds),
        QT_TEST(owned, a_keep_alive_lets_the_server_speak_through_a_forgetful_nat),
    };
    int result = cmocka_run_group_tests(tests, NULL, NULL);
    free(mw_pattern);
    return result;
}
