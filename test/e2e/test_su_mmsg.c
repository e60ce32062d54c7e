/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

/* The stand-in for io_uring: what it costs, how it waits, and what becomes of operations that
 * cannot be done at once.  Everything else is tested by the other programs, which are run over
 * both back-ends. */

static uint64_t now_ns(void)
{
    struct timespec time;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &time), 0);
    return (uint64_t)time.tv_sec * SB_S + (uint64_t)time.tv_nsec;
}

/* ---- what a turn costs ---- */

static void a_batch_is_one_call_to_send_one_to_wait_and_one_to_receive(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 64, .send_count = 64});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    (void)sw_turn(w, 0); /* arms */
    struct su_train train = {
        .socket = &w->sockets[client],
        .destination = w->sockets[server].local,
        .size = 40 * 1200,
        .segment_size = 1200,
    };

    uint32_t trains = 0;
    for (uint32_t round = 0; round < 20; round++) {
        uint64_t calls = w->ring.counts.syscalls;
        for (uint32_t i = 0; i < 4; i++)
            sw_commit(w, &train, 100 * i);
        (void)sw_turn(w, SB_S);
        trains += 4;
        assert_int_equal(w->ring.counts.syscalls - calls, 3);
        assert_int_equal(w->sent_count, trains);
        assert_int_equal(w->receivers[server].counts.receives, trains);
        w->log_count = 0;
        w->log_size = 0;
    }
    uint64_t calls = w->ring.counts.syscalls;
    (void)sw_turn(w, 0);
    assert_int_equal(w->ring.counts.syscalls - calls, 1); /* nothing to do is one look */
}

/* A batch that was filled is followed by a larger one. */
static void many_datagrams_come_in_few_calls(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 64, .depth = 64});
    uint32_t server = sw_open(
        w, &(struct su_socket_config){.local = sw_address("127.0.0.1:0"), .is_gro_off = true});
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    (void)sw_turn(w, 0);
    struct su_train train = {.socket = &w->sockets[client],
                             .destination = w->sockets[server].local,
                             .size = 60 * 100,
                             .segment_size = 100};
    sw_commit(w, &train, 0);
    uint64_t calls = w->ring.counts.syscalls;
    sw_until(w, 60, 1);
    sw_check_train(w, 0, &train, 0);
    /* A sendmmsg, and 4 + 8 + 16 + 32 datagrams with a wait each. */
    assert_true(w->ring.counts.syscalls - calls <= 1 + 2 * 4);
}

/* ---- waiting ---- */

/* How many of `count` turns of 5 ms ended early although nothing was to be taken. */
static uint32_t count_idle_turns(struct sw *w, uint32_t count)
{
    uint32_t idle = 0;
    for (uint32_t i = 0; i < count; i++) {
        uint64_t start = now_ns();
        if (sw_turn(w, 5 * SB_MS) == 0 && now_ns() - start < 5 * SB_MS)
            idle++;
    }
    return idle;
}

static void a_socket_without_slots_does_not_wake(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){.slot_count = 2});
    uint32_t server = sw_open_at(w, "127.0.0.1:0");
    uint32_t client = sw_open_at(w, "127.0.0.1:0");
    struct su_train train = {.socket = &w->sockets[client],
                             .destination = w->sockets[server].local,
                             .size = 100,
                             .segment_size = 100};
    w->is_holding = true;
    for (uint32_t i = 0; i < 5; i++)
        sw_commit(w, &train, i);
    sw_until(w, 2, 5);
    assert_true(count_idle_turns(w, 10) <= 1); /* the one in which epoll is told */
    assert_true(w->receivers[server].is_starved);
    assert_int_equal(w->receivers[server].counts.receive_enobufs, 1);

    w->is_holding = false;
    sw_let_go(w);
    sw_until(w, 5, 5);
    for (uint32_t i = 0; i < 5; i++)
        assert_true(sw_is_filled(&w->log[i], i));
}

static void an_error_that_nobody_takes_does_not_wake(void **state)
{
    (void)state;
    struct sw *w = sw_create((struct sw_config){0});
    static struct su_socket gone;
    assert_int_equal(
        su_socket_open(&gone, &(struct su_socket_config){.local = sw_address("127.0.0.1:0")}, NULL),
        0);
    (void)owned_add(&gone, sw_socket_end);
    uint32_t client = sw_open(
        w, &(struct su_socket_config){.local = sw_address("127.0.0.1:0"), .peer = gone.local});
    (void)sw_turn(w, 0);
    su_socket_close(&gone);
    su_recv_stop(&w->receivers[client]);
    (void)sw_turn(w, 0);
    assert_false(w->receivers[client].is_armed);

    struct su_train train = {.socket = &w->sockets[client], .size = 100, .segment_size = 100};
    sw_commit(w, &train, 0); /* is answered with "port unreachable" */
    sw_until(w, 0, 1);
    assert_true(count_idle_turns(w, 10) <= 1);
    assert_int_equal(w->socket_error_count, 0);

    assert_int_equal(su_recv_start(&w->receivers[client]), 0);
    (void)sw_turn(w, SB_S);
    assert_int_equal(w->socket_error, -ECONNREFUSED);
}

/* ---- operations by hand ---- */

/* A pair of sockets whose one end refuses what its queue does not hold. */
struct narrow {
    struct su_ring ring;
    int fds[2];
    uint8_t bytes[64];
    struct iovec parts[64];
    struct msghdr messages[64];
};

static struct narrow *narrow_open(uint32_t cq_count)
{
    struct narrow *n = owned_alloc(sizeof(*n));
    struct su_ring_config config = {.sq_count = 64, .cq_count = cq_count, .file_count = 1};
    assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC, 0, n->fds), 0);
    (void)owned_fd(n->fds[0]);
    (void)owned_fd(n->fds[1]);
    assert_int_equal(sw_ring_init(&n->ring, config), 0);
    (void)owned_add(&n->ring, sw_ring_end);
    assert_int_equal(su_ring_enable(&n->ring), 0);
    assert_int_equal(su_ring_file_add(&n->ring, n->fds[0]), 0);
    for (uint32_t i = 0; i < 64; i++) {
        n->bytes[i] = (uint8_t)i;
        n->parts[i] = (struct iovec){.iov_base = &n->bytes[i], .iov_len = 1};
        n->messages[i] = (struct msghdr){.msg_iov = &n->parts[i], .msg_iovlen = 1};
    }
    return n;
}

static struct io_uring_sqe *narrow_send(struct narrow *n, uint32_t index)
{
    struct io_uring_sqe *sqe = su_ring_sqe(&n->ring);
    assert_non_null(sqe);
    io_uring_prep_sendmsg(sqe, 0, &n->messages[index], 0);
    sqe->flags |= IOSQE_FIXED_FILE;
    sqe->user_data = su_op_pack((struct su_op){.index = index, .kind = SU_OP_APP});
    return sqe;
}

/* Sends that would block wait until there is room, in order, and hold up nobody else. */
static void a_send_that_finds_no_room_waits_for_it(void **state)
{
    (void)state;
    struct su_completion completion;
    uint8_t byte;
    struct narrow *n = narrow_open(128);
    for (uint32_t i = 0; i < 60; i++)
        (void)narrow_send(n, i);
    struct io_uring_sqe *sqe = su_ring_sqe(&n->ring);
    io_uring_prep_nop(sqe);
    sqe->user_data = su_op_pack((struct su_op){.index = 1000, .kind = SU_OP_APP});

    uint32_t done = 0;
    uint32_t nops = 0;
    uint64_t calls_idle = 0;
    for (uint32_t arrived = 0; arrived < 60;) {
        assert_int_equal(su_ring_enter(&n->ring, 0), 0);
        while (su_ring_completions(&n->ring, &completion, 1) == 1) {
            if (completion.op.index == 1000) {
                nops++;
                continue;
            }
            assert_int_equal(completion.op.index, done++);
            assert_int_equal(completion.result, 1);
        }
        assert_int_equal(nops, 1); /* although the sends before it wait */
        if (done < 60) {           /* full: to look again costs one call and moves nothing */
            uint64_t calls = n->ring.counts.syscalls;
            assert_int_equal(su_ring_enter(&n->ring, SB_MS), 0);
            calls_idle += n->ring.counts.syscalls - calls;
            assert_int_equal(su_ring_completions(&n->ring, &completion, 1), 0);
            assert_true(calls_idle <= arrived + 1);
        }
        while (recv(n->fds[1], &byte, 1, MSG_DONTWAIT) == 1)
            assert_int_equal(byte, arrived++);
    }
    assert_int_equal(done, 60);
}

static void a_send_that_fails_does_not_stop_those_behind_it(void **state)
{
    (void)state;
    struct su_completion completion;
    struct narrow *n = narrow_open(128);
    for (uint32_t i = 0; i < 6; i++)
        (void)narrow_send(n, i);
    n->parts[0].iov_base = NULL;
    n->parts[3].iov_base = NULL;
    n->parts[4].iov_base = NULL;
    assert_int_equal(su_ring_enter(&n->ring, 0), 0);
    for (uint32_t i = 0; i < 6; i++) {
        bool is_bad = i == 0 || i == 3 || i == 4;
        assert_int_equal(su_ring_completions(&n->ring, &completion, 1), 1);
        assert_int_equal(completion.op.index, i);
        assert_int_equal(completion.result, is_bad ? -EFAULT : 1);
    }
    uint8_t byte;
    static const uint8_t good[] = {1, 2, 5};
    for (uint32_t i = 0; i < QT_COUNT(good); i++) {
        assert_int_equal(recv(n->fds[1], &byte, 1, MSG_DONTWAIT), 1);
        assert_int_equal(byte, good[i]);
    }
}

static void who_wants_no_completion_hears_of_failures_only(void **state)
{
    (void)state;
    struct su_completion completion;
    struct narrow *n = narrow_open(128);
    for (uint32_t i = 0; i < 3; i++)
        narrow_send(n, i)->flags |= IOSQE_CQE_SKIP_SUCCESS;
    n->parts[1].iov_base = NULL;
    assert_int_equal(su_ring_enter(&n->ring, 0), 0);
    assert_int_equal(su_ring_completions(&n->ring, &completion, 1), 1);
    assert_int_equal(completion.op.index, 1);
    assert_int_equal(completion.result, -EFAULT);
    assert_int_equal(su_ring_completions(&n->ring, &completion, 1), 0);
}

/* Nothing overflows: what has no room for its completion is not begun. */
static void submissions_wait_for_room_among_the_completions(void **state)
{
    (void)state;
    struct su_completion completion;
    struct narrow *n = narrow_open(64);
    for (uint32_t i = 0; i < 64; i++)
        (void)narrow_send(n, i);
    uint8_t byte;
    uint32_t arrived = 0;
    uint32_t done = 0;
    for (uint32_t turn = 0; turn < 1000 && done < 64; turn++) {
        for (uint32_t i = 0; i < 20 && done == 0; i++) { /* completions are not taken at first */
            int error = su_ring_enter(&n->ring, 0);
            assert_true(error == 0 || error == -EBUSY);
            while (recv(n->fds[1], &byte, 1, MSG_DONTWAIT) == 1)
                assert_int_equal(byte, arrived++);
        }
        if (su_ring_completions(&n->ring, &completion, 1) == 1)
            assert_int_equal(completion.op.index, done++);
        int error = su_ring_enter(&n->ring, 0);
        assert_true(error == 0 || error == -EBUSY);
        while (recv(n->fds[1], &byte, 1, MSG_DONTWAIT) == 1)
            assert_int_equal(byte, arrived++);
    }
    assert_int_equal(done, 64);
    assert_int_equal(arrived, 64);

    /* Operations that complete at once fill the queue to the last place but one. */
    for (uint32_t i = 0; i < 64; i++) {
        struct io_uring_sqe *sqe = su_ring_sqe(&n->ring);
        io_uring_prep_nop(sqe);
        sqe->user_data = su_op_pack((struct su_op){.index = i, .kind = SU_OP_APP});
    }
    assert_int_equal(su_ring_submit(&n->ring), -EBUSY);
    assert_int_equal(su_ring_queued(&n->ring), 1);
    for (uint32_t i = 0; i < 64; i++) {
        assert_int_equal(su_ring_completions(&n->ring, &completion, 1), 1);
        assert_int_equal(completion.op.index, i);
        assert_int_equal(su_ring_submit(&n->ring), 0);
    }
}

static void what_it_does_not_know_is_invalid(void **state)
{
    (void)state;
    struct su_completion completion;
    struct narrow *n = narrow_open(128);
    static const struct msghdr asked;
    for (uint32_t i = 0; i < 6; i++) {
        struct io_uring_sqe *sqe = su_ring_sqe(&n->ring);
        if (i == 0)
            io_uring_prep_fsync(sqe, 0, 0);
        if (i == 1) /* no such group */
            io_uring_prep_recvmsg_multishot(sqe, 0, &n->messages[0], 0);
        if (i == 2) /* no such file */
            io_uring_prep_sendmsg(sqe, 1, &asked, 0);
        if (i == 3) /* not registered */
            io_uring_prep_sendmsg(sqe, n->fds[0], &asked, 0);
        if (i == 4) /* nothing to cancel */
            io_uring_prep_cancel64(sqe, 4711, 0);
        if (i == 5)
            io_uring_prep_nop(sqe);
        sqe->flags |= i == 3 ? 0 : IOSQE_FIXED_FILE | IOSQE_BUFFER_SELECT;
        sqe->user_data = su_op_pack((struct su_op){.index = i, .kind = SU_OP_APP});
    }
    static const int32_t results[] = {-EINVAL, -EINVAL, -EBADF, -EBADF, -ENOENT, 0};
    assert_int_equal(su_ring_enter(&n->ring, 0), 0);
    for (uint32_t i = 0; i < 6; i++) {
        assert_int_equal(su_ring_completions(&n->ring, &completion, 1), 1);
        assert_int_equal(completion.op.index, i);
        assert_int_equal(completion.result, results[i]);
    }
}

static void a_ring_that_ends_with_sends_that_wait_leaves_nothing(void **state)
{
    (void)state;
    struct narrow *n = narrow_open(128);
    for (uint32_t i = 0; i < 60; i++)
        (void)narrow_send(n, i);
    assert_int_equal(su_ring_submit(&n->ring), 0);
    (void)narrow_send(n, 60); /* queued only */
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_batch_is_one_call_to_send_one_to_wait_and_one_to_receive),
        QT_TEST(owned, many_datagrams_come_in_few_calls),
        QT_TEST(owned, a_socket_without_slots_does_not_wake),
        QT_TEST(owned, an_error_that_nobody_takes_does_not_wake),
        QT_TEST(owned, a_send_that_finds_no_room_waits_for_it),
        QT_TEST(owned, a_send_that_fails_does_not_stop_those_behind_it),
        QT_TEST(owned, who_wants_no_completion_hears_of_failures_only),
        QT_TEST(owned, submissions_wait_for_room_among_the_completions),
        QT_TEST(owned, what_it_does_not_know_is_invalid),
        QT_TEST(owned, a_ring_that_ends_with_sends_that_wait_leaves_nothing),
    };
    (void)setenv("SPATE_TEST_BACKEND", "mmsg", 1);
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
