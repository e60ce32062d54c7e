/* SPDX-License-Identifier: MIT */
#include "tools/spate/body.h"

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
    STAILQ_ENTRY(body_piece) link;
    uint64_t size;
    uint64_t returned_bytes; /* its first ones came back */
    char data[];
};

void body_memory_init(struct body_memory *memory)
{
    *memory = (struct body_memory){.bytes_left = BODY_MEMORY};
}

void body_memory_deinit(struct body_memory *memory)
{
    share_sources_deinit(&memory->sources);
}

bool body_share_begin(struct body_share *share, struct body_memory *memory,
                      const struct spate_conn *conn)
{
    struct share_source *source = share_source_join(&memory->sources, conn);
    if (source == NULL)
        return false;
    *share = (struct body_share){.memory = memory,
                                 .source = source,
                                 .lent = share_begin(source, SHARE_LENT),
                                 .text = share_begin(source, SHARE_KEPT)};
    return true;
}

void body_share_end(struct body_share *share)
{
    if (share->memory != NULL)
        share_source_leave(&share->memory->sources, share->source);
}

void body_init(struct body *body, struct body_share *share)
{
    *body = (struct body){.share = share, .fd = -1};
    STAILQ_INIT(&body->pieces);
}

static void set(struct body *body, uint64_t size)
{
    assert(!body->is_set);
    body->is_set = body->is_counted = true;
    body->left = size;
    body->share->memory->count++;
}

void body_set_file(struct body *body, int fd, uint64_t offset, uint64_t size)
{
    set(body, size);
    body->fd = fd;
    body->offset = offset;
}

bool body_set_text(struct body *body, char *text, size_t size)
{
    struct body_memory *memory = body->share->memory;
    const bool is_free = size < TEXT_FREE;
    if (!is_free && !share_allows(&body->share->text, size, memory->bytes_left)) {
        free(text);
        return false;
    }
    set(body, size);
    body->text = text;
    body->text_bytes = is_free ? 0 : size;
    memory->bytes_left -= body->text_bytes;
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
    uint64_t bytes = BODY_MEMORY / 2 / (body->share->memory->count + 1);
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
    piece->size = size;
    piece->returned_bytes = 0;
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
    if (!share_allows(&body->share->lent, size, body->share->memory->bytes_left) ||
        (body->lent_bytes > 0 && body->lent_bytes + size > share(body, wanted_bytes)))
        return 0;
    struct body_piece *piece = read_piece(body, size);
    if (piece == NULL) {
        body->has_failed = errno != ENOMEM;
        return 0;
    }
    STAILQ_INSERT_TAIL(&body->pieces, piece, link);
    body->share->memory->bytes_left -= size;
    share_take(&body->share->lent, size);
    body->lent_bytes += size;
    body->offset += size;
    body->left -= size;
    if (body->left == 0)
        close_file(body);
    *ret = piece->data;
    return size;
}

static void free_piece(struct body *body, struct body_piece *piece)
{
    STAILQ_REMOVE(&body->pieces, piece, body_piece, link);
    body->lent_bytes -= piece->size;
    body->share->memory->bytes_left += piece->size;
    share_give(&body->share->lent, piece->size);
    free(piece);
}

void body_give_back(struct body *body, uint64_t size)
{
    struct body_piece *piece;
    while (size > 0 && (piece = STAILQ_FIRST(&body->pieces)) != NULL) {
        uint64_t rest = piece->size - piece->returned_bytes;
        if (size < rest) {
            piece->returned_bytes += size;
            return;
        }
        size -= rest;
        free_piece(body, piece);
    }
}

void body_take_back(struct body *body)
{
    struct body_piece *last = STAILQ_FIRST(&body->pieces);
    while (last != NULL && STAILQ_NEXT(last, link) != NULL)
        last = STAILQ_NEXT(last, link);
    if (last != NULL)
        free_piece(body, last);
}

void body_stop(struct body *body)
{
    close_file(body);
    body->left = 0;
    body->has_failed = false;
    if (body->is_counted)
        body->share->memory->count--;
    body->is_counted = false;
}

void body_end(struct body *body)
{
    body_stop(body);
    while (!STAILQ_EMPTY(&body->pieces))
        free_piece(body, STAILQ_FIRST(&body->pieces));
    free(body->text);
    if (body->is_set) {
        body->share->memory->bytes_left += body->text_bytes;
        share_give(&body->share->text, body->text_bytes);
    }
    body_init(body, body->share);
}
