/* SPDX-License-Identifier: MIT */
#include "engine/net/handover.h"

/* What shards know of a hand-over.  The two sides of it are in hand_over.c and take_over.c. */

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "crypto/reset.h"
#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

/* What waits in the old process's sockets when the new one takes over is read within this time. */
#define LINGER_NS (100 * SB_MS)

/* How often shard 0 looks whether the others live, while there are any.  Packets of their
 * connections are not answered meanwhile. */
#define LOOK_NS (100 * SB_MS)

void se_handover_init(struct se_handover *handover, struct se_shared_ports *ports, bool is_on)
{
    handover->ports = ports;
    handover->is_on = is_on;
    handover->channel = -1;
    se_timer_init(&handover->timer);
    handover->timer.kind = SE_TIMER_HANDOVER;
    atomic_init(&handover->given_at_ns, 0);
    for (uint32_t i = 0; i < SB_COUNT(handover->others); i++)
        atomic_init(&handover->others[i], 0);
}

void se_handover_deinit(struct se_handover *handover)
{
    for (uint32_t i = 0; i < handover->process_count; i++)
        (void)close(handover->processes[i].channel);
    handover->process_count = 0;
    if (handover->channel >= 0)
        (void)close(handover->channel); /* the other process sees that this one has ended */
    handover->channel = -1;
    explicit_bzero(handover->token_key, sizeof(handover->token_key));
    explicit_bzero(handover->reset_key, sizeof(handover->reset_key));
}

bool se_handover_is_other(const struct se_handover *handover, uint8_t tag)
{
    if (tag == handover->ports->tag)
        return false;
    uint64_t bits = atomic_load_explicit(&handover->others[tag / 64], memory_order_relaxed);
    return se_handover_is_given(handover) || (bits >> tag % 64 & 1) != 0;
}

void se_handover_reset_token(const struct spate_shard *shard, const struct sp_cid *cid,
                             uint8_t ret[SP_RESET_TOKEN_SIZE])
{
    const struct se_handover *handover = shard->handover;
    const struct se_cid_form *form = &shard->own_cids.form;
    bool is_named = handover->is_on && cid->size == form->size;
    uint32_t owner = is_named ? se_cid_shard(form, cid->bytes) : shard->index;
    bool is_ours = owner == shard->index;
    struct sc_reset *reset = shard->reset;
    if (!is_ours) {
        uint8_t key[SC_RESET_KEY_SIZE];
        sc_reset_derive_key(handover->reset_key, owner, key);
        reset = sc_reset_create(key);
        explicit_bzero(key, sizeof(key));
    }
    sc_reset_token(reset != NULL ? reset : shard->reset, cid, ret);
    if (!is_ours)
        sc_reset_destroy(reset);
}

uint64_t se_handover_linger_end_ns(const struct spate_shard *shard)
{
    uint64_t at_ns = atomic_load_explicit(&shard->handover->given_at_ns, memory_order_relaxed);
    uint64_t end_ns = sb_time_add(at_ns, LINGER_NS);
    return at_ns != 0 && shard->now_ns < end_ns ? end_ns : SB_NEVER;
}

void se_handover_forget(struct se_handover *handover, uint32_t index, uint64_t now_ns)
{
    const struct se_process ended = handover->processes[index];
    handover->process_count--;
    for (uint32_t i = index; i < handover->process_count; i++)
        handover->processes[i] = handover->processes[i + 1];
    (void)atomic_fetch_and_explicit(&handover->others[ended.tag / 64],
                                    ~(UINT64_C(1) << ended.tag % 64), memory_order_relaxed);
    se_shared_ports_forget(handover->ports, ended.tag, sb_time_add(now_ns, SE_HANDOVER_REST_NS));
    (void)close(ended.channel);
}

/* A process says nothing more after the hand-over; what comes all the same is dropped. */
static bool has_ended(const struct se_process *process)
{
    char byte;
    ssize_t got;
    do
        got = recv(process->channel, &byte, sizeof(byte), MSG_DONTWAIT);
    while (got > 0);
    return got == 0 || (errno != EAGAIN && errno != EINTR);
}

void se_handover_on_timer(struct spate_shard *shard)
{
    struct se_handover *handover = shard->handover;
    SB_ASSERT(shard->index == 0);
    (void)pthread_mutex_lock(&handover->ports->lock);
    for (uint32_t i = handover->process_count; i-- > 0;)
        if (has_ended(&handover->processes[i]))
            se_handover_forget(handover, i, shard->now_ns);
    bool is_over = handover->process_count == 0;
    (void)pthread_mutex_unlock(&handover->ports->lock);
    se_wheel_set(&shard->wheel, &handover->timer,
                 is_over ? SB_NEVER : sb_time_add(shard->now_ns, LOOK_NS));
}

static void watch(struct spate_shard *shard, void *argument)
{
    (void)argument;
    se_handover_on_timer(shard);
}

void se_handover_watch(struct spate_shard *shard)
{
    const struct se_post post = {.function = watch};
    if (se_shard_is_mine(shard)) {
        watch(shard, NULL);
        return;
    }
    while (se_shard_push_post(shard, &post) == -EAGAIN)
        se_clock_sleep(SB_MS); /* its thread runs those that wait */
}
