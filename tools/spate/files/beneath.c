/* SPDX-License-Identifier: MIT */
#include "tools/spate/files/beneath.h"

#include <errno.h>
#include <fcntl.h>
#include <stdatomic.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "tools/spate/root.h"

enum { NS_PER_S = 1000000000 };

void files_beneath_init(struct files_beneath *ret, int root)
{
    ret->root = root;
    ret->last = -1;
    ret->path[0] = 0;
}

void files_beneath_deinit(struct files_beneath *beneath)
{
    if (beneath->last >= 0)
        (void)close(beneath->last);
    beneath->last = -1;
}

int files_beneath_open_file(int root, const char *path, struct stat *ret)
{
    /* O_NONBLOCK: a FIFO must not stop the program before fstat() has refused it. */
    int fd = root_open_beneath(root, path, O_RDONLY | O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd == -ENXIO ? -EMEDIUMTYPE : fd; /* a socket */
    int e = fstat(fd, ret) != 0      ? -errno
            : S_ISDIR(ret->st_mode)  ? -EISDIR
            : !S_ISREG(ret->st_mode) ? -EMEDIUMTYPE
                                     : 0;
    if (e == 0)
        return fd;
    (void)close(fd);
    return e;
}

/* Opens one folder of a path, and makes it first if it must. */
static int enter(int from, const char *name, bool creates)
{
    int fd = root_open_beneath(from, name, O_RDONLY | O_DIRECTORY);
    if (fd != -ENOENT || !creates)
        return fd;
    if (mkdirat(from, name, 0777) != 0 && errno != EEXIST)
        return -errno;
    return root_open_beneath(from, name, O_RDONLY | O_DIRECTORY);
}

/* Makes the folders of a path one after the other: mkdirat() would follow a symbolic link. */
static int enter_all(int root, const char *path)
{
    int fd = root_open_beneath(root, "", O_RDONLY | O_DIRECTORY);
    while (fd >= 0 && *path != 0) {
        char name[256];
        size_t size = strcspn(path, "/");
        (void)snprintf(name, sizeof(name), "%.*s", (int)size, path);
        int next = enter(fd, name, true);
        (void)close(fd);
        fd = next;
        path += size + (path[size] == '/');
    }
    return fd;
}

int files_beneath_parent(struct files_beneath *beneath, const char *path, bool creates,
                         const char **ret_name)
{
    const char *slash = strrchr(path, '/');
    size_t size = slash != NULL ? (size_t)(slash - path) : 0;
    *ret_name = slash != NULL ? slash + 1 : path;
    if (beneath->last >= 0 && strlen(beneath->path) == size &&
        memcmp(beneath->path, path, size) == 0)
        return beneath->last;
    files_beneath_deinit(beneath);
    memcpy(beneath->path, path, size);
    beneath->path[size] = 0;
    int fd = root_open_beneath(beneath->root, beneath->path, O_RDONLY | O_DIRECTORY);
    if (fd == -ENOENT && creates)
        fd = enter_all(beneath->root, beneath->path);
    beneath->last = fd >= 0 ? fd : -1;
    return fd;
}

bool files_has_name(int dir, const char *name, const struct stat *status)
{
    struct stat named;
    return fstatat(dir, name, &named, AT_SYMLINK_NOFOLLOW) == 0 && named.st_dev == status->st_dev &&
           named.st_ino == status->st_ino;
}

int64_t files_mtime_ns(const struct stat *status)
{
    return (int64_t)status->st_mtim.tv_sec * NS_PER_S + status->st_mtim.tv_nsec;
}

static void times_of(int64_t mtime_ns, struct timespec ret[2])
{
    int64_t seconds = mtime_ns / NS_PER_S - (mtime_ns % NS_PER_S < 0);
    ret[0] = (struct timespec){.tv_nsec = UTIME_OMIT};
    ret[1] = (struct timespec){.tv_sec = seconds, .tv_nsec = mtime_ns - seconds * NS_PER_S};
}

int files_set_attributes(int fd, uint16_t mode, int64_t mtime_ns)
{
    struct timespec times[2];
    times_of(mtime_ns, times);
    if (fchmod(fd, mode) != 0 || futimens(fd, times) != 0)
        return -errno;
    return 0;
}

void files_temporary_name(char ret[64])
{
    static atomic_ulong number;
    (void)snprintf(ret, 64, FILES_PART_PREFIX "%ld-%lu", (long)getpid(),
                   atomic_fetch_add(&number, 1));
}

int files_write_all(int fd, const uint8_t *data, size_t size, uint64_t offset)
{
    while (size > 0) {
        ssize_t done = pwrite(fd, data, size, (off_t)offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        data += done;
        size -= (size_t)done;
        offset += (uint64_t)done;
    }
    return 0;
}

static int write_extents(int fd, const struct files_item *item, const uint8_t *data)
{
    int e = 0;
    uint64_t end = 0;
    for (uint32_t i = 0; i < item->extent_count && e == 0; i++) {
        const struct files_extent *extent = &item->extents[i];
        e = files_write_all(fd, data, extent->size, extent->offset);
        data += extent->size;
        end = extent->offset + extent->size;
    }
    if (e == 0 && end < item->size && ftruncate(fd, (off_t)item->size) != 0) /* a hole at the end */
        e = -errno;
    return e;
}

/* Links a file without a name.  The short way is for CAP_DAC_READ_SEARCH, and since Linux 6.10 for
 * who has opened the file; the long one leads through /proc. */
static int link_as(int fd, int dir, const char *name)
{
    static atomic_bool is_long;
    char from[64];
    if (!atomic_load(&is_long)) {
        if (linkat(fd, "", dir, name, AT_EMPTY_PATH) == 0)
            return 0;
        if (errno != ENOENT)
            return -errno;
    }
    (void)snprintf(from, sizeof(from), "/proc/self/fd/%d", fd);
    if (linkat(AT_FDCWD, from, dir, name, AT_SYMLINK_FOLLOW) != 0)
        return -errno;
    atomic_store(&is_long, true);
    return 0;
}

/* Gives a file without a name its name: at once, or by way of a temporary one if the name is taken.
 */
static int link_file(int dir, int fd, const char *name)
{
    char temporary[64];
    int e = link_as(fd, dir, name);
    if (e != -EEXIST)
        return e;
    files_temporary_name(temporary);
    e = link_as(fd, dir, temporary);
    if (e != 0)
        return e;
    if (renameat(dir, temporary, dir, name) == 0)
        return 0;
    e = -errno;
    (void)unlinkat(dir, temporary, 0);
    return e;
}

/* Fills a file that has no name, or `temporary`, and gives it its final one. */
static int place_file(int dir, const char *name, const struct files_item *item, const uint8_t *data)
{
    char temporary[64] = "";
    int fd = openat(dir, ".", O_WRONLY | O_TMPFILE | O_CLOEXEC, 0600);
    if (fd < 0 && (errno == EOPNOTSUPP || errno == EISDIR || errno == EINVAL)) {
        files_temporary_name(temporary);
        fd = openat(dir, temporary, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    }
    if (fd < 0)
        return -errno;
    int e = write_extents(fd, item, data);
    if (e == 0)
        e = files_set_attributes(fd, item->mode, item->mtime_ns);
    if (e == 0 && temporary[0] == 0)
        e = link_file(dir, fd, name);
    if (close(fd) != 0 && e == 0)
        e = -errno;
    if (e == 0 && temporary[0] != 0 && renameat(dir, temporary, dir, name) != 0)
        e = -errno;
    if (e != 0 && temporary[0] != 0)
        (void)unlinkat(dir, temporary, 0);
    return e;
}

static int place_link(int dir, const char *name, const struct files_item *item)
{
    char temporary[64];
    struct timespec times[2];
    files_temporary_name(temporary);
    times_of(item->mtime_ns, times);
    if (symlinkat(item->target, dir, temporary) != 0)
        return -errno;
    if (utimensat(dir, temporary, times, AT_SYMLINK_NOFOLLOW) == 0 &&
        renameat(dir, temporary, dir, name) == 0)
        return 0;
    int e = -errno;
    (void)unlinkat(dir, temporary, 0);
    return e;
}

static int place_folder(int dir, const char *name, const struct files_item *item)
{
    int fd = enter(dir, name, true);
    if (fd < 0)
        return fd;
    int e = files_set_attributes(fd, item->mode, item->mtime_ns);
    (void)close(fd);
    return e;
}

int files_beneath_place(struct files_beneath *beneath, const struct files_item *item,
                        const uint8_t *data)
{
    const char *name;
    int dir = files_beneath_parent(beneath, item->path, true, &name);
    if (dir < 0)
        return dir;
    switch (item->kind) {
    case FILES_FILE:
        return place_file(dir, name, item, data);
    case FILES_FOLDER:
        return place_folder(dir, name, item);
    case FILES_LINK:
        return place_link(dir, name, item);
    }
    return -EINVAL;
}

int files_beneath_remove(struct files_beneath *beneath, const char *path)
{
    const char *name;
    int dir = files_beneath_parent(beneath, path, false, &name);
    if (dir < 0)
        return dir;
    if (unlinkat(dir, name, 0) == 0)
        return 0;
    if (errno != EISDIR && errno != EPERM)
        return -errno;
    return unlinkat(dir, name, AT_REMOVEDIR) == 0 ? 0 : -errno;
}
