/* SPDX-License-Identifier: MIT */
#include <spate/hand_over.h>

/* Where two processes find each other: a socket of AF_UNIX with a name in the file system.
 *
 * Whoever may connect to it can take the ports and the keys of the server.  On Linux that needs
 * write permission for the socket's file, which is made with mode 0600: bind() gives the file the
 * mode that the socket has, less the umask, so there is no moment at which it has another one.
 *
 * A socket gets its name when it listens, and takes that of the one before in one step: who
 * connects meanwhile reaches one of the two.  A process that is killed in between leaves a socket
 * with a name of its own (.spate-...). */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "engine/base/clock.h"
#include "engine/base/entropy.h"
#include "engine/config/config.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"

/* For how long connect() may wait for a place in the queue of a process that accepts nobody. */
#define ROOM_NS SB_S

enum { NAME_SIZE = 16, NAMES_MAX = 100 };

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

/* ---- the listening side ---- */

enum there { NOTHING, A_SOCKET, SOMETHING };

static enum there look_at(const char *path)
{
    struct stat status;
    if (lstat(path, &status) != 0)
        return NOTHING;
    return S_ISSOCK(status.st_mode) ? A_SOCKET : SOMETHING;
}

/* Writes the address of a random name in the folder of `address`, as long as there is room for. */
static void name_beside(const struct sockaddr_un *address, struct sockaddr_un *ret)
{
    static const char letters[] = "abcdefghijklmnopqrstuvwxyz012345";
    const char *slash = strrchr(address->sun_path, '/');
    size_t folder_size = slash != NULL ? (size_t)(slash - address->sun_path) + 1 : 0;
    size_t size = SB_MIN(sizeof(ret->sun_path) - 1 - folder_size, (size_t)NAME_SIZE);
    char name[NAME_SIZE];
    struct se_entropy entropy = {.left = 0};
    memset(name, 0, sizeof(name));
    if (se_entropy_init(&entropy) == 0)
        se_entropy_fill(&entropy, name, sizeof(name));
    se_entropy_deinit(&entropy);
    for (size_t i = 0; i < size; i++)
        name[i] = letters[(uint8_t)name[i] % (sizeof(letters) - 1)];
    if (size == NAME_SIZE)
        memcpy(name, ".spate-", 7); /* whose it is, if this process is killed now */
    *ret = (struct sockaddr_un){.sun_family = AF_UNIX};
    memcpy(ret->sun_path, address->sun_path, folder_size);
    memcpy(ret->sun_path + folder_size, name, size);
}

/* Listens at a name beside `address`.  Returns 0 or a negative errno. */
static int listen_beside(int fd, const struct sockaddr_un *address, struct sockaddr_un *ret)
{
    if (fchmod(fd, S_IRUSR | S_IWUSR) != 0)
        return -errno;
    int result = -EADDRINUSE;
    for (int i = 0; i < NAMES_MAX && result == -EADDRINUSE; i++) {
        name_beside(address, ret);
        if (strcmp(ret->sun_path, address->sun_path) != 0)
            result = bind(fd, (const struct sockaddr *)ret, sizeof(*ret)) == 0 ? 0 : -errno;
    }
    if (result != 0 || listen(fd, 1) == 0)
        return result;
    result = -errno;
    (void)unlink(ret->sun_path);
    return result;
}

static int exchange(const char *from, const char *to, unsigned flags)
{
    return renameat2(AT_FDCWD, from, AT_FDCWD, to, flags) == 0 ? 0 : -errno;
}

/* Replaces what is at `path`.  It has our name then, where it is looked at once more: what is no
 * socket, and came there since the first look, goes back. */
static int replace(const char *beside, const char *path)
{
    if (look_at(path) == SOMETHING)
        return -EEXIST;
    int result = exchange(beside, path, RENAME_EXCHANGE);
    if (result != 0 || look_at(beside) != SOMETHING)
        return result;
    if (exchange(beside, path, RENAME_EXCHANGE) == -ENOENT)
        (void)exchange(beside, path, RENAME_NOREPLACE);
    return -EEXIST;
}

/* Gives the socket that is called `beside` the name `path`, from one moment to the next.  Returns 0
 * or a negative errno. */
static int move_in_place(const char *beside, const char *path)
{
    int result = -ENOENT;
    while (result == -ENOENT && look_at(beside) == A_SOCKET) {
        result = exchange(beside, path, RENAME_NOREPLACE);
        if (result == -EEXIST)
            result = replace(beside, path); /* -ENOENT: it has gone since */
    }
    if (result == -EINVAL) /* a file system without these flags */
        result = look_at(path) == SOMETHING ? -EEXIST : exchange(beside, path, 0);
    if (look_at(beside) == A_SOCKET) /* the one before, or ours */
        (void)unlink(beside);
    return result;
}

int spate_hand_over_listen(const char *path, struct spate_error *error)
{
    struct sockaddr_un address, beside;
    int fd = open_socket(path, &address, error);
    if (fd < 0)
        return fd;
    int result = listen_beside(fd, &address, &beside);
    if (result == 0)
        result = move_in_place(beside.sun_path, address.sun_path);
    if (result == 0)
        return fd;
    if (result == -EEXIST)
        se_error_set(error, "%s exists and is no socket", path);
    else
        se_error_set(error, "%s: %s", path, strerrordesc_np(-result));
    (void)close(fd);
    return result;
}
