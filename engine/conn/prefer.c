/* SPDX-License-Identifier: MIT */
#include "engine/conn/prefer.h"

/* Preferred addresses: a listener asks its clients to move there, and clients move.
 * [RFC9000 9.6]
 *
 * A listener has a port of its own for each, which accepts no connections.  It stays open as long
 * as the listener's port, and as it has connections.
 *
 * What can be attacked: a server leads its clients to somebody else's address.  A client sends
 * nothing but probes there until the address has answered, and none to addresses that only its own
 * host or link can reach, unless the server is there already.  [RFC9000 21.5.3, 21.5.6] */

#include <errno.h>
#include <string.h>

#include "engine/base/path.h"
#include "engine/config/config.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

/* ---- The listener ---- */

static bool is_unspecified(const struct su_address *address)
{
    static const struct in6_addr any;
    return address->family == AF_INET ? address->v4.sin_addr.s_addr == INADDR_ANY
                                      : memcmp(&address->v6.sin6_addr, &any, sizeof(any)) == 0;
}

static int check(const struct spate_listener *listener, const struct sockaddr *address,
                 socklen_t size, struct su_address *ret, struct spate_error *error)
{
    if (address == NULL || su_address_from_kernel(address, size, ret) != 0 || is_unspecified(ret)) {
        se_error_set(error, "clients need one IPv4 or IPv6 address to move to");
        return -EINVAL;
    }
    if (!listener->is_open || se_shutdown_has_begun(&listener->port->shard->shutdown)) {
        se_error_set(error, "the shard is shutting down");
        return -ESHUTDOWN;
    }
    const struct sp_preferred *preferred = &listener->preferred;
    if ((ret->family == AF_INET ? preferred->v4.family : preferred->v6.family) != 0) {
        se_error_set(error, "the listener has a preferred address of this family already");
        return -EALREADY;
    }
    return 0;
}

int spate_listener_prefer(struct spate_listener *listener, const struct sockaddr *address,
                          socklen_t address_size, struct spate_error *error)
{
    struct su_address local;
    int result = check(listener, address, address_size, &local, error);
    if (result != 0)
        return result;
    struct se_port *port;
    result = se_port_prefer(listener->port, &local, &port, error);
    if (result != 0)
        return result;
    if (local.family == AF_INET)
        listener->preferred.v4 = port->local;
    else
        listener->preferred.v6 = port->local;
    return 0;
}

int spate_listener_preferred_address(const struct spate_listener *listener, int family,
                                     struct sockaddr_storage *ret, socklen_t *ret_size)
{
    const struct sp_preferred *preferred = &listener->preferred;
    if (family != AF_INET && family != AF_INET6)
        return -EINVAL;
    return se_address_to_user(family == AF_INET ? &preferred->v4 : &preferred->v6, ret, ret_size);
}

/* ---- The client ---- */

static bool is_loopback(const struct sp_addr *addr)
{
    static const uint8_t v6[16] = {[15] = 1};
    return addr->family == 4 ? addr->ip[0] == 127 : memcmp(addr->ip, v6, sizeof(v6)) == 0;
}

/* IPv4 of this network, of the link, or no unicast address at all. */
static bool is_special_v4(const uint8_t *ip)
{
    return ip[0] == 0 || ip[0] >= 224 || (ip[0] == 169 && ip[1] == 254);
}

/* Link-local (the scope is not known), multicast, or an IPv4 address in another form. */
static bool is_special_v6(const uint8_t *ip)
{
    static const uint8_t zero[8];
    return (ip[0] == 0xfe && (ip[1] & 0xc0) == 0x80) || ip[0] == 0xff ||
           (memcmp(ip, zero, sizeof(zero)) == 0 && ip[15] != 1);
}

bool se_prefer_is_allowed(const struct sp_addr *to, const struct sp_addr *now)
{
    if (to->family == 0 || to->port == 0)
        return false;
    if (is_loopback(to))
        return is_loopback(now);
    return !(to->family == 4 ? is_special_v4(to->ip) : is_special_v6(to->ip));
}

static bool move_to(struct spate_conn *conn, const struct sp_addr *remote)
{
    struct spate_shard *shard = conn->shard;
    const struct su_address any = {0};
    struct su_address peer;
    struct se_port *port;
    se_addr_to(remote, &peer);
    if (!se_prefer_is_allowed(remote, &conn->remote) ||
        se_port_for_path(shard, &any, &peer, &port, NULL) != 0)
        return false;
    const struct sp_path to = {.local = port->local, .remote = *remote, .socket = port->index};
    if (sp_conn_move_to_preferred(conn->proto, &to, shard->now_ns) != SP_DONE) {
        se_port_close(port);
        return false;
    }
    se_conn_keep_port(conn, port);
    se_conn_touch(conn);
    return true;
}

bool se_prefer_follow(struct spate_conn *conn, const struct sp_preferred *preferred)
{
    bool is_v4 = conn->remote.family == 4;
    return move_to(conn, is_v4 ? &preferred->v4 : &preferred->v6) ||
           move_to(conn, is_v4 ? &preferred->v6 : &preferred->v4);
}
