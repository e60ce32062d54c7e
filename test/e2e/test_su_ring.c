/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/eventfd.h>
#include <time.h>
#include <unistd.h>

#include "uring/wake.h"

/* The ring itself: waiting, counting, overflow, the file table, and its end. */

static uint64_t now_ns(void)
{
    struct timespec time;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &time), 0);
    return (uint64_t)time.tv_sec * SB_S + (uint64_t)time.tv_nsec;
}

static void nops(struct su_ring *ring, uint32_t first, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct io_uring_sqe *sqe = su_ring_sqe(ring);
        assert_non_null(sqe);
        io_uring_prep_nop(sqe);
        sqe->user_data = su_op_pack((struct su_op){.index = first + i, .kind = SU_OP_APP});
    }
}

static void a_wait_ends_at_its_deadline_or_at_a_completion(void **state)
{
    (void)state;
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    struct su_completion completion;
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 8}), 0);
    (void)owned_add(ring, sw_ring_end);
    assert_int_equal(su_ring_enable(ring), 0);

    uint64_t start = now_ns();
    assert_int_equal(su_ring_enter(ring, 30 * SB_MS), 0);
    uint64_t waited = now_ns() - start;
    assert_true(waited >= 30 * SB_MS);
    assert_int_equal(su_ring_completions(ring, &completion, 1), 0);
    assert_int_equal(ring->counts.enters, 1);

    start = now_ns();
    assert_int_equal(su_ring_enter(ring, 0), 0);
    nops(ring, 1, 1);
    assert_int_equal(su_ring_enter(ring, SB_NEVER), 0);
    nops(ring, 2, 1);
    assert_int_equal(su_ring_enter(ring, 3600 * SB_S), 0);
    waited = now_ns() - start;
    assert_true(waited < 5 * SB_S);
    assert_int_equal(ring->counts.enters, 4);
    assert_int_equal(ring->counts.sqes, 2);
    for (uint32_t i = 1; i <= 2; i++) {
        assert_int_equal(su_ring_completions(ring, &completion, 1), 1);
        assert_int_equal(completion.op.index, i);
        assert_int_equal(completion.op.kind, SU_OP_APP);
    }
    assert_int_equal(ring->counts.cqes, 2);

    assert_int_equal(su_ring_submit(ring), 0); /* nothing to submit: no call */
    assert_int_equal(ring->counts.enters, 4);
    assert_int_equal(su_ring_stop(ring), 0);
    assert_int_equal(su_ring_stop(ring), 0);
    su_ring_deinit(ring);
    su_ring_deinit(ring);
}

/* Queues `count` operations that complete at once and are expected to. */
static void expected_nops(struct su_ring *ring, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        nops(ring, i, 1);
        su_ring_expect(ring);
    }
}

static void expected_completions_do_not_end_a_wait(void **state)
{
    (void)state;
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    struct su_completion completions[16];
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 8, .cq_count = 64}), 0);
    (void)owned_add(ring, sw_ring_end);
    assert_int_equal(su_ring_enable(ring), 0);

    /* Alone they are waited past, through a queue that fills up as well .. */
    uint64_t start = now_ns();
    expected_nops(ring, 11);
    assert_int_equal(su_ring_wait(ring, SB_NEVER), 0);
    assert_true(now_ns() - start >= SU_RING_LATE_NS);
    assert_true(!su_ring_needs_enter(ring) || sw_backend() == SU_BACKEND_MMSG);
    assert_int_equal(ring->counts.enters, 2);
    assert_int_equal(su_ring_completions(ring, completions, 16), 11);

    /* .. together with something else they are taken along, in one call. */
    for (uint32_t i = 0; i < 100; i++) {
        expected_nops(ring, 3);
        nops(ring, 3, 1);
        assert_int_equal(su_ring_wait(ring, SB_NEVER), 0);
        assert_true(su_ring_needs_enter(ring));
        assert_int_equal(su_ring_completions(ring, completions, 16), 4);
        assert_true(!su_ring_needs_enter(ring) || sw_backend() == SU_BACKEND_MMSG);
    }
    assert_int_equal(ring->counts.enters, 102);

    /* What su_ring_enter waits for is anything. */
    expected_nops(ring, 1);
    assert_int_equal(su_ring_enter(ring, 3600 * SB_S), 0);
    assert_int_equal(su_ring_completions(ring, completions, 16), 1);
}

static void read_event(struct su_ring *ring, int event_fd, uint64_t *value)
{
    struct io_uring_sqe *sqe = su_ring_sqe(ring);
    io_uring_prep_read(sqe, event_fd, value, sizeof(*value), 0);
    sqe->user_data = su_op_pack((struct su_op){.index = 77, .kind = SU_OP_APP});
}

/* As when a socket's buffer is full: news in the place of the completion that does not come must
 * not be slept over for ever, and what comes late is news itself. */
static void an_expected_completion_that_is_late_hangs_nothing(void **state)
{
    (void)state;
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    struct su_completion completions[4];
    uint64_t value = 0;
    int event_fd = owned_fd(eventfd(0, EFD_CLOEXEC));
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 8}), 0);
    (void)owned_add(ring, sw_ring_end);
    assert_int_equal(su_ring_enable(ring), 0);

    read_event(ring, event_fd, &value);
    su_ring_expect(ring);
    nops(ring, 1, 1);
    uint64_t start = now_ns();
    assert_int_equal(su_ring_wait(ring, 3600 * SB_S), 0);
    assert_true(now_ns() - start < SB_S);
    assert_int_equal(su_ring_completions(ring, completions, 4), 1);
    assert_int_equal(completions[0].op.index, 1);

    uint64_t one = 1;
    assert_int_equal(write(event_fd, &one, sizeof(one)), sizeof(one));
    assert_true(su_ring_needs_enter(ring)); /* nobody has entered the kernel since */
    expected_nops(ring, 2);
    assert_int_equal(su_ring_wait(ring, 3600 * SB_S), 0);
    assert_int_equal(su_ring_completions(ring, completions, 4), 3);
}

static void a_full_submission_queue_is_submitted(void **state)
{
    (void)state;
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    struct su_completion completions[64];
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 8, .cq_count = 64}), 0);
    (void)owned_add(ring, sw_ring_end);
    assert_int_equal(su_ring_enable(ring), 0);
    nops(ring, 0, 20);
    assert_int_equal(ring->counts.enters, 2);
    assert_int_equal(su_ring_queued(ring), 4);
    assert_int_equal(su_ring_enter(ring, 0), 0);
    assert_int_equal(su_ring_completions(ring, completions, 64), 20);
}

static void completions_that_do_not_fit_come_later(void **state)
{
    (void)state;
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    struct su_completion completion;
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 8, .cq_count = 8}), 0);
    (void)owned_add(ring, sw_ring_end);
    assert_int_equal(su_ring_enable(ring), 0);
    uint32_t next = 0;
    for (uint32_t i = 0; i < 6; i++) {
        nops(ring, 8 * i, 8);
        int error = su_ring_submit(ring);
        assert_true(error == 0 || error == -EBUSY);
    }
    for (uint32_t i = 0; i < 100 && next < 48; i++) {
        int error = su_ring_enter(ring, 0);
        assert_true(error == 0 || error == -EBUSY);
        while (su_ring_completions(ring, &completion, 1) == 1)
            assert_int_equal(completion.op.index, next++);
    }
    assert_int_equal(next, 48);
    assert_true(ring->counts.overflows > 0);
}

static void the_file_table_has_an_end(void **state)
{
    (void)state;
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 4, .file_count = 2}),
                     0);
    (void)owned_add(ring, sw_ring_end);
    int fd = owned_fd(open("/dev/null", O_RDWR | O_CLOEXEC));
    assert_int_equal(su_ring_file_add(ring, fd), 0);
    assert_int_equal(su_ring_enable(ring), 0);
    assert_int_equal(su_ring_file_add(ring, fd), 1);
    assert_int_equal(su_ring_file_add(ring, fd), -ENFILE);
    su_ring_file_remove(ring, 0);
    assert_int_equal(su_ring_file_add(ring, -77), -EBADF);
    assert_int_equal(su_ring_file_add(ring, fd), 0);
    expect_assert_failure(su_ring_file_remove(ring, 2));
    expect_assert_failure(su_ring_deinit(ring)); /* not stopped */
}

static void a_ring_lives_through_its_states_in_order(void **state)
{
    (void)state;
    const struct su_ring_config config = {.sq_count = 8, .file_count = 1};
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    *ring = (struct su_ring){0};
    (void)owned_add(ring, sw_ring_end);
    assert_int_equal(ring->state, SU_RING_NONE);
    assert_int_equal(su_ring_stop(ring), 0);
    assert_int_equal(sw_ring_init(ring, config), 0);
    assert_int_equal(ring->state, SU_RING_DISABLED);
    expect_assert_failure((void)!su_ring_enter(ring, 0));
    assert_int_equal(su_ring_enable(ring), 0);
    assert_int_equal(ring->state, SU_RING_ENABLED);
    expect_assert_failure((void)!su_ring_enable(ring));
    assert_int_equal(su_ring_stop(ring), 0);
    assert_int_equal(ring->state, SU_RING_STOPPED);
    assert_int_equal(su_ring_stop(ring), 0);
    expect_assert_failure((void)!su_ring_enter(ring, 0));
    expect_assert_failure((void)!su_ring_file_add(ring, 0));
    su_ring_deinit(ring);
    assert_int_equal(ring->state, SU_RING_NONE);

    assert_int_equal(sw_ring_init(ring, config), 0);
    assert_int_equal(su_ring_stop(ring), 0); /* nobody ever owned it */
    expect_assert_failure((void)!su_ring_enable(ring));
    su_ring_deinit(ring);
}

static void counts_out_of_range_are_refused(void **state)
{
    (void)state;
    static const struct su_ring_config configs[] = {
        {.sq_count = 0},
        {.sq_count = 32769},
        {.sq_count = 8, .cq_count = 7},
        {.sq_count = 8, .file_count = SU_RING_FILE_COUNT_MAX + 1},
    };
    for (size_t i = 0; i < QT_COUNT(configs); i++) {
        struct su_ring refused;
        assert_int_equal(sw_ring_init(&refused, configs[i]), -EINVAL);
        su_ring_deinit(&refused);
    }

    static const struct su_bufring_config bufrings[] = {
        {.slot_count = 3}, {.slot_count = 65536}, {.slot_count = 2, .slot_size = 511}};
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 4}), 0);
    (void)owned_add(ring, sw_ring_end);
    for (size_t i = 0; i < QT_COUNT(bufrings); i++) {
        struct su_bufring bufring;
        assert_int_equal(su_bufring_init(&bufring, ring, &bufrings[i]), -EINVAL);
        su_bufring_deinit(&bufring);
    }
    struct su_send send;
    assert_int_equal(su_send_init(&send, ring, SU_SEND_SLOT_COUNT_MAX + 1, false), -EINVAL);
    su_send_deinit(&send);
}

static void bufring_end(void *bufring)
{
    su_bufring_deinit(bufring);
}

static void a_group_can_be_used_once(void **state)
{
    (void)state;
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    static struct su_bufring a;
    static struct su_bufring b;
    struct su_bufring_config config = {.slot_count = 2, .slot_size = 512, .group = 3};
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 4}), 0);
    (void)owned_add(ring, sw_ring_end);
    assert_int_equal(su_bufring_init(&a, ring, &config), 0);
    (void)owned_add(&a, bufring_end);
    assert_int_equal(su_bufring_init(&b, ring, &config), -EEXIST);
    config.group = 4;
    assert_int_equal(su_bufring_init(&b, ring, &config), 0);
    (void)owned_add(&b, bufring_end);
}

static void wake_end(void *wake)
{
    su_wake_deinit(wake);
}

/* A whole life with everything in flight: armed receivers, an armed wake, sends that nobody
 * takes; then the next life binds the very same port. */
static void a_port_is_free_as_soon_as_the_ring_is_stopped(void **state)
{
    (void)state;
    static const char *const locals[] = {"127.0.0.1:0", "[::1]:0"};
    for (uint32_t family = 0; family < 2; family++) {
        struct su_address local = sw_address(locals[family]);
        for (uint32_t life = 0; life < 25; life++) {
            struct sw *w = sw_create((struct sw_config){.send_count = 8, .slot_count = 4});
            struct su_socket_config config = {.local = local};
            const char *step = "";
            int error = su_socket_open(&w->sockets[0], &config, &step);
            if (error == -EADDRNOTAVAIL || error == -EAFNOSUPPORT) { /* no IPv6 here */
                owned_end_all();
                break;
            }
            if (error != 0)
                fail_msg("life %u: %s: %s", life, step, strerror(-error));
            su_socket_close(&w->sockets[0]);
            (void)sw_open(w, &config);
            local = w->sockets[0].local;

            static struct su_wake wake;
            assert_int_equal(su_wake_init(&wake, &w->ring, 0), 0);
            (void)owned_add(&wake, wake_end);
            su_wake_rearm(&wake);
            (void)sw_turn(w, 0);
            struct su_train train = {
                .socket = &w->sockets[0], .destination = local, .size = 3000, .segment_size = 1000};
            for (uint32_t i = 0; i < 7; i++)
                sw_commit(w, &train, i);
            assert_int_equal(su_ring_submit(&w->ring), 0);
            sw_commit(w, &train, 8); /* queued only */
            assert_int_equal(su_ring_stop(&w->ring), 0);
            owned_end_all();
        }
    }
}

static void the_step_that_failed_has_a_name(void **state)
{
    (void)state;
    static struct su_socket first;
    static struct su_socket second;
    const char *step = "";
    struct su_socket_config config = {.local = sw_address("127.0.0.1:0")};
    assert_int_equal(su_socket_open(&first, &config, &step), 0);
    (void)owned_add(&first, sw_socket_end);
    assert_true(first.receive_bytes > 0 && first.send_bytes > 0);

    config.local = first.local;
    assert_int_equal(su_socket_open(&second, &config, &step), -EADDRINUSE);
    assert_string_equal(step, "bind");
    assert_int_equal(second.fd, -1);
    config.local = sw_address("192.0.2.1:0");
    assert_int_equal(su_socket_open(&second, &config, &step), -EADDRNOTAVAIL);
    assert_string_equal(step, "bind");
    config.local = (struct su_address){0};
    assert_int_equal(su_socket_open(&second, &config, &step), -EINVAL);
    assert_string_equal(step, "local address");
    config.local = sw_address("127.0.0.1:0");
    config.peer = sw_address("[::1]:443");
    int error = su_socket_open(&second, &config, &step);
    assert_true(error == -EAFNOSUPPORT || error == -EINVAL);
    assert_string_equal(step, "connect");
    su_socket_close(&second); /* closed already */
    su_socket_close(&first);
    su_socket_close(&first);
}

static void shared_ports_are_asked_for(void **state)
{
    (void)state;
    static struct su_socket first;
    static struct su_socket second;
    struct su_socket_config config = {.local = sw_address("127.0.0.1:0"), .is_port_shared = true};
    assert_int_equal(su_socket_open(&first, &config, NULL), 0);
    (void)owned_add(&first, sw_socket_end);
    config.local = first.local;
    assert_int_equal(su_socket_open(&second, &config, NULL), 0);
    (void)owned_add(&second, sw_socket_end);
    assert_int_equal(su_address_port(&second.local), su_address_port(&first.local));
}

/* ---- a wait in poll() ---- */

static bool is_readable(int fd, int wait_ms)
{
    struct pollfd poll_fd = {.fd = fd, .events = POLLIN};
    int count;
    do
        count = poll(&poll_fd, 1, wait_ms);
    while (count < 0 && errno == EINTR);
    assert_true(count >= 0);
    return count == 1;
}

/* Without su_ring_poll_begin() there is nothing to wait for; between it and su_ring_poll_end() the
 * descriptor tells what the ring would. */
static void poll_sees_what_the_ring_would(void **state)
{
    (void)state;
    struct su_ring *ring = owned_alloc(sizeof(*ring));
    struct su_wake *wake = owned_alloc(sizeof(*wake));
    struct su_completion completion;
    assert_int_equal(sw_ring_init(ring, (struct su_ring_config){.sq_count = 8, .file_count = 1}),
                     0);
    (void)owned_add(ring, sw_ring_end);
    assert_int_equal(su_wake_init(wake, ring, 0), 0);
    assert_int_equal(su_ring_enable(ring), 0);
    assert_false(su_ring_poll_begin(ring));
    int fd = su_ring_poll_fd(ring);
    assert_true(fd >= 0);
    assert_int_equal(su_ring_poll_fd(ring), fd);

    for (uint32_t round = 0; round < 3; round++) {
        su_wake_rearm(wake);
        assert_int_equal(su_ring_submit(ring), 0);
        assert_true(su_ring_poll_begin(ring));
        assert_false(is_readable(fd, 0));
        su_wake_sleep_in_poll(wake);
        assert_true(su_wake_ring(wake));
        assert_false(su_wake_ring(wake)); /* once */
        assert_true(is_readable(fd, 5000));
        su_ring_poll_end(ring);
        assert_int_equal(su_ring_enter(ring, 0), 0);
        while (su_ring_completions(ring, &completion, 1) == 1)
            su_wake_take(wake, &completion);
        assert_false(is_readable(fd, 0));

        nops(ring, 1, 1); /* completes while it is submitted: nobody would wait for that */
        assert_int_equal(su_ring_enter(ring, 0), 0);
        assert_false(su_ring_poll_begin(ring));
        su_ring_poll_end(ring);
        assert_int_equal(su_ring_completions(ring, &completion, 1), 1);
    }
    assert_int_equal(su_ring_stop(ring), 0);
    su_wake_deinit(wake);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, poll_sees_what_the_ring_would),
        QT_TEST(owned, a_wait_ends_at_its_deadline_or_at_a_completion),
        QT_TEST(owned, expected_completions_do_not_end_a_wait),
        QT_TEST(owned, a_full_submission_queue_is_submitted),
        QT_TEST(owned, the_file_table_has_an_end),
        QT_TEST(owned, a_ring_lives_through_its_states_in_order),
        QT_TEST(owned, counts_out_of_range_are_refused),
        QT_TEST(owned, a_group_can_be_used_once),
        QT_TEST(owned, a_port_is_free_as_soon_as_the_ring_is_stopped),
        QT_TEST(owned, the_step_that_failed_has_a_name),
        QT_TEST(owned, shared_ports_are_asked_for),
    };
    const struct CMUnitTest of_io_uring[] = {
        QT_TEST(owned, an_expected_completion_that_is_late_hangs_nothing),
        /* mmsg leaves the submissions where they are: test_su_mmsg.c */
        QT_TEST(owned, completions_that_do_not_fit_come_later),
    };
    sw_require_ring();
    sb_assert_handler = qt_on_assert;
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    return sw_is_uring() ? failed + cmocka_run_group_tests(of_io_uring, NULL, NULL) : failed;
}
