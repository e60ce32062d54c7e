/* SPDX-License-Identifier: MIT */
#include "engine/net/handover_talk.h"

/* The other process is trusted with our sockets, and with nothing else: it may be of another
 * release, or no spate at all.  Descriptors that come with a message that is refused are closed. */

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/config/config.h"
#include "proto/base/assert.h"
#include "proto/base/time.h"

int se_handover_open(int fd, struct spate_error *error)
{
    int result = su_pass_check(fd);
    if (result != 0) {
        se_error_set(error, "descriptor %d is no connected socket of AF_UNIX and SOCK_SEQPACKET",
                     fd);
        return result;
    }
    int channel = fcntl(fd, F_DUPFD_CLOEXEC, 0);
    if (channel >= 0)
        return channel;
    result = -errno;
    se_error_set(error, "no descriptor left: %s", strerrordesc_np(-result));
    return result;
}

/* For how long a channel may be full: who is offered sockets reads all messages at once. */
#define ROOM_NS SB_S

/* Returns 0, -ETIMEDOUT, or another negative errno. */
static int send_patiently(int channel, const struct su_pass *pass)
{
    uint64_t end_ns = se_clock_now_ns() + ROOM_NS;
    int result;
    while ((result = su_pass_send(channel, pass)) == -EAGAIN) {
        uint64_t now_ns = se_clock_now_ns();
        if (now_ns >= end_ns)
            return -ETIMEDOUT;
        (void)!su_pass_wait_for_room(channel, end_ns - now_ns);
    }
    return result;
}

int se_handover_send(int channel, const struct se_handover_message *message, const int *fds,
                     uint32_t fd_count, struct spate_error *error)
{
    uint8_t data[SE_HANDOVER_SIZE_MAX];
    struct su_pass pass = {
        .data = data, .size = se_handover_write(message, data), .fd_count = fd_count};
    SB_ASSERT(fd_count <= SU_PASS_FDS_MAX);
    if (fd_count > 0)
        memcpy(pass.fds, fds, fd_count * sizeof(fds[0]));
    int result = send_patiently(channel, &pass);
    explicit_bzero(data, sizeof(data)); /* it may have keys */
    if (result == -EPIPE)
        result = -ECONNRESET;
    if (result == -ECONNRESET)
        se_error_set(error, "the other process has gone");
    else if (result != 0)
        se_error_set(error, "sending to the other process: %s", strerrordesc_np(-result));
    return result;
}

int se_handover_send_kind(int channel, enum se_handover_kind kind, struct spate_error *error)
{
    const struct se_handover_message message = {.kind = kind};
    return se_handover_send(channel, &message, NULL, 0, error);
}

void se_handover_refuse(int channel, const char *reason)
{
    struct se_handover_message message = {.kind = SE_HANDOVER_REFUSED};
    (void)snprintf(message.text, sizeof(message.text), "%s", reason);
    (void)!se_handover_send(channel, &message, NULL, 0, NULL);
}

static int explain(int result, struct spate_error *error)
{
    if (result == -ECONNRESET)
        se_error_set(error, "the other process has gone");
    else if (result == -EMFILE)
        se_error_set(error, "no room for the descriptors: see RLIMIT_NOFILE");
    else if (result == -EMSGSIZE)
        se_error_set(error, "a message of the other process is too long");
    else
        se_error_set(error, "receiving from the other process: %s", strerrordesc_np(-result));
    return result == -EMSGSIZE ? -EPROTO : result;
}

static int take(const uint8_t *data, const struct su_pass *fds, enum se_handover_kind kind,
                struct se_handover_message *ret, struct spate_error *error)
{
    int result = se_handover_read(data, fds->size, fds->fd_count, ret);
    if (result == -EPROTONOSUPPORT)
        se_error_set(error, "the other process has version %u of the hand-over, this one %d",
                     data[SE_HANDOVER_VERSION_AT], SE_HANDOVER_VERSION);
    else if (result != 0)
        se_error_set(error, "the other process sent something that is no message of a hand-over");
    if (result != 0)
        return result;
    if (ret->kind == SE_HANDOVER_REFUSED) {
        se_error_set(error, "the other process says: %s", ret->text);
        return -ECONNREFUSED;
    }
    if (ret->kind != kind) {
        se_error_set(error, "the other process sent message %d, but %d is due", (int)ret->kind,
                     (int)kind);
        return -EPROTO;
    }
    return 0;
}

int se_handover_receive(int channel, enum se_handover_kind kind, uint64_t end_ns,
                        struct se_handover_message *ret, struct su_pass *fds,
                        struct spate_error *error)
{
    uint8_t data[SE_HANDOVER_SIZE_MAX];
    int result;
    uint64_t now_ns;
    do {
        now_ns = se_clock_now_ns();
        fds->data = data;
        fds->size = sizeof(data);
        result = su_pass_receive(channel, sb_time_since(end_ns, now_ns), fds);
    } while (result == -EAGAIN && se_clock_now_ns() < end_ns); /* a signal */
    if (result == -EAGAIN)
        return result;
    if (result != 0)
        return explain(result, error);
    result = take(data, fds, kind, ret, error);
    explicit_bzero(data, sizeof(data));
    fds->data = NULL;
    if (result != 0)
        su_pass_close(fds);
    return result;
}
