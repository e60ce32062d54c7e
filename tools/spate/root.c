/* SPDX-License-Identifier: MIT */
#include "tools/spate/root.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/openat2.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

int root_open(const char *path)
{
    int fd = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
    return fd >= 0 ? fd : -errno;
}

static int open_beneath(int root, const char *path, uint64_t flags)
{
    const struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | flags,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, root, path[0] != 0 ? path : ".", &how, sizeof(how));
    if (fd < 0)
        return errno == ELOOP || errno == EXDEV ? -EACCES : -errno;
    return fd;
}

int root_open_regular(int root, const char *path, struct stat *ret)
{
    /* O_NONBLOCK: a FIFO must not stop the server before fstat() has refused it. */
    int fd = open_beneath(root, path, O_NONBLOCK | O_NOCTTY);
    if (fd < 0)
        return fd;
    struct stat status;
    int e = fstat(fd, &status) != 0 ? -errno : !S_ISREG(status.st_mode) ? -EACCES : 0;
    if (e != 0) {
        (void)close(fd);
        return e;
    }
    *ret = status;
    return fd;
}

int root_open_file(int root, const char *path, uint64_t *ret_size)
{
    struct stat status;
    int fd = root_open_regular(root, path, &status);
    if (fd >= 0)
        *ret_size = (uint64_t)status.st_size;
    return fd;
}

int root_open_folder(int root, const char *path)
{
    return open_beneath(root, path, O_DIRECTORY);
}
