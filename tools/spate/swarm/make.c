/* SPDX-License-Identifier: MIT */
/* spate swarm make: the metainfo of a file, or of all files in a folder. */

#include <errno.h>
#include <inttypes.h>
#include <openssl/evp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tools/spate/commands.h"
#include "tools/spate/files/walk.h"
#include "tools/spate/hex.h"
#include "tools/spate/message.h"
#include "tools/spate/read_all.h"
#include "tools/spate/root.h"
#include "tools/spate/swarm/swarm.h"

static int compare(const void *one, const void *two)
{
    const struct meta_file *left = one;
    const struct meta_file *right = two;
    return strcmp(left->path, right->path);
}

static int add_file(struct meta *meta, const struct files_item *item)
{
    if (meta->file_count == META_FILES_MAX)
        return -E2BIG;
    if (item->size > META_TOTAL_MAX - meta->total)
        return -EFBIG;
    struct meta_file *file = &meta->files[meta->file_count];
    *file = (struct meta_file){.size = item->size, .mtime_ns = item->mtime_ns, .mode = item->mode};
    file->path = strdup(item->path);
    if (file->path == NULL)
        return -ENOMEM;
    meta->file_count++;
    meta->total += item->size;
    return 0;
}

/* Lists the files at a path; folders are in their names, and other things are left out. */
static int list(struct meta *meta, int root, const char *path, struct files_item *room)
{
    struct files_walk *walk;
    int e = files_walk_create(root, path, true, &walk);
    int got = 1;
    while (e == 0 && (got = files_walk_next(walk, room)) != 0) {
        if (got < 0 || room->kind == FILES_LINK)
            message("swarm", "%s: is left out: %s", room->path,
                    got < 0 ? strerror(-got) : "a symbolic link");
        else if (room->kind == FILES_FILE)
            e = add_file(meta, room);
    }
    if (walk != NULL)
        files_walk_destroy(walk);
    if (e == 0 && meta->file_count == 0)
        e = -ENOENT;
    if (e != 0)
        return e;
    qsort(meta->files, meta->file_count, sizeof(*meta->files), compare);
    uint64_t offset = 0;
    for (uint32_t i = 0; i < meta->file_count; i++) {
        meta->files[i].offset = offset;
        offset += meta->files[i].size;
    }
    return 0;
}

/* Reads a range of a file, and checks that it is the file that was listed. */
static int read_segment(const struct meta *meta, int root, const struct meta_segment *segment,
                        uint8_t *ret)
{
    const struct meta_file *file = &meta->files[segment->file];
    struct stat status;
    int fd = files_beneath_open_file(root, file->path, &status);
    if (fd < 0)
        return fd;
    bool is_same =
        (uint64_t)status.st_size == file->size && files_mtime_ns(&status) == file->mtime_ns;
    int e = is_same ? read_all(fd, ret, segment->size, segment->offset) : -ESTALE;
    (void)close(fd);
    return e;
}

static int hash_all(struct meta *meta, int root, uint8_t *buffer, uint32_t *ret_file)
{
    for (uint32_t piece = 0; piece < meta->piece_count; piece++) {
        uint64_t at = (uint64_t)piece * meta->piece_size;
        uint32_t size = meta_piece_bytes(meta, piece);
        uint64_t end = at + size;
        uint8_t *to = buffer;
        struct meta_segment segment;
        while (meta_next_segment(meta, &at, end, &segment)) {
            int e = read_segment(meta, root, &segment, to);
            *ret_file = segment.file;
            if (e != 0)
                return e;
            to += segment.size;
        }
        if (EVP_Digest(buffer, size, meta->hashes + (size_t)piece * META_HASH_SIZE, NULL,
                       EVP_sha256(), NULL) != 1)
            return -ENOMEM;
    }
    return 0;
}

static bool write_file(const char *path, const uint8_t *data, size_t size)
{
    FILE *file = fopen(path, "wb");
    bool is_written = file != NULL && fwrite(data, 1, size, file) == size;
    if (file != NULL && fclose(file) != 0)
        is_written = false;
    if (!is_written)
        message("swarm", "%s: %s", path, strerror(errno));
    return is_written;
}

/* Splits the path of a file into its folder and its name; a folder is its own root. */
static int open_root(const char *path, const char **ret_name)
{
    static char folder[FILES_PATH_SIZE];
    struct stat status;
    *ret_name = "";
    if (stat(path, &status) != 0)
        return -errno;
    if (S_ISDIR(status.st_mode))
        return root_open(path);
    const char *slash = strrchr(path, '/');
    *ret_name = slash != NULL ? slash + 1 : path;
    size_t size = slash != NULL ? (size_t)(slash - path) + 1 : 0;
    if (size >= sizeof(folder))
        return -ENAMETOOLONG;
    memcpy(folder, path, size);
    folder[size] = 0;
    return root_open(size > 0 ? folder : ".");
}

static int describe(struct meta *meta, const struct swarm_options *o, int root, const char *name)
{
    uint32_t file = UINT32_MAX;
    struct files_item *room = calloc(1, sizeof(*room));
    meta->files = calloc(META_FILES_MAX, sizeof(*meta->files));
    int e = room != NULL && meta->files != NULL ? list(meta, root, name, room) : -ENOMEM;
    free(room);
    meta->piece_size = o->piece_size != 0 ? o->piece_size : meta_default_piece_size(meta->total);
    uint64_t count = (meta->total + meta->piece_size - 1) / meta->piece_size;
    if (e == 0 && count > SWARM_PIECES_MAX)
        e = -EFBIG;
    meta->piece_count = e == 0 ? (uint32_t)count : 0;
    meta->hashes = malloc((size_t)meta->piece_count * META_HASH_SIZE + 1);
    uint8_t *buffer = malloc(meta->piece_size);
    if (e == 0)
        e = meta->hashes != NULL && buffer != NULL ? hash_all(meta, root, buffer, &file) : -ENOMEM;
    free(buffer);
    if (e != 0)
        message("swarm", "%s: %s", file < meta->file_count ? meta->files[file].path : o->folder,
                e == -ESTALE ? "the file has changed meanwhile" : strerror(-e));
    return e;
}

int swarm_make(const struct swarm_options *options)
{
    struct meta meta = {.files = NULL};
    struct meta again = {.files = NULL};
    const char *name;
    uint8_t *data = NULL;
    int root = open_root(options->folder, &name);
    if (root < 0) {
        message("swarm", "%s: %s", options->folder, strerror(-root));
        return EXIT_FAILURE;
    }
    int e = describe(&meta, options, root, name);
    size_t size = e == 0 ? meta_write(&meta, &data) : 0;
    const char *wrong = e != 0      ? ""
                        : size == 0 ? "out of memory"
                                    : meta_parse(data, size, &again); /* names, above all */
    if (e == 0 && wrong != NULL)
        message("swarm", "%s: cannot be described: %s", options->folder, wrong);
    bool is_written = wrong == NULL && write_file(options->meta, data, size);
    if (is_written) {
        char id[2 * SWARM_ID_SIZE + 1] = "";
        hex_write(meta.id, SWARM_ID_SIZE, id);
        printf("%s: %u files, %" PRIu64 " bytes, %u pieces of %u\n", id, meta.file_count,
               meta.total, meta.piece_count, meta.piece_size);
    }
    free(data);
    meta_deinit(&meta);
    meta_deinit(&again);
    (void)close(root);
    return is_written ? EXIT_SUCCESS : EXIT_FAILURE;
}
