/* SPDX-License-Identifier: MIT */
/* First packets of clients that do not exist, at a server with honest clients.
 *
 *     attacker    Initials with forged sources: addresses of 127.0.0.0/8, each with a port of its
 * own on the wire's other end, and an answer that nobody reads server      an engine with the
 * default configuration transfer    one connection that downloads all the time newcomers   the
 * process itself: connects, measures, closes, and again
 *
 * Quiet times and attacks take turns, and the medians of both count, because the machine has other
 * work.  On loopback two round trips are nothing, so what counts is the bound of 50 ms beside them.
 */

#include <arpa/inet.h>
#include <errno.h>
#include <inttypes.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdarg.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/random.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include <spate/spate.h>

#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "test/attack/forger.h"

enum {
    ROUNDS_MAX = 64,
    SAMPLES_MAX = 100000,
    PIECE_BYTES = 256 * 1024,
    PIECES = 8, /* that the server has lent to its stream at a time */
    EVENTS = 64,
};

enum kind {
    KIND_HELLO, /* a whole ClientHello */
    KIND_PING,  /* nothing but a PING */
    KIND_TAIL,  /* a CRYPTO frame that does not begin at 0 */
};

static const char *const kinds[] = {"hello", "ping", "tail"};
static const char *const backends[] = {"auto", "io_uring", "mmsg"};
static const char *const retries[] = {"auto", "always", "never"};

struct options {
    uint32_t backend;
    uint32_t retry;
    uint32_t kind;
    uint64_t rate; /* per second */
    uint64_t round_ns;
    uint32_t rounds;     /* of a quiet time and an attack each */
    double p99_ms_max;   /* 0: not checked */
    double transfer_min; /* share of the quiet rate */
};

static struct options options = {
    .rate = 3000,
    .round_ns = SB_S,
    .rounds = 6,
};

/* What the processes share. */
struct shared {
    atomic_uint port; /* of the server, once it listens */
    atomic_bool is_attack;
    atomic_ulong transferred_bytes;
    atomic_ulong sent_count;        /* by the attacker */
    atomic_ulong ready_count;       /* processes that have begun their work */
    struct spate_shard_stats stats; /* of the server, since a moment ago */
};

static struct shared *shared;
static char *cert_pem;
static char *key_pem;
static const char *const alpn[] = {"attack"};

__attribute__((noreturn, format(printf, 1, 2))) static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    (void)vfprintf(stderr, format, arguments);
    va_end(arguments);
    (void)fputc('\n', stderr);
    exit(1);
}

static uint64_t now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_MONOTONIC, &now);
    return (uint64_t)now.tv_sec * SB_S + (uint64_t)now.tv_nsec;
}

static struct sockaddr_in loopback(uint32_t port)
{
    return (struct sockaddr_in){
        .sin_family = AF_INET,
        .sin_port = htons((uint16_t)port),
        .sin_addr.s_addr = htonl(INADDR_LOOPBACK),
    };
}

/* ---- engines ---- */

static struct spate_engine *make_engine(struct spate_shard **ret_shard)
{
    struct spate_config config;
    struct spate_engine *engine;
    struct spate_error error = {""};
    spate_config_init(&config);
    config.backend = (enum spate_backend)options.backend;
    config.retry = (enum spate_retry)options.retry;
    config.spin_ns = 0; /* there are more processes here than CPUs */
    if (spate_engine_create(&config, &engine, &error) != 0)
        die("no engine: %s", error.text);
    *ret_shard = spate_engine_shard(engine, 0);
    return engine;
}

static struct spate_tls *make_client_tls(void)
{
    const struct spate_tls_options tls_options = {
        .size = sizeof(tls_options), .ca_pem = cert_pem, .alpn = alpn, .alpn_count = 1};
    struct spate_tls *tls;
    struct spate_error error = {""};
    if (spate_tls_client_create(&tls_options, &tls, &error) != 0)
        die("no TLS: %s", error.text);
    return tls;
}

static struct spate_conn *connect_to(struct spate_shard *shard, struct spate_tls *tls,
                                     uint32_t port)
{
    struct sockaddr_in address = loopback(port);
    struct spate_conn *conn;
    struct spate_error error = {""};
    if (spate_shard_connect(shard, (struct sockaddr *)&address, sizeof(address), "localhost", tls,
                            NULL, &conn, &error) != 0)
        die("no connection: %s", error.text);
    return conn;
}

/* ---- the server ---- */

static void serve_event(struct spate_shard *shard, struct spate_event *event)
{
    static const uint8_t piece[PIECE_BYTES];
    switch (event->kind) {
    case SPATE_EVENT_STREAM_DATA:
        spate_slice_release(shard, &event->u.data.slice);
        for (int i = 0; i < PIECES && event->u.data.fin; i++)
            (void)spate_stream_send(event->conn, event->stream_id, piece, sizeof(piece), false, 0);
        break;
    case SPATE_EVENT_SENT:
        (void)spate_stream_send(event->conn, event->stream_id, piece, sizeof(piece), false, 0);
        break;
    default:
        break;
    }
}

static void serve(void)
{
    struct spate_shard *shard;
    (void)make_engine(&shard);
    const struct spate_tls_options tls_options = {.size = sizeof(tls_options),
                                                  .cert_pem = cert_pem,
                                                  .key_pem = key_pem,
                                                  .alpn = alpn,
                                                  .alpn_count = 1};
    struct spate_tls *tls;
    struct spate_listener *listener;
    struct spate_error error = {""};
    struct sockaddr_in any = loopback(0);
    struct sockaddr_storage bound;
    socklen_t size;
    if (spate_tls_server_create(&tls_options, &tls, &error) != 0 ||
        spate_shard_listen(shard, (struct sockaddr *)&any, sizeof(any), tls, NULL, &listener,
                           &error) != 0 ||
        spate_listener_address(listener, &bound, &size) != 0)
        die("no server: %s", error.text);
    memcpy(&any, &bound, sizeof(any));
    atomic_store(&shared->port, ntohs(any.sin_port));

    struct spate_event events[EVENTS];
    while (spate_shard_turn(shard, 100 * SB_MS) >= 0) {
        uint32_t count;
        while ((count = spate_shard_events(shard, events, EVENTS)) > 0)
            for (uint32_t i = 0; i < count; i++)
                serve_event(shard, &events[i]);
        spate_shard_stats(shard, &shared->stats);
    }
    die("the server's ring failed");
}

/* ---- the established transfer ---- */

static struct spate_conn *transfer_conn;

static void transfer_event(struct spate_shard *shard, struct spate_event *event)
{
    uint64_t id;
    switch (event->kind) {
    case SPATE_EVENT_CONNECTED:
        if (spate_stream_open(transfer_conn, false, &id) != 0 ||
            spate_stream_send(transfer_conn, id, NULL, 0, true, 0) != 0)
            die("no stream");
        atomic_fetch_add(&shared->ready_count, 1);
        break;
    case SPATE_EVENT_STREAM_DATA:
        atomic_fetch_add(&shared->transferred_bytes, event->u.data.slice.size);
        spate_slice_release(shard, &event->u.data.slice);
        break;
    case SPATE_EVENT_CLOSED:
        die("the transfer's connection has closed: %s", event->u.close.reason);
    default:
        break;
    }
}

static void transfer(void)
{
    struct spate_shard *shard;
    (void)make_engine(&shard);
    transfer_conn = connect_to(shard, make_client_tls(), shared->port);
    struct spate_event events[EVENTS];
    while (spate_shard_turn(shard, SPATE_FOREVER) >= 0) {
        uint32_t count;
        while ((count = spate_shard_events(shard, events, EVENTS)) > 0)
            for (uint32_t i = 0; i < count; i++)
                transfer_event(shard, &events[i]);
    }
    die("the transfer's ring failed");
}

/* ---- the attacker ---- */

static int attack_fd = -1;

/* Takes the first packet of a real client, which a socket of ours gets. */
static void take_hello(struct forger *forger)
{
    struct spate_shard *shard;
    struct spate_engine *engine = make_engine(&shard);
    struct spate_tls *tls = make_client_tls();
    struct sockaddr_in own = loopback(0);
    socklen_t size = sizeof(own);
    uint8_t data[2048];
    int fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (fd < 0 || bind(fd, (struct sockaddr *)&own, sizeof(own)) != 0 ||
        getsockname(fd, (struct sockaddr *)&own, &size) != 0)
        die("no socket: %s", strerror(errno));
    (void)connect_to(shard, tls, ntohs(own.sin_port));
    (void)spate_shard_turn(shard, 0);
    (void)spate_shard_turn(shard, 0);
    ssize_t got = recv(fd, data, sizeof(data), 0);
    if (got <= 0 || !forger_take(forger, data, (size_t)got))
        die("the client's first packet cannot be opened");
    (void)close(fd);
    spate_engine_destroy(engine);
    spate_tls_destroy(tls);
}

static void choose_payload(struct forger *forger)
{
    static const uint8_t ping[] = {0x01};
    static const uint8_t tail[] = {0x06, 0x41, 0x01, 0x01, 'z'}; /* one byte of CRYPTO at 257 */
    if (options.kind == KIND_PING)
        forger_set_frames(forger, ping, sizeof(ping));
    else if (options.kind == KIND_TAIL)
        forger_set_frames(forger, tail, sizeof(tail));
}

/* Sends from any address of 127.0.0.0/8. */
static void send_forged(struct forger *forger)
{
    static struct sockaddr_in server;
    uint8_t data[FORGER_DATAGRAM_MAX];
    server = loopback(shared->port);
    union {
        char bytes[CMSG_SPACE(sizeof(struct in_pktinfo))];
        struct cmsghdr align;
    } control = {.bytes = {0}};
    struct iovec iov = {.iov_base = data, .iov_len = forger_make(forger, data)};
    struct msghdr message = {
        .msg_name = &server,
        .msg_namelen = sizeof(server),
        .msg_iov = &iov,
        .msg_iovlen = 1,
        .msg_control = control.bytes,
        .msg_controllen = sizeof(control.bytes),
    };
    struct cmsghdr *cmsg = CMSG_FIRSTHDR(&message);
    cmsg->cmsg_level = IPPROTO_IP;
    cmsg->cmsg_type = IP_PKTINFO;
    cmsg->cmsg_len = CMSG_LEN(sizeof(struct in_pktinfo));
    /* 127.16.0.0 and above: not the honest clients' prefix. */
    uint32_t host = UINT32_C(0x7f100001) + (uint32_t)(forger_random(forger) % 0xe00000);
    const struct in_pktinfo info = {.ipi_spec_dst.s_addr = htonl(host)};
    memcpy(CMSG_DATA(cmsg), &info, sizeof(info));
    if (sendmsg(attack_fd, &message, 0) < 0 && errno != ENOBUFS && errno != EAGAIN)
        die("the attacker cannot send: %s", strerror(errno));
    atomic_fetch_add(&shared->sent_count, 1);
}

static void attack(void)
{
    struct forger forger = {.random = 0};
    if (getrandom(&forger.random, sizeof(forger.random), 0) < 0 || forger.random == 0)
        forger.random = 1;
    take_hello(&forger);
    choose_payload(&forger);
    const struct sockaddr_in any = {.sin_family = AF_INET};
    attack_fd = socket(AF_INET, SOCK_DGRAM, 0);
    if (attack_fd < 0 || bind(attack_fd, (const struct sockaddr *)&any, sizeof(any)) != 0)
        die("no socket: %s", strerror(errno));
    atomic_fetch_add(&shared->ready_count, 1);

    uint64_t due_ns = now_ns();
    for (;;) {
        const struct timespec pause = {.tv_nsec = (long)SB_MS};
        uint64_t now = now_ns();
        if (!atomic_load(&shared->is_attack) || now > due_ns + 100 * SB_MS)
            due_ns = now; /* what was missed is not made up for */
        for (; due_ns < now; due_ns += SB_S / options.rate)
            send_forged(&forger);
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- newcomers, and the turns ---- */

struct samples {
    uint64_t connect_ns[SAMPLES_MAX];
    uint32_t count;
    uint32_t failed_count;
    double rates[ROUNDS_MAX]; /* of the transfer, bytes per second */
    uint32_t round_count;
};

static struct samples samples[2]; /* [is_attack] */
static struct spate_shard *own_shard;

/* Takes events until the connection `conn` has connected, or has failed. */
static bool wait_for(const struct spate_conn *conn)
{
    struct spate_event events[EVENTS];
    for (;;) {
        if (spate_shard_turn(own_shard, SPATE_FOREVER) < 0)
            die("the newcomers' ring failed");
        bool is_connected = false;
        bool is_closed = false;
        uint32_t count = spate_shard_events(own_shard, events, EVENTS);
        for (uint32_t i = 0; i < count; i++) {
            is_connected |= events[i].conn == conn && events[i].kind == SPATE_EVENT_CONNECTED;
            is_closed |= events[i].conn == conn && events[i].kind == SPATE_EVENT_CLOSED;
        }
        if (is_connected || is_closed)
            return is_connected;
    }
}

/* Quiet, or under attack, for one round. */
static void run_round(struct samples *s, struct spate_tls *tls)
{
    struct spate_event events[EVENTS];
    uint64_t begin_ns = now_ns();
    uint64_t begin_bytes = atomic_load(&shared->transferred_bytes);
    while (now_ns() - begin_ns < options.round_ns) {
        uint64_t at_ns = now_ns();
        struct spate_conn *conn = connect_to(own_shard, tls, shared->port);
        bool is_connected = wait_for(conn);
        if (s->count < SAMPLES_MAX) /* one that failed counts with the time until that */
            s->connect_ns[s->count++] = now_ns() - at_ns;
        s->failed_count += !is_connected;
        uint64_t next_ns = now_ns() + 5 * SB_MS;
        while (now_ns() < next_ns) {
            (void)spate_shard_turn(own_shard, SB_MS);
            (void)spate_shard_events(own_shard, events, EVENTS);
        }
        if (is_connected)
            spate_conn_close(conn, 0, "");
    }
    uint64_t bytes = atomic_load(&shared->transferred_bytes) - begin_bytes;
    double seconds = (double)(now_ns() - begin_ns) / (double)SB_S;
    s->rates[s->round_count++] = (double)bytes / seconds;
}

static int compare_u64(const void *a, const void *b)
{
    uint64_t x = *(const uint64_t *)a;
    uint64_t y = *(const uint64_t *)b;
    return (x > y) - (x < y);
}

static int compare_double(const void *a, const void *b)
{
    double x = *(const double *)a;
    double y = *(const double *)b;
    return (x > y) - (x < y);
}

static double ms_at(const struct samples *s, double share)
{
    uint32_t index = (uint32_t)(share * (double)s->count);
    if (s->count == 0)
        return 0;
    return (double)s->connect_ns[index < s->count ? index : s->count - 1] / (double)SB_MS;
}

static double report_half(struct samples *s, const char *name)
{
    qsort(s->connect_ns, s->count, sizeof(s->connect_ns[0]), compare_u64);
    qsort(s->rates, s->round_count, sizeof(s->rates[0]), compare_double);
    double rate = s->rates[s->round_count / 2];
    printf("  %-8s %5u connects, %u failed; p50 %.2f ms, p99 %.2f ms, max %.2f ms; "
           "transfer %.1f MB/s\n",
           name, s->count, s->failed_count, ms_at(s, 0.5), ms_at(s, 0.99), ms_at(s, 1), rate / 1e6);
    return rate;
}

static bool report(void)
{
    printf("%s, retry %s, %s at %" PRIu64 " per second:\n", backends[options.backend],
           retries[options.retry], kinds[options.kind], options.rate);
    double quiet = report_half(&samples[0], "quiet");
    double attacked = report_half(&samples[1], "attack");
    const struct spate_shard_stats *stats = &shared->stats;
    double kept = attacked / quiet;
    printf("  the transfer kept %.0f %%; %lu datagrams sent; the server: %" PRIu64
           " handshakes failed, %" PRIu64 " dropped, %" PRIu64 " evicted, %" PRIu64
           " Retries, %" PRIu64 " tokens, %" PRIu64 " without ClientHello, %.1f MiB at most\n",
           100 * kept, atomic_load(&shared->sent_count), stats->handshakes_failed,
           stats->handshakes_dropped, stats->handshakes_evicted, stats->retries_sent,
           stats->tokens_accepted, stats->initials_without_hello,
           (double)stats->memory_bytes_peak / 1048576);
    if (options.p99_ms_max == 0)
        return true;
    const struct samples *s = &samples[1];
    bool is_held = s->failed_count == 0 && ms_at(s, 0.99) <= options.p99_ms_max &&
                   kept >= options.transfer_min && s->count > 0;
    if (options.kind == KIND_HELLO)
        is_held = is_held && (options.retry == SPATE_RETRY_NEVER || stats->retries_sent > 0);
    else
        is_held = is_held && stats->initials_without_hello > 0;
    printf("%s - honest clients get in and keep their share: %s, %s\n", is_held ? "ok" : "not ok",
           backends[options.backend], kinds[options.kind]);
    return is_held;
}

static void start(void (*run)(void))
{
    pid_t parent = getpid();
    pid_t child = fork();
    if (child < 0)
        die("no process: %s", strerror(errno));
    if (child > 0)
        return;
    (void)prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() == parent)
        run();
    exit(1);
}

static void wait_until(const char *what, uint64_t ready_count)
{
    uint64_t end_ns = now_ns() + 20 * SB_S;
    const struct timespec pause = {.tv_nsec = (long)SB_MS};
    while (atomic_load(&shared->port) == 0 || atomic_load(&shared->ready_count) < ready_count) {
        if (now_ns() > end_ns || waitpid(-1, NULL, WNOHANG) > 0)
            die("%s did not begin", what);
        (void)nanosleep(&pause, NULL);
    }
}

/* ---- the command line ---- */

static uint32_t choice(const char *const *names, uint32_t count, const char *given)
{
    for (uint32_t i = 0; i < count; i++)
        if (strcmp(names[i], given) == 0)
            return i;
    die("unknown value: %s", given);
}

static const char usage[] =
    "usage: attack_initials [--backend auto|io_uring|mmsg] [--retry auto|always|never]\n"
    "                       [--kind hello|ping|tail] [--rate PER-SECOND] [--rounds N]\n"
    "                       [--round-ms N] [--p99-ms MOST] [--transfer SHARE]\n"
    "\n"
    "Sends forged first packets to a server on loopback while honest clients connect and one\n"
    "downloads.  With --p99-ms the exit status tells whether they got what they should.\n";

static void read_options(int argc, char **argv)
{
    for (int i = 1; i < argc; i += 2) {
        const char *name = argv[i];
        if (i + 1 == argc)
            die("%s", usage);
        const char *value = argv[i + 1];
        if (strcmp(name, "--backend") == 0)
            options.backend = choice(backends, SB_COUNT(backends), value);
        else if (strcmp(name, "--retry") == 0)
            options.retry = choice(retries, SB_COUNT(retries), value);
        else if (strcmp(name, "--kind") == 0)
            options.kind = choice(kinds, SB_COUNT(kinds), value);
        else if (strcmp(name, "--rate") == 0)
            options.rate = strtoull(value, NULL, 10);
        else if (strcmp(name, "--rounds") == 0)
            options.rounds = (uint32_t)strtoull(value, NULL, 10);
        else if (strcmp(name, "--round-ms") == 0)
            options.round_ns = strtoull(value, NULL, 10) * SB_MS;
        else if (strcmp(name, "--p99-ms") == 0)
            options.p99_ms_max = strtod(value, NULL);
        else if (strcmp(name, "--transfer") == 0)
            options.transfer_min = strtod(value, NULL);
        else
            die("%s", usage);
    }
    if (options.rate == 0 || options.rounds == 0 || options.rounds > ROUNDS_MAX)
        die("%s", usage);
}

int main(int argc, char **argv)
{
    struct spate_error error = {""};
    const struct spate_self_signed_options certificate = {.size = sizeof(certificate)};
    read_options(argc, argv);
    shared = mmap(NULL, sizeof(*shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (shared == MAP_FAILED || spate_self_signed(&certificate, &cert_pem, &key_pem, &error) != 0)
        die("no memory, or no certificate: %s", error.text);
    (void)setvbuf(stdout, NULL, _IOLBF, 0);

    start(serve);
    wait_until("the server", 0);
    start(transfer);
    start(attack);
    wait_until("the transfer or the attacker", 2);
    struct spate_engine *engine = make_engine(&own_shard);
    struct spate_tls *tls = make_client_tls();
    for (uint32_t i = 0; i < 2 * options.rounds; i++) {
        atomic_store(&shared->is_attack, i % 2 == 1);
        run_round(&samples[i % 2], tls);
    }
    atomic_store(&shared->is_attack, false);
    bool is_held = report();
    spate_engine_destroy(engine);
    spate_tls_destroy(tls);
    spate_free(cert_pem);
    spate_free(key_pem);
    return is_held ? 0 : 1;
}
