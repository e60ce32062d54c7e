/* SPDX-License-Identifier: MIT */
#include "test/attack/replay_world.h"

#include <errno.h>
#include <string.h>
#include <time.h>

#include "proto/base/time.h"

const uint8_t replay_text[REPLAY_TEXT_SIZE] = "said before the handshake is complete";

void replay_on_client(struct pw_end *end, struct spate_event *event)
{
    struct replay *r = end->context;
    if (event->kind == SPATE_EVENT_TICKET && event->u.bytes.size <= sizeof(r->ticket)) {
        memcpy(r->ticket, event->u.bytes.data, event->u.bytes.size);
        r->ticket_size = event->u.bytes.size;
    }
    if (event->kind == SPATE_EVENT_NEW_TOKEN && event->u.bytes.size <= sizeof(r->token)) {
        memcpy(r->token, event->u.bytes.data, event->u.bytes.size);
        r->token_size = event->u.bytes.size;
    }
    pw_default(end, event);
}

static void on_server(struct pw_end *end, struct spate_event *event)
{
    struct replay *r = end->context;
    r->zero_rtt_count += event->kind == SPATE_EVENT_EARLY;
    if (event->kind == SPATE_EVENT_STREAM_DATA && event->u.data.early)
        r->early_bytes += event->u.data.slice.size;
    pw_default(end, event);
}

void replay_never_retry(struct spate_config *config)
{
    config->retry = SPATE_RETRY_NEVER;
}

void replay_short_handshakes(struct spate_config *config)
{
    config->retry = SPATE_RETRY_NEVER;
    config->handshake_timeout_ns = 100 * SB_MS;
}

void replay_always_retry(struct spate_config *config)
{
    config->retry = SPATE_RETRY_ALWAYS;
}

static struct sockaddr_storage listen_with(struct replay *r, struct spate_shard *shard)
{
    struct spate_error error = {""};
    struct spate_listener *listener;
    socklen_t size;
    struct sockaddr_storage address = pw_loopback(false, 0, &size);
    if (spate_shard_listen(shard, (struct sockaddr *)&address, size, r->w->server.tls, NULL,
                           &listener, &error) != 0)
        fail_msg("%s", error.text);
    assert_int_equal(spate_listener_address(listener, &address, &size), 0);
    return address;
}

static void destroy_other(void *replay)
{
    struct replay *r = replay;
    spate_engine_destroy(r->other.engine);
}

struct replay *replay_create(void (*change)(struct spate_config *))
{
    struct replay *r = owned_alloc(sizeof(*r));
    r->w = pw_create(&(struct pw_config){.server = change});
    (void)owned_add(r, destroy_other);
    pw_accept_early(r->w, NULL, NULL);
    r->w->address = listen_with(r, r->w->server.shard);
    struct spate_config config;
    spate_config_init(&config);
    config.backend = pw_backend();
    change(&config);
    assert_int_equal(spate_engine_create(&config, &r->other.engine, NULL), 0);
    r->other.name = "other";
    r->other.shard = spate_engine_shard(r->other.engine, 0);
    r->other_address = listen_with(r, r->other.shard);
    r->w->client.on_event = replay_on_client;
    r->w->server.on_event = r->other.on_event = on_server;
    r->w->client.context = r->w->server.context = r->other.context = r;
    r->relay = pw_relay_create(r->w);
    return r;
}

static uint64_t cpu_ns(void)
{
    struct timespec now;
    assert_int_equal(clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now), 0);
    return (uint64_t)now.tv_sec * SB_S + (uint64_t)now.tv_nsec;
}

void replay_turn(struct replay *r)
{
    uint64_t before_ns = cpu_ns();
    pw_wait(&r->w->server, 0);
    r->server_cpu_ns += cpu_ns() - before_ns;
    pw_wait(&r->other, 0);
    pw_wait(&r->w->client, 0);
    pw_relay_pass(r->relay);
}

void replay_until(struct replay *r, bool (*is_done)(struct replay *r))
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_done(r)) {
        replay_turn(r);
        if (pw_now_ns() > end_ns)
            fail_msg("it did not happen within %llu s",
                     (unsigned long long)(PW_PATIENCE_NS / SB_S));
    }
}

struct spate_conn *replay_connect_with(struct replay *r, bool through_relay, void *user)
{
    struct spate_error error = {""};
    struct spate_conn *conn;
    struct sockaddr_storage address = r->w->address;
    socklen_t size = r->w->address_size;
    if (through_relay)
        assert_int_equal(getsockname(r->relay->to_client, (struct sockaddr *)&address, &size), 0);
    const struct spate_connect_options options = {
        .size = sizeof(options),
        .address = (struct sockaddr *)&address,
        .address_size = size,
        .early = r->offers_early,
        .server_name = PW_SERVER_NAME,
        .tls = r->w->client.tls,
        .user = user,
        .ticket = r->ticket,
        .ticket_size = r->ticket_size,
        .token = r->token,
        .token_size = r->token_size,
    };
    int e = spate_shard_connect_with(r->w->client.shard, &options, &conn, &error);
    if (e == -ENOBUFS)
        return NULL;
    if (e != 0)
        fail_msg("%s", error.text);
    return conn;
}

void replay_say(struct spate_conn *conn)
{
    uint64_t id;
    assert_int_equal(spate_stream_open(conn, true, &id), 0);
    assert_int_equal(spate_stream_send(conn, id, replay_text, sizeof(replay_text), true, 1), 0);
}

static bool has_both(struct replay *r)
{
    return r->ticket_size > 0 && r->token_size > 0;
}

bool replay_nothing_is_left(struct replay *r)
{
    struct spate_shard_stats stats = pw_stats(&r->w->server);
    return pw_stats(&r->w->client).conns_now == 0 && stats.conns_now == 0 &&
           stats.draining_now == 0;
}

void replay_end(struct replay *r, struct spate_conn *conn)
{
    spate_conn_close(conn, 0, "done");
    replay_until(r, replay_nothing_is_left);
}

void replay_first(struct replay *r, bool through_relay)
{
    struct spate_conn *conn = replay_connect_with(r, through_relay, NULL);
    replay_until(r, has_both);
    replay_end(r, conn);
}
