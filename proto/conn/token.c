/* SPDX-License-Identifier: MIT */
#include "proto/conn/token.h"

bool sp_conn_copy_token(struct sp_conn *conn, struct sb_bytes token, struct sb_slice *ret)
{
    if (token.size == 0 || token.size > SP_COPY_SIZE_MAX)
        return false;
    uint64_t size = token.size > SP_PAGE_SIZE ? SP_COPY_SIZE_MAX : SP_PAGE_SIZE;
    struct sb_buffer *buffer =
        sp_copies_take(conn->pieces.copies, conn->pieces.holding, size, true);
    if (buffer == NULL)
        return false;
    memcpy(sp_copy_data(buffer), token.data, token.size);
    *ret = (struct sb_slice){.data = sp_copy_data(buffer), .size = token.size, .buffer = buffer};
    return true;
}
