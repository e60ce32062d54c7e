/* SPDX-License-Identifier: MIT */
#include <spate/conn.h>

/* The application's operations on a connection. */

#include <errno.h>
#include <string.h>

#include "crypto/tls.h"
#include "engine/base/path.h"
#include "engine/config/config.h"
#include "engine/config/sized.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

void spate_conn_set_user(struct spate_conn *conn, void *user)
{
    conn->user = user;
}

void *spate_conn_user(const struct spate_conn *conn)
{
    return conn->user;
}

uint64_t spate_conn_id(const struct spate_conn *conn)
{
    return conn->id;
}

struct spate_conn *spate_shard_conn(struct spate_shard *shard, uint64_t conn_id)
{
    struct spate_conn *conn = se_conn_of_id(shard, conn_id);
    bool is_known = conn != NULL && se_conn_is_announced(conn) && conn->state != SE_CONN_TAKEN &&
                    conn->channel == NULL;
    return is_known ? conn : NULL;
}

struct spate_shard *spate_conn_shard(const struct spate_conn *conn)
{
    return conn->shard;
}

bool spate_conn_is_server(const struct spate_conn *conn)
{
    return conn->is_server;
}

void spate_conn_close(struct spate_conn *conn, uint64_t error, const char *reason)
{
    size_t size = reason != NULL ? strnlen(reason, SP_REASON_SIZE_MAX) : 0;
    se_shard_catch_up(conn->shard); /* the closing period begins here [RFC9000 10.2] */
    sp_conn_close(conn->proto, error & SB_VARINT_MAX, reason, size, conn->shard->now_ns);
    se_conn_touch(conn);
}

int spate_conn_set_rate_limit(struct spate_conn *conn, uint64_t bytes_per_s)
{
    if (!se_config_is_rate(bytes_per_s))
        return -EINVAL;
    se_shard_catch_up(conn->shard);
    sp_conn_set_rate_limit(conn->proto, bytes_per_s, conn->shard->now_ns);
    se_conn_touch(conn);
    return 0;
}

const char *spate_conn_alpn(const struct spate_conn *conn)
{
    return conn->alpn;
}

const char *spate_conn_cipher(const struct spate_conn *conn)
{
    return conn->cipher;
}

uint32_t spate_conn_version(const struct spate_conn *conn)
{
    bool was_connected = conn->cipher[0] != '\0';
    return was_connected ? sp_conn_version(conn->proto) : 0;
}

int spate_conn_update_keys(struct spate_conn *conn)
{
    if (sp_conn_update_keys(conn->proto) != SP_DONE)
        return -ENOTCONN;
    se_conn_touch(conn);
    return 0;
}

const char *spate_conn_server_name(const struct spate_conn *conn)
{
    bool was_connected = conn->cipher[0] != '\0';
    const char *name = was_connected ? sc_tls_server_name(sp_conn_tls(conn->proto)) : NULL;
    return name != NULL ? name : "";
}

const uint8_t *spate_conn_peer_certificate(const struct spate_conn *conn, size_t index,
                                           size_t *ret_size)
{
    const struct sp_tls *tls = sp_conn_tls(conn->proto);
    if (tls == NULL || conn->cipher[0] == '\0')
        return NULL;
    struct sb_bytes cert = sc_tls_peer_chain(tls, index);
    if (cert.data != NULL)
        *ret_size = cert.size;
    return cert.data;
}

int spate_conn_export(const struct spate_conn *conn, const char *label, const void *context,
                      size_t context_size, void *ret, size_t size)
{
    const struct sp_tls *tls = sp_conn_tls(conn->proto);
    if (tls == NULL || conn->cipher[0] == '\0')
        return -ENOTCONN;
    return sc_tls_export(tls, (struct sb_bytes){(const uint8_t *)label, strlen(label)},
                         (struct sb_bytes){context, context_size}, ret, size);
}

int spate_conn_peer_address(const struct spate_conn *conn, struct sockaddr_storage *ret,
                            socklen_t *ret_size)
{
    return se_address_to_user(&conn->remote, ret, ret_size);
}

static int errno_of(enum sp_result result)
{
    switch (result) {
    case SP_DONE:
        return 0;
    case SP_CLOSED:
        return -ENOTCONN;
    case SP_INVALID:
        return -EPERM;
    case SP_NO_MEMORY:
        return -ENOBUFS;
    default:
        return -EAGAIN;
    }
}

int spate_conn_migrate(struct spate_conn *conn, const struct sockaddr *local, socklen_t local_size,
                       struct spate_error *error)
{
    struct spate_shard *shard = conn->shard;
    struct su_address from = {0}, peer;
    se_addr_to(&conn->remote, &peer);
    bool is_wrong = local != NULL && (su_address_from_kernel(local, local_size, &from) != 0 ||
                                      from.family != peer.family);
    if (conn->is_server || is_wrong) {
        se_error_set(error, conn->is_server ? "a server does not move"
                                            : "the address is of another family than the peer's");
        return -EINVAL;
    }
    struct se_port *port;
    int result = se_port_for_path(shard, &from, &peer, &port, error);
    if (result != 0)
        return result;
    const struct sp_path to = {.local = port->local, .remote = conn->remote, .socket = port->index};
    se_shard_catch_up(shard);
    result = errno_of(sp_conn_migrate(conn->proto, &to, shard->now_ns));
    if (result != 0) {
        se_error_set(error, "the connection cannot move now: %s", strerrordesc_np(-result));
        se_port_close(port);
        return result;
    }
    se_conn_keep_port(conn, port);
    se_conn_touch(conn);
    return 0;
}

void spate_conn_stats_sized(const struct spate_conn *conn, struct spate_conn_stats *ret,
                            size_t size)
{
    struct sp_stats stats;
    struct spate_conn_stats own;
    sp_conn_stats(conn->proto, &stats);
    stats.memory_bytes = se_conn_memory_bytes(conn);
#define COPY(kind, name) own.name = stats.name;
    SPATE_CONN_STATS(COPY)
#undef COPY
    se_waits_give(&conn->waits, conn->shard->now_ns, &own);
    se_sized_give(&own, sizeof(own), ret, size);
}
