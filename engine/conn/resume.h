/* SPDX-License-Identifier: MIT */
#ifndef SE_RESUME_H
#define SE_RESUME_H

#include <spate/resume.h>

#include "engine/conn/conn.h"
#include "proto/base/slice.h"

/* Returns the version of QUIC that a client with this configuration begins with. */
uint32_t se_first_version(const struct sp_config *config);

/* Returns the server's token in one of the application; empty if it is cut, or of another version
 * than `version`. */
struct sb_bytes se_token_of(uint32_t version, struct sb_bytes bytes);

/* Makes conn->token of a token of the server, in the place of the one before.  Returns false
 * without memory. */
bool se_conn_keep_token(struct spate_conn *conn, const struct sb_slice *token);

#endif
