/* SPDX-License-Identifier: MIT */
/* Engines without sockets, through the public API: the test is the network between them, and their
 * clock.  Nothing here waits: virtual time passes. */

#include "test/support/spate_world.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <sys/un.h>
#include <unistd.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"

enum {
    WIRES_MAX = 4096,
    SLOTS_MAX = 64,
    TRAINS_MAX = 32,
    SERVER_PORT = 443,
    CLIENT_PORT = 4000,
};

/* A datagram, or a train of them, on its way. */
struct wire {
    uint64_t due_ns;
    uint32_t size;
    uint32_t segment_size;
    uint8_t ecn;
    bool is_to_server;
    uint8_t *data;
};

struct net {
    struct pw w;
    uint64_t now_ns;
    uint64_t delay_ns;  /* each way */
    uint32_t loss_each; /* every so many datagrams are lost; 0: none */
    uint64_t datagram_count;
    uint64_t lost_count;
    int next_error; /* what comes of the next train */
    uint32_t error_count;
    struct wire wires[WIRES_MAX];
    uint32_t wire_count;
    struct sockaddr_in server_at, client_at;
};

static struct sockaddr_in address_of(uint32_t host, uint16_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET, .sin_port = htons(port), .sin_addr.s_addr = htonl(host)};
}

static void change_nothing(struct spate_config *config)
{
    (void)config;
}

static struct spate_engine *make_engine(void (*change)(struct spate_config *))
{
    struct spate_config config;
    struct spate_engine *engine = NULL;
    struct spate_error error = {""};
    spate_config_init(&config);
    config.backend = SPATE_BACKEND_HOST;
    config.receive_slots = SLOTS_MAX;
    config.transmit_slots = TRAINS_MAX;
    change(&config);
    if (spate_engine_create(&config, &engine, &error) != 0)
        fail_msg("%s", error.text);
    return engine;
}

static void make_end(struct pw_end *end, const char *name, void (*change)(struct spate_config *))
{
    end->name = name;
    end->engine = make_engine(change);
    end->shard = spate_engine_shard(end->engine, 0);
}

static void net_deinit(void *context)
{
    struct net *net = context;
    for (uint32_t i = 0; i < net->wire_count; i++)
        free(net->wires[i].data);
    pw_deinit(&net->w);
}

static struct net *make_net(void (*change)(struct spate_config *))
{
    struct net *net = calloc(1, sizeof(*net));
    assert_non_null(net);
    owned_add(net, free);
    owned_add(net, net_deinit);
    net->now_ns = 5; /* any clock will do */
    net->delay_ns = 10 * SB_MS;
    net->server_at = address_of(0x0a000002, SERVER_PORT);
    net->client_at = address_of(0x0a000001, CLIENT_PORT);
    pw_make_tls(&net->w);
    make_end(&net->w.server, "server", change);
    make_end(&net->w.client, "client", change);
    assert_int_equal(spate_shard_turn_at(net->w.server.shard, net->now_ns), 0);
    assert_int_equal(spate_shard_turn_at(net->w.client.shard, net->now_ns), 0);
    assert_int_equal(spate_shard_listen(net->w.server.shard, (struct sockaddr *)&net->server_at,
                                        sizeof(net->server_at), net->w.server.tls, NULL,
                                        &net->w.listener, NULL),
                     0);
    return net;
}

static void carry(struct net *net, const uint8_t *data, uint32_t size, uint32_t segment_size,
                  uint8_t ecn, bool is_to_server)
{
    assert_true(net->wire_count < WIRES_MAX);
    uint8_t *copy = malloc(size);
    assert_non_null(copy);
    memcpy(copy, data, size);
    net->wires[net->wire_count++] = (struct wire){
        .due_ns = net->now_ns + net->delay_ns,
        .size = size,
        .segment_size = segment_size,
        .ecn = ecn,
        .is_to_server = is_to_server,
        .data = copy,
    };
}

/* A train that loses nothing goes as one, as over GSO and GRO; else each datagram by itself. */
static void send_train(struct net *net, const struct spate_train *train, bool is_to_server)
{
    const uint8_t *data = train->data;
    uint32_t count = (train->size + train->segment_size - 1) / train->segment_size;
    assert_true(train->size >= 1 && train->segment_size >= 1);
    if (net->loss_each == 0) {
        net->datagram_count += count;
        carry(net, data, train->size, count > 1 ? train->segment_size : 0, train->ecn,
              is_to_server);
        return;
    }
    for (uint32_t at = 0; at < train->size; at += train->segment_size) {
        uint32_t size =
            train->size - at < train->segment_size ? train->size - at : train->segment_size;
        if (++net->datagram_count % net->loss_each == 0)
            net->lost_count++;
        else
            carry(net, data + at, size, 0, train->ecn, is_to_server);
    }
}

static bool take_trains(struct net *net, struct pw_end *end)
{
    struct spate_train trains[TRAINS_MAX];
    bool is_server = end == &net->w.server;
    uint32_t count = spate_shard_trains(end->shard, trains, TRAINS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        const struct sockaddr_in *to = is_server ? &net->client_at : &net->server_at;
        assert_memory_equal(&trains[i].peer, to, sizeof(*to));
        int error = net->next_error;
        net->next_error = 0;
        if (error == 0)
            send_train(net, &trains[i], !is_server);
        net->error_count += error != 0;
        assert_int_equal(spate_shard_train_done(end->shard, trains[i].id, error), 0);
        assert_int_equal(spate_shard_train_done(end->shard, trains[i].id, 0), -EINVAL);
    }
    return count > 0;
}

static void forget_wire(struct net *net, uint32_t index)
{
    free(net->wires[index].data);
    net->wire_count--;
    memmove(&net->wires[index], &net->wires[index + 1],
            (net->wire_count - index) * sizeof(net->wires[0]));
}

/* Gives an end what has come to it by now, as far as it has slots. */
static bool give(struct net *net, struct pw_end *end)
{
    bool is_server = end == &net->w.server;
    struct spate_slot slots[SLOTS_MAX];
    struct spate_given given[SLOTS_MAX];
    uint32_t slot_count = spate_shard_slots(end->shard, slots, SLOTS_MAX);
    uint32_t count = 0;
    for (uint32_t i = 0; i < net->wire_count && count < slot_count;) {
        const struct wire *wire = &net->wires[i];
        if (wire->is_to_server != is_server || wire->due_ns > net->now_ns) {
            i++;
            continue;
        }
        assert_true(wire->size <= slots[count].size);
        memcpy(slots[count].data, wire->data, wire->size);
        given[count++] = (struct spate_given){
            .size = wire->size,
            .segment_size = (uint16_t)wire->segment_size,
            .ecn = wire->ecn,
            .local = (const struct sockaddr *)(is_server ? &net->server_at : &net->client_at),
            .peer = (const struct sockaddr *)(is_server ? &net->client_at : &net->server_at),
        };
        forget_wire(net, i);
    }
    if (count > 0)
        assert_int_equal(spate_shard_give(end->shard, given, count), count);
    return count > 0;
}

/* Both ends until nothing more is to be done now. */
static void settle(struct net *net)
{
    struct pw_end *const ends[] = {&net->w.server, &net->w.client};
    bool is_any = true;
    for (uint32_t round = 0; is_any; round++) {
        assert_true(round < 100000);
        is_any = false;
        for (uint32_t i = 0; i < 2; i++) {
            is_any |= give(net, ends[i]);
            assert_true(spate_shard_turn_at(ends[i]->shard, net->now_ns) >= 0);
            pw_hand_out(ends[i]);
            is_any |= take_trains(net, ends[i]);
            is_any |= spate_shard_deadline_ns(ends[i]->shard) == 0;
        }
    }
}

/* Returns the deadline of a shard, after a look at the same thing as a time-out. */
static uint64_t deadline_of(const struct net *net, struct spate_shard *shard)
{
    struct timespec wait;
    uint64_t due_ns = spate_shard_deadline_ns(shard);
    bool is_limited = spate_shard_timeout(shard, &wait) != NULL;
    assert_int_equal(is_limited, due_ns != SPATE_FOREVER);
    if (is_limited)
        assert_int_equal((uint64_t)wait.tv_sec * SB_S + (uint64_t)wait.tv_nsec,
                         due_ns > net->now_ns ? due_ns - net->now_ns : 0);
    return due_ns;
}

/* Moves the clock to the next time at which anything happens.  False: nothing ever will. */
static bool step(struct net *net)
{
    uint64_t next_ns = SPATE_FOREVER;
    for (uint32_t i = 0; i < net->wire_count; i++)
        next_ns = sb_time_min(next_ns, net->wires[i].due_ns);
    next_ns = sb_time_min(next_ns, deadline_of(net, net->w.server.shard));
    next_ns = sb_time_min(next_ns, deadline_of(net, net->w.client.shard));
    if (next_ns == SPATE_FOREVER)
        return false;
    net->now_ns = SB_MAX(net->now_ns, next_ns);
    settle(net);
    return true;
}

static void until(struct net *net, bool (*is_done)(const struct net *net))
{
    uint64_t start_ns = pw_now_ns();
    settle(net);
    while (!is_done(net)) {
        if (!step(net) || pw_now_ns() - start_ns > PW_PATIENCE_NS)
            fail_msg("nothing more happens at %lu ms", (unsigned long)(net->now_ns / SB_MS));
    }
}

static struct spate_conn *connect_to(struct net *net)
{
    struct spate_conn *conn = NULL;
    assert_int_equal(spate_shard_connect(net->w.client.shard, (struct sockaddr *)&net->server_at,
                                         sizeof(net->server_at), PW_SERVER_NAME, net->w.client.tls,
                                         NULL, &conn, NULL),
                     0);
    return conn;
}

static bool are_connected(const struct net *net)
{
    return net->w.client.connected_count == 1 && net->w.server.connected_count == 1;
}

enum { BYTES = 3000000 };

static uint8_t content[BYTES];

static void check(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA)
        assert_memory_equal(event->u.data.slice.data, content + event->u.data.offset,
                            event->u.data.slice.size);
    pw_default(end, event);
}

static void start_transfer(struct net *net)
{
    uint64_t id;
    for (uint32_t i = 0; i < BYTES; i++)
        content[i] = (uint8_t)(i * 7 + i / 251);
    net->w.server.on_event = check;
    assert_int_equal(spate_stream_open(net->w.client.conn, true, &id), 0);
    assert_int_equal(spate_stream_send(net->w.client.conn, id, content, BYTES, true, 1), 0);
}

static bool has_arrived(const struct net *net)
{
    return net->w.server.bytes_in == BYTES && net->w.client.sent_count == 1;
}

/* One way takes 10 ms of a clock that nobody waits for. */
static void connections_run_in_virtual_time(void **state)
{
    (void)state;
    struct net *net = make_net(change_nothing);
    uint64_t real_ns = pw_now_ns();
    (void)connect_to(net);
    until(net, are_connected);
    assert_in_range(net->now_ns, 30 * SB_MS, 31 * SB_MS);
    start_transfer(net);
    until(net, has_arrived);
    struct spate_conn_stats stats;
    spate_conn_stats(net->w.client.conn, &stats);
    assert_in_range(stats.rtt_smoothed_ns, 20 * SB_MS, 25 * SB_MS);
    assert_int_equal(stats.packets_lost, 0);
    assert_true(net->now_ns > 100 * SB_MS);
    print_message("    %lu ms of virtual time in %lu ms\n", (unsigned long)(net->now_ns / SB_MS),
                  (unsigned long)((pw_now_ns() - real_ns) / SB_MS));

    uint64_t quiet_ns = net->now_ns;
    net->delay_ns = 3600 * SB_S; /* nothing arrives any more */
    while (net->w.client.closed_count == 0)
        assert_true(step(net));
    assert_in_range(net->now_ns - quiet_ns, 29 * SB_S, 31 * SB_S);
    assert_int_equal(net->w.client.close.kind, SPATE_CLOSE_IDLE);
}

static void what_is_lost_is_sent_again(void **state)
{
    (void)state;
    struct net *net = make_net(change_nothing);
    (void)connect_to(net);
    until(net, are_connected);
    net->loss_each = 20;
    start_transfer(net);
    until(net, has_arrived);
    assert_true(net->lost_count > 10);
}

/* [-EIO] As a route that cannot segment; [-EMSGSIZE, -ENETUNREACH] as others. */
static void trains_that_cannot_be_sent_are_lost_or_come_again(void **state)
{
    (void)state;
    static const int errors[] = {-EIO, -EMSGSIZE, -ENOBUFS, -EIO};
    struct net *net = make_net(change_nothing);
    (void)connect_to(net);
    until(net, are_connected);
    start_transfer(net);
    for (uint32_t i = 0; i < QT_COUNT(errors); i++) {
        net->next_error = errors[i];
        while (net->next_error != 0)
            assert_true(step(net));
    }
    until(net, has_arrived);
    assert_int_equal(net->error_count, QT_COUNT(errors));
}

static void keep(struct pw_end *end, struct spate_event *event)
{
    struct spate_slice **next = end->context;
    if (event->kind == SPATE_EVENT_STREAM_DATA)
        *(*next)++ = event->u.data.slice;
    else
        pw_default(end, event);
}

static void with_wide_windows(struct spate_config *config)
{
    config->stream_window_bytes = 8 << 20;
    config->conn_window_bytes = 8 << 20;
    config->receive_slots = 8;
}

/* An application that keeps all slices: the others find memory elsewhere, and no slot is lost. */
static void slots_that_are_kept_come_back(void **state)
{
    (void)state;
    static struct spate_slice kept[BYTES / 1000];
    struct spate_slice *next = kept;
    struct net *net = make_net(with_wide_windows);
    (void)connect_to(net);
    until(net, are_connected);
    start_transfer(net);
    net->w.server.on_event = keep;
    net->w.server.context = &next;
    until(net, has_arrived);
    for (struct spate_slice *slice = kept; slice < next; slice++)
        spate_slice_release(net->w.server.shard, slice);

    struct spate_slot slots[8];
    settle(net);
    assert_int_equal(spate_shard_slots(net->w.server.shard, slots, 8), 8);
}

static struct spate_shard_stats stats_of(const struct pw_end *end)
{
    struct spate_shard_stats stats;
    spate_shard_stats(end->shard, &stats);
    return stats;
}

/* Between two of strangers, whose place in the batch another one takes. */
static void datagrams_of_nobody_are_dropped_and_others_arrive(void **state)
{
    (void)state;
    struct net *net = make_net(change_nothing);
    (void)connect_to(net);
    settle(net); /* the Initial is on its way */
    assert_int_equal(net->wire_count, 1);

    struct spate_shard *server = net->w.server.shard;
    const struct sockaddr_in elsewhere = address_of(0x0a000003, 99);
    struct spate_slot slots[3];
    struct spate_given given[3];
    assert_int_equal(spate_shard_slots(server, slots, 3), 3);
    for (uint32_t i = 0; i < 3; i++) {
        const struct wire *wire = &net->wires[0];
        memcpy(slots[i].data, wire->data, wire->size);
        given[i] = (struct spate_given){
            .size = wire->size,
            .local = (const struct sockaddr *)(i == 1 ? &net->server_at : &elsewhere),
            .peer = (const struct sockaddr *)&net->client_at,
        };
    }
    ((uint8_t *)slots[0].data)[0] ^= 0x40; /* if it were taken for the second, it would not count */
    uint64_t unroutable = stats_of(&net->w.server).unroutable;
    assert_int_equal(spate_shard_give(server, given, 3), 3);
    assert_int_equal(stats_of(&net->w.server).unroutable, unroutable + 2);
    forget_wire(net, 0);
    until(net, are_connected);
    assert_int_equal(stats_of(&net->w.server).handshakes_done, 1);
    assert_int_equal(spate_shard_slots(server, slots, 3), 3);
}

static void mistakes_are_told(void **state)
{
    (void)state;
    struct net *net = make_net(change_nothing);
    struct spate_shard *shard = net->w.server.shard;
    struct spate_slot slots[4];
    settle(net);
    assert_int_equal(spate_shard_slots(shard, slots, 4), 4);
    const struct sockaddr *local = (const struct sockaddr *)&net->server_at;
    const struct sockaddr *peer = (const struct sockaddr *)&net->client_at;
    const struct sockaddr_un path = {.sun_family = AF_UNIX};
    const struct spate_given good = {.size = 20, .local = local, .peer = peer};
    struct spate_given given[5] = {good, good, good, good, good};
    assert_int_equal(spate_shard_give(shard, given, 5), -EINVAL);
    given[1].ecn = 4;
    assert_int_equal(spate_shard_give(shard, given, 2), -EINVAL);
    given[1] = good, given[1].reserved = 1;
    assert_int_equal(spate_shard_give(shard, given, 2), -EINVAL);
    given[1] = good, given[1].peer = NULL;
    assert_int_equal(spate_shard_give(shard, given, 2), -EINVAL);
    given[1] = good, given[1].local = (const struct sockaddr *)&path;
    assert_int_equal(spate_shard_give(shard, given, 2), -EINVAL);
    given[1] = good, given[1].size = 70000; /* longer than a slot */
    memset(slots[0].data, 0, 20);
    assert_int_equal(spate_shard_give(shard, given, 2), 2);
    assert_int_equal(spate_shard_give(shard, given, 3), -EINVAL); /* two slots are left */
    assert_int_equal(spate_shard_turn_at(shard, net->now_ns), 0);
    assert_int_equal(stats_of(&net->w.server).receive_truncated, 1);

    assert_int_equal(spate_shard_turn_at(shard, 0), -EINVAL);
    assert_int_equal(spate_shard_turn_at(shard, net->now_ns - 1), -EINVAL);
    assert_int_equal(spate_shard_train_done(shard, 0, 0), -EINVAL);
    assert_int_equal(spate_shard_train_done(shard, UINT64_MAX, 0), -EINVAL);
    assert_int_equal(spate_shard_train_done(shard, 0, 1), -EINVAL);
}

static void an_engine_with_sockets_has_nothing_of_this(void **state)
{
    (void)state;
    struct pw *w = pw_create(&(struct pw_config){0});
    struct spate_shard *shard = w->server.shard;
    struct spate_slot slot;
    struct spate_train train;
    pw_turn(w);
    assert_int_equal(spate_shard_slots(shard, &slot, 1), 0);
    assert_int_equal(spate_shard_give(shard, NULL, 0), -ENOTSUP);
    assert_int_equal(spate_shard_trains(shard, &train, 1), 0);
    assert_int_equal(spate_shard_train_done(shard, 0, 0), -ENOTSUP);
    assert_int_equal(spate_shard_turn_at(shard, 1), -ENOTSUP);
}

static void what_needs_sockets_or_threads_is_refused(void **state)
{
    (void)state;
    struct spate_engine *engine = NULL;
    struct spate_error error;
    struct spate_config config;
    spate_config_init(&config);
    config.backend = SPATE_BACKEND_HOST;
    config.shard_count = 2;
    assert_int_equal(spate_engine_create(&config, &engine, &error), -EINVAL);
    assert_non_null(strstr(error.text, "one shard"));

    struct net *net = make_net(change_nothing);
    struct spate_handlers handlers;
    spate_handlers_init(&handlers);
    engine = make_engine(change_nothing);
    assert_int_equal(spate_engine_backend(engine), SPATE_BACKEND_HOST);
    assert_string_equal(spate_backend_name(SPATE_BACKEND_HOST), "host");
    assert_int_equal(spate_engine_start(engine, &handlers, &error), -EINVAL);
    assert_non_null(strstr(error.text, "SPATE_BACKEND_HOST"));

    /* Time begins before anything else. */
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    struct sockaddr_in at = address_of(0, 0);
    struct spate_listener *listener;
    assert_int_equal(spate_shard_listen(shard, (struct sockaddr *)&at, sizeof(at),
                                        net->w.server.tls, NULL, &listener, &error),
                     -EINVAL);
    assert_non_null(strstr(error.text, "port"));
    at.sin_port = htons(SERVER_PORT);
    assert_int_equal(spate_shard_listen(shard, (struct sockaddr *)&at, sizeof(at),
                                        net->w.server.tls, NULL, &listener, &error),
                     0);
    assert_int_equal(spate_shard_turn_at(shard, 1), -EBUSY);
    assert_int_equal(spate_shard_turn(shard, SPATE_FOREVER), 0); /* it never waits */
    spate_engine_destroy(engine);
}

/* A pool has noted times of the system's clock. */
static void a_pool_fixes_the_clock(void **state)
{
    (void)state;
    struct net *net = make_net(change_nothing);
    struct spate_engine *engine = make_engine(change_nothing);
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    struct spate_pool *pool = NULL;
    struct spate_pool_options options;
    spate_pool_options_init(&options);
    options.tls = net->w.client.tls;
    assert_int_equal(spate_pool_create(shard, &options, &pool, NULL), 0);
    assert_int_equal(spate_shard_turn_at(shard, 1), -EBUSY);
    spate_pool_destroy(pool);
    assert_int_equal(spate_shard_turn_at(shard, 1), 0);
    spate_engine_destroy(engine);
}

static void note(struct spate_shard *shard, void *argument)
{
    (void)shard;
    *(bool *)argument = true;
}

static void *post(void *argument)
{
    struct spate_shard *shard = ((void **)argument)[0];
    assert_int_equal(spate_shard_post(shard, note, ((void **)argument)[1]), 0);
    return NULL;
}

static void posts_make_the_descriptor_readable(void **state)
{
    (void)state;
    struct net *net = make_net(change_nothing);
    struct spate_shard *shard = net->w.server.shard;
    bool has_run = false;
    struct pollfd polled = {.fd = spate_shard_fd(shard), .events = POLLIN};
    settle(net);
    assert_true(spate_shard_deadline_ns(shard) != 0);
    assert_int_equal(poll(&polled, 1, 0), 0);

    pthread_t thread;
    void *argument[] = {shard, &has_run};
    assert_int_equal(pthread_create(&thread, NULL, post, argument), 0);
    assert_int_equal(poll(&polled, 1, 10000), 1);
    assert_int_equal(pthread_join(thread, NULL), 0);
    settle(net);
    assert_true(has_run);
    assert_true(spate_shard_deadline_ns(shard) != 0);
    assert_int_equal(poll(&polled, 1, 0), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        QT_TEST(owned, connections_run_in_virtual_time),
        QT_TEST(owned, what_is_lost_is_sent_again),
        QT_TEST(owned, trains_that_cannot_be_sent_are_lost_or_come_again),
        QT_TEST(owned, slots_that_are_kept_come_back),
        QT_TEST(owned, datagrams_of_nobody_are_dropped_and_others_arrive),
        QT_TEST(owned, mistakes_are_told),
        QT_TEST(owned, an_engine_with_sockets_has_nothing_of_this),
        QT_TEST(owned, what_needs_sockets_or_threads_is_refused),
        QT_TEST(owned, a_pool_fixes_the_clock),
        QT_TEST(owned, posts_make_the_descriptor_readable),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
