/* SPDX-License-Identifier: MIT */
/* Waiting: whether a shard sleeps, spins, or spins for a while, a wait ends the same way; only
 * what it costs differs. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/time.h>
#include <unistd.h>

#define MS            UINT64_C(1000000)
#define CALL_DELAY_NS (10 * MS)

static uint64_t spin_ns; /* of the engines that are made next */
static const uint64_t modes[] = {0, 200000, SPATE_FOREVER};

static void configure(struct spate_config *config)
{
    config->spin_ns = spin_ns;
    config->idle_timeout_ns = 150 * MS;
}

static struct pw *make_world(uint64_t mode)
{
    spin_ns = mode;
    struct pw *w = pw_create(&(struct pw_config){.server = configure, .client = configure});
    /* The first turns arm what is armed once. */
    for (uint32_t i = 0; i < 3; i++)
        pw_turn(w);
    return w;
}

/* A thread that is joined after the test as well, where that failed. */
struct helper {
    pthread_t thread;
    struct spate_shard *shard;
    atomic_bool is_over;
};

static void helper_end(void *object)
{
    struct helper *helper = object;
    atomic_store(&helper->is_over, true);
    spate_shard_wake(helper->shard); /* if it turns it */
    assert_int_equal(pthread_join(helper->thread, NULL), 0);
}

/* Starts main(argument).  The thread ends by itself, or soon after is_over. */
static void helper_start(struct helper *helper, struct spate_shard *shard, void *(*main)(void *),
                         void *argument)
{
    helper->shard = shard;
    assert_int_equal(pthread_create(&helper->thread, NULL, main, argument), 0);
    (void)owned_add(helper, helper_end);
}

/* With mmsg to look is a call. */
static bool is_mmsg(void)
{
    return pw_backend() == SPATE_BACKEND_MMSG;
}

static uint64_t syscalls_of(const struct pw_end *end)
{
    return pw_stats(end).syscalls;
}

static void a_wait_ends_at_its_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(modes); i++) {
        struct pw *w = make_world(modes[i]);
        for (uint32_t round = 0; round < 8; round++) {
            uint64_t calls = syscalls_of(&w->server);
            uint64_t start_ns = pw_now_ns();
            assert_int_equal(spate_shard_turn(w->server.shard, 5 * MS), 0);
            assert_true(pw_now_ns() - start_ns >= 5 * MS);
            assert_true(spate_shard_now_ns(w->server.shard) >= start_ns + 5 * MS);
            calls = syscalls_of(&w->server) - calls;
            if (modes[i] == 0)
                assert_int_equal(calls, 1);
            else if (!is_mmsg()) /* one that spins for a while may be kept from its sleep */
                assert_in_range(calls, 0, modes[i] == SPATE_FOREVER ? 0 : 1);
        }
        owned_end_all();
    }
}

static void a_loop_that_polls_makes_no_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(modes); i++) {
        struct pw *w = make_world(modes[i]);
        uint64_t calls = syscalls_of(&w->server);
        for (uint32_t round = 0; round < 1000; round++)
            assert_int_equal(spate_shard_turn(w->server.shard, 0), 0);
        assert_int_equal(syscalls_of(&w->server) - calls, is_mmsg() ? 1000 : 0);
        (void)pw_connected(w); /* and it sees what comes all the same */
        owned_end_all();
    }
}

static void a_wait_ends_when_a_timer_is_due(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(modes); i++) {
        struct pw *w = make_world(modes[i]);
        (void)pw_connected(w);
        uint64_t start_ns = pw_now_ns();
        struct spate_event event;
        bool is_closed = false;
        while (!is_closed && pw_now_ns() - start_ns < PW_PATIENCE_NS) {
            assert_true(spate_shard_turn(w->client.shard, SPATE_FOREVER) >= 0);
            while (spate_shard_events(w->client.shard, &event, 1) == 1)
                is_closed = is_closed || event.kind == SPATE_EVENT_CLOSED;
        }
        assert_true(is_closed);
        assert_true(pw_now_ns() - start_ns < 5000 * MS);
        owned_end_all();
    }
}

static void configure_asleep(struct spate_config *config)
{
    config->spin_ns = 0;
    config->idle_timeout_ns = 10000 * MS;
}

static uint32_t bytes_wanted;

static bool has_come(struct pw *w)
{
    return w->server.bytes_in >= bytes_wanted;
}

/* Each byte moves the connection's deadlines: to acknowledge within 25 ms, to probe later.  The end
 * of a sleep moves with them: otherwise a third of all would lie less than 8 ms ahead.  Others may
 * do that, of the shard and in rounds that take long. */
static void a_connection_in_use_leaves_no_deadline_behind(void **state)
{
    (void)state;
    struct pw *w =
        pw_create(&(struct pw_config){.server = configure_asleep, .client = configure_asleep});
    struct spate_conn *conn = pw_connected(w);
    uint64_t id;
    uint32_t near_count = 0, count = 0;
    assert_true(spate_shard_fd(w->server.shard) >= 0);
    pw_for(w, 100 * MS);
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    for (bytes_wanted = 1; bytes_wanted <= 300; bytes_wanted++) {
        uint64_t start_ns = pw_now_ns();
        assert_int_equal(spate_stream_send(conn, id, "x", 1, false, 0), 0);
        pw_until(w, has_come);
        for (uint32_t i = 0; i < 3; i++)
            pw_turn(w);
        uint64_t sleep_until_ns = spate_shard_deadline_ns(w->server.shard);
        uint64_t now_ns = spate_shard_now_ns(w->server.shard);
        bool has_nothing_to_do = sleep_until_ns != 0;
        if (has_nothing_to_do && pw_now_ns() - start_ns < 5 * MS) {
            near_count += sleep_until_ns < now_ns + 8 * MS;
            count++;
        }
        usleep(500);
    }
    print_message("%u of %u sleeps end soon\n", near_count, count);
    assert_true(near_count <= 5 + count / 10);
}

static void configure_one_slot(struct spate_config *config)
{
    configure(config);
    config->transmit_slots = 1;
    config->idle_timeout_ns = 10000 * MS;
}

static bool is_all_there(const struct pw_end *end)
{
    return end->fin_count > 0;
}

/* The completion of a send is what is waited for then, in a wait like any other. */
static void a_wait_for_a_transmit_slot_ends_with_it(void **state)
{
    (void)state;
    static uint8_t data[300000];
    for (size_t i = 0; i < QT_COUNT(modes); i++) {
        spin_ns = modes[i];
        struct pw *w = pw_create(
            &(struct pw_config){.server = configure_one_slot, .client = configure_one_slot});
        struct spate_conn *conn = pw_connected(w);
        uint64_t id;
        assert_int_equal(spate_stream_open(conn, true, &id), 0);
        assert_int_equal(spate_stream_send(conn, id, data, sizeof(data), true, 0), 0);
        uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
        while (!is_all_there(&w->server) && pw_now_ns() < end_ns) {
            pw_wait(&w->client, MS);
            pw_wait(&w->server, 0);
        }
        assert_true(is_all_there(&w->server));
        assert_int_equal(w->server.bytes_in, sizeof(data));
        assert_in_range(pw_stats(&w->client).turns, 1, 5000);
        owned_end_all();
    }
}

struct caller {
    struct helper helper;
    struct spate_shard *shard;
    bool posts;
    atomic_uint posts_run;
};

static void count_post(struct spate_shard *shard, void *argument)
{
    (void)shard;
    atomic_fetch_add(&((struct caller *)argument)->posts_run, 1);
}

static void *call(void *argument)
{
    struct caller *caller = argument;
    usleep(CALL_DELAY_NS / 1000);
    if (caller->posts)
        assert_int_equal(spate_shard_post(caller->shard, count_post, caller), 0);
    else
        spate_shard_wake(caller->shard);
    return NULL;
}

static void a_wait_ends_when_another_thread_calls(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(modes); i++) {
        struct pw *w = make_world(modes[i]);
        for (uint32_t posts = 0; posts < 2; posts++) {
            struct caller *caller = owned_alloc(sizeof(*caller));
            caller->shard = w->server.shard;
            caller->posts = posts != 0;
            uint64_t start_ns = pw_now_ns();
            helper_start(&caller->helper, caller->shard, call, caller);
            do /* one that never sleeps ends its turns now and then */
                assert_int_equal(spate_shard_turn(w->server.shard, 60000 * MS), 0);
            while (pw_now_ns() - start_ns < CALL_DELAY_NS);
            assert_int_equal(spate_shard_turn(w->server.shard, 0), 0);
            assert_true(pw_now_ns() - start_ns < PW_PATIENCE_NS);
            owned_end(&caller->helper);
            (void)spate_shard_turn(w->server.shard, 0);
            assert_int_equal(atomic_load(&caller->posts_run), posts);
        }
        owned_end_all();
    }
}

/* ---- signals ---- */

/* ThreadSanitizer's runtime calls handlers later: at a call that it knows. */
static void need_prompt_signals(void)
{
#if defined(__SANITIZE_THREAD__)
    skip();
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
    skip();
#endif
#endif
}

static struct spate_shard *signalled_shard; /* that the handler wakes; NULL: none */
static volatile sig_atomic_t signal_count;
static struct sigaction caught_alarm, caught_user; /* what was in their place before */

static void on_signal(int number)
{
    (void)number;
    signal_count++;
    if (signalled_shard != NULL)
        spate_shard_wake(signalled_shard);
}

static void release_signal(void *action)
{
    const struct itimerval never = {.it_value.tv_usec = 0};
    int number = action == &caught_alarm ? SIGALRM : SIGUSR1;
    (void)setitimer(ITIMER_REAL, &never, NULL);
    assert_int_equal(sigaction(number, action, NULL), 0);
    signalled_shard = NULL;
}

/* Until the end of the sample, or of the test. */
static void catch_signal(int number, struct spate_shard *shard)
{
    struct sigaction *before = number == SIGALRM ? &caught_alarm : &caught_user;
    struct sigaction action = {.sa_handler = on_signal};
    signalled_shard = shard;
    signal_count = 0;
    assert_int_equal(sigaction(number, &action, before), 0);
    (void)owned_add(before, release_signal);
}

struct signaller {
    struct helper helper; /* is_over: the target has noticed */
    pthread_t target;
    struct spate_shard *shard;
    bool was_late;
};

/* Sends one signal; where that ends nothing, says so and ends the turn otherwise. */
static void *send_signal(void *argument)
{
    struct signaller *signaller = argument;
    usleep(20000);
    assert_int_equal(pthread_kill(signaller->target, SIGUSR1), 0);
    for (uint32_t i = 0; i < 2000 && !atomic_load(&signaller->helper.is_over); i++)
        usleep(1000);
    signaller->was_late = !atomic_load(&signaller->helper.is_over);
    spate_shard_wake(signaller->shard);
    return NULL;
}

static uint64_t turn_began_ns; /* of the shard's thread */
static uint32_t post_count, stale_count;

static void look_at_time(struct spate_shard *shard, void *argument)
{
    (void)argument;
    post_count++;
    stale_count += spate_shard_now_ns(shard) < turn_began_ns;
}

static void busy_wait(uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns;
    while (pw_now_ns() < end_ns)
        continue;
}

static void *post_often(void *argument)
{
    struct helper *helper = argument;
    for (uint64_t i = 0; !atomic_load(&helper->is_over); i++) {
        (void)!spate_shard_post(helper->shard, look_at_time, NULL);
        busy_wait(2000 + i % 7 * 300);
    }
    return NULL;
}

/* Posts come at any moment of a turn.  Whatever runs in it has the time of this turn, also where
 * the turn had no reason to look at the clock when it began. */
static void posts_never_run_at_the_time_of_an_earlier_turn(void **state)
{
    (void)state;
    enum { POSTS = 100000 };
    struct pw *w = make_world(0);
    static struct helper helper; /* its thread is joined after a failure, too */
    post_count = stale_count = 0;
    helper_start(&helper, w->client.shard, post_often, &helper);
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (post_count < POSTS && pw_now_ns() < end_ns) {
        busy_wait(3000);
        turn_began_ns = pw_now_ns();
        pw_wait(&w->client, 0);
    }
    assert_true(post_count > POSTS / 100);
    assert_int_equal(stale_count, 0);
    owned_end_all();
}

static void a_signal_ends_a_turn_without_end(void **state)
{
    (void)state;
    need_prompt_signals();
    for (size_t i = 0; i < QT_COUNT(modes); i++) {
        struct pw *w = make_world(modes[i]);
        catch_signal(SIGUSR1, NULL);
        struct signaller *signaller = owned_alloc(sizeof(*signaller));
        signaller->target = pthread_self();
        signaller->shard = w->server.shard;
        helper_start(&signaller->helper, signaller->shard, send_signal, signaller);
        while (signal_count == 0)
            assert_int_equal(spate_shard_turn(w->server.shard, SPATE_FOREVER), 0);
        owned_end(&signaller->helper);
        assert_false(signaller->was_late);
        owned_end_all();
    }
}

/* Wherever a signal hits the turn, it is not lost, and errno stays what it was. */
static void a_handler_may_wake_its_own_shard(void **state)
{
    (void)state;
    need_prompt_signals();
    for (size_t i = 0; i < QT_COUNT(modes); i++) {
        struct pw *w = make_world(modes[i]);
        catch_signal(SIGALRM, w->server.shard);
        uint64_t start_ns = pw_now_ns();
        for (int round = 0; round < 300; round++) {
            const struct itimerval once = {.it_value.tv_usec = 1 + round * 37 % 250};
            assert_int_equal(setitimer(ITIMER_REAL, &once, NULL), 0);
            while (signal_count <= round)
                assert_int_equal(spate_shard_turn(w->server.shard, PW_PATIENCE_NS), 0);
        }
        errno = EXFULL;
        assert_int_equal(raise(SIGALRM), 0); /* before the turn: it does not wait */
        assert_int_equal(errno, EXFULL);
        assert_int_equal(spate_shard_turn(w->server.shard, PW_PATIENCE_NS), 0);
        assert_true(pw_now_ns() - start_ns < PW_PATIENCE_NS);
        owned_end_all();
    }
}

/* ---- two threads ---- */

#define ROUNDS 300

/* The client counts the answers, the server's thread turns until it is told to stop. */
struct server {
    struct helper helper;
    struct pw *w;
};

static void *serve(void *argument)
{
    struct server *server = argument;
    struct pw *w = server->w;
    struct spate_event events[16];
    while (!atomic_load(&server->helper.is_over)) {
        assert_true(spate_shard_turn(w->server.shard, 20 * MS) >= 0);
        uint32_t count;
        while ((count = spate_shard_events(w->server.shard, events, 16)) > 0) {
            for (uint32_t i = 0; i < count; i++) {
                if (events[i].kind != SPATE_EVENT_STREAM_DATA)
                    continue;
                static const uint8_t answer[64];
                if (events[i].u.data.fin)
                    assert_int_equal(spate_stream_send(events[i].conn, events[i].stream_id, answer,
                                                       sizeof(answer), true, 0),
                                     0);
                spate_slice_release(w->server.shard, &events[i].u.data.slice);
            }
        }
    }
    return NULL;
}

static void ask(struct spate_conn *conn)
{
    static const uint8_t question[64];
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, false, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, question, sizeof(question), true, 0), 0);
}

static uint32_t run_client(struct pw *w)
{
    struct spate_event events[16];
    uint32_t answers = 0;
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    (void)pw_connect(w);
    while (answers < ROUNDS && pw_now_ns() < end_ns) {
        assert_true(spate_shard_turn(w->client.shard, 20 * MS) >= 0);
        uint32_t count;
        while ((count = spate_shard_events(w->client.shard, events, 16)) > 0) {
            for (uint32_t i = 0; i < count; i++) {
                bool is_answer = events[i].kind == SPATE_EVENT_STREAM_DATA && events[i].u.data.fin;
                if (events[i].kind == SPATE_EVENT_STREAM_DATA)
                    spate_slice_release(w->client.shard, &events[i].u.data.slice);
                answers += is_answer;
                if (events[i].kind == SPATE_EVENT_CONNECTED || (is_answer && answers < ROUNDS))
                    ask(events[i].conn);
            }
        }
    }
    return answers;
}

static void requests_are_answered_in_every_mode(void **state)
{
    (void)state;
    for (size_t i = 0; i < QT_COUNT(modes); i++) {
        spin_ns = modes[i];
        struct pw *w = pw_create(&(struct pw_config){.client = configure});
        /* Made on this thread, turned on the other only. */
        struct server *server = owned_alloc(sizeof(*server));
        server->w = w;
        helper_start(&server->helper, w->server.shard, serve, server);
        assert_int_equal(run_client(w), ROUNDS);
        if (modes[i] == 0) {
            /* The handshake, the acknowledgments at the end, and waits that were cut short. */
            uint64_t calls_max = is_mmsg() ? 3 : 1; /* to send, to wait, to receive */
            assert_true(syscalls_of(&w->client) < calls_max * (ROUNDS + ROUNDS / 5 + 50));
        }
        owned_end_all();
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, a_wait_ends_at_its_time),
        QT_TEST(owned, a_loop_that_polls_makes_no_calls),
        QT_TEST(owned, a_wait_ends_when_a_timer_is_due),
        QT_TEST(owned, a_connection_in_use_leaves_no_deadline_behind),
        QT_TEST(owned, a_wait_for_a_transmit_slot_ends_with_it),
        QT_TEST(owned, a_wait_ends_when_another_thread_calls),
        QT_TEST(owned, posts_never_run_at_the_time_of_an_earlier_turn),
        QT_TEST(owned, a_signal_ends_a_turn_without_end),
        QT_TEST(owned, a_handler_may_wake_its_own_shard),
        QT_TEST(owned, requests_are_answered_in_every_mode),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
