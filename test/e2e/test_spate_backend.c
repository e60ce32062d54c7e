/* SPDX-License-Identifier: MIT */
/* Which back-end an engine gets, where io_uring may be used and where a filter forbids it. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <signal.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <ucontext.h>
#include <unistd.h>

/* From here on this process gets `error` for system call `number`.  There is no way back. */
static void forbid(long number, int error)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)number, 0, 1),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ERRNO | (uint32_t)error),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
    };
    const struct sock_fprog program = {.len = QT_COUNT(filter), .filter = filter};
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

/* Runs `test` in a process of its own, as a filter cannot be taken back. */
static void in_a_child(void (*test)(const void *argument), const void *argument)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        (void)setenv("CMOCKA_TEST_ABORT", "1", 1); /* or it would go on with the next test */
        test(argument);
        _exit(0); /* a failed assertion does not come here, and ends in another status */
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    assert_int_equal(WEXITSTATUS(status), 0);
}

static void destroy(void *engine)
{
    spate_engine_destroy(engine);
}

static int create(enum spate_backend backend, struct spate_engine **ret, struct spate_error *error)
{
    struct spate_config config;
    spate_config_init(&config);
    assert_int_equal(config.backend, SPATE_BACKEND_AUTO);
    config.backend = backend;
    config.shard_count = 2;
    int result = spate_engine_create(&config, ret, error);
    if (result == 0)
        (void)owned_add(*ret, destroy);
    return result;
}

/* All of it: a smaller ring fits into limits where the default does not. */
static void takes_its_default(struct spate_config *config)
{
    struct spate_config defaults;
    spate_config_init(&defaults);
    config->backend = SPATE_BACKEND_AUTO;
    config->receive_slots = defaults.receive_slots;
    config->transmit_slots = defaults.transmit_slots;
}

static bool bytes_arrived(struct pw *w)
{
    return w->server.bytes_in == 200000;
}

/* A connection that works, whatever it runs on. */
static void check_world(enum spate_backend expected)
{
    static const uint8_t data[200000];
    struct pw *w =
        pw_create(&(struct pw_config){.server = takes_its_default, .client = takes_its_default});
    assert_int_equal(spate_engine_backend(w->server.engine), expected);
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, data, sizeof(data), true, 0), 0);
    pw_until(w, bytes_arrived);
}

static bool is_uring_allowed(void)
{
    return spate_backend_probe(NULL) == SPATE_BACKEND_IO_URING;
}

static void auto_takes_io_uring_where_it_may(void **state)
{
    (void)state;
    if (!is_uring_allowed())
        skip();
    struct spate_engine *engine;
    struct spate_error error = {"untouched"};
    assert_int_equal(create(SPATE_BACKEND_AUTO, &engine, &error), 0);
    assert_int_equal(spate_engine_backend(engine), SPATE_BACKEND_IO_URING);
    assert_null(spate_engine_warning(engine));
    owned_end(engine);
    assert_int_equal(spate_backend_probe(&error), SPATE_BACKEND_IO_URING);
    assert_string_equal(error.text, "untouched");
    check_world(SPATE_BACKEND_IO_URING);
}

static void who_asks_for_mmsg_is_not_warned(void **state)
{
    (void)state;
    struct spate_engine *engine;
    assert_int_equal(create(SPATE_BACKEND_MMSG, &engine, NULL), 0);
    assert_int_equal(spate_engine_backend(engine), SPATE_BACKEND_MMSG);
    assert_null(spate_engine_warning(engine));
}

static void each_backend_has_a_name(void **state)
{
    (void)state;
    assert_string_equal(spate_backend_name(SPATE_BACKEND_AUTO), "auto");
    assert_string_equal(spate_backend_name(SPATE_BACKEND_IO_URING), "io_uring");
    assert_string_equal(spate_backend_name(SPATE_BACKEND_MMSG), "mmsg");
}

struct refusal {
    long number;
    int error;
    const char *says;
};

static const struct refusal refusals[] = {
    {SYS_io_uring_setup, EPERM, "EPERM: a seccomp filter (container?) forbids it"},
    {SYS_io_uring_setup, ENOSYS, "ENOSYS: a seccomp filter (container?) forbids it"},
    {SYS_io_uring_setup, EACCES, "EACCES: a seccomp filter (container?) forbids it"},
    /* Filters that let a ring be made and do not let it be used. */
    {SYS_io_uring_enter, EPERM, "EPERM: a seccomp filter (container?) forbids it"},
    {SYS_io_uring_register, ENOSYS, "ENOSYS: a seccomp filter (container?) forbids it"},
};

static void check_refused(const void *argument)
{
    const struct refusal *refusal = argument;
    forbid(refusal->number, refusal->error);

    struct spate_engine *engine;
    struct spate_error error = {""};
    assert_int_equal(create(SPATE_BACKEND_AUTO, &engine, &error), 0);
    assert_int_equal(spate_engine_backend(engine), SPATE_BACKEND_MMSG);
    const char *warning = spate_engine_warning(engine);
    assert_non_null(warning);
    assert_non_null(strstr(warning, "io_uring cannot be used"));
    assert_non_null(strstr(warning, refusal->says));
    assert_null(strchr(warning, '\n'));
    assert_string_equal(error.text, ""); /* it is no failure */
    owned_end(engine);

    assert_int_equal(spate_backend_probe(&error), SPATE_BACKEND_MMSG);
    assert_string_equal(error.text, refusal->says);
    check_world(SPATE_BACKEND_MMSG);

    /* Who asks for io_uring gets it or is told. */
    engine = NULL;
    assert_int_equal(create(SPATE_BACKEND_IO_URING, &engine, &error), -refusal->error);
    assert_null(engine);
    assert_non_null(strstr(error.text, "io_uring"));
}

static void auto_falls_back_with_one_warning_where_io_uring_is_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(refusals); i++) {
        /* Where the machine itself refuses, it does so first. */
        if (i > 0 && !is_uring_allowed())
            skip();
        in_a_child(check_refused, &refusals[i]);
    }
}

/* ---- Limits of the process ---- */

struct limit {
    int resource; /* RLIMIT_MEMLOCK, RLIMIT_NOFILE */
    rlim_t value;
    const char *says; /* in the warning, where io_uring does not fit */
};

static const struct limit limits[] = {
    {RLIMIT_MEMLOCK, 64 << 10, "RLIMIT_MEMLOCK, which is 64 KB"},
    {RLIMIT_MEMLOCK, 0, "RLIMIT_MEMLOCK, which is 0 KB"},
    {RLIMIT_NOFILE, 40, "RLIMIT_NOFILE is 40"},
};

/* The limits of memory are not for root: an ordinary user from here on.  One of its own for each
   process, as the kernel counts per user, and releases what a closed ring has locked only later. */
static void lower(const struct limit *limit)
{
    struct rlimit value = {.rlim_cur = limit->value, .rlim_max = limit->value};
    assert_int_equal(setrlimit((__rlimit_resource_t)limit->resource, &value), 0);
    enum { FIRST_USER = 100000 };
    const uid_t user = FIRST_USER + (uid_t)getpid();
    if (geteuid() == 0)
        assert_int_equal(setresuid(user, user, user), 0);
}

/* Two shards do not fit, and a kernel that does not count rings lets them. */
static void check_falls_back(const void *argument)
{
    const struct limit *limit = argument;
    lower(limit);
    struct spate_engine *engine = NULL;
    struct spate_error error = {""};
    if (create(SPATE_BACKEND_AUTO, &engine, &error) != 0)
        fail_msg("%s", error.text);
    const char *warning = spate_engine_warning(engine);
    if (spate_engine_backend(engine) == SPATE_BACKEND_IO_URING) {
        /* Kernels before 6.14 do not count rings. */
        assert_null(warning);
        print_message("io_uring fits into limit %d of %llu\n", limit->resource,
                      (unsigned long long)limit->value);
        return;
    }
    assert_non_null(warning);
    assert_non_null(strstr(warning, "io_uring cannot be used"));
    if (strstr(warning, limit->says) == NULL)
        fail_msg("no \"%s\" in \"%s\"", limit->says, warning);
    assert_string_equal(error.text, ""); /* it is no failure */
}

/* Not even the one shard of the probe fits. */
static void check_nothing_fits(const void *argument)
{
    const struct limit *limit = argument;
    lower(limit);
    struct spate_error error = {""};
    if (spate_backend_probe(&error) == SPATE_BACKEND_IO_URING)
        return; /* an old kernel: check_falls_back() has said so */
    assert_non_null(strstr(error.text, limit->says));
    check_world(SPATE_BACKEND_MMSG);
    struct spate_engine *engine = NULL;
    assert_true(create(SPATE_BACKEND_IO_URING, &engine, &error) < 0);
    assert_null(engine);
}

static void auto_falls_back_where_a_limit_is_too_small(void **state)
{
    (void)state;
    if (!is_uring_allowed())
        skip();
    for (size_t i = 0; i < QT_COUNT(limits); i++) {
        in_a_child(check_falls_back, &limits[i]);
        in_a_child(check_nothing_fits, &limits[i]);
    }
}

/* Returns whether one shard fits, in a process of its own. */
static bool fits_once(const struct limit *limit)
{
    (void)fflush(NULL);
    pid_t pid = fork();
    assert_true(pid >= 0);
    if (pid == 0) {
        lower(limit);
        _exit(spate_backend_probe(NULL) == SPATE_BACKEND_IO_URING ? 1 : 0);
    }
    int status;
    assert_int_equal(waitpid(pid, &status, 0), pid);
    assert_true(WIFEXITED(status));
    return WEXITSTATUS(status) == 1;
}

/* The limit is enough for one shard, and not for the two that create() asks for. */
static void auto_falls_back_where_some_shards_do_not_fit(void **state)
{
    (void)state;
    if (!is_uring_allowed())
        skip();
    char says[64];
    struct limit limit = {.resource = RLIMIT_MEMLOCK, .says = says};
    while (!fits_once(&limit)) {
        limit.value += 16 << 10;
        assert_true(limit.value < 16 << 20);
    }
    (void)snprintf(says, sizeof(says), "RLIMIT_MEMLOCK, which is %llu KB",
                   (unsigned long long)limit.value >> 10);
    in_a_child(check_falls_back, &limit);
}

/* Filters that are older than epoll_pwait2. */
static void check_coarse(const void *argument)
{
    forbid(SYS_io_uring_setup, EPERM);
    forbid(SYS_epoll_pwait2, *(const int *)argument);
    check_world(SPATE_BACKEND_MMSG);
}

static void it_runs_without_epoll_pwait2(void **state)
{
    (void)state;
    static const int errors[] = {EPERM, ENOSYS};
    for (size_t i = 0; i < QT_COUNT(errors); i++)
        in_a_child(check_coarse, &errors[i]);
}

/* ---- What the start of an engine asks for ---- */

#ifdef __x86_64__

enum { MINE = 0x5ca1ab1e }; /* a sixth argument, which these calls do not have */

static struct {
    uint32_t rings;
    uint32_t opened; /* files of /proc and /sys */
    uint32_t netlinks;
} asked;

/* Counts a system call that the filter has stopped, and makes it. */
static void on_call(int number, siginfo_t *info, void *context)
{
    (void)number;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    long first = registers[REG_RDI];
    long second = registers[REG_RSI];
    const char *path = (const char *)(uintptr_t)second;
    if (info->si_syscall == SYS_io_uring_setup)
        asked.rings++;
    else if (info->si_syscall == SYS_socket)
        asked.netlinks += first == AF_NETLINK;
    else
        asked.opened += strncmp(path, "/proc/", 6) == 0 || strncmp(path, "/sys/", 5) == 0;
    long result = syscall(info->si_syscall, first, second, registers[REG_RDX], registers[REG_R10],
                          0L, (long)MINE);
    registers[REG_RAX] = result >= 0 ? result : -errno;
}

static void count_calls(void)
{
    struct sock_filter filter[] = {
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, args[5])),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, MINE, 4, 0),
        BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 3, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_openat, 2, 0),
        BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_socket, 1, 0),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
        BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP),
    };
    const struct sock_fprog program = {.len = QT_COUNT(filter), .filter = filter};
    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO};
    assert_int_equal(sigaction(SIGSYS, &action, NULL), 0);
    assert_int_equal(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0), 0);
    assert_int_equal(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program), 0);
}

static void check_asked(const void *argument)
{
    (void)argument;
    struct spate_engine *engine;
    struct spate_config config;
    count_calls();
    assert_int_equal(create(SPATE_BACKEND_AUTO, &engine, NULL), 0);
    assert_int_equal(asked.rings, 2); /* one for each shard */
    assert_int_equal(asked.opened, 0);
    assert_int_equal(asked.netlinks, 0);
    owned_end(engine);

    /* Where the number of CPUs matters, it is read. */
    spate_config_init(&config);
    config.shard_count = SPATE_SHARDS_AUTO;
    assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
    assert_true(asked.opened > 0);
    spate_engine_destroy(engine);
}

#endif

/* A program that makes one connection waits for each of these calls. */
static void it_asks_for_nothing_that_it_does_not_need(void **state)
{
    (void)state;
#ifdef __x86_64__
    if (is_uring_allowed())
        in_a_child(check_asked, NULL);
    else
        skip();
#else
    skip();
#endif
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, auto_takes_io_uring_where_it_may),
        QT_TEST(owned, who_asks_for_mmsg_is_not_warned),
        QT_TEST(owned, each_backend_has_a_name),
        QT_TEST(owned, auto_falls_back_with_one_warning_where_io_uring_is_refused),
        QT_TEST(owned, auto_falls_back_where_a_limit_is_too_small),
        QT_TEST(owned, auto_falls_back_where_some_shards_do_not_fit),
        QT_TEST(owned, it_runs_without_epoll_pwait2),
        QT_TEST(owned, it_asks_for_nothing_that_it_does_not_need),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
