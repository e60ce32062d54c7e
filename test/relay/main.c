/* SPDX-License-Identifier: MIT */
/* A path between two network namespaces that a test makes as bad as it likes.  It carries IP
 * packets of any kind, so that the kernel's TCP and QUIC are compared on one path.
 *
 * One thread: reads what both kernels have, in turns and in bounded batches, writes what has
 * arrived, and sleeps until more comes or the next packet arrives. */

#include <errno.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <unistd.h>

#include "test/interop/relay/program.h"
#include "test/relay/options.h"
#include "test/relay/tun.h"

enum { READS_PER_TURN = 16 };

struct ip_relay {
    struct ip_options options;
    struct store store;
    struct line lines[SIDES]; /* from that side */
    int fds[SIDES];
    int poll_fd;
    uint64_t refused_count; /* packets and trains that the kernel did not take */
    uint8_t data[PACKET_SIZE_MAX];
    uint8_t scratch[PACKET_SIZE_MAX];
};

/* Returns whether there may be more to read. */
static bool receive(struct ip_relay *relay, int side)
{
    for (int i = 0; i < READS_PER_TURN; i++) {
        struct virtio_net_hdr vnet;
        ssize_t size = tun_read(relay->fds[side], &vnet, relay->data);
        if (size <= 0)
            return false;
        line_take(&relay->lines[side], &vnet, relay->data, (size_t)size, program_now_ns());
    }
    return true;
}

static void deliver(struct ip_relay *relay, int side)
{
    struct line *line = &relay->lines[side];
    struct parcel_item *parcel;
    while ((parcel = line_give(line, program_now_ns())) != NULL) {
        struct packet_cut cut;
        line_cut(line, parcel, relay->scratch, &cut);
        if (!tun_write(relay->fds[1 - side], &cut))
            relay->refused_count++;
        store_parcel_free(&relay->store, parcel);
    }
}

static void wait(struct ip_relay *relay, const sigset_t *unblocked)
{
    struct epoll_event events[SIDES];
    uint64_t until_ns = WHEEL_NEVER;
    for (int side = 0; side < SIDES; side++) {
        uint64_t next_ns = line_next_ns(&relay->lines[side]);
        until_ns = next_ns < until_ns ? next_ns : until_ns;
    }
    uint64_t now_ns = program_now_ns();
    uint64_t wait_ns = until_ns > now_ns ? until_ns - now_ns : 0;
    struct timespec timeout = {.tv_sec = (time_t)(wait_ns / PROGRAM_NS_PER_S),
                               .tv_nsec = (long)(wait_ns % PROGRAM_NS_PER_S)};
    (void)epoll_pwait2(relay->poll_fd, events, SIDES, until_ns == WHEEL_NEVER ? NULL : &timeout,
                       unblocked);
}

static void print_line(const struct line *line)
{
    const struct line_counts *c = &line->counts;
    link_print(&line->link, stdout);
    printf(", \"trains_in\": %" PRIu64 ", \"trains_out\": %" PRIu64 ", \"packets_out\": %" PRIu64
           ", \"bytes_out\": %" PRIu64 ", \"forgotten\": %" PRIu64,
           c->trains_in, c->trains_out, c->packets_out, c->bytes_out, c->forgotten_count);
}

static void print_report(const struct ip_relay *relay)
{
    printf("{\"to_right\": {");
    print_line(&relay->lines[SIDE_LEFT]);
    printf("}, \"to_left\": {");
    print_line(&relay->lines[SIDE_RIGHT]);
    printf("}, \"refused\": %" PRIu64 ", \"memory_bytes\": %" PRIu64 "}\n", relay->refused_count,
           relay->store.bytes);
    (void)fflush(stdout);
}

static void run(struct ip_relay *relay)
{
    sigset_t unblocked;
    program_block_signals(&unblocked);
    (void)prctl(PR_SET_TIMERSLACK, 1UL);
    (void)prctl(PR_SET_PDEATHSIG, SIGTERM); /* a script that is killed leaves nothing behind */
    printf("ready\n");
    (void)fflush(stdout);
    bool is_over = false;
    while (!is_over) {
        bool is_busy = false;
        for (int side = 0; side < SIDES; side++) {
            is_busy |= receive(relay, side);
            deliver(relay, 1 - side);
            deliver(relay, side);
        }
        if (!is_busy)
            wait(relay, &unblocked);
        is_over = is_busy ? program_is_over() : program_was_ended();
    }
    print_report(relay);
}

/* Returns 0, or the exit status after a line on stderr. */
static int fail(const char *what, int error)
{
    fprintf(stderr, "ip-relay: %s: %s\n", what, strerror(error));
    return EXIT_FAILURE;
}

static int open_sides(struct ip_relay *relay)
{
    static const char *const ipv4[SIDES] = {"10.77.0.1", "10.77.0.2"};
    static const char *const ipv6[SIDES] = {"fd77::1", "fd77::2"};
    for (int side = 0; side < SIDES; side++) {
        const char *what;
        struct tun_config config = {
            .netns = relay->options.netns[side],
            .name = "path",
            .ipv4 = ipv4[side],
            .ipv6 = ipv6[side],
            .mtu = relay->options.mtu,
            .has_offloads = relay->options.has_offloads,
        };
        relay->fds[side] = tun_open(&config, &what);
        if (relay->fds[side] < 0)
            return fail(what, -relay->fds[side]);
        struct epoll_event event = {.events = EPOLLIN};
        if (epoll_ctl(relay->poll_fd, EPOLL_CTL_ADD, relay->fds[side], &event) != 0)
            return fail("epoll", errno);
        if (!line_init(&relay->lines[side], &relay->options.lines[side], &relay->store,
                       relay->options.seed + (uint64_t)side, program_now_ns()))
            return fail("no memory", ENOMEM);
    }
    return 0;
}

int main(int argc, char **argv)
{
    static struct ip_relay relay = {.fds = {-1, -1}};
    int status;
    if (!ip_options_parse(&relay.options, argc, argv, &status))
        return status;
    store_init(&relay.store, relay.options.memory_bytes);
    relay.poll_fd = epoll_create1(EPOLL_CLOEXEC);
    status = relay.poll_fd >= 0 ? open_sides(&relay) : fail("epoll", errno);
    if (status == 0)
        run(&relay);
    for (int side = 0; side < SIDES; side++) {
        line_deinit(&relay.lines[side]);
        if (relay.fds[side] >= 0)
            (void)close(relay.fds[side]);
    }
    if (relay.poll_fd >= 0)
        (void)close(relay.poll_fd);
    store_deinit(&relay.store);
    return status;
}
