/* SPDX-License-Identifier: MIT */
#include <spate/io.h>

/* A shard whose host moves the datagrams: what the host gives finds its port here, as the kernel
 * would find a socket.  All else is uring/hosted.h. */

#include <errno.h>

#include "engine/base/path.h"
#include "engine/shard/engine.h"
#include "engine/shard/shard.h"
#include "uring/hosted.h"

enum { BATCH = 64 };

static int claim(struct spate_shard *shard)
{
    int result = se_shard_claim(shard);
    if (result == 0 && su_ring_backend(&shard->ring) != SU_BACKEND_HOST)
        result = -ENOTSUP;
    return result;
}

static bool is_any(const struct su_address *address)
{
    if (address->family == AF_INET)
        return address->v4.sin_addr.s_addr == INADDR_ANY;
    return IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

/* Returns whether a socket at `bound` would get what comes to `local`.  [::] gets IPv4 as well. */
static bool is_bound_to(const struct su_address *bound, const struct su_address *local)
{
    if (su_address_is_equal(bound, local))
        return true;
    return su_address_port(bound) == su_address_port(local) && is_any(bound) &&
           (bound->family == local->family || bound->family == AF_INET6);
}

/* Listeners first; then the client's port to that address, or the one that clients share. */
static struct se_port *port_of(struct spate_shard *shard, const struct su_address *local,
                               const struct su_address *peer)
{
    struct se_port *of_client = NULL;
    for (uint64_t left = shard->ports_used; left != 0; left &= left - 1) {
        struct se_port *port = &shard->ports[__builtin_ctzll(left)];
        if (port->state != SE_PORT_OPEN)
            continue;
        if (!port->is_client) {
            if (is_bound_to(&port->socket.local, local))
                return port;
        } else if (su_address_is_equal(&port->peer, peer)) {
            of_client = port;
        } else if (port->peer.family == AF_UNSPEC && of_client == NULL &&
                   port->socket.family == peer->family) {
            of_client = port;
        }
    }
    return of_client;
}

static bool read_address(const struct sockaddr *given, struct su_address *ret)
{
    if (given == NULL)
        return false;
    socklen_t size = given->sa_family == AF_INET    ? sizeof(struct sockaddr_in)
                     : given->sa_family == AF_INET6 ? sizeof(struct sockaddr_in6)
                                                    : 0;
    return size != 0 && su_address_from_kernel(given, size, ret) == 0;
}

static bool read_given(const struct spate_given *given, struct su_hosted_in *ret)
{
    *ret = (struct su_hosted_in){
        .size = given->size,
        .segment_size = given->segment_size,
        .ecn = given->ecn,
    };
    return given->ecn <= 3 && given->reserved == 0 && read_address(given->local, &ret->local) &&
           read_address(given->peer, &ret->peer);
}

uint32_t spate_shard_slots(struct spate_shard *shard, struct spate_slot *ret, uint32_t count_max)
{
    struct iovec parts[BATCH];
    if (claim(shard) != 0)
        return 0;
    uint32_t count = su_hosted_slots(&shard->ring, parts, SB_MIN(count_max, (uint32_t)BATCH));
    for (uint32_t i = 0; i < count; i++)
        ret[i] = (struct spate_slot){.data = parts[i].iov_base, .size = parts[i].iov_len};
    shard->hosted.slot_count = count;
    return count;
}

int spate_shard_give(struct spate_shard *shard, const struct spate_given *given, uint32_t count)
{
    struct su_hosted_in in[BATCH];
    int result = claim(shard);
    if (result != 0)
        return result;
    if (count > shard->hosted.slot_count)
        return -EINVAL;
    for (uint32_t i = 0; i < count; i++)
        if (!read_given(&given[i], &in[i]))
            return -EINVAL;
    for (uint32_t i = 0; i < count; i++) {
        struct se_port *port = port_of(shard, &in[i].local, &in[i].peer);
        in[i].recv = port != NULL ? &port->recv : NULL;
    }
    uint32_t taken = su_hosted_give(&shard->ring, in, count, &shard->counts.own.unroutable);
    shard->hosted.slot_count -= taken;
    return (int)taken;
}

static void to_storage(const struct su_address *address, struct sockaddr_storage *ret)
{
    struct sp_addr addr;
    socklen_t size;
    se_addr_from(address, &addr);
    if (se_address_to_user(&addr, ret, &size) != 0)
        *ret = (struct sockaddr_storage){.ss_family = AF_UNSPEC};
}

static void describe(const struct spate_shard *shard, const struct su_hosted_out *out,
                     struct spate_train *ret)
{
    const struct su_send_slot *slot = &shard->send.slots[out->op.index];
    const struct iovec *part = out->message->msg_iov;
    struct su_address local = slot->socket->local;
    if (slot->source.family != AF_UNSPEC) {
        local = slot->source;
        su_address_set_port(&local, su_address_port(&slot->socket->local));
    }
    ret->data = part->iov_base;
    ret->size = (uint32_t)part->iov_len;
    ret->segment_size = SB_MIN(slot->segment_size, ret->size);
    ret->ecn = slot->ecn;
    memset(ret->reserved, 0, sizeof(ret->reserved));
    to_storage(&local, &ret->local);
    to_storage(&slot->peer, &ret->peer);
    ret->id = out->id;
}

uint32_t spate_shard_trains(struct spate_shard *shard, struct spate_train *ret, uint32_t count_max)
{
    struct su_hosted_out out;
    uint32_t count = 0;
    if (claim(shard) != 0)
        return 0;
    while (count < count_max && su_hosted_take(&shard->ring, &out))
        describe(shard, &out, &ret[count++]);
    return count;
}

int spate_shard_train_done(struct spate_shard *shard, uint64_t id, int error)
{
    int result = claim(shard);
    if (result != 0)
        return result;
    return error > 0 ? -EINVAL : su_hosted_done(&shard->ring, id, error);
}

/* Returns whether times of the system's clock are in use.  Tasks (pools, messengers) count also
 * without a timer: they have noted when they began. */
static bool has_begun(const struct spate_shard *shard)
{
    return shard->counts.own.turns > 0 || shard->ports_used != 0 || shard->wheel.count > 0 ||
           !sb_list_is_empty(&shard->tasks);
}

int spate_shard_turn_at(struct spate_shard *shard, uint64_t now_ns)
{
    int result = claim(shard);
    if (result != 0)
        return result;
    if (now_ns == 0 || now_ns < se_shard_host_ns(shard))
        return -EINVAL;
    if (SB_UNLIKELY(se_shard_host_ns(shard) == 0)) {
        if (has_begun(shard))
            return -EBUSY;
        shard->now_ns = now_ns;
        se_wheel_init(&shard->wheel, now_ns);
        se_engine_begin_host_clock(shard->engine, now_ns);
    }
    atomic_store_explicit(&shard->hosted.now_ns, now_ns, memory_order_relaxed);
    return se_shard_turn(shard, 0);
}
