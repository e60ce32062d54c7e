/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SWARM_META_H
#define SPATE_SWARM_META_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tools/spate/files/beneath.h"
#include "tools/spate/swarm/wire.h"

/* The metainfo of a content: its files, which follow each other without a gap, and the SHA-256 of
 * each piece.  Its own SHA-256 is the ID of the content. */

enum {
    META_FILES_MAX = 16 << 10, /* each is mapped, and a process may have 65,530 mappings */
    META_HASH_SIZE = 32,
};

/* Bytes of a metainfo, and of what its files have together. */
#define META_SIZE_MAX  ((size_t)128 << 20)
#define META_TOTAL_MAX (UINT64_C(1) << 44)

struct meta_file {
    uint64_t offset; /* in the content */
    uint64_t size;
    int64_t mtime_ns;
    uint16_t mode;
    char *path; /* relative: files_path_is_good() */
};

/* Invariant: files are in the order of their paths, and none is below another; piece_count pieces
 * of piece_size bytes, the last one may be shorter, have total bytes. */
struct meta {
    uint32_t piece_size;
    uint32_t piece_count;
    uint32_t file_count;
    uint64_t total;
    struct meta_file *files;
    uint8_t *hashes; /* META_HASH_SIZE per piece */
    uint8_t id[SWARM_ID_SIZE];
};

/* A range of a file. */
struct meta_segment {
    uint32_t file;
    uint64_t offset; /* in the file */
    uint64_t size;
};

/* Reads a metainfo.  Returns NULL, or what is wrong with it: a static string; `ret` is empty then.
 */
const char *meta_parse(const uint8_t *data, size_t size, struct meta *ret);

/* Reads a metainfo from a file, as meta_parse() does. */
const char *meta_read(const char *path, struct meta *ret);

/* Writes a metainfo, and its ID into it.
 *
 *   *ret  malloc()ed.
 *
 * Returns its size, or 0 without memory. */
size_t meta_write(struct meta *meta, uint8_t **ret);

/* Frees what it holds; an empty one is accepted. */
void meta_deinit(struct meta *meta);

/* Returns the bytes of a piece. */
uint32_t meta_piece_bytes(const struct meta *meta, uint32_t piece);

/* Writes the next range of a file in the bytes from `*at` to `end` of the content, and advances
 * `*at`.  Returns false at the end. */
bool meta_next_segment(const struct meta *meta, uint64_t *at, uint64_t end,
                       struct meta_segment *ret);

/* Returns a piece size for a content of `total` bytes: 256 KiB, or as much as makes 8,192 pieces.
 */
uint32_t meta_default_piece_size(uint64_t total);

#endif
