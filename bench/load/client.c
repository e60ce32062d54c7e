/* SPDX-License-Identifier: MIT */
/* The client's frame around a scenario: one engine of one shard in pull mode, the phases
 * from the first connection to the last goodbye, timeouts, and samples.
 *
 *   CONNECT   the first connection tries the server's addresses in turn; then the others
 *   WARMUP    full load, nothing is counted; skipped with --bytes
 *   MEASURE   from one sample of both processes to the next
 *   DRAIN     open loop only: waits for requests that should have started in time
 *   CLOSE     code 0 on all connections
 *
 * The client requests samples of the server and does not wait for them: they stay in the control
 * socket until the run is over.  Only with --bytes it waits for the first sample, so that no byte
 * comes before it. */

#include "bench/load/client.h"

#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>

#include "bench/load/client_impl.h"
#include "bench/load/clock.h"
#include "bench/load/control.h"
#include "bench/load/endpoint.h"
#include "bench/load/failure.h"
#include "bench/load/hold.h"
#include "bench/load/options.h"
#include "bench/load/payload.h"
#include "bench/load/progress.h"
#include "bench/load/usage.h"

#define EVENTS_PER_BATCH  64
#define CONNECTING_MAX    64 /* handshakes at a time, of connections that are kept */
#define CHECK_INTERVAL_NS (100 * NS_PER_MS)
#define CHECK_COST_FACTOR 100
#define GOODBYE_NS        (500 * NS_PER_MS)
/* The kernel wakes us about that late, so shorter waits are spent turning. */
#define WAKE_SLACK_NS (60 * NS_PER_US)

bool client_fail(struct client *c, const char *format, ...)
{
    char text[sizeof(c->failure->text)];
    va_list arguments;
    va_start(arguments, format);
    (void)vsnprintf(text, sizeof(text), format, arguments);
    va_end(arguments);
    return failure_set(c->failure, "%s", text);
}

void client_peer_text(const struct client *c, char *ret, size_t ret_size)
{
    char address[ADDRESS_TEXT_SIZE];
    address_format(&c->setup->server->items[c->address_index], address);
    (void)snprintf(ret, ret_size, "the server at %s", address);
}

void client_fail_closed(struct client *c, const struct spate_close *close)
{
    char peer[CLIENT_PEER_SIZE];
    char text[384];
    client_peer_text(c, peer, sizeof(peer));
    endpoint_describe_close(close, peer, c->options->timeout_ns, text, sizeof(text));
    (void)client_fail(c, "%s", text);
}

int client_connect(struct client *c, void *user, struct spate_conn **ret, struct spate_error *error)
{
    const struct address *a = &c->setup->server->items[c->address_index];
    const struct spate_connect_options options = {
        .size = sizeof(options),
        .address = (const struct sockaddr *)&a->storage,
        .address_size = a->size,
        .early = c->options->early,
        .server_name = c->setup->server_name,
        .tls = c->tls,
        .user = user,
        .ticket = c->ticket,
        .ticket_size = c->ticket_size,
        .socket_group = c->connect_count++ % options_sockets(c->options),
    };
    return spate_shard_connect_with(c->shard, &options, ret, error);
}

static void keep_ticket(struct client *c, const struct spate_event *e)
{
    uint8_t *ticket = malloc(e->u.bytes.size);
    if (ticket == NULL) {
        (void)client_fail(c, "out of memory");
        return;
    }
    memcpy(ticket, e->u.bytes.data, e->u.bytes.size);
    free(c->ticket);
    c->ticket = ticket;
    c->ticket_size = e->u.bytes.size;
}

void client_release(struct client *c, const struct spate_event *e, size_t payload_size)
{
    struct spate_slice slice = e->u.data.slice;
    if (c->hold != NULL && payload_size > 0)
        hold_add(c->hold, c->shard, slice, clock_now_ns());
    else
        spate_slice_release(c->shard, &slice);
    c->payload_in_bytes += payload_size;
}

/* ---- Samples ---- */

static void take_sample(struct client *c, struct sample *ret)
{
    sample_take(ret, c->shard);
    ret->payload_in_bytes = c->payload_in_bytes;
    ret->payload_out_bytes = c->payload_out_bytes;
    for (uint32_t i = 0; i < c->conn_count; i++)
        if (c->conns[i].is_open)
            sample_add_conn(ret, c->conns[i].conn);
}

static bool receive_server_sample(struct client *c, struct sample *ret)
{
    struct control_message m;
    int status = 0;
    do {
        status = control_receive(c->setup->control, &m, c->options->timeout_ns);
    } while (status == -EINTR);
    if (status != 0)
        return client_fail(c, "the server's process does not answer: %s", strerror(-status));
    if (m.kind == CONTROL_FAILED)
        return client_fail(c, "%s", m.text);
    *ret = m.sample;
    c->samples_asked--;
    return true;
}

static bool sample_both(struct client *c, uint32_t index)
{
    take_sample(c, &c->result->client[index]);
    if (c->ops->on_sample != NULL)
        c->ops->on_sample(c, index);
    if (c->setup->control < 0)
        return true;

    struct control_message m = {.kind = CONTROL_SAMPLE};
    int status = control_send(c->setup->control, &m);
    if (status != 0)
        return client_fail(c, "the server's process is gone: %s", strerror(-status));
    c->samples_asked++;
    if (index == 0 && c->options->bytes == 0 && !c->ops->waits_for_samples)
        return true;
    for (uint32_t i = index + 1 - c->samples_asked; i <= index; i++) {
        if (!receive_server_sample(c, &c->result->server[i]))
            return false;
    }
    return true;
}

bool client_sample(struct client *c, struct sample *ret_client, struct sample *ret_server)
{
    const struct control_message m = {.kind = CONTROL_SAMPLE};
    sample_take(ret_client, c->shard);
    ret_client->payload_in_bytes = c->payload_in_bytes;
    if (c->setup->control < 0)
        return true;
    int status = control_send(c->setup->control, &m);
    if (status != 0)
        return client_fail(c, "the server's process is gone: %s", strerror(-status));
    c->samples_asked++;
    return receive_server_sample(c, ret_server);
}

/* ---- Phases ---- */

/* From the first sample on: on a busy machine that may be taken long after it was due. */
static void enter_measure(struct client *c)
{
    uint64_t duration_ns = c->ops->opens_conns ? 0 : c->options->duration_ns;

    c->phase = PHASE_MEASURE;
    (void)sample_both(c, 0);
    c->measure_end_ns =
        duration_ns == 0 ? SPATE_FOREVER : c->result->client[0].now_ns + duration_ns;
    c->phase_end_ns = c->measure_end_ns;
}

static void begin_load(struct client *c)
{
    bool has_warmup = c->options->warmup_ns > 0 && !c->ops->opens_conns;

    c->begin_ns = clock_now_ns();
    c->phase = PHASE_WARMUP;
    c->phase_end_ns = c->begin_ns + c->options->warmup_ns;
    if (!has_warmup) { /* the first sample comes before the first byte */
        enter_measure(c);
        c->begin_ns = clock_now_ns();
    }
    c->progress_ns = c->begin_ns;
    c->ops->begin(c, c->begin_ns);
}

/* A run in which nothing has moved or finished is no result. */
static void check_result(struct client *c)
{
    const struct result *r = c->result;
    bool is_empty = r->bytes + r->requests + r->handshakes + r->unfinished == 0;
    if (is_empty && *c->setup->stop == 0)
        (void)client_fail(c, "nothing has %s in %.3g s of measuring",
                          r->bytes + r->datagrams == 0 && options_moves_bytes(c->options)
                              ? "arrived"
                              : "finished",
                          (double)r->duration_ns / (double)NS_PER_S);
}

static void enter_close(struct client *c, uint64_t now_ns)
{
    c->ops->finish(c, now_ns);
    check_result(c);
    if (c->hold != NULL)
        hold_release_all(c->hold, c->shard);
    c->phase = c->open_count == 0 ? PHASE_OVER : PHASE_CLOSE;
    c->phase_end_ns = now_ns + GOODBYE_NS;
    for (uint32_t i = 0; i < c->conn_count; i++) {
        if (c->conns[i].is_open)
            spate_conn_close(c->conns[i].conn, 0, "done");
    }
}

static void end_measure(struct client *c, uint64_t now_ns)
{
    if (!sample_both(c, 1))
        return;
    const struct sample *client = c->result->client;
    c->result->duration_ns =
        c->options->bytes > 0 ? now_ns - c->begin_ns : client[1].now_ns - client[0].now_ns;
    bool has_backlog = c->options->rate > 0 && !c->ops->is_done(c);
    if (!has_backlog) {
        enter_close(c, now_ns);
        return;
    }
    c->phase = PHASE_DRAIN;
    c->phase_end_ns = now_ns + c->options->timeout_ns;
}

static bool ends_by_itself(const struct client *c)
{
    return c->options->bytes > 0 || c->ops->opens_conns;
}

static void step_phase(struct client *c, uint64_t now_ns)
{
    bool is_over = now_ns >= c->phase_end_ns || (*c->setup->stop != 0 && c->phase != PHASE_CLOSE);

    switch (c->phase) {
    case PHASE_CONNECT:
        if (*c->setup->stop != 0)
            (void)client_fail(c, "interrupted before anything was measured");
        break;
    case PHASE_WARMUP:
        if (*c->setup->stop != 0)
            (void)client_fail(c, "interrupted before anything was measured");
        else if (is_over)
            enter_measure(c);
        break;
    case PHASE_MEASURE:
        if (is_over || (ends_by_itself(c) && c->ops->is_done(c)))
            end_measure(c, now_ns);
        break;
    case PHASE_DRAIN:
        if (is_over || c->ops->is_done(c))
            enter_close(c, now_ns);
        break;
    case PHASE_CLOSE:
        if (is_over || c->open_count == 0)
            c->phase = PHASE_OVER;
        break;
    case PHASE_OVER:
        break;
    }
}

/* ---- Connections ---- */

bool client_connect_one(struct client *c, uint32_t index)
{
    struct spate_error error = {.text = ""};
    struct client_conn *conn = &c->conns[index];
    int status = client_connect(c, conn, &conn->conn, &error);
    if (status == 0)
        return true;
    char peer[CLIENT_PEER_SIZE];
    client_peer_text(c, peer, sizeof(peer));
    return client_fail(c, "cannot connect to %s: %s", peer,
                       error.text[0] != 0 ? error.text : strerror(-status));
}

/* The first connection stands: this address it is. */
static void on_first_connected(struct client *c, struct spate_conn *conn)
{
    (void)snprintf(c->result->cipher, sizeof(c->result->cipher), "%s", spate_conn_cipher(conn));
    if (!c->ops->keeps_conns) {
        if (!c->options->resume) /* else it waits for its ticket */
            spate_conn_close(conn, 0, "probe");
        return;
    }
}

/* Opens further ones, not all at once: of a rush of thousands the last would wait for longer than
 * --timeout. */
static void connect_more(struct client *c)
{
    while (c->begun_count < c->conn_count && c->begun_count < c->open_count + CONNECTING_MAX) {
        if (!client_connect_one(c, c->begun_count++))
            return;
    }
}

static void on_connected(struct client *c, const struct spate_event *e)
{
    struct client_conn *conn = e->conn_user;

    conn->is_open = true;
    c->open_count++;
    if (c->phase == PHASE_CONNECT)
        c->phase_end_ns = clock_now_ns() + 2 * c->options->timeout_ns;
    if (conn->index == 0)
        on_first_connected(c, e->conn);
    if (c->ops->keeps_conns && !c->ops->opens_conns)
        connect_more(c);
    bool is_ready = c->ops->opens_conns ? conn->index == 0 : c->open_count == c->conn_count;
    if (c->ops->keeps_conns && is_ready)
        begin_load(c);
}

static void on_closed(struct client *c, const struct spate_event *e)
{
    struct client_conn *conn = e->conn_user;
    bool was_open = conn->is_open;
    conn->conn = NULL;
    conn->is_open = false;
    if (was_open)
        c->open_count--;

    if (c->phase == PHASE_CLOSE)
        return;
    if (!c->ops->keeps_conns && was_open) { /* the probe has done its work */
        begin_load(c);
        return;
    }
    /* The address is unreachable or does not answer: the name may have another one. */
    bool is_silent = e->u.close.kind == SPATE_CLOSE_UNREACHABLE ||
                     e->u.close.kind == SPATE_CLOSE_HANDSHAKE_TIMEOUT;
    bool is_probe = c->phase == PHASE_CONNECT && conn->index == 0 && !was_open;
    if (is_probe && is_silent && c->address_index + 1 < c->setup->server->count) {
        c->address_index++;
        (void)client_connect_one(c, 0);
        return;
    }
    client_fail_closed(c, &e->u.close);
}

static bool is_own_conn(const struct client *c, const void *user)
{
    const struct client_conn *conn = user;
    return conn >= c->conns && conn < c->conns + c->conn_count;
}

static void on_ticket(struct client *c, const struct spate_event *e, bool is_own)
{
    bool is_first = c->ticket == NULL;
    keep_ticket(c, e);
    if (is_own && is_first)
        spate_conn_close(e->conn, 0, "probe");
}

static void on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    bool is_own = is_own_conn(c, e->conn_user);

    bool is_of_conn = e->kind == SPATE_EVENT_CONNECTED || e->kind == SPATE_EVENT_CLOSED;
    c->progress_ns = now_ns;
    if (is_own && is_of_conn && c->ops->on_conn != NULL)
        c->ops->on_conn(c, e);
    if (is_own && e->kind == SPATE_EVENT_CONNECTED)
        on_connected(c, e);
    else if (is_own && e->kind == SPATE_EVENT_CLOSED)
        on_closed(c, e);
    else if (e->kind == SPATE_EVENT_TICKET && c->options->resume)
        on_ticket(c, e, is_own);
    else
        c->ops->on_event(c, e, now_ns);
}

/* ---- The loop ---- */

static void check_timeouts(struct client *c, uint64_t now_ns)
{
    if (now_ns < c->check_at_ns)
        return;
    c->check_at_ns = now_ns + CHECK_INTERVAL_NS;

    if (c->setup->control >= 0 && control_is_hung_up(c->setup->control))
        (void)client_fail(c, "the server's process has ended");
    /* Not without need: it walks over all connections. */
    if (c->is_waiting && now_ns > c->progress_ns + CHECK_INTERVAL_NS) {
        struct spate_shard_stats stats;
        spate_shard_stats(c->shard, &stats);
        if (stats.packets_in != c->packets_in)
            c->progress_ns = now_ns;
        c->packets_in = stats.packets_in;
        /* 10 ms with 30,000 connections: that must not become the load. */
        uint64_t rest_ns = CHECK_COST_FACTOR * (clock_now_ns() - now_ns);
        uint64_t most_ns = c->options->timeout_ns / 4;
        c->check_at_ns += rest_ns < most_ns ? rest_ns : most_ns;
    }
    uint64_t silent_ns = now_ns > c->progress_ns ? now_ns - c->progress_ns : 0;
    bool is_running = c->phase != PHASE_CONNECT && c->phase < PHASE_DRAIN;
    if (is_running && c->is_waiting && silent_ns > c->options->timeout_ns) {
        char peer[CLIENT_PEER_SIZE];
        client_peer_text(c, peer, sizeof(peer));
        (void)client_fail(c, "nothing has moved for %.3g s: %s has gone away or hangs (--timeout)",
                          (double)c->options->timeout_ns / (double)NS_PER_S, peer);
    }
    /* The library's own timeouts come first; this one is for what it does not bound. */
    if (c->phase == PHASE_CONNECT && now_ns > c->phase_end_ns) {
        char peer[CLIENT_PEER_SIZE];
        client_peer_text(c, peer, sizeof(peer));
        (void)client_fail(c, "no %s %s within %.3g s (--timeout)",
                          c->open_count > 0 ? "ticket from" : "connection to", peer,
                          (double)(c->phase_end_ns - c->begin_ns) / (double)NS_PER_S);
    }
}

static uint64_t wait_of(const struct client *c, uint64_t due_ns, uint64_t now_ns)
{
    uint64_t until_ns = now_ns + CHECK_INTERVAL_NS;
    if (c->phase_end_ns < until_ns)
        until_ns = c->phase_end_ns;
    if (due_ns < until_ns)
        until_ns = due_ns;
    uint64_t slack_ns = c->ops->opens_conns ? 0 : WAKE_SLACK_NS; /* it counts the turns */
    return until_ns > now_ns + slack_ns ? until_ns - now_ns - slack_ns : 0;
}

static void turn(struct client *c, struct progress *progress)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t due_ns = SPATE_FOREVER;
    if (c->phase >= PHASE_WARMUP && c->phase <= PHASE_DRAIN)
        due_ns = c->ops->on_turn(c, now_ns);
    uint64_t held_ns = c->hold == NULL ? SPATE_FOREVER : hold_release(c->hold, c->shard, now_ns);
    due_ns = held_ns < due_ns ? held_ns : due_ns;

    uint64_t wait_ns = wait_of(c, due_ns, now_ns);
    int status = host_loop_turn(&c->loop, c->shard, wait_ns);
    if (status < 0 && status != -EINTR) {
        (void)client_fail(c, "the client's ring has failed: %s", strerror(-status));
        return;
    }

    struct spate_event events[EVENTS_PER_BATCH];
    uint32_t count = 0;
    do {
        count = spate_shard_events(c->shard, events, EVENTS_PER_BATCH);
        now_ns = clock_now_ns();
        for (uint32_t i = 0; i < count; i++)
            on_event(c, &events[i], now_ns);
    } while (count > 0 && !c->failure->is_set);
    burden_bear(&c->burden, c->shard);

    step_phase(c, now_ns);
    check_timeouts(c, now_ns);
    progress_show(progress, c->phase >= PHASE_MEASURE, c->payload_in_bytes + c->payload_out_bytes,
                  c->finished_count, now_ns);
}

/* ---- From beginning to end ---- */

static bool open_tls(struct client *c)
{
    const struct options *o = c->options;
    struct spate_error error = {.text = ""};
    struct spate_tls_options tls = endpoint_tls_options(o, true);
    tls.insecure = o->insecure;
    tls.ca_file = c->setup->ca_file;
    tls.ca_pem = c->setup->ca_pem;
    if (o->connect != NULL) {
        tls.cert_file = o->cert;
        tls.key_file = o->key;
    }
    int status = spate_tls_client_create(&tls, &c->tls, &error);
    return status == 0 || client_fail(c, "%s", error.text[0] != 0 ? error.text : strerror(-status));
}

static bool open_client(struct client *c)
{
    const struct options *o = c->options;
    bool is_v6 = address_is_v6(&c->setup->server->items[0]);

    c->conn_count = c->ops->keeps_conns ? (uint32_t)o->conns : 1;
    if (o->kind == SCENARIO_BULK)
        c->bulk_count = c->conn_count;
    else if (o->kind == SCENARIO_MIXED)
        c->bulk_count = (uint32_t)o->bulk_conns;
    c->conn_count += o->kind == SCENARIO_MIXED ? c->bulk_count : 0;
    c->conns = calloc(c->conn_count, sizeof(*c->conns));
    if (c->conns == NULL)
        return client_fail(c, "out of memory");
    for (uint32_t i = 0; i < c->conn_count; i++)
        c->conns[i].index = i;
    c->hold = o->hold_ns > 0 ? hold_create(o->hold_ns) : NULL;
    if (o->hold_ns > 0 && c->hold == NULL)
        return client_fail(c, "out of memory");
    const struct endpoint_role role = {
        .is_client = true,
        .is_v6 = is_v6,
        .shards = 1,
        .loop = &c->loop,
    };
    if (!open_tls(c) || !endpoint_open(o, &role, &c->engine, c->failure))
        return false;
    endpoint_warn(c->engine); /* a server of our own says nothing: it would say the same */
    c->shard = spate_engine_shard(c->engine, 0);
    c->result->backend = spate_engine_backend(c->engine);
    c->result->crypto = spate_engine_crypto(c->engine);
    c->result->mtu = endpoint_mtu(o, is_v6);

    /* Open loop: be called when a request is due, not up to 50 us later. */
    (void)prctl(PR_SET_TIMERSLACK, 1000);
    return c->ops->open(c);
}

/* On failure too, so that the server need not wait for its idle timeout. */
static void say_goodbye(struct client *c)
{
    for (uint32_t i = 0; i < c->conn_count; i++) {
        if (c->conns[i].conn != NULL)
            spate_conn_close(c->conns[i].conn, 1, "the client gives up");
    }
    (void)spate_shard_turn(c->shard, 0);
}

static void close_client(struct client *c)
{
    if (c->shard != NULL)
        say_goodbye(c);
    spate_engine_destroy(c->engine); /* first: it may hold what the scenario has lent */
    host_loop_close(&c->loop);
    if (c->state != NULL || c->bulk != NULL || c->rr != NULL)
        c->ops->close(c);
    spate_tls_destroy(c->tls);
    hold_destroy(c->hold);
    free(c->ticket);
    free(c->conns);
}

bool client_run(const struct client_setup *setup, struct result *ret, struct failure *failure)
{
    static const struct client_ops *const all_ops[] = {
        [SCENARIO_BULK] = &client_bulk_ops,           [SCENARIO_RR] = &client_rr_ops,
        [SCENARIO_HANDSHAKE] = &client_handshake_ops, [SCENARIO_DATAGRAM] = &client_datagram_ops,
        [SCENARIO_MIXED] = &client_mixed_ops,         [SCENARIO_IDLE] = &client_idle_ops,
        [SCENARIO_MESSAGES] = &client_messages_ops,
    };
    bool is_soak = setup->options->scenario == SCENARIO_SOAK;
    struct client c = {
        .setup = setup,
        .options = setup->options,
        .ops = is_soak ? &client_soak_ops : all_ops[setup->options->kind],
        .failure = failure,
        .result = ret,
        .begin_ns = clock_now_ns(),
        .begun_count = 1,
        .loop.is_epoll = setup->options->epoll,
        .burden.percent = setup->options->burden_percent,
    };
    struct progress progress = progress_of(setup->options->kind);

    memset(ret, 0, sizeof(*ret));
    spate_histogram_init(&ret->latency);
    spate_histogram_init(&ret->first_byte);
    ret->have_server = setup->control >= 0;
    c.progress_ns = c.begin_ns;
    c.phase_end_ns = c.begin_ns + (setup->server->count + 1) * setup->options->timeout_ns;
    usage_open();
    if (open_client(&c) && client_connect_one(&c, 0)) {
        while (c.phase != PHASE_OVER && !failure->is_set)
            turn(&c, &progress);
    }
    progress_clear(&progress);
    close_client(&c);
    usage_close();
    return !failure->is_set;
}
