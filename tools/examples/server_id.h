/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_SERVER_ID_H
#define EXAMPLES_SERVER_ID_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>

#include <spate/spate.h>

/* Words of a command line for connection IDs that load balancers read. */

/* Reads two hexadecimal digits for each byte, and nothing else. */
static inline bool server_id_read_hex(const char *text, uint8_t *ret, size_t size)
{
    if (strlen(text) != 2 * size || strspn(text, "0123456789abcdefABCDEF") != 2 * size)
        return false;
    for (size_t i = 0; i < size; i++)
        (void)sscanf(text + 2 * i, "%2hhx", &ret[i]);
    return true;
}

/* Reads a server ID of one byte and a key of 16; key NULL: server IDs are in clear.  Returns false
 * if they are something else. */
static inline bool server_id_read(uint8_t config_id, const char *id, const char *key,
                                  struct spate_quic_lb *ret)
{
    spate_quic_lb_init(ret);
    ret->config_id = config_id;
    ret->server_id_size = 1;
    ret->is_encrypted = key != NULL;
    return server_id_read_hex(id, ret->server_id, 1) &&
           (key == NULL || server_id_read_hex(key, ret->key, sizeof(ret->key)));
}

#endif
