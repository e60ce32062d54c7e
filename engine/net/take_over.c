/* SPDX-License-Identifier: MIT */
#include <spate/hand_over.h>

/* The side that takes the sockets of another process.
 *
 * Nobody reads from them here, but while a duplicate of each is open none leaves its group, so
 * their order stays what it is.  The shards' own sockets join after them, or take idle ones. */

#include <errno.h>
#include <pthread.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "engine/net/handover_talk.h"
#include "engine/shard/engine.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "uring/socket.h"

static struct se_shared_group *group_of(struct sb_link *link)
{
    return SB_CONTAINER_OF(link, struct se_shared_group, link);
}

/* ---- taking the sockets ---- */

static int check(struct spate_engine *engine, const struct se_handover *handover,
                 struct spate_error *error)
{
    if (!handover->is_on) {
        se_error_set(error, "hand_over is not set in the configuration");
        return -EINVAL;
    }
    if (handover->taking != SE_TAKING_NONE) {
        se_error_set(error, "this engine has taken over before");
        return -EALREADY;
    }
    bool is_used = !sb_list_is_empty(&handover->ports->all);
    for (uint32_t i = 0; i < spate_engine_shard_count(engine); i++) {
        const struct spate_shard *shard = spate_engine_shard(engine, i);
        is_used = is_used || atomic_load(&shard->owner_tid) != 0 ||
                  atomic_load(&shard->is_threaded) || shard->conn_count > 0;
    }
    if (!is_used)
        return 0;
    se_error_set(error, "a shard of this engine runs, listens or connects already");
    return -EBUSY;
}

/* One program of the kernel reads the CIDs of all processes, so they have one form. */
static int check_form(const struct se_shared_ports *ports, const struct se_handover_keys *keys,
                      struct spate_error *error)
{
    bool is_masked = ports->byte.is_masked;
    if (keys->cid_size == ports->cid_size && keys->word_at == ports->byte.at &&
        keys->is_masked == is_masked)
        return 0;
    se_error_set(error,
                 "connection IDs of the other process have %u bytes %s quic_lb, but %u %s in this "
                 "one",
                 keys->cid_size, keys->is_masked ? "with" : "without", ports->cid_size,
                 is_masked ? "with" : "without");
    return -EINVAL;
}

/* Returns a tag that none of the processes has. */
static uint8_t draw_tag(struct spate_shard *shard, const struct se_handover_keys *keys)
{
    uint8_t tag;
    do
        se_entropy_fill(&shard->entropy, &tag, sizeof(tag));
    while (memchr(keys->tags, tag, keys->process_count) != NULL);
    return tag;
}

static bool is_of(const struct se_handover_keys *keys, const struct se_handover_socket *socket)
{
    return socket->use == SE_SOCKET_IDLE ||
           memchr(keys->tags, socket->tag, keys->process_count) != NULL;
}

static int check_socket(const struct se_handover_group *group, int fd, struct spate_error *error)
{
    struct su_socket_facts facts;
    const char *problem;
    int result = su_socket_inspect(fd, &facts, &problem);
    if (result == 0 && facts.is_port_shared && su_address_is_equal(&facts.local, &group->address))
        return 0;
    if (result == 0)
        problem = facts.is_port_shared ? "is not of this address" : "has no SO_REUSEPORT";
    char text[SU_ADDRESS_TEXT_SIZE];
    se_error_set(error, "a socket that the other process gives for %s %s",
                 su_address_format(&group->address, text), problem);
    return -EPROTO;
}

/* Makes a group of the sockets of a message.  The descriptors are the group's then. */
static int take_group(struct se_handover *handover, const struct se_handover_keys *keys,
                      const struct se_handover_group *given, struct su_pass *fds,
                      struct spate_error *error)
{
    uint64_t now_ns = se_clock_now_ns();
    for (uint32_t i = 0; i < given->count; i++) {
        int result = check_socket(given, fds->fds[i], error);
        if (result == 0 && !is_of(keys, &given->sockets[i])) {
            se_error_set(error, "a socket is of none of the processes");
            result = -EPROTO;
        }
        if (result != 0)
            return result;
    }
    struct se_shared_group *group = se_shared_group_make(handover->ports, &given->address);
    if (group == NULL)
        return -ENOMEM;
    group->is_held = true;
    group->count = given->count;
    for (uint32_t i = 0; i < given->count; i++)
        group->sockets[i] = (struct se_shared_socket){
            .fd = fds->fds[i],
            .use = given->sockets[i].use,
            .shard = given->sockets[i].shard,
            .tag = given->sockets[i].tag,
            .is_stale = true,
            .free_at_ns =
                given->sockets[i].is_resting ? sb_time_add(now_ns, SE_HANDOVER_REST_NS) : 0,
        };
    fds->fd_count = 0;
    return 0;
}

static int take_groups(struct se_handover *handover, const struct se_handover_keys *keys,
                       int channel, uint64_t end_ns, struct spate_error *error)
{
    struct se_handover_message message;
    struct su_pass fds;
    int result = 0;
    for (uint32_t i = 0; i < keys->group_count && result == 0; i++) {
        result = se_handover_receive(channel, SE_HANDOVER_GROUP, end_ns, &message, &fds, error);
        if (result != 0)
            break;
        result = take_group(handover, keys, &message.group, &fds, error);
        su_pass_close(&fds); /* those that no group has */
    }
    return result;
}

static void add_process(struct se_handover *handover, uint8_t tag, int channel)
{
    SB_ASSERT(handover->process_count < SE_HANDOVER_PROCESSES_MAX);
    handover->processes[handover->process_count++] =
        (struct se_process){.channel = channel, .tag = tag};
    (void)atomic_fetch_or_explicit(&handover->others[tag / 64], UINT64_C(1) << tag % 64,
                                   memory_order_relaxed);
}

/* The last step, which changes the engine.  `channels`: of the processes but the first. */
static int take_keys(struct spate_engine *engine, const struct se_handover_keys *keys, int channel,
                     struct su_pass *channels, struct spate_error *error)
{
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    struct se_handover *handover = shard->handover;
    memcpy(handover->token_key, keys->token, sizeof(handover->token_key));
    memcpy(handover->reset_key, keys->reset, sizeof(handover->reset_key));
    for (uint32_t i = 0; i < spate_engine_shard_count(engine); i++) {
        int result = se_shard_set_keys(spate_engine_shard(engine, i), keys->token, keys->reset);
        if (result == 0)
            continue;
        se_error_set(error, "no memory for the keys");
        return result;
    }
    se_engine_set_mask(engine, keys->reset);
    handover->ports->tag = draw_tag(shard, keys);
    add_process(handover, keys->tags[0], channel);
    for (uint32_t i = 1; i < keys->process_count; i++)
        add_process(handover, keys->tags[i], channels->fds[i - 1]);
    channels->fd_count = 0;
    handover->taking = SE_TAKING_LISTENS;
    return 0;
}

static void drop_groups(struct se_handover *handover)
{
    struct sb_link *link;
    while ((link = sb_list_first(&handover->ports->all)) != NULL)
        se_shared_group_end(group_of(link));
}

static int take_over(struct spate_engine *engine, int channel, uint64_t end_ns,
                     struct spate_error *error)
{
    struct se_handover *handover = spate_engine_shard(engine, 0)->handover;
    struct se_handover_message message;
    struct su_pass channels = {.fd_count = 0};
    int result = se_handover_send_kind(channel, SE_HANDOVER_HELLO, error);
    if (result == 0)
        result = se_handover_receive(channel, SE_HANDOVER_KEYS, end_ns, &message, &channels, error);
    if (result == 0)
        result = check_form(handover->ports, &message.keys, error);
    if (result == 0)
        result = take_groups(handover, &message.keys, channel, end_ns, error);
    if (result == 0)
        result = take_keys(engine, &message.keys, channel, &channels, error);
    if (result != 0)
        drop_groups(handover);
    su_pass_close(&channels);
    explicit_bzero(&message, sizeof(message));
    return result;
}

/* Says why it was given up, and closes the channel. */
static int give_up(int channel, int result, const struct spate_error *own,
                   struct spate_error *error)
{
    bool is_late = se_handover_is_late(result);
    const char *text = is_late ? "no answer of the other process in time" : own->text;
    if (result != -ECONNRESET && result != -ECONNREFUSED)
        se_handover_refuse(channel, text);
    if (text[0] != 0)
        se_error_set(error, "%s", text);
    return is_late ? -ETIMEDOUT : result;
}

int spate_engine_take_over(struct spate_engine *engine, int fd, uint64_t wait_ns,
                           struct spate_error *error)
{
    struct se_handover *handover = spate_engine_shard(engine, 0)->handover;
    struct spate_error own = {""};
    (void)pthread_mutex_lock(&handover->ports->lock);
    int result = check(engine, handover, error);
    int channel = result == 0 ? se_handover_open(fd, error) : result;
    if (channel >= 0) {
        uint64_t end_ns = sb_time_add(se_clock_now_ns(), wait_ns);
        result = take_over(engine, channel, end_ns, &own);
        if (result != 0) {
            result = give_up(channel, result, &own, error);
            (void)close(channel);
        }
    }
    (void)pthread_mutex_unlock(&handover->ports->lock);
    return channel < 0 ? channel : result;
}

/* ---- taking over ---- */

static int check_listens(const struct se_handover *handover, struct spate_error *error)
{
    uint32_t own_count = 0;
    if (handover->taking != SE_TAKING_LISTENS) {
        se_error_set(error, handover->taking == SE_TAKING_NONE
                                ? "spate_engine_take_over() was not called"
                                : "this engine has taken over before");
        return -EINVAL;
    }
    (void)pthread_mutex_lock(&handover->ports->lock);
    SB_LIST_EACH(link, &handover->ports->all) {
        const struct se_shared_group *group = group_of(link);
        own_count += group->is_held ? group->own_count : 0;
    }
    (void)pthread_mutex_unlock(&handover->ports->lock);
    if (own_count > 0)
        return 0;
    se_error_set(error, "no shard listens at an address of the other process");
    return -EINVAL;
}

/* Attaches the programs.  Where no shard listens, that of the other process goes on. */
static int attach(struct se_handover *handover, struct spate_error *error)
{
    struct se_shared_ports *ports = handover->ports;
    int result = 0;
    (void)pthread_mutex_lock(&ports->lock);
    struct sb_link *next;
    for (struct sb_link *link = ports->all.next; link != &ports->all && result == 0; link = next) {
        struct se_shared_group *group = group_of(link);
        next = link->next;
        if (group->own_count == 0) {
            se_shared_group_end(group);
            continue;
        }
        group->is_held = false;
        result = se_shared_group_steer(ports, group);
    }
    (void)pthread_mutex_unlock(&ports->lock);
    if (result != 0)
        se_error_set(error, "the kernel does not take the program that steers packets: %s",
                     strerrordesc_np(-result));
    return result;
}

/* Says TAKE and waits for GO.  Returns 0; -ECONNRESET if the other process has ended; or another
 * negative errno: it lives, and has not let go.  What it said before it closed the channel counts,
 * also where TAKE came too late. */
static int ask(int channel, uint64_t end_ns, struct spate_error *error)
{
    struct se_handover_message message;
    struct su_pass fds = {.fd_count = 0};
    int result = se_handover_send_kind(channel, SE_HANDOVER_TAKE, error);
    if (result != 0 && result != -ECONNRESET)
        return result;
    return se_handover_receive(channel, SE_HANDOVER_GO, end_ns, &message, &fds, error);
}

int spate_engine_take_over_finish(struct spate_engine *engine, uint64_t wait_ns,
                                  struct spate_error *error)
{
    struct spate_shard *shard = spate_engine_shard(engine, 0);
    struct se_handover *handover = shard->handover;
    struct spate_error own = {""};
    int result = check_listens(handover, error);
    if (result != 0)
        return result;
    int channel = handover->processes[0].channel;
    result = ask(channel, sb_time_add(se_clock_now_ns(), wait_ns), &own);
    if (result == 0 || result == -ECONNRESET) /* it has gone: all that is its is ours */
        result = attach(handover, &own);
    if (result != 0)
        return give_up(channel, result, &own, error);
    const struct se_handover_message message = {.kind = SE_HANDOVER_TAKEN,
                                                .tag = handover->ports->tag};
    (void)!se_handover_send(channel, &message, NULL, 0, NULL); /* its end is seen by the channel */
    handover->taking = SE_TAKING_TAKEN;
    se_handover_watch(shard);
    return 0;
}
