/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

#include <net/if.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <unistd.h>

/* Sends in a network of our own, where loopback can be made small and slow: what the kernel really
 * says then.  Skipped where we may not have one. */

static struct sw *world_create(uint32_t send_bytes, struct su_train *ret)
{
    struct sw *w = sw_create((struct sw_config){.send_count = 64, .slot_count = 64});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open(w, &(struct su_socket_config){.local = sw_address("127.0.0.1:0"),
                                                            .send_bytes = send_bytes});
    *ret =
        (struct su_train){.socket = &w->sockets[client], .destination = w->sockets[server].local};
    (void)sw_turn(w, 0);
    return w;
}

static void a_datagram_above_the_mtu_is_too_large_and_never_fragmented(void **state)
{
    (void)state;
    struct su_train train;
    struct sw *w = world_create(0, &train);
    train.size = train.segment_size = 1472 + 1;
    sw_commit(w, &train, 0);
    sw_until(w, 0, 1);
    assert_int_equal(w->last_sent.error, -EMSGSIZE);
    assert_int_equal(w->last_sent.failed_count, 1);
    assert_int_equal(w->send.counts.too_large, 1);

    train.size = train.segment_size = 1472;
    sw_commit(w, &train, 1);
    sw_until(w, 1, 2);
    assert_true(sw_is_filled(&w->log[0], 1));
    assert_int_equal(w->last_sent.error, 0);
}

static void segments_above_the_mtu_do_not_turn_gso_off(void **state)
{
    (void)state;
    struct su_train train;
    struct sw *w = world_create(0, &train);
    train.size = 5 * 1473;
    train.segment_size = 1473;
    sw_commit(w, &train, 0);
    sw_until(w, 0, 1);
    assert_int_equal(w->last_sent.error, -EMSGSIZE);
    assert_int_equal(w->last_sent.failed_count, 5);
    assert_int_equal(w->send.counts.too_large, 5);
    assert_int_equal(w->send.gso_off_count, 0);

    train.size = 5 * 1472;
    train.segment_size = 1472;
    sw_commit(w, &train, 10);
    sw_until(w, 5, 2);
    sw_check_train(w, 0, &train, 10);
    assert_int_equal(w->send.counts.sends, 1); /* as one */
}

/* Where the kernel refuses a train for its large segments, it goes out one by one, and the short
 * one at its end gets through: that says nothing about segmentation. */
static void a_short_last_segment_does_not_turn_gso_off(void **state)
{
    (void)state;
    struct su_train train;
    struct sw *w = world_create(0, &train);
    train.size = 4 * 1473 + 100;
    train.segment_size = 1473;
    sw_commit(w, &train, 0);
    sw_until(w, 0, 1);
    assert_int_equal(w->last_sent.error, -EMSGSIZE);
    assert_int_equal(w->last_sent.segment_size, 1473);
    assert_true(w->last_sent.failed_count >= 4);
    assert_int_equal(w->send.gso_off_count, 0);
    uint64_t sends = w->send.counts.sends;

    train.size = 5 * 1472;
    train.segment_size = 1472;
    sw_commit(w, &train, 10);
    sw_until(w, 5, 2);
    assert_int_equal(w->send.counts.sends, sends + 1); /* as one */
}

static void a_full_send_buffer_holds_the_slots_back(void **state)
{
    (void)state;
    if (system("tc qdisc add dev lo root tbf rate 80mbit burst 16kb latency 20s 2>&1") != 0) {
        print_message("no tc here\n");
        skip();
    }
    struct su_train train;
    struct sw *w = world_create(4096, &train);
    train.size = 3000;
    train.segment_size = 1000;
    for (uint32_t i = 0; i < 64; i++)
        sw_commit(w, &train, 3 * i);
    assert_int_equal(su_ring_submit(&w->ring), 0);
    (void)sw_take(w);
    assert_true(w->send.busy_count > 0);
    sw_until(w, 3 * 64, 64);
    assert_int_equal(w->send.counts.queue_full, 0); /* the kernel waited and nobody was told */
    assert_int_equal(w->send.counts.datagrams_out, 3 * 64);
}

/* Loopback is down in a new network. */
static bool network_make(void)
{
    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_mtu = 1500};
    bool is_made = fd >= 0 && ioctl(fd, SIOCSIFMTU, &request) == 0;
    request.ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK;
    is_made = is_made && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        (void)close(fd);
    return is_made;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_datagram_above_the_mtu_is_too_large_and_never_fragmented),
        QT_TEST(owned, segments_above_the_mtu_do_not_turn_gso_off),
        QT_TEST(owned, a_short_last_segment_does_not_turn_gso_off),
        QT_TEST(owned, a_full_send_buffer_holds_the_slots_back),
    };
    sw_require_ring();
    if (!network_make()) {
        (void)fprintf(stderr, "skipped: no network namespace\n");
        return 77;
    }
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
