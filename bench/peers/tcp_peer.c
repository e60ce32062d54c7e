/* SPDX-License-Identifier: MIT */
/* The work over one TCP connection: with TLS 1.3 of OpenSSL (AES-128-GCM, records of 16 KB), or
 * with --plain as it is.
 *
 * Blocking sockets, one thread per side: a side with nothing to read sleeps.  rr is pipelined: all
 * requests that one read brought are processed, and all their responses are written with one call,
 * in the order of the requests.  That is the least that rr can cost here.  Unlike with streams, one
 * lost segment delays everything after it.
 *
 * Reads ahead (SSL_CTX_set_read_ahead), so that one call to the kernel brings many records. */

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <openssl/err.h>
#include <openssl/ssl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include "bench/load/clock.h"
#include "bench/peers/run.h"

#define CHUNK         (128 * 1024) /* what bulk offers and takes in one call, as iperf3 does */
#define READ_AHEAD    (256 * 1024)
#define QUIET_SECONDS 10 /* after so long without data the other side counts as ended */
#define BATCH_BYTES   (PLAN_INFLIGHT_BYTES_MAX + CHUNK)

/* One end of a connection; `ssl` is NULL with --plain. */
struct tcp_end {
    int fd;
    SSL_CTX *context;
    SSL *ssl;
};

static bool fail_ssl(struct failure *failure, const char *what)
{
    char text[256] = "no reason given";
    unsigned long error = ERR_get_error();
    if (error != 0)
        ERR_error_string_n(error, text, sizeof(text));
    return failure_set(failure, "%s: %s", what, text);
}

static bool fail_errno(struct failure *failure, const char *what)
{
    return failure_set(failure, "%s: %s", what, strerror(errno));
}

static bool configure_socket(int fd, struct failure *failure)
{
    const int on = 1;
    const struct timeval quiet = {.tv_sec = QUIET_SECONDS};
    if (setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &quiet, sizeof(quiet)) < 0 ||
        setsockopt(fd, SOL_SOCKET, SO_SNDTIMEO, &quiet, sizeof(quiet)) < 0)
        return fail_errno(failure, "cannot configure the socket");
    return true;
}

static bool make_context(const struct plan *plan, bool is_server, SSL_CTX **ret,
                         struct failure *failure)
{
    SSL_CTX *context = SSL_CTX_new(is_server ? TLS_server_method() : TLS_client_method());
    *ret = context;
    if (context == NULL || SSL_CTX_set_min_proto_version(context, TLS1_3_VERSION) != 1 ||
        SSL_CTX_set_ciphersuites(context, "TLS_AES_128_GCM_SHA256") != 1)
        return fail_ssl(failure, "cannot set up TLS");
    SSL_CTX_set_read_ahead(context, 1);
    SSL_CTX_set_default_read_buffer_len(context, READ_AHEAD);
    SSL_CTX_set_num_tickets(context, 0);
    if (is_server)
        return (SSL_CTX_use_certificate_chain_file(context, plan->cert) == 1 &&
                SSL_CTX_use_PrivateKey_file(context, plan->key, SSL_FILETYPE_PEM) == 1) ||
               fail_ssl(failure, "cannot load --cert and --key");
    SSL_CTX_set_verify(context, SSL_VERIFY_PEER, NULL);
    return SSL_CTX_load_verify_locations(context, plan->cert, NULL) == 1 ||
           fail_ssl(failure, "cannot trust --cert");
}

/* Nothing to do without a context: --plain. */
static bool handshake(struct tcp_end *end, bool is_server, struct failure *failure)
{
    if (end->context == NULL)
        return true;
    end->ssl = SSL_new(end->context);
    if (end->ssl == NULL || SSL_set_fd(end->ssl, end->fd) != 1 ||
        (is_server ? SSL_accept(end->ssl) : SSL_connect(end->ssl)) != 1)
        return fail_ssl(failure, "the handshake has failed");
    return true;
}

static void close_end(struct tcp_end *end)
{
    SSL_free(end->ssl);
    SSL_CTX_free(end->context);
    if (end->fd >= 0)
        (void)close(end->fd);
}

/* Reads at least one byte; returns 0 if the other side has ended or nothing came for
 * QUIET_SECONDS. */
static size_t read_some(const struct tcp_end *end, uint8_t *data, size_t size)
{
    size_t count = 0;
    if (end->ssl != NULL)
        return SSL_read_ex(end->ssl, data, size, &count) == 1 ? count : 0;
    ssize_t got = recv(end->fd, data, size, 0);
    return got > 0 ? (size_t)got : 0;
}

static bool write_all(const struct tcp_end *end, const uint8_t *data, size_t size)
{
    size_t done = 0;
    if (end->ssl != NULL)
        return SSL_write_ex(end->ssl, data, size, &done) == 1;
    while (done < size) {
        ssize_t count = send(end->fd, data + done, size - done, MSG_NOSIGNAL);
        if (count <= 0)
            return false;
        done += (size_t)count;
    }
    return true;
}

/* ---- The server ---- */

static void serve_upload(const struct tcp_end *end, struct run_shared *shared)
{
    static uint8_t buffer[CHUNK];
    uint64_t received = 0;
    for (;;) {
        size_t size = read_some(end, buffer, sizeof(buffer));
        if (size == 0)
            return;
        received += size;
        atomic_store_explicit(&shared->received_bytes, received, memory_order_relaxed);
    }
}

static void serve_download(const struct tcp_end *end)
{
    const uint8_t *payload = plan_payload();
    for (uint64_t at = 0; write_all(end, payload + at, CHUNK);)
        at = (at + CHUNK) % PLAN_PAYLOAD_SIZE;
}

/* Answers all complete requests with one write, until the client has ended. */
static void serve_requests(const struct plan *plan, const struct tcp_end *end)
{
    static uint8_t in[BATCH_BYTES];
    size_t held = 0;
    for (;;) {
        size_t size = read_some(end, in + held, sizeof(in) - held);
        if (size == 0)
            return;
        held += size;
        uint64_t answer = 0;
        size_t at = 0;
        for (; held - at >= plan->request_bytes; at += plan->request_bytes)
            answer += plan_read_header(in + at);
        memmove(in, in + at, held - at);
        held -= at;
        if (answer > PLAN_PAYLOAD_SIZE || (answer > 0 && !write_all(end, plan_payload(), answer)))
            return;
    }
}

static void serve_client(const struct plan *plan, struct tcp_end *end, struct run_shared *shared)
{
    uint8_t header[PLAN_HEADER_SIZE];
    if (plan->is_rr) {
        serve_requests(plan, end);
        return;
    }
    for (size_t held = 0; held < sizeof(header);) {
        size_t size = read_some(end, header + held, sizeof(header) - held);
        if (size == 0)
            return;
        held += size;
    }
    if (plan_read_header(header) == 0)
        serve_upload(end, shared);
    else
        serve_download(end);
}

static bool serve(const struct plan *plan, struct run_shared *shared, struct failure *failure)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    socklen_t address_size = sizeof(address);
    struct tcp_end end = {.fd = -1};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    if (!plan->is_plain && !make_context(plan, true, &end.context, failure)) {
        close_end(&end);
        return false;
    }
    int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (listener < 0 || bind(listener, (struct sockaddr *)&address, address_size) < 0 ||
        listen(listener, 1) < 0 ||
        getsockname(listener, (struct sockaddr *)&address, &address_size) < 0)
        return fail_errno(failure, "cannot listen");
    atomic_store(&shared->port, ntohs(address.sin_port));
    end.fd = accept4(listener, NULL, NULL, SOCK_CLOEXEC);
    bool is_good = end.fd >= 0 || fail_errno(failure, "cannot accept");
    is_good = is_good && configure_socket(end.fd, failure) && handshake(&end, true, failure);
    if (is_good)
        serve_client(plan, &end, shared);
    close_end(&end);
    (void)close(listener);
    return is_good;
}

/* ---- The client ---- */

static bool fail_gone(struct run *run)
{
    return failure_set(&run->failure, "the server has gone");
}

static bool drive_bulk(struct run *run, const struct tcp_end *end)
{
    static uint8_t buffer[CHUNK];
    uint8_t request[PLAN_HEADER_SIZE];
    bool is_up = run->plan->is_up;

    plan_write_request(run->plan, is_up ? 0 : UINT64_MAX, request);
    if (!write_all(end, request, sizeof(request)))
        return fail_gone(run);
    for (uint64_t at = 0; !run->is_over; at = (at + CHUNK) % PLAN_PAYLOAD_SIZE) {
        run_turn(run, clock_now_ns());
        if (is_up && !write_all(end, plan_payload() + at, CHUNK))
            return fail_gone(run);
        if (is_up)
            continue;
        size_t size = read_some(end, buffer, sizeof(buffer));
        if (size == 0)
            return fail_gone(run);
        run->received_bytes += size;
    }
    return true;
}

/* When each request on its way was started; answers come in that order.
 * Invariant: at < inflight. */
struct starts {
    uint64_t ns[PLAN_INFLIGHT_MAX];
    uint64_t at;
};

static bool drive_requests(struct run *run, const struct tcp_end *end)
{
    static uint8_t out[BATCH_BYTES];
    static uint8_t in[CHUNK];
    static struct starts starts;
    const struct plan *plan = run->plan;
    uint64_t due = plan->inflight; /* to be sent now */
    uint64_t held = 0;             /* of an answer that is not complete */

    for (uint64_t i = 0; i < plan->inflight; i++)
        plan_write_request(plan, plan->response_bytes, out + i * plan->request_bytes);
    uint64_t now_ns = clock_now_ns();
    for (uint64_t i = 0; i < plan->inflight; i++)
        starts.ns[i] = now_ns;
    while (!run->is_over) {
        run_turn(run, now_ns);
        if (due > 0 && !write_all(end, out, due * plan->request_bytes))
            return fail_gone(run);
        size_t size = read_some(end, in, sizeof(in));
        if (size == 0)
            return fail_gone(run);
        now_ns = clock_now_ns();
        held += size;
        for (due = 0; held >= plan->response_bytes; due++) {
            held -= plan->response_bytes;
            run_answer(run, starts.ns[starts.at], now_ns);
            starts.ns[starts.at] = now_ns; /* the next one is sent in its place */
            starts.at = starts.at + 1 == plan->inflight ? 0 : starts.at + 1;
        }
    }
    return true;
}

static bool drive(struct run *run)
{
    struct sockaddr_in address = {.sin_family = AF_INET};
    struct tcp_end end = {.fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)};

    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    address.sin_port = htons((uint16_t)atomic_load(&run->shared->port));
    bool is_good =
        end.fd >= 0 && connect(end.fd, (struct sockaddr *)&address, sizeof(address)) == 0;
    if (!is_good)
        (void)fail_errno(&run->failure, "cannot connect");
    is_good =
        is_good && configure_socket(end.fd, &run->failure) &&
        (run->plan->is_plain || make_context(run->plan, false, &end.context, &run->failure)) &&
        handshake(&end, false, &run->failure);
    if (is_good && end.ssl != NULL)
        (void)snprintf(run->cipher, sizeof(run->cipher), "%s", SSL_get_cipher_name(end.ssl));
    is_good = is_good && (run->plan->is_rr ? drive_requests(run, &end) : drive_bulk(run, &end));
    close_end(&end);
    return is_good;
}

int main(int argc, char **argv)
{
    const struct run_stack stack = {.name = "peer-tcp", .serve = serve, .drive = drive};
    return run_main(argc, argv, &stack);
}
