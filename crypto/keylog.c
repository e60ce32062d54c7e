/* SPDX-License-Identifier: MIT */
#include "crypto/keylog.h"

/* The key log: one write() a line on a file opened for appending, so that lines of several
 * threads, and of several processes with the same file, do not mix. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include <openssl/crypto.h>

struct sc_keylog {
    int fd;
};

int sc_keylog_open(const char *file, struct sc_keylog **ret, struct sc_error *error)
{
    int fd = open(file, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (fd < 0) {
        int code = errno;
        return sc_error_set(error, -code, "cannot write key log %s: %s", file, strerror(code));
    }
    struct sc_keylog *keylog = OPENSSL_zalloc(sizeof(*keylog));
    if (keylog == NULL) {
        (void)close(fd);
        return sc_error_set(error, -ENOMEM, "no memory for key log %s", file);
    }
    keylog->fd = fd;
    *ret = keylog;
    return 0;
}

void sc_keylog_write(struct sc_keylog *keylog, const char *line)
{
    /* The longest: a label of 31, client random of 64 and secret of 96 digits. */
    char text[256];
    int size = snprintf(text, sizeof(text), "%s\n", line);
    if (size > 0 && (size_t)size < sizeof(text)) {
        ssize_t written = write(keylog->fd, text, (size_t)size);
        (void)written;
    }
    OPENSSL_cleanse(text, sizeof(text));
}

void sc_keylog_close(struct sc_keylog *keylog)
{
    if (keylog == NULL)
        return;
    (void)close(keylog->fd);
    OPENSSL_free(keylog);
}
