/* SPDX-License-Identifier: MIT */
/* Messages with descriptors between processes, and sockets that somebody else has bound. */

#include "test/support/owned.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

#include "uring/pass.h"
#include "uring/socket.h"

#define MS UINT64_C(1000000)

struct pair {
    int a;
    int b;
};

static struct pair make_pair(void)
{
    int fds[2];
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, fds), 0);
    return (struct pair){owned_fd(fds[0]), owned_fd(fds[1])};
}

static int bound_udp(bool is_shared)
{
    const struct sockaddr_in any = {.sin_family = AF_INET,
                                    .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int shared = is_shared;
    int fd = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof(shared)), 0);
    assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
    return fd;
}

static struct su_pass message_of(uint8_t *data, size_t size)
{
    return (struct su_pass){.data = data, .size = size};
}

static void a_message_carries_bytes_and_descriptors(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    uint8_t sent[] = "the sockets";
    uint8_t got[64];
    struct su_pass out = message_of(sent, sizeof(sent));
    struct su_pass in = message_of(got, sizeof(got));
    out.fds[0] = bound_udp(false);
    out.fds[1] = bound_udp(false);
    out.fd_count = 2;
    assert_int_equal(su_pass_send(pair.a, &out), 0);
    assert_int_equal(su_pass_receive(pair.b, 0, &in), 0);
    assert_int_equal(in.size, sizeof(sent));
    assert_memory_equal(got, sent, sizeof(sent));
    assert_int_equal(in.fd_count, 2);
    struct su_socket_facts there;
    struct su_socket_facts here;
    const char *problem;
    assert_int_equal(su_socket_inspect(out.fds[1], &here, &problem), 0);
    assert_int_equal(su_socket_inspect(in.fds[1], &there, &problem), 0);
    assert_true(su_address_is_equal(&here.local, &there.local));
    assert_int_not_equal(fcntl(in.fds[0], F_GETFD) & FD_CLOEXEC, 0);
    int first = in.fds[0];
    su_pass_close(&in);
    assert_int_equal(in.fd_count, 0);
    assert_int_equal(fcntl(first, F_GETFD), -1);
}

static void waits_and_ends_are_reported(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    uint8_t byte = 1;
    struct su_pass in = message_of(&byte, 1);
    struct su_pass out = message_of(&byte, 1);
    assert_int_equal(su_pass_receive(pair.b, 0, &in), -EAGAIN);
    assert_int_equal(su_pass_receive(pair.b, 5 * MS, &in), -EAGAIN);
    assert_int_equal(shutdown(pair.a, SHUT_RDWR), 0);
    assert_int_equal(su_pass_receive(pair.b, UINT64_MAX, &in), -ECONNRESET);
    assert_int_equal(su_pass_send(pair.b, &out), -EPIPE);
}

/* The other end leaves a message unread, and says something before it closes. */
static void what_was_sent_before_the_end_is_received(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    uint8_t byte = 1;
    uint8_t word = 7;
    uint8_t got = 0;
    struct su_pass unread = message_of(&byte, 1);
    struct su_pass last = message_of(&word, 1);
    struct su_pass in = message_of(&got, 1);
    int other_end = dup(pair.b);
    assert_int_equal(su_pass_send(pair.a, &unread), 0);
    assert_int_equal(su_pass_send(other_end, &last), 0);
    assert_int_equal(dup2(pair.a, pair.b), pair.b); /* `other_end` is the only one now */
    assert_int_equal(close(other_end), 0);
    assert_int_equal(su_pass_receive(pair.a, 0, &in), 0);
    assert_int_equal(got, 7);
    in.size = 1;
    assert_int_equal(su_pass_receive(pair.a, 0, &in), -ECONNRESET);
}

static void a_socket_is_known_by_any_of_its_descriptors(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    int duplicate = owned_fd(dup(pair.a));
    assert_true(su_pass_is_same(pair.a, pair.a));
    assert_true(su_pass_is_same(pair.a, duplicate));
    assert_false(su_pass_is_same(pair.a, pair.b));
    assert_false(su_pass_is_same(pair.a, -1));
    assert_false(su_pass_is_same(-1, -1));
    assert_int_equal(dup2(pair.b, duplicate), duplicate); /* the number is used again */
    assert_false(su_pass_is_same(pair.a, duplicate));
}

static void what_does_not_fit_is_refused_and_closed(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    uint8_t data[32] = {0};
    struct su_pass out = message_of(data, sizeof(data));
    struct su_pass in = message_of(data, sizeof(data) - 1);
    out.fds[0] = pair.a;
    out.fd_count = 1;
    assert_int_equal(su_pass_send(pair.a, &out), 0);
    assert_int_equal(su_pass_receive(pair.b, 0, &in), -EMSGSIZE);
    assert_int_equal(in.fd_count, 0);
}

/* A process at its limit of descriptors gets some of them, and must not take those for all. */
static void lost_descriptors_are_an_error(void **state)
{
    (void)state;
    struct pair pair = make_pair();
    uint8_t data[4] = {0};
    struct su_pass out = message_of(data, sizeof(data));
    struct su_pass in = message_of(data, sizeof(data));
    struct rlimit limit;
    for (out.fd_count = 0; out.fd_count < 8; out.fd_count++)
        out.fds[out.fd_count] = pair.a;
    assert_int_equal(su_pass_send(pair.a, &out), 0);
    assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
    int lowest = dup(pair.a);
    (void)close(lowest);
    const struct rlimit tight = {.rlim_cur = (rlim_t)lowest + 3, .rlim_max = limit.rlim_max};
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
    int result = su_pass_receive(pair.b, 0, &in);
    assert_int_equal(setrlimit(RLIMIT_NOFILE, &limit), 0);
    assert_int_equal(result, -EMFILE);
    assert_int_equal(in.fd_count, 0);
    int next = dup(pair.a);
    assert_int_equal(next, lowest); /* those that came are closed */
    (void)close(next);
}

static void only_a_connected_seqpacket_socket_is_a_channel(void **state)
{
    (void)state;
    int fds[2];
    struct pair pair = make_pair();
    assert_int_equal(su_pass_check(pair.a), 0);
    assert_int_equal(su_pass_check(-1), -EBADF);
    assert_int_equal(su_pass_check(bound_udp(false)), -EPROTOTYPE);
    assert_int_equal(su_pass_check(owned_fd(open("/dev/null", O_RDONLY | O_CLOEXEC))), -EPROTOTYPE);
    assert_int_equal(su_pass_check(owned_fd(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0))),
                     -EPROTOTYPE);
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fds), 0);
    assert_int_equal(su_pass_check(owned_fd(fds[0])), -EPROTOTYPE);
    (void)owned_fd(fds[1]);
}

/* ---- adopted sockets ---- */

static void inspection_tells_what_can_be_adopted(void **state)
{
    (void)state;
    const char *problem = NULL;
    struct su_socket_facts facts;
    assert_int_equal(su_socket_inspect(bound_udp(true), &facts, &problem), 0);
    assert_true(facts.is_port_shared);
    assert_int_equal(su_socket_inspect(bound_udp(false), &facts, &problem), 0);
    assert_false(facts.is_port_shared);
    assert_int_equal(facts.local.family, AF_INET);

    int unbound = owned_fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    int tcp = owned_fd(socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0));
    int connected = bound_udp(false);
    const struct sockaddr_in peer = {
        .sin_family = AF_INET, .sin_port = htons(9), .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    assert_int_equal(connect(connected, (const struct sockaddr *)&peer, sizeof(peer)), 0);
    const struct {
        int fd;
        int result;
        const char *problem;
    } cases[] = {
        {-1, -EBADF, "is not open"},
        {owned_fd(open("/dev/null", O_RDONLY | O_CLOEXEC)), -ENOTSOCK, "is not a socket"},
        {make_pair().a, -EINVAL, "is no UDP socket"},
        {tcp, -EINVAL, "is no UDP socket"},
        {unbound, -EINVAL, "is not bound to a port"},
        {connected, -EINVAL, "is connected"},
    };
    for (uint32_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        assert_int_equal(su_socket_inspect(cases[i].fd, &facts, &problem), cases[i].result);
        assert_string_equal(problem, cases[i].problem);
    }
}

static int option_of(int fd, int level, int option)
{
    int value = -1;
    socklen_t size = sizeof(value);
    assert_int_equal(getsockopt(fd, level, option, &value, &size), 0);
    return value;
}

/* It has the options of a socket that is made here, keeps what waits, and stays the caller's. */
static void an_adopted_socket_is_as_good_as_a_new_one(void **state)
{
    (void)state;
    static const int options[][2] = {{SOL_SOCKET, SO_RXQ_OVFL},
                                     {IPPROTO_UDP, 104}, /* UDP_GRO */
                                     {SOL_IP, IP_RECVTOS},
                                     {SOL_IP, IP_PKTINFO},
                                     {SOL_IP, IP_MTU_DISCOVER}};
    int fd = bound_udp(false);
    struct su_socket_facts facts;
    const char *step = NULL;
    assert_int_equal(su_socket_inspect(fd, &facts, &step), 0);
    int sender = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(sendto(sender, "waits", 5, 0, &facts.local.any, sizeof(facts.local.v4)),
                         5);

    struct su_socket adopted;
    struct su_socket made;
    struct su_socket_config config = {.is_adopted = true, .fd = fd, .receive_bytes = 1 << 18};
    assert_int_equal(su_socket_open(&adopted, &config, &step), 0);
    config = (struct su_socket_config){.local = facts.local};
    su_address_set_port(&config.local, 0);
    assert_int_equal(su_socket_open(&made, &config, &step), 0);
    assert_true(su_address_is_equal(&adopted.local, &facts.local));
    assert_int_equal(adopted.family, AF_INET);
    assert_int_equal(adopted.has_gso, made.has_gso);
    for (uint32_t i = 0; i < sizeof(options) / sizeof(options[0]); i++)
        assert_int_equal(option_of(adopted.fd, options[i][0], options[i][1]),
                         option_of(made.fd, options[i][0], options[i][1]));
    assert_int_equal(fcntl(adopted.fd, F_GETFL) & O_NONBLOCK, 0);
    assert_int_equal(su_socket_discard(adopted.fd, 2), 2);
    assert_int_equal(su_socket_discard(adopted.fd, 2), 1);
    su_socket_close(&adopted);
    su_socket_close(&made);
    assert_int_equal(su_socket_inspect(fd, &facts, &step), 0);

    int unbound = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    config = (struct su_socket_config){.is_adopted = true, .fd = unbound};
    assert_int_equal(su_socket_open(&adopted, &config, &step), -EINVAL);
    assert_string_equal(step, "is not bound to a port");
    assert_int_equal(adopted.fd, -1);
}

static void a_dual_socket_is_known_as_one(void **state)
{
    (void)state;
    for (int v6_only = 0; v6_only < 2; v6_only++) {
        const struct sockaddr_in6 any = {.sin6_family = AF_INET6};
        struct su_socket_facts facts;
        const char *problem;
        int fd = owned_fd(socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
        assert_int_equal(setsockopt(fd, SOL_IPV6, IPV6_V6ONLY, &v6_only, sizeof(v6_only)), 0);
        assert_int_equal(bind(fd, (const struct sockaddr *)&any, sizeof(any)), 0);
        assert_int_equal(su_socket_inspect(fd, &facts, &problem), 0);
        assert_int_equal(facts.is_dual, v6_only == 0);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_message_carries_bytes_and_descriptors),
        QT_TEST(owned, waits_and_ends_are_reported),
        QT_TEST(owned, what_was_sent_before_the_end_is_received),
        QT_TEST(owned, a_socket_is_known_by_any_of_its_descriptors),
        QT_TEST(owned, what_does_not_fit_is_refused_and_closed),
        QT_TEST(owned, lost_descriptors_are_an_error),
        QT_TEST(owned, only_a_connected_seqpacket_socket_is_a_channel),
        QT_TEST(owned, inspection_tells_what_can_be_adopted),
        QT_TEST(owned, an_adopted_socket_is_as_good_as_a_new_one),
        QT_TEST(owned, a_dual_socket_is_known_as_one),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
