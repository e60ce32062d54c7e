/* SPDX-License-Identifier: MIT */
/* How many datagrams found a full buffer, of a thread in a network of its own.  Skipped where we
 * may not have one. */

#include "test/support/owned.h"

#include <net/if.h>
#include <netinet/in.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uring/socket.h"

enum { SENT = 200, SIZE = 1000 };

/* What the thread has seen. */
static struct {
    bool has_network;
    int failed_at;            /* a line; 0: nothing failed */
    uint64_t fresh, v4, both; /* counted before, after IPv4, after IPv6 as well */
    uint32_t lost_v4, lost_v6;
} seen;

#define NEED(cond) \
    do { \
        if (!(cond)) { \
            seen.failed_at = __LINE__; \
            return NULL; \
        } \
    } while (0)

static int set_up(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING | IFF_LOOPBACK};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int result = ioctl(fd, SIOCSIFFLAGS, &request);
    (void)close(fd);
    return result;
}

/* Returns how many of SENT datagrams a socket with a small buffer has not got; SENT: none came. */
static uint32_t overflow(const struct sockaddr *address, socklen_t size)
{
    static uint8_t bytes[SIZE];
    struct sockaddr_storage bound;
    socklen_t bound_size = sizeof(bound);
    int small = 4096;
    int to = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    int from = socket(address->sa_family, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    uint32_t got = 0;
    if (setsockopt(to, SOL_SOCKET, SO_RCVBUF, &small, sizeof(small)) == 0 &&
        bind(to, address, size) == 0 &&
        getsockname(to, (struct sockaddr *)&bound, &bound_size) == 0 &&
        connect(from, (struct sockaddr *)&bound, bound_size) == 0) {
        for (uint32_t i = 0; i < SENT; i++)
            (void)send(from, bytes, sizeof(bytes), MSG_DONTWAIT);
        while (recv(to, bytes, sizeof(bytes), MSG_DONTWAIT) > 0)
            got++;
    }
    (void)close(to);
    (void)close(from);
    return SENT - got;
}

static void *work(void *unused)
{
    (void)unused;
    const struct sockaddr_in v4 = {.sin_family = AF_INET,
                                   .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    const struct sockaddr_in6 v6 = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
    seen.has_network = unshare(CLONE_NEWNET) == 0 && set_up() == 0;
    if (!seen.has_network)
        return NULL;
    NEED(su_socket_overflows(&seen.fresh) == 0);
    seen.lost_v4 = overflow((const struct sockaddr *)&v4, sizeof(v4));
    NEED(su_socket_overflows(&seen.v4) == 0);
    seen.lost_v6 = overflow((const struct sockaddr *)&v6, sizeof(v6));
    NEED(su_socket_overflows(&seen.both) == 0);
    return NULL;
}

/* Not those of the process, whose first thread is in another network. */
static void those_of_the_threads_network_are_counted(void **state)
{
    (void)state;
    assert_int_equal(seen.failed_at, 0);
    assert_int_equal(seen.fresh, 0);
    assert_in_range(seen.lost_v4, 1, SENT - 1);
    assert_int_equal(seen.v4, seen.lost_v4);
    if (seen.lost_v6 == SENT)
        return; /* a machine without IPv6 */
    assert_true(seen.lost_v6 > 0);
    assert_int_equal(seen.both, seen.lost_v4 + seen.lost_v6);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, those_of_the_threads_network_are_counted),
    };
    pthread_t thread;
    if (geteuid() != 0)
        (void)unshare(CLONE_NEWUSER); /* the last moment: with a thread it is refused */
    if (pthread_create(&thread, NULL, work, NULL) != 0 || pthread_join(thread, NULL) != 0)
        return 1;
    if (!seen.has_network) {
        (void)fprintf(stderr, "skipped: no network namespace\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
