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

#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"

/* For how long connect() may wait for a place in the queue of a process that accepts nobody. */
#define ROOM_NS SB_S

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

static int set_timeout(int fd, uint64_t wait_ns)
{
    const struct timeval wait = {
        .tv_sec = (time_t)(wait_ns / SB_S),
        .tv_usec = (suseconds_t)(wait_ns % SB_S / SB_US),
    };
    return setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &wait, sizeof(wait)) == 0 ? 0 : -errno;
}

/* Returns 0 or a negative errno.  The socket has no time-out afterwards.  With one, work for a ring
 * of this thread interrupts connect(), and not signals alone. */
static int connect_soon(int fd, const struct sockaddr_un *address)
{
    uint64_t end_ns = se_clock_now_ns() + ROOM_NS;
    int error = EINTR;
    for (uint64_t now_ns; error == EINTR && (now_ns = se_clock_now_ns()) < end_ns;) {
        int result = set_timeout(fd, SB_MAX(end_ns - now_ns, SB_US)); /* 0 is none */
        if (result != 0)
            return result;
        error = connect(fd, (const struct sockaddr *)address, sizeof(*address)) == 0 ? 0 : errno;
    }
    if (error == EINTR || error == EAGAIN)
        return -ETIMEDOUT;
    if (error == ECONNREFUSED) /* its process has ended */
        return -ENOENT;
    return error != 0 ? -error : set_timeout(fd, 0);
}

int spate_hand_over_connect(const char *path, struct spate_error *error)
{
    struct sockaddr_un address;
    int fd = open_socket(path, &address, error);
    if (fd < 0)
        return fd;
    int result = connect_soon(fd, &address);
    if (result == 0)
        return fd;
    (void)close(fd);
    const char *reason = result == -ENOENT      ? "nobody listens there"
                         : result == -ETIMEDOUT ? "the process that listens accepts nobody"
                                                : strerrordesc_np(-result);
    se_error_set(error, "%s: %s", path, reason);
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
