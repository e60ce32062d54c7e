/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_TARGET_H
#define SPATE_FILES_TARGET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/queue.h>

#include "tools/spate/files/beneath.h"

/* A large file on its way in, in chunks that come in any order and over several connections after
 * each other.  Until it is whole it has a name that follows from its final name, its size and its
 * time, so that the next attempt finds it.  After the file's bytes it has a list of the chunks that
 * are there and verified; the last chunk cuts that off.
 *
 * The list is believed within one boot of the machine: a program that was killed has lost nothing
 * then.  After a crash of the machine the pages may be missing, and the file begins anew.
 *
 *     open -> reserve, write ..., chunk_done ... -> close */
struct files_target {
    LIST_ENTRY(files_target) link; /* for the owner */
    int dir;
    int fd;
    uint64_t size;
    uint64_t chunk_size;
    int64_t mtime_ns;
    uint16_t mode;
    uint32_t chunk_count;
    uint32_t have_count;
    uint8_t *have;  /* a byte per chunk: 1 is there, 2 is written by a stream */
    uint32_t users; /* streams that write to it; for the owner */
    bool is_ours;   /* the part is open and locked */
    bool is_whole;  /* has its final name */
    bool reserves;  /* the space of a chunk, before it comes */
    bool is_stale;  /* the file has changed at its source: the part goes when it is closed, as one
                       without chunks does */
    void *owner;    /* for the owner */
    char path[FILES_PATH_SIZE];
    char part[64]; /* the name until then */
};

/* Opens or creates it.
 *
 *   item  A file: path, size, mode and mtime_ns.  The size is not 0.
 *
 * Returns 0 or a negative errno; -EWOULDBLOCK: somebody else writes it. */
int files_target_open(struct files_beneath *beneath, const struct files_item *item,
                      struct files_target **ret);

/* Returns the bytes of a chunk. */
uint64_t files_target_chunk_bytes(const struct files_target *target, uint32_t index);

/* Returns whether a chunk is there and verified. */
bool files_target_has(const struct files_target *target, uint32_t index);

/* Begins to write a chunk, which one stream does at a time: until files_target_chunk_done(), or
 * files_target_leave(), which may follow it.  Returns 0, or -EWOULDBLOCK: somebody else writes it,
 * or it is there. */
int files_target_enter(struct files_target *target, uint32_t index);
void files_target_leave(struct files_target *target, uint32_t index);

/* Has the disk give the space for the extents of a chunk, where that costs less than it brings:
 * tmpfs looks for each page once more.  What is there is kept.
 *
 *   item  With the extents, all within the chunk.
 *
 * Returns 0 or a negative errno such as -ENOSPC. */
int files_target_reserve(struct files_target *target, const struct files_item *item);

/* Writes bytes of a chunk.  Returns 0 or a negative errno such as -ENOSPC. */
int files_target_write(struct files_target *target, const uint8_t *data, size_t size,
                       uint64_t offset);

/* Notes that a chunk is there.  The last one gives the file its final name.  Returns 0 or a
 * negative errno. */
int files_target_chunk_done(struct files_target *target, uint32_t index);

/* Closes it; a part that is not stale stays for the next attempt.  NULL is accepted. */
void files_target_close(struct files_target *target);

#endif
