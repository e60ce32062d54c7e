/* SPDX-License-Identifier: MIT */
#include "tools/spate/stat_scrape.h"

/* spate stat --listen: a small server of HTTP for scrapers.
 *
 * One thread polls the listening socket and CLIENTS_MAX clients.  A client has one request, of
 * REQUEST_MAX bytes at most, and PATIENCE_NS for all of it and its answer.  Where all places are
 * taken and another one waits, it has SHARE_NS: so a thousand that say nothing delay an honest one
 * by about a second. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "tools/spate/message.h"
#include "tools/spate/stat_export.h"

enum { CLIENTS_MAX = 128, REQUEST_MAX = 4096 };

#define MS          UINT64_C(1000000)
#define PATIENCE_NS (5000 * MS)
#define SHARE_NS    (100 * MS)

struct client {
    int fd;            /* -1: a free place */
    uint64_t since_ns; /* it was accepted */
    size_t used;
    char request[REQUEST_MAX + 1];
    char *answer; /* NULL: the request is not there yet */
    size_t size, sent;
};

struct scrape {
    struct stat_map *map;
    int fd;
    uint64_t now_ns;
    uint32_t count;
    bool is_short; /* of descriptors: the system gave none for a client that waits */
    struct client clients[CLIENTS_MAX];
};

static uint64_t clock_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * 1000 * MS + (uint64_t)now.tv_nsec;
}

static void drop(struct scrape *scrape, struct client *client)
{
    (void)close(client->fd);
    free(client->answer);
    client->answer = NULL;
    client->fd = -1;
    scrape->count--;
}

/* ---- Answers ---- */

static void write_head(FILE *out, const char *status, size_t size)
{
    fprintf(out,
            "HTTP/1.1 %s\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: %zu\r\n"
            "Connection: close\r\n\r\n",
            status, size);
}

static bool is_for_metrics(const char *request)
{
    static const char wanted[] = "GET /metrics";
    size_t size = sizeof(wanted) - 1;
    return strncmp(request, wanted, size) == 0 && (request[size] == ' ' || request[size] == '?');
}

/* Returns the counters as text, or NULL without memory.  Those of an engine that runs no more are
 * left out: they would look like those of one in which nothing happens. */
static char *metrics(const struct stat_map *map, size_t *ret_size)
{
    struct stat_view view;
    char *text = NULL;
    FILE *out = open_memstream(&text, ret_size);
    if (out == NULL)
        return NULL;
    bool is_taken = stat_view_take(map, &view);
    if (is_taken) {
        if (stat_map_state(map) == STAT_RUNNING)
            stat_write_prometheus(&view, out);
        else
            stat_write_prometheus_life(&view, out);
        stat_view_free(&view);
    }
    if (fclose(out) == 0 && is_taken)
        return text;
    free(text);
    return NULL;
}

/* Makes the answer to the request.  Returns false without memory. */
static bool answer(struct scrape *scrape, struct client *client)
{
    char *text = NULL;
    size_t size = 0;
    const char *status = "200 OK";
    if (!is_for_metrics(client->request)) {
        status = "404 Not Found";
    } else {
        (void)stat_map_renew(scrape->map);
        text = metrics(scrape->map, &size);
        if (text == NULL)
            return false;
    }
    FILE *out = open_memstream(&client->answer, &client->size);
    if (out != NULL) {
        write_head(out, status, size);
        (void)fwrite(text != NULL ? text : "", 1, size, out);
    }
    free(text);
    client->sent = 0;
    return out != NULL && fclose(out) == 0;
}

/* ---- Clients ---- */

/* Reads what has come, up to the end of the request's head.  Returns false if it is to be dropped:
 * it is over, or too long. */
static bool read_some(struct scrape *scrape, struct client *client)
{
    ssize_t got =
        recv(client->fd, client->request + client->used, REQUEST_MAX - client->used, MSG_DONTWAIT);
    if (got <= 0)
        return got < 0 && (errno == EAGAIN || errno == EINTR);
    client->used += (size_t)got;
    client->request[client->used] = '\0';
    if (strstr(client->request, "\r\n\r\n") != NULL)
        return answer(scrape, client);
    return client->used < REQUEST_MAX;
}

/* Returns false when all is sent, or nothing can be. */
static bool write_some(struct client *client)
{
    ssize_t sent = send(client->fd, client->answer + client->sent, client->size - client->sent,
                        MSG_DONTWAIT | MSG_NOSIGNAL);
    if (sent < 0)
        return errno == EAGAIN || errno == EINTR;
    client->sent += (size_t)sent;
    return client->sent < client->size;
}

static void serve_client(struct scrape *scrape, struct client *client)
{
    bool goes_on = client->answer != NULL || read_some(scrape, client);
    if (goes_on && client->answer != NULL)
        goes_on = write_some(client);
    if (!goes_on)
        drop(scrape, client);
}

static void accept_some(struct scrape *scrape)
{
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &scrape->clients[i];
        if (client->fd >= 0)
            continue;
        int fd = accept4(scrape->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);
        scrape->is_short =
            fd < 0 && (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM);
        if (fd < 0)
            return;
        client->fd = fd;
        client->since_ns = scrape->now_ns;
        client->used = 0;
        scrape->count++;
    }
}

static bool is_full(const struct scrape *scrape)
{
    return scrape->count == CLIENTS_MAX || scrape->is_short;
}

/* Drops those that had their time; less of it where all places are taken and another one waits. */
static void drop_old(struct scrape *scrape, bool has_other)
{
    uint64_t time_ns = has_other && is_full(scrape) ? SHARE_NS : PATIENCE_NS;
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &scrape->clients[i];
        if (client->fd >= 0 && scrape->now_ns - client->since_ns >= time_ns)
            drop(scrape, client);
    }
}

/* Polls the clients alone: the system takes no more places than the process may have files. */
static void turn(struct scrape *scrape)
{
    struct pollfd fds[CLIENTS_MAX + 1] = {{.fd = scrape->fd, .events = POLLIN}};
    struct client *clients[CLIENTS_MAX + 1];
    nfds_t count = 1;
    for (uint32_t i = 0; i < CLIENTS_MAX; i++) {
        struct client *client = &scrape->clients[i];
        if (client->fd < 0)
            continue;
        clients[count] = client;
        fds[count++] =
            (struct pollfd){.fd = client->fd, .events = client->answer != NULL ? POLLOUT : POLLIN};
    }
    bool was_full = is_full(scrape);
    int timeout_ms = was_full ? (int)(SHARE_NS / MS / 4) : 1000;
    if (was_full)
        fds[0].fd = -1; /* it would be ready all the time */
    int ready = poll(fds, count, timeout_ms);
    scrape->now_ns = clock_ns();
    for (nfds_t i = 1; ready > 0 && i < count; i++)
        if (fds[i].revents != 0)
            serve_client(scrape, clients[i]);
    struct pollfd other = {.fd = scrape->fd, .events = POLLIN};
    bool has_other = was_full ? poll(&other, 1, 0) == 1 : fds[0].revents != 0;
    drop_old(scrape, has_other);
    if (has_other)
        accept_some(scrape);
}

/* ---- All of it ---- */

static int listen_at(const struct net_address *address)
{
    struct net_address bound = {.size = sizeof(bound.storage)};
    char text[NET_TEXT_SIZE];
    int one = 1;
    int fd = socket(address->storage.ss_family, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    (void)setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
    if (fd < 0 || bind(fd, (const struct sockaddr *)&address->storage, address->size) != 0 ||
        listen(fd, SOMAXCONN) != 0 ||
        getsockname(fd, (struct sockaddr *)&bound.storage, &bound.size) != 0) {
        message("stat", "--listen: %s", strerror(errno));
        if (fd >= 0)
            (void)close(fd);
        return -1;
    }
    net_format(&bound, text);
    printf("listening at %s\n", text);
    (void)fflush(stdout);
    return fd;
}

int stat_scrape_serve(struct stat_map *map, const struct net_address *address,
                      const volatile sig_atomic_t *is_stopped)
{
    struct scrape *scrape = calloc(1, sizeof(*scrape));
    if (scrape == NULL) {
        message("stat", "%s", strerror(ENOMEM));
        return EXIT_FAILURE;
    }
    scrape->map = map;
    for (uint32_t i = 0; i < CLIENTS_MAX; i++)
        scrape->clients[i].fd = -1;
    scrape->fd = listen_at(address);
    while (scrape->fd >= 0 && !*is_stopped)
        turn(scrape);
    for (uint32_t i = 0; i < CLIENTS_MAX; i++)
        if (scrape->clients[i].fd >= 0)
            drop(scrape, &scrape->clients[i]);
    int status = scrape->fd >= 0 ? EXIT_SUCCESS : EXIT_FAILURE;
    if (scrape->fd >= 0)
        (void)close(scrape->fd);
    free(scrape);
    return status;
}
