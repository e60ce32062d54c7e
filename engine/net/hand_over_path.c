/* SPDX-License-Identifier: MIT */
#include <spate/hand_over.h>

/* Where two processes find each other: a socket of AF_UNIX with a name in the file system.
 *
 * Whoever may connect to it can take the ports and the keys of the server.  On Linux that needs
 * write permission for the socket's file, which is made with mode 0600: bind() gives the file the
 * mode that the socket has, less the umask, so there is no moment at which it has another one. */

#include <errno.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/config/config.h"

/* Returns a socket and the address of `path`, or a negative errno. */
static int open_socket(const char *path, struct sockaddr_un *ret, struct spate_error *error)
{
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    if (path == NULL || path[0] == 0) {
        se_error_set(error, "the path of a hand-over is missing");
        return -EINVAL;
    }
    if (strlen(path) >= sizeof(ret->sun_path)) {
        se_error_set(error, "%.150s: longer than %zu bytes", path, sizeof(ret->sun_path) - 1);
        return -ENAMETOOLONG;
    }
    memcpy(ret->sun_path, path, strlen(path));
    int fd = socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0);
    if (fd >= 0)
        return fd;
    int result = -errno;
    se_error_set(error, "%s: socket(): %s", path, strerrordesc_np(-result));
    return result;
}

int spate_hand_over_connect(const char *path, struct spate_error *error)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, error);
    if (fd < 0)
        return fd;
    if (connect(fd, (const struct sockaddr *)&address, sizeof(address)) == 0)
        return fd;
    int result = errno == ECONNREFUSED ? -ENOENT : -errno; /* its process has ended */
    (void)close(fd);
    se_error_set(error, "%s: %s", path,
                 result == -ENOENT ? "nobody listens there" : strerrordesc_np(-result));
    return result;
}

/* Makes way for a socket.  Returns 0 or a negative errno. */
static int remove_socket(const char *path, struct spate_error *error)
{
    struct stat status;
    int result = lstat(path, &status) == 0 ? 0 : -errno;
    if (result == 0 && !S_ISSOCK(status.st_mode)) {
        se_error_set(error, "%s exists and is no socket", path);
        return -EEXIST;
    }
    if (result == 0 && unlink(path) != 0)
        result = -errno;
    if (result == 0 || result == -ENOENT)
        return 0;
    se_error_set(error, "%s: %s", path, strerrordesc_np(-result));
    return result;
}

int spate_hand_over_listen(const char *path, struct spate_error *error)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, error);
    if (fd < 0)
        return fd;
    int result = remove_socket(path, error);
    if (result == 0 &&
        (fchmod(fd, S_IRUSR | S_IWUSR) != 0 ||
         bind(fd, (const struct sockaddr *)&address, sizeof(address)) != 0 || listen(fd, 1) != 0)) {
        result = -errno;
        se_error_set(error, "%s: %s", path, strerrordesc_np(-result));
    }
    if (result == 0)
        return fd;
    (void)close(fd);
    return result;
}
