/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_HANDSHAKE_H
#define SP_CONN_HANDSHAKE_H

#include "proto/conn/impl.h"

bool sp_conn_start_tls(struct sp_conn *conn);
void sp_conn_advance_tls(struct sp_conn *conn, enum sp_level level, uint64_t now_ns);
/* Works off what TLS has to report. */
void sp_conn_pull_tls(struct sp_conn *conn, uint64_t now_ns);
void sp_conn_confirm(struct sp_conn *conn, uint64_t now_ns);
void sp_conn_discard_space(struct sp_conn *conn, enum sp_space space, uint64_t now_ns);
/* Client: chooses the destination CID of the first Initial. */
void sp_conn_choose_dcid(struct sp_conn *conn);
void sp_conn_on_retry(struct sp_conn *conn, const uint8_t *data, const struct sp_header *header);
void sp_conn_on_version_negotiation(struct sp_conn *conn, const struct sp_header *header,
                                    uint64_t now_ns);
void sp_conn_issue_cids(struct sp_conn *conn);

#endif
