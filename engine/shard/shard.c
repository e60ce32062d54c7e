/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard.h"

/* Creates and destroys a shard, and runs its turn. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "crypto/reset.h"
#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "engine/config/lent.h"
#include "engine/conn/ask.h"
#include "engine/message/messenger.h"
#include "engine/net/listen_all.h"
#include "engine/shard/backend.h"
#include "proto/base/assert.h"

enum {
    STREAMS_MAX = 1 << 24, /* per shard; the memory budget is reached earlier */
};

/* ---- making it ---- */

static uint32_t power_of_two_from(uint32_t value)
{
    uint32_t power = 1;
    while (power < value)
        power *= 2;
    return power;
}

/* Sizes the queues so that a turn need not enter the kernel twice: one submission per transmit
 * slot, two per port (a receive and a cancellation), and the eventfd.  What is not counted is a
 * train that is split where GSO does not work, and the application's own operations: then a full
 * queue is submitted in between. */
static struct su_ring_config ring_config(const struct spate_config *config,
                                         const struct su_lent_config *lent)
{
    uint32_t sq_count = power_of_two_from(config->transmit_slots + 2 * SE_PORTS_MAX + 2);
    uint32_t slots = config->transmit_slots + config->receive_slots;
    return (struct su_ring_config){
        .backend = se_backend_of_ring(config->backend),
        .sq_count = SB_MIN(sq_count, 32768u),
        .cq_count = SB_MAX(4 * sq_count, power_of_two_from(2 * slots)),
        .file_count = SU_RING_FILE_COUNT_MAX,
        .lent = lent,
    };
}

static int init_ring(struct spate_shard *shard, struct spate_error *error)
{
    const struct spate_config *config = shard->config;
    struct su_lent_config lent = {.uring = NULL};
    if (config->lent_ring != NULL)
        lent = se_lent_to_uring(config->lent_ring);
    const struct su_ring_config ring =
        ring_config(config, config->lent_ring != NULL ? &lent : NULL);
    const char *step = "io_uring";
    int result = su_ring_init(&shard->ring, &ring);
    if (result == 0) {
        step = "eventfd";
        result = su_wake_init(&shard->wake, &shard->ring, shard->index);
    }
    if (result == 0) {
        const struct su_bufring_config slots = {
            .slot_count = power_of_two_from(config->receive_slots),
            .group = config->lent_ring != NULL ? config->lent_ring->buffer_group : 0,
        };
        step = "receive slots";
        result = su_bufring_init(&shard->bufring, &shard->ring, &slots);
    }
    if (result == 0) {
        step = "transmit slots";
        result = su_send_init(&shard->send, &shard->ring, config->transmit_slots, false);
    }
    if (result == 0 && config->zero_copy)
        su_send_begin_zero_copy(&shard->send);
    if (result != 0 && config->lent_ring != NULL)
        se_lent_explain(config->lent_ring, step, result, error);
    else if (result != 0)
        se_error_set(error, "%s: %s%s", step, strerrordesc_np(-result),
                     result == -EPERM    ? " (sysctl kernel.io_uring_disabled, or seccomp?)"
                     : result == -ENOSYS ? " (this kernel, or a filter, has no io_uring)"
                                         : "");
    return result;
}

static bool charge(void *memory, uint64_t size)
{
    return se_memory_charge(memory, size);
}

static void refund(void *memory, uint64_t size)
{
    se_memory_refund(memory, size);
}

static void init_pools(struct spate_shard *shard)
{
    const struct spate_config *config = shard->config;
    const struct sp_pool_limits limits = {
        .conns_max = config->conns_max,
        .streams_max = STREAMS_MAX,
    };
    /* Copies of datagrams may take up to half of the memory. */
    uint64_t small_max = config->memory_bytes_max / 2 / SE_SMALL_SIZE;

    se_memory_init(&shard->memory, config->memory_bytes_max);
    sp_pools_init(&shard->pools, &limits, &shard->memory.interface);
    shard->pools.widen_bytes_max =
        se_memory_bound(&shard->memory, SE_NEED_ORDINARY) / SP_HELD_BYTES_PER_CREDIT_MAX;
    sb_pool_init(&shard->conn_pool, "connections", sizeof(struct spate_conn), UINT32_MAX,
                 config->conns_max, &shard->memory.interface);
    sb_pool_init(&shard->key_pool, "keys", sizeof(struct sc_fused_key), UINT32_MAX, UINT32_MAX,
                 &shard->memory.interface);
    sb_pool_init(&shard->schedule_pool, "schedules", sizeof(struct sc_fused_schedule), UINT32_MAX,
                 UINT32_MAX, &shard->memory.interface);
    sc_memory_init(&shard->crypto_memory, &shard->memory.interface);
    shard->crypto_memory.charge = charge;
    shard->crypto_memory.refund = refund;
    shard->crypto_memory.context = &shard->memory;
    if (shard->fused != NULL)
        shard->own_fused = *shard->fused;
    shard->own_fused.memory = &shard->crypto_memory;
    shard->own_fused.keys = &shard->key_pool;
    shard->own_fused.schedules = &shard->schedule_pool;
    shard->fused = &shard->own_fused;
    sb_pool_init(&shard->exchange_pool, "exchanges", sizeof(struct se_exchange), UINT32_MAX,
                 SE_MESSAGE_EXCHANGES_MAX, &shard->memory.interface);
    sb_pool_init(&shard->segment_pool, "segments", sizeof(struct se_segment), UINT32_MAX,
                 SE_MESSAGE_EXCHANGES_MAX, &shard->memory.interface);
    se_buffers_init(&shard->copies, (uint32_t)SB_MIN(small_max, (uint64_t)UINT32_MAX),
                    &shard->memory.interface);
}

static int init_tables(struct spate_shard *shard)
{
    uint32_t conns_max = shard->config->conns_max;
    uint32_t tombstones_max = se_tombstones_max(conns_max);
    struct se_siphash_key key;
    se_entropy_fill(&shard->entropy, &key, sizeof(key));
    int error = se_table_init(&shard->cids,
                              conns_max * SE_CONN_CIDS_MAX + tombstones_max * SE_TOMBSTONE_CIDS_MAX,
                              key, &shard->memory);
    se_entropy_fill(&shard->entropy, &key, sizeof(key));
    if (error == 0)
        error = se_table_init(&shard->tokens, conns_max * SE_CONN_TOKENS_MAX + tombstones_max, key,
                              &shard->memory);
    if (error == 0)
        error = se_tombstones_init(&shard->tombstones, conns_max);
    se_entropy_fill(&shard->entropy, &key, sizeof(key));
    const struct se_budget_limits limits = {
        .handshakes_max = shard->config->handshakes_max,
        .conns_max = conns_max,
        .memory_max = (uint32_t)SB_MIN(shard->config->memory_bytes_max / 2 / SE_TLS_BYTES,
                                       (uint64_t)UINT32_MAX),
    };
    se_budget_init(&shard->budget, &limits, key);
    se_entropy_fill(&shard->entropy, &key, sizeof(key));
    if (error == 0)
        error = se_measured_init(&shard->measured, shard->config->resume_path_ns, key);
    se_entropy_fill(&shard->entropy, &key, sizeof(key));
    se_groups_init(&shard->groups, key);
    shard->slots = calloc(conns_max, sizeof(shard->slots[0]));
    shard->slot_free = SE_CONN_NONE;
    return error != 0 || shard->slots != NULL ? error : -ENOMEM;
}

static void init_lists(struct spate_shard *shard)
{
    sb_list_init(&shard->all);
    sb_list_init(&shard->send_pending);
    se_limit_set(&shard->limit, shard->config->shard_rate_bytes_per_s_max, 0);
    se_depart_init(&shard->depart, shard->config->kernel_pacing == SPATE_KERNEL_PACING_AUTO);
    sb_list_init(&shard->event_pending);
    sb_list_init(&shard->ended);
    sb_list_init(&shard->asking);
    sb_list_init(&shard->unwinding);
    sb_list_init(&shard->rx.conns);
    shard->rx.guarded_tick = se_rx_tick(shard->now_ns) - SE_RX_GUARD_TICKS - 1;
    se_wheel_init(&shard->wheel, shard->now_ns);
    sb_list_init(&shard->tasks);
    se_timer_init(&shard->memory_timer);
    shard->memory_timer.kind = SE_TIMER_MEMORY;
    bool may_wait =
        shard->config->backend != SPATE_BACKEND_HOST && shard->config->lent_ring == NULL;
    se_spin_init(&shard->spin, may_wait ? shard->config->spin_ns : 0, shard->now_ns);
    se_mpsc_init(&shard->posts, shard->post_cells, SE_POSTS_MAX);
    se_mpsc_init(&shard->strays, shard->stray_cells, SE_STRAYS_MAX);
    atomic_init(&shard->owner_tid, 0);
    atomic_init(&shard->is_threaded, false);
    atomic_init(&shard->is_wake_wanted, false);
    atomic_init(&shard->calls, 0);
    atomic_init(&shard->lb_wanted, NULL);
    atomic_init(&shard->work_since_ns, 0);
    se_channels_init(&shard->channels);
    se_admit_init(&shard->admit);
    se_ports_init(shard);
}

int se_shard_set_keys(struct spate_shard *shard, const uint8_t *token_key, const uint8_t *reset_key)
{
    uint8_t own_key[SC_RESET_KEY_SIZE];
    sc_reset_derive_key(reset_key, shard->index, own_key);
    struct sc_reset *reset = sc_reset_create(own_key);
    explicit_bzero(own_key, sizeof(own_key));
    if (reset == NULL)
        return -ENOMEM;
    se_retry_deinit(&shard->retry);
    sc_reset_destroy(shard->reset);
    shard->reset = reset;
    return se_retry_init(&shard->retry, token_key);
}

int se_shard_init(struct spate_shard *shard, const uint8_t *reset_key, struct spate_error *error)
{
    shard->now_ns = se_clock_now_ns();
    init_lists(shard);
    se_config_to_proto(shard->config, &shard->proto_config);
    shard->proto_config.cid_size = shard->own_cids.form.size;
    init_pools(shard);
    int result = se_entropy_init(&shard->entropy);
    if (result == 0)
        result = init_tables(shard);
    if (result == 0)
        result = se_shard_set_keys(shard, shard->config->token_key, reset_key);
    if (result != 0) {
        se_error_set(error, "shard %u: %s", shard->index, strerrordesc_np(-result));
        return result;
    }
    return init_ring(shard, error);
}

/* ---- unmaking it ---- */

void se_shard_stop(struct spate_shard *shard)
{
    se_channels_end(shard, -ESHUTDOWN);
    struct sb_link *link;
    while ((link = sb_list_first(&shard->all)) != NULL)
        se_conn_destroy(SB_CONTAINER_OF(link, struct spate_conn, all_link));
    do
        shard->unwind_steps = UINT32_MAX;
    while (!se_conns_unwind(shard));
    se_operations_stop_ring(shard);
    se_ports_deinit(shard);
    se_shard_end_work(shard, shard->now_ns);
}

static void end_tasks(struct spate_shard *shard)
{
    struct sb_link *link;
    while ((link = sb_list_first(&shard->tasks)) != NULL) {
        struct se_task *task = SB_CONTAINER_OF(link, struct se_task, link);
        se_task_leave(&shard->wheel, task);
        task->end(task);
    }
}

static void deinit_ring(struct spate_shard *shard)
{
    su_bufring_reclaim(&shard->bufring);
    su_bufring_deinit(&shard->bufring);
    su_send_deinit(&shard->send);
    su_ring_deinit(&shard->ring);
}

int se_shard_try(const struct spate_config *config)
{
    struct spate_shard *shard = aligned_alloc(_Alignof(struct spate_shard), sizeof(*shard));
    if (shard == NULL)
        return -ENOMEM;
    memset(shard, 0, sizeof(*shard));
    shard->config = config;
    int result = init_ring(shard, NULL);
    (void)su_ring_stop(&shard->ring);
    su_wake_deinit(&shard->wake);
    deinit_ring(shard);
    free(shard);
    return result;
}

void se_shard_deinit(struct spate_shard *shard)
{
    se_shard_stop(shard);
    end_tasks(shard);
    su_wake_deinit(&shard->wake); /* other threads could still ring until here */
    se_events_discard(shard);
    se_channels_deinit(&shard->channels);
    se_strays_close(shard);
    deinit_ring(shard);
    se_operations_deinit(&shard->operations);

    sc_reset_destroy(shard->reset);
    se_cids_deinit(shard);
    se_retry_deinit(&shard->retry);
    se_depart_deinit(&shard->depart);
    se_measured_deinit(&shard->measured);
    se_table_deinit(&shard->cids);
    se_table_deinit(&shard->tokens);
    se_tombstones_deinit(&shard->tombstones);
    free(shard->slots);
    se_stat_deinit(shard);
    se_early_expire(&shard->early, SB_NEVER);
    se_buffers_deinit(&shard->copies);
    sp_pools_reclaim(&shard->pools);
    sb_pool_deinit(&shard->conn_pool);
    sb_pool_deinit(&shard->exchange_pool);
    sb_pool_deinit(&shard->segment_pool);
    sp_pools_deinit(&shard->pools);
    sb_pool_deinit(&shard->key_pool);
    sb_pool_deinit(&shard->schedule_pool);
    sc_memory_deinit(&shard->crypto_memory);
    se_memory_deinit(&shard->memory);
    se_entropy_deinit(&shard->entropy);
}

/* ---- the turn ---- */

/* Returns the kernel's number of the calling thread.  Unlike an address, a thread that is made
 * later does not get the number of one that has ended. */
static pid_t own_tid(void)
{
    static _Thread_local pid_t tid;
    if (SB_UNLIKELY(tid == 0))
        tid = gettid();
    return tid;
}

bool se_shard_is_mine(const struct spate_shard *shard)
{
    /* Relaxed: only the owner finds its own number there. */
    pid_t owner = atomic_load_explicit(&shard->owner_tid, memory_order_relaxed);
    return owner == 0 || owner == own_tid();
}

int se_shard_bind(struct spate_shard *shard)
{
    pid_t nobody = 0;
    if (!atomic_compare_exchange_strong(&shard->owner_tid, &nobody, own_tid()))
        return nobody == own_tid() ? shard->error : -EPERM;
    shard->error = su_ring_enable(&shard->ring);
    if (shard->error == 0)
        se_shard_calibrate(shard);
    return shard->error;
}

/* Frees what is left of destroyed connections.  Frees closed connections once the application has
 * taken their CLOSED event, and leaves tombstones of those that are not drained.  One that is not
 * ready is marked again when that changes: when CLOSED is taken, when its packets have been sent,
 * and when it is drained. */
static void reap(struct spate_shard *shard)
{
    (void)se_conns_unwind(shard);
    struct sb_link *link;
    while ((link = sb_list_pop_front(&shard->ended)) != NULL) {
        struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, ended_link);
        if (se_conn_is_announced(conn) && conn->state != SE_CONN_TAKEN)
            continue;
        if (sp_conn_is_drained(conn->proto))
            se_conn_destroy(conn);
        else
            (void)se_conn_bury(conn);
    }
}

/* Does what other threads have called for, if they have. */
static void take_calls(struct spate_shard *shard)
{
    if (SB_LIKELY(atomic_load_explicit(&shard->calls, memory_order_relaxed) == 0))
        return;
    uint32_t calls = atomic_exchange_explicit(&shard->calls, 0, memory_order_acquire); /* C1 */
    shard->now_ns = se_shard_clock_ns(shard);
    if (calls & SE_CALL_SHUTDOWN)
        se_shutdown_begin(shard, &shard->shutdown_wanted);
    if (calls & SE_CALL_LISTENERS)
        se_listen_all_close(shard);
    if (calls & SE_CALL_QUIC_LB)
        se_cids_take(shard);
}

bool se_shard_has_leftovers(const struct spate_shard *shard)
{
    return se_events_count(&shard->events) > 0 || shard->unwind_steps == 0 ||
           shard->rx.held_count > 0 || !sb_list_is_empty(&shard->unwinding) ||
           !sb_list_is_empty(&shard->ended) ||
           (shard->channels.raised | shard->channels.unpublished) != 0 ||
           se_cids_is_due(&shard->own_cids);
}

void se_shard_maintain(struct spate_shard *shard)
{
    su_send_maintain(&shard->send);
    su_wake_rearm(&shard->wake);
    se_operations_maintain(shard, &shard->operations);
    se_ports_maintain(shard);
}

/* Returns whether a turn does something before its wait that goes by the time: sends, or what was
 * asked for.  What waits in a line may be due by now. */
static bool needs_clock(const struct spate_shard *shard)
{
    return !sb_list_is_empty(&shard->send_pending) || !sb_list_is_empty(&shard->limit.line) ||
           !sb_list_is_empty(&shard->groups.waiting) || se_shard_is_called(shard) ||
           se_shutdown_is_begun(shard) || se_cids_is_due(&shard->own_cids);
}

static int turn(struct spate_shard *shard, uint64_t wait_ns)
{
    shard->counts.own.turns++;
    shard->unwind_steps = SE_UNWIND_STEPS_PER_TURN;
    se_events_processed(&shard->events);
    /* Sent packets carry this time, and waits count from it.  A turn that neither sends nor waits
     * reads the clock once, in se_shard_wait(): what other threads ask for in this moment is for
     * the next one. */
    bool has_clock = wait_ns > 0 || needs_clock(shard);
    if (has_clock)
        shard->now_ns = se_shard_clock_ns(shard);
    se_stages_on_begin(shard, &shard->stages);
    bool had_posts = has_clock && se_shard_run_posts(shard);
    if (has_clock)
        se_channels_run(shard);
    take_calls(shard);
    bool is_closing = se_shutdown_run(shard);
    bool is_renewing = se_cids_run(shard);
    se_shard_drain(shard); /* before anything more is acknowledged to the peer */
    se_shard_send(shard);
    se_stages_on_sealed(shard, &shard->stages);
    se_shard_drain(shard); /* events that posts, API calls and sending have raised */
    se_channels_flush(shard);
    /* A post that already ran in this turn must also prevent waiting; so must what the events have
     * given connections to send. */
    bool had_asks = se_asks_run(shard);
    bool is_busy = had_posts || had_asks || is_closing || is_renewing ||
                   se_shard_has_more_to_send(shard) || se_shard_has_leftovers(shard);

    se_shard_maintain(shard);
    int error = se_shard_wait(shard, is_busy ? 0 : wait_ns);
    if (SB_UNLIKELY(error != 0))
        return error;
    se_rx_run(shard);
    se_stages_on_opened(shard, &shard->stages);
    se_operations_run(shard, &shard->operations);
    se_shard_run_timers(shard);
    se_shard_drain(shard);
    (void)se_asks_run(shard);
    se_channels_flush(shard);
    reap(shard);
    se_shard_maintain_memory(shard);
    se_shutdown_finish(shard);
    se_stages_on_end(shard, &shard->stages);
    if (SB_UNLIKELY(shard->stat != NULL))
        se_stat_run(shard);
    if (SB_UNLIKELY(shard->log.next_ns <= shard->now_ns))
        se_shard_log_look(shard);
    return (int)se_events_count(&shard->events);
}

int se_shard_turn(struct spate_shard *shard, uint64_t wait_ns)
{
    if (SB_UNLIKELY(shard->is_in_turn))
        return -EBUSY;
    if (SB_UNLIKELY(shard->error != 0))
        return shard->error;
    shard->is_in_turn = true;
    if (SB_UNLIKELY(shard->is_host_polling))
        se_shard_end_host_wait(shard);
    if (SB_UNLIKELY(su_ring_is_lent(&shard->ring)))
        su_ring_begin_lent(&shard->ring);
    int result = turn(shard, wait_ns);
    if (SB_UNLIKELY(result < 0)) {
        shard->error = result;
        se_shard_log_failed(shard, result);
        se_shard_end_work(shard, shard->now_ns);
        se_shard_close_queues(shard);
        se_channels_end(shard, result);
        se_limit_clear(&shard->limit); /* the other shards get its share of the engine's rate */
    }
    shard->is_in_turn = false;
    return result;
}

int se_shard_claim(struct spate_shard *shard)
{
    pid_t owner = atomic_load_explicit(&shard->owner_tid, memory_order_relaxed);
    if (SB_UNLIKELY(owner == 0) && !atomic_load(&shard->is_threaded))
        return se_shard_bind(shard);
    bool is_mine =
        owner == own_tid() && !atomic_load_explicit(&shard->is_threaded, memory_order_relaxed);
    return SB_LIKELY(is_mine) ? 0 : -EPERM;
}

int spate_shard_turn(struct spate_shard *shard, uint64_t wait_ns)
{
    int result = se_shard_claim(shard);
    return SB_LIKELY(result == 0) ? se_shard_turn(shard, wait_ns) : result;
}
