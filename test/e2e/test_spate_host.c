/* SPDX-License-Identifier: MIT */
/* A shard in the loop of its host: one epoll waits for both ends, and no turn waits.  Nothing may
 * be missed, and nothing may end the poll in vain. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <time.h>
#include <unistd.h>

#define MS UINT64_C(1000000)

enum {
    BYTES = 2000000,
    POLLS_PER_TRANSFER_MAX = 20000, /* a train is some tens of kilobytes: this is far above */
};

struct host {
    struct pw *w;
    int epoll_fd;
    uint32_t polls;
    uint32_t polls_in_vain; /* readable, and the turn found nothing */
};

static void configure(struct spate_config *config)
{
    config->idle_timeout_ns = 150 * MS;
}

static void watch(struct host *host, const struct pw_end *end)
{
    struct epoll_event event = {.events = EPOLLIN, .data.ptr = (void *)(uintptr_t)end};
    int fd = spate_shard_fd(end->shard);
    assert_true(fd >= 0);
    assert_int_equal(spate_shard_fd(end->shard), fd);
    assert_int_equal(epoll_ctl(host->epoll_fd, EPOLL_CTL_ADD, fd, &event), 0);
}

static struct host *make_host(const struct pw_config *config)
{
    struct host *host = owned_alloc(sizeof(*host));
    host->w = pw_create(config);
    host->epoll_fd = owned_fd(epoll_create1(EPOLL_CLOEXEC));
    assert_true(host->epoll_fd >= 0);
    watch(host, &host->w->server);
    watch(host, &host->w->client);
    return host;
}

static int wait_for(int epoll_fd, struct epoll_event *events, int count_max, uint64_t wait_ns)
{
    const struct timespec time = {
        .tv_sec = (time_t)(wait_ns / 1000000000),
        .tv_nsec = (long)(wait_ns % 1000000000),
    };
    int count = epoll_pwait2(epoll_fd, events, count_max, &time, NULL);
    if (count < 0 && errno == ENOSYS) /* an old filter */
        count = epoll_wait(epoll_fd, events, count_max, (int)((wait_ns + MS - 1) / MS));
    return count;
}

/* Polls until a descriptor is readable or until `until_ns`.  Returns how many are readable. */
static int poll_until(struct host *host, uint64_t until_ns)
{
    struct epoll_event events[4];
    int count;
    host->polls++;
    do {
        uint64_t now_ns = pw_now_ns();
        count = wait_for(host->epoll_fd, events, 4, until_ns > now_ns ? until_ns - now_ns : 0);
    } while (count < 0 && errno == EINTR); /* the kernel's own: work was deferred to this thread */
    assert_true(count >= 0);
    return count;
}

static uint64_t receives_of(struct pw *w)
{
    return pw_stats(&w->server).receives + pw_stats(&w->client).receives;
}

/* One round of the loop that the header describes, but not beyond `until_ns`. */
static void run_once(struct host *host, uint64_t until_ns)
{
    uint64_t due_ns[] = {spate_shard_deadline_ns(host->w->server.shard),
                         spate_shard_deadline_ns(host->w->client.shard)};
    for (uint32_t i = 0; i < 2; i++)
        until_ns = due_ns[i] < until_ns ? due_ns[i] : until_ns;
    uint64_t before = receives_of(host->w);
    bool was_readable = poll_until(host, until_ns) > 0;
    pw_turn(host->w);
    if (was_readable && receives_of(host->w) == before)
        host->polls_in_vain++;
}

static void run_until(struct host *host, bool (*is_done)(struct pw *w))
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_done(host->w)) {
        run_once(host, end_ns);
        if (pw_now_ns() > end_ns)
            fail_msg("it did not happen in %llu s",
                     (unsigned long long)(PW_PATIENCE_NS / 1000000000));
    }
}

static bool is_connected(struct pw *w)
{
    return w->client.connected_count > 0 && w->server.connected_count > 0;
}

static bool is_received(struct pw *w)
{
    return w->server.fin_count > 0;
}

static bool is_sent(struct pw *w)
{
    return w->client.sent_count > 0;
}

static bool is_closed(struct pw *w)
{
    return w->client.closed_count > 0;
}

static struct spate_conn *connect_in(struct host *host)
{
    struct spate_conn *conn = pw_connect(host->w);
    run_until(host, is_connected);
    return conn;
}

static void send_all(struct spate_conn *conn, const void *data, size_t size)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, data, size, true, 0), 0);
}

static void a_host_moves_bytes_with_few_polls(void **state)
{
    (void)state;
    static uint8_t data[BYTES];
    struct host *host = make_host(&(struct pw_config){0});
    struct spate_conn *conn = connect_in(host);
    send_all(conn, data, sizeof(data));
    run_until(host, is_received);
    run_until(host, is_sent);
    assert_int_equal(host->w->server.bytes_in, sizeof(data));
    assert_in_range(host->polls, 1, POLLS_PER_TRANSFER_MAX);
    assert_true(host->polls_in_vain * 10 < host->polls + 100);
}

/* The last timers run out; then only the idle timeout is left, and the poll ends when it is due. */
static void a_quiet_connection_costs_no_polls_and_ends_in_time(void **state)
{
    (void)state;
    struct host *host = make_host(&(struct pw_config){.client = configure, .server = configure});
    (void)connect_in(host);
    uint64_t start_ns = pw_now_ns();
    host->polls = 0;
    run_until(host, is_closed);
    uint64_t took_ns = pw_now_ns() - start_ns;
    assert_in_range(took_ns, 50 * MS, 5000 * MS);
    assert_in_range(host->polls, 1, 60);
}

static void nothing_is_readable_without_a_reason(void **state)
{
    (void)state;
    struct host *host = make_host(&(struct pw_config){0});
    uint64_t end_ns = pw_now_ns() + 5 * MS;
    while (pw_now_ns() < end_ns)
        run_once(host, end_ns);
    assert_int_equal(spate_shard_deadline_ns(host->w->server.shard), SPATE_FOREVER);
    assert_int_equal(spate_shard_deadline_ns(host->w->client.shard), SPATE_FOREVER);
    assert_int_equal(poll_until(host, pw_now_ns() + 20 * MS), 0);
}

/* What an event handler asks for is due at once: no packet comes to end the poll. */
static void what_was_asked_for_is_due_at_once(void **state)
{
    (void)state;
    static uint8_t data[100];
    struct host *host = make_host(&(struct pw_config){0});
    struct spate_conn *conn = connect_in(host);
    uint64_t end_ns = pw_now_ns() + 100 * MS;
    while (pw_now_ns() < end_ns)
        run_once(host, end_ns);
    assert_true(spate_shard_deadline_ns(host->w->client.shard) > pw_now_ns());
    send_all(conn, data, sizeof(data));
    assert_int_equal(spate_shard_deadline_ns(host->w->client.shard), 0);
    run_until(host, is_received);
    spate_conn_close(conn, 7, "done");
    assert_int_equal(spate_shard_deadline_ns(host->w->client.shard), 0);
    run_until(host, is_closed);
}

/* ---- slots ---- */

static void configure_few_slots(struct spate_config *config)
{
    config->transmit_slots = 1;
    config->receive_slots = 8;
}

/* The receiver ends when no slot is left, and the sender waits for its one slot: both go on. */
static void a_host_with_few_slots_goes_on(void **state)
{
    (void)state;
    static uint8_t data[BYTES];
    struct host *host = make_host(
        &(struct pw_config){.client = configure_few_slots, .server = configure_few_slots});
    struct spate_conn *conn = connect_in(host);
    send_all(conn, data, sizeof(data));
    run_until(host, is_received);
    assert_int_equal(host->w->server.bytes_in, sizeof(data));
}

/* ---- other threads ---- */

struct caller {
    pthread_t thread;
    struct spate_shard *shard;
    bool posts;
    int error_of_fd;
    uint64_t deadline_ns;
    atomic_uint posts_run;
};

static void count_post(struct spate_shard *shard, void *argument)
{
    struct caller *caller = argument;
    assert_int_equal(spate_shard_deadline_ns(shard), 0); /* in a turn */
    atomic_fetch_add(&caller->posts_run, 1);
}

static void *call(void *argument)
{
    struct caller *caller = argument;
    caller->error_of_fd = spate_shard_fd(caller->shard);
    caller->deadline_ns = spate_shard_deadline_ns(caller->shard);
    usleep(10000);
    if (caller->posts)
        assert_int_equal(spate_shard_post(caller->shard, count_post, caller), 0);
    else
        spate_shard_wake(caller->shard);
    return NULL;
}

static void a_call_of_another_thread_ends_the_poll(void **state)
{
    (void)state;
    struct host *host = make_host(&(struct pw_config){0});
    for (int i = 0; i < 2; i++) {
        struct caller *caller = owned_alloc(sizeof(*caller));
        caller->shard = host->w->server.shard;
        caller->posts = i == 1;
        pw_turn(host->w);
        assert_int_equal(spate_shard_deadline_ns(caller->shard), SPATE_FOREVER);
        assert_int_equal(pthread_create(&caller->thread, NULL, call, caller), 0);
        uint64_t start_ns = pw_now_ns();
        assert_int_equal(poll_until(host, start_ns + PW_PATIENCE_NS), 1);
        assert_true(pw_now_ns() - start_ns < PW_PATIENCE_NS / 2);
        assert_int_equal(pthread_join(caller->thread, NULL), 0);
        assert_int_equal(caller->error_of_fd, -EPERM);
        assert_int_equal(caller->deadline_ns, 0);
        pw_turn(host->w);
        assert_int_equal(atomic_load(&caller->posts_run), i);
    }
}

/* A call that comes before the poll is not slept over. */
static void a_call_before_the_poll_is_due_at_once(void **state)
{
    (void)state;
    struct host *host = make_host(&(struct pw_config){0});
    struct caller *caller = owned_alloc(sizeof(*caller));
    pw_turn(host->w);
    spate_shard_wake(host->w->server.shard);
    assert_int_equal(spate_shard_deadline_ns(host->w->server.shard), 0);
    pw_turn(host->w);
    assert_int_equal(spate_shard_deadline_ns(host->w->server.shard), SPATE_FOREVER);
    assert_int_equal(spate_shard_post(host->w->server.shard, count_post, caller), 0);
    assert_int_equal(poll_until(host, pw_now_ns() + PW_PATIENCE_NS), 1);
    assert_int_equal(spate_shard_deadline_ns(host->w->server.shard), 0);
    pw_turn(host->w);
    assert_int_equal(atomic_load(&caller->posts_run), 1);
}

/* The time-out for ppoll() is the deadline, in another form. */
static void the_timeout_lasts_until_the_deadline(void **state)
{
    (void)state;
    struct host *host = make_host(&(struct pw_config){0});
    struct spate_shard *shard = host->w->client.shard;
    struct timespec wait = {.tv_sec = 42};
    uint64_t end_ns = pw_now_ns() + 20 * MS;
    while (pw_now_ns() < end_ns)
        run_once(host, end_ns);
    assert_null(spate_shard_timeout(shard, &wait));
    assert_int_equal(wait.tv_sec, 42);
    spate_shard_wake(shard);
    assert_ptr_equal(spate_shard_timeout(shard, &wait), &wait);
    assert_int_equal(wait.tv_sec, 0);
    assert_int_equal(wait.tv_nsec, 0);
    pw_turn(host->w);
    (void)connect_in(host); /* now there is an idle timeout */
    end_ns = pw_now_ns() + 20 * MS;
    while (pw_now_ns() < end_ns)
        run_once(host, end_ns);
    uint64_t due_ns = spate_shard_deadline_ns(shard);
    uint64_t before_ns = pw_now_ns();
    assert_ptr_equal(spate_shard_timeout(shard, &wait), &wait);
    uint64_t after_ns = pw_now_ns();
    uint64_t wait_ns = (uint64_t)wait.tv_sec * 1000 * MS + (uint64_t)wait.tv_nsec;
    assert_true(wait.tv_nsec >= 0 && (uint64_t)wait.tv_nsec < 1000 * MS);
    assert_in_range(wait_ns, due_ns - after_ns, due_ns - before_ns);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_host_moves_bytes_with_few_polls),
        QT_TEST(owned, a_quiet_connection_costs_no_polls_and_ends_in_time),
        QT_TEST(owned, nothing_is_readable_without_a_reason),
        QT_TEST(owned, what_was_asked_for_is_due_at_once),
        QT_TEST(owned, a_host_with_few_slots_goes_on),
        QT_TEST(owned, a_call_of_another_thread_ends_the_poll),
        QT_TEST(owned, a_call_before_the_poll_is_due_at_once),
        QT_TEST(owned, the_timeout_lasts_until_the_deadline),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
