/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_AUTH_H
#define SPATE_FILES_AUTH_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/spate/files/wire.h"

struct spate_conn;

/* A token that both sides have.  Each proves it by HMAC-SHA-256 over bytes that only the two ends
 * of this TLS connection can derive: somebody between them would end two connections, whose bytes
 * differ. */

enum { FILES_TOKEN_MIN = 16, FILES_TOKEN_MAX = 1024 };

struct files_token {
    uint8_t data[FILES_TOKEN_MAX];
    size_t size; /* 0: none */
};

/* Reads the first line of a file.  Returns NULL, or what is wrong: a static string or that of an
 * errno, valid until the next call. */
const char *files_token_read(const char *path, struct files_token *ret);

/* Writes the proof of the client or of the server.  Returns false without memory, or before the
 * connection is connected. */
bool files_token_prove(const struct files_token *token, const struct spate_conn *conn,
                       bool is_server, uint8_t ret[FILES_PROOF_SIZE]);

/* Checks the proof of the other side. */
bool files_token_check(const struct files_token *token, const struct spate_conn *conn,
                       bool is_server, const struct files_message *message);

#endif
