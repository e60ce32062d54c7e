/* SPDX-License-Identifier: MIT */
/* Engines behind load balancers that replace each other at one port: each packet has the server ID
 * that balancers read, in clear or encrypted, and finds its process and its shard all the same. */

#include "test/support/hand_over_world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

enum { SERVER_ID = 0x5e };

static struct spate_quic_lb given; /* of the servers that are made next */

static void with_lb(struct spate_config *config)
{
    config->quic_lb = &given;
}

static void with_lb_and_retry(struct spate_config *config)
{
    config->quic_lb = &given;
    config->retry = SPATE_RETRY_ALWAYS;
}

static void without_lb(struct spate_config *config)
{
    config->quic_lb = NULL;
}

/* `key`: 0: in clear. */
static struct spate_quic_lb config_of(uint8_t config_id, uint8_t server_id_size, uint8_t nonce_size,
                                      uint8_t key)
{
    struct spate_quic_lb lb;
    spate_quic_lb_init(&lb);
    lb.config_id = config_id;
    lb.server_id_size = server_id_size;
    lb.nonce_size = nonce_size;
    lb.is_encrypted = key != 0;
    memset(lb.server_id, SERVER_ID, sizeof(lb.server_id));
    memset(lb.key, key, sizeof(lb.key));
    return lb;
}

/* What a balancer does with what clients have sent: all that have a short header, and those of the
 * long ones that have a CID of the server, name it.  Returns how many there were. */
static uint32_t assert_balanced(struct hw *hw, const struct spate_quic_lb *lb)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < hw->client_count; i++)
        count += pw_relay_balance(hw->clients[i].relay, lb);
    return count;
}

/* A -> B -> C, with different numbers of shards, while A and B still serve. */
static void servers_of_a_fleet_replace_each_other(void **state)
{
    (void)state;
    const struct spate_quic_lb shapes[] = {
        config_of(0, 1, 4, 0), config_of(1, 3, 8, 0), config_of(2, 8, 8, 7),
        config_of(3, 2, 15, 7), /* the longest */
    };
    static const uint32_t shards[3] = {2, 1, 2};
    for (uint32_t shape = 0; shape < QT_COUNT(shapes); shape++) {
        struct hw *hw = hw_create(false);
        struct hw_server *servers[3];
        given = shapes[shape];
        servers[0] = hw_begin(hw, shards[0], 6, with_lb);
        for (uint32_t i = 1; i < 3; i++) {
            servers[i] = hw_make_server(hw, shards[i], with_lb);
            hw_hand_over(servers[i - 1], servers[i]);
            hw_connect(hw, 6, servers[i]);
            for (uint32_t each = 0; each <= i; each++)
                hw_move_and_send(hw, each * 6, each * 6 + 6, servers[each], 2);
        }
        assert_true(assert_balanced(hw, &given) > 18);
        for (uint32_t i = 0; i < 3; i++)
            hw_assert_in_order(servers[i]);
        owned_end_all();
    }
}

/* Fleets whose balancers have no configuration yet. */
static void unroutable_ids_name_their_process_too(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    given = config_of(SPATE_QUIC_LB_UNROUTABLE, 2, 8, 0);
    struct hw_server *a = hw_begin(hw, 2, 6, with_lb);
    struct hw_server *b = hw_make_server(hw, 2, with_lb);
    hw_hand_over(a, b);
    hw_connect(hw, 6, b);
    hw_move_and_send(hw, 0, 6, a, 2);
    hw_move_and_send(hw, 6, 12, b, 2);
    hw_assert_in_order(a);
    hw_assert_in_order(b);
}

static uint64_t old_count(const struct hw_server *server)
{
    return hw_stats(server).conns_with_old_cids;
}

static void rotate(struct hw *hw, struct hw_server *server, const struct spate_quic_lb *lb)
{
    struct spate_error error = {""};
    if (spate_engine_set_quic_lb(server->engine, lb, &error) != 0)
        fail_msg("%s", error.text);
    hw_for(hw, 10 * HW_MS);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (old_count(server) > 0 && pw_now_ns() < end_ns)
        hw_turn(hw);
    assert_int_equal(old_count(server), 0);
}

/* The new process begins with the second configuration.  The old one, which drains, takes it later,
 * and then both take a third one, with another split of server ID and nonce. */
static void configurations_change_while_the_old_process_drains(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    const struct spate_quic_lb lbs[] = {config_of(1, 3, 8, 7), config_of(2, 3, 8, 9),
                                        config_of(3, 2, 9, 11), config_of(4, 2, 9, 0)};
    given = lbs[0];
    struct hw_server *a = hw_begin(hw, 2, 6, with_lb);
    given = lbs[1];
    struct hw_server *b = hw_make_server(hw, 2, with_lb);
    hw_hand_over(a, b);
    hw_connect(hw, 6, b);
    hw_shut_down(a, 60000 * HW_MS);
    hw_move_and_send(hw, 0, 6, a, 1);
    rotate(hw, a, &lbs[1]);
    for (uint32_t i = 1; i < QT_COUNT(lbs); i++) {
        if (i > 1) {
            rotate(hw, a, &lbs[i]);
            rotate(hw, b, &lbs[i]);
        }
        for (uint32_t k = 0; k < hw->client_count; k++)
            hw->clients[k].relay->sample_count = 0;
        hw_move_and_send(hw, 0, 6, a, 2);
        hw_move_and_send(hw, 6, 12, b, 2);
        assert_true(assert_balanced(hw, &lbs[i]) >= 12);
    }
    hw_assert_in_order(a);
    hw_assert_in_order(b);
}

/* Also by an engine with fewer shards, whose shard 0 answers for the old one's shard 1. */
static void connections_of_a_process_that_dies_are_reset(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    given = config_of(1, 2, 8, 7);
    struct hw_server *a = hw_begin(hw, 2, 8, with_lb);
    struct hw_server *b = hw_make_server(hw, 1, with_lb);
    hw_assert_dead_is_answered_for(hw, a, b);
}

/* Tokens of the old engine's Retry packets come back to the new one. */
static void what_a_retry_began_goes_on_at_the_new_process(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    given = config_of(1, 3, 8, 7);
    struct hw_server *a = hw_make_server(hw, 2, with_lb_and_retry);
    struct hw_server *b = hw_make_server(hw, 2, with_lb_and_retry);
    hw_assert_retries_go_on(hw, a, b, 12);
    assert_true(assert_balanced(hw, &given) >= 12);
}

/* Another program of the kernel gives each engine the packets of the other one's connections. */
static void packets_of_the_other_process_are_never_answered(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    given = config_of(1, 3, 8, 7);
    struct hw_server *a = hw_begin(hw, 1, 4, with_lb);
    struct hw_server *b = hw_make_server(hw, 1, with_lb);
    hw_assert_others_are_not_answered(hw, a, b);
}

/* The kernel's program reads all CIDs at one place. */
static void connection_ids_of_another_form_are_refused(void **state)
{
    (void)state;
    static const struct {
        uint8_t size; /* of server ID and nonce; 0: no quic_lb */
        const char *text;
    } cases[] = {
        {0, "connection IDs of the other process have 13 bytes with quic_lb, but 8 without in this "
            "one"},
        {11, "connection IDs of the other process have 13 bytes with quic_lb, but 14 with in this "
             "one"},
    };
    struct hw *hw = hw_create(false);
    given = config_of(1, 2, 8, 7);
    struct hw_server *a = hw_begin(hw, 2, 4, with_lb);
    for (uint32_t i = 0; i < QT_COUNT(cases); i++) {
        struct hw_channel channel = hw_channel_create();
        struct spate_error error = {""};
        given = config_of(1, 2, (uint8_t)(cases[i].size - 2), 7);
        struct hw_server *b = hw_make_server(hw, 2, cases[i].size == 0 ? without_lb : with_lb);
        struct hw_giver *giver = hw_give(a, channel.old_end);
        assert_int_equal(spate_engine_take_over(b->engine, channel.new_end, PW_PATIENCE_NS, &error),
                         -EINVAL);
        assert_string_equal(error.text, cases[i].text);
        assert_int_equal(hw_given(giver, &error), -ECONNREFUSED);
        assert_non_null(strstr(error.text, cases[i].text));
        hw_channel_end(&channel);
        hw_kill(b);
        hw_connect(hw, 2, a);
        hw_move_and_send(hw, 0, hw->client_count, a, 1);
    }
    given = config_of(1, 2, 8, 7);
    struct hw_server *c = hw_make_server(hw, 2, with_lb);
    hw_hand_over(a, c);
    hw_connect(hw, 4, c);
    hw_move_and_send(hw, 0, 8, a, 2);
    hw_move_and_send(hw, 8, 12, c, 2);
    hw_assert_in_order(a);
    hw_assert_in_order(c);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, servers_of_a_fleet_replace_each_other),
        QT_TEST(owned, unroutable_ids_name_their_process_too),
        QT_TEST(owned, configurations_change_while_the_old_process_drains),
        QT_TEST(owned, connections_of_a_process_that_dies_are_reset),
        QT_TEST(owned, what_a_retry_began_goes_on_at_the_new_process),
        QT_TEST(owned, packets_of_the_other_process_are_never_answered),
        QT_TEST(owned, connection_ids_of_another_form_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
