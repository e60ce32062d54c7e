/* SPDX-License-Identifier: MIT */
#include "engine/net/port.h"

/* Sockets are opened when the application listens or connects, and are closed in the turn.  The
 * multishot receive and all trains of a socket must have ended before it is closed, because each
 * operation in flight keeps the UDP port in use. */

#include <errno.h>
#include <string.h>

#include "crypto/tls_config.h"
#include "engine/base/clock.h"
#include "engine/base/path.h"
#include "engine/config/config.h"
#include "engine/config/settings.h"
#include "engine/net/inherit.h"
#include "engine/net/listen_all.h"
#include "engine/net/shared_ports.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

/* How long listening waits for an address in use, and how often it looks.  The kernel may not have
 * released it yet: it ends the operations of a ring, which hold the socket, after the process.  The
 * ring of a process that was killed lets go of its socket after 30 to 75 ms; with four times as
 * many busy threads as CPUs one of 240 took 250 ms. */
#define LISTEN_PATIENCE_NS SB_S
#define LISTEN_PAUSE_NS    (1 * SB_MS)

/* With fewer free ports a client's is not kept for the next connection to its peer. */
enum { SPARE_PORTS = 16 };

void se_ports_init(struct spate_shard *shard)
{
    for (uint32_t i = 0; i < SE_PORTS_MAX; i++) {
        struct se_port *port = &shard->ports[i];
        port->shard = shard;
        port->socket = SU_SOCKET_CLOSED;
        port->index = i;
        port->state = SE_PORT_FREE;
        sb_list_init(&port->conns);
    }
}

static int failed(int result, const struct su_address *address, const char *step,
                  struct spate_error *error)
{
    char text[SU_ADDRESS_TEXT_SIZE];
    se_error_set(error, "%s: %s failed: %s", su_address_format(address, text), step,
                 strerrordesc_np(-result));
    return result;
}

/* Gives an open socket to a free port.  `named`: the address for error messages.  On failure the
 * socket stays the caller's. */
static int port_take(struct se_port *port, const struct su_socket *socket,
                     const struct su_address *named, struct spate_error *error)
{
    struct spate_shard *shard = port->shard;
    SB_ASSERT(port->state == SE_PORT_FREE);

    port->socket = *socket;
    int result = su_socket_attach(&port->socket, &shard->ring);
    if (result != 0) {
        port->socket = SU_SOCKET_CLOSED;
        return failed(result, named, "register", error);
    }

    su_send_on_attach(&shard->send, &port->socket);
    su_recv_init(&port->recv, &shard->ring, &shard->bufring, &port->socket, port->index);
    se_addr_from(&port->socket.local, &port->local);
    port->peer = socket->peer;
    port->state = SE_PORT_OPEN;
    shard->ports_used |= UINT64_C(1) << port->index;
    port->conn_count = 0;
    port->tombstone_count = 0;
    port->path_count = 0;
    port->send_count = 0;
    port->idle_since_ns = shard->now_ns;
    port->group = 0;
    port->is_client = false;
    port->is_shared = false;
    port->is_preferred = false;
    port->preferred_ports = 0;
    port->listener = (struct spate_listener){.port = port};
    return 0;
}

/* Opens the socket of a free port. */
static int port_open(struct se_port *port, const struct su_socket_config *config,
                     const struct su_address *named, struct spate_error *error)
{
    struct su_socket socket;
    const char *step = "open";
    int result = su_socket_open(&socket, config, &step);
    if (result != 0)
        return failed(result, named, step, error);
    result = port_take(port, &socket, named, error);
    if (result != 0)
        su_socket_close(&socket);
    return result;
}

void se_listening_close(struct spate_shard *shard, struct su_socket *socket, bool is_shared)
{
    if (is_shared)
        se_shared_ports_close(shard->shared_ports, socket);
    else
        su_socket_close(socket);
}

static void close_socket(struct se_port *port)
{
    port->state = SE_PORT_FREE;
    port->shard->ports_used &= ~(UINT64_C(1) << port->index);
    se_listening_close(port->shard, &port->socket, port->is_shared);
    port->is_shared = false;
}

static struct se_port *port_free(struct spate_shard *shard)
{
    for (uint32_t i = 0; i < SE_PORTS_ORDINARY; i++)
        if (shard->ports[i].state == SE_PORT_FREE)
            return &shard->ports[i];
    return NULL;
}

static struct su_socket_config socket_config(const struct spate_shard *shard)
{
    return (struct su_socket_config){
        .is_stamped = shard->config->receive_stamps,
        .receive_bytes = shard->config->socket_buffer_bytes,
        .send_bytes = shard->config->socket_buffer_bytes,
        .is_hosted = shard->config->backend == SPATE_BACKEND_HOST,
        .is_timed = shard->depart.is_on,
    };
}

/* The mark of nearly all datagrams of a client's socket; a server's answers strangers without one.
 */
static uint8_t own_mark(const struct spate_shard *shard)
{
    if (!shard->config->ecn)
        return SP_ECN_NOT;
    return shard->config->congestion == SPATE_CONGESTION_PRAGUE ? SP_ECN_ECT1 : SP_ECN_ECT0;
}

static bool is_any_v6(const struct su_address *address)
{
    static const uint8_t zero[16];
    return address->family == AF_INET6 && memcmp(&address->v6.sin6_addr, zero, sizeof(zero)) == 0;
}

static int refuse_sharing(enum se_shared_state state, struct spate_error *error)
{
    if (state == SE_SHARED_OFFERED) {
        se_error_set(error, "another process is taking over the sockets");
        return -EBUSY;
    }
    se_error_set(error, "another process has taken over the sockets");
    return -ESHUTDOWN;
}

bool se_port_is_shared(const struct spate_shard *shard)
{
    return shard->config->shard_count > 1 || shard->config->hand_over;
}

int se_listening_open(const struct spate_shard *shard, const struct se_listen_at *at,
                      bool is_shared, struct su_socket *ret, struct spate_error *error)
{
    struct su_socket_config config = socket_config(shard);
    if (config.is_hosted && su_address_port(&at->address) == 0) {
        se_error_set(error, "no system chooses a port here: name one");
        return -EINVAL;
    }
    enum se_shared_state state = se_shared_ports_state(shard->shared_ports);
    if (is_shared && state != SE_SHARED_OPEN)
        return refuse_sharing(state, error);
    config.local = at->address;
    config.is_dual = is_any_v6(&at->address);
    config.is_adopted = at->fds != NULL && !is_shared;
    config.fd = at->fds != NULL ? at->fds[0] : -1;
    uint64_t end_ns = se_clock_now_ns() + LISTEN_PATIENCE_NS;
    for (;;) {
        const char *step = "open";
        int result =
            is_shared ? se_shared_ports_open(shard->shared_ports, &config, shard->index, ret, &step)
                      : su_socket_open(ret, &config, &step);
        if (result != -EADDRINUSE || se_clock_now_ns() >= end_ns)
            return result == 0 ? 0 : failed(result, &at->address, step, error);
        se_clock_sleep(LISTEN_PAUSE_NS);
    }
}

int se_port_adopt(struct spate_shard *shard, const struct su_socket *socket, bool is_shared,
                  struct se_port **ret, struct spate_error *error)
{
    struct se_port *port = port_free(shard);
    if (port == NULL) {
        se_error_set(error, "no more than %d sockets a shard", SE_PORTS_ORDINARY);
        return -EMFILE;
    }
    int result = port_take(port, socket, &socket->local, error);
    if (result != 0)
        return result;
    port->is_shared = is_shared;
    se_depart_ask(&shard->depart);
    *ret = port;
    return 0;
}

static int listen_at(struct spate_shard *shard, const struct se_listen_at *at, bool is_shared,
                     struct se_port **ret, struct spate_error *error)
{
    struct su_socket socket;
    int result = se_listening_open(shard, at, is_shared, &socket, error);
    if (result != 0)
        return result;
    result = se_port_adopt(shard, &socket, is_shared, ret, error);
    if (result != 0)
        se_listening_close(shard, &socket, is_shared);
    return result;
}

int se_port_listen(struct spate_shard *shard, const struct se_listen_at *at, struct se_port **ret,
                   struct spate_error *error)
{
    return listen_at(shard, at, se_port_is_shared(shard), ret, error);
}

/* Shared with no other shard, whose packets it would get, but with a process that takes over. */
int se_port_prefer(struct se_port *listening, const struct su_address *address,
                   struct se_port **ret, struct spate_error *error)
{
    const struct se_listen_at at = {.address = *address};
    bool may_hand_over = listening->shard->config->hand_over;
    int result = listen_at(listening->shard, &at, may_hand_over, ret, error);
    if (result != 0)
        return result;
    (*ret)->is_preferred = true;
    listening->preferred_ports |= UINT64_C(1) << (*ret)->index;
    return 0;
}

static struct su_address any_address(sa_family_t family)
{
    struct su_address any = {0};
    if (family == AF_INET)
        any.v4.sin_family = AF_INET;
    else
        any.v6.sin6_family = AF_INET6;
    return any;
}

static bool is_unused(const struct se_port *port)
{
    return port->conn_count == 0 && port->tombstone_count == 0 && port->path_count == 0;
}

static bool is_stale(const struct se_port *port, uint64_t now_ns)
{
    return is_unused(port) && now_ns > sb_time_add(port->idle_since_ns, SE_PORT_KEEP_NS);
}

/* Returns whether an open port has had its time.  A client that moves leaves a port behind each
 * time: they make room for others before there is none. */
static bool is_over(const struct se_port *port)
{
    const struct spate_shard *shard = port->shard;
    if (!is_unused(port))
        return false;
    if (!port->is_client)
        return !port->listener.is_open && !port->is_preferred;
    bool is_crowded = __builtin_popcountll(shard->ports_used) > SE_PORTS_ORDINARY - SPARE_PORTS;
    return port->index < SE_PORTS_ORDINARY && (is_crowded || is_stale(port, shard->now_ns));
}

/* Returns a client's port of a group that is connected to `peer`, or NULL.  Closes stale client
 * ports on the way. */
static struct se_port *find_client_port(struct spate_shard *shard, const struct su_address *peer,
                                        uint32_t group)
{
    struct se_port *found = NULL;
    for (uint32_t i = 0; i < SE_PORTS_ORDINARY; i++) {
        struct se_port *port = &shard->ports[i];
        if (port->state != SE_PORT_OPEN || !port->is_client)
            continue;
        if (is_stale(port, shard->now_ns))
            se_port_close(port);
        else if (port->group == group && su_address_is_equal(&port->peer, peer))
            found = port;
    }
    return found;
}

int se_port_for_client(struct spate_shard *shard, const struct su_address *peer, uint32_t group,
                       struct se_port **ret, struct spate_error *error)
{
    struct se_port *port = find_client_port(shard, peer, group);
    if (port != NULL) {
        *ret = port;
        return 0;
    }

    struct su_socket_config config = socket_config(shard);
    config.local = any_address(peer->family);
    config.peer = *peer;
    config.ecn = own_mark(shard);
    port = port_free(shard);
    if (port == NULL) {
        port = &shard->ports[peer->family == AF_INET ? SE_PORT_SHARED_V4 : SE_PORT_SHARED_V6];
        if (port->state == SE_PORT_OPEN) {
            *ret = port;
            return 0;
        }
        config.peer = (struct su_address){0};
    }
    int result = port_open(port, &config, peer, error);
    if (result != 0)
        return result;
    port->is_client = true;
    port->group = group;
    *ret = port;
    return 0;
}

int se_port_for_path(struct spate_shard *shard, const struct su_address *local,
                     const struct su_address *peer, struct se_port **ret, struct spate_error *error)
{
    struct se_port *port = port_free(shard);
    if (port == NULL) {
        se_error_set(error, "no more than %d sockets a shard", SE_PORTS_ORDINARY);
        return -EMFILE;
    }
    struct su_socket_config config = socket_config(shard);
    config.local = local->family == AF_UNSPEC ? any_address(peer->family) : *local;
    config.peer = *peer;
    config.ecn = own_mark(shard);
    int result = port_open(port, &config, peer, error);
    if (result != 0)
        return result;
    port->is_client = true;
    *ret = port;
    return 0;
}

static void release_listener(struct spate_listener *listener)
{
    sc_tls_config_unref(listener->tls);
    listener->tls = NULL;
    se_settings_unref(listener->settings);
    listener->settings = NULL;
    se_listen_all_unref(listener->whole);
    listener->whole = NULL;
}

void se_port_close(struct se_port *port)
{
    SB_ASSERT(port->state == SE_PORT_OPEN && is_unused(port));
    port->state = SE_PORT_CLOSING;
    port->listener.is_open = false;
    release_listener(&port->listener);
    for (uint64_t left = port->preferred_ports; left != 0; left &= left - 1)
        port->shard->ports[__builtin_ctzll(left)].is_preferred = false;
    if (port->recv.is_wanted)
        su_recv_stop(&port->recv);
}

static void close_finished(struct se_port *port)
{
    su_recv_counts_add(&port->shard->counts.recv_closed, &port->recv.counts);
    port->recv.counts = (struct su_recv_counts){0};
    close_socket(port);
}

static void maintain(struct se_port *port)
{
    if (port->state == SE_PORT_OPEN && is_over(port))
        se_port_close(port);
    if (port->state == SE_PORT_OPEN && !port->recv.is_wanted)
        (void)su_recv_start(&port->recv); /* -EAGAIN: su_recv_rearm() tries again */
    su_recv_rearm(&port->recv);
    if (port->state == SE_PORT_CLOSING && !port->recv.is_armed && port->send_count == 0)
        close_finished(port);
}

void se_port_abandon(struct se_port *port)
{
    port->listener.is_open = false;
    if (!is_unused(port) || port->recv.is_wanted)
        return; /* se_ports_maintain() closes it */
    se_port_close(port);
    close_finished(port);
}

void se_ports_maintain(struct spate_shard *shard)
{
    /* A bit mask finds the ports in use, because each port occupies several cache lines. */
    for (uint64_t left = shard->ports_used; left != 0; left &= left - 1)
        maintain(&shard->ports[__builtin_ctzll(left)]);
}

void se_ports_deinit(struct spate_shard *shard)
{
    for (uint32_t i = 0; i < SE_PORTS_MAX; i++) {
        struct se_port *port = &shard->ports[i];
        release_listener(&port->listener);
        close_socket(port);
    }
}
