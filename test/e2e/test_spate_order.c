/* SPDX-License-Identifier: MIT */
/* The order of service within a turn: what is established comes before handshakes, of which a turn
 * does about one. */

#include "test/support/spate_world.h"

enum {
    HELLOS = 20,
    HELLOS_MANY = 104, /* 40 more than SE_RX_HELD_MAX of engine/net/rx.h */
};

#define AGE_NS   UINT64_C(700000000) /* more than SE_RX_NEWCOMER_TICKS */
#define SHORT_NS UINT64_C(50000000)

static uint32_t wanted_count;
static struct spate_conn *established;

static bool all_are_connected(struct pw *w)
{
    return w->server.connected_count == wanted_count && w->client.connected_count == wanted_count;
}

static void client_turn(struct pw *w)
{
    assert_true(spate_shard_turn(w->client.shard, 0) >= 0);
    pw_hand_out(&w->client);
}

/* `count` hellos lie in the server's socket. */
static void send_hellos(struct pw *w, uint32_t count)
{
    wanted_count = count + w->client.connected_count;
    for (uint32_t i = 0; i < count; i++)
        (void)pw_connect(w);
    for (uint32_t i = 0; i < 50; i++)
        client_turn(w);
}

static void send_request(struct pw *w)
{
    static const char request[] = "request";
    uint64_t id;
    assert_int_equal(spate_stream_open(established, true, &id), 0);
    assert_int_equal(spate_stream_send(established, id, request, sizeof(request), true, 1), 0);
    for (uint32_t i = 0; i < 5; i++)
        client_turn(w);
}

/* Makes both ends, with a connection that is no newcomer and has just sent something. */
static struct pw *guarded(void)
{
    struct pw *w = pw_create(NULL);
    established = pw_connected(w);
    pw_for(w, AGE_NS);
    send_request(w);
    pw_for(w, SHORT_NS);
    assert_int_equal(w->server.fin_count, 1);
    return w;
}

/* A turn of the server.  Returns how many handshakes it has begun. */
static uint32_t accepted_in_a_turn(struct pw *w)
{
    uint64_t before = pw_stats(&w->server).conns_accepted;
    pw_wait(&w->server, 0);
    return (uint32_t)(pw_stats(&w->server).conns_accepted - before);
}

static void requests_come_before_handshakes_that_came_before_them(void **state)
{
    (void)state;
    struct pw *w = guarded();
    send_hellos(w, HELLOS);
    send_request(w);

    /* Datagrams of a burst may come in more than one turn, but never is one with a request one with
     * a handshake, and the last datagram does not wait for the first ones. */
    uint32_t turns = 0, accepted = 0;
    while (w->server.fin_count == 1) {
        uint32_t count = accepted_in_a_turn(w);
        assert_true(count <= 1);
        assert_true(w->server.fin_count == 1 || count == 0);
        accepted += count;
        assert_true(++turns < 1000);
    }
    assert_true(accepted < HELLOS / 2);

    /* From now on each turn begins one. */
    for (; accepted < HELLOS; accepted++)
        assert_int_equal(accepted_in_a_turn(w), 1);
    assert_int_equal(accepted_in_a_turn(w), 0);
    pw_until(w, all_are_connected);
    assert_int_equal(pw_stats(&w->server).handshakes_failed, 0);
}

/* A request in each turn: each other turn begins a handshake all the same. */
static void requests_do_not_starve_handshakes(void **state)
{
    (void)state;
    struct pw *w = guarded();
    send_hellos(w, HELLOS);
    uint32_t accepted = 0;
    for (uint32_t turns = 0; accepted < HELLOS; turns++) {
        send_request(w);
        accepted += accepted_in_a_turn(w);
        assert_true(accepted >= turns / 2);
    }
    pw_until(w, all_are_connected);
    assert_int_equal(pw_stats(&w->server).handshakes_failed, 0);
}

/* More hellos than may wait: the first turns do more, and none is lost. */
static void what_has_no_place_to_wait_is_served(void **state)
{
    (void)state;
    struct pw *w = guarded();
    send_hellos(w, HELLOS_MANY);
    uint32_t most = 0, accepted = 0;
    for (uint32_t turns = 0; accepted < HELLOS_MANY; turns++) {
        uint32_t count = accepted_in_a_turn(w);
        most = count > most ? count : most;
        accepted += count;
        assert_true(turns < HELLOS_MANY);
    }
    assert_true(most > 1);
    pw_until(w, all_are_connected);
    assert_int_equal(pw_stats(&w->server).handshakes_failed, 0);
    assert_int_equal(pw_stats(&w->server).receive_dropped, 0);
}

static bool all_have_ended(struct pw *w)
{
    return w->client.closed_count == wanted_count;
}

/* Nobody is there to be protected: a turn does all that it receives. */
static void without_others_a_turn_does_all_handshakes(void **state)
{
    (void)state;
    struct pw *w = pw_create(NULL);
    send_hellos(w, HELLOS);
    uint32_t most = 0, accepted = 0;
    for (uint32_t turns = 0; accepted < HELLOS; turns++) {
        uint32_t count = accepted_in_a_turn(w);
        most = count > most ? count : most;
        accepted += count;
        assert_true(turns < HELLOS);
    }
    assert_true(most > 1);
    pw_until(w, all_are_connected);
}

/* Handshakes that wait are refused by a shutdown as others are, and what they hold is freed. */
static void a_shutdown_ends_those_that_wait(void **state)
{
    (void)state;
    struct pw *w = guarded();
    send_hellos(w, HELLOS);
    assert_int_equal(accepted_in_a_turn(w), 1);
    assert_int_equal(spate_shard_shutdown(w->server.shard, 0, 0, NULL), 0);
    pw_until(w, all_have_ended);
    assert_int_equal(pw_stats(&w->server).handshakes_now, 0);
}

/* The engine ends while they wait. */
static void an_engine_may_end_while_they_wait(void **state)
{
    (void)state;
    struct pw *w = guarded();
    send_hellos(w, HELLOS);
    assert_int_equal(accepted_in_a_turn(w), 1);
    assert_true(pw_stats(&w->server).handshakes_now > 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, requests_come_before_handshakes_that_came_before_them),
        QT_TEST(owned, requests_do_not_starve_handshakes),
        QT_TEST(owned, what_has_no_place_to_wait_is_served),
        QT_TEST(owned, without_others_a_turn_does_all_handshakes),
        QT_TEST(owned, a_shutdown_ends_those_that_wait),
        QT_TEST(owned, an_engine_may_end_while_they_wait),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
