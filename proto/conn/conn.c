/* SPDX-License-Identifier: MIT */
#include "proto/conn/impl.h"

/* Creates and destroys connections, and answers queries.  conn/impl.h lists the other files. */

#include "proto/base/assert.h"
#include "proto/base/time.h"
#include "proto/conn/early.h"
#include "proto/conn/handshake.h"
#include "proto/conn/header_bits.h"
#include "proto/conn/memory.h"
#include "proto/conn/messages.h"
#include "proto/conn/paths.h"
#include "proto/conn/schedule.h"
#include "proto/conn/recovery.h"
#include "proto/conn/space.h"
#include "proto/conn/streams.h"
#include "proto/conn/token.h"
#include "proto/conn/trace.h"
#include "proto/conn/version.h"
#include "proto/recovery/bbr.h"
#include "proto/stream/compact.h"

/* Free objects of each kind that sp_pools_reserve() makes: small ones, and blocks of packets. */
#define RESERVE_SMALL 64
#define RESERVE_LARGE 4

/* Old pieces that are looked at per batch while buffers are scarce: about as many as a batch adds,
 * and few enough to take less time than it. */
#define COMPACT_COUNT 64

/* The peer's exponent until its transport parameters arrive.  [RFC9000 18.2] */
#define ACK_DELAY_EXPONENT 3

void sp_config_init(struct sp_config *config)
{
    *config = (struct sp_config){
        .idle_timeout_ns = 30 * SB_S,
        .handshake_timeout_ns = 10 * SB_S,
        .ack_delay_ns_max = 25 * SB_MS,
        .datagram_size_max = 1472,
        .stream_window_bytes = UINT64_C(1) << 20,
        .stream_window_bytes_max = UINT64_C(128) << 20,
        .conn_window_bytes = UINT64_C(1) << 20,
        .conn_window_bytes_max = UINT64_C(128) << 20,
        .streams_bidi_max = 100,
        .streams_uni_max = 100,
        .streams_local_max = 1000,
        .cid_size = 8,
        .migration = true,
        .follow_preferred = true,
        .ecn = true,
        .pacing = true,
        .grease = true,
        .spin_bit = true,
        .cc_kind = SP_CC_CUBIC,
        .fixed_rate_bytes_per_s = 125000000,
        .ack_frequency = true,
        .reset_stream_at = true,
        .initial_rtt_ns = SP_RTT_INITIAL_NS,
        .initial_window_packets = SP_CC_DATAGRAMS_INITIAL,
        .versions = {.count = 2, .list = {SP_VERSION_1, SP_VERSION_2}},
        .message_count_max = 1024,
        .message_bytes_max = UINT64_C(1) << 20,
    };
}

void sp_pools_init(struct sp_pools *pools, const struct sp_pool_limits *limits,
                   struct sb_memory *memory)
{
    pools->memory = memory;
    pools->share_bytes = UINT64_MAX;
    pools->widen_bytes_max = UINT64_MAX;
#define INIT(pool, type, count_max) \
    sb_pool_init(&pools->pool, #pool, sizeof(type), UINT32_MAX, (count_max), memory)
    INIT(conns, struct sp_conn, limits->conns_max);
    INIT(handshakes, struct sp_handshake, limits->conns_max);
    INIT(earlies, struct sp_early, limits->conns_max);
    INIT(paths, struct sp_conn_path, UINT32_MAX);
    INIT(validations, struct sp_validation, UINT32_MAX);
    INIT(models, struct sp_bbr, UINT32_MAX);
    INIT(careful, struct sp_careful, limits->conns_max);
    INIT(streams, struct sp_stream, limits->streams_max);
    /* The other pools grow with the bytes in flight; `memory` bounds them. */
    INIT(chunks, struct sp_chunk, UINT32_MAX);
    INIT(pieces, struct sp_piece, UINT32_MAX);
    INIT(lent, struct sp_lent, UINT32_MAX);
    INIT(messages, struct sp_message, UINT32_MAX);
    INIT(message_states, struct sp_messages, limits->conns_max);
    INIT(priorities, struct sp_priorities, limits->conns_max);
    INIT(ranges, struct sp_range, UINT32_MAX);
    INIT(acks, struct sp_ack_many, UINT32_MAX);
    INIT(packets, struct sp_sent_block, UINT32_MAX);
    INIT(frames, struct sp_sent_frame, UINT32_MAX);
#undef INIT
    sp_copies_init(&pools->copies, memory);
}

void sp_pools_reserve(struct sp_pools *pools)
{
    (void)sb_pool_reserve(&pools->chunks, RESERVE_SMALL);
    (void)sb_pool_reserve(&pools->pieces, RESERVE_SMALL);
    (void)sb_pool_reserve(&pools->ranges, RESERVE_SMALL);
    (void)sb_pool_reserve(&pools->acks, RESERVE_LARGE);
    (void)sb_pool_reserve(&pools->packets, RESERVE_LARGE);
    (void)sb_pool_reserve(&pools->frames, RESERVE_SMALL);
    sp_copies_reserve(&pools->copies);
}

#define EACH_POOL(pool, pools) \
    for (struct sb_pool *pool = &(pools)->conns; pool <= &(pools)->frames; pool++)

/* EACH_POOL walks them as an array. */
_Static_assert(offsetof(struct sp_pools, frames) - offsetof(struct sp_pools, conns) ==
                   17 * sizeof(struct sb_pool),
               "the pools stand side by side");

void sp_pools_deinit(struct sp_pools *pools)
{
    SB_ASSERT(pools->widened_bytes == 0);
    EACH_POOL(pool, pools)
        sb_pool_deinit(pool);
    sp_copies_deinit(&pools->copies);
}

void sp_pools_reclaim(struct sp_pools *pools)
{
    sp_copies_reclaim(&pools->copies);
}

void sp_pools_compact(struct sp_pools *pools, bool is_scarce)
{
    sp_compact_fresh(&pools->copies);
    if (is_scarce)
        sp_compact_old(&pools->copies, COMPACT_COUNT);
}

uint64_t sp_pools_used(const struct sp_pools *pools)
{
    uint64_t used = sp_copies_used(&pools->copies);
    for (const struct sb_pool *pool = &pools->conns; pool <= &pools->frames; pool++)
        used += pool->used_count;
    return used;
}

/* ---- Life ---- */

/* Makes the CID that goes with preferred addresses, in the transport parameters.  The peer takes
 * two CIDs at least: its active_connection_id_limit is not known yet.  [RFC9000 5.1.1, 18.2] */
static void init_preferred(struct sp_conn *conn, const struct sp_preferred *preferred)
{
    struct sp_cid cid;
    uint8_t token[SP_RESET_TOKEN_SIZE];
    conn->handshake->preferred = *preferred;
    conn->host.make_cid(conn->host.context, conn->config->cid_size, &cid);
    conn->host.reset_token(conn->host.context, &cid, token);
    conn->local_ids.count_max = 2;
    struct sp_cid_local_entry *entry = sp_cid_local_add(&conn->local_ids, &cid, token);
    entry->wants_send = false;
    entry->was_sent = true;
}

static void init_cids(struct sp_conn *conn, const struct sp_conn_args *args)
{
    struct sp_handshake *handshake = conn->handshake;
    struct sp_cid own;
    conn->host.make_cid(conn->host.context, conn->config->cid_size, &own);
    sp_cid_local_init(&conn->local_ids, &own);
    conn->ids_changed = true;

    if (args->role == SP_SERVER) {
        conn->original_dcid = args->client_dcid;
        conn->original_dcid_is_routed = true;
        handshake->has_retry = args->has_retry;
        handshake->original_dcid = args->has_retry ? args->original_dcid : args->client_dcid;
        handshake->retry_scid = args->client_dcid;
        handshake->client_scid = args->client_scid;
        handshake->server_scid = own;
        handshake->server_cid_is_known = true;
        if (args->preferred != NULL && sp_preferred_has_any(args->preferred))
            init_preferred(conn, args->preferred);
        sp_cid_remote_init(&conn->remote_ids, &args->client_scid); /* [RFC9000 7.2] */
        return;
    }
    handshake->client_scid = own;
    sp_conn_choose_dcid(conn);
}

static void init_stores(struct sp_conn *conn, struct sp_pools *pools)
{
    conn->stores = (struct sp_stores){
        .streams = {.pool = &pools->streams},
        .chunks = {.pool = &pools->chunks},
        .ranges = {.pool = &pools->ranges},
        .packets = {.pool = &pools->packets},
        .frames = {.pool = &pools->frames},
        .acks = {.pool = &pools->acks},
    };
}

void sp_conn_set_rate_limit(struct sp_conn *conn, uint64_t bytes_per_s, uint64_t now_ns)
{
    bool is_pacing = conn->config->pacing || conn->path->loss.cc.ops->needs_pacing;
    sp_loss_set_limit(&conn->loss, bytes_per_s, is_pacing, now_ns);
    conn->is_pacer_blocked = false; /* the next sp_conn_send() finds out */
}

struct sp_flight sp_conn_flight(const struct sp_conn *conn)
{
    const struct sp_rtt *rtt = &conn->loss.path->rtt;
    return (struct sp_flight){
        .bytes = conn->loss.path->cc.in_flight_bytes,
        .rtt_min_ns = sp_rtt_has_sample(rtt) ? rtt->min_ns : SB_NEVER,
        .lost_count = conn->loss.path->lost_count,
    };
}

void sp_conn_set_turns(struct sp_conn *conn, uint32_t train_count)
{
    conn->loss.turn_trains = (uint8_t)train_count; /* the next ACK sets the pace */
}

bool sp_conn_is_held(const struct sp_conn *conn, uint64_t now_ns)
{
    return conn->is_held && sp_conn_last_wait(conn, now_ns) == SP_WAIT_HELD;
}

bool sp_conn_is_pacer_blocked(const struct sp_conn *conn)
{
    return conn->is_pacer_blocked;
}

uint32_t sp_conn_path_number(const struct sp_conn *conn)
{
    return conn->loss.path->number;
}

/* Returns the pieces that a connection may hold: those of full datagrams in the largest window. */
static uint32_t pieces_max(const struct sp_config *config)
{
    uint64_t count = config->conn_window_bytes_max / SP_REASSEMBLY_BYTES_PER_PIECE;
    return (uint32_t)SB_MIN(SB_MAX(count, SP_REASSEMBLY_PIECES_MIN), SP_REASSEMBLY_PIECES_MAX);
}

static void init_packets(struct sp_conn *conn, const struct sp_conn_args *args, uint64_t now_ns)
{
    conn->datagram_size = SP_DATAGRAM_SIZE_MIN;
    sp_conn_paths_init(conn, &args->path, args->role == SP_CLIENT || args->address_is_valid);
    sp_loss_init(&conn->loss, conn->handshake->loss, &conn->stores.packets, &conn->path->loss,
                 conn->config->pacing || conn->path->loss.cc.ops->needs_pacing);
    if (conn->config->conn_rate_bytes_per_s_max != 0)
        sp_conn_set_rate_limit(conn, conn->config->conn_rate_bytes_per_s_max, now_ns);
    if (conn->config->ecn)
        sp_ecn_init(&conn->path->loss.ecn, sp_cc_mark(&conn->path->loss.cc));
    conn->loss.peer_is_validating = args->role == SP_CLIENT;
    conn->loss.idle_since_ns = now_ns;
    conn->loss.qlog = conn->qlog;
    conn->skip_at_pn = SP_SKIP_FIRST;
    conn->pieces = (struct sp_piece_store){.pool = &conn->pools->pieces,
                                           .copies = &conn->pools->copies,
                                           .holding = conn->pieces.holding,
                                           .count_max = pieces_max(conn->config),
                                           .count_reserve = SP_REASSEMBLY_PIECES_RESERVE,
                                           .lent_pool = &conn->pools->lent};
    conn->host.random(conn->host.context, &conn->pieces.random, sizeof(conn->pieces.random));
    for (uint32_t i = 0; i < SP_SPACES; i++) {
        struct sp_conn_space *s = i == SP_SPACE_APP ? &conn->app : &conn->handshake->spaces[i];
        *s = (struct sp_conn_space){0};
        sp_ack_init(&s->ack, &conn->stores.acks);
        sp_crypto_stream_init(&s->crypto, &conn->pieces, &conn->stores.ranges,
                              i == SP_SPACE_INITIAL ? SP_CRYPTO_INITIAL_BYTES_MAX
                                                    : SP_CRYPTO_BUFFER_BYTES_MAX);
        conn->spaces[i] = s;
    }
    sp_keyphase_init(&conn->keys, conn->protect.ops);
    sp_ack_request_init(&conn->ack_request);
    conn->keys.update_packets = conn->config->key_update_packets;
}

struct sp_conn *sp_conn_create(const struct sp_conn_args *args, uint64_t now_ns)
{
    SB_ASSERT(args->config->datagram_size_max >= SP_DATAGRAM_SIZE_MIN);
    /* [RFC9000 19.15] With CIDs of no bytes there could be no NEW_CONNECTION_ID. */
    SB_ASSERT(args->config->cid_size >= 4 && args->config->cid_size <= SP_CID_SIZE_MAX);

    struct sp_conn *conn = sb_pool_take(&args->pools->conns);
    if (conn == NULL)
        return NULL;
    struct sp_handshake *handshake = sb_pool_take(&args->pools->handshakes);
    struct sp_holding *holding = sp_holding_open(&args->pools->copies);
    if (handshake == NULL || holding == NULL) {
        sp_holding_unref(holding);
        sb_pool_give(&args->pools->handshakes, handshake);
        sb_pool_give(&args->pools->conns, conn);
        return NULL;
    }
    *handshake = (struct sp_handshake){.start_ns = now_ns};
    *conn = (struct sp_conn){
        .role = args->role,
        .config = args->config,
        .pools = args->pools,
        .protect = args->protect,
        .tls_ops = args->tls_ops,
        .host = args->host,
        .qlog = args->qlog,
        .handshake = handshake,
        .pieces = {.holding = holding},
        .peer_ack_delay_exponent = ACK_DELAY_EXPONENT,
        .idle_from_ns = now_ns,
        .rest_at_ns = SB_NEVER,
        .idle_timeout_ns = args->config->idle_timeout_ns,
    };
    for (uint32_t i = 0; i < SP_SHORTAGES; i++)
        conn->short_since_ns[i] = SB_NEVER;
    sp_header_bits_init(conn);
    sp_conn_version_init(conn, &args->versions, args->version);
    init_stores(conn, args->pools);
    init_packets(conn, args, now_ns);
    init_cids(conn, args);
    if (args->cid_count_max != 0) /* the CID of preferred addresses is made */
        conn->local_ids.own_max = (uint16_t)args->cid_count_max;
    sp_conn_streams_init(conn);
    if (args->role == SP_CLIENT) {
        if (args->token.size <= SP_NEW_TOKEN_SIZE_MAX)
            (void)!sp_conn_copy_token(conn, args->token, &handshake->token);
        if (args->early_params.size > 0)
            sp_conn_early_prepare(conn, args->early_params);
    }
    sp_conn_trace_start(conn, now_ns);
    if (!sp_conn_make_initial_keys(conn, &conn->original_dcid) ||
        (args->role == SP_CLIENT && !sp_conn_start_tls(conn))) {
        sp_conn_destroy(conn);
        return NULL;
    }
    if (args->role == SP_CLIENT)
        sp_conn_advance_tls(conn, SP_LEVEL_INITIAL, now_ns);
    return conn;
}

void sp_conn_destroy(struct sp_conn *conn)
{
    uint32_t steps = UINT32_MAX;
    if (conn == NULL)
        return;
    while (!sp_conn_destroy_some(conn, &steps))
        steps = UINT32_MAX;
}

bool sp_conn_destroy_some(struct sp_conn *conn, uint32_t *steps)
{
    for (uint32_t i = 0; i < SP_SPACES; i++)
        if (conn->loss.spaces[i] != NULL)
            sp_conn_forget_packets(conn, (enum sp_space)i, steps);
    if (!sp_conn_streams_deinit(conn, steps) || !sp_conn_messages_deinit(conn, steps) ||
        *steps == 0)
        return false;

    *steps -= SB_MIN(*steps, SP_UNWIND_CONN_STEPS);
    sp_schedule_deinit(conn);
    sp_conn_end_handshake(conn);
    sp_conn_early_free(conn);
    sb_buffer_unref(conn->new_token.buffer);
    sp_conn_free_space(conn, SP_SPACE_APP);
    SB_ASSERT(conn->stores.streams.count == 0 && conn->stores.chunks.count == 0);
    SB_ASSERT(conn->stores.ranges.count == 0 && conn->stores.packets.count == 0);
    SB_ASSERT(conn->stores.frames.count == 0 && conn->stores.acks.count == 0);
    SB_ASSERT(conn->pieces.count == 0 && conn->pieces.lent_count == 0);
    sp_conn_narrow_window(conn);
    sp_conn_paths_deinit(conn);
    sp_keyphase_deinit(&conn->keys);
    if (conn->tls != NULL)
        conn->tls_ops->destroy(conn->tls);
    sp_holding_unref(conn->pieces.holding);
    sb_pool_give(&conn->pools->conns, conn);
    return true;
}

/* ---- Questions ---- */

bool sp_conn_is_authenticated(const struct sp_conn *conn)
{
    return conn->handshake_state >= SP_HANDSHAKE_AUTHENTICATED;
}

bool sp_conn_is_handshaking(const struct sp_conn *conn)
{
    return conn->state == SP_CONN_OPEN && conn->handshake_state < SP_HANDSHAKE_COMPLETE;
}

bool sp_conn_is_closed(const struct sp_conn *conn)
{
    return conn->state != SP_CONN_OPEN;
}

bool sp_conn_is_address_valid(const struct sp_conn *conn)
{
    return conn->path->is_valid;
}

bool sp_conn_is_drained(const struct sp_conn *conn)
{
    return conn->state == SP_CONN_DRAINED;
}

bool sp_conn_is_resting(const struct sp_conn *conn)
{
    return conn->keys.is_resting;
}

struct sp_tls *sp_conn_tls(struct sp_conn *conn)
{
    return conn->tls;
}

void sp_conn_release_tls(struct sp_conn *conn)
{
    SB_ASSERT(conn->state != SP_CONN_OPEN);
    if (conn->tls != NULL)
        conn->tls_ops->destroy(conn->tls);
    conn->tls = NULL;
}

void sp_conn_stats(const struct sp_conn *conn, struct sp_stats *ret)
{
    *ret = (struct sp_stats){0};
    sp_stats_copy(ret, &conn->stats);
    ret->copied_in_bytes = conn->pieces.copied_bytes + conn->pieces.packed_bytes;
    ret->packets_lost = conn->loss.lost_count;
    ret->packets_spurious = conn->loss.spurious_count;
    ret->persistent_congestions = conn->loss.persistent_count;
    ret->rtt_smoothed_ns = conn->loss.path->rtt.smoothed_ns;
    ret->rtt_min_ns = conn->loss.path->rtt.min_ns;
    ret->rtt_variance_ns = conn->loss.path->rtt.variance_ns;
    ret->cwnd_bytes = conn->loss.path->cc.cwnd_bytes;
    ret->in_flight_bytes = conn->loss.path->cc.in_flight_bytes;
    ret->memory_bytes = sp_conn_memory_bytes(conn);
    ret->datagram_bytes = conn->datagram_size;
    ret->pacing_rate = conn->loss.path->pacer.rate_bytes_per_s;
    ret->congestion = sp_cc_kind_of(&conn->loss.path->cc);
    const struct sp_careful *careful = conn->loss.path->cc.careful;
    ret->resume_phase = careful != NULL ? (uint64_t)careful->phase + 1 : 0;
}

uint64_t sp_conn_take_acked_after_ns(struct sp_conn *conn)
{
    uint64_t after_ns = conn->loss.acked_after_ns;
    conn->loss.acked_after_ns = 0;
    return after_ns;
}

void sp_conn_renew_cids(struct sp_conn *conn, uint32_t count_max)
{
    if (conn->state != SP_CONN_OPEN)
        return;
    sp_cid_local_renew(&conn->local_ids, count_max);
    if (conn->handshake_state >= SP_HANDSHAKE_COMPLETE)
        sp_conn_issue_cids(conn);
}

bool sp_conn_has_old_cids(const struct sp_conn *conn)
{
    return sp_cid_local_has_old(&conn->local_ids);
}

enum sp_result sp_conn_update_keys(struct sp_conn *conn)
{
    if (conn->state != SP_CONN_OPEN)
        return SP_CLOSED;
    conn->keys.update_at = 0;
    return SP_DONE;
}

const struct sp_path *sp_conn_path(const struct sp_conn *conn)
{
    return &conn->path->path;
}

bool sp_conn_uses_socket(const struct sp_conn *conn, uint64_t socket)
{
    for (uint32_t i = 0; i < SP_PATHS_MAX; i++)
        if (conn->paths[i] != NULL && conn->paths[i]->path.socket == socket)
            return true;
    return false;
}

uint32_t sp_conn_path_count(const struct sp_conn *conn)
{
    return conn->path_count;
}

void sp_conn_resume_path(struct sp_conn *conn, const struct sp_careful_saved *saved)
{
    struct sp_cc *cc = &conn->path->loss.cc;
    if (!conn->loss.is_pacing || cc->ops->on_unused == NULL || cc->careful != NULL)
        return;
    struct sp_careful *careful = sb_pool_take(&conn->pools->careful);
    if (careful != NULL)
        sp_careful_begin(careful, cc, saved);
}

bool sp_conn_observe_path(const struct sp_conn *conn, uint64_t now_ns, uint64_t until_ns,
                          struct sp_careful_saved *ret)
{
    const struct sp_loss_path *path = conn->loss.path;
    return sp_careful_observe(&path->cc, &path->rtt, now_ns, until_ns, ret);
}

uint32_t sp_conn_version(const struct sp_conn *conn)
{
    return conn->version;
}

static void check_stream(const struct sp_conn *conn, const struct sp_stream *stream)
{
    sp_stream_send_check(&stream->send);
    sp_stream_recv_check(&stream->recv);
    SB_ASSERT(!stream->is_closed);
    SB_ASSERT((stream->priority & SP_PRIORITY_IN_LINE) == 0 || sb_link_is_in(&stream->send_link));
    SB_ASSERT(stream->control == 0 || stream->is_held || sb_link_is_in(&stream->control_link));
    if (conn->state != SP_CONN_OPEN || stream->send.state == SP_SEND_NONE)
        return;
    /* Nothing that could be sent is forgotten. */
    enum sp_send_want want = sp_stream_send_want(&stream->send, conn->max_data - conn->data_sent);
    SB_ASSERT(want == SP_WANT_NOTHING || stream->is_held || sb_link_is_in(&stream->send_link));
}

void sp_conn_check(const struct sp_conn *conn)
{
    sp_loss_check(&conn->loss);
    sp_conn_messages_check(conn);
    sp_schedule_check(conn);
    SB_ASSERT(conn->data_sent <= conn->max_data);
    SB_ASSERT(conn->window.consumed <= conn->window.received);
    SB_ASSERT(conn->window.received <= conn->window.limit);
    SB_ASSERT(conn->window.limit <= conn->window.consumed + conn->window.size);
    SB_ASSERT(conn->pools->widened_bytes <= conn->pools->widen_bytes_max);
    sp_stream_limits_check(&conn->limits[false]);
    sp_stream_limits_check(&conn->limits[true]);
    for (uint32_t i = 0; i < SP_SPACES; i++) {
        const struct sp_conn_space *s = conn->spaces[i];
        SB_ASSERT((s == NULL) == (conn->loss.spaces[i] == NULL));
        SB_ASSERT(s == NULL || i == SP_SPACE_APP || conn->handshake != NULL);
        if (s == NULL)
            continue;
        sp_ack_check(&s->ack);
        sp_delivery_check(&s->crypto.out);
        sp_reassembly_check(&s->crypto.in);
    }
    SP_STREAM_MAP_EACH(stream, &conn->streams)
        check_stream(conn, stream);
}
