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

int root_open_beneath(int root, const char *path, int flags)
{
    const struct open_how how = {
        .flags = (unsigned int)(flags | O_CLOEXEC),
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd;
    do
        fd = (int)syscall(SYS_openat2, root, path[0] != 0 ? path : ".", &how, sizeof(how));
    while (fd < 0 && (errno == EINTR || errno == EAGAIN)); /* EAGAIN: a rename at the same time */
    return fd >= 0 ? fd : -errno;
}

static int open_to_serve(int root, const char *path, int flags)
{
    int fd = root_open_beneath(root, path, O_RDONLY | flags);
    return fd == -ELOOP || fd == -EXDEV ? -EACCES : fd;
}

int root_open_regular(int root, const char *path, struct stat *ret)
{
    /* O_NONBLOCK: a FIFO must not stop the server before fstat() has refused it. */
    int fd = open_to_serve(root, path, O_NONBLOCK | O_NOCTTY);
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
    struct stat status = {.st_size = 0};
    int fd = root_open_regular(root, path, &status);
    if (fd >= 0)
        *ret_size = (uint64_t)status.st_size;
    return fd;
}

int root_open_folder(int root, const char *path)
{
    return open_to_serve(root, path, O_DIRECTORY);
}
