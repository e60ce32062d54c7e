/* SPDX-License-Identifier: MIT */
#include <spate/hand_over.h>

/* The side that gives its sockets.  One step per message, so that the shard's thread may take them
 * between two turns.  While a process has been offered the sockets, nothing joins them, and no
 * program is attached: the other process knows their order. */

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdlib.h>
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

/* A message with duplicates of descriptors: shards may close theirs while it waits for room. */
struct offered {
    struct se_handover_message message;
    int fds[SU_STEER_SOCKETS_MAX];
    uint32_t fd_count;
};

/* All messages of an offer. */
struct offer {
    struct offered *all;
    uint32_t count;
};

_Static_assert((int)SE_HANDOVER_PROCESSES_MAX <= SU_STEER_SOCKETS_MAX, "channels fit as well");

static void offer_end(struct offer *offer)
{
    for (uint32_t i = 0; i < offer->count; i++)
        for (uint32_t k = 0; k < offer->all[i].fd_count; k++)
            (void)close(offer->all[i].fds[k]);
    if (offer->count > 0)
        explicit_bzero(&offer->all[0].message, sizeof(offer->all[0].message)); /* the keys */
    free(offer->all);
}

static int add_fd(struct offered *to, int fd, struct spate_error *error)
{
    int own_fd = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (own_fd < 0) {
        int result = -errno;
        se_error_set(error, "no descriptor left: %s", strerrordesc_np(-result));
        return result;
    }
    to->fds[to->fd_count++] = own_fd;
    return 0;
}

static int write_keys(const struct se_handover *handover, uint32_t group_count, struct offered *to,
                      struct spate_error *error)
{
    struct se_handover_keys *keys = &to->message.keys;
    to->message.kind = SE_HANDOVER_KEYS;
    memcpy(keys->token, handover->token_key, sizeof(keys->token));
    memcpy(keys->reset, handover->reset_key, sizeof(keys->reset));
    keys->cid_size = handover->ports->cid_size;
    keys->word_at = handover->ports->byte.at;
    keys->is_masked = handover->ports->byte.is_masked;
    keys->group_count = (uint8_t)group_count;
    keys->process_count = (uint8_t)(handover->process_count + 1);
    keys->tags[0] = handover->ports->tag;
    int result = 0;
    for (uint32_t i = 0; i < handover->process_count && result == 0; i++) {
        keys->tags[i + 1] = handover->processes[i].tag;
        result = add_fd(to, handover->processes[i].channel, error);
    }
    return result;
}

static int write_group(const struct se_handover *handover, const struct se_shared_group *group,
                       struct offered *to, struct spate_error *error)
{
    uint64_t now_ns = se_clock_now_ns();
    int result = 0;
    to->message.kind = SE_HANDOVER_GROUP;
    to->message.group.address = group->address;
    to->message.group.count = group->count;
    for (uint32_t i = 0; i < group->count && result == 0; i++) {
        const struct se_shared_socket *socket = &group->sockets[i];
        bool is_idle = socket->use == SE_SOCKET_IDLE;
        to->message.group.sockets[i] = (struct se_handover_socket){
            .use = is_idle ? SE_SOCKET_IDLE : SE_SOCKET_OTHER,
            .is_resting = is_idle && socket->free_at_ns > now_ns,
            .shard = is_idle ? 0 : socket->shard,
            .tag = socket->use == SE_SOCKET_OWN ? handover->ports->tag : socket->tag,
        };
        result = add_fd(to, socket->fd, error);
    }
    return result;
}

/* Writes all messages.  The caller holds the lock, and ends the offer also after a failure. */
static int offer_make(struct se_handover *handover, struct offer *ret, struct spate_error *error)
{
    struct se_shared_ports *ports = handover->ports;
    uint32_t group_count = 0;
    SB_LIST_EACH(link, &ports->all)
        group_count++;
    if (group_count == 0) {
        se_error_set(error, "nothing listens that could be handed over");
        return -EINVAL;
    }
    if (group_count > SE_HANDOVER_GROUPS_MAX ||
        handover->process_count >= SE_HANDOVER_PROCESSES_MAX) {
        se_error_set(error, "at most %d processes and %d addresses can be handed over",
                     SE_HANDOVER_PROCESSES_MAX, SE_HANDOVER_GROUPS_MAX);
        return -EMFILE;
    }
    ret->all = calloc(group_count + 1, sizeof(ret->all[0]));
    if (ret->all == NULL) {
        se_error_set(error, "no memory for the messages of the hand-over");
        return -ENOMEM;
    }
    int result = write_keys(handover, group_count, &ret->all[ret->count++], error);
    for (struct sb_link *link = ports->all.next; link != &ports->all && result == 0;
         link = link->next)
        result = write_group(handover, group_of(link), &ret->all[ret->count++], error);
    return result;
}

/* The lock is not held while the channel has no room: shards that close their sockets wait for it.
 */
static int offer(struct se_handover *handover, struct spate_error *error)
{
    struct se_shared_ports *ports = handover->ports;
    struct offer offer = {.count = 0};
    (void)pthread_mutex_lock(&ports->lock);
    ports->state = SE_SHARED_OFFERED;
    SB_LIST_EACH(link, &ports->all)
        group_of(link)->is_held = true;
    int result = offer_make(handover, &offer, error);
    (void)pthread_mutex_unlock(&ports->lock);
    for (uint32_t i = 0; i < offer.count && result == 0; i++) {
        const struct offered *next = &offer.all[i];
        result =
            se_handover_send(handover->channel, &next->message, next->fds, next->fd_count, error);
    }
    offer_end(&offer);
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
