/* SPDX-License-Identifier: MIT */
/* Compares the final states of both sides of a connection. */

#include <inttypes.h>
#include <string.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/sim/world.h"

static bool is_timeout(enum sp_close_kind kind)
{
    return kind == SP_CLOSE_IDLE || kind == SP_CLOSE_HANDSHAKE_TIMEOUT;
}

static uint64_t damaged_count(const struct qs_world *world)
{
    uint64_t count = 0;
    for (int role = 0; role < QS_SIDES; role++)
        count += world->links[role].damaged_count + world->hosts[role].overflow_count;
    return count;
}

/* Called some time after the faults' end: nothing may be in flight any more. */
void qs_judge_work(struct qs_world *world)
{
    for (uint32_t role = 0; role < QS_SIDES && world->plan->must_complete; role++) {
        const struct qs_host *host = &world->hosts[role];
        for (uint32_t i = 0; i < host->end_count; i++) {
            const struct qs_end *end = host->ends[i];
            const struct qs_end *other = qs_host_end_of(host->peer, end->conn_index);
            bool is_over = end->app.is_closed || qs_app_is_complete(&end->app) ||
                           (other != NULL && other->app.is_closed);
            if (end->is_stray || is_over)
                continue;
            qs_fail(&world->trace, "%s is not done in time: %s, %u streams closed", end->who,
                    end->app.is_connected ? "connected" : "not connected", end->app.closed_count);
        }
    }
}

/* [RFC8999 6] Version Negotiation is not protected: damage can leave out what both have. */
static bool was_misled(const struct qs_world *world, const struct qs_end *client)
{
    return client->app.close.kind == SP_CLOSE_VERSION && !client->app.is_connected &&
           damaged_count(world) > 0;
}

/* How this end was closed is among what the plan allows. */
static void judge_close(struct qs_world *world, const struct qs_end *end,
                        const struct qs_end *other)
{
    const struct sp_close *close = &end->app.close;
    const struct qs_expect *expect = &world->plan->expect[end->host->role];
    if (end->was_dropped)
        return;
    if (!end->app.is_closed) {
        qs_fail(&world->trace, "%s never said that it closed", end->who);
        return;
    }
    bool has_code = close->kind == SP_CLOSE_TRANSPORT || close->kind == SP_CLOSE_APP;
    if (close->kind == expect->kind && (!has_code || close->error == expect->error))
        return;
    bool both_connected = other != NULL && end->app.is_connected && other->app.is_connected;
    /* [RFC9000 10.2.3] Until both are connected, an application's error is not sent. */
    if (close->kind == SP_CLOSE_TRANSPORT && close->error == SP_ERR_APPLICATION &&
        !close->is_local && !both_connected)
        return;
    if (expect->kind == SP_CLOSE_NONE && close->kind != SP_CLOSE_TRANSPORT &&
        close->kind != SP_CLOSE_VERSION)
        return;
    if (is_timeout(close->kind) && world->plan->may_time_out)
        return;
    if (close->kind == SP_CLOSE_TRANSPORT && close->error == SP_ERR_INTERNAL &&
        world->plan->may_lack_memory)
        return;
    /* A server that closed may have freed the connection when its client sends again. */
    if (close->kind == SP_CLOSE_STATELESS_RESET && world->plan->side[SP_SERVER].sends_resets &&
        other != NULL && (other->was_dropped || other->app.is_closed))
        return;
    /* The only packet with the CONNECTION_CLOSE may have been lost on the way to this end. */
    if (close->kind == SP_CLOSE_IDLE && damaged_count(world) > 0)
        return;
    if (close->kind == SP_CLOSE_HANDSHAKE_TIMEOUT && damaged_count(world) > 0 && other != NULL &&
        other->app.is_closed)
        return;
    if (was_misled(world, end))
        return;
    /* A late copy of the first Initial made it, after its client had left. */
    if (is_timeout(close->kind) && end->host->role == SP_SERVER && !end->app.is_connected &&
        (other == NULL || other->app.is_closed))
        return;
    qs_fail(&world->trace,
            "%s closed with kind %d, error %#" PRIx64 ", frame %#" PRIx64 " \"%.*s\"", end->who,
            (int)close->kind, close->error, close->frame_type, (int)close->reason_size,
            close->reason);
}

/* One side's reason is the other's, unless both had one of their own. */
static void judge_agreement(struct qs_world *world, const struct qs_end *a, const struct qs_end *b)
{
    const struct sp_close *ours = &a->app.close;
    const struct sp_close *theirs = &b->app.close;
    if (a->was_dropped || b->was_dropped || ours->is_local || is_timeout(ours->kind) ||
        ours->kind == SP_CLOSE_STATELESS_RESET || ours->kind == SP_CLOSE_VERSION)
        return;
    if (!theirs->is_local) {
        qs_fail(&world->trace, "%s and %s were both closed by the other one", a->who, b->who);
        return;
    }
    /* Before the keys allow it, an application's error is hidden.  [RFC9000 10.2.3] */
    if (theirs->kind == SP_CLOSE_APP && ours->kind == SP_CLOSE_TRANSPORT &&
        ours->error == SP_ERR_APPLICATION)
        return;
    /* The reason is left out where little may be sent to an address that is not proven. */
    const struct qs_plan *plan = world->plan;
    bool moves = plan->rebind.count > 0 || plan->moves.count > 0 || plan->copier.copy_ppm > 0 ||
                 plan->side[SP_SERVER].has_preferred;
    bool may_lack_reason = moves && ours->reason_size == 0;
    if (ours->kind != theirs->kind || ours->error != theirs->error ||
        (ours->reason_size != theirs->reason_size && !may_lack_reason) ||
        memcmp(ours->reason, theirs->reason, ours->reason_size) != 0)
        qs_fail(&world->trace,
                "%s was closed with kind %d, error %#" PRIx64 ", %s says kind %d, error %#" PRIx64,
                a->who, (int)ours->kind, ours->error, b->who, (int)theirs->kind, theirs->error);
}

/* Checks that a stream whose sender gave up all but its first bytes has brought those.  Returns
 * whether the receiver has read them and then the reset.  [reliable-reset 5] */
static bool judge_reset_at(struct qs_world *world, const struct qs_end *from,
                           const struct qs_stream *sent, const struct qs_stream *got)
{
    bool has_it = got != NULL && (got->reset_seen || got->fin_seen);
    if (!has_it || got->recv_offset < sent->reliable_size)
        qs_fail(&world->trace,
                "%s has reset stream %" PRIu64 " at %" PRIu64 ", %" PRIu64 " arrived", from->who,
                sent->id, sent->reliable_size, got != NULL ? got->recv_offset : 0);
    if (sent->has_given_up_reliable && sent->is_closed && !sent->is_cut)
        qs_fail(&world->trace, "%s gave up reliable bytes of stream %" PRIu64, from->who, sent->id);
    return has_it && got->reset_seen;
}

/* Checks that all bytes that `from` wrote have arrived at `to`, unless a side abandoned them. */
static void judge_streams(struct qs_world *world, const struct qs_end *from,
                          const struct qs_end *to)
{
    uint64_t id = QS_STREAM_FIRST;
    const struct qs_stream *sent;
    while ((sent = qs_stream_table_next(&from->app.streams, &id)) != NULL) {
        const struct qs_stream *got = qs_stream_table_find(&to->app.streams, id);
        bool stop_asked = got != NULL && got->stop_asked;
        if (sent->reliable_size > 0 && !sent->was_stopped && !stop_asked)
            world->resets_at += judge_reset_at(world, from, sent, got);
        if (!sent->has_send || sent->was_reset || sent->was_stopped || stop_asked)
            continue;
        if (got == NULL || !got->fin_seen) {
            qs_fail(&world->trace, "stream %" PRIu64 " did not arrive at %s", id, to->who);
            return;
        }
        if (sent->given_up_count > 0 && sent->is_closed && !sent->is_cut)
            qs_fail(&world->trace, "%s gave up %" PRIu64 " writes of stream %" PRIu64, from->who,
                    sent->given_up_count, id);
    }
}

/* Checks that undamaged packets could be opened with the keys of their time and were not dropped.
 * */
static void judge_drops(struct qs_world *world, const struct qs_end *end)
{
    uint64_t dropped = end->stats.packets_dropped - end->stats.packets_duplicate;
    if (world->plan->opens_all && end->tap.failed_count > 0)
        qs_fail(&world->trace, "%s could not open %" PRIu64 " packets", end->who,
                end->tap.failed_count);
    if (world->plan->keeps_all && dropped > 0)
        qs_fail(&world->trace, "%s dropped %" PRIu64 " packets", end->who, dropped);
}

/* Both sides speak the version that the plan says.  [RFC9368] */
static void judge_version(struct qs_world *world, const struct qs_end *client,
                          const struct qs_end *server)
{
    uint32_t version = world->plan->version;
    if (client->version != server->version)
        qs_fail(&world->trace, "%s has version %#x, %s has %#x", client->who, client->version,
                server->who, server->version);
    else if (version != 0 && client->version != version)
        qs_fail(&world->trace, "%s has version %#x, not %#x", client->who, client->version,
                version);
}

static void judge_rtt(struct qs_world *world, const struct qs_end *end)
{
    uint64_t max_ns = world->plan->rtt_ns_max[end->host->role];
    if (max_ns > 0 && end->stats.rtt_smoothed_ns > max_ns)
        qs_fail(&world->trace, "%s takes the round trip for %" PRIu64 " us", end->who,
                end->stats.rtt_smoothed_ns / SB_US);
}

static void judge_ptos(struct qs_world *world, const struct qs_end *end)
{
    if (world->plan->has_no_ptos && end->stats.ptos > 0)
        qs_fail(&world->trace, "%s has probed %" PRIu64 " times, and nothing was lost", end->who,
                end->stats.ptos);
}

static void judge_datagrams(struct qs_world *world, const struct qs_end *end)
{
    uint64_t min = world->plan->datagram_bytes_min[end->host->role];
    if (end->stats.datagram_bytes < min)
        qs_fail(&world->trace, "%s sends datagrams of %" PRIu64 " bytes, less than %" PRIu64,
                end->who, end->stats.datagram_bytes, min);
}

/* What is acknowledged was delivered, or dropped by a receiver that says so. */
static void judge_messages(struct qs_world *world, const struct qs_end *from,
                           const struct qs_end *to)
{
    if (from->app.messages_acked > to->app.messages_arrived + to->stats.messages_dropped)
        qs_fail(&world->trace, "%s has %" PRIu64 " messages acknowledged, %s got %" PRIu64,
                from->who, from->app.messages_acked, to->who, to->app.messages_arrived);
    if (world->plan->delivers_messages &&
        to->app.messages_arrived != world->plan->side[from->host->role].app.message_count)
        qs_fail(&world->trace, "%s got %" PRIu64 " messages", to->who, to->app.messages_arrived);
}

static void judge_pair(struct qs_world *world, uint64_t index)
{
    const struct qs_end *client = qs_host_end_of(&world->hosts[SP_CLIENT], index);
    const struct qs_end *server = qs_host_end_of(&world->hosts[SP_SERVER], index);
    if (client == NULL) {
        if (world->plan->may_lack_memory)
            return;
        qs_fail(&world->trace, "connection %" PRIu64 " was never begun", index);
        return;
    }
    judge_close(world, client, server);
    world->key_updates += client->stats.key_updates;
    world->ack_frequencies += client->stats.ack_frequencies_in;
    if (server == NULL) {
        if (world->plan->must_complete && !was_misled(world, client))
            qs_fail(&world->trace, "%s never met a server", client->who);
        return;
    }
    judge_close(world, server, client);
    judge_agreement(world, client, server);
    judge_agreement(world, server, client);
    world->key_updates += server->stats.key_updates;
    world->ack_frequencies += server->stats.ack_frequencies_in;
    if (!world->plan->must_complete || world->trace.has_failed)
        return;

    if (!qs_app_is_complete(&client->app) && !qs_app_is_complete(&server->app))
        qs_fail(&world->trace, "neither %s nor %s saw all streams closed", client->who,
                server->who);
    judge_streams(world, client, server);
    judge_streams(world, server, client);
    judge_messages(world, client, server);
    judge_messages(world, server, client);
    judge_drops(world, client);
    judge_drops(world, server);
    judge_version(world, client, server);
    judge_rtt(world, client);
    judge_datagrams(world, client);
    judge_rtt(world, server);
    judge_datagrams(world, server);
    judge_ptos(world, client);
    judge_ptos(world, server);
    if (world->plan->judges_control && (client->oracle.cids_sent != server->oracle.cids_received ||
                                        server->oracle.cids_sent != client->oracle.cids_received))
        qs_fail(&world->trace, "a CID never arrived");
}

/* As many connections as the plan wants were resumed, and their 0-RTT was answered as it wants. */
static void judge_resumption(struct qs_world *world)
{
    const struct qs_plan *plan = world->plan;
    uint32_t resumed = 0, accepted = 0, rejected = 0, proven = 0;
    for (uint32_t i = 0; i < world->hosts[SP_SERVER].end_count; i++) {
        const struct qs_end *end = world->hosts[SP_SERVER].ends[i];
        proven += end->is_proven && !end->is_stray;
    }
    for (uint32_t i = 0; i < world->hosts[SP_CLIENT].end_count; i++) {
        const struct qs_end *end = world->hosts[SP_CLIENT].ends[i];
        resumed += end->was_resumed;
        accepted += end->early == SP_EARLY_ACCEPTED;
        rejected += end->early == SP_EARLY_REJECTED;
    }
    if (resumed < plan->resumed_min || accepted < plan->accepted_min ||
        rejected < plan->rejected_min || proven < plan->proven_min)
        qs_fail(&world->trace,
                "%u connections were resumed, 0-RTT of %u accepted, of %u rejected, "
                "%u were proven by a token",
                resumed, accepted, rejected, proven);
    uint64_t kept = world->hosts[SP_SERVER].kept.given_count;
    if (kept < plan->kept_min)
        qs_fail(&world->trace, "%" PRIu64 " datagrams of 0-RTT came before their Initials", kept);
}

/* The clients have moved as often as the plan wants. */
static void judge_moves(struct qs_world *world)
{
    const struct qs_plan *plan = world->plan;
    uint32_t migrated = 0, preferred = 0;
    for (uint32_t i = 0; i < world->hosts[SP_CLIENT].end_count; i++) {
        const struct qs_end *end = world->hosts[SP_CLIENT].ends[i];
        migrated += end->path_counts[SP_PATH_MIGRATED];
        preferred += end->path_counts[SP_PATH_PREFERRED];
    }
    if (migrated < plan->migrated_min || preferred < plan->preferred_min)
        qs_fail(&world->trace, "%u moves have succeeded, %u of them to the preferred address",
                migrated + preferred, preferred);
}

/* Clients have retired as many of their server's CIDs as the plan wants. */
static void judge_renewals(struct qs_world *world)
{
    uint32_t retired = 0;
    for (uint32_t i = 0; i < world->hosts[SP_SERVER].end_count; i++)
        retired += world->hosts[SP_SERVER].ends[i]->retired_count;
    if (retired < world->plan->retired_min)
        qs_fail(&world->trace, "%u CIDs were retired, not %u", retired, world->plan->retired_min);
}

void qs_judge_end(struct qs_world *world)
{
    for (uint64_t i = 0; i < world->plan->conn_count && !world->trace.has_failed; i++)
        judge_pair(world, i);
    if (world->trace.has_failed)
        return;
    if (world->trace.packet_count == 0 && !world->plan->may_send_nothing)
        qs_fail(&world->trace, "no packet was sent"); /* such a run tries nothing */
    if (world->plan->lost_max > 0 && damaged_count(world) > world->plan->lost_max)
        qs_fail(&world->trace, "%" PRIu64 " datagrams lost, %" PRIu64 " are to be expected",
                damaged_count(world), world->plan->lost_max);
    judge_resumption(world);
    judge_moves(world);
    judge_renewals(world);
    if (world->key_updates < world->plan->key_updates_min)
        qs_fail(&world->trace, "%" PRIu64 " key updates, not %" PRIu64, world->key_updates,
                world->plan->key_updates_min);
    if (world->ack_frequencies < world->plan->ack_frequencies_min)
        qs_fail(&world->trace, "%" PRIu64 " ACK_FREQUENCY frames, not %" PRIu64,
                world->ack_frequencies, world->plan->ack_frequencies_min);
    if (world->resets_at < world->plan->resets_at_min)
        qs_fail(&world->trace, "%" PRIu64 " resets with a reliable size, not %" PRIu64,
                world->resets_at, world->plan->resets_at_min);
}
