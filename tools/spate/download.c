/* SPDX-License-Identifier: MIT */
#include "tools/spate/download.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

enum { NAMES_TRIED_MAX = 1000 };

int download_open(struct download *ret, int folder, const char *name)
{
    static unsigned long number;
    *ret = (struct download){.folder = folder, .fd = -1};
    if (strlen(name) >= sizeof(ret->name))
        return -ENAMETOOLONG;
    memcpy(ret->name, name, strlen(name) + 1);
    for (int i = 0; i < NAMES_TRIED_MAX; i++) {
        (void)snprintf(ret->temporary, sizeof(ret->temporary), ".spate-get-%ld-%lu.part",
                       (long)getpid(), number++);
        ret->fd = openat(folder, ret->temporary,
                         O_WRONLY | O_CREAT | O_EXCL | O_NOFOLLOW | O_CLOEXEC, 0666);
        if (ret->fd >= 0)
            return 0;
        if (errno != EEXIST)
            break;
    }
    return -errno;
}

int download_write(struct download *download, const void *data, size_t size)
{
    const char *bytes = data;
    while (size > 0) {
        ssize_t done = pwrite(download->fd, bytes, size, (off_t)download->size);
        if (done < 0 && errno == EINTR)
            continue;
        if (done < 0)
            return -errno;
        download->size += (uint64_t)done;
        bytes += done;
        size -= (size_t)done;
    }
    return 0;
}

int download_commit(struct download *download)
{
    int e = close(download->fd) != 0 ? -errno : 0; /* some file systems report a full disk here */
    download->fd = -1;
    if (e == 0 &&
        renameat(download->folder, download->temporary, download->folder, download->name) != 0)
        e = -errno;
    if (e != 0)
        (void)unlinkat(download->folder, download->temporary, 0);
    return e;
}

void download_abort(struct download *download)
{
    if (download->fd < 0)
        return;
    (void)close(download->fd);
    download->fd = -1;
    (void)unlinkat(download->folder, download->temporary, 0);
}
