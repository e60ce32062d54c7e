/* SPDX-License-Identifier: MIT */
#include "engine/conn/ask.h"

/* Questions of handshakes to the application, and its answers.
 *
 * A question is not asked where it arises, in the midst of packets, but at two places of the turn
 * where the application may do anything.  An answer names its connection by the handle, so one that
 * comes too late, or twice, finds nothing.  A handshake that waits counts against handshakes_max
 * and its timeout like others. */

#include <errno.h>
#include <string.h>

#include <spate/cert.h>

#include "crypto/tls_ask.h"
#include "crypto/tls_config.h"
#include "engine/config/cert.h"
#include "engine/config/tls.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

void se_ask_raise(struct spate_conn *conn)
{
    if (!sb_link_is_in(&conn->ask_link))
        sb_list_push_back(&conn->shard->asking, &conn->ask_link);
}

/* The handshake of a connection that may still be answered, or NULL. */
static struct sp_tls *handshake_of(const struct spate_conn *conn)
{
    bool is_open = conn->state <= SE_CONN_HANDSHAKING && !sp_conn_is_closed(conn->proto);
    return is_open ? sp_conn_tls(conn->proto) : NULL;
}

static struct se_ask_callback callback_of(const struct spate_conn *conn, const struct sc_ask *ask)
{
    switch (ask->kind) {
    case SC_ASK_CERT:
        return se_tls_on_cert(conn->tls);
    case SC_ASK_SIGN:
        return se_cert_on_sign(ask->cert);
    case SC_ASK_VERIFY:
        return se_tls_on_verify(conn->tls);
    case SC_ASK_NONE:
        break;
    }
    return (struct se_ask_callback){0};
}

/* Hands the question over; the chain has at most SC_TLS_PEER_CHAIN_BYTES_MAX bytes. */
static void hand_over(struct spate_conn *conn, const struct sc_ask *ask)
{
    enum { CERTS_MAX = 64 }; /* OpenSSL verifies no longer chain; further ones are left out */
    const struct se_ask_callback callback = callback_of(conn, ask);
    struct spate_der chain[CERTS_MAX];
    char alpn[SE_ALPN_SIZE_MAX + 1] = "";
    struct spate_ask given = {
        .size = sizeof(given),
        .shard = conn->shard,
        .conn_id = conn->id,
        .conn_user = conn->user,
        .server_name = ask->server_name != NULL ? ask->server_name : "",
        .alpn = alpn,
        .schemes = ask->schemes,
        .scheme_count = ask->scheme_count,
        .data = ask->data.data,
        .data_size = ask->data.size,
        .chain = chain,
        .chain_count = SB_MIN(ask->chain_count, (size_t)CERTS_MAX),
        .chain_error = ask->chain_error,
        .scheme = ask->scheme,
        .is_server = conn->is_server,
    };
    SB_ASSERT(callback.function != NULL && ask->alpn.size < sizeof(alpn));
    if (ask->alpn.size > 0)
        memcpy(alpn, ask->alpn.data, ask->alpn.size);
    for (size_t i = 0; i < given.chain_count; i++)
        chain[i] = (struct spate_der){ask->chain[i].data, ask->chain[i].size};
    callback.function(&given, callback.user);
}

static SB_NEVER_INLINE bool run_all(struct spate_shard *shard)
{
    struct sb_link *link;
    bool had_one = false;
    while ((link = sb_list_pop_front(&shard->asking)) != NULL) {
        struct spate_conn *conn = SB_CONTAINER_OF(link, struct spate_conn, ask_link);
        struct sp_tls *tls = handshake_of(conn);
        struct sc_ask ask;
        int result = tls == NULL ? -ENOENT : sc_tls_ask(tls, &ask);
        had_one = true;
        if (result == 0)
            hand_over(conn, &ask); /* `conn` may be closed after it, but not freed */
        else if (result != -ENOENT)
            sp_conn_close_transport(conn->proto, SP_ERR_INTERNAL, "no memory", shard->now_ns);
        se_conn_touch(conn);
    }
    return had_one;
}

bool se_asks_run(struct spate_shard *shard)
{
    return SB_UNLIKELY(!sb_list_is_empty(&shard->asking)) && run_all(shard);
}

/* The handshake that an answer is for, or NULL. */
static struct sp_tls *find(struct spate_shard *shard, uint64_t conn_id, struct spate_conn **ret)
{
    *ret = se_conn_of_id(shard, conn_id);
    return *ret == NULL ? NULL : handshake_of(*ret);
}

static int go_on(struct spate_conn *conn, int result)
{
    if (result != 0)
        return result;
    se_shard_catch_up(conn->shard);
    sp_conn_resume_tls(conn->proto, conn->shard->now_ns);
    se_conn_touch(conn);
    return 0;
}

int spate_shard_answer_cert(struct spate_shard *shard, uint64_t conn_id, struct spate_cert *cert)
{
    struct spate_conn *conn;
    struct sp_tls *tls = find(shard, conn_id, &conn);
    if (tls == NULL)
        return -ENOENT;
    return go_on(conn, sc_tls_answer_cert(tls, cert != NULL ? se_cert_inner(cert) : NULL));
}

int spate_shard_answer_sign(struct spate_shard *shard, uint64_t conn_id, const void *signature,
                            size_t size)
{
    struct spate_conn *conn;
    struct sp_tls *tls = find(shard, conn_id, &conn);
    if (tls == NULL)
        return -ENOENT;
    const struct sb_bytes bytes = {.data = signature, .size = signature == NULL ? 0 : size};
    return go_on(conn, sc_tls_answer_sign(tls, bytes));
}

int spate_shard_answer_verify(struct spate_shard *shard, uint64_t conn_id, uint8_t alert,
                              const char *reason)
{
    struct spate_conn *conn;
    struct sp_tls *tls = find(shard, conn_id, &conn);
    if (tls == NULL)
        return -ENOENT;
    return go_on(conn, sc_tls_answer_verify(tls, alert, reason));
}
