/* SPDX-License-Identifier: MIT */
/* A QUIC peer on ngtcp2 and GnuTLS to test against.  peer_options.h says how it is called.
 *
 * One thread, one socket (two if the server prefers another address), poll().  The client has one
 * connection, the server as many as come. */

#include <errno.h>
#include <poll.h>
#include <signal.h>
#include <string.h>
#include <sys/signalfd.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/time.h"
#include "test/interop/ng_conn.h"

#define DATAGRAM_MAX  65536
#define RECEIVE_BATCH 64 /* datagrams taken before the connections may send */

#define INITIAL_SIZE_MIN 1200 /* of what is answered by Version Negotiation [RFC9000 6.1] */

static uint64_t clock_now_ns(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SB_S + (uint64_t)now.tv_nsec;
}

/* Answers a datagram of a version that we do not speak [RFC9000 6.1]. */
static void send_version_negotiation(struct ng_endpoint *endpoint, const ngtcp2_version_cid *vc,
                                     const struct peer_datagram *d)
{
    uint8_t buffer[NG_PACKET_MAX];
    const uint32_t versions[] = {NGTCP2_PROTO_VER_V1};
    ngtcp2_ssize size = ngtcp2_pkt_write_version_negotiation(
        buffer, sizeof(buffer), 0x55, vc->scid, vc->scidlen, vc->dcid, vc->dcidlen, versions, 1);
    if (size < 0)
        return;
    struct peer_datagram answer = *d;
    answer.data = buffer;
    answer.size = (size_t)size;
    answer.ecn = 0;
    (void)peer_udp_send(&endpoint->udp, &answer);
}

/* The connection that a datagram belongs to, which may be a new one; NULL if it belongs to none. */
static struct ng_conn *find_conn(struct ng_endpoint *endpoint, const struct peer_datagram *d,
                                 uint64_t now_ns)
{
    ngtcp2_version_cid vc;
    int e = ngtcp2_pkt_decode_version_cid(&vc, d->data, d->size, NG_CID_SIZE);
    /* Newer versions of the library accept more than version 1, which is what we offer. */
    bool is_other = e == 0 && vc.version != 0 && vc.version != NGTCP2_PROTO_VER_V1;
    if ((e == NGTCP2_ERR_VERSION_NEGOTIATION || (is_other && d->size >= INITIAL_SIZE_MIN)) &&
        endpoint->options->is_server)
        send_version_negotiation(endpoint, &vc, d);
    if (e != 0 || is_other)
        return NULL;
    SB_LIST_EACH(link, &endpoint->conns) {
        struct ng_conn *conn = SB_CONTAINER_OF(link, struct ng_conn, link);
        if (ng_conn_has_cid(conn, vc.dcid, vc.dcidlen))
            return conn;
    }
    ngtcp2_pkt_hd hd;
    if (!endpoint->options->is_server || ngtcp2_accept(&hd, d->data, d->size) != 0)
        return NULL;
    return ng_conn_accept(endpoint, &hd, d, now_ns);
}

static void receive_batch(struct ng_endpoint *endpoint, struct peer_udp *udp)
{
    static uint8_t buffer[DATAGRAM_MAX];
    for (uint32_t i = 0; i < RECEIVE_BATCH && udp->fd >= 0; i++) {
        struct peer_datagram d = {.data = buffer, .size = sizeof(buffer)};
        int e = peer_udp_receive(udp, &d);
        if (e == -EAGAIN)
            return;
        if (e == -ECONNREFUSED) { /* only the socket of a client is told so */
            SB_LIST_EACH(link, &endpoint->conns)
                ng_conn_on_refused(SB_CONTAINER_OF(link, struct ng_conn, link));
            continue;
        }
        if (e < 0) {
            ng_endpoint_fail(endpoint, "receive: %s", strerror(-e));
            return;
        }
        uint64_t now_ns = clock_now_ns();
        struct ng_conn *conn = find_conn(endpoint, &d, now_ns);
        if (conn != NULL)
            ng_conn_receive(conn, &d, now_ns);
    }
}

/* Lets every connection do what is due and send; takes away those that have ended. */
static void turn_conns(struct ng_endpoint *endpoint)
{
    uint64_t now_ns = clock_now_ns();
    SB_LIST_EACH(link, &endpoint->conns) {
        struct ng_conn *conn = SB_CONTAINER_OF(link, struct ng_conn, link);
        if (ng_conn_deadline_ns(conn) <= now_ns)
            ng_conn_on_deadline(conn, now_ns);
        ng_conn_flush(conn, now_ns);
        if (conn->state == NG_CONN_ENDED) {
            ng_conn_destroy(conn);
            endpoint->ended_count++;
        }
    }
}

static bool has_ended(const struct ng_endpoint *endpoint)
{
    const struct peer_options *o = endpoint->options;
    uint64_t count = o->is_server ? o->conn_count : 1;
    return count != 0 && endpoint->ended_count >= count;
}

/* Waits for a datagram, a timer or a signal.  Returns false if it was the signal. */
static bool wait(const struct ng_endpoint *endpoint, int signal_fd, uint64_t until_ns)
{
    struct pollfd fds[] = {
        {.fd = endpoint->udp.fd, .events = POLLIN},
        {.fd = signal_fd, .events = POLLIN},
        {.fd = endpoint->preferred.fd, .events = POLLIN}, /* ignored if there is none */
    };
    SB_LIST_EACH(link, &endpoint->conns) {
        const struct ng_conn *conn = SB_CONTAINER_OF(link, struct ng_conn, link);
        until_ns = sb_time_min(until_ns, ng_conn_deadline_ns(conn));
    }
    uint64_t wait_ns = sb_time_since(until_ns, clock_now_ns());
    const struct timespec timeout = {
        .tv_sec = (time_t)(wait_ns / SB_S),
        .tv_nsec = (long)(wait_ns % SB_S),
    };
    (void)ppoll(fds, 3, &timeout, NULL);
    return (fds[1].revents & POLLIN) == 0;
}

static void run(struct ng_endpoint *endpoint, int signal_fd)
{
    const struct peer_options *o = endpoint->options;
    uint64_t start_ns = clock_now_ns();
    uint64_t give_up_ns = start_ns + o->seconds_max * SB_S;
    if (!o->is_server && ng_conn_connect(endpoint, start_ns) == NULL)
        return;
    for (;;) {
        turn_conns(endpoint);
        if (has_ended(endpoint))
            return;
        if (!wait(endpoint, signal_fd, give_up_ns)) {
            if (!o->is_server)
                ng_endpoint_fail(endpoint, "interrupted");
            return;
        }
        if (clock_now_ns() >= give_up_ns) {
            ng_endpoint_fail(endpoint, "not done after %d seconds", (int)o->seconds_max);
            return;
        }
        receive_batch(endpoint, &endpoint->udp);
        receive_batch(endpoint, &endpoint->preferred);
    }
}

static int open_signals(void)
{
    sigset_t signals;
    sigemptyset(&signals);
    sigaddset(&signals, SIGTERM);
    sigaddset(&signals, SIGINT);
    sigprocmask(SIG_BLOCK, &signals, NULL);
    return signalfd(-1, &signals, SFD_CLOEXEC);
}

int main(int argc, char **argv)
{
    static struct ng_endpoint endpoint;
    struct peer_options options;
    if (peer_options_parse(&options, argc, argv) < 0)
        return 1;
    setvbuf(stdout, NULL, _IOLBF, 0);
    int signal_fd = open_signals();
    endpoint.options = &options;
    endpoint.udp.fd = endpoint.preferred.fd = -1;
    pattern_init(&endpoint.pattern);
    sb_list_init(&endpoint.conns);

    if (ng_tls_init(&endpoint.tls, &options) < 0) {
        endpoint.has_failed = true;
    } else {
        int e = options.is_server
                    ? peer_udp_listen(&endpoint.udp, &options.address, options.address_size)
                    : peer_udp_connect(&endpoint.udp, &options.address, options.address_size);
        if (e == 0 && options.prefer_text != NULL)
            e = peer_udp_listen(&endpoint.preferred, &options.preferred, options.preferred_size);
        if (e < 0)
            ng_endpoint_fail(&endpoint, "socket: %s", strerror(-e));
    }
    if (!endpoint.has_failed) {
        if (options.is_server)
            peer_print_listening(&endpoint.udp.local);
        run(&endpoint, signal_fd);
    }

    SB_LIST_EACH(link, &endpoint.conns)
        ng_conn_destroy(SB_CONTAINER_OF(link, struct ng_conn, link));
    ng_tls_deinit(&endpoint.tls);
    peer_udp_close(&endpoint.udp);
    peer_udp_close(&endpoint.preferred);
    close(signal_fd);
    return endpoint.has_failed ? 1 : 0;
}
