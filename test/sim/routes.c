/* SPDX-License-Identifier: MIT */
#include "test/sim/routes.h"

#include <string.h>

#include "test/sim/host.h"

bool qs_end_has_cid(const struct qs_end *end, const struct sp_cid *cid)
{
    for (uint32_t i = 0; i < end->cid_count; i++) {
        if (sp_cid_equal(&end->cids[i], cid))
            return true;
    }
    return false;
}

bool qs_end_has_token(const struct qs_end *end, const uint8_t token[SP_RESET_TOKEN_SIZE])
{
    for (uint32_t i = 0; i < end->token_count; i++) {
        if (memcmp(end->tokens[i], token, SP_RESET_TOKEN_SIZE) == 0)
            return true;
    }
    return false;
}

void qs_end_add_cid(struct qs_end *end, const struct sp_cid *cid)
{
    if (qs_end_has_cid(end, cid))
        qs_fail(end->host->trace, "%s adds a CID twice", end->who);
    else if (end->cid_count == QS_END_CIDS_MAX)
        qs_fail(end->host->trace, "%s has more than %d CIDs", end->who, QS_END_CIDS_MAX);
    else
        end->cids[end->cid_count++] = *cid;
    if (end->first_cid.size == 0)
        end->first_cid = *cid;
}

void qs_end_remove_cid(struct qs_end *end, const struct sp_cid *cid)
{
    for (uint32_t i = 0; i < end->cid_count; i++) {
        if (sp_cid_equal(&end->cids[i], cid)) {
            end->cids[i] = end->cids[--end->cid_count];
            end->retired_count += !sp_conn_is_closed(end->conn);
            return;
        }
    }
    qs_fail(end->host->trace, "%s removes a CID that it does not have", end->who);
}

void qs_end_add_token(struct qs_end *end, const uint8_t token[SP_RESET_TOKEN_SIZE])
{
    if (end->token_count == QS_END_CIDS_MAX)
        qs_fail(end->host->trace, "%s has more than %d reset tokens", end->who, QS_END_CIDS_MAX);
    else
        memcpy(end->tokens[end->token_count++], token, SP_RESET_TOKEN_SIZE);
}

void qs_end_remove_token(struct qs_end *end, const uint8_t token[SP_RESET_TOKEN_SIZE])
{
    for (uint32_t i = 0; i < end->token_count; i++) {
        if (memcmp(end->tokens[i], token, SP_RESET_TOKEN_SIZE) == 0) {
            memcpy(end->tokens[i], end->tokens[--end->token_count], SP_RESET_TOKEN_SIZE);
            return;
        }
    }
    qs_fail(end->host->trace, "%s removes a reset token that it does not have", end->who);
}
