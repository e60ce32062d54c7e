/* SPDX-License-Identifier: MIT */
/* A program whose loop is an io_uring of its own: in it live an echo server over QUIC, a timer, and
 * a TCP server that says for how many seconds the program has been running.
 *
 *     own_ring CERT-FILE KEY-FILE PORT */

#include <arpa/inet.h>
#include <errno.h>
#include <liburing.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tools/examples/echo.h"
#include "tools/examples/signals.h"

#define SPATE (UINT64_C(0xff) << 56) /* in the user_data of what is the library's */

enum { SIGNAL = 1, TIMER, ACCEPT, CLIENT }; /* user_data of the program; CLIENT + fd */

static char answers[1024][32]; /* of each fd, lent to the kernel until it is sent */
static struct io_uring ring;
static int tcp_fd;
static unsigned uptime_s;
static bool is_accepting, is_over;

static struct io_uring_sqe *next_sqe(uint64_t user_data)
{
    struct io_uring_sqe *sqe;
    while ((sqe = io_uring_get_sqe(&ring)) == NULL)
        if (io_uring_submit(&ring) < 0) /* it was full */
            abort();
    io_uring_sqe_set_data64(sqe, user_data);
    return sqe;
}

static void accept_all(void)
{
    io_uring_prep_multishot_accept(next_sqe(ACCEPT), tcp_fd, NULL, NULL, SOCK_CLOEXEC);
    is_accepting = true;
}

static void start_timer(void)
{
    static struct __kernel_timespec second = {.tv_sec = 1};
    io_uring_prep_timeout(next_sqe(TIMER), &second, 0, IORING_TIMEOUT_MULTISHOT);
}

/* Returns 0, or 1 after it has said what has failed. */
static int begin(void)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    int signal_fd = signals_open(0);
    tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (signal_fd < 0 || tcp_fd < 0 || bind(tcp_fd, (struct sockaddr *)&address, size) != 0 ||
        listen(tcp_fd, 16) != 0 || getsockname(tcp_fd, (struct sockaddr *)&address, &size) != 0) {
        perror("own_ring");
        return 1;
    }
    printf("uptime at TCP port %u\n", ntohs(address.sin_port));
    io_uring_prep_poll_add(next_sqe(SIGNAL), signal_fd, POLLIN);
    start_timer();
    accept_all();
    return fflush(stdout) == 0 ? 0 : 1;
}

static void on_accept(int fd)
{
    if (fd >= (int)(sizeof(answers) / sizeof(answers[0]))) {
        (void)close(fd);
        return;
    }
    int size = snprintf(answers[fd], sizeof(answers[fd]), "up %u s\n", uptime_s);
    io_uring_prep_send(next_sqe(CLIENT + (uint64_t)fd), fd, answers[fd], (size_t)size,
                       MSG_NOSIGNAL);
}

static void on_completion(const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == SIGNAL) {
        is_over = true;
    } else if (cqe->user_data == TIMER) {
        uptime_s++;
        if ((cqe->flags & IORING_CQE_F_MORE) == 0) /* the completion queue was full */
            start_timer();
        if (!is_accepting) /* there were too many descriptors, for example */
            accept_all();
    } else if (cqe->user_data == ACCEPT) {
        is_accepting = (cqe->flags & IORING_CQE_F_MORE) != 0;
        if (cqe->res >= 0)
            on_accept(cqe->res);
    } else {
        (void)close((int)(cqe->user_data - CLIENT));
    }
}

/* Submits, waits until the shard is due, and handles what has completed.  Returns 0, or 1 if the
 * ring has failed. */
static int wait_and_reap(struct spate_shard *shard)
{
    struct io_uring_cqe *cqe;
    struct timespec wait = {0};
    bool is_limited = spate_shard_timeout(shard, &wait) != NULL;
    struct __kernel_timespec time = {wait.tv_sec, wait.tv_nsec};
    int error = io_uring_submit_and_wait_timeout(&ring, &cqe, 1, is_limited ? &time : NULL, NULL);
    if (error < 0 && error != -ETIME && error != -EINTR && error != -EBUSY)
        return server_failed("io_uring_enter", error, &(struct spate_error){""});
    while (io_uring_peek_cqe(&ring, &cqe) == 0) {
        int taken = spate_ring_complete(shard, cqe);
        if (taken == -EAGAIN)
            return 0; /* the rest after the next turn */
        if (taken == 0)
            on_completion(cqe);
        io_uring_cqe_seen(&ring, cqe);
    }
    return 0;
}

int main(int argc, char **argv)
{
    const unsigned flags =
        IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL;
    struct spate_lent_ring lent = {.size = sizeof(lent),
                                   .ring = &ring,
                                   .tag_mask = SPATE,
                                   .tag = SPATE,
                                   .file_first = SPATE_LENT_NO_FILES,
                                   .buffer_group = 1};
    struct spate_config config;
    struct echo echo;
    int result = io_uring_queue_init(2048, &ring, flags);
    if (result != 0)
        return server_failed("io_uring_queue_init", result, &(struct spate_error){""});
    spate_config_init(&config);
    config.lent_ring = &lent;
    result = echo_create(&echo, &config, argc, argv);
    if (result == 0 && (result = echo_listen(&echo, echo.port)) == 0)
        result = begin();
    while (result == 0 && !is_over) {
        result = wait_and_reap(echo.shard);
        if (result == 0)
            result = echo_turn(&echo);
    }
    echo_close(&echo); /* before the ring */
    io_uring_queue_exit(&ring);
    return result;
}
