/* SPDX-License-Identifier: MIT */
/* Sockets that somebody else has bound: what a supervisor passes, and who listens there. */

#include "test/support/hand_over_world.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

/* Binds a socket, as a supervisor does, to the address of the world. */
static int bound_socket(struct hw *hw, bool is_shared)
{
    int shared = is_shared;
    int fd =
        owned_fd(socket(hw->w.address.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof(shared)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&hw->w.address, hw->w.address_size), 0);
    hw->w.address_size = sizeof(hw->w.address);
    assert_int_equal(getsockname(fd, (struct sockaddr *)&hw->w.address, &hw->w.address_size), 0);
    return fd;
}

static int listen_on(struct hw_server *server, const int *fds, uint32_t count,
                     struct spate_error *error)
{
    const struct spate_listen_options options = {
        .size = sizeof(options), .tls = server->world->w.server.tls, .fds = fds, .fd_count = count};
    int result = 0;
    for (uint32_t i = 0; i < server->shard_count && result == 0; i++)
        result = spate_shard_listen_with(server->shards[i], &options, &server->listeners[i], error);
    server->is_running = result == 0;
    return result;
}

static void plain(struct spate_config *config)
{
    config->hand_over = false;
}

static void one_shard_serves_an_inherited_socket(void **state)
{
    (void)state;
    for (uint32_t is_v6 = 0; is_v6 < 2; is_v6++) {
        struct hw *hw = hw_create(is_v6 != 0);
        int fd = bound_socket(hw, false);
        struct hw_server *server = hw_make_server(hw, 1, plain);
        struct spate_error error = {""};
        if (listen_on(server, &fd, 1, &error) != 0)
            fail_msg("%s", error.text);
        struct sockaddr_storage address;
        socklen_t size;
        assert_int_equal(spate_listener_address(server->listeners[0], &address, &size), 0);
        assert_int_equal(size, hw->w.address_size);
        assert_memory_equal(&address, &hw->w.address, size);
        hw_connect(hw, 4, server);
        hw_move_and_send(hw, 0, 4, server, 2);
        hw_kill(server);
        assert_int_not_equal(fcntl(fd, F_GETFD), -1); /* it stays the program's */
        owned_end_all();
    }
}

/* Clients that came before the server was ready: their packets wait in the socket. */
static void what_waited_in_the_socket_is_served(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    int fds[2] = {bound_socket(hw, true), bound_socket(hw, true)};
    struct spate_error error = {""};
    for (uint32_t i = 0; i < 6; i++)
        hw->clients[hw->client_count++].conn = pw_connect(&hw->w);
    pw_wait(&hw->w.client, 0);
    pw_wait(&hw->w.client, 0);
    struct hw_server *server = hw_make_server(hw, 2, NULL);
    assert_int_equal(listen_on(server, fds, 2, &error), 0);
    uint64_t start_ns = pw_now_ns();
    hw_until(hw, &server->connected, 6);
    assert_true(pw_now_ns() - start_ns < 900 * MS); /* before the first packets are sent again */
}

/* One socket for two shards: the other one is opened here.  Three: the last one is nobody's, and
 * gets nothing. */
static void shards_take_one_socket_each(void **state)
{
    (void)state;
    for (uint32_t count = 1; count <= 3; count++) {
        for (uint32_t may_hand_over = 0; may_hand_over < 2; may_hand_over++) {
            struct hw *hw = hw_create(false);
            struct spate_error error = {""};
            int fds[3];
            for (uint32_t i = 0; i < count; i++)
                fds[i] = bound_socket(hw, true);
            struct hw_server *server = hw_make_server(hw, 2, may_hand_over != 0 ? NULL : plain);
            if (listen_on(server, fds, count, &error) != 0)
                fail_msg("%s", error.text);
            hw_connect(hw, 8, server);
            hw_move_and_send(hw, 0, 8, server, 3);
            assert_int_equal(hw_stats(server).strays_out, 0);
            assert_int_equal(hw_socket_count(hw), count == 1 ? 2 : count);
            owned_end_all();
        }
    }
}

/* A supervisor keeps its sockets: after the server has ended, the next one gets them. */
static void a_server_that_is_started_again_has_the_same_sockets(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    int fds[2] = {bound_socket(hw, true), bound_socket(hw, true)};
    struct spate_error error = {""};
    for (uint32_t i = 0; i < 3; i++) {
        struct hw_server *server = hw_make_server(hw, 2, NULL);
        assert_int_equal(listen_on(server, fds, 2, &error), 0);
        hw_connect(hw, 4, server);
        hw_move_and_send(hw, 4 * i, 4 * i + 4, server, 1);
        assert_int_equal(hw_socket_count(hw), 2);
        hw_kill(server);
    }
}

static void inherited_sockets_are_handed_over_too(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    int fds[4] = {bound_socket(hw, true), bound_socket(hw, true), bound_socket(hw, true),
                  bound_socket(hw, true)};
    struct spate_error error = {""};
    struct hw_server *a = hw_make_server(hw, 2, NULL);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    assert_int_equal(listen_on(a, fds, 4, &error), 0);
    hw_connect(hw, 4, a);
    hw_hand_over(a, b);
    assert_int_equal(hw_socket_count(hw), 4); /* it uses those that were nobody's */
    hw_connect(hw, 4, b);
    hw_move_and_send(hw, 0, 4, a, 2);
    hw_move_and_send(hw, 4, 8, b, 2);
}

static void what_cannot_be_listened_on_has_one_line(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    int shared = bound_socket(hw, true);
    int peer = bound_socket(hw, true);
    hw->w.address = pw_loopback(false, 0, &hw->w.address_size);
    int elsewhere = bound_socket(hw, true);
    hw->w.address = pw_loopback(false, 0, &hw->w.address_size);
    int alone = bound_socket(hw, false);
    int null = owned_fd(open("/dev/null", O_RDONLY | O_CLOEXEC));
    int unbound = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    const struct {
        int fds[2];
        uint32_t count;
        uint32_t shard_count;
        bool may_hand_over;
        int result;
        const char *text;
    } cases[] = {
        {{-1}, 1, 1, false, -EBADF, "descriptor -1 is not open"},
        {{null}, 1, 1, false, -ENOTSOCK, "is not a socket"},
        {{unbound}, 1, 1, false, -EINVAL, "is not bound to a port"},
        {{alone}, 1, 2, false, -EINVAL, "has no SO_REUSEPORT"},
        {{alone}, 1, 1, true, -EINVAL, "has no SO_REUSEPORT"},
        {{shared, elsewhere}, 2, 2, false, -EINVAL, "are not bound to one address"},
        {{shared, null}, 2, 2, false, -ENOTSOCK, "is not a socket"},
        {{shared, peer}, 2, 1, false, -EINVAL, "2 inherited descriptors for one shard"},
        {{shared}, 0, 1, false, -EINVAL, "0 inherited descriptors, must be 1 to 192"},
        {{shared}, 193, 1, false, -EINVAL, "193 inherited descriptors, must be 1 to 192"},
    };
    for (uint32_t i = 0; i < QT_COUNT(cases); i++) {
        struct spate_error error = {""};
        struct hw_server *server =
            hw_make_server(hw, cases[i].shard_count, cases[i].may_hand_over ? NULL : plain);
        int result = listen_on(server, cases[i].fds, cases[i].count, &error);
        if (result != cases[i].result || strstr(error.text, cases[i].text) == NULL)
            fail_msg("case %u: %d, \"%s\"", i, result, error.text);
        hw_kill(server);
        hw->server_count--;
    }
}

/* ---- the environment ---- */

static void set(const char *pid, const char *count, const char *names)
{
    static const char *const variables[] = {"LISTEN_PID", "LISTEN_FDS", "LISTEN_FDNAMES"};
    const char *const values[] = {pid, count, names};
    for (uint32_t i = 0; i < 3; i++)
        assert_int_equal(
            values[i] != NULL ? setenv(variables[i], values[i], 1) : unsetenv(variables[i]), 0);
}

static void the_environment_is_read_as_systemd_writes_it(void **state)
{
    (void)state;
    char own[16];
    (void)snprintf(own, sizeof(own), "%d", (int)getpid());
    const struct {
        const char *pid;
        const char *count;
        const char *names;
        const char *wanted;
        int result;
        int first;
        const char *text;
    } cases[] = {
        {NULL, NULL, NULL, NULL, 0, 0, ""},
        {own, NULL, NULL, NULL, 0, 0, ""},
        {NULL, "1", NULL, NULL, 0, 0, ""},
        {"1", "2", NULL, NULL, 0, 0, ""},
        {own, "0", NULL, NULL, 0, 0, ""},
        {own, "2", NULL, NULL, 2, 3, ""},
        {own, "2", "web:game", "game", 1, 4, ""},
        {own, "3", "a:b:a", "a", 2, 3, ""},
        {own, "2", "a:b", "c", 0, 0, ""},
        {own, "2", ":b", "", 1, 3, ""},
        {own, "2", "ab:abc", "abc", 1, 4, ""},
        {own, "2", "a", "a", -EINVAL, 0, "LISTEN_FDNAMES has 1 names for 2 sockets"},
        {own, "2", NULL, "a", -EINVAL, 0, "LISTEN_FDNAMES has 0 names for 2 sockets"},
        {own, "3", NULL, NULL, 3, 3, ""},
        {own, "4", NULL, NULL, -E2BIG, 0, "LISTEN_FDS: more than 3 sockets"},
        {own, "", NULL, NULL, -EINVAL, 0, "LISTEN_FDS is not a number"},
        {own, "-1", NULL, NULL, -EINVAL, 0, "LISTEN_FDS is not a number"},
        {own, "2x", NULL, NULL, -EINVAL, 0, "LISTEN_FDS is not a number"},
        {own, "1025", NULL, NULL, -EINVAL, 0, "LISTEN_FDS is not a number up to 1024"},
        {own, "99999999999999999999", NULL, NULL, -EINVAL, 0, "LISTEN_FDS is not a number"},
        {"x", "1", NULL, NULL, -EINVAL, 0, "LISTEN_PID is not a number"},
    };
    int kept[4];
    for (int i = 0; i < 4; i++) {
        kept[i] = fcntl(3 + i, F_DUPFD_CLOEXEC, 100); /* -1: it is not open */
        assert_int_equal(dup2(STDERR_FILENO, 3 + i), 3 + i);
    }
    for (uint32_t i = 0; i < QT_COUNT(cases); i++) {
        int fds[3] = {0};
        struct spate_error error = {""};
        set(cases[i].pid, cases[i].count, cases[i].names);
        int result = spate_inherited_sockets(cases[i].wanted, fds, 3, &error);
        if (result != cases[i].result || strstr(error.text, cases[i].text) == NULL ||
            (result > 0 && fds[0] != cases[i].first))
            fail_msg("case %u: %d, %d, \"%s\"", i, result, fds[0], error.text);
    }
    assert_int_not_equal(fcntl(4, F_GETFD) & FD_CLOEXEC, 0);
    (void)close(4);
    set(own, "2", NULL);
    struct spate_error error = {""};
    int fds[3];
    assert_int_equal(spate_inherited_sockets(NULL, fds, 3, &error), -EBADF);
    assert_string_equal(error.text, "LISTEN_FDS: descriptor 4 is not open");
    set(NULL, NULL, NULL);
    for (int i = 0; i < 4; i++) {
        (void)close(3 + i);
        if (kept[i] >= 0) {
            assert_int_equal(dup2(kept[i], 3 + i), 3 + i);
            (void)close(kept[i]);
        }
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, the_environment_is_read_as_systemd_writes_it),
        QT_TEST(owned, one_shard_serves_an_inherited_socket),
        QT_TEST(owned, what_waited_in_the_socket_is_served),
        QT_TEST(owned, shards_take_one_socket_each),
        QT_TEST(owned, a_server_that_is_started_again_has_the_same_sockets),
        QT_TEST(owned, inherited_sockets_are_handed_over_too),
        QT_TEST(owned, what_cannot_be_listened_on_has_one_line),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
