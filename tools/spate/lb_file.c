/* SPDX-License-Identifier: MIT */
#include "tools/spate/lb_file.h"

#include <errno.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/hex.h"
#include "tools/spate/number.h"
#include "tools/spate/secret_file.h"

enum { FILE_SIZE_MAX = 4096, WORDS_MAX = 6, DIGITS = 2 * SPATE_QUIC_LB_KEY_SIZE };

static const char form[] = "must have one line: CONFIG-ID SERVER-ID NONCE-BYTES KEY|- [length]";

static bool parse_server_id(const char *word, struct spate_quic_lb *lb)
{
    size_t digits = strlen(word);
    if (digits == 0 || digits > 2 * sizeof(lb->server_id) || !hex_read(word, digits, lb->server_id))
        return false;
    lb->server_id_size = (uint8_t)(digits / 2);
    return true;
}

static const char *parse_line(char *line, struct spate_quic_lb *ret)
{
    char *words[WORDS_MAX] = {NULL};
    char *rest = NULL;
    uint32_t count = 0;
    uint64_t config_id;
    uint64_t nonce_size;
    for (char *word = strtok_r(line, " \t", &rest); word != NULL && count < WORDS_MAX;
         word = strtok_r(NULL, " \t", &rest))
        words[count++] = word;
    if (count < 4 || count > 5 || (count == 5 && strcmp(words[4], "length") != 0))
        return form;
    if (!number_parse(words[0], 0, UINT8_MAX, &config_id) ||
        !number_parse(words[2], 0, UINT8_MAX, &nonce_size))
        return form;
    spate_quic_lb_init(ret);
    ret->config_id = (uint8_t)config_id;
    ret->nonce_size = (uint8_t)nonce_size;
    ret->encodes_length = count == 5;
    if (!parse_server_id(words[1], ret))
        return "must have a server ID of 1 to 15 bytes, two hexadecimal digits each";
    ret->is_encrypted = strcmp(words[3], "-") != 0;
    if (ret->is_encrypted && (strlen(words[3]) != DIGITS || !hex_read(words[3], DIGITS, ret->key)))
        return "must have a key of 32 hexadecimal digits, or -";
    return NULL;
}

static const char *parse(char *text, struct spate_quic_lb *ret)
{
    struct spate_quic_lb lb;
    const char *wrong = form;
    char *rest = NULL;
    uint32_t count = 0;
    for (char *line = strtok_r(text, "\n", &rest); line != NULL; line = strtok_r(NULL, "\n", &rest))
        if (line[strspn(line, " \t")] != '\0' && line[0] != '#')
            wrong = count++ == 0 ? parse_line(line, &lb) : form;
    if (wrong == NULL)
        *ret = lb;
    explicit_bzero(&lb, sizeof(lb));
    return wrong;
}

const char *lb_file_read(const char *path, struct spate_quic_lb *ret)
{
    char *text = NULL;
    size_t size = 0;
    int e = secret_file_read(path, FILE_SIZE_MAX, &text, &size);
    if (e != 0)
        return e == -EINVAL ? "is no regular file" : strerror(-e);
    const char *wrong = strlen(text) == size ? parse(text, ret) : form;
    secret_free(text, size);
    return wrong;
}
