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

int root_open_file(int root, const char *path, uint64_t *ret_size)
{
    /* O_NONBLOCK: a FIFO must not stop the server before fstat() has refused it. */
    const struct open_how how = {
        .flags = O_RDONLY | O_CLOEXEC | O_NONBLOCK | O_NOCTTY,
        .resolve = RESOLVE_BENEATH | RESOLVE_NO_SYMLINKS | RESOLVE_NO_MAGICLINKS,
    };
    int fd = (int)syscall(SYS_openat2, root, path[0] != 0 ? path : ".", &how, sizeof(how));
    if (fd < 0)
        return errno == ELOOP || errno == EXDEV ? -EACCES : -errno;
    struct stat status;
    int e = fstat(fd, &status) != 0 ? -errno : !S_ISREG(status.st_mode) ? -EACCES : 0;
    if (e != 0) {
        (void)close(fd);
        return e;
    }
    *ret_size = (uint64_t)status.st_size;
    return fd;
}
