/* SPDX-License-Identifier: MIT */
/* A path that is not perfect, as a process between client and server.  Each address that a client
 * sends from gets a socket of its own to the server, so that the server sees as many addresses.
 *
 * Datagrams are passed one by one, without GSO and GRO: a train has datagrams that are lost and
 * others that are not.  So the relay costs more than both ends, and what comes faster than it can
 * pass is lost in its sockets' buffers, as in those of a router.  It is for losses and delays, not
 * for throughput. */

#include "bench/load/relay.h"

#include <errno.h>
#include <poll.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/load/address.h"
#include "bench/load/clock.h"
#include "bench/load/control.h"
#include "bench/load/endpoint.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/relay_queue.h"

enum {
    FLOWS_MAX = 64, /* addresses of clients: 48 sockets, and some more */
    BATCH = 64,
    QUEUE_BYTES = 96 << 20,
    QUEUE_MAX = 65536,
    SOCKET_BUFFER_BYTES = 8 << 20,
    CONTROL_AT = 0, /* in polls[] */
    DOOR_AT = 1,
    FLOWS_AT = 2,
};

struct relay {
    const struct options *options;
    struct address server;
    struct relay_queue queue;
    struct relay_counts counts;
    struct pollfd polls[FLOWS_AT + FLOWS_MAX];
    struct address clients[FLOWS_MAX];
    uint32_t flow_count;
    uint64_t random;
};

/* xorshift64* [Vigna, 2016]; the state is never 0. */
static uint64_t next_random(struct relay *r)
{
    r->random ^= r->random >> 12;
    r->random ^= r->random << 25;
    r->random ^= r->random >> 27;
    return r->random * UINT64_C(2685821657736338717);
}

static bool happens(struct relay *r, double percent)
{
    return percent > 0 && (double)(next_random(r) >> 11) * 0x1p-53 * 100 < percent;
}

static int open_socket(const struct address *address, bool is_server_side)
{
    int bytes = SOCKET_BUFFER_BYTES;
    int fd = socket(address->storage.ss_family, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (fd < 0)
        return -errno;
    /* As much as there may be: without it more is lost. */
    if (setsockopt(fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
        (void)setsockopt(fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    const struct sockaddr *to = (const struct sockaddr *)&address->storage;
    int status = is_server_side ? connect(fd, to, address->size) : bind(fd, to, address->size);
    if (status == 0)
        return fd;
    status = -errno;
    (void)close(fd);
    return status;
}

/* The flow of a client's address, a new one if it is unknown; -1 if there are too many. */
static int find_flow(struct relay *r, const struct sockaddr_storage *from, socklen_t size)
{
    for (uint32_t i = 0; i < r->flow_count; i++) {
        if (r->clients[i].size == size && memcmp(&r->clients[i].storage, from, size) == 0)
            return (int)i;
    }
    if (r->flow_count == FLOWS_MAX)
        return -1;
    int fd = open_socket(&r->server, true);
    if (fd < 0)
        return -1;
    r->clients[r->flow_count] = (struct address){.storage = *from, .size = size};
    r->polls[FLOWS_AT + r->flow_count] = (struct pollfd){.fd = fd, .events = POLLIN};
    return (int)r->flow_count++;
}

/* Decides about a datagram that has come. */
static void pass(struct relay *r, uint32_t slot, uint32_t size, int flow, bool is_up)
{
    const struct options *o = r->options;
    bool is_lost = happens(r, o->loss_percent);
    bool is_late = happens(r, o->late_percent);
    if (flow < 0 || is_lost) {
        r->counts.lost += is_lost;
        r->counts.spilt += !is_lost;
        relay_queue_give(&r->queue, slot);
        return;
    }
    r->counts.passed++;
    r->counts.late += is_late;
    relay_queue_add(&r->queue,
                    (struct relay_item){
                        .due_ns = clock_now_ns() + o->delay_ns + (is_late ? o->late_ns : 0),
                        .slot = slot,
                        .size = size,
                        .flow = (uint32_t)flow,
                        .is_up = is_up,
                    });
}

/* Takes what has come to a socket; `flow` is -1 for that of the clients. */
static void receive(struct relay *r, int fd, int flow)
{
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    struct sockaddr_storage names[BATCH];
    uint32_t slots[BATCH];
    uint32_t count = 0;

    memset(headers, 0, sizeof(headers));
    while (count < BATCH && relay_queue_take(&r->queue, &slots[count])) {
        vectors[count] = (struct iovec){.iov_base = relay_queue_bytes(&r->queue, slots[count]),
                                        .iov_len = r->queue.slot_size};
        headers[count].msg_hdr = (struct msghdr){.msg_iov = &vectors[count],
                                                 .msg_iovlen = 1,
                                                 .msg_name = &names[count],
                                                 .msg_namelen = sizeof(names[count])};
        count++;
    }
    int got = count == 0 ? 0 : recvmmsg(fd, headers, count, 0, NULL);
    uint32_t done = got > 0 ? (uint32_t)got : 0;
    for (uint32_t i = 0; i < done; i++) {
        bool is_up = flow < 0;
        int of = is_up ? find_flow(r, &names[i], headers[i].msg_hdr.msg_namelen) : flow;
        pass(r, slots[i], headers[i].msg_len, of, is_up);
    }
    for (uint32_t i = done; i < count; i++)
        relay_queue_give(&r->queue, slots[i]);
}

/* Sends the items, which are of one socket; what does not fit its buffer is lost. */
static void send_batch(struct relay *r, const struct relay_item *items, uint32_t count)
{
    struct mmsghdr headers[BATCH];
    struct iovec vectors[BATCH];
    const struct relay_item *first = &items[0];
    int fd = first->is_up ? r->polls[FLOWS_AT + first->flow].fd : r->polls[DOOR_AT].fd;

    memset(headers, 0, sizeof(headers));
    for (uint32_t i = 0; i < count; i++) {
        struct address *to = &r->clients[items[i].flow];
        vectors[i] = (struct iovec){.iov_base = relay_queue_bytes(&r->queue, items[i].slot),
                                    .iov_len = items[i].size};
        headers[i].msg_hdr = (struct msghdr){.msg_iov = &vectors[i],
                                             .msg_iovlen = 1,
                                             .msg_name = items[i].is_up ? NULL : &to->storage,
                                             .msg_namelen = items[i].is_up ? 0 : to->size};
    }
    for (uint32_t sent = 0; sent < count;) {
        int status = sendmmsg(fd, headers + sent, count - sent, 0);
        if (status <= 0) { /* full, or an ICMP error of an earlier one: the next may pass */
            r->counts.spilt++;
            r->counts.passed--;
            status = 1;
        }
        sent += (uint32_t)status;
    }
    for (uint32_t i = 0; i < count; i++)
        relay_queue_give(&r->queue, items[i].slot);
}

/* Sends what is due. */
static void deliver(struct relay *r)
{
    uint64_t now_ns = clock_now_ns();
    struct relay_item batch[BATCH];
    for (;;) {
        uint32_t count = 0;
        const struct relay_item *first = relay_queue_first(&r->queue);
        while (count < BATCH && first != NULL && first->due_ns <= now_ns &&
               (count == 0 || (first->is_up == batch[0].is_up &&
                               (!first->is_up || first->flow == batch[0].flow)))) {
            batch[count++] = relay_queue_remove(&r->queue);
            first = relay_queue_first(&r->queue);
        }
        if (count == 0)
            return;
        send_batch(r, batch, count);
    }
}

/* Takes what the client's process asks.  Returns false when it is over. */
static bool obey(struct relay *r)
{
    int control = r->polls[CONTROL_AT].fd;
    int asked = control_is_asked(control);
    if (asked <= 0)
        return asked == 0;
    struct control_message m = {.kind = CONTROL_SAMPLE};
    m.relay = r->counts;
    return control_send(control, &m) == 0;
}

static bool run(struct relay *r, struct failure *failure)
{
    for (;;) {
        const struct relay_item *first = relay_queue_first(&r->queue);
        uint64_t now_ns = clock_now_ns();
        uint64_t wait_ns = first == NULL            ? NS_PER_S
                           : first->due_ns > now_ns ? first->due_ns - now_ns
                                                    : 0;
        struct timespec wait = {.tv_sec = (time_t)(wait_ns / NS_PER_S),
                                .tv_nsec = (long)(wait_ns % NS_PER_S)};
        int ready = ppoll(r->polls, FLOWS_AT + r->flow_count, &wait, NULL);
        if (ready < 0 && errno != EINTR)
            return failure_set(failure, "the relay cannot wait: %s", strerror(errno));
        if (ready > 0 && r->polls[CONTROL_AT].revents != 0 && !obey(r))
            return true;
        if (ready > 0 && r->polls[DOOR_AT].revents != 0)
            receive(r, r->polls[DOOR_AT].fd, -1);
        for (uint32_t i = 0; ready > 0 && i < r->flow_count; i++) {
            if (r->polls[FLOWS_AT + i].revents != 0)
                receive(r, r->polls[FLOWS_AT + i].fd, (int)i);
        }
        deliver(r);
    }
}

/* Opens the socket of the clients on a free port of loopback, and says where it is. */
static bool open_door(struct relay *r, int control, struct failure *failure)
{
    struct address_list at;
    const char *text = address_is_v6(&r->server) ? "[::1]:0" : "127.0.0.1:0";
    if (!address_resolve(text, "relay", 0, &at, failure))
        return false;
    int fd = open_socket(&at.items[0], false);
    if (fd < 0)
        return failure_set(failure, "the relay has no socket: %s", strerror(-fd));
    r->polls[DOOR_AT] = (struct pollfd){.fd = fd, .events = POLLIN};

    struct control_message ready = {.kind = CONTROL_READY};
    ready.address_size = sizeof(ready.address);
    if (getsockname(fd, (struct sockaddr *)&ready.address, &ready.address_size) != 0)
        return failure_set(failure, "the relay has no address: %s", strerror(errno));
    (void)control_send(control, &ready); /* the client has ended: run() sees it */
    return true;
}

bool relay_process_serve(const struct options *o, int control, struct failure *failure)
{
    struct address_list server;
    if (!address_resolve(o->connect, "--connect", 1, &server, failure))
        return false;

    static struct relay relay;
    relay.options = o;
    relay.server = server.items[0];
    relay.random = (o->seed + 1) * UINT64_C(0x9e3779b97f4a7c15) | 1;
    relay.polls[DOOR_AT].fd = -1; /* none yet */
    relay.polls[CONTROL_AT] = (struct pollfd){.fd = control, .events = POLLIN};
    /* Control packets of a peer may be larger than ours: up to what fits Ethernet in any case. */
    uint32_t slot_size = endpoint_mtu(o, false) < 2048 ? 2048 : endpoint_mtu(o, false);
    uint32_t capacity = QUEUE_BYTES / slot_size < QUEUE_MAX ? QUEUE_BYTES / slot_size : QUEUE_MAX;
    if (!relay_queue_init(&relay.queue, capacity, slot_size))
        return failure_set(failure, "out of memory");
    bool is_good = open_door(&relay, control, failure) && run(&relay, failure);
    for (uint32_t i = DOOR_AT; i < FLOWS_AT + relay.flow_count; i++)
        (void)close(relay.polls[i].fd); /* -1: no harm */
    relay_queue_deinit(&relay.queue);
    return is_good;
}
