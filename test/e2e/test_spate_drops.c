/* SPDX-License-Identifier: MIT */
/* Datagrams that the kernel drops, in a network of our own: the operator learns whether a buffer
 * was full, or whether somebody sends empty ones.  Skipped where we may not have one. */

#include "test/support/spate_world.h"

#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum { SIZE = 1000 };

static uint32_t full_count, empty_count;

static void keep(enum spate_log_level level, const char *line, void *user)
{
    (void)level;
    (void)user;
    full_count += strstr(line, "buffer full") != NULL;
    empty_count += strstr(line, "empty datagrams") != NULL;
}

static void configure(struct spate_config *config)
{
    static struct spate_log log;
    spate_log_init(&log);
    log.write = keep;
    log.level = SPATE_LOG_INFO;
    log.interval_ns = 100 * MS;
    config->log = &log;
    config->socket_buffer_bytes = 64 << 10;
}

static struct pw *make_world(void)
{
    full_count = empty_count = 0;
    return pw_create(&(struct pw_config){.server = configure});
}

static int stranger(const struct pw *w)
{
    int fd = pw_udp_socket();
    assert_int_equal(connect(fd, (const struct sockaddr *)&w->address, w->address_size), 0);
    return fd;
}

/* Sends datagrams of `size` bytes before each of some turns, and one that is not empty: with that
 * the kernel says what it has dropped. */
static void send_and_turn(struct pw *w, int fd, size_t size, uint32_t count)
{
    static const uint8_t bytes[SIZE];
    for (uint32_t i = 0; i < count; i++)
        (void)send(fd, bytes, size, MSG_DONTWAIT);
    for (uint32_t i = 0; i < 4; i++)
        pw_wait(&w->server, 0);
    (void)send(fd, bytes, SIZE, MSG_DONTWAIT);
    pw_wait(&w->server, MS);
}

static void empty_datagrams_fill_no_buffer(void **state)
{
    (void)state;
    struct pw *w = make_world();
    int fd = stranger(w);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (empty_count < 3 && pw_now_ns() < end_ns) {
        send_and_turn(w, fd, 0, 10);
        if (pw_backend() == SPATE_BACKEND_MMSG && pw_stats(&w->server).kernel_drops == 0 &&
            pw_now_ns() > end_ns - PW_PATIENCE_NS + 1000 * MS)
            return; /* it takes them without harm, and refuses none */
    }
    assert_true(pw_stats(&w->server).kernel_drops > 0);
    assert_true(empty_count >= 3);
    assert_int_equal(full_count, 0);
}

/* Whether or not empty ones are refused meanwhile. */
static void a_full_buffer_is_reported_as_one(void **state)
{
    (void)state;
    for (uint32_t has_empty = 0; has_empty < 2; has_empty++) {
        struct pw *w = make_world();
        int fd = stranger(w);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        if (has_empty)
            send_and_turn(w, fd, 0, 1);
        while (full_count < 2 && pw_now_ns() < end_ns)
            send_and_turn(w, fd, SIZE, 1000);
        assert_true(full_count >= 2);
        assert_int_equal(empty_count, 0);
        owned_end_all();
    }
}

/* Loopback is down in a new network. */
static bool network_make(void)
{
    if (unshare(geteuid() == 0 ? CLONE_NEWNET : CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
    bool is_made = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &request) == 0;
    if (fd >= 0)
        (void)close(fd);
    return is_made;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, empty_datagrams_fill_no_buffer),
        QT_TEST(owned, a_full_buffer_is_reported_as_one),
    };
    if (!network_make()) {
        (void)fprintf(stderr, "skipped: no network namespace\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
