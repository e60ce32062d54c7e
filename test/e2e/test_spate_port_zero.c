/* SPDX-License-Identifier: MIT */
/* Port 0 in a network of our own that has two ports, one of which another program shares: it must
 * not be chosen.  Skipped where we may not have such a network. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <sched.h>
#include <string.h>
#include <sys/ioctl.h>
#include <unistd.h>

enum {
    SHARDS = 2,
    FOREIGN_PORT = 40000, /* the kernel prefers none of the two */
    FREE_PORT = 40001,
    ROUNDS = 12, /* it would be chosen in none of them: once in 4,096 runs */
    SKIPPED = 77,
};

static bool write_text(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    ssize_t size = fd < 0 ? -1 : write(fd, text, strlen(text));
    if (fd >= 0)
        (void)close(fd);
    return size == (ssize_t)strlen(text);
}

static bool make_network(void)
{
    if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0)
        return false;
    struct ifreq loopback = {.ifr_name = "lo", .ifr_flags = IFF_UP};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    bool is_up = fd >= 0 && ioctl(fd, SIOCSIFFLAGS, &loopback) == 0;
    if (fd >= 0)
        (void)close(fd);
    return is_up && write_text("/proc/sys/net/ipv4/ip_local_port_range", "40000 40001");
}

static void a_port_that_others_share_is_not_chosen(void **state)
{
    (void)state;
    int one = 1;
    int fd = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    socklen_t size;
    struct sockaddr_storage foreign = pw_loopback(false, FOREIGN_PORT, &size);
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &one, sizeof(one)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&foreign, size), 0);

    struct pw *w = owned_alloc(sizeof(*w));
    (void)owned_add(w, pw_deinit);
    pw_make_tls(w);
    for (int round = 0; round < ROUNDS; round++) {
        struct spate_config config;
        struct spate_engine *engine;
        struct spate_engine_listener *listener;
        struct sockaddr_storage any = pw_loopback(false, 0, &size);
        struct spate_error error = {""};
        const struct spate_listen_options options = {.size = sizeof(options),
                                                     .address = (struct sockaddr *)&any,
                                                     .address_size = size,
                                                     .tls = w->server.tls};
        spate_config_init(&config);
        config.backend = pw_backend();
        config.shard_count = SHARDS;
        assert_int_equal(spate_engine_create(&config, &engine, NULL), 0);
        int result = spate_engine_listen(engine, &options, &listener, &error);
        if (result == 0)
            result = spate_engine_listener_address(listener, &any, &size);
        spate_engine_destroy(engine);
        if (result != 0)
            fail_msg("%s", error.text);
        assert_int_equal(ntohs(((struct sockaddr_in *)&any)->sin_port), FREE_PORT);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_port_that_others_share_is_not_chosen),
    };
    if (!make_network())
        return SKIPPED;
    return cmocka_run_group_tests(tests, NULL, NULL);
}
