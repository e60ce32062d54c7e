/* SPDX-License-Identifier: MIT */
#include "test/support/su_world.h"

#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "uring/caps.h"

/* This test runs where io_uring is refused, too: saying so is what it is about. */

static void every_row_has_a_name_and_every_no_a_reason(void **state)
{
    (void)state;
    struct su_caps caps;
    su_caps_probe(&caps);
    assert_true(strlen(caps.kernel) > 0);
    assert_null(su_caps_at(&caps, SU_CAP_COUNT));
    for (uint32_t i = 0; i < SU_CAP_COUNT; i++) {
        const struct su_cap *cap = su_caps_at(&caps, i);
        assert_non_null(cap);
        print_message("%-30s %-3s %s\n", cap->name, cap->have ? "yes" : "no", cap->reason);
        assert_true(strlen(cap->name) > 0);
        assert_true(cap->have || strlen(cap->reason) > 0);
    }
}

static void ring_end(void *ring)
{
    su_ring_deinit(ring);
}

static void the_report_agrees_with_the_ring(void **state)
{
    (void)state;
    static struct su_ring ring; /* outlives this frame when the test fails */
    struct su_caps caps;
    su_caps_probe(&caps);
    int error = su_ring_init(&ring, &(struct su_ring_config){.sq_count = 4, .file_count = 1});
    if (error == 0)
        (void)owned_add(&ring, ring_end);
    assert_int_equal(error == 0, su_caps_have(&caps, SU_CAP_RING));
    if (error != 0)
        return;
    static const struct {
        enum su_cap_id id;
        uint32_t flag;
    } flags[] = {
        {SU_CAP_SINGLE_ISSUER, IORING_SETUP_SINGLE_ISSUER},
        {SU_CAP_DEFER_TASKRUN, IORING_SETUP_DEFER_TASKRUN},
        {SU_CAP_COOP_TASKRUN, IORING_SETUP_COOP_TASKRUN},
        {SU_CAP_SUBMIT_ALL, IORING_SETUP_SUBMIT_ALL},
        {SU_CAP_NO_SQARRAY, IORING_SETUP_NO_SQARRAY},
    };
    for (size_t i = 0; i < QT_COUNT(flags); i++)
        assert_int_equal((ring.setup_flags & flags[i].flag) != 0, su_caps_have(&caps, flags[i].id));
}

static void probing_leaves_no_descriptor_behind(void **state)
{
    (void)state;
    struct su_caps caps;
    int before = owned_fd(dup(2));
    su_caps_probe(&caps);
    int after = owned_fd(dup(2));
    assert_int_equal(after, before + 1);
}

/* Lets a system call fail for this process, as containers do. */
static void forbid(long number, uint32_t error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    struct sock_fprog program = {.len = SB_COUNT(filter), .filter = filter};
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) != 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) != 0)
        _exit(77);
}

/* In a child: 0 if all is as it should be, 77 if filters cannot be tried here. */
static int probe_under_filter(uint32_t error)
{
    struct su_caps caps;
    struct su_ring ring;
    forbid(SYS_io_uring_setup, error);
    su_caps_probe(&caps);
    const struct su_cap *cap = &caps.cap[SU_CAP_RING];
    if (cap->have || strstr(cap->reason, "seccomp") == NULL)
        return 1;
    if (caps.cap[SU_CAP_DEFER_TASKRUN].have || caps.cap[SU_CAP_DEFER_TASKRUN].reason[0] == '\0')
        return 2;
    if (!caps.cap[SU_CAP_UDP_GRO].have) /* sockets do not depend on it */
        return 3;
    if (su_ring_init(&ring, &(struct su_ring_config){.sq_count = 4}) != -(int)error)
        return 4;
    return 0;
}

static void a_filter_is_named_as_the_reason(void **state)
{
    (void)state;
    static const uint32_t errors[] = {EPERM, ENOSYS};
    for (size_t i = 0; i < QT_COUNT(errors); i++) {
        pid_t child = fork();
        assert_true(child >= 0);
        if (child == 0)
            _exit(probe_under_filter(errors[i]));
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        assert_true(WIFEXITED(status));
        if (WEXITSTATUS(status) != 77)
            assert_int_equal(WEXITSTATUS(status), 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(every_row_has_a_name_and_every_no_a_reason),
        QT_TEST(owned, the_report_agrees_with_the_ring),
        QT_TEST(owned, probing_leaves_no_descriptor_behind),
        cmocka_unit_test(a_filter_is_named_as_the_reason),
    };
    sb_assert_handler = qt_on_assert;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
