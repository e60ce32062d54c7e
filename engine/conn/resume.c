/* SPDX-License-Identifier: MIT */
#include <spate/resume.h>

/* Resumption and 0-RTT, as the application sees them.  A token of the application is that of the
 * server, after the version of QUIC that it is for.  [RFC9369 5] */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "crypto/tls.h"
#include "engine/config/tls.h"
#include "engine/conn/resume.h"
#include "engine/shard/shard.h"

enum { VERSION_SIZE = 4 };

uint32_t se_first_version(const struct sp_config *config)
{
    return config->first_version != 0 ? config->first_version : config->versions.list[0];
}

struct sb_bytes se_token_of(uint32_t version, struct sb_bytes bytes)
{
    if (bytes.size <= VERSION_SIZE ||
        ((uint32_t)sb_load_u16(bytes.data) << 16 | sb_load_u16(bytes.data + 2)) != version)
        return (struct sb_bytes){0};
    return (struct sb_bytes){.data = bytes.data + VERSION_SIZE, .size = bytes.size - VERSION_SIZE};
}

bool se_conn_keep_token(struct spate_conn *conn, const struct sb_slice *token)
{
    free(conn->token);
    conn->token_size = 0;
    conn->token = malloc(VERSION_SIZE + token->size);
    if (conn->token == NULL)
        return false;
    uint32_t version = sp_conn_version(conn->proto);
    sb_store_u16(conn->token, (uint16_t)(version >> 16));
    sb_store_u16(conn->token + 2, (uint16_t)version);
    memcpy(conn->token + VERSION_SIZE, token->data, token->size);
    conn->token_size = VERSION_SIZE + token->size;
    return true;
}

_Static_assert((int)SPATE_EARLY_OFFERED == (int)SP_EARLY_OFFERED &&
                   (int)SPATE_EARLY_ACCEPTED == (int)SP_EARLY_ACCEPTED &&
                   (int)SPATE_EARLY_REJECTED == (int)SP_EARLY_REJECTED,
               "one is cast to the other");

enum spate_early spate_conn_early(const struct spate_conn *conn)
{
    return (enum spate_early)sp_conn_early(conn->proto);
}

bool spate_conn_is_resumed(const struct spate_conn *conn)
{
    const struct sp_tls *tls = sp_conn_tls(conn->proto);
    return tls != NULL && sc_tls_is_resumed(tls);
}

int spate_tls_set_ticket_keys(struct spate_tls *tls, const void *keys, size_t count)
{
    return sc_tls_config_set_ticket_keys(se_tls_config(tls), keys, count);
}
