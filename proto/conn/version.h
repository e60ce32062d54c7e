/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_VERSION_H
#define SP_CONN_VERSION_H

#include "proto/conn/impl.h"
#include "proto/wire/tparam.h"

/* Which version of QUIC the connection has, until its handshake has settled it.
 * [RFC9368, RFC9369 4] */

enum {
    SP_VERSION_INFO_SIZE_MAX = (1 + SP_VERSIONS_MAX + 1) * 4,
};

/* Sets the versions that the connection may have to `list`, or to those of the configuration if it
 * is empty, and the version that it begins with to `first`, or to the preferred one if that is 0.
 */
void sp_conn_version_init(struct sp_conn *conn, const struct sp_versions *list, uint32_t first);

/* Makes the Initial keys of the connection's version, in the place of those that are there, from
 * the destination CID of the client's first Initial, or of the one after a Retry.  [RFC9001 5.2]
 * Returns false without memory. */
SB_MUST_USE bool sp_conn_make_initial_keys(struct sp_conn *conn, const struct sp_cid *dcid);

/* Returns the key for a long-header packet of `version`.  Returns NULL, and sets `*ret_may_come`,
 * if there is none: the packet may wait if one may come, and is dropped otherwise. */
struct sp_key *sp_conn_long_key(struct sp_conn *conn, enum sp_space space, uint32_t version,
                                bool *ret_may_come);

/* Records that a packet of `version` was opened.  A client moves to the version that its server has
 * chosen.  [RFC9369 4.1] */
void sp_conn_version_on_opened(struct sp_conn *conn, uint32_t version);

/* Records that CRYPTO bytes came: a client's version is settled.  [RFC9369 4.1] */
void sp_conn_version_on_crypto(struct sp_conn *conn);

/* Sets version_information in `params`, for a connection of `chosen`, from bytes in `room`.
 * [RFC9368 3] */
void sp_conn_version_write(const struct sp_conn *conn, uint32_t chosen,
                           uint8_t room[SP_VERSION_INFO_SIZE_MAX], struct sp_tparams *params);

/* Server: returns the version to use with a client that sent `params`: the one that the client
 * prefers, or of config->orders_versions the one that we prefer, of those that both have.
 * [RFC9368 2.3] */
uint32_t sp_conn_version_choose(const struct sp_conn *conn, const struct sp_tparams *params);

/* Server: moves to the version that sp_conn_version_choose() returned.  Returns false without
 * memory for its keys. */
SB_MUST_USE bool sp_conn_version_move(struct sp_conn *conn, uint32_t version);

/* Returns SP_OK or the error with which the connection must be closed because of the version
 * information in the peer's parameters: the protection against a downgrade.  [RFC9368 4] */
enum sp_err sp_conn_version_check(const struct sp_conn *conn, const struct sp_tparams *peer);

/* Client: returns the version to try after a Version Negotiation packet, 0 if there is none.
 * [RFC9368 2.1] */
uint32_t sp_conn_version_of_negotiation(const struct sp_conn *conn, struct sb_bytes offered);

/* Frees the Initial keys of the other version. */
void sp_conn_version_free(struct sp_conn *conn);

#endif
