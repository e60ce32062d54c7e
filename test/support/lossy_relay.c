/* SPDX-License-Identifier: MIT */
#include "test/support/lossy_relay.h"

#include "test/support/qt.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "test/support/spate_world.h"

enum { BUFFER_SIZE = 65536, WAIT_MS = 20, SOCKET_BYTES = 4 << 20 };

struct lossy_relay {
    int to_client;
    int to_server; /* connected to it */
    struct sockaddr_storage server;
    socklen_t server_size;
    uint32_t loss_per_thousand;
    uint64_t random;
    struct sockaddr_storage client;
    socklen_t client_size; /* 0 until it was heard */
    uint8_t data[BUFFER_SIZE];
    atomic_uint_fast64_t lost_count;
    atomic_bool is_over;
    pthread_t thread;
};

/* xorshift64 */
static uint64_t draw(struct lossy_relay *relay)
{
    relay->random ^= relay->random << 13;
    relay->random ^= relay->random >> 7;
    relay->random ^= relay->random << 17;
    return relay->random;
}

/* The kernel joins the datagrams of a train (GRO), and splits them again (GSO): one call per train.
 * */
static ssize_t take(struct lossy_relay *relay, int from, bool is_from_client, size_t *ret_segment)
{
    struct iovec piece = {relay->data, sizeof(relay->data)};
    _Alignas(struct cmsghdr) char control[128];
    struct sockaddr_storage peer;
    struct msghdr message = {
        .msg_name = &peer,
        .msg_namelen = sizeof(peer),
        .msg_iov = &piece,
        .msg_iovlen = 1,
        .msg_control = control,
        .msg_controllen = sizeof(control),
    };
    ssize_t size = recvmsg(from, &message, MSG_DONTWAIT);
    if (size <= 0)
        return size;
    if (is_from_client) {
        relay->client = peer;
        relay->client_size = message.msg_namelen;
    }
    *ret_segment = (size_t)size;
    for (struct cmsghdr *c = CMSG_FIRSTHDR(&message); c != NULL; c = CMSG_NXTHDR(&message, c)) {
        int segment;
        if (c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
            continue;
        memcpy(&segment, CMSG_DATA(c), sizeof(segment));
        *ret_segment = (size_t)segment;
    }
    return size;
}

static void give(struct lossy_relay *relay, int to, bool is_from_client, size_t size,
                 size_t segment)
{
    struct iovec piece = {relay->data, size};
    _Alignas(struct cmsghdr) char control[CMSG_SPACE(sizeof(uint16_t))] = {0};
    struct msghdr message = {
        .msg_name = is_from_client ? NULL : &relay->client,
        .msg_namelen = is_from_client ? 0 : relay->client_size,
        .msg_iov = &piece,
        .msg_iovlen = 1,
    };
    if (size > segment) {
        uint16_t cut = (uint16_t)segment;
        message.msg_control = control;
        message.msg_controllen = sizeof(control);
        struct cmsghdr *c = CMSG_FIRSTHDR(&message);
        *c = (struct cmsghdr){
            .cmsg_len = CMSG_LEN(sizeof(cut)), .cmsg_level = SOL_UDP, .cmsg_type = UDP_SEGMENT};
        memcpy(CMSG_DATA(c), &cut, sizeof(cut));
    }
    (void)sendmsg(to, &message, 0); /* an error is a loss too */
}

static bool pass(struct lossy_relay *relay, int from, int to, bool is_from_client)
{
    size_t segment = 0;
    ssize_t size = take(relay, from, is_from_client, &segment);
    if (size <= 0)
        return false;
    size_t kept = 0;
    for (size_t at = 0, now; at < (size_t)size; at += now) {
        now = (size_t)size - at < segment ? (size_t)size - at : segment;
        if (draw(relay) % 1000 < relay->loss_per_thousand) {
            (void)atomic_fetch_add(&relay->lost_count, 1);
            continue;
        }
        memmove(relay->data + kept, relay->data + at, now);
        kept += now;
    }
    if (kept > 0)
        give(relay, to, is_from_client, kept, segment);
    return true;
}

static void *run(void *argument)
{
    struct lossy_relay *relay = argument;
    struct pollfd fds[] = {
        {.fd = relay->to_client, .events = POLLIN},
        {.fd = relay->to_server, .events = POLLIN},
    };
    while (!atomic_load(&relay->is_over)) {
        if (poll(fds, 2, WAIT_MS) <= 0)
            continue;
        while (pass(relay, relay->to_client, relay->to_server, true) ||
               pass(relay, relay->to_server, relay->to_client, false))
            continue;
    }
    return NULL;
}

static void set_up(int fd)
{
    int size = SOCKET_BYTES;
    int on = 1;
    (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &size, sizeof(size)); /* as far as it goes */
    assert_int_equal(setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof(on)), 0);
}

/* Its sockets and its memory are the test's as well, and last longer. */
static void stop(void *object)
{
    struct lossy_relay *relay = object;
    atomic_store(&relay->is_over, true);
    (void)pthread_join(relay->thread, NULL);
}

/* Returns a socket that is connected to the server. */
static int socket_to_server(const struct lossy_relay *relay)
{
    int fd = pw_udp_socket();
    set_up(fd);
    assert_int_equal(connect(fd, (const struct sockaddr *)&relay->server, relay->server_size), 0);
    return fd;
}

struct lossy_relay *lossy_relay_start(const struct lossy_relay_config *config)
{
    struct lossy_relay *relay = owned_alloc(sizeof(*relay));
    relay->to_client = pw_udp_socket();
    relay->server = config->server;
    relay->server_size = config->server_size;
    relay->to_server = socket_to_server(relay);
    relay->loss_per_thousand = config->loss_per_thousand;
    relay->random = config->seed | 1;
    set_up(relay->to_client);
    assert_int_equal(pthread_create(&relay->thread, NULL, run, relay), 0);
    return owned_add(relay, stop);
}

struct sockaddr_storage lossy_relay_address(const struct lossy_relay *relay, socklen_t *ret_size)
{
    struct sockaddr_storage address = {0};
    *ret_size = sizeof(address);
    assert_int_equal(getsockname(relay->to_client, (struct sockaddr *)&address, ret_size), 0);
    return address;
}

/* The thread goes on with the same descriptor; a call that waits there ends after WAIT_MS. */
void lossy_relay_rebind(struct lossy_relay *relay)
{
    assert_true(dup2(socket_to_server(relay), relay->to_server) >= 0);
}

uint64_t lossy_relay_lost(const struct lossy_relay *relay)
{
    return atomic_load(&relay->lost_count);
}
