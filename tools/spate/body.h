/* SPDX-License-Identifier: MIT */
#ifndef SPATE_BODY_H
#define SPATE_BODY_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tools/spate/share.h"

/* What all bodies of a server share.  Invariant: the pieces and texts of all bodies have
 * BODY_MEMORY - bytes_left bytes. */
struct body_memory {
    uint64_t bytes_left;
    uint32_t count; /* bodies that are being sent */
    struct share_sources sources;
};

/* What the bodies of one connection have of it. */
struct body_share {
    struct body_memory *memory;
    struct share_source *source; /* the address of its peer */
    struct share lent;
    struct share text; /* which is not in `lent`: files must not keep a page from coming */
};

/* The bytes of an answer: a part of a file, which is read by pread() into memory that is lent until
 * the peer has it, or text.  One copy, by the kernel.  A mapping would save it, but lent bytes must
 * not change, and those of a file do: a packet that is sent again would differ from the first one,
 * and a file that becomes shorter would end the server by SIGBUS.  It must not be moved. */
struct body {
    struct body_share *share;
    bool is_set;     /* it was given a file or a text */
    bool is_counted; /* .. and is being sent */
    int fd;          /* -1: no file, or all is read */
    char *text;      /* allocated, or NULL */
    uint64_t offset; /* in the file, of the next byte to read */
    uint64_t left;   /* bytes that are not lent yet */
    uint64_t lent_bytes;
    uint64_t text_bytes;              /* of the memory, for the text */
    STAILQ_HEAD(, body_piece) pieces; /* lent, the oldest first */
    bool has_failed;                  /* the file cannot be read, or became shorter */
};

void body_memory_init(struct body_memory *memory);

/* After all shares of it. */
void body_memory_deinit(struct body_memory *memory);

/* Begins with nothing, for a new connection.  Returns false if there is no memory. */
bool body_share_begin(struct body_share *share, struct body_memory *memory,
                      const struct spate_conn *conn);

/* After all bodies of it.  Does nothing if it was not begun and is all zeros. */
void body_share_end(struct body_share *share);

/* Begins with nothing: 0 bytes.  `share` is that of the connection. */
void body_init(struct body *body, struct body_share *share);

/* A part of a file.  Takes the descriptor. */
void body_set_file(struct body *body, int fd, uint64_t offset, uint64_t size);

/* Takes the text, which was made by malloc(); frees it on failure.  Returns false if the memory or
 * the share of the connection does not allow it now; texts of less than 1 KiB always may be sent.
 */
bool body_set_text(struct body *body, char *text, size_t size);

/* Hands out the next bytes.
 *
 *   wanted_bytes  What may be lent at a time, as the connection would have it.
 *   *ret          Lent until body_give_back() got as many bytes.
 *
 * Returns how many bytes, or 0: nothing is left, or has_failed is set, or as much is lent as may be
 * (try again after body_give_back(), or soon if lent_bytes is 0). */
size_t body_take(struct body *body, uint64_t wanted_bytes, const void **ret);

/* The next `size` bytes of those that are lent came back. */
void body_give_back(struct body *body, uint64_t size);

/* What was handed out last, of a file, is not lent: nobody has seen it. */
void body_take_back(struct body *body);

/* No more bytes are handed out; those that are lent stay. */
void body_stop(struct body *body);

/* Frees all, also what is lent. */
void body_end(struct body *body);

#endif
