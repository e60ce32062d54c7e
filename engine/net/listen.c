/* SPDX-License-Identifier: MIT */
#include <spate/settings.h>

/* Servers and clients: how connections begin. */

#include <errno.h>

#include "crypto/tls_config.h"
#include "engine/base/clock.h"
#include "engine/base/path.h"
#include "engine/config/config.h"
#include "engine/config/settings.h"
#include "engine/config/sized.h"
#include "engine/config/tls.h"
#include "engine/conn/resume.h"
#include "engine/net/connect.h"
#include "engine/net/inherit.h"
#include "engine/net/listen_all.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

static int read_address(const struct sockaddr *address, socklen_t size, struct su_address *ret,
                        struct spate_error *error)
{
    if (address == NULL || su_address_from_kernel(address, size, ret) != 0) {
        se_error_set(error, "the address is neither IPv4 nor IPv6");
        return -EINVAL;
    }
    return 0;
}

int se_listen_check(struct spate_shard *shard, const struct spate_listen_options *options,
                    struct se_listen_at *ret, struct spate_error *error)
{
    struct spate_tls *tls = options->tls;
    *ret = (struct se_listen_at){.fds = options->fds, .count = options->fd_count};
    int result = 0;
    if (options->fds == NULL)
        result = read_address(options->address, options->address_size, &ret->address, error);
    if (result != 0)
        return result;
    if (tls == NULL || sc_tls_config_role(se_tls_config(tls)) != SP_SERVER) {
        se_error_set(error, "a listener needs the TLS options of a server");
        return -EINVAL;
    }
    return options->fds != NULL ? se_inherit(shard, ret, error) : 0;
}

int se_listen_take_options(const struct spate_listen_options *given,
                           struct spate_listen_options *ret, struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_listen_options",
        SE_SIZE_THROUGH(struct spate_listen_options, settings),
        sizeof(struct spate_listen_options),
    };
    return se_sized_take(&shape, given, ret, error);
}

struct spate_listener *se_listen_begin(struct se_port *port,
                                       const struct spate_listen_options *options)
{
    port->listener.tls = sc_tls_config_ref(se_tls_config(options->tls));
    port->listener.settings = se_settings_ref(options->settings);
    port->listener.user = options->user;
    port->listener.is_open = true;
    return &port->listener;
}

static int listen_at(struct spate_shard *shard, const struct spate_listen_options *options,
                     struct spate_listener **ret, struct spate_error *error)
{
    if (se_shutdown_has_begun(&shard->shutdown)) {
        se_error_set(error, "the shard is shutting down");
        return -ESHUTDOWN;
    }
    struct se_listen_at at;
    int result = se_listen_check(shard, options, &at, error);
    if (result != 0)
        return result;

    struct se_port *port;
    result = se_port_listen(shard, &at, &port, error);
    if (result != 0)
        return result;
    *ret = se_listen_begin(port, options);
    return 0;
}

int spate_shard_listen_with(struct spate_shard *shard, const struct spate_listen_options *given,
                            struct spate_listener **ret, struct spate_error *error)
{
    struct spate_listen_options options = {0};
    int result = se_listen_take_options(given, &options, error);
    return result != 0 ? result : listen_at(shard, &options, ret, error);
}

int spate_shard_listen(struct spate_shard *shard, const struct sockaddr *address,
                       socklen_t address_size, struct spate_tls *tls, void *user,
                       struct spate_listener **ret, struct spate_error *error)
{
    const struct spate_listen_options options = {
        .address = address,
        .address_size = address_size,
        .tls = tls,
        .user = user,
    };
    return listen_at(shard, &options, ret, error);
}

void spate_listener_set_settings(struct spate_listener *listener, struct spate_settings *settings)
{
    struct spate_settings *before = listener->settings;
    listener->settings = se_settings_ref(settings);
    se_settings_unref(before);
}

int spate_listener_address(const struct spate_listener *listener, struct sockaddr_storage *ret,
                           socklen_t *ret_size)
{
    return se_address_to_user(&listener->port->local, ret, ret_size);
}

void spate_listener_close(struct spate_listener *listener)
{
    listener->is_open = false; /* the port closes with its last connection: se_ports_maintain() */
}

int se_connect(struct spate_shard *shard, const struct spate_connect_options *options,
               struct sc_tls_config *tls, struct spate_channel *channel, struct spate_conn **ret,
               struct spate_error *error)
{
    struct su_address peer;
    int result = read_address(options->address, options->address_size, &peer, error);
    if (result != 0)
        return result;
    if (su_address_port(&peer) == 0) {
        se_error_set(error, "the port to connect to is 0");
        return -EINVAL;
    }
    if (tls == NULL || sc_tls_config_role(tls) != SP_CLIENT) {
        se_error_set(error, "a connection needs the TLS options of a client");
        return -EINVAL;
    }
    if (se_shutdown_has_begun(&shard->shutdown)) {
        se_error_set(error, "the shard is shutting down");
        return -ESHUTDOWN;
    }
    if (shard->conn_count >= shard->config->conns_max) {
        se_error_set(error, "at the limit of %u connections", shard->config->conns_max);
        return -ENOBUFS;
    }

    /* Its timers start here, not where the last turn ended. */
    se_shard_catch_up(shard);
    struct se_port *port;
    result = se_port_for_client(shard, &peer, options->socket_group, &port, error);
    if (result != 0)
        return result;
    uint32_t version = se_first_version(se_conn_config(shard, options->settings));
    struct se_conn_args args = {
        .port = port,
        .tls = tls,
        .settings = options->settings,
        .user = options->user,
        .channel = channel,
        .server_name = options->server_name,
        .ticket = {options->ticket, options->ticket_size},
        .token = se_token_of(version, (struct sb_bytes){options->token, options->token_size}),
        .wants_early = options->early,
        .role = SP_CLIENT,
        .path.local = port->local,
        .path.socket = port->index,
        .error = error,
    };
    se_addr_from(&peer, &args.path.remote);
    result = se_conn_create(shard, &args, ret);
    if (result == -ENOMEM) {
        se_error_set(error, "no memory for a connection within memory_bytes_max");
        result = -ENOBUFS;
    }
    return result;
}

static int connect_to(struct spate_shard *shard, const struct spate_connect_options *options,
                      struct spate_channel *channel, struct spate_conn **ret,
                      struct spate_error *error)
{
    struct sc_tls_config *tls = options->tls != NULL ? se_tls_config(options->tls) : NULL;
    return se_connect(shard, options, tls, channel, ret, error);
}

int se_connect_given(struct spate_shard *shard, const struct spate_connect_options *given,
                     struct spate_channel *channel, struct spate_conn **ret,
                     struct spate_error *error)
{
    static const struct se_sized shape = {
        "spate_connect_options",
        SE_SIZE_THROUGH(struct spate_connect_options, token_size),
        sizeof(struct spate_connect_options),
    };
    struct spate_connect_options options = {0};
    int result = se_sized_take(&shape, given, &options, error);
    return result != 0 ? result : connect_to(shard, &options, channel, ret, error);
}

int spate_shard_connect_with(struct spate_shard *shard, const struct spate_connect_options *given,
                             struct spate_conn **ret, struct spate_error *error)
{
    return se_connect_given(shard, given, NULL, ret, error);
}

int spate_shard_connect(struct spate_shard *shard, const struct sockaddr *address,
                        socklen_t address_size, const char *server_name, struct spate_tls *tls,
                        void *user, struct spate_conn **ret, struct spate_error *error)
{
    const struct spate_connect_options options = {
        .address = address,
        .address_size = address_size,
        .server_name = server_name,
        .tls = tls,
        .user = user,
    };
    return connect_to(shard, &options, NULL, ret, error);
}
