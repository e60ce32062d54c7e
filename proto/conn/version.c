/* SPDX-License-Identifier: MIT */
#include "proto/conn/version.h"

/* The version of a connection.
 *
 * A client begins with one version and names all that it would accept.  Its server may answer in
 * another one of them: all CRYPTO frames of the server, and everything later, have that version.
 * So for a while Initial packets of two versions are read, in one packet number space.  `other` in
 * struct sp_handshake has the keys of the version that is not that of our own packets:
 *
 *     client   keys of the version that the server may move to, made when a packet of it comes
 *     server   keys of the client's first flight, kept until a Handshake packet was opened
 *
 * What can be attacked: Initial packets are not secret, so anybody on the path may answer a client
 * in whatever version, or refuse its version by a Version Negotiation packet.  Both are found out
 * when the transport parameters, which TLS has authenticated, name the versions.  A forged packet
 * of the other version costs a client two keys, once. */

#include "proto/base/assert.h"

void sp_conn_version_init(struct sp_conn *conn, const struct sp_versions *list, uint32_t first)
{
    struct sp_handshake *handshake = conn->handshake;
    handshake->versions = list->count > 0 ? *list : conn->config->versions;
    SB_ASSERT(handshake->versions.count > 0 && handshake->versions.count <= SP_VERSIONS_MAX);
    if (first == 0 && list->count == 0 && !sp_conn_is_server(conn))
        first = conn->config->first_version;
    conn->version = first != 0 ? first : handshake->versions.list[0];
    SB_ASSERT(sp_versions_has(&handshake->versions, conn->version));
    handshake->first_version = conn->version;
}

static void free_other(struct sp_conn *conn)
{
    struct sp_other_version *other = &conn->handshake->other;
    conn->protect.ops->destroy(other->read);
    conn->protect.ops->destroy(other->write);
    *other = (struct sp_other_version){0};
}

void sp_conn_version_free(struct sp_conn *conn)
{
    free_other(conn);
}

bool sp_conn_make_initial_keys(struct sp_conn *conn, const struct sp_cid *dcid)
{
    struct sp_conn_space *s = conn->spaces[SP_SPACE_INITIAL];
    conn->protect.ops->destroy(s->read);
    conn->protect.ops->destroy(s->write);
    s->read = NULL;
    s->write = NULL;
    free_other(conn);
    conn->handshake->keys_dcid = *dcid;
    return conn->protect.ops->initial(conn->protect.context, conn->version, dcid, conn->role,
                                      &s->read, &s->write);
}

/* Makes the Initial keys of `version` in `other`.  Returns false without memory. */
static bool make_other(struct sp_conn *conn, uint32_t version)
{
    struct sp_other_version *other = &conn->handshake->other;
    SB_ASSERT(other->read == NULL && version != conn->version);
    if (!conn->protect.ops->initial(conn->protect.context, version, &conn->handshake->keys_dcid,
                                    conn->role, &other->read, &other->write))
        return false;
    other->version = version;
    return true;
}

/* Swaps the Initial keys in use with the other ones, and the version. */
static void swap(struct sp_conn *conn)
{
    struct sp_conn_space *s = conn->spaces[SP_SPACE_INITIAL];
    struct sp_other_version *other = &conn->handshake->other;
    const struct sp_other_version before = {conn->version, s->read, s->write};
    conn->version = other->version;
    s->read = other->read;
    s->write = other->write;
    *other = before;
}

/* Returns true if the server of this client may answer in `version`, which is not the first one. */
static bool may_move_to(const struct sp_conn *conn, uint32_t version)
{
    const struct sp_handshake *handshake = conn->handshake;
    return !sp_conn_is_server(conn) && !handshake->version_is_settled && version != conn->version &&
           sp_versions_has(&handshake->versions, version);
}

struct sp_key *sp_conn_long_key(struct sp_conn *conn, enum sp_space space, uint32_t version,
                                bool *ret_may_come)
{
    const struct sp_conn_space *s = conn->spaces[space];
    struct sp_other_version *other = &conn->handshake->other;
    if (version == conn->version) {
        *ret_may_come = s->read == NULL;
        return s->read;
    }
    bool may_move = may_move_to(conn, version);
    if (space == SP_SPACE_INITIAL && may_move && other->read == NULL && s->read != NULL &&
        !make_other(conn, version))
        conn->is_out_of_memory = true;
    /* [RFC9369 4.1] Handshake packets have the negotiated version only. */
    *ret_may_come = space == SP_SPACE_HANDSHAKE && may_move;
    return space == SP_SPACE_INITIAL && other->version == version ? other->read : NULL;
}

void sp_conn_version_on_opened(struct sp_conn *conn, uint32_t version)
{
    if (sp_conn_is_server(conn) || version == conn->version)
        return;
    swap(conn);
    free_other(conn); /* what the server sent in the first version are ACKs at most */
    conn->handshake->version_is_settled = true;
}

void sp_conn_version_on_crypto(struct sp_conn *conn)
{
    if (!sp_conn_is_server(conn))
        conn->handshake->version_is_settled = true;
}

void sp_conn_version_write(const struct sp_conn *conn, uint32_t chosen,
                           uint8_t room[SP_VERSION_INFO_SIZE_MAX], struct sp_tparams *params)
{
    const struct sp_versions *versions = &conn->handshake->versions;
    struct sb_writer w = sb_writer_of(room, SP_VERSION_INFO_SIZE_MAX);
    uint32_t random[2];
    conn->host.random(conn->host.context, random, sizeof(random));
    uint32_t reserved_at = random[0] % (versions->count + 1);
    for (uint32_t i = 0; i <= versions->count; i++) {
        if (i == reserved_at && conn->config->grease) /* [RFC9368 3] */
            sb_writer_u32(&w, (random[1] & UINT32_C(0xf0f0f0f0)) | UINT32_C(0x0a0a0a0a));
        if (i < versions->count)
            sb_writer_u32(&w, versions->list[i]);
    }
    SB_ASSERT(!w.failed);
    params->chosen_version = chosen;
    params->available_versions = (struct sb_bytes){room, sb_writer_used(&w)};
}

/* Returns whether `version` stands in a list as it goes on the wire. */
static bool lists(struct sb_bytes list, uint32_t version)
{
    struct sb_reader r = sb_reader_of(list.data, list.size);
    bool has = false;
    while (sb_reader_left(&r) >= sizeof(version))
        has |= sb_reader_u32(&r) == version;
    return has;
}

uint32_t sp_conn_version_choose(const struct sp_conn *conn, const struct sp_tparams *params)
{
    const struct sp_handshake *handshake = conn->handshake;
    SB_ASSERT(sp_conn_is_server(conn));
    for (uint32_t i = 0; conn->config->orders_versions && i < handshake->versions.count; i++)
        if (lists(params->available_versions, handshake->versions.list[i]))
            return handshake->versions.list[i];
    const struct sb_bytes *list = &params->available_versions;
    struct sb_reader r = sb_reader_of(list->data, list->size);
    while (sb_reader_left(&r) > 0) {
        uint32_t version = sb_reader_u32(&r);
        if (sp_versions_has(&handshake->versions, version))
            return version;
    }
    return handshake->first_version; /* there is no list */
}

bool sp_conn_version_move(struct sp_conn *conn, uint32_t version)
{
    SB_ASSERT(sp_conn_is_server(conn) && conn->spaces[SP_SPACE_INITIAL] != NULL);
    if (version == conn->version)
        return true;
    if (!make_other(conn, version))
        return false;
    /* [RFC9369 4.1] What was in the first version stays readable. */
    swap(conn);
    return true;
}

/* Returns the version that a client would try if a server offered those of `offered` and `also`:
 * the first of its own list among them; 0 if there is none. */
static uint32_t preferred_of(const struct sp_conn *conn, struct sb_bytes offered, uint32_t also)
{
    const struct sp_versions *own = &conn->handshake->versions;
    for (uint32_t i = 0; i < own->count; i++)
        if (own->list[i] == also || lists(offered, own->list[i]))
            return own->list[i];
    return 0;
}

uint32_t sp_conn_version_of_negotiation(const struct sp_conn *conn, struct sb_bytes offered)
{
    return preferred_of(conn, offered, 0);
}

/* [RFC9368 4] After a Version Negotiation packet: it must have been genuine. */
static bool negotiation_was_right(const struct sp_conn *conn, const struct sp_tparams *server)
{
    const uint8_t version_1[] = {0, 0, 0, 1};
    struct sb_bytes available = server->available_versions;
    /* [RFC9368 8] A server that knows of version 1 alone. */
    if (server->chosen_version == 0 && conn->version == SP_VERSION_1)
        available = (struct sb_bytes){version_1, sizeof(version_1)};
    else if (server->chosen_version == 0)
        return false;
    return available.size > 0 &&
           preferred_of(conn, available, conn->version) == conn->handshake->first_version;
}

enum sp_err sp_conn_version_check(const struct sp_conn *conn, const struct sp_tparams *peer)
{
    const struct sp_handshake *handshake = conn->handshake;
    uint32_t chosen = peer->chosen_version;
    if (sp_conn_is_server(conn)) /* [RFC9368 4] it may be missing */
        return chosen == 0 || chosen == handshake->first_version ? SP_OK
                                                                 : SP_ERR_VERSION_NEGOTIATION;

    /* Only who has moved to another version knows of the parameter for sure. */
    if (chosen != conn->version && (chosen != 0 || conn->version != handshake->first_version))
        return SP_ERR_VERSION_NEGOTIATION;
    if (handshake->has_negotiated && !negotiation_was_right(conn, peer))
        return SP_ERR_VERSION_NEGOTIATION;
    return SP_OK;
}
