/* SPDX-License-Identifier: MIT */
/* Engines that replace each other at one port, while clients begin, send and change their
 * addresses: nothing gets lost, and nobody is refused. */

#include "test/support/hand_over_world.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/net/handover_wire.h"
#include "engine/shard/shard.h"

enum { MANY = 24 }; /* addresses */

static void old_connections_stay_and_new_ones_come_to_the_new_engine(void **state)
{
    (void)state;
    for (uint32_t is_v6 = 0; is_v6 < 2; is_v6++) {
        struct hw *hw = hw_create(is_v6 != 0);
        struct hw_server *a = hw_begin(hw, 2, 8, NULL);
        struct hw_server *b = hw_make_server(hw, 2, NULL);
        hw_move_and_send(hw, 0, 8, a, 3);
        hw_hand_over(a, b);
        hw_connect(hw, 8, b);
        assert_int_equal(a->connected, 8);
        hw_move_and_send(hw, 0, 8, a, 3);
        hw_move_and_send(hw, 8, 16, b, 3);
        hw_assert_in_order(a);
        hw_assert_in_order(b);
        owned_end_all();
    }
}

/* A -> B -> C, with different numbers of shards, while A and B still serve. */
static void engines_in_a_chain_all_keep_their_connections(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *servers[4];
    static const uint32_t shards[4] = {2, 1, 2, 1};
    servers[0] = hw_begin(hw, shards[0], 6, NULL);
    for (uint32_t i = 1; i < 4; i++) {
        servers[i] = hw_make_server(hw, shards[i], NULL);
        hw_hand_over(servers[i - 1], servers[i]);
        hw_connect(hw, 6, servers[i]);
        for (uint32_t each = 0; each <= i; each++)
            hw_move_and_send(hw, each * 6, each * 6 + 6, servers[each], 2);
    }
    for (uint32_t i = 0; i < 4; i++)
        hw_assert_in_order(servers[i]);
}

/* The engine in the middle ends before the first one: the last one still sees both ends. */
static void an_engine_sees_the_end_of_all_before_it(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_begin(hw, 1, 2, NULL);
    struct hw_server *b = hw_make_server(hw, 1, NULL);
    struct hw_server *c = hw_make_server(hw, 1, NULL);
    hw_hand_over(a, b);
    hw_connect(hw, 2, b);
    hw_hand_over(b, c);
    hw_connect(hw, 2, c);
    hw_kill(b);
    hw_for(hw, 250 * HW_MS);
    hw_send_if_open(hw, 2, 4);
    hw_until_closed(hw, 2);
    hw_move_and_send(hw, 0, 2, a, 2);
    hw_kill(a);
    hw_for(hw, 250 * HW_MS);
    hw_send_if_open(hw, 0, 2);
    hw_until_closed(hw, 4);
    assert_int_equal(hw->w.client.close.kind, SPATE_CLOSE_STATELESS_RESET);
    assert_int_equal(hw_stats(c).strays_of_others, 0);
    hw_move_and_send(hw, 4, 6, c, 2);
}

/* Also by an engine with fewer shards, whose shard 0 answers for the old one's shard 1. */
static void connections_of_an_engine_that_dies_are_reset_by_the_next(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_begin(hw, 2, 8, NULL);
    struct hw_server *b = hw_make_server(hw, 1, NULL);
    hw_assert_dead_is_answered_for(hw, a, b);
}

static void sockets_of_ended_engines_are_used_again(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *before = hw_begin(hw, 2, 1, NULL);
    for (uint32_t i = 0; i < 3; i++) {
        struct hw_server *next = hw_make_server(hw, 2, NULL);
        hw_hand_over(before, next);
        hw_connect(hw, 1, next);
        hw_move_and_send(hw, i, i + 1, before, 1);
        hw_kill(before);
        assert_int_equal(hw_socket_count(hw), 4);
        hw_for(hw, 2300 * HW_MS); /* for so long its ring might read */
        before = next;
    }
    hw_connect(hw, 4, before);
    hw_move_and_send(hw, 4, 8, before, 3);
    assert_int_equal(hw_stats(before).strays_out, 0);
    hw_kill(before);
    assert_int_equal(hw_socket_count(hw), 0);
}

/* A handshake that has begun at the old engine ends there, although that shuts down. */
static void handshakes_in_flight_are_not_refused(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_begin(hw, 2, 1, NULL);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    struct hw_client *client = &hw->clients[hw->client_count++];
    client->relay = pw_relay_create(&hw->w);
    client->conn = pw_connect_through(&hw->w, client->relay);
    client->relay->drops_to_client = true;
    uint64_t accepted = hw_stats(a).conns_accepted;
    for (uint32_t i = 0; i < 1000 && hw_stats(a).conns_accepted == accepted; i++)
        hw_turn(hw);
    assert_int_equal(hw_stats(a).conns_accepted, accepted + 1);

    hw_hand_over(a, b);
    hw_shut_down(a, 20000 * HW_MS);
    hw_for(hw, 5 * HW_MS);
    client->relay->drops_to_client = false;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (a->connected + b->connected < 2 && pw_now_ns() < end_ns)
        hw_turn(hw);
    assert_int_equal(a->connected + b->connected, 2);
    assert_int_equal(hw->w.client.closed_count, 0);
    hw_connect(hw, 4, b);
    hw_move_and_send(hw, 0, 1, a, 2);
    assert_int_equal(hw_stats(a).conns_refused + hw_stats(b).conns_refused, 0);
}

/* The first packets of `count` clients wait in the sockets of the server. */
static void connect_unread(struct hw *hw, uint32_t count)
{
    for (uint32_t i = 0; i < count; i++) {
        struct hw_client *client = &hw->clients[hw->client_count++];
        client->relay = pw_relay_create(&hw->w);
        client->conn = pw_connect_through(&hw->w, client->relay);
    }
    pw_wait(&hw->w.client, 0);
    pw_wait(&hw->w.client, 0);
    for (uint32_t i = 0; i < count; i++)
        pw_relay_pass(hw->clients[i].relay);
}

/* First packets that the kernel has queued for the old engine before the hand-over are accepted
 * there after it, although the engine has no connection and shuts down at once. */
static void first_packets_in_the_old_sockets_are_accepted(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_make_server(hw, 2, NULL);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    hw_listen(a);
    connect_unread(hw, 8);
    hw_hand_over(a, b);
    hw_shut_down(a, 20000 * HW_MS);
    uint64_t start_ns = pw_now_ns();
    hw_until(hw, &a->connected, 8);
    assert_true(pw_now_ns() - start_ns < 900 * HW_MS); /* before the first one is sent again */
    assert_int_equal(b->connected, 0);
    assert_int_equal(hw->w.client.closed_count, 0);
}

/* Those that such an engine finds when its time to end has come go to the new one, which takes them
 * when they are sent again. */
static void first_packets_are_not_refused_by_an_engine_that_ends(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_make_server(hw, 2, NULL);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    hw_listen(a);
    connect_unread(hw, 8);
    hw_hand_over(a, b);
    hw_shut_down(a, 0);
    hw_until(hw, &a->shut_down, 2);
    assert_int_equal(hw_stats(a).strays_of_others, 8);
    hw_kill(a);
    hw_until(hw, &b->connected, 8);
    assert_int_equal(hw->w.client.closed_count, 0);
}

static void an_engine_that_was_replaced_ends_when_its_connections_have(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_begin(hw, 2, 4, NULL);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    hw_hand_over(a, b);
    hw_shut_down(a, 20000 * HW_MS);
    hw_for(hw, 300 * HW_MS);
    hw_move_and_send(hw, 0, 4, a, 1);
    assert_int_equal(a->closed, 0);
    for (uint32_t i = 0; i < 4; i++)
        spate_conn_close(hw->clients[i].conn, 0, NULL);
    hw_until(hw, &a->shut_down, 2);
    assert_int_equal(a->closed, 4);
    assert_int_equal(b->connected, 0);
}

static void retry_always(struct spate_config *config)
{
    config->retry = SPATE_RETRY_ALWAYS;
}

/* Tokens of the old engine's Retry packets come back to the new one. */
static void tokens_of_the_old_engine_are_good_at_the_new_one(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_make_server(hw, 2, retry_always);
    struct hw_server *b = hw_make_server(hw, 2, retry_always);
    hw_assert_retries_go_on(hw, a, b, 6);
}

/* Another program of the kernel gives the new engine the packets of the old one's connections. */
static void packets_of_the_other_engine_are_never_answered(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_begin(hw, 1, 4, NULL);
    struct hw_server *b = hw_make_server(hw, 1, NULL);
    hw_assert_others_are_not_answered(hw, a, b);
}

/* An offer may be larger than what a channel holds at a time. */
static void an_offer_waits_for_room_in_the_channel(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_make_server(hw, 1, NULL);
    struct hw_server *b = hw_make_server(hw, 1, NULL);
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    int least = 0;
    hw_listen(a);
    for (uint32_t i = 0; i < MANY; i++) {
        struct spate_listener *more;
        socklen_t size;
        struct sockaddr_storage any = pw_loopback(false, 0, &size);
        assert_int_equal(spate_shard_listen(a->shards[0], (struct sockaddr *)&any, size,
                                            hw->w.server.tls, NULL, &more, NULL),
                         0);
    }
    assert_int_equal(setsockopt(channel.old_end, SOL_SOCKET, SO_SNDBUF, &least, sizeof(least)), 0);
    struct hw_giver *giver = hw_give(a, channel.old_end);
    if (spate_engine_take_over(b->engine, channel.new_end, 5000 * HW_MS, &error) != 0)
        fail_msg("%s", error.text);
    hw_kill(b);
    hw_channel_end(&channel);
    assert_int_equal(hw_given(giver, NULL), -ECONNRESET);
}

/* The other process does not read: nobody but the one who offers waits for it. */
static void shards_do_not_wait_for_the_room_of_an_offer(void **state)
{
    (void)state;
    static const uint8_t hello[] = {'S', 'P', 'H', 'O', SE_HANDOVER_VERSION, SE_HANDOVER_HELLO};
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_begin(hw, 2, 0, NULL);
    struct hw_channel channel = hw_channel_create();
    assert_int_equal(send(channel.new_end, hello, sizeof(hello), 0), sizeof(hello));
    while (send(channel.old_end, "x", 1, MSG_DONTWAIT) == 1)
        continue;
    struct hw_giver *giver = hw_give(a, channel.old_end);
    struct se_shared_ports *ports = a->shards[0]->handover->ports;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS, longest_ns = 0;
    bool was_offered = false, is_offered = false;
    while (!was_offered || is_offered) {
        uint64_t start_ns = pw_now_ns();
        assert_true(start_ns < end_ns);
        assert_int_equal(pthread_mutex_lock(&ports->lock), 0); /* as a shard that closes a socket */
        is_offered = ports->state == SE_SHARED_OFFERED;
        (void)pthread_mutex_unlock(&ports->lock);
        uint64_t took_ns = pw_now_ns() - start_ns;
        longest_ns = took_ns > longest_ns ? took_ns : longest_ns;
        was_offered |= is_offered;
        (void)usleep(1000);
    }
    assert_int_equal(hw_given(giver, NULL), -ETIMEDOUT);
    assert_true(longest_ns < 500 * HW_MS);
    hw_channel_end(&channel);
}

static void listeners_cannot_be_added_after_it(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_begin(hw, 2, 2, NULL);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    struct spate_listener *listener;
    struct spate_error error = {""};
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(false, 0, &size);
    hw_hand_over(a, b);
    assert_int_equal(spate_shard_listen(a->shards[0], (struct sockaddr *)&any, size,
                                        hw->w.server.tls, NULL, &listener, &error),
                     -ESHUTDOWN);
    assert_string_equal(error.text, "another process has taken over the sockets");
    struct hw_channel channel = hw_channel_create();
    assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 0, &error), -EALREADY);
    hw_channel_end(&channel);
    /* A closed listener gives its socket up, and nobody is disturbed. */
    spate_listener_close(a->listeners[1]);
    hw_for(hw, 50 * HW_MS);
    hw_move_and_send(hw, 0, 2, a, 2);
    hw_connect(hw, 2, b);
}

struct folder {
    char path[32];
    char socket[64]; /* in it */
    mode_t umask;
};

static void end_folder(void *object)
{
    struct folder *folder = object;
    (void)umask(folder->umask);
    (void)unlink(folder->socket);
    (void)rmdir(folder->path);
}

static struct folder *make_folder(void)
{
    struct folder *folder = owned_alloc(sizeof(*folder));
    strcpy(folder->path, "/tmp/spate-hand-over-XXXXXX");
    assert_non_null(mkdtemp(folder->path));
    (void)snprintf(folder->socket, sizeof(folder->socket), "%s/next", folder->path);
    folder->umask = umask(0);
    return owned_add(folder, end_folder);
}

/* Asserts that what `fd` sends comes to the process that listens. */
static void assert_connected(int listening, int fd)
{
    char byte = 0;
    int accepted = owned_fd(accept4(listening, NULL, NULL, SOCK_CLOEXEC));
    assert_int_equal(send(fd, "x", 1, 0), 1);
    assert_int_equal(recv(accepted, &byte, 1, 0), 1);
    assert_int_equal(byte, 'x');
}

static void processes_of_one_user_find_each_other_at_a_path(void **state)
{
    (void)state;
    struct folder *folder = make_folder();
    struct spate_error error = {""};
    struct stat status;
    assert_int_equal(spate_hand_over_connect(folder->socket, &error), -ENOENT);
    assert_non_null(strstr(error.text, folder->socket));
    int old = spate_hand_over_listen(folder->socket, &error);
    assert_true(old >= 0);
    assert_int_equal(fcntl(old, F_GETFD), FD_CLOEXEC);
    assert_int_equal(stat(folder->socket, &status), 0);
    assert_int_equal(status.st_mode, S_IFSOCK | S_IRUSR | S_IWUSR); /* whatever the umask */
    int channel = owned_fd(spate_hand_over_connect(folder->socket, &error));
    assert_int_equal(fcntl(channel, F_GETFD), FD_CLOEXEC);
    assert_connected(old, channel);
    /* The next process takes the path. */
    int next = owned_fd(spate_hand_over_listen(folder->socket, &error));
    assert_connected(next, owned_fd(spate_hand_over_connect(folder->socket, NULL)));
    (void)close(old);
    assert_connected(next, owned_fd(spate_hand_over_connect(folder->socket, NULL)));
}

static void a_path_whose_process_has_died_is_free(void **state)
{
    (void)state;
    struct folder *folder = make_folder();
    int dead = spate_hand_over_listen(folder->socket, NULL);
    assert_true(dead >= 0);
    (void)close(dead);
    assert_int_equal(access(folder->socket, F_OK), 0);
    assert_int_equal(spate_hand_over_connect(folder->socket, NULL), -ENOENT);
    int next = owned_fd(spate_hand_over_listen(folder->socket, NULL));
    assert_connected(next, owned_fd(spate_hand_over_connect(folder->socket, NULL)));
}

/* Renames a file over `path` again and again, and removes it: nobody else may. */
struct rival {
    pthread_t thread;
    const char *path;
    _Atomic bool is_over;
    uint32_t deleted_count;
    uint32_t back_count;
};

static void *rename_files(void *argument)
{
    struct rival *rival = argument;
    char own[80];
    (void)snprintf(own, sizeof(own), "%s.own", rival->path);
    while (!rival->is_over) {
        struct stat status = {0}, there;
        int fd = open(own, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
        (void)usleep(50);
        bool is_there = fd >= 0 && rename(own, rival->path) == 0;
        for (uint32_t i = 0; i < 100 && is_there; i++)
            is_there = fstat(fd, &status) == 0 && status.st_nlink > 0;
        rival->deleted_count += !is_there;
        rival->back_count += lstat(rival->path, &there) == 0 && there.st_ino == status.st_ino;
        (void)unlink(rival->path);
        (void)close(fd);
    }
    (void)unlink(own);
    return NULL;
}

static void run_beside(void *(*function)(void *), struct rival *rival, const char *path)
{
    *rival = (struct rival){.path = path};
    assert_int_equal(pthread_create(&rival->thread, NULL, function, rival), 0);
}

static void end_rival(struct rival *rival)
{
    rival->is_over = true;
    assert_int_equal(pthread_join(rival->thread, NULL), 0);
}

static uint32_t count_entries(const char *path)
{
    uint32_t count = 0;
    DIR *folder = opendir(path);
    assert_non_null(folder);
    while (readdir(folder) != NULL)
        count++;
    (void)closedir(folder);
    return count - 2; /* "." and ".." */
}

/* Returns how often the name was free, of what an inotify descriptor has to say. */
static uint32_t count_deletions(int watch, const char *name)
{
    _Alignas(struct inotify_event) char data[4096];
    uint32_t count = 0;
    for (ssize_t size; (size = read(watch, data, sizeof(data))) > 0;)
        for (char *at = data; at < data + size;) {
            const struct inotify_event *event = (const void *)at;
            count += strcmp(event->name, name) == 0;
            at += sizeof(*event) + event->len;
        }
    return count;
}

static void a_path_always_has_a_socket(void **state)
{
    (void)state;
    struct folder *folder = make_folder();
    int before = owned_fd(spate_hand_over_listen(folder->socket, NULL));
    int watch = owned_fd(inotify_init1(IN_NONBLOCK | IN_CLOEXEC));
    assert_true(inotify_add_watch(watch, folder->path, IN_DELETE) >= 0);
    assert_true(before >= 0);
    for (uint32_t i = 0; i < 3; i++) {
        int next = owned_fd(spate_hand_over_listen(folder->socket, NULL));
        assert_connected(next, owned_fd(spate_hand_over_connect(folder->socket, NULL)));
        assert_int_equal(count_entries(folder->path), 1);
    }
    assert_int_equal(count_deletions(watch, "next"), 0);
}

/* Somebody else puts a file there after it was looked whether there is one. */
static void a_file_that_comes_at_the_last_moment_stays(void **state)
{
    (void)state;
    struct folder *folder = make_folder();
    struct rival rival;
    uint32_t made = 0, refused = 0;
    run_beside(rename_files, &rival, folder->socket);
    for (uint32_t i = 0; i < 5000; i++) {
        int fd = spate_hand_over_listen(folder->socket, NULL);
        made += fd >= 0;
        refused += fd == -EEXIST;
        if (fd >= 0)
            (void)close(fd);
    }
    end_rival(&rival);
    print_message("listened %u times, refused %u times\n", made, refused);
    assert_int_equal(made + refused, 5000);
    assert_int_equal(rival.deleted_count, 0);
}

/* A name beside it is no longer than it may be. */
static void the_longest_path_can_be_listened_at(void **state)
{
    (void)state;
    struct folder *folder = make_folder();
    for (size_t left = 1; left < 20; left++) { /* bytes of the socket's own name */
        char path[sizeof(((struct sockaddr_un *)NULL)->sun_path)] = {0};
        size_t size = (size_t)snprintf(path, sizeof(path), "%s", folder->path);
        while (size < sizeof(path) - 1)
            path[size++] = '/';
        memset(path + sizeof(path) - 1 - left, 'x', left);
        for (int i = 0; i < 20; i++) {
            int fd = owned_fd(spate_hand_over_listen(path, NULL));
            assert_connected(fd, owned_fd(spate_hand_over_connect(path, NULL)));
        }
        assert_int_equal(count_entries(folder->path), 1);
        assert_int_equal(unlink(path), 0);
    }
}

/* The queue of a listening socket has an end, where connect() waits. */
static void a_process_that_accepts_nobody_holds_nobody_up(void **state)
{
    (void)state;
    struct folder *folder = make_folder();
    struct spate_error error = {""};
    int busy = owned_fd(spate_hand_over_listen(folder->socket, NULL));
    assert_true(busy >= 0);
    int result = 0;
    (void)alarm(30);
    for (uint32_t i = 0; i < 8 && result == 0; i++) {
        int channel = spate_hand_over_connect(folder->socket, &error);
        result = channel >= 0 ? 0 : channel;
        if (channel >= 0)
            (void)owned_fd(channel);
    }
    (void)alarm(0);
    assert_int_equal(result, -ETIMEDOUT);
    assert_non_null(strstr(error.text, folder->socket));
}

static void bad_paths_are_refused_and_files_stay(void **state)
{
    (void)state;
    struct folder *folder = make_folder();
    struct spate_error error;
    char longest[sizeof(((struct sockaddr_un *)NULL)->sun_path) + 1] = {0};
    memset(longest, 'x', sizeof(longest) - 1);
    const struct {
        const char *path;
        int result;
    } bad[] = {{NULL, -EINVAL}, {"", -EINVAL}, {longest, -ENAMETOOLONG}};
    for (uint32_t i = 0; i < 3; i++) {
        error.text[0] = 0;
        assert_int_equal(spate_hand_over_connect(bad[i].path, &error), bad[i].result);
        assert_true(error.text[0] != 0);
        error.text[0] = 0;
        assert_int_equal(spate_hand_over_listen(bad[i].path, &error), bad[i].result);
        assert_true(error.text[0] != 0);
    }
    int file = owned_fd(open(folder->socket, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
    assert_int_equal(write(file, "x", 1), 1);
    assert_int_equal(spate_hand_over_listen(folder->socket, &error), -EEXIST);
    assert_int_equal(access(folder->socket, F_OK), 0);
    assert_int_equal(spate_hand_over_connect(folder->socket, &error), -ENOENT);
    (void)snprintf(longest, sizeof(longest), "%s/no/next", folder->path);
    assert_int_equal(spate_hand_over_listen(longest, &error), -ENOENT);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, old_connections_stay_and_new_ones_come_to_the_new_engine),
        QT_TEST(owned, engines_in_a_chain_all_keep_their_connections),
        QT_TEST(owned, an_engine_sees_the_end_of_all_before_it),
        QT_TEST(owned, connections_of_an_engine_that_dies_are_reset_by_the_next),
        QT_TEST(owned, sockets_of_ended_engines_are_used_again),
        QT_TEST(owned, handshakes_in_flight_are_not_refused),
        QT_TEST(owned, first_packets_in_the_old_sockets_are_accepted),
        QT_TEST(owned, first_packets_are_not_refused_by_an_engine_that_ends),
        QT_TEST(owned, an_engine_that_was_replaced_ends_when_its_connections_have),
        QT_TEST(owned, tokens_of_the_old_engine_are_good_at_the_new_one),
        QT_TEST(owned, packets_of_the_other_engine_are_never_answered),
        QT_TEST(owned, an_offer_waits_for_room_in_the_channel),
        QT_TEST(owned, shards_do_not_wait_for_the_room_of_an_offer),
        QT_TEST(owned, listeners_cannot_be_added_after_it),
        QT_TEST(owned, processes_of_one_user_find_each_other_at_a_path),
        QT_TEST(owned, a_path_whose_process_has_died_is_free),
        QT_TEST(owned, a_path_always_has_a_socket),
        QT_TEST(owned, a_file_that_comes_at_the_last_moment_stays),
        QT_TEST(owned, the_longest_path_can_be_listened_at),
        QT_TEST(owned, a_process_that_accepts_nobody_holds_nobody_up),
        QT_TEST(owned, bad_paths_are_refused_and_files_stay),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
