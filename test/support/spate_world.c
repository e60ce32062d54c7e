/* SPDX-License-Identifier: MIT */
#include "test/support/spate_world.h"

#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

uint64_t pw_now_ns(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_MONOTONIC, &now), 0);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

struct spate_engine *pw_make_engine_on(const int *cpus)
{
    struct spate_config config;
    struct spate_engine *engine = NULL;
    struct spate_error error = {""};
    spate_config_init(&config);
    config.backend = pw_backend();
    config.cpus = cpus;
    if (spate_engine_create(&config, &engine, &error) != 0)
        fail_msg("%s", error.text);
    return engine;
}

struct spate_engine *pw_make_engine(void)
{
    return pw_make_engine_on(NULL);
}

int pw_listen_at_one_port(struct pw *w, struct spate_shard *shard)
{
    static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
    struct spate_listener *listener;
    (void)pthread_mutex_lock(&lock);
    if (w->address_size == 0)
        w->address = pw_loopback(false, 0, &w->address_size);
    int result = spate_shard_listen(shard, (struct sockaddr *)&w->address, w->address_size,
                                    w->server.tls, NULL, &listener, NULL);
    if (result == 0)
        result = spate_listener_address(listener, &w->address, &w->address_size);
    (void)pthread_mutex_unlock(&lock);
    return result;
}

struct sockaddr_storage pw_loopback(bool is_v6, uint16_t port, socklen_t *ret_size)
{
    struct sockaddr_storage storage = {0};
    if (is_v6) {
        const struct sockaddr_in6 address = {
            .sin6_family = AF_INET6, .sin6_port = htons(port), .sin6_addr = IN6ADDR_LOOPBACK_INIT};
        memcpy(&storage, &address, sizeof(address));
        *ret_size = sizeof(address);
    } else {
        const struct sockaddr_in address = {.sin_family = AF_INET,
                                            .sin_port = htons(port),
                                            .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
        memcpy(&storage, &address, sizeof(address));
        *ret_size = sizeof(address);
    }
    return storage;
}

void pw_make_tls(struct pw *w)
{
    static const char *const alpn[] = {"test"};
    struct spate_error error = {""};
    const struct spate_self_signed_options certificate = {.size = sizeof(certificate),
                                                          .key_type = SPATE_KEY_P256};
    if (spate_self_signed(&certificate, &w->cert_pem, &w->key_pem, &error) != 0)
        fail_msg("%s", error.text);

    const struct spate_tls_options server = {.size = sizeof(server),
                                             .cert_pem = w->cert_pem,
                                             .key_pem = w->key_pem,
                                             .alpn = alpn,
                                             .alpn_count = 1};
    const struct spate_tls_options client = {
        .size = sizeof(client), .ca_pem = w->cert_pem, .alpn = alpn, .alpn_count = 1};
    if (spate_tls_server_create(&server, &w->server.tls, &error) != 0 ||
        spate_tls_client_create(&client, &w->client.tls, &error) != 0)
        fail_msg("%s", error.text);
}

void pw_accept_early(struct pw *w, pw_on_early on_early, void *user)
{
    static const char *const alpn[] = {"test"};
    struct spate_error error = {""};
    const struct spate_tls_options options = {.size = sizeof(options),
                                              .cert_pem = w->cert_pem,
                                              .key_pem = w->key_pem,
                                              .alpn = alpn,
                                              .alpn_count = 1,
                                              .ticket_count = 1,
                                              .early_data = true,
                                              .on_early = on_early,
                                              .early_user = user};
    spate_tls_destroy(w->server.tls);
    w->server.tls = NULL;
    if (spate_tls_server_create(&options, &w->server.tls, &error) != 0)
        fail_msg("%s", error.text);
}

enum spate_backend pw_backend(void)
{
    const char *name = getenv("SPATE_TEST_BACKEND");
    return name != NULL && strcmp(name, "mmsg") == 0 ? SPATE_BACKEND_MMSG : SPATE_BACKEND_AUTO;
}

static void make_end(struct pw_end *end, const char *name, void (*change)(struct spate_config *))
{
    struct spate_config config;
    struct spate_error error = {""};
    spate_config_init(&config);
    config.transmit_slots = 64;
    config.backend = pw_backend();
    if (change != NULL)
        change(&config);
    if (spate_engine_create(&config, &end->engine, &error) != 0)
        fail_msg("%s: %s", name, error.text);
    end->name = name;
    end->shard = spate_engine_shard(end->engine, 0);
}

struct pw *pw_create(const struct pw_config *config)
{
    static const struct pw_config plain;
    struct pw *w = owned_alloc(sizeof(*w));
    (void)owned_add(w, pw_deinit);
    config = config != NULL ? config : &plain;
    pw_make_tls(w);
    make_end(&w->server, "server", config->server);
    make_end(&w->client, "client", config->client);

    struct spate_error error = {""};
    struct sockaddr_storage any = pw_loopback(config->is_v6, 0, &w->address_size);
    if (config->is_any)
        ((struct sockaddr_in *)&any)->sin_addr.s_addr = htonl(INADDR_ANY);
    if (spate_shard_listen(w->server.shard, (struct sockaddr *)&any, w->address_size, w->server.tls,
                           NULL, &w->listener, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(spate_listener_address(w->listener, &w->address, &w->address_size), 0);
    return w;
}

static void destroy_end(struct pw_end *end)
{
    spate_engine_destroy(end->engine);
    spate_tls_destroy(end->tls);
}

void pw_deinit(void *object)
{
    struct pw *w = object;
    destroy_end(&w->client);
    destroy_end(&w->server);
    spate_free(w->cert_pem);
    spate_free(w->key_pem);
}

struct spate_conn *pw_connect(struct pw *w)
{
    struct spate_error error = {""};
    struct spate_conn *conn = NULL;
    if (spate_shard_connect(w->client.shard, (struct sockaddr *)&w->address, w->address_size,
                            PW_SERVER_NAME, w->client.tls, NULL, &conn, &error) != 0)
        fail_msg("%s", error.text);
    return conn;
}

struct spate_conn *pw_connect_with(struct pw *w, struct spate_settings *settings)
{
    struct spate_error error = {""};
    struct spate_conn *conn = NULL;
    const struct spate_connect_options options = {.size = sizeof(options),
                                                  .address = (struct sockaddr *)&w->address,
                                                  .address_size = w->address_size,
                                                  .server_name = PW_SERVER_NAME,
                                                  .tls = w->client.tls,
                                                  .settings = settings};
    if (spate_shard_connect_with(w->client.shard, &options, &conn, &error) != 0)
        fail_msg("%s", error.text);
    return conn;
}

static bool both_have_a_conn(struct pw *w)
{
    assert_int_equal(w->client.closed_count, w->closed_before);
    return w->server.conn != NULL && w->client.conn != NULL;
}

struct spate_conn *pw_connected(struct pw *w)
{
    w->server.conn = NULL;
    w->client.conn = NULL;
    w->closed_before = w->client.closed_count;
    struct spate_conn *conn = pw_connect(w);
    pw_until(w, both_have_a_conn);
    return conn;
}

void pw_default(struct pw_end *end, struct spate_event *event)
{
    if (event->kind == SPATE_EVENT_STREAM_DATA)
        spate_slice_release(end->shard, &event->u.data.slice);
    if (event->kind == SPATE_EVENT_STREAM_BATCH || event->kind == SPATE_EVENT_DATAGRAM_BATCH)
        spate_slices_release(end->shard, event->u.batch.slices, event->u.batch.count);
}

static void count(struct pw_end *end, const struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        end->connected_count++;
        end->conn = event->conn;
        break;
    case SPATE_EVENT_CLOSED:
        end->closed_count++;
        end->conn = NULL;
        end->close = event->u.close;
        (void)snprintf(end->close_reason, sizeof(end->close_reason), "%s", event->u.close.reason);
        break;
    case SPATE_EVENT_STREAM_DATA:
        end->bytes_in += event->u.data.slice.size;
        end->fin_count += event->u.data.fin;
        break;
    case SPATE_EVENT_STREAM_BATCH:
        end->bytes_in += event->u.batch.size_bytes;
        end->fin_count += event->u.batch.fin;
        break;
    case SPATE_EVENT_SENT:
        end->sent_count++;
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        end->stream_closed_count++;
        break;
    default:
        break;
    }
}

void pw_hand_out(struct pw_end *end)
{
    struct spate_event events[32];
    uint32_t event_count;
    while ((event_count = spate_shard_events(end->shard, events, QT_COUNT(events))) > 0) {
        for (uint32_t i = 0; i < event_count; i++) {
            count(end, &events[i]);
            if (end->on_event != NULL)
                end->on_event(end, &events[i]);
            else
                pw_default(end, &events[i]);
        }
    }
}

void pw_wait(struct pw_end *end, uint64_t wait_ns)
{
    if (end->engine == NULL)
        return;
    int result = spate_shard_turn(end->shard, wait_ns);
    if (result < 0)
        fail_msg("%s: the turn gave %d", end->name, result);
    pw_hand_out(end);
}

void pw_turn(struct pw *w)
{
    pw_wait(&w->server, 0);
    pw_wait(&w->client, 0);
}

void pw_until(struct pw *w, bool (*is_done)(struct pw *w))
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_done(w)) {
        pw_turn(w);
        if (pw_now_ns() > end_ns)
            fail_msg("it did not happen within %llu s",
                     (unsigned long long)(PW_PATIENCE_NS / 1000000000));
    }
}

void pw_for(struct pw *w, uint64_t ns)
{
    uint64_t end_ns = pw_now_ns() + ns;
    while (pw_now_ns() < end_ns)
        pw_turn(w);
}

struct spate_shard_stats pw_stats(const struct pw_end *end)
{
    struct spate_shard_stats stats;
    spate_shard_stats(end->shard, &stats);
    return stats;
}

struct spate_shard_stats pw_stats_of_all(struct spate_shard *const *shards, uint32_t count)
{
    struct spate_shard_stats sum = {0};
    for (uint32_t i = 0; i < count; i++) {
        struct spate_shard_stats stats;
        spate_shard_stats(shards[i], &stats);
#define ADD(source, name) sum.name += stats.name;
        SPATE_SHARD_STATS(ADD)
#undef ADD
    }
    return sum;
}

int pw_udp_socket(void)
{
    int fd = owned_fd(socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
    socklen_t size;
    struct sockaddr_storage any = pw_loopback(false, 0, &size);
    assert_int_equal(bind(fd, (struct sockaddr *)&any, size), 0);
    return fd;
}

struct pw_relay *pw_relay_create(const struct pw *w)
{
    struct pw_relay *relay = owned_alloc(sizeof(*relay));
    relay->to_client = pw_udp_socket();
    relay->to_server = pw_udp_socket();
    assert_int_equal(
        connect(relay->to_server, (const struct sockaddr *)&w->address, w->address_size), 0);
    return relay;
}

static void keep_sample(struct pw_relay *relay, const uint8_t *data, size_t size)
{
    if (relay->sample_count == PW_SAMPLES_MAX)
        return;
    struct pw_sample *sample = &relay->samples[relay->sample_count++];
    memcpy(sample->data, data, size);
    sample->size = size;
}

void pw_relay_pass(struct pw_relay *relay)
{
    uint8_t data[PW_DATAGRAM_MAX];
    ssize_t size;
    relay->client_size = sizeof(relay->client);
    while ((size = recvfrom(relay->to_client, data, sizeof(data), 0,
                            (struct sockaddr *)&relay->client, &relay->client_size)) > 0) {
        keep_sample(relay, data, (size_t)size);
        (void)send(relay->to_server, data, (size_t)size, 0);
    }
    while ((size = recv(relay->to_server, data, sizeof(data), 0)) > 0)
        if (!relay->drops_to_client)
            (void)sendto(relay->to_client, data, (size_t)size, 0, (struct sockaddr *)&relay->client,
                         relay->client_size);
}

static void reader_end(void *reader)
{
    spate_quic_lb_reader_destroy(reader);
}

uint32_t pw_relay_balance(struct pw_relay *relay, const struct spate_quic_lb *lb)
{
    struct spate_quic_lb_reader *reader;
    uint32_t count = 0;
    assert_int_equal(spate_quic_lb_reader_create(lb, &reader, NULL), 0);
    (void)owned_add(reader, reader_end);
    for (uint32_t i = 0; i < relay->sample_count; i++) {
        const struct pw_sample *sample = &relay->samples[i];
        uint8_t id[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX] = {0};
        int result = spate_quic_lb_read_datagram(reader, sample->data, sample->size, id);
        bool is_ours = result == 0 && memcmp(id, lb->server_id, lb->server_id_size) == 0;
        assert_true(is_ours || (sample->data[0] & 0x80) != 0);
        count += is_ours;
    }
    relay->sample_count = 0;
    return count;
}

struct spate_conn *pw_connect_through(struct pw *w, const struct pw_relay *relay)
{
    struct pw through = *w; /* the same ends, another address to connect to */
    through.address_size = sizeof(through.address);
    assert_int_equal(
        getsockname(relay->to_client, (struct sockaddr *)&through.address, &through.address_size),
        0);
    return pw_connect(&through);
}
