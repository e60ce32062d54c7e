/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HTTP3_BODY_H
#define SPATE_HTTP3_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/spate/share.h"

/* What all bodies of a server share.  Invariant: the pieces of all bodies have
 * BODY_MEMORY - memory_left bytes. */
struct body_memory {
    uint64_t memory_left;
    uint32_t count; /* bodies that are being sent */
};

/* What the bodies of one connection have of it. */
struct body_share {
    struct share lent;
    struct share text; /* which is not in `lent`: files must not keep a page from coming */
};

/* The bytes of an answer: a part of a file, which is read by pread() into memory that is lent until
 * the peer has it, or text.  One copy, by the kernel.  A mapping would save it, but lent bytes must
 * not change, and those of a file do: a packet that is sent again would differ from the first one,
 * and a file that becomes shorter would end the server by SIGBUS. */
struct body {
    struct body_share *share;
    struct body_memory *memory; /* NULL: there is none */
    int fd;                     /* -1: no file, or all is read */
    char *text;                 /* allocated, or NULL */
    uint64_t offset;            /* in the file, of the next byte to read */
    uint64_t left;              /* bytes that are not lent yet */
    uint64_t lent_bytes;
    uint64_t text_bytes;      /* of the memory, for the text */
    struct body_piece *first; /* lent, the oldest first; its first bytes may be acknowledged */
    struct body_piece *last;
    bool has_failed; /* the file cannot be read, or became shorter */
};

void body_memory_init(struct body_memory *memory);

/* Begins with nothing: 0 bytes.  `share` is that of the connection. */
void body_init(struct body *body, struct body_share *share);

/* A part of a file.  Takes the descriptor. */
void body_set_file(struct body *body, struct body_memory *memory, int fd, uint64_t offset,
                   uint64_t size);

/* Takes the text, which was made by malloc(); frees it on failure.  Returns false if the memory or
 * the share of the connection does not allow it now; texts of less than 1 KiB always may be sent.
 */
bool body_set_text(struct body *body, struct body_memory *memory, char *text, size_t size);

/* Hands out the next bytes.
 *
 *   wanted_bytes  What may be lent at a time, as the connection would have it.
 *   *ret          Lent until body_give_back() got as many bytes.
 *
 * Returns how many bytes, or 0: nothing is left, or has_failed is set, or as much is lent as may be
 * (try again after body_give_back(), or soon if lent_bytes is 0). */
size_t body_take(struct body *body, uint64_t wanted_bytes, const void **ret);

/* The peer has the next `size` bytes of those that are lent. */
void body_give_back(struct body *body, uint64_t size);

/* No more bytes are handed out; those that are lent stay. */
void body_stop(struct body *body);

/* Frees all, also what is lent. */
void body_end(struct body *body);

#endif
