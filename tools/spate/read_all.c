/* SPDX-License-Identifier: MIT */
#include "tools/spate/read_all.h"

#include <errno.h>
#include <unistd.h>

int read_all(int fd, void *ret, size_t size, uint64_t offset)
{
    uint8_t *to = ret;
    while (size > 0) {
        ssize_t got = pread(fd, to, size, (off_t)offset);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            return got < 0 ? -errno : -ENODATA;
        to += got;
        offset += (uint64_t)got;
        size -= (size_t)got;
    }
    return 0;
}
