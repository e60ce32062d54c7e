/* SPDX-License-Identifier: MIT */
#include "tools/spate/secret_file.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

void secret_free(void *data, size_t size)
{
    if (data == NULL)
        return;
    explicit_bzero(data, size);
    free(data);
}

/* Reads until the end, at most `size` bytes.  Returns their number, or a negative errno. */
static ssize_t read_all(int fd, char *data, size_t size)
{
    size_t used = 0;
    while (used < size) {
        ssize_t got = read(fd, data + used, size - used);
        if (got < 0 && errno == EINTR)
            continue;
        if (got < 0)
            return -errno;
        if (got == 0)
            break;
        used += (size_t)got;
    }
    return (ssize_t)used;
}

int secret_file_read(const char *path, size_t size_max, char **ret, size_t *ret_size)
{
    struct stat status;
    int e = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK); /* a FIFO must not make us wait */
    if (fd < 0)
        return -errno;
    if (fstat(fd, &status) != 0)
        e = -errno;
    else if (!S_ISREG(status.st_mode))
        e = -EINVAL;
    else if ((uint64_t)status.st_size > size_max)
        e = -EFBIG;
    size_t room = e == 0 ? (size_t)status.st_size + 1 : 0; /* a byte more: it may grow */
    char *data = e == 0 ? malloc(room + 1) : NULL;
    if (e == 0 && data == NULL)
        e = -ENOMEM;
    if (e == 0) {
        ssize_t size = read_all(fd, data, room);
        e = size < 0 ? (int)size : (size_t)size == room ? -EAGAIN : 0;
        if (e == 0) {
            data[size] = 0;
            *ret = data;
            *ret_size = (size_t)size;
            data = NULL;
        }
    }
    secret_free(data, room);
    (void)close(fd);
    return e;
}

static int write_all(int fd, const char *text, size_t size)
{
    while (size > 0) {
        ssize_t done = write(fd, text, size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        text += done;
        size -= (size_t)done;
    }
    return fsync(fd) != 0 ? -errno : 0;
}

int secret_file_write(const char *path, const char *text, size_t size, bool replaces)
{
    static unsigned long number;
    char temporary[PATH_MAX];
    int length =
        snprintf(temporary, sizeof(temporary), "%s.%ld-%lu.tmp", path, (long)getpid(), number++);
    if (length < 0 || (size_t)length >= sizeof(temporary))
        return -ENAMETOOLONG;
    int fd = open(temporary, O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0600);
    if (fd < 0)
        return -errno;
    int e = write_all(fd, text, size);
    if (close(fd) != 0 && e == 0)
        e = -errno;
    if (e == 0 && (replaces ? rename(temporary, path) : link(temporary, path)) != 0)
        e = -errno;
    if (e != 0 || !replaces)
        (void)unlink(temporary);
    return e;
}
