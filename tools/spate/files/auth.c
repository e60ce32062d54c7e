/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/auth.h"

#include <errno.h>
#include <openssl/crypto.h>
#include <openssl/hmac.h>
#include <stdlib.h>
#include <string.h>

#include <spate/spate.h>

#include "tools/spate/secret_file.h"

const char *files_token_read(const char *path, struct files_token *ret)
{
    char *text;
    size_t size;
    int e = secret_file_read(path, FILES_TOKEN_MAX, &text, &size);
    if (e != 0)
        return e == -EFBIG ? "is too large" : strerror(-e);
    size_t line = strcspn(text, "\r\n");
    if (line >= FILES_TOKEN_MIN) {
        memcpy(ret->data, text, line);
        ret->size = line;
    }
    secret_free(text, size);
    return line >= FILES_TOKEN_MIN ? NULL : "its first line has less than 16 characters";
}

bool files_token_prove(const struct files_token *token, const struct spate_conn *conn,
                       bool is_server, uint8_t ret[FILES_PROOF_SIZE])
{
    uint8_t text[8 + FILES_PROOF_SIZE] = "client: ";
    unsigned int size = FILES_PROOF_SIZE;
    if (is_server)
        memcpy(text, "server: ", 8);
    return spate_conn_export(conn, "EXPORTER-spate-files", NULL, 0, text + 8, FILES_PROOF_SIZE) ==
               0 &&
           HMAC(EVP_sha256(), token->data, (int)token->size, text, sizeof(text), ret, &size) !=
               NULL;
}

bool files_token_check(const struct files_token *token, const struct spate_conn *conn,
                       bool is_server, const struct files_message *message)
{
    uint8_t proof[FILES_PROOF_SIZE];
    return message->type == FILES_AUTH && message->size == FILES_PROOF_SIZE &&
           files_token_prove(token, conn, is_server, proof) &&
           CRYPTO_memcmp(proof, message->body, FILES_PROOF_SIZE) == 0;
}
