/* SPDX-License-Identifier: MIT */
#include "tools/spate/swarm/meta.h"

/* A metainfo comes from somewhere, and says which files are written: every number and every name is
 * checked here.  That a path cannot lead out of the target folder is also the kernel's business
 * (files/beneath.c); that no file is below another one, or twice there, is checked here alone. */

#include <errno.h>
#include <fcntl.h>
#include <openssl/sha.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/spate/cursor.h"
#include "tools/spate/read_all.h"

enum {
    MAGIC_SIZE = 16,
    HEAD_SIZE = MAGIC_SIZE + 4 + 4,
    FILE_HEAD_SIZE = 2 + 8 + 8 + 2,
    PIECES_WANTED = 8192,
    PIECE_SIZE_FIRST = 256 << 10,
};

static const char magic[MAGIC_SIZE] = "spate-swarm 1\n";

/* Whether a path is one that may be written: none of those that stand for parts of files. */
static bool path_is_good(const char *path, size_t size)
{
    if (!files_path_is_good(path, size))
        return false;
    for (const char *at = path; at != NULL; at = strchr(at, '/')) {
        at += *at == '/';
        if (strncmp(at, FILES_PART_PREFIX, sizeof(FILES_PART_PREFIX) - 1) == 0)
            return false;
    }
    return true;
}

static int compare(const void *one, const void *two)
{
    const struct meta_file *left = one;
    const struct meta_file *right = two;
    return strcmp(left->path, right->path);
}

/* Whether a folder on the way to a file is a file itself. */
static bool is_below_a_file(const struct meta *meta, const struct meta_file *file)
{
    char path[FILES_PATH_SIZE];
    struct meta_file key = {.path = path};
    for (const char *slash = strchr(file->path, '/'); slash != NULL;
         slash = strchr(slash + 1, '/')) {
        size_t size = (size_t)(slash - file->path);
        memcpy(path, file->path, size);
        path[size] = 0;
        if (bsearch(&key, meta->files, meta->file_count, sizeof(key), compare) != NULL)
            return true;
    }
    return false;
}

static const char *take_file(struct cursor *c, struct meta *meta)
{
    struct meta_file *file = &meta->files[meta->file_count];
    file->offset = meta->total;
    file->mode = (uint16_t)cursor_number(c, 2);
    file->mtime_ns = (int64_t)cursor_number(c, 8);
    file->size = cursor_number(c, 8);
    size_t size = (size_t)cursor_number(c, 2);
    const uint8_t *path = cursor_take(c, size);
    if (path == NULL)
        return "it is incomplete";
    if (file->mode > 0777)
        return "the permissions of a file are wrong";
    if (file->size > META_TOTAL_MAX || meta->total + file->size > META_TOTAL_MAX)
        return "its files are too large";
    file->path = malloc(size + 1);
    if (file->path == NULL)
        return "out of memory";
    memcpy(file->path, path, size);
    file->path[size] = 0;
    meta->file_count++;
    meta->total += file->size;
    if (!path_is_good(file->path, size))
        return "it has a file name that is not allowed";
    if (meta->file_count > 1 && strcmp(file[-1].path, file->path) >= 0)
        return "its files are out of order";
    return NULL;
}

static const char *take_all(struct cursor *c, struct meta *meta)
{
    const uint8_t *start = cursor_take(c, MAGIC_SIZE);
    if (start == NULL || memcmp(start, magic, MAGIC_SIZE) != 0)
        return "it is no metainfo of spate swarm";
    meta->piece_size = (uint32_t)cursor_number(c, 4);
    uint32_t file_count = (uint32_t)cursor_number(c, 4);
    if (c->has_failed)
        return "it is incomplete";
    if (meta->piece_size < SWARM_PIECE_SIZE_MIN || meta->piece_size > SWARM_PIECE_SIZE_MAX ||
        (meta->piece_size & (meta->piece_size - 1)) != 0)
        return "its piece size is wrong";
    if (file_count == 0 || file_count > META_FILES_MAX || file_count > c->left / FILE_HEAD_SIZE)
        return "it has no file, or too many";
    meta->files = calloc(file_count, sizeof(*meta->files));
    if (meta->files == NULL)
        return "out of memory";
    for (uint32_t i = 0; i < file_count; i++) {
        const char *wrong = take_file(c, meta);
        if (wrong != NULL)
            return wrong;
    }
    for (uint32_t i = 0; i < file_count; i++) {
        if (is_below_a_file(meta, &meta->files[i]))
            return "it has a file below another file";
    }
    uint64_t count = (meta->total + meta->piece_size - 1) / meta->piece_size;
    if (count > SWARM_PIECES_MAX)
        return "it has too many pieces";
    meta->piece_count = (uint32_t)count;
    const uint8_t *hashes = cursor_take(c, count * META_HASH_SIZE);
    if (hashes == NULL)
        return "it is incomplete";
    if (c->left != 0)
        return "something follows its end";
    meta->hashes = malloc(count * META_HASH_SIZE + 1);
    if (meta->hashes == NULL)
        return "out of memory";
    memcpy(meta->hashes, hashes, count * META_HASH_SIZE);
    return NULL;
}

const char *meta_parse(const uint8_t *data, size_t size, struct meta *ret)
{
    struct cursor c = {.data = data, .left = size};
    *ret = (struct meta){.files = NULL};
    const char *wrong = take_all(&c, ret);
    if (wrong != NULL)
        meta_deinit(ret);
    else
        (void)SHA256(data, size, ret->id);
    return wrong;
}

const char *meta_read(const char *path, struct meta *ret)
{
    const char *wrong = NULL;
    struct stat status;
    uint8_t *data = NULL;
    *ret = (struct meta){.files = NULL};
    int fd = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &status) != 0)
        wrong = strerror(errno);
    else if (!S_ISREG(status.st_mode))
        wrong = "is no regular file";
    else if ((uint64_t)status.st_size > META_SIZE_MAX)
        wrong = "it is too large";
    else if ((data = malloc((size_t)status.st_size + 1)) == NULL)
        wrong = "out of memory";
    else if (read_all(fd, data, (size_t)status.st_size, 0) != 0)
        wrong = "it cannot be read";
    if (wrong == NULL)
        wrong = meta_parse(data, (size_t)status.st_size, ret);
    free(data);
    if (fd >= 0)
        (void)close(fd);
    return wrong;
}

size_t meta_write(struct meta *meta, uint8_t **ret)
{
    size_t size = HEAD_SIZE + (size_t)meta->piece_count * META_HASH_SIZE;
    for (uint32_t i = 0; i < meta->file_count; i++)
        size += FILE_HEAD_SIZE + strlen(meta->files[i].path);
    uint8_t *data = malloc(size);
    if (data == NULL)
        return 0;
    uint8_t *at = data;
    memcpy(at, magic, MAGIC_SIZE);
    at = number_write(at + MAGIC_SIZE, meta->piece_size, 4);
    at = number_write(at, meta->file_count, 4);
    for (uint32_t i = 0; i < meta->file_count; i++) {
        const struct meta_file *file = &meta->files[i];
        size_t path_size = strlen(file->path);
        at = number_write(at, file->mode, 2);
        at = number_write(at, (uint64_t)file->mtime_ns, 8);
        at = number_write(at, file->size, 8);
        at = number_write(at, path_size, 2);
        memcpy(at, file->path, path_size);
        at += path_size;
    }
    if (meta->piece_count > 0)
        memcpy(at, meta->hashes, (size_t)meta->piece_count * META_HASH_SIZE);
    (void)SHA256(data, size, meta->id);
    *ret = data;
    return size;
}

void meta_deinit(struct meta *meta)
{
    for (uint32_t i = 0; i < meta->file_count; i++)
        free(meta->files[i].path);
    free(meta->files);
    free(meta->hashes);
    *meta = (struct meta){.files = NULL};
}

uint32_t meta_piece_bytes(const struct meta *meta, uint32_t piece)
{
    uint64_t left = meta->total - (uint64_t)piece * meta->piece_size;
    return left < meta->piece_size ? (uint32_t)left : meta->piece_size;
}

bool meta_next_segment(const struct meta *meta, uint64_t *at, uint64_t end,
                       struct meta_segment *ret)
{
    if (*at >= end)
        return false;
    /* The last file that begins at or before `*at`; empty ones lie before it. */
    uint32_t low = 0;
    uint32_t high = meta->file_count;
    while (high - low > 1) {
        uint32_t middle = low + (high - low) / 2;
        if (meta->files[middle].offset <= *at)
            low = middle;
        else
            high = middle;
    }
    const struct meta_file *file = &meta->files[low];
    uint64_t left = file->offset + file->size - *at;
    *ret = (struct meta_segment){
        .file = low,
        .offset = *at - file->offset,
        .size = end - *at < left ? end - *at : left,
    };
    *at += ret->size;
    return ret->size > 0;
}

uint32_t meta_default_piece_size(uint64_t total)
{
    uint32_t size = PIECE_SIZE_FIRST;
    while (size < SWARM_PIECE_SIZE_MAX && total / size >= PIECES_WANTED)
        size *= 2;
    return size;
}
