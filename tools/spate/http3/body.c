/* SPDX-License-Identifier: MIT */
#include "tools/spate/http3/body.h"

#include <assert.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/spate/read_all.h"

#define BODY_MEMORY (UINT64_C(64) << 20) /* of a server */
#define PIECE_SIZE  (UINT64_C(256) << 10)
#define SHARE_MAX   (UINT64_C(16) << 20) /* of one body */
#define TEXT_FREE   1024                 /* bytes of a text that is always sent */

struct body_piece {
    struct body_piece *next;
    uint64_t size;
    uint64_t acked_bytes;
    char data[];
};

void body_memory_init(struct body_memory *memory)
{
    *memory = (struct body_memory){.memory_left = BODY_MEMORY};
}

void body_init(struct body *body, struct body_share *share)
{
    *body = (struct body){.share = share, .fd = -1};
}

void body_set_file(struct body *body, struct body_memory *memory, int fd, uint64_t offset,
                   uint64_t size)
{
    assert(body->memory == NULL);
    body->memory = memory;
    body->fd = fd;
    body->offset = offset;
    body->left = size;
    memory->count++;
}

bool body_set_text(struct body *body, struct body_memory *memory, char *text, size_t size)
{
    assert(body->memory == NULL);
    bool is_free = size < TEXT_FREE;
    if (!is_free && !share_allows(&body->share->text, size, memory->memory_left)) {
        free(text);
        return false;
    }
    body->memory = memory;
    body->text = text;
    body->left = size;
    memory->count++;
    body->text_bytes = is_free ? 0 : size;
    memory->memory_left -= body->text_bytes;
    share_take(&body->share->text, body->text_bytes);
    return true;
}

static void close_file(struct body *body)
{
    if (body->fd >= 0)
        (void)close(body->fd);
    body->fd = -1;
}

/* What one body may lend now: at least a piece, so that each goes on. */
static uint64_t share(const struct body *body, uint64_t wanted_bytes)
{
    uint64_t bytes = BODY_MEMORY / 2 / (body->memory->count + 1);
    if (bytes > SHARE_MAX)
        bytes = SHARE_MAX;
    if (bytes > wanted_bytes)
        bytes = wanted_bytes;
    return bytes < PIECE_SIZE ? PIECE_SIZE : bytes;
}

/* Reads the next bytes of the file.  NULL: errno says why. */
static struct body_piece *read_piece(const struct body *body, uint64_t size)
{
    struct body_piece *piece = malloc(sizeof(*piece) + size);
    if (piece == NULL)
        return NULL;
    piece->next = NULL;
    piece->size = size;
    piece->acked_bytes = 0;
    int e = read_all(body->fd, piece->data, size, body->offset);
    if (e != 0) {
        free(piece);
        errno = -e;
        return NULL;
    }
    return piece;
}

size_t body_take(struct body *body, uint64_t wanted_bytes, const void **ret)
{
    if (body->left == 0 || body->has_failed)
        return 0;
    if (body->text != NULL) {
        size_t size = body->left;
        *ret = body->text;
        body->left = 0;
        return size;
    }
    uint64_t size = body->left < PIECE_SIZE ? body->left : PIECE_SIZE;
    if (!share_allows(&body->share->lent, size, body->memory->memory_left) ||
        (body->lent_bytes > 0 && body->lent_bytes + size > share(body, wanted_bytes)))
        return 0;
    struct body_piece *piece = read_piece(body, size);
    if (piece == NULL) {
        body->has_failed = errno != ENOMEM;
        return 0;
    }
    if (body->last != NULL)
        body->last->next = piece;
    else
        body->first = piece;
    body->last = piece;
    body->memory->memory_left -= size;
    share_take(&body->share->lent, size);
    body->lent_bytes += size;
    body->offset += size;
    body->left -= size;
    if (body->left == 0)
        close_file(body);
    *ret = piece->data;
    return size;
}

static void free_first(struct body *body)
{
    struct body_piece *piece = body->first;
    body->first = piece->next;
    if (body->first == NULL)
        body->last = NULL;
    body->lent_bytes -= piece->size;
    body->memory->memory_left += piece->size;
    share_give(&body->share->lent, piece->size);
    free(piece);
}

void body_give_back(struct body *body, uint64_t size)
{
    while (size > 0 && body->first != NULL) {
        uint64_t rest = body->first->size - body->first->acked_bytes;
        if (size < rest) {
            body->first->acked_bytes += size;
            return;
        }
        size -= rest;
        free_first(body);
    }
}

void body_stop(struct body *body)
{
    close_file(body);
    body->left = 0;
    body->has_failed = false;
}

void body_end(struct body *body)
{
    close_file(body);
    while (body->first != NULL)
        free_first(body);
    free(body->text);
    if (body->memory != NULL) {
        body->memory->memory_left += body->text_bytes;
        share_give(&body->share->text, body->text_bytes);
        body->memory->count--;
    }
    body_init(body, body->share);
}
