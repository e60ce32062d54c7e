/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SWARM_STORE_H
#define SPATE_SWARM_STORE_H

#include <openssl/evp.h>
#include <sys/uio.h>

#include "tools/spate/swarm/meta.h"

/* The files of a content below a folder, each mapped as a whole.  A file that is not complete has a
 * name that begins with FILES_PART_PREFIX and follows from the content's ID, so that the next
 * attempt finds it; it gets its own name, permissions and time when its last piece is there. */

struct store_file {
    int fd;               /* of a part; -1: of a complete file, or before */
    uint8_t *map;         /* NULL: empty, or not there */
    uint32_t pieces_left; /* that are not verified */
    bool is_final;        /* has its own name */
    bool is_tmpfs;        /* .. or will have it, there */
};

/* Invariant: `have` has a bit for each piece that was verified and is in its files; have_count of
 * them. */
struct store {
    const struct meta *meta;
    struct files_beneath beneath;
    struct store_file *files;
    EVP_MD *digest;
    EVP_MD_CTX *hash;
    uint8_t *have;
    uint32_t have_count;
    uint32_t files_done;
    bool is_writable;
};

/* Opens the files below a folder, those that are there.
 *
 *   root         The folder; the caller's.
 *   is_writable  Whether parts are made for the files that are not complete.
 *   *ret_file    Set on failure to the file that it concerns.
 *
 * Returns 0 or a negative errno; -EWOULDBLOCK: another process writes a part.  store_deinit() is
 * needed in both cases. */
int store_init(struct store *ret, const struct meta *meta, int root, bool is_writable,
               uint32_t *ret_file);
void store_deinit(struct store *store);

/* Reads a piece that may be there and compares its hash: sets its bit in `have`.  Calls of it for
 * all pieces come before everything else, and store_begin() after them. */
void store_check(struct store *store, uint32_t piece);

/* Gives complete parts their names, and makes parts of files that are not what they should be.
 * Returns as store_init() does. */
int store_begin(struct store *store, uint32_t *ret_file);

/* Returns where a piece lies if it is in one file; NULL: it is in several, which are to be written
 * one by one. */
uint8_t *store_place(const struct store *store, uint32_t piece);

/* Has the disk give the space of a piece, and the kernel the pages of one that is in one file:
 * writing to them cannot fail then.  Returns 0 or a negative errno such as -ENOSPC.
 *
 * Threads: any, for pieces that are not complete. */
int store_prepare(const struct store *store, uint32_t piece);

/* Notes that a piece is there, and gives the files that are complete with it their names.  Returns
 * as store_init() does. */
int store_piece_done(struct store *store, uint32_t piece, uint32_t *ret_file);

/* Writes where bytes of the content lie.
 *
 *   *at     Where in the content; advanced by what is in `ret`.
 *   *ret    Room for `max` entries.
 *
 * Returns the entries written; 0: a file is not there. */
size_t store_vectors(const struct store *store, uint64_t *at, uint64_t end, struct iovec *ret,
                     size_t max);

/* A mapped file that becomes shorter would end the program by SIGBUS.  From now on such pages are
 * zeros and belong to no file: the hash on the other side is another one then. */
void store_guard(void);

/* Returns whether that has happened: what was written since may be in no file. */
bool store_was_cut(void);

#endif
