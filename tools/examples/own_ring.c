/* SPDX-License-Identifier: MIT */
/* A program whose loop is an io_uring of its own: in it live an echo server over QUIC, a timer, and
 * a TCP listener that gives the certificate, read from its file, to whoever connects.
 *
 *     own_ring CERT-FILE KEY-FILE PORT */

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <liburing.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "tools/examples/echo.h"

#define NS_PER_S UINT64_C(1000000000)
#define SPATE    (UINT64_C(0xff) << 56) /* no address has these bits */

enum { SIGNAL = 1, TIMER, ACCEPT }; /* user_data; else it is the address of a client */

struct client {
    struct client *next;
    struct client **at; /* what points to it */
    int fd;
    bool sends; /* false: it waits for the file */
    int head_size;
    char text[8192];
};

struct program {
    struct io_uring ring;
    struct echo echo;
    struct __kernel_timespec second;
    struct client *clients; /* whose reads and writes are in the ring */
    int signal_fd;
    int cert_fd;
    int tcp_fd;
    unsigned uptime_s;
    bool is_over;
};

static struct io_uring_sqe *next_sqe(struct program *p, uint64_t user_data)
{
    struct io_uring_sqe *sqe = io_uring_get_sqe(&p->ring);
    if (sqe == NULL) { /* the queue is full */
        (void)io_uring_submit(&p->ring);
        sqe = io_uring_get_sqe(&p->ring);
    }
    if (sqe == NULL)
        abort();
    io_uring_sqe_set_data64(sqe, user_data);
    return sqe;
}

static bool begin(struct program *p, const char *cert_file)
{
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(address);
    p->cert_fd = open(cert_file, O_RDONLY | O_CLOEXEC);
    p->tcp_fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (p->cert_fd < 0 || p->tcp_fd < 0 ||
        bind(p->tcp_fd, (struct sockaddr *)&address, size) != 0 || listen(p->tcp_fd, 16) != 0 ||
        getsockname(p->tcp_fd, (struct sockaddr *)&address, &size) != 0) {
        perror("own_ring");
        return false;
    }
    printf("certificate at TCP port %u\n", ntohs(address.sin_port));
    (void)fflush(stdout);
    p->second.tv_sec = 1;
    io_uring_prep_poll_add(next_sqe(p, SIGNAL), p->signal_fd, POLLIN);
    io_uring_prep_timeout(next_sqe(p, TIMER), &p->second, 0, IORING_TIMEOUT_MULTISHOT);
    io_uring_prep_multishot_accept(next_sqe(p, ACCEPT), p->tcp_fd, NULL, NULL, SOCK_CLOEXEC);
    return true;
}

static void on_accept(struct program *p, int fd)
{
    struct client *client = fd >= 0 ? malloc(sizeof(*client)) : NULL;
    if (client == NULL) {
        if (fd >= 0)
            (void)close(fd);
        return;
    }
    client->next = p->clients;
    client->at = &p->clients;
    if (p->clients != NULL)
        p->clients->at = &client->next;
    p->clients = client;
    client->fd = fd;
    client->sends = false;
    client->head_size = snprintf(client->text, sizeof(client->text), "up %u s\n", p->uptime_s);
    io_uring_prep_read(next_sqe(p, (uintptr_t)client), p->cert_fd, client->text + client->head_size,
                       (unsigned)sizeof(client->text) - (unsigned)client->head_size, 0);
}

static void end_client(struct client *client)
{
    *client->at = client->next;
    if (client->next != NULL)
        client->next->at = client->at;
    (void)close(client->fd);
    free(client);
}

static void on_client(struct program *p, struct client *client, int result)
{
    if (!client->sends && result >= 0) {
        client->sends = true;
        io_uring_prep_send(next_sqe(p, (uintptr_t)client), client->fd, client->text,
                           (size_t)(client->head_size + result), MSG_NOSIGNAL | MSG_WAITALL);
        return;
    }
    end_client(client);
}

static void on_completion(struct program *p, const struct io_uring_cqe *cqe)
{
    if (cqe->user_data == SIGNAL)
        p->is_over = true;
    else if (cqe->user_data == TIMER)
        p->uptime_s++;
    else if (cqe->user_data == ACCEPT)
        on_accept(p, cqe->res);
    else
        on_client(p, (struct client *)(uintptr_t)cqe->user_data, cqe->res);
}

/* Submits, and waits for a completion until `due_ns`. */
static void wait_until(struct program *p, uint64_t due_ns)
{
    struct timespec now;
    struct io_uring_cqe *cqe;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    uint64_t now_ns = (uint64_t)now.tv_sec * NS_PER_S + (uint64_t)now.tv_nsec;
    uint64_t wait_ns = due_ns > now_ns ? due_ns - now_ns : 0;
    struct __kernel_timespec time = {(long long)(wait_ns / NS_PER_S),
                                     (long long)(wait_ns % NS_PER_S)};
    if (wait_ns == 0)
        (void)io_uring_submit_and_get_events(&p->ring);
    else
        (void)io_uring_submit_and_wait_timeout(&p->ring, &cqe, 1,
                                               due_ns == SPATE_FOREVER ? NULL : &time, NULL);
}

static void reap(struct program *p)
{
    struct io_uring_cqe *cqe;
    while (io_uring_peek_cqe(&p->ring, &cqe) == 0) {
        int taken = spate_ring_complete(p->echo.shard, cqe);
        if (taken == -EAGAIN)
            return; /* after the next turn */
        if (taken == 0)
            on_completion(p, cqe);
        io_uring_cqe_seen(&p->ring, cqe);
    }
}

static int run(struct program *p, char **argv)
{
    struct spate_lent_ring lent = {
        .size = sizeof(lent),
        .ring = &p->ring,
        .tag_mask = SPATE,
        .tag = SPATE,
        .file_first = SPATE_LENT_NO_FILES,
        .buffer_group = 1,
    };
    struct spate_config config;
    spate_config_init(&config);
    config.lent_ring = &lent;
    int result = echo_create_with(&p->echo, &config, argv[1], argv[2]);
    if (result == 0)
        result = echo_listen(&p->echo, (uint16_t)atoi(argv[3]));
    if (result == 0 && !begin(p, argv[1]))
        result = 1;
    while (result == 0 && !p->is_over) {
        wait_until(p, spate_shard_deadline_ns(p->echo.shard));
        reap(p);
        result = echo_turn(&p->echo);
    }
    echo_close(&p->echo); /* before the ring */
    return result;
}

int main(int argc, char **argv)
{
    struct program p = {.cert_fd = -1, .tcp_fd = -1};
    struct io_uring_params params = {
        .flags = IORING_SETUP_SINGLE_ISSUER | IORING_SETUP_DEFER_TASKRUN | IORING_SETUP_SUBMIT_ALL |
                 IORING_SETUP_CQSIZE,
        .cq_entries = 4096,
    };
    sigset_t ends;
    if (argc != 4) {
        fprintf(stderr, "usage: %s CERT-FILE KEY-FILE PORT\n", argv[0]);
        return 1;
    }
    (void)sigemptyset(&ends);
    (void)sigaddset(&ends, SIGINT);
    (void)sigaddset(&ends, SIGTERM);
    (void)sigprocmask(SIG_BLOCK, &ends, NULL);
    p.signal_fd = signalfd(-1, &ends, SFD_CLOEXEC);
    int error = io_uring_queue_init_params(512, &p.ring, &params);
    if (error != 0) {
        fprintf(stderr, "io_uring: %s\n", strerror(-error));
        return 1;
    }
    int result = run(&p, argv);
    io_uring_queue_exit(&p.ring); /* cancels what is in it */
    while (p.clients != NULL)
        end_client(p.clients);
    (void)close(p.signal_fd);
    (void)close(p.cert_fd);
    (void)close(p.tcp_fd);
    return result;
}
