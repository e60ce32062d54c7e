/* SPDX-License-Identifier: MIT */
/* Compares kinds of system calls: MiB/s by the size of a datagram and the datagrams per batch.
 *
 *   io_uring   one sendmsg request per datagram, one io_uring_enter per batch   (uring/send.c)
 *   sendmmsg   one call per batch
 *   GSO        trains of at most 64 datagrams and 64 KiB, the batch in one io_uring_enter
 *
 * Loopback; the sender on the first CPU, a receiver that drains with GRO on the second.  What
 * counts is what the receiver got: the sender waits when more than WINDOW_BYTES are in flight, so
 * that sockets do not overflow.  Datagrams that they drop anyway are waited for once and counted.
 *
 * The reference for the check is the datagrams themselves: each arrives once, in order and
 * unchanged. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/udp.h>
#include <pthread.h>
#include <sched.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "bench/micro/benches.h"
#include "proto/base/compiler.h"
#include "uring/ring.h"
#include "uring/send.h"
#include "uring/socket.h"

enum {
    SIZE_LARGEST = 8192,
    BATCH_LARGEST = 500,
    BUFFERS = 16,
    WINDOW_BYTES = 1 << 20,
    SOCKET_BYTES = 32 << 20,
    CELL_NS = 20000000,
    REPETITIONS_MAX = 5, /* a cell: 4 x 5 x 3 of them take their time */
    STALL_NS = 20000000,
};

static const uint32_t sizes[] = {512, 1400, 4096, SIZE_LARGEST};
static const uint32_t batches[] = {1, 10, 50, 100, BATCH_LARGEST};
static const char *const ways[] = {"io_uring", "sendmmsg", "GSO"};
enum { BY_RING, BY_MMSG, BY_GSO, WAYS };

struct sender {
    struct su_ring ring;
    struct su_send send;
    struct su_socket socket;
    bool has_ring;
    struct su_address to;
    struct mmsghdr messages[BATCH_LARGEST];
    struct iovec parts[BATCH_LARGEST];
    uint8_t bytes[BATCH_LARGEST][SIZE_LARGEST];
};

static struct sender *sender_create(const struct su_address *to)
{
    struct sender *s = calloc(1, sizeof(*s));
    micro_check(s != NULL, "memory");
    s->to = *to;
    struct su_socket_config config = {.peer = *to, .send_bytes = SOCKET_BYTES};
    micro_check(su_address_parse("127.0.0.1:0", &config.local) == 0, "an address");
    micro_check(su_socket_open(&s->socket, &config, NULL) == 0, "a socket");
    int error = su_ring_init(
        &s->ring, &(struct su_ring_config){.sq_count = 2 * BATCH_LARGEST, .file_count = 1});
    s->has_ring = error == 0;
    if (s->has_ring) {
        micro_check(su_send_init(&s->send, &s->ring, BATCH_LARGEST, false) == 0 &&
                        su_ring_enable(&s->ring) == 0 &&
                        su_socket_attach(&s->socket, &s->ring) == 0,
                    "a ring");
    } else {
        (void)fprintf(stderr, "spate-micro: without io_uring: %s\n", strerror(-error));
    }
    for (uint32_t i = 0; i < BATCH_LARGEST; i++) {
        s->parts[i].iov_base = s->bytes[i];
        s->messages[i].msg_hdr = (struct msghdr){.msg_iov = &s->parts[i], .msg_iovlen = 1};
    }
    return s;
}

static void sender_destroy(struct sender *s)
{
    if (s->has_ring)
        micro_check(su_ring_stop(&s->ring) == 0, "the end of a ring");
    su_socket_close(&s->socket);
    if (s->has_ring) {
        su_send_deinit(&s->send);
        su_ring_deinit(&s->ring);
    }
    free(s);
}

/* Datagram `number`, for the check. */
static void fill(uint8_t *at, uint32_t number, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        at[i] = (uint8_t)(number * 131 + i * 7 + (i >> 8) * 13);
}

static void send_mmsg(struct sender *s, uint32_t size, uint32_t batch, bool with_content)
{
    for (uint32_t i = 0; i < batch; i++) {
        s->parts[i].iov_len = size;
        if (with_content)
            fill(s->bytes[i], i, size);
    }
    for (uint32_t sent = 0; sent < batch;) {
        int count = sendmmsg(s->socket.fd, s->messages + sent, batch - sent, 0);
        micro_check(count > 0, "sendmmsg()");
        sent += (uint32_t)count;
    }
}

/* The batch as trains of up to `train_max` datagrams. */
static void send_ring(struct sender *s, uint32_t size, uint32_t batch, uint32_t train_max,
                      bool with_content)
{
    uint32_t busy_count = 0;
    for (uint32_t number = 0; number < batch;) {
        struct su_send_slot *slot = su_send_take(&s->send);
        micro_check(slot != NULL, "a transmit slot");
        uint32_t count = SB_MIN(batch - number, train_max);
        for (uint32_t i = 0; with_content && i < count; i++)
            fill(slot->data + i * size, number + i, size);
        const struct su_train train = {
            .socket = &s->socket, .destination = s->to, .size = count * size, .segment_size = size};
        micro_check(su_send_commit(&s->send, slot, &train) == 0, "a send is queued");
        number += count;
        busy_count++;
    }
    while (busy_count > 0) {
        struct su_completion completions[64];
        uint32_t count;
        micro_check(su_ring_enter(&s->ring, SB_S) == 0, "io_uring_enter()");
        while ((count = su_ring_completions(&s->ring, completions, SB_COUNT(completions))) > 0) {
            for (uint32_t i = 0; i < count; i++) {
                struct su_sent sent;
                if (su_send_done(&s->send, &completions[i], &sent)) {
                    micro_check(sent.error == 0, "a send");
                    busy_count--;
                }
            }
        }
    }
}

static void send_batch(struct sender *s, int way, uint32_t size, uint32_t batch, bool with_content)
{
    uint32_t in_train = SB_MIN((uint32_t)SU_SEGMENT_COUNT_MAX, (uint32_t)SU_TRAIN_SIZE_MAX / size);
    if (way == BY_MMSG)
        send_mmsg(s, size, batch, with_content);
    else
        send_ring(s, size, batch, way == BY_GSO ? in_train : 1, with_content);
}

/* ---- The receiver ---- */

struct receiver {
    int fd;
    struct su_address address;
    pthread_t thread;
    _Atomic uint64_t bytes;
    _Atomic bool is_over;
    struct mmsghdr messages[BUFFERS];
    struct iovec parts[BUFFERS];
    uint8_t buffers[BUFFERS][1 << 16];
};

static void pin(uint32_t cpu)
{
    cpu_set_t set;
    CPU_ZERO(&set);
    CPU_SET(cpu % (uint32_t)sysconf(_SC_NPROCESSORS_ONLN), &set);
    (void)sched_setaffinity(0, sizeof(set), &set); /* where it is not allowed: unpinned */
}

static struct receiver *receiver_create(bool has_gro)
{
    struct receiver *r = calloc(1, sizeof(*r));
    micro_check(r != NULL, "memory");
    struct sockaddr_in local = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    socklen_t size = sizeof(local);
    int bytes = SOCKET_BYTES, on = has_gro;
    struct timeval patience = {.tv_usec = 50000};
    r->fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (setsockopt(r->fd, SOL_SOCKET, SO_RCVBUFFORCE, &bytes, sizeof(bytes)) != 0)
        (void)setsockopt(r->fd, SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
    micro_check(setsockopt(r->fd, IPPROTO_UDP, UDP_GRO, &on, sizeof(on)) == 0 &&
                    setsockopt(r->fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience)) == 0 &&
                    bind(r->fd, (const struct sockaddr *)&local, size) == 0 &&
                    getsockname(r->fd, (struct sockaddr *)&local, &size) == 0,
                "a receiver");
    micro_check(su_address_parse("127.0.0.1:0", &r->address) == 0, "an address");
    su_address_set_port(&r->address, ntohs(local.sin_port));
    for (uint32_t i = 0; i < BUFFERS; i++) {
        r->parts[i] = (struct iovec){r->buffers[i], sizeof(r->buffers[i])};
        r->messages[i].msg_hdr = (struct msghdr){.msg_iov = &r->parts[i], .msg_iovlen = 1};
    }
    return r;
}

static void *drain(void *argument)
{
    struct receiver *r = argument;
    pin(1);
    while (!atomic_load_explicit(&r->is_over, memory_order_relaxed)) {
        int count = recvmmsg(r->fd, r->messages, BUFFERS, MSG_WAITFORONE, NULL);
        uint64_t sum = 0;
        for (int i = 0; i < count; i++)
            sum += r->messages[i].msg_len;
        if (count > 0)
            atomic_fetch_add_explicit(&r->bytes, sum, memory_order_release);
    }
    return NULL;
}

static void receiver_destroy(struct receiver *r)
{
    (void)close(r->fd);
    free(r);
}

/* ---- One cell ---- */

struct cell {
    double mib_per_s;
    double lost; /* of what was sent, 0 to 1 */
};

/* Waits until at most `left_max` bytes are on the way; false if nothing moves any more. */
static bool wait_for_room(const struct receiver *r, uint64_t sent, uint64_t left_max)
{
    uint64_t seen = 0, since_ns = 0;
    for (;;) {
        uint64_t got = atomic_load_explicit(&r->bytes, memory_order_acquire);
        if (sent - got <= left_max)
            return true;
        uint64_t now_ns = micro_now_ns();
        if (got != seen || since_ns == 0) {
            seen = got;
            since_ns = now_ns;
        }
        if (now_ns - since_ns > STALL_NS)
            return false;
        sched_yield();
    }
}

static struct cell run_cell(struct sender *s, struct receiver *r, int way, uint32_t size,
                            uint32_t batch)
{
    uint64_t first = atomic_load(&r->bytes), sent = first, lost = 0;
    uint64_t start_ns = micro_now_ns(), stalled_ns = 0;
    while (micro_now_ns() - start_ns < CELL_NS) {
        send_batch(s, way, size, batch, false);
        sent += (uint64_t)size * batch;
        if (!wait_for_room(r, sent, WINDOW_BYTES)) {
            lost += sent - atomic_load(&r->bytes);
            sent = atomic_load(&r->bytes);
            stalled_ns += STALL_NS;
        }
    }
    if (!wait_for_room(r, sent, 0)) {
        lost += sent - atomic_load(&r->bytes);
        stalled_ns += STALL_NS;
    }
    uint64_t ns = micro_now_ns() - start_ns - stalled_ns;
    uint64_t got = atomic_load(&r->bytes) - first;
    return (struct cell){.mib_per_s = (double)got / (1 << 20) / ((double)ns / 1e9),
                         .lost = (double)lost / (double)(got + lost)};
}

static void check_way(struct sender *s, struct receiver *r, int way)
{
    enum { DATAGRAMS = 10 }; /* what a small socket buffer holds of the largest */
    for (size_t i = 0; i < SB_COUNT(sizes); i++) {
        static uint8_t got[1 << 16], want[SIZE_LARGEST];
        send_batch(s, way, sizes[i], DATAGRAMS, true);
        for (uint32_t number = 0; number < DATAGRAMS; number++) {
            fill(want, number, sizes[i]);
            micro_check(recv(r->fd, got, sizeof(got), 0) == (ssize_t)sizes[i] &&
                            memcmp(got, want, sizes[i]) == 0,
                        "a datagram");
        }
    }
}

static void check(void)
{
    struct receiver *r = receiver_create(false);
    struct sender *s = sender_create(&r->address);
    for (int way = 0; way < WAYS; way++) {
        if (way == BY_MMSG || s->has_ring)
            check_way(s, r, way);
    }
    sender_destroy(s);
    receiver_destroy(r);
}

static void time_cells(struct micro *m, struct sender *s, struct receiver *r, uint32_t size,
                       uint32_t batch)
{
    double figures[WAYS][REPETITIONS_MAX], lost[WAYS] = {0};
    uint32_t repetitions = SB_MIN(m->repetitions, (uint32_t)REPETITIONS_MAX);
    for (uint32_t i = 0; i < repetitions; i++) {
        for (int way = 0; way < WAYS; way++) {
            if (way != BY_MMSG && !s->has_ring)
                continue;
            struct cell cell = run_cell(s, r, way, size, batch);
            figures[way][i] = cell.mib_per_s;
            lost[way] = SB_MAX(lost[way], cell.lost);
        }
    }
    for (int way = 0; way < WAYS; way++) {
        char name[64], note[64];
        if (way != BY_MMSG && !s->has_ring)
            continue;
        struct micro_sample sample = micro_sample_of(figures[way], repetitions);
        (void)snprintf(name, sizeof(name), "%s %u B x %u", ways[way], size, batch);
        (void)snprintf(note, sizeof(note), "up to %.1f %% lost", lost[way] * 100);
        micro_row(m, &(struct micro_row){.name = name,
                                         .unit = "MiB/s",
                                         .sample = &sample,
                                         .note = lost[way] > 0 ? note : NULL});
    }
}

static void time_all(struct micro *m)
{
    if (m->is_counting)
        return;
    cpu_set_t before;
    struct receiver *r = receiver_create(true);
    struct sender *s = sender_create(&r->address);
    (void)sched_getaffinity(0, sizeof(before), &before);
    micro_check(pthread_create(&r->thread, NULL, drain, r) == 0, "a thread");
    pin(0);
    for (size_t i = 0; i < SB_COUNT(sizes); i++) {
        for (size_t k = 0; k < SB_COUNT(batches); k++)
            time_cells(m, s, r, sizes[i], batches[k]);
    }
    (void)sched_setaffinity(0, sizeof(before), &before);
    atomic_store(&r->is_over, true);
    (void)pthread_join(r->thread, NULL);
    sender_destroy(s);
    receiver_destroy(r);
}

const struct micro_bench micro_matrix = {
    .name = "matrix",
    .what = "ways to the kernel by size and batch, what a receiver got",
    .check = check,
    .time = time_all,
};
