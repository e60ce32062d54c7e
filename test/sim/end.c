/* SPDX-License-Identifier: MIT */
#include "test/sim/end.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/impl.h"
#include "test/sim/bury.h"
#include "test/sim/gather.h"
#include "test/sim/host.h"
#include "test/sim/moves.h"
#include "test/sim/oracle_held.h"
#include "test/sim/oracle_wait.h"
#include "test/sim/retry.h"
#include "test/sim/routes.h"

#define PATH_NS (600 * SB_S) /* what was measured of a path is used for so long */

enum {
    TRAIN_SIZE_MAX = 65507,
    TRAINS_MAX = 5000,  /* a connection that has more trains to send at one time hangs */
    FORGOTTEN_FROM = 3, /* the canary's host keeps so many timers */
};

/* What the connection asks of its host. */

static void host_random(void *context, void *out, size_t size)
{
    struct qs_end *end = context;
    qs_random_bytes(&end->random, out, size);
}

static void host_reset_token(void *context, const struct sp_cid *cid,
                             uint8_t ret_token[SP_RESET_TOKEN_SIZE])
{
    const struct qs_end *end = context;
    qs_host_reset_token(end->host, cid, ret_token);
}

static void host_make_cid(void *context, size_t size, struct sp_cid *ret)
{
    struct qs_end *end = context;
    uint8_t bytes[SP_CID_SIZE_MAX];
    SB_ASSERT(size <= sizeof(bytes));
    qs_random_bytes(&end->random, bytes, size);
    *ret = sp_cid_of(bytes, size);
}

static struct sp_tls *host_make_tls(void *context)
{
    struct qs_end *end = context;
    const struct qs_crypto *crypto = &end->host->crypto;
    struct sp_tls *tls = end->made;
    end->made = NULL;
    if (tls != NULL)
        return tls;
    return crypto->make_tls(crypto, end->host->role, qs_random_next(&end->random));
}

static size_t host_new_token(void *context, uint8_t ret_token[SP_NEW_TOKEN_SIZE_MAX])
{
    struct qs_end *end = context;
    return qs_token_write(end->host, end->conn->version, &end->path.remote, ret_token);
}

/* Uses up the host's ticket and token. */
static void resume(struct qs_end *end, struct sp_conn_args *args)
{
    struct qs_host *host = end->host;
    const struct qs_crypto *crypto = &host->crypto;
    if (host->role != SP_CLIENT || !host->plan->resumes)
        return;
    end->made = crypto->make_tls(crypto, SP_CLIENT, qs_random_next(&end->random));
    /* [RFC9369 5] */
    const struct sp_config *config = &host->side->config;
    uint32_t version =
        config->first_version != 0 ? config->first_version : config->versions.list[0];
    if (host->token_version == version)
        args->token = (struct sb_bytes){host->token, host->token_size};
    host->token_size = 0;
    if (end->made == NULL || host->ticket == NULL || host->ticket_version != version)
        return;
    struct sb_bytes ticket = {host->ticket, host->ticket_size};
    if (!crypto->resume(end->made, ticket, host->plan->wants_early))
        qs_fail(host->trace, "%s cannot use its ticket", end->who);
    args->early_params = crypto->early_params(end->made);
    if (host->ticket_is_later)
        qs_oracle_on_limits(&end->oracle, &host->plan->later, true);
    free(host->ticket);
    host->ticket = NULL;
}

static void on_packet(void *context, const struct qs_packet *packet)
{
    struct qs_end *end = context;
    if (packet->sealed_at != NULL)
        qs_trace_sent(end->host->trace, end->who, packet);
    qs_trace_packet(end->host->trace, end->who, packet->sealed_at != NULL ? ">" : "<", packet);
    qs_oracle_packet(&end->oracle, packet);
    qs_oracle_path_packet(&end->paths, packet);
}

static void step_now(void *context, void *argument)
{
    (void)argument;
    struct qs_end *end = context;
    end->must_wake = false;
    if (end->conn != NULL)
        qs_end_step(end);
}

static void wake(void *context)
{
    struct qs_end *end = context;
    if (end->must_wake)
        return;
    end->must_wake = true;
    qs_clock_at(end->host->clock, end->host->clock->now_ns, step_now, end, NULL);
}

void qs_end_wake(struct qs_end *end)
{
    wake(end);
}

static uint64_t unread(void *context, uint64_t id)
{
    const struct qs_end *end = context;
    if (id == QS_STREAM_FIRST)
        return end->app.unread;
    const struct qs_stream *stream = qs_stream_table_find(&end->app.streams, id);
    return stream != NULL ? stream->unread : 0;
}

static const struct sp_config *config_of(const struct qs_host *host, uint64_t conn_index)
{
    bool is_later = host->role == SP_SERVER && host->plan->has_later && conn_index > 0;
    return is_later ? &host->plan->later : &host->side->config;
}

static void end_init(struct qs_end *end, const struct qs_end_args *args)
{
    struct qs_host *host = args->host;
    end->host = host;
    end->conn_index = args->conn_index;
    end->is_stray = args->is_stray;
    end->path = args->path;
    end->timer_ns = SB_NEVER;
    snprintf(end->who, sizeof(end->who), "%c%u", host->role == SP_CLIENT ? 'C' : 'S',
             (unsigned)args->conn_index);
    if (args->is_stray)
        snprintf(end->who, sizeof(end->who), "X%u", (unsigned)args->serial);
    uint64_t identity[] = {(uint64_t)host->role, args->serial};
    qs_random_init(&end->random, qs_hash(host->plan->seed, identity, sizeof(identity)));
    end->tap = (struct qs_tap){
        .inner = host->crypto.protect,
        .on_packet = on_packet,
        .context = end,
        .trace = host->trace,
        .limits = &host->plan->protect,
    };
    if (host->plan->forgery.is_wanted && host->plan->forgery.role == host->role)
        end->tap.forgery = &host->plan->forgery;
    qs_oracle_path_init(&end->paths, host->trace, end->who);
    qs_oracle_init(&end->oracle, host->trace, end->who, host->plan, host->role);
    end->oracle.address_is_valid |= args->has_retry || args->is_proven;
    end->is_proven = args->is_proven;
    end->oracle.config = config_of(host, args->conn_index);
    end->oracle.unread = unread;
    end->oracle.unread_context = end;
    qs_app_init(&end->app, &(struct qs_app_args){
                               .trace = host->trace,
                               .clock = host->clock,
                               .who = end->who,
                               .role = host->role,
                               .plan = host->plan,
                               .conn_index = args->conn_index,
                               .wake = wake,
                               .wake_context = end,
                           });
}

struct qs_end *qs_end_create(const struct qs_end_args *args)
{
    struct qs_host *host = args->host;
    struct qs_end *end = calloc(1, sizeof(*end));
    SB_ASSERT(end != NULL);
    end_init(end, args);
    struct sp_conn_args conn_args = {
        .role = host->role,
        .config = config_of(host, args->conn_index),
        .pools = &host->pools,
        .protect = qs_tap_protect(&end->tap),
        .tls_ops = host->crypto.tls_ops,
        .host =
            {
                .random = host_random,
                .reset_token = host_reset_token,
                .make_cid = host_make_cid,
                .make_tls = host_make_tls,
                .context = end,
                .new_token = host->side->sends_new_token ? host_new_token : NULL,
            },
        .path = args->path,
        .version = args->version,
        .client_dcid = args->client_dcid,
        .client_scid = args->client_scid,
        .address_is_valid = args->has_retry || args->is_proven,
        .has_retry = args->has_retry,
        .original_dcid = args->original_dcid,
        .cid_count_max = host->side->cid_count_max,
    };
    const struct sp_preferred preferred = {.v4 = qs_addr_preferred()};
    if (host->side->has_preferred)
        conn_args.preferred = &preferred;
    resume(end, &conn_args);
    if (host->plan->qlog_folder != NULL) {
        end->qlog = qs_qlog_create(host->plan->qlog_folder);
        conn_args.qlog = qs_qlog_sink(end->qlog);
    }
    end->conn = sp_conn_create(&conn_args, host->clock->now_ns);
    if (end->conn == NULL) {
        qs_end_destroy(end);
        return NULL;
    }
    return end;
}

void qs_end_destroy(struct qs_end *end)
{
    if (end == NULL)
        return;
    qs_end_drop_conn(end);
    if (end->made != NULL)
        end->host->crypto.tls_ops->destroy(end->made);
    if (end->tap.key_count > 0)
        qs_fail(end->host->trace, "%s leaves %" PRIu64 " keys", end->who, end->tap.key_count);
    qs_app_deinit(&end->app);
    qs_oracle_deinit(&end->oracle);
    qs_oracle_path_deinit(&end->paths);
    qs_qlog_destroy(end->qlog); /* of a connection that was not made */
    free(end);
}

static void note_early(struct qs_end *end)
{
    struct sp_tls *tls = sp_conn_tls(end->conn);
    end->early = sp_conn_early(end->conn);
    if (tls != NULL)
        end->was_resumed |= end->host->crypto.is_resumed(tls);
}

void qs_end_drop_conn(struct qs_end *end)
{
    if (end->conn == NULL)
        return;
    for (uint32_t i = 0; i < end->inbox_count; i++)
        sb_buffer_unref(end->inbox[i].buffer);
    end->inbox_count = 0;
    sp_conn_stats(end->conn, &end->stats);
    if (end->host->side->resumes_paths)
        (void)sp_conn_observe_path(end->conn, end->host->clock->now_ns,
                                   end->host->clock->now_ns + PATH_NS, &end->host->measured);
    end->version = end->conn->version;
    note_early(end);
    qs_app_conn_gone(&end->app);
    sp_conn_destroy(end->conn);
    end->conn = NULL;
    qs_qlog_destroy(end->qlog);
    end->qlog = NULL;
    if (!end->is_buried)
        end->cid_count = 0;
    end->token_count = 0;
    qs_note(end->host->trace, "%s is gone", end->who);
}

static void answer_tls(void *context, void *argument)
{
    (void)argument;
    struct qs_end *end = context;
    end->waits_for_tls = false;
    /* The connection may have ended meanwhile. */
    if (end->conn == NULL || sp_conn_is_closed(end->conn) || sp_conn_tls(end->conn) == NULL)
        return;
    qs_note(end->host->trace, "%s gets the answer for which TLS waits", end->who);
    end->host->crypto.answer(sp_conn_tls(end->conn));
    sp_conn_resume_tls(end->conn, end->host->clock->now_ns);
    qs_end_step(end);
}

/* The answer comes at once, soon, or never. */
static void on_tls_wait(struct qs_end *end)
{
    uint64_t wait_ns = end->host->plan->tls.wait_ns;
    if (end->waits_for_tls)
        qs_fail(end->host->trace, "%s waits for two answers", end->who);
    end->waits_for_tls = true;
    if (wait_ns != SB_NEVER)
        qs_clock_at(end->host->clock,
                    end->host->clock->now_ns + qs_random_between(&end->random, 0, wait_ns),
                    answer_tls, end, NULL);
}

static const struct sp_config *peer_config_of(const struct qs_end *end)
{
    const struct qs_plan *plan = end->host->plan;
    bool is_later = end->host->role == SP_CLIENT && plan->has_later && end->conn_index > 0;
    return is_later ? &plan->later : &plan->side[1 - end->host->role].config;
}

/* The connection takes what an earlier one has measured, as engine/conn/measured.c has it. */
static void resume_path(struct qs_end *end)
{
    struct sp_careful_saved *measured = &end->host->measured;
    if (!end->host->side->resumes_paths || measured->until_ns <= end->host->clock->now_ns)
        return;
    qs_note(end->host->trace, "%s resumes a path of %" PRIu64 " bytes", end->who,
            measured->cwnd_bytes);
    sp_conn_resume_path(end->conn, measured);
    *measured = (struct sp_careful_saved){0};
}

static void take_event(struct qs_end *end, const struct sp_event *event)
{
    if (event->kind == SP_EVENT_CONNECTED)
        resume_path(end);
    if (event->kind == SP_EVENT_EARLY_REJECTED || event->kind == SP_EVENT_CONNECTED)
        qs_oracle_on_limits(&end->oracle, peer_config_of(end),
                            event->kind == SP_EVENT_EARLY_REJECTED);
    switch (event->kind) {
    case SP_EVENT_TICKET:
        qs_token_take_ticket(end, event->ticket);
        qs_app_event(&end->app, event);
        break;
    case SP_EVENT_NEW_TOKEN:
        qs_token_take(end, &event->new_token);
        qs_app_event(&end->app, event);
        break;
    case SP_EVENT_CID_ADDED:
        qs_end_add_cid(end, &event->cid);
        break;
    case SP_EVENT_CID_REMOVED:
        qs_end_remove_cid(end, &event->cid);
        break;
    case SP_EVENT_TOKEN_ADDED:
        qs_end_add_token(end, event->token);
        break;
    case SP_EVENT_TOKEN_REMOVED:
        qs_end_remove_token(end, event->token);
        break;
    case SP_EVENT_TLS_WAIT:
        on_tls_wait(end);
        break;
    case SP_EVENT_PREFERRED:
        qs_end_move(end, &event->preferred.v4);
        break;
    case SP_EVENT_PATH:
        end->path_counts[event->path]++;
        qs_note(end->host->trace, "%s path event %d", end->who, (int)event->path);
        break;
    default:
        qs_app_event(&end->app, event);
        break;
    }
}

/* Returns whether there were any events. */
static bool pull_events(struct qs_end *end)
{
    struct sp_event event;
    bool has_any = false;
    while (!end->host->trace->has_failed && sp_conn_next_event(end->conn, &event)) {
        take_event(end, &event);
        has_any = true;
    }
    return has_any;
}

void qs_end_receive(struct qs_end *end)
{
    uint64_t bytes = 0;
    for (uint32_t i = 0; i < end->inbox_count; i++)
        bytes += end->inbox[i].size;
    for (uint32_t i = 0; i < end->inbox_count; i++)
        qs_oracle_path_in(&end->paths, &end->inbox[i].path.remote, end->inbox[i].size);
    qs_oracle_batch(&end->oracle, bytes);
    if (end->host->clock->now_ns % 3 != 0) /* a number of its own, but none of the seed's */
        qs_gather(end->host, end->inbox, end->inbox_count);
    sp_conn_receive(end->conn, end->inbox, end->inbox_count, end->host->clock->now_ns);
    /* Old pieces of monkeys' victims are copied in the victims' own turns, which count them. */
    bool is_scarce = end->inbox_count == 1 && end->host->plan->monkeys.count == 0;
    sp_pools_compact(&end->host->pools, is_scarce);
    for (uint32_t i = 0; i < end->inbox_count; i++)
        sb_buffer_unref(end->inbox[i].buffer);
    end->inbox_count = 0;
}

/* Returns whether the interface refuses a datagram of `size` bytes. */
static bool is_refused(const struct qs_end *end, size_t size)
{
    const struct qs_side_plan *side = end->host->side;
    return side->interface_size_max != 0 && size > side->interface_size_max &&
           end->host->clock->now_ns >= side->interface_from_ns;
}

static void launch(struct qs_end *end, const struct sp_train *train)
{
    if (end->host->side->drops_first_close && sp_conn_is_closed(end->conn) &&
        !end->has_dropped_close) {
        end->has_dropped_close = true;
        qs_note(end->host->trace, "%s loses its CONNECTION_CLOSE", end->who);
        return;
    }
    for (uint32_t i = 0; i < train->count; i++) {
        size_t begin = i * train->segment_size;
        size_t size = SB_MIN(train->segment_size, train->size - begin);
        if (is_refused(end, size))
            continue;
        struct qs_wire *wire = qs_wire_create(train->data + begin, size);
        wire->from = train->path.local;
        wire->to = train->path.remote;
        wire->ecn = train->ecn;
        if (train->depart_ns > end->host->clock->now_ns && !end->host->side->forgets_departures)
            qs_link_send_at(end->host->out, wire, train->depart_ns);
        else
            qs_link_send(end->host->out, wire);
        qs_note(end->host->trace, "%s > datagram %" PRIu64 " of %zu bytes", end->who,
                end->host->out->sent_count, size);
    }
}

/* One train in a slot of its own and of its exact size.  False when there was none. */
static bool send_train(struct qs_end *end)
{
    struct qs_host *host = end->host;
    uint32_t count = (uint32_t)qs_random_between(&host->random, 1, host->side->train_count_max);
    struct sp_train train = {
        .capacity = SB_MIN(count * host->side->config.datagram_size_max, (size_t)TRAIN_SIZE_MAX),
        .count_max = count,
        .ahead_ns = host->side->ahead_ns,
        .depart_min_ns = end->depart_ns,
    };
    train.data = malloc(train.capacity);
    SB_ASSERT(train.data != NULL);
    qs_oracle_before_send(&end->oracle, end->conn);
    uint32_t sent = sp_conn_send(end->conn, &train, host->clock->now_ns);
    /* As many as the connection had room for: datagrams may be as large as a train. */
    size_t fitting = train.capacity / end->conn->datagram_size;
    end->last_train_count = (uint32_t)SB_MAX(SB_MIN((size_t)count, fitting), (size_t)1);
    if (train.depart_ns < end->depart_ns ||
        train.depart_ns > SB_MAX(host->clock->now_ns + train.ahead_ns, end->depart_ns))
        qs_fail(host->trace, "%s says a wrong time of departure", end->who);
    if (sent > 0)
        end->depart_ns = train.depart_ns;
    if (sent != train.count)
        qs_fail(host->trace, "%s says %u datagrams and sends %u", end->who, sent, train.count);
    if (end->was_last && sent > 0)
        qs_fail(host->trace, "%s sends after its last train", end->who);
    end->was_last = train.is_last;
    qs_oracle_after_send(&end->oracle, end->conn, &train);
    if (end->oracle.address_is_valid)
        qs_oracle_path_first_is_valid(&end->paths);
    if (train.size > 0)
        qs_oracle_path_cid(&end->paths, &end->conn->remote_ids, train.data,
                           host->plan->side[1 - host->role].config.cid_size, &train.path.local);
    if (host->role == SP_SERVER && train.size > 0)
        qs_oracle_path_out(&end->paths, &train.path.remote, train.size);
    if (!host->trace->has_failed)
        launch(end, &train);
    if (train.count > 0 && is_refused(end, train.segment_size)) {
        sp_conn_on_too_large(end->conn, train.segment_size, host->clock->now_ns);
        end->was_last = false;
    }
    free(train.data);
    return sent > 0;
}

static void send_all(struct qs_end *end)
{
    struct qs_host *host = end->host;
    uint64_t now_ns = host->clock->now_ns;
    end->was_last = false;
    for (uint32_t i = 0; !host->trace->has_failed && now_ns >= end->full_until_ns; i++) {
        if (now_ns < host->plan->faults_end_ns &&
            qs_random_chance(&host->random, host->side->socket_full_ppm)) {
            end->full_until_ns =
                now_ns + 1 + qs_random_below(&host->random, host->side->socket_full_ns);
            qs_clock_at(host->clock, end->full_until_ns, step_now, end, NULL);
            return;
        }
        if (!send_train(end))
            return;
        if (i == TRAINS_MAX)
            qs_fail(host->trace, "%s sends without an end", end->who);
    }
}

static void look_at_deadline(void *context, void *argument)
{
    (void)argument;
    struct qs_end *end = context;
    uint64_t now_ns = end->host->clock->now_ns;
    if (end->conn == NULL || end->timer_ns > now_ns)
        return; /* set anew since then */
    end->timer_ns = SB_NEVER;
    if (sp_conn_deadline_ns(end->conn) <= now_ns)
        sp_conn_on_deadline(end->conn, now_ns);
    qs_end_step(end);
}

static void set_timer(struct qs_end *end)
{
    struct qs_host *host = end->host;
    uint64_t now_ns = host->clock->now_ns;
    uint64_t deadline_ns = sp_conn_deadline_ns(end->conn);
    bool has_passed = deadline_ns <= now_ns;
    if (has_passed && now_ns < end->full_until_ns)
        return;                                             /* the socket's step comes */
    bool is_late = has_passed && end->timer_ns != SB_NEVER; /* it has not been met yet */
    if (!is_late && !qs_spins_note(&end->spins, has_passed, end->app.messages_overdue))
        qs_fail(host->trace, "%s wants its deadline again and again", end->who);
    if (deadline_ns == SB_NEVER)
        return;

    uint64_t slack_ns = qs_random_below(&host->random, host->side->timer_slack_ns_max + 1);
    uint64_t at_ns = sb_time_add(SB_MAX(deadline_ns, now_ns), slack_ns);
    if (at_ns >= end->timer_ns)
        return; /* it looks earlier anyway, and sets itself again */
    if (host->plan->forgets_timers && ++end->timer_count > FORGOTTEN_FROM)
        return; /* the canary */
    end->timer_ns = at_ns;
    qs_clock_at(host->clock, at_ns, look_at_deadline, end, NULL);
}

/* Our CONNECTION_CLOSE has not left, so the end is not reported. */
static bool owes_close(const struct qs_end *end)
{
    const struct sp_conn *conn = end->conn;
    return conn->state == SP_CONN_CLOSING && conn->close_packet == SP_CLOSE_PACKET_FIRST;
}

static void check_answers(struct qs_end *end)
{
    const struct qs_app *app = &end->app;
    if (sp_conn_is_closed(end->conn) != (app->is_closed || owes_close(end)))
        qs_fail(end->host->trace, "%s: its state and its events differ about closing", end->who);
    if (!sp_conn_is_closed(end->conn) && sp_conn_is_handshaking(end->conn) == app->is_connected)
        qs_fail(end->host->trace, "%s: its state and its events differ about the handshake",
                end->who);
}

/* The host has let the connection do all that it wanted. */
static bool host_is_patient(const struct qs_end *end)
{
    return end->host->clock->now_ns >= end->full_until_ns && !end->host->plan->may_lack_memory;
}

void qs_end_step(struct qs_end *end)
{
    struct qs_trace *trace = end->host->trace;
    qs_host_share_memory(end->host);
    (void)pull_events(end);
    bool has_events = false; /* after the application has worked */
    if (!trace->has_failed) {
        qs_app_work(&end->app);
        has_events |= pull_events(end);
    }
    send_all(end);
    if (!trace->has_failed)
        has_events |= pull_events(end);
    if (trace->has_failed)
        return;
    if (has_events && !end->app.is_closed)
        wake(end); /* it may answer them, and no packet need come */

    uint32_t interval = end->host->plan->check_interval;
    if (interval > 0 && end->step_count++ % interval == 0) {
        sp_conn_check(end->conn);
        qs_host_check_stores(end->host);
    }
    if (end->app.held_count == 0)
        qs_oracle_check_held(trace, end->who, end->conn);
    check_answers(end);
    end->oracle.is_path_limited = end->conn->loss.is_amplification_blocked;
    if (host_is_patient(end) && !sp_conn_is_closed(end->conn))
        qs_oracle_check_acks(&end->oracle, end->host->side->timer_slack_ns_max);
    if (qs_end_bury(end))
        end->app.is_drained = true;
    if (end->app.is_drained)
        qs_end_drop_conn(end);
    else
        set_timer(end);
    if (end->conn != NULL && end->host->clock->now_ns >= end->full_until_ns)
        qs_oracle_check_wait(end);
}
