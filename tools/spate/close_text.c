/* SPDX-License-Identifier: MIT */
#include "tools/spate/close_text.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

void close_text(const struct spate_close *close, char *ret, size_t ret_size)
{
    const char *by = close->is_local ? "here" : "by the server";
    const char *colon = close->reason[0] != 0 ? ": " : "";
    switch (close->kind) {
    case SPATE_CLOSE_APP:
        (void)snprintf(ret, ret_size, "closed %s with code %" PRIu64 "%s%s", by, close->error,
                       colon, close->reason);
        break;
    case SPATE_CLOSE_IDLE:
        (void)snprintf(ret, ret_size, "nothing came for too long");
        break;
    case SPATE_CLOSE_HANDSHAKE_TIMEOUT:
        (void)snprintf(ret, ret_size, "no answer");
        break;
    case SPATE_CLOSE_STATELESS_RESET:
        (void)snprintf(ret, ret_size, "the server has lost the connection");
        break;
    case SPATE_CLOSE_VERSION:
        (void)snprintf(ret, ret_size, "the server supports no QUIC version that we do");
        break;
    case SPATE_CLOSE_UNREACHABLE:
        (void)snprintf(ret, ret_size, "%s", strerror((int)close->error));
        break;
    case SPATE_CLOSE_TRANSPORT:
        (void)snprintf(ret, ret_size, "closed %s with error 0x%" PRIx64 "%s%s", by, close->error,
                       colon, close->reason);
        break;
    }
}
