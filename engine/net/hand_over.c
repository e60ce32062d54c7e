/* SPDX-License-Identifier: MIT */
#include <spate/hand_over.h>

/* The side that gives its sockets.  One step per message, so that the shard's thread may take them
 * between two turns.  While a process has been offered the sockets, nothing joins them, and no
 * program is attached: the other process knows their order. */

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "engine/net/handover_talk.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

#define PATIENCE_NS (30 * SB_S)

static struct se_shared_group *group_of(struct sb_link *link)
{
    return SB_CONTAINER_OF(link, struct se_shared_group, link);
}

/* ---- the offer ---- */

static int send_keys(const struct se_handover *handover, struct spate_error *error)
{
    struct se_handover_message message = {.kind = SE_HANDOVER_KEYS};
    struct se_handover_keys *keys = &message.keys;
    int fds[SE_HANDOVER_PROCESSES_MAX];
    uint32_t group_count = 0;
    SB_LIST_EACH(link, &handover->ports->all)
        group_count++;
    if (group_count > SE_HANDOVER_GROUPS_MAX ||
        handover->process_count >= SE_HANDOVER_PROCESSES_MAX) {
        se_error_set(error, "at most %d processes and %d addresses can be handed over",
                     SE_HANDOVER_PROCESSES_MAX, SE_HANDOVER_GROUPS_MAX);
        return -EMFILE;
    }
    memcpy(keys->token, handover->token_key, sizeof(keys->token));
    memcpy(keys->reset, handover->reset_key, sizeof(keys->reset));
    keys->cid_size = handover->ports->cid_size;
    keys->word_at = handover->ports->byte.at;
    keys->is_masked = handover->ports->byte.is_masked;
    keys->group_count = (uint8_t)group_count;
    keys->process_count = (uint8_t)(handover->process_count + 1);
    keys->tags[0] = handover->ports->tag;
    for (uint32_t i = 0; i < handover->process_count; i++) {
        keys->tags[i + 1] = handover->processes[i].tag;
        fds[i] = handover->processes[i].channel;
    }
    int result = se_handover_send(handover->channel, &message, fds, handover->process_count, error);
    explicit_bzero(&message, sizeof(message));
    return result;
}

static int send_group(const struct se_handover *handover, const struct se_shared_group *group,
                      struct spate_error *error)
{
    struct se_handover_message message = {.kind = SE_HANDOVER_GROUP};
    int fds[SU_STEER_SOCKETS_MAX];
    uint64_t now_ns = se_clock_now_ns();
    message.group.address = group->address;
    message.group.count = group->count;
    for (uint32_t i = 0; i < group->count; i++) {
        const struct se_shared_socket *socket = &group->sockets[i];
        bool is_idle = socket->use == SE_SOCKET_IDLE;
        message.group.sockets[i] = (struct se_handover_socket){
            .use = is_idle ? SE_SOCKET_IDLE : SE_SOCKET_OTHER,
            .is_resting = is_idle && socket->free_at_ns > now_ns,
            .shard = is_idle ? 0 : socket->shard,
            .tag = socket->use == SE_SOCKET_OWN ? handover->ports->tag : socket->tag,
        };
        fds[i] = socket->fd;
    }
    return se_handover_send(handover->channel, &message, fds, group->count, error);
}

static int offer(struct se_handover *handover, struct spate_error *error)
{
    struct se_shared_ports *ports = handover->ports;
    (void)pthread_mutex_lock(&ports->lock);
    int result = 0;
    if (sb_list_is_empty(&ports->all)) {
        se_error_set(error, "nothing listens that could be handed over");
        result = -EINVAL;
    }
    ports->state = SE_SHARED_OFFERED;
    SB_LIST_EACH(link, &ports->all)
        group_of(link)->is_held = true;
    if (result == 0)
        result = send_keys(handover, error);
    for (struct sb_link *link = ports->all.next; link != &ports->all && result == 0;
         link = link->next)
        result = send_group(handover, group_of(link), error);
    (void)pthread_mutex_unlock(&ports->lock);
    return result;
}

/* ---- the end ---- */

static void end_channel(struct se_handover *handover)
{
    (void)close(handover->channel);
    handover->channel = -1;
    handover->giving = SE_GIVING_NONE;
}

/* Goes on as before. */
static void abandon(struct se_handover *handover)
{
    struct se_shared_ports *ports = handover->ports;
    (void)pthread_mutex_lock(&ports->lock);
    ports->state = SE_SHARED_OPEN;
    SB_LIST_EACH(link, &ports->all) {
        group_of(link)->is_held = false;
        (void)!se_shared_group_steer(ports, group_of(link));
    }
    (void)pthread_mutex_unlock(&ports->lock);
    end_channel(handover);
}

/* The channel stays open, and says by its end that this process has ended. */
static void give(struct se_handover *handover)
{
    struct se_shared_ports *ports = handover->ports;
    struct sb_link *link;
    atomic_store_explicit(&handover->given_at_ns, se_clock_now_ns(), memory_order_relaxed);
    (void)pthread_mutex_lock(&ports->lock);
    ports->state = SE_SHARED_GIVEN;
    while ((link = sb_list_first(&ports->all)) != NULL)
        se_shared_group_end(group_of(link));
    for (uint32_t i = 0; i < handover->process_count; i++)
        (void)close(handover->processes[i].channel);
    handover->process_count = 0;
    (void)pthread_mutex_unlock(&ports->lock);
    handover->giving = SE_GIVING_GIVEN;
}

/* ---- steps ---- */

static int begin(struct se_handover *handover, int fd, struct spate_error *error)
{
    int channel = se_handover_open(fd, error);
    if (channel < 0)
        return channel;
    handover->channel = channel;
    handover->giving = SE_GIVING_GREETED;
    handover->giving_end_ns = sb_time_add(se_clock_now_ns(), PATIENCE_NS);
    return 0;
}

/* Takes the message that is due, and does what follows.  Returns 0, -EAGAIN, or another negative
 * errno. */
static int step(struct se_handover *handover, uint64_t end_ns, struct spate_error *error)
{
    static const enum se_handover_kind due[] = {
        [SE_GIVING_GREETED] = SE_HANDOVER_HELLO,
        [SE_GIVING_OFFERED] = SE_HANDOVER_TAKE,
        [SE_GIVING_GOING] = SE_HANDOVER_TAKEN,
    };
    struct se_handover_message message;
    struct su_pass fds;
    int result = se_handover_receive(handover->channel, due[handover->giving], end_ns, &message,
                                     &fds, error);
    if (result != 0)
        return result;
    switch (handover->giving) {
    case SE_GIVING_GREETED:
        result = offer(handover, error);
        handover->giving = SE_GIVING_OFFERED;
        return result;
    case SE_GIVING_OFFERED:
        result = se_handover_send_kind(handover->channel, SE_HANDOVER_GO, error);
        handover->giving = SE_GIVING_GOING;
        handover->giving_end_ns = sb_time_add(se_clock_now_ns(), PATIENCE_NS);
        return result;
    case SE_GIVING_GOING:
        give(handover);
        return 0;
    case SE_GIVING_NONE:
    case SE_GIVING_GIVEN:
        break;
    }
    SB_ASSERT(false);
    return -EINVAL;
}

static int check(const struct se_handover *handover, struct spate_error *error)
{
    if (!handover->is_on) {
        se_error_set(error, "hand_over is not set in the configuration");
        return -EINVAL;
    }
    if (handover->giving == SE_GIVING_GIVEN) {
        se_error_set(error, "another process has taken over before");
        return -EALREADY;
    }
    if (handover->taking == SE_TAKING_LISTENS) {
        se_error_set(error, "this process has not finished taking over itself");
        return -EBUSY;
    }
    return 0;
}

static bool is_late(const struct se_handover *handover)
{
    return se_clock_now_ns() >= handover->giving_end_ns;
}

/* Takes what has come, and waits until `wait_ns` are over.  Before GO a late attempt is given up
 * whatever has come: who is told to go must not learn a moment later that it was given up.  After
 * that the other process may have taken over: what has come is looked at first. */
static int run(struct se_handover *handover, uint64_t wait_ns, struct spate_error *error)
{
    uint64_t end_ns = sb_time_add(se_clock_now_ns(), wait_ns);
    int result = 0;
    while (result == 0 && handover->giving != SE_GIVING_GIVEN) {
        if (handover->giving != SE_GIVING_GOING && is_late(handover))
            result = -EAGAIN;
        else
            result = step(handover, SB_MIN(end_ns, handover->giving_end_ns), error);
    }
    if (result == -EAGAIN && is_late(handover)) {
        se_error_set(error, "the other process did not take over within 30 s");
        return -ETIMEDOUT;
    }
    return result;
}

/* Gives an attempt up, and says why if the other process still listens. */
static void fail(struct se_handover *handover, int result, const char *reason)
{
    if (result != -ECONNRESET && result != -ECONNREFUSED)
        se_handover_refuse(handover->channel, reason);
    abandon(handover);
}

/* Makes room for an attempt over another channel.  One that was told to go decides itself how its
 * attempt ends. */
static int end_earlier(struct se_handover *handover, struct spate_error *error)
{
    struct spate_error own = {"another process takes over"};
    int result = handover->giving == SE_GIVING_GOING ? run(handover, 0, &own) : -EBUSY;
    if (result == -EAGAIN) {
        se_error_set(error, "another process takes over at this moment");
        return -EBUSY;
    }
    if (result != 0)
        fail(handover, result, own.text);
    return check(handover, error);
}

int spate_engine_hand_over(struct spate_engine *engine, int fd, uint64_t wait_ns,
                           struct spate_error *error)
{
    struct se_handover *handover = spate_engine_shard(engine, 0)->handover;
    struct spate_error own = {""};
    int result = check(handover, error);
    if (result != 0)
        return result;
    if (handover->giving != SE_GIVING_NONE && !su_pass_is_same(handover->channel, fd))
        result = end_earlier(handover, error);
    if (result == 0 && handover->giving == SE_GIVING_NONE)
        result = begin(handover, fd, error);
    if (result != 0)
        return result;
    result = run(handover, wait_ns, &own);
    if (result == 0 || result == -EAGAIN)
        return result;
    fail(handover, result, own.text);
    se_error_set(error, "%s", own.text);
    return result;
}
