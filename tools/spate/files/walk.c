/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/walk.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "tools/spate/files/beneath.h"
#include "tools/spate/root.h"

enum { DEPTH_MAX = 128 }; /* folders that are open at a time */

struct files_walk {
    int root;
    bool is_recursive;
    bool has_begun;
    uint32_t depth; /* of `folders` */
    DIR *folders[DEPTH_MAX];
    size_t sizes[DEPTH_MAX]; /* bytes of `path` that name each */
    char path[FILES_PATH_SIZE];
};

int files_walk_create(int root, const char *path, bool is_recursive, struct files_walk **ret)
{
    struct files_walk *walk = calloc(1, sizeof(*walk));
    if (walk == NULL)
        return -ENOMEM;
    walk->root = root;
    walk->is_recursive = is_recursive;
    memcpy(walk->path, path, strlen(path) + 1);
    *ret = walk;
    return 0;
}

void files_walk_destroy(struct files_walk *walk)
{
    if (walk == NULL)
        return;
    while (walk->depth > 0)
        (void)closedir(walk->folders[--walk->depth]);
    free(walk);
}

/* Goes into the folder at `path`. */
static int descend(struct files_walk *walk)
{
    if (walk->depth == DEPTH_MAX)
        return -ENAMETOOLONG;
    int fd = root_open_beneath(walk->root, walk->path, O_RDONLY | O_DIRECTORY);
    DIR *folder = fd >= 0 ? fdopendir(fd) : NULL;
    if (folder == NULL) {
        int e = fd >= 0 ? -errno : fd;
        if (fd >= 0)
            (void)close(fd);
        return e;
    }
    walk->folders[walk->depth] = folder;
    walk->sizes[walk->depth++] = strlen(walk->path);
    return 0;
}

/* Describes `name` in the folder `dir`; ret->path is set. */
static int describe(int dir, const char *name, struct files_item *ret)
{
    struct stat status;
    if (fstatat(dir, name, &status, AT_SYMLINK_NOFOLLOW | AT_EMPTY_PATH) != 0)
        return -errno;
    ret->mode = (uint16_t)(status.st_mode & 0777);
    ret->mtime_ns = files_mtime_ns(&status);
    ret->size = ret->offset = ret->piece_size = ret->data_size = 0;
    ret->extent_count = 0;
    ret->target[0] = 0;
    if (S_ISREG(status.st_mode)) {
        ret->kind = FILES_FILE;
        ret->size = (uint64_t)status.st_size;
    } else if (S_ISDIR(status.st_mode)) {
        ret->kind = FILES_FOLDER;
    } else if (S_ISLNK(status.st_mode)) {
        ret->kind = FILES_LINK;
        ssize_t size = readlinkat(dir, name, ret->target, sizeof(ret->target));
        if (size <= 0 || size == sizeof(ret->target))
            return size < 0 ? -errno : -ENAMETOOLONG;
        ret->target[size] = 0;
    } else {
        return -EMEDIUMTYPE;
    }
    return 0;
}

/* The first entry: what the walk was created for. */
static int begin(struct files_walk *walk, struct files_item *ret)
{
    walk->has_begun = true;
    memcpy(ret->path, walk->path, sizeof(ret->path));
    int fd = root_open_beneath(walk->root, walk->path, O_PATH | O_NOFOLLOW);
    if (fd < 0)
        return fd;
    int e = describe(fd, "", ret);
    (void)close(fd);
    if (e == 0 && ret->kind == FILES_FOLDER && walk->is_recursive)
        e = descend(walk);
    return e != 0 ? e : 1;
}

/* Appends a name to the path of the innermost folder. */
static bool append(struct files_walk *walk, const char *name)
{
    size_t size = walk->sizes[walk->depth - 1];
    size_t name_size = strlen(name);
    if (size + 1 + name_size >= sizeof(walk->path))
        return false;
    if (size > 0)
        walk->path[size++] = '/';
    memcpy(walk->path + size, name, name_size + 1);
    return true;
}

/* Leaves the innermost folder, and writes its path. */
static void leave(struct files_walk *walk, struct files_item *ret)
{
    size_t size = walk->sizes[--walk->depth];
    (void)closedir(walk->folders[walk->depth]);
    memcpy(ret->path, walk->path, size);
    ret->path[size] = 0;
}

static bool is_skipped(const char *name)
{
    return strcmp(name, ".") == 0 || strcmp(name, "..") == 0 ||
           strncmp(name, FILES_PART_PREFIX, sizeof(FILES_PART_PREFIX) - 1) == 0;
}

int files_walk_next(struct files_walk *walk, struct files_item *ret)
{
    if (!walk->has_begun)
        return begin(walk, ret);
    while (walk->depth > 0) {
        DIR *folder = walk->folders[walk->depth - 1];
        errno = 0;
        const struct dirent *entry = readdir(folder);
        if (entry == NULL) {
            int e = errno;
            leave(walk, ret);
            if (e != 0) /* there is more in it, which nobody must take for gone */
                return -e;
            continue;
        }
        if (is_skipped(entry->d_name))
            continue;
        bool fits = append(walk, entry->d_name);
        memcpy(ret->path, walk->path, strlen(walk->path) + 1);
        int e = fits ? describe(dirfd(folder), entry->d_name, ret) : -ENAMETOOLONG;
        if (e == 0 && ret->kind == FILES_FOLDER)
            e = descend(walk);
        return e != 0 ? e : 1;
    }
    return 0;
}
