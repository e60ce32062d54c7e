/* SPDX-License-Identifier: MIT */
/* Several shards at one address, and clients whose addresses change all the time: each packet comes
 * to the shard of its connection, by the kernel's program or as a stray. */

#include "test/support/moving_world.h"

#include <linux/filter.h>
#include <unistd.h>

enum { SHARDS = MV_SHARDS_MAX, ROUNDS = 10 };

static void configure_server(struct spate_config *config)
{
    config->shard_count = SHARDS;
}

static void connect_all(struct mv_world *world)
{
    mv_connect_all(world);
    uint32_t most = 0;
    for (uint32_t i = 0; i < SHARDS; i++)
        most = world->conns_of[i] > most ? world->conns_of[i] : most;
    assert_in_range(most, 1, MV_CLIENTS - 1);
}

/* In each round all clients change their ports and send a piece, of which nothing is lost. */
static void move_and_send(struct mv_world *world)
{
    for (uint32_t round = 0; round < ROUNDS; round++)
        mv_send_all(world, true);
}

static void the_kernel_finds_the_shard_of_a_client_that_moves(void **state)
{
    (void)state;
    struct mv_world *world = mv_make(SHARDS, configure_server);
    connect_all(world);
    move_and_send(world);
    struct spate_shard_stats sum = mv_stats(world);
    assert_int_equal(sum.strays_out, 0);
    assert_int_equal(sum.stateless_resets, 0);
}

/* The last socket takes the place of the second one, and the program must follow. */
static void the_kernel_follows_when_a_shard_leaves(void **state)
{
    (void)state;
    struct mv_world *world = mv_make(SHARDS, configure_server);
    mv_turn_for(world, 5 * MV_MS);
    spate_listener_close(world->listeners[1]);
    mv_turn_for(world, 50 * MV_MS); /* the socket is closed when its receiver has ended */
    connect_all(world);
    assert_int_equal(world->conns_of[1], 0);
    move_and_send(world);
    struct spate_shard_stats sum = mv_stats(world);
    assert_int_equal(sum.strays_out, 0);
    assert_int_equal(sum.stateless_resets, 0);
}

/* Another program, which gives the first shard all packets: those of others are strays. */
static void mislead(struct mv_world *world)
{
    struct sock_filter first[] = {BPF_STMT(BPF_RET | BPF_K, 0)};
    const struct sock_fprog program = {.len = 1, .filter = first};
    int one = 1;
    int fd = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&world->w->address, world->w->address_size),
                     0);
    assert_int_equal(
        setsockopt(fd, SOL_SOCKET, SO_ATTACH_REUSEPORT_CBPF, &program, sizeof(program)), 0);
}

static void strays_find_their_shard(void **state)
{
    (void)state;
    struct mv_world *world = mv_make(SHARDS, configure_server);
    connect_all(world);
    mislead(world);
    move_and_send(world);
    struct spate_shard_stats sum = mv_stats(world);
    assert_true(sum.strays_out > 0);
    assert_int_equal(sum.strays_in, sum.strays_out);
    assert_int_equal(sum.strays_dropped, 0);
    assert_int_equal(sum.stateless_resets, 0);
    assert_true(world->conns_of[0] < MV_CLIENTS);
}

/* A shard that does not turn gets so much and no more; nobody waits for it. */
static void a_shard_that_stands_gets_a_bounded_number(void **state)
{
    (void)state;
    struct mv_world *world = mv_make(SHARDS, configure_server);
    uint8_t packet[40] = {0x40, 0, 1}; /* for shard 1 */
    mislead(world);
    int fd = pw_udp_socket();
    for (uint32_t i = 0; i < 600; i++) {
        packet[4] = (uint8_t)i;
        (void)sendto(fd, packet, sizeof(packet), 0, (const struct sockaddr *)&world->w->address,
                     world->w->address_size);
        if (i % 50 == 49)
            assert_true(spate_shard_turn(world->shards[0], 0) >= 0);
    }
    for (uint32_t i = 0; i < 5; i++)
        assert_true(spate_shard_turn(world->shards[0], 0) >= 0);
    struct spate_shard_stats sum = mv_stats(world);
    assert_true(sum.strays_dropped > 0);
    assert_true(sum.strays_out > 0);
    mv_turn(world);
    assert_int_equal(mv_stats(world).strays_in, sum.strays_out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, the_kernel_finds_the_shard_of_a_client_that_moves),
        QT_TEST(owned, the_kernel_follows_when_a_shard_leaves),
        QT_TEST(owned, strays_find_their_shard),
        QT_TEST(owned, a_shard_that_stands_gets_a_bounded_number),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
