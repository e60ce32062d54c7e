/* SPDX-License-Identifier: MIT */
/* Hand-overs that fail: by processes that die, that are silent, and that are no spate.  The other
 * side has one line about it, and goes on as before. */

#include "test/support/hand_over_world.h"

#include <errno.h>
#include <string.h>
#include <unistd.h>

#include "engine/net/handover.h"
#include "engine/shard/shard.h"

#define MS      UINT64_C(1000000)
#define WAIT_NS (100 * MS)

enum { HELLO = 1, KEYS, GROUP, TAKE, GO, TAKEN, REFUSED, MESSAGE_MAX = 1024 };

/* The test plays a process: it sends a message of its own. */
static void say(int fd, const void *data, size_t size, const int *fds, uint32_t fd_count)
{
    char control[CMSG_SPACE(sizeof(int) * 16)] = {0};
    struct iovec part = {.iov_base = (void *)(uintptr_t)data, .iov_len = size};
    struct msghdr header = {.msg_iov = &part, .msg_iovlen = 1};
    if (fd_count > 0) {
        header.msg_control = control;
        header.msg_controllen = CMSG_SPACE(sizeof(int) * fd_count);
        struct cmsghdr *cmsg = CMSG_FIRSTHDR(&header);
        cmsg->cmsg_level = SOL_SOCKET;
        cmsg->cmsg_type = SCM_RIGHTS;
        cmsg->cmsg_len = CMSG_LEN(sizeof(int) * fd_count);
        memcpy(CMSG_DATA(cmsg), fds, sizeof(int) * fd_count);
    }
    assert_int_equal(sendmsg(fd, &header, MSG_NOSIGNAL), size);
}

static void say_kind(int fd, uint8_t kind)
{
    const uint8_t message[] = {'S', 'P', 'H', 'O', 1, kind};
    say(fd, message, sizeof(message), NULL, 0);
}

/* Takes a message of the library without its descriptors, and asserts its kind. */
static size_t hear(int fd, uint8_t kind, uint8_t ret[MESSAGE_MAX])
{
    ssize_t size = recv(fd, ret, MESSAGE_MAX, 0);
    assert_true(size >= 6);
    assert_memory_equal(ret, "SPHO\1", 5);
    assert_int_equal(ret[5], kind);
    return (size_t)size;
}

static struct hw_server *begin(struct hw *hw, uint32_t clients)
{
    struct hw_server *server = hw_make_server(hw, 2, NULL);
    hw_listen(server);
    hw_connect(hw, clients, server);
    return server;
}

/* A hand-over that works, and what shows that nothing of earlier attempts was left. */
static void assert_goes_on(struct hw *hw, struct hw_server *a)
{
    uint32_t before = hw->client_count;
    hw_connect(hw, 4, a);
    hw_move_and_send(hw, 0, before + 4, a, 1);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    hw_hand_over(a, b);
    hw_connect(hw, 4, b);
    hw_move_and_send(hw, 0, before + 4, a, 1);
    hw_move_and_send(hw, before + 4, before + 8, b, 1);
    assert_int_equal(hw_stats(a).stateless_resets + hw_stats(b).stateless_resets, 0);
    assert_int_equal(hw_stats(a).strays_out + hw_stats(b).strays_out, 0);
}

/* ---- the side that gives ---- */

static void a_silent_process_takes_no_time(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 2);
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    uint64_t start_ns = pw_now_ns();
    assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 0, &error), -EAGAIN);
    assert_true(pw_now_ns() - start_ns < 50 * MS);
    assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 20 * MS, &error), -EAGAIN);
    assert_true(pw_now_ns() - start_ns >= 20 * MS);
    say_kind(channel.new_end, HELLO);
    assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 0, &error), -EAGAIN);
    assert_string_equal(error.text, "");
    /* Meanwhile it serves, but nothing joins its sockets. */
    struct spate_listener *listener;
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(false, 0, &size);
    assert_int_equal(spate_shard_listen(a->shards[0], (struct sockaddr *)&any, size,
                                        hw->w.server.tls, NULL, &listener, &error),
                     -EBUSY);
    hw_connect(hw, 2, a);
    hw_move_and_send(hw, 0, 4, a, 1);
    /* Another one takes its place. */
    assert_goes_on(hw, a);
    hw_channel_end(&channel);
}

static void what_is_no_hand_over_is_refused(void **state)
{
    (void)state;
    static const struct {
        const char *data;
        size_t size;
        int result;
        const char *text;
    } cases[] = {
        {"GET / HTTP/1.1", 14, -EPROTO, "something that is no message"},
        {"SPHO\1\1\0", 7, -EPROTO, "something that is no message"},
        {"SPHO\1\4", 6, -EPROTO, "sent message 4, but 1 is due"},
        {"SPHO\2\1", 6, -EPROTONOSUPPORT, "has version 2 of the hand-over, this one 1"},
        {"SPHO\1\7no certificate", 20, -ECONNREFUSED, "says: no certificate"},
        {"SPHO", 4, -EPROTO, "something that is no message"},
    };
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 2);
    for (uint32_t i = 0; i < QT_COUNT(cases); i++) {
        struct hw_channel channel = hw_channel_create();
        struct spate_error error = {""};
        say(channel.new_end, cases[i].data, cases[i].size, NULL, 0);
        assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, WAIT_NS, &error),
                         cases[i].result);
        assert_non_null(strstr(error.text, cases[i].text));
        uint8_t message[MESSAGE_MAX];
        if (cases[i].result != -ECONNREFUSED) /* the other side is told why */
            assert_true(hear(channel.new_end, REFUSED, message) > 20);
        hw_channel_end(&channel);
    }
    assert_goes_on(hw, a);
}

static void too_long_messages_and_stray_descriptors_are_refused(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 1);
    static const uint8_t huge[5000] = {'S', 'P', 'H', 'O', 1, HELLO};
    for (uint32_t i = 0; i < 2; i++) {
        struct hw_channel channel = hw_channel_create();
        struct spate_error error = {""};
        say(channel.new_end, huge, i == 0 ? sizeof(huge) : 6, &channel.new_end, i);
        assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, WAIT_NS, &error),
                         -EPROTO);
        assert_true(error.text[0] != 0);
        hw_channel_end(&channel);
    }
    assert_goes_on(hw, a);
}

/* At each step of the hand-over the new process dies. */
static void the_new_process_may_die_at_any_step(void **state)
{
    (void)state;
    static const uint8_t says[] = {HELLO, TAKE};
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 2);
    for (uint32_t steps = 0; steps <= QT_COUNT(says); steps++) {
        struct hw_channel channel = hw_channel_create();
        struct spate_error error = {""};
        for (uint32_t i = 0; i < steps; i++) {
            say_kind(channel.new_end, says[i]);
            assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 0, &error),
                             -EAGAIN);
        }
        (void)close(channel.new_end);
        channel.new_end = -1;
        assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, WAIT_NS, &error),
                         -ECONNRESET);
        assert_string_equal(error.text, "the other process has gone");
        hw_channel_end(&channel);
        hw_connect(hw, 1, a);
        hw_move_and_send(hw, 0, hw->client_count, a, 1);
    }
    assert_goes_on(hw, a);
}

/* It has listened already: its sockets were in the group. */
static void the_new_engine_may_die_before_it_finishes(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 4);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    struct hw_giver *giver = hw_give(a, channel.old_end);
    assert_int_equal(spate_engine_take_over(b->engine, channel.new_end, PW_PATIENCE_NS, &error), 0);
    hw_listen(b);
    hw_connect(hw, 2, a); /* all that is new still comes to the old one */
    assert_int_equal(b->connected, 0);
    hw_channel_end(&channel);
    hw_kill(b);
    assert_int_equal(hw_given(giver, &error), -ECONNRESET);
    assert_int_equal(hw_socket_count(hw), 2);
    assert_goes_on(hw, a);
}

static void a_socket_that_closes_meanwhile_keeps_its_place(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = hw_make_server(hw, 2, NULL);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    hw_listen(a);
    hw_for(hw, 5 * MS);
    struct hw_giver *giver = hw_give(a, channel.old_end);
    assert_int_equal(spate_engine_take_over(b->engine, channel.new_end, PW_PATIENCE_NS, &error), 0);
    spate_listener_close(a->listeners[0]);
    hw_for(hw, 50 * MS);
    hw_listen(b);
    assert_int_equal(spate_engine_take_over_finish(b->engine, PW_PATIENCE_NS, &error), 0);
    assert_int_equal(hw_given(giver, &error), 0);
    hw_channel_end(&channel);
    hw_connect(hw, 6, b);
    hw_move_and_send(hw, 0, 6, b, 2);
    assert_int_equal(hw_stats(b).strays_out, 0);
}

static void misuse_is_refused(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    struct hw_server *a = hw_make_server(hw, 1, NULL);
    assert_int_equal(spate_engine_hand_over(hw->w.client.engine, channel.old_end, 0, &error),
                     -EINVAL);
    assert_string_equal(error.text, "hand_over is not set in the configuration");
    assert_int_equal(spate_engine_take_over(hw->w.client.engine, channel.new_end, 0, &error),
                     -EINVAL);
    assert_int_equal(spate_engine_hand_over(a->engine, -1, 0, &error), -EBADF);
    assert_int_equal(spate_engine_hand_over(a->engine, pw_udp_socket(), 0, &error), -EPROTOTYPE);
    assert_int_equal(spate_engine_take_over(a->engine, pw_udp_socket(), 0, &error), -EPROTOTYPE);
    assert_int_equal(spate_engine_take_over_finish(a->engine, 0, &error), -EINVAL);
    assert_string_equal(error.text, "spate_engine_take_over() was not called");

    say_kind(channel.new_end, HELLO);
    assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 0, &error), -EINVAL);
    assert_string_equal(error.text, "nothing listens that could be handed over");
    hw_channel_end(&channel);

    hw_listen(a);
    channel = hw_channel_create();
    assert_int_equal(spate_engine_take_over(a->engine, channel.new_end, 0, &error), -EBUSY);
    struct hw_server *b = hw_make_server(hw, 1, NULL);
    struct hw_giver *giver = hw_give(a, channel.old_end);
    assert_int_equal(spate_engine_take_over(b->engine, channel.new_end, PW_PATIENCE_NS, &error), 0);
    assert_int_equal(spate_engine_take_over(b->engine, channel.new_end, WAIT_NS, &error),
                     -EALREADY);
    assert_int_equal(spate_engine_hand_over(b->engine, channel.new_end, 0, &error), -EBUSY);
    assert_int_equal(spate_engine_take_over_finish(b->engine, WAIT_NS, &error), -EINVAL);
    assert_non_null(strstr(error.text, "no shard listens"));
    hw_channel_end(&channel);
    hw_kill(b);
    assert_int_equal(hw_given(giver, NULL), -ECONNRESET);
}

/* Each attempt is known by its channel, not by the number of its descriptor. */
static void a_number_that_is_used_again_is_another_channel(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 2);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    struct hw_channel silent = hw_channel_create();
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    assert_int_equal(spate_engine_hand_over(a->engine, silent.old_end, 0, &error), -EAGAIN);
    assert_int_equal(dup2(channel.old_end, silent.old_end), silent.old_end);
    struct hw_giver *giver = hw_give(a, silent.old_end);
    if (spate_engine_take_over(b->engine, channel.new_end, 10 * WAIT_NS, &error) != 0)
        fail_msg("%s", error.text);
    hw_listen(b);
    assert_int_equal(spate_engine_take_over_finish(b->engine, 10 * WAIT_NS, &error), 0);
    assert_int_equal(hw_given(giver, &error), 0);
    uint8_t message[MESSAGE_MAX];
    assert_true(hear(silent.new_end, REFUSED, message) > 20);
    hw_channel_end(&silent);
    hw_channel_end(&channel);
    hw_connect(hw, 2, b);
    hw_move_and_send(hw, 0, 2, a, 1);
    hw_move_and_send(hw, 2, 4, b, 1);
}

/* Who was told to go may have taken over: nobody else is asked before that is known. */
static void an_attempt_that_goes_is_not_ended_by_another(void **state)
{
    (void)state;
    static const uint8_t says[] = {HELLO, TAKE};
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 2);
    struct hw_channel going = hw_channel_create();
    struct hw_channel other = hw_channel_create();
    struct spate_error error = {""};
    for (uint32_t i = 0; i < QT_COUNT(says); i++) {
        say_kind(going.new_end, says[i]);
        assert_int_equal(spate_engine_hand_over(a->engine, going.old_end, 0, &error), -EAGAIN);
    }
    assert_int_equal(spate_engine_hand_over(a->engine, other.old_end, 0, &error), -EBUSY);
    assert_string_equal(error.text, "another process takes over at this moment");
    assert_int_equal(spate_engine_hand_over(a->engine, going.old_end, 0, &error), -EAGAIN);
    hw_channel_end(&going);
    assert_int_equal(spate_engine_hand_over(a->engine, other.old_end, 0, &error), -EAGAIN);
    hw_channel_end(&other);
    assert_goes_on(hw, a);
}

/* ---- the side that takes ---- */

/* What the old process of the test sends after HELLO. */
struct script {
    const uint8_t *data;
    size_t size;
    int fds[4];
    uint32_t fd_count;
};

static size_t make_keys(uint8_t groups, uint8_t processes, uint8_t ret[MESSAGE_MAX])
{
    memset(ret, 0, MESSAGE_MAX);
    memcpy(ret, "SPHO\1", 5);
    ret[5] = KEYS;
    ret[6 + 64] = 8; /* the size of CIDs, and the place of the shard */
    ret[6 + 65] = 1;
    ret[6 + 67] = groups;
    ret[6 + 68] = processes;
    for (uint8_t i = 0; i < processes; i++)
        ret[6 + 69 + i] = i;
    return 6u + 69 + processes;
}

static size_t make_group(const struct sockaddr_in *address, uint8_t tag, uint8_t ret[MESSAGE_MAX])
{
    memset(ret, 0, MESSAGE_MAX);
    memcpy(ret, "SPHO\1", 5);
    ret[5] = GROUP;
    ret[6] = 4;
    memcpy(ret + 7, &address->sin_port, 2);
    memcpy(ret + 9, &address->sin_addr, 4);
    ret[29] = 1; /* socket: of a process, shard 0 */
    ret[30] = 1;
    ret[32] = tag;
    return 33;
}

static int bound_socket(bool is_shared, struct sockaddr_in *ret)
{
    int shared = is_shared;
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(false, 0, &size);
    int fd = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    assert_int_equal(setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shared, sizeof(shared)), 0);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
    size = sizeof(*ret);
    assert_int_equal(getsockname(fd, (struct sockaddr *)ret, &size), 0);
    return fd;
}

static int take_from(struct hw_server *b, const struct script *script, uint32_t count,
                     bool is_closed, struct spate_error *error)
{
    struct hw_channel channel = hw_channel_create();
    for (uint32_t i = 0; i < count; i++)
        say(channel.old_end, script[i].data, script[i].size, script[i].fds, script[i].fd_count);
    if (is_closed)
        assert_int_equal(shutdown(channel.old_end, SHUT_WR), 0);
    uint64_t start_ns = pw_now_ns();
    int result = spate_engine_take_over(b->engine, channel.new_end, WAIT_NS, error);
    assert_true(pw_now_ns() - start_ns < 20 * WAIT_NS);
    hw_channel_end(&channel);
    return result;
}

struct taking {
    struct script script[2];
    uint32_t count;
    bool is_closed;
    int result;
    const char *text;
};

static void try_all(const struct taking *cases, uint32_t count, int any_fd)
{
    struct hw *hw = hw_create(false);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    int free_fd = dup(any_fd);
    (void)close(free_fd);
    for (uint32_t i = 0; i < count; i++) {
        struct spate_error error = {""};
        int result = take_from(b, cases[i].script, cases[i].count, cases[i].is_closed, &error);
        if (result != cases[i].result || strstr(error.text, cases[i].text) == NULL)
            fail_msg("case %u: %d, \"%s\"", i, result, error.text);
        int next = dup(any_fd); /* no descriptor is left over */
        assert_int_equal(next, free_fd);
        (void)close(next);
    }
    /* The engine works as if nothing had been tried. */
    hw_listen(b);
    hw_connect(hw, 4, b);
    hw_move_and_send(hw, 0, 4, b, 1);
}

static void what_an_old_process_may_send_is_checked(void **state)
{
    (void)state;
    struct sockaddr_in at;
    struct sockaddr_in other_at;
    int shared = bound_socket(true, &at);
    int other = bound_socket(true, &other_at);
    struct sockaddr_in alone_at;
    int alone = bound_socket(false, &alone_at);
    int pipes[2];
    assert_int_equal(pipe(pipes), 0);
    (void)owned_fd(pipes[0]);
    (void)owned_fd(pipes[1]);
    uint8_t keys[MESSAGE_MAX];
    uint8_t two[MESSAGE_MAX];
    uint8_t group[MESSAGE_MAX];
    uint8_t foreign[MESSAGE_MAX];
    uint8_t group_alone[MESSAGE_MAX];
    size_t keys_size = make_keys(1, 1, keys);
    size_t two_size = make_keys(1, 2, two);
    size_t group_size = make_group(&at, 0, group);
    (void)make_group(&at, 200, foreign);
    (void)make_group(&alone_at, 0, group_alone);
    const struct taking cases[] = {
        {.count = 0, .result = -ETIMEDOUT, .text = "no answer of the other process in time"},
        {.count = 0, .is_closed = true, .result = -ECONNRESET, .text = "has gone"},
        {{{(const uint8_t *)"hello", 5, {0}, 0}}, 1, false, -EPROTO, "no message of a hand-over"},
        {{{(const uint8_t *)"SPHO\1\5", 6, {0}, 0}}, 1, false, -EPROTO, "message 5, but 2 is due"},
        {{{(const uint8_t *)"SPHO\3\2", 6, {0}, 0}}, 1, false, -EPROTONOSUPPORT, "version 3"},
        {{{(const uint8_t *)"SPHO\3\7too old", 13, {0}, 0}}, 1, false, -ECONNREFUSED, "too old"},
        {{{keys, keys_size - 1, {0}, 0}}, 1, false, -EPROTO, "no message"},
        {{{keys, keys_size, {shared}, 1}}, 1, false, -EPROTO, "no message"},
        {{{two, two_size, {0}, 0}}, 1, false, -EPROTO, "no message"}, /* its channel is missing */
        {{{keys, keys_size, {0}, 0}}, 1, false, -ETIMEDOUT, "no answer"},
        {{{keys, keys_size, {0}, 0}}, 1, true, -ECONNRESET, "has gone"},
        {{{keys, keys_size, {0}, 0}, {group, group_size, {0}, 0}}, 2, false, -EPROTO, "no message"},
        {{{keys, keys_size, {0}, 0}, {group, group_size, {shared, other}, 2}},
         2,
         false,
         -EPROTO,
         "no message"},
        {{{keys, keys_size, {0}, 0}, {group, group_size, {pipes[0]}, 1}},
         2,
         false,
         -EPROTO,
         "is not a socket"},
        {{{keys, keys_size, {0}, 0}, {group, group_size, {other}, 1}},
         2,
         false,
         -EPROTO,
         "is not of this address"},
        {{{keys, keys_size, {0}, 0}, {group_alone, group_size, {alone}, 1}},
         2,
         false,
         -EPROTO,
         "has no SO_REUSEPORT"},
        {{{keys, keys_size, {0}, 0}, {foreign, group_size, {shared}, 1}},
         2,
         false,
         -EPROTO,
         "of none of the processes"},
    };
    try_all(cases, QT_COUNT(cases), shared);
}

/* It has given its sockets, and dies before the new one has finished: that goes on alone. */
static void the_old_engine_may_die_before_the_new_one_finishes(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 2);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    say_kind(channel.new_end, HELLO); /* so that `a` has answered before `b` asks */
    assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 0, &error), -EAGAIN);
    int result = spate_engine_take_over(b->engine, channel.new_end, WAIT_NS, &error);
    assert_int_equal(result, 0);
    hw_kill(a);
    (void)close(channel.old_end);
    channel.old_end = -1;
    hw_listen(b);
    if (spate_engine_take_over_finish(b->engine, WAIT_NS, &error) != 0)
        fail_msg("%s", error.text);
    hw_channel_end(&channel);
    hw_for(hw, 200 * MS);
    hw_send_if_open(hw, 0, 2); /* their connections have died, and they learn it */
    hw_until_closed(hw, 2);
    assert_int_equal(hw->w.client.close.kind, SPATE_CLOSE_STATELESS_RESET);
    hw_connect(hw, 4, b);
    hw_move_and_send(hw, 2, 6, b, 2);
}

static void an_old_engine_that_does_not_answer_stays_what_it_is(void **state)
{
    (void)state;
    struct hw *hw = hw_create(false);
    struct hw_server *a = begin(hw, 2);
    struct hw_server *b = hw_make_server(hw, 2, NULL);
    struct hw_channel channel = hw_channel_create();
    struct spate_error error = {""};
    say_kind(channel.new_end, HELLO);
    assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 0, &error), -EAGAIN);
    assert_int_equal(spate_engine_take_over(b->engine, channel.new_end, PW_PATIENCE_NS, &error), 0);
    hw_listen(b);
    assert_int_equal(spate_engine_take_over_finish(b->engine, WAIT_NS, &error), -ETIMEDOUT);
    assert_string_equal(error.text, "no answer of the other process in time");
    hw_kill(b);
    int result = spate_engine_hand_over(a->engine, channel.old_end, 0, &error);
    assert_int_equal(result, -EPROTO); /* the second HELLO, of `b`, was not due */
    hw_channel_end(&channel);
    assert_goes_on(hw, a);
}

/* How an old engine that lives gives up an attempt. */
enum giving_up { LATE, OTHER_CHANNEL, OUT_OF_TURN };

/* It says so, before or after the new one asks to take over; then its connections are its own. */
static void an_old_engine_that_gives_up_is_not_dead(void **state)
{
    (void)state;
    for (uint32_t way = LATE; way <= OUT_OF_TURN; way++) {
        struct hw *hw = hw_create(false);
        struct hw_server *a = begin(hw, 2);
        struct hw_server *b = hw_make_server(hw, 2, NULL);
        struct hw_channel channel = hw_channel_create();
        struct hw_channel other = hw_channel_create();
        struct spate_error error = {""};
        uint8_t message[MESSAGE_MAX];
        say_kind(channel.new_end, HELLO);
        assert_int_equal(spate_engine_hand_over(a->engine, channel.old_end, 0, &error), -EAGAIN);
        assert_int_equal(spate_engine_take_over(b->engine, channel.new_end, PW_PATIENCE_NS, &error),
                         0);
        hw_listen(b);
        assert_int_equal(hear(channel.old_end, HELLO, message), 6); /* of `b` */
        say_kind(channel.new_end, way == OUT_OF_TURN ? TAKEN : TAKE);
        if (way == LATE)
            spate_engine_shard(a->engine, 0)->handover->giving_end_ns = pw_now_ns();
        int fd = way == OTHER_CHANNEL ? other.old_end : channel.old_end;
        static const int results[] = {-ETIMEDOUT, -EAGAIN, -EPROTO};
        assert_int_equal(spate_engine_hand_over(a->engine, fd, 0, &error), results[way]);
        (void)close(channel.old_end);
        channel.old_end = -1;
        int result = spate_engine_take_over_finish(b->engine, WAIT_NS, &error);
        assert_int_equal(result, -ECONNREFUSED);
        assert_non_null(strstr(error.text, "the other process says: "));
        hw_kill(b);
        hw_channel_end(&channel);
        hw_channel_end(&other);
        assert_goes_on(hw, a);
        assert_int_equal(hw->w.client.closed_count, 0);
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_silent_process_takes_no_time),
        QT_TEST(owned, what_is_no_hand_over_is_refused),
        QT_TEST(owned, too_long_messages_and_stray_descriptors_are_refused),
        QT_TEST(owned, the_new_process_may_die_at_any_step),
        QT_TEST(owned, the_new_engine_may_die_before_it_finishes),
        QT_TEST(owned, a_socket_that_closes_meanwhile_keeps_its_place),
        QT_TEST(owned, misuse_is_refused),
        QT_TEST(owned, a_number_that_is_used_again_is_another_channel),
        QT_TEST(owned, an_attempt_that_goes_is_not_ended_by_another),
        QT_TEST(owned, what_an_old_process_may_send_is_checked),
        QT_TEST(owned, the_old_engine_may_die_before_the_new_one_finishes),
        QT_TEST(owned, an_old_engine_that_does_not_answer_stays_what_it_is),
        QT_TEST(owned, an_old_engine_that_gives_up_is_not_dead),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
