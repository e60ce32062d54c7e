/* SPDX-License-Identifier: MIT */
#include <spate/hand_over.h>

/* The protocol of sd_listen_fds(3): descriptors 3 and following, their count, their names with
 * colons between them, and for which process they are. */

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/config/config.h"

enum {
    FIRST_FD = 3,
    COUNT_MAX = 1024, /* more than any service has: a typing error */
};

/* Reads a variable that is a decimal number.  Returns 0, 1 if it is not set, or -EINVAL. */
static int read_number(const char *variable, uint64_t max, uint64_t *ret, struct spate_error *error)
{
    const char *text = getenv(variable);
    uint64_t value = 0;
    if (text == NULL)
        return 1;
    bool is_number = text[0] != 0;
    for (const char *at = text; *at != 0 && is_number; at++) {
        is_number = *at >= '0' && *at <= '9';
        value = value * 10 + (uint64_t)(*at - '0');
        is_number = is_number && value <= max;
    }
    if (!is_number) {
        se_error_set(error, "%s is not a number up to %u: \"%.100s\"", variable, (unsigned)max,
                     text);
        return -EINVAL;
    }
    *ret = value;
    return 0;
}

/* Returns the next name of the list and moves `*at` after it; NULL at the end. */
static const char *next_name(const char **at, size_t *ret_size)
{
    const char *name = *at;
    if (name == NULL)
        return NULL;
    const char *end = strchrnul(name, ':');
    *ret_size = (size_t)(end - name);
    *at = *end == ':' ? end + 1 : NULL;
    return name;
}

static int set_close_on_exec(int fd, struct spate_error *error)
{
    int flags = fcntl(fd, F_GETFD);
    if (flags >= 0 && fcntl(fd, F_SETFD, flags | FD_CLOEXEC) == 0)
        return 0;
    se_error_set(error, "LISTEN_FDS: descriptor %d is not open", fd);
    return -EBADF;
}

/* Writes the descriptors with a name, or all.  Returns how many, or a negative errno. */
static int choose(const char *wanted, uint32_t count, int *ret_fds, uint32_t count_max,
                  struct spate_error *error)
{
    const char *names = getenv("LISTEN_FDNAMES");
    uint32_t found = 0;
    for (uint32_t i = 0; i < count; i++) {
        size_t size = 0;
        const char *name = next_name(&names, &size);
        if (wanted != NULL && name == NULL) {
            se_error_set(error, "LISTEN_FDNAMES has %u names for %u sockets", i, count);
            return -EINVAL;
        }
        int fd = FIRST_FD + (int)i;
        int result = set_close_on_exec(fd, error);
        if (result != 0)
            return result;
        if (wanted != NULL && (strlen(wanted) != size || memcmp(wanted, name, size) != 0))
            continue;
        if (found == count_max) {
            se_error_set(error, "LISTEN_FDS: more than %u sockets", count_max);
            return -E2BIG;
        }
        ret_fds[found++] = fd;
    }
    return (int)found;
}

int spate_inherited_sockets(const char *name, int *ret_fds, uint32_t count_max,
                            struct spate_error *error)
{
    uint64_t pid;
    uint64_t count;
    int result = read_number("LISTEN_PID", INT32_MAX, &pid, error);
    if (result == 0)
        result = read_number("LISTEN_FDS", COUNT_MAX, &count, error);
    if (result != 0)
        return result < 0 ? result : 0;
    if (pid != (uint64_t)getpid())
        return 0;
    return choose(name, (uint32_t)count, ret_fds, count_max, error);
}
