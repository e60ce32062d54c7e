/* SPDX-License-Identifier: MIT */
/* Handshakes over memory: what each side's TLS and packet keys cost, without packets.
 *
 * Both ends are those of crypto/, with a certificate of P-256 that the client trusts.  The time is
 * the thread's CPU time in the functions of one side, from making it to freeing it; six looks at
 * the clock a handshake are in it, 0.2 us each.  Each handshake must complete, and resume or not as
 * its kind says: that is the check.
 *
 * The instructions of one side, over all handshakes of all kinds that run, by callgrind:
 *
 *     valgrind --tool=callgrind --toggle-collect='server_side*' spate-micro --quick handshake */

#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "bench/micro/benches.h"
#include "crypto/protect.h"
#include "crypto/self_signed.h"
#include "crypto/tls.h"
#include "crypto/tls_config.h"
#include "proto/base/compiler.h"

enum { KEYS_MAX = 16, HANDSHAKES = 50, TICKET_SIZE_MAX = 4096, FLIGHT_SIZE_MAX = 8192 };

enum side { SERVER, CLIENT, SIDES };

/* All of a kind: what its ends have in common, and the ticket that its client resumes with. */
struct kind {
    const char *rows[SIDES];
    bool resumes, is_early, remembers;
    struct sc_tls_config *configs[SIDES];
    uint8_t ticket[TICKET_SIZE_MAX];
    size_t ticket_size;
    uint64_t spent_ns[SIDES];
};

struct end {
    struct sp_tls *tls;
    struct sp_key *keys[KEYS_MAX];
    size_t key_count;
    uint64_t said[SP_LEVELS], taken[SP_LEVELS];
    bool is_complete;
};

static struct kind kinds[] = {
    {.rows = {"full, server", "full, client"}},
    {.rows = {"full, server of the next", "full, client that remembers"}, .remembers = true},
    {.rows = {"resumed, server", "resumed, client"}, .resumes = true},
    {.rows = {"0-RTT, server", "0-RTT, client"}, .resumes = true, .is_early = true},
};

static const struct sp_tls_ops *const ops = &sc_tls_ops;

static uint64_t cpu_now_ns(void)
{
    struct timespec now;
    (void)clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
    return (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
}

static void add_key(struct end *end, struct sp_key *key)
{
    micro_check(key != NULL && end->key_count < KEYS_MAX, "handshake: a key");
    end->keys[end->key_count++] = key;
}

static void keep_ticket(struct kind *kind, struct end *end)
{
    struct sb_bytes ticket;
    if (!ops->ticket(end->tls, &ticket) || kind->ticket_size > 0)
        return;
    micro_check(ticket.size <= TICKET_SIZE_MAX, "handshake: a ticket of usual size");
    memcpy(kind->ticket, ticket.data, ticket.size);
    kind->ticket_size = ticket.size;
}

static void pull(struct kind *kind, struct end *end)
{
    struct sp_tls_event event;
    for (ops->next(end->tls, &event); event.kind != SP_TLS_NONE; ops->next(end->tls, &event)) {
        micro_check(event.kind != SP_TLS_ALERT && event.kind != SP_TLS_EXCESS, "handshake: fails");
        if (event.kind == SP_TLS_CRYPTO)
            end->said[event.level] += event.size;
        if (event.kind == SP_TLS_SECRET)
            add_key(end,
                    sc_protect_ops.key(NULL, 1, event.suite, event.secret.data, event.secret.size));
        if (event.kind == SP_TLS_COMPLETE)
            end->is_complete = true;
        if (event.kind == SP_TLS_TICKET)
            keep_ticket(kind, end);
    }
}

static void begin(struct kind *kind, struct end *end, enum side side)
{
    /* initial_max_data and the like, 1 MiB each [RFC9000 18.2] */
    static const uint8_t params[] = {4, 4, 0x80, 0x10, 0, 0, 5, 4, 0x80, 0x10, 0, 0,
                                     6, 4, 0x80, 0x10, 0, 0, 7, 4, 0x80, 0x10, 0, 0};
    static const struct sp_cid dcid = {.size = 8, .bytes = {1, 2, 3, 4, 5, 6, 7, 8}};
    struct sp_key *keys[2];
    const struct sb_bytes ticket = {.data = kind->ticket, .size = kind->ticket_size};
    bool resumes = side == CLIENT && kind->resumes && ticket.size > 0;
    *end = (struct end){0};
    bool is_made = sc_tls_create(kind->configs[side], side == CLIENT ? "localhost" : NULL,
                                 &end->tls, NULL) == 0 &&
                   (!resumes || sc_tls_resume(end->tls, ticket, kind->is_early) == 0) &&
                   sc_protect_ops.initial(NULL, 1, &dcid, side == CLIENT ? SP_CLIENT : SP_SERVER,
                                          &keys[0], &keys[1]) &&
                   ops->start(end->tls, params, sizeof(params));
    micro_check(is_made, "handshake: an end");
    add_key(end, keys[0]);
    add_key(end, keys[1]);
    pull(kind, end);
}

/* Gives `to` what `from` has said since.  Returns whether that was anything. */
static bool deliver(struct kind *kind, struct end *from, struct end *to)
{
    static uint8_t flight[FLIGHT_SIZE_MAX]; /* as if it had come by a network */
    bool is_any = false;
    for (unsigned i = 0; i < SP_LEVELS; i++) {
        enum sp_level level = (enum sp_level)i;
        size_t size = (size_t)(from->said[i] - to->taken[i]);
        if (size == 0)
            continue;
        micro_check(size <= sizeof(flight), "handshake: a flight of usual size");
        memcpy(flight, ops->bytes(from->tls, level, to->taken[i], size), size);
        to->taken[i] += size;
        ops->receive(to->tls, level, flight, size);
        pull(kind, to);
        is_any = true;
    }
    return is_any;
}

static void finish(struct end *end)
{
    for (size_t i = 0; i < end->key_count; i++)
        sc_protect_ops.destroy(end->keys[i]);
    ops->destroy(end->tls);
}

enum step { BEGIN, DELIVER, FINISH };

static bool take_step(struct kind *kind, struct end *ends, enum side side, enum step step)
{
    uint64_t start_ns = cpu_now_ns();
    bool is_any = false;
    if (step == BEGIN)
        begin(kind, &ends[side], side);
    else if (step == DELIVER)
        is_any = deliver(kind, &ends[1 - side], &ends[side]);
    else
        finish(&ends[side]);
    kind->spent_ns[side] += cpu_now_ns() - start_ns;
    return is_any;
}

#if __has_attribute(noipa)
#define ONE_FUNCTION __attribute__((noipa))
#else
#define ONE_FUNCTION SB_NEVER_INLINE
#endif

/* Of these names for callgrind. */
bool server_side(struct kind *kind, struct end *ends, enum step step);
bool client_side(struct kind *kind, struct end *ends, enum step step);

ONE_FUNCTION bool server_side(struct kind *kind, struct end *ends, enum step step)
{
    bool is_any = take_step(kind, ends, SERVER, step);
    __asm__ volatile("" : : : "memory");
    return is_any;
}

ONE_FUNCTION bool client_side(struct kind *kind, struct end *ends, enum step step)
{
    bool is_any = take_step(kind, ends, CLIENT, step);
    __asm__ volatile("" : : : "memory");
    return is_any;
}

static void run_one(struct kind *kind)
{
    struct end ends[SIDES];
    bool is_resumed = kind->resumes && kind->ticket_size > 0;
    bool is_any = true;
    (void)client_side(kind, ends, BEGIN);
    (void)server_side(kind, ends, BEGIN);
    while (is_any) {
        is_any = server_side(kind, ends, DELIVER);
        is_any |= client_side(kind, ends, DELIVER);
    }
    micro_check(ends[SERVER].is_complete && ends[CLIENT].is_complete &&
                    sc_tls_is_resumed(ends[CLIENT].tls) == is_resumed,
                "handshake: it completes, and resumes as its kind says");
    (void)client_side(kind, ends, FINISH);
    (void)server_side(kind, ends, FINISH);
}

static void set_up(struct kind *kind)
{
    static const char *const alpn[] = {"bench"};
    static const struct sc_self_signed_options certificate = {.key_type = SC_KEY_P256};
    char *cert = NULL, *key = NULL;
    micro_check(sc_self_signed(&certificate, &cert, &key, NULL) == 0, "handshake: a certificate");
    const struct sc_tls_options server = {
        .role = SP_SERVER,
        .cert_pem = cert,
        .key_pem = key,
        .alpn = alpn,
        .alpn_count = 1,
        .ticket_count = kind->resumes,
        .accepts_early = kind->is_early,
    };
    const struct sc_tls_options client = {
        .role = SP_CLIENT,
        .ca_pem = cert,
        .alpn = alpn,
        .alpn_count = 1,
        .verified_life_s = kind->remembers ? 3600 : 0,
    };
    micro_check(sc_tls_config_create(&server, &kind->configs[SERVER], NULL) == 0 &&
                    sc_tls_config_create(&client, &kind->configs[CLIENT], NULL) == 0,
                "handshake: a configuration");
    sc_self_signed_free(cert);
    sc_self_signed_free(key);
}

static void tear_down(struct kind *kind)
{
    for (int side = 0; side < SIDES; side++) {
        sc_tls_config_unref(kind->configs[side]);
        kind->configs[side] = NULL;
    }
    kind->ticket_size = 0;
}

/* The first of each kind gives the ticket, or is remembered. */
static void check(void)
{
    for (size_t i = 0; i < SB_COUNT(kinds); i++) {
        set_up(&kinds[i]);
        for (int n = 0; n < 3; n++)
            run_one(&kinds[i]);
        micro_check((kinds[i].ticket_size > 0) == kinds[i].resumes, "handshake: a ticket");
        tear_down(&kinds[i]);
    }
}

static void time_all(struct micro *m)
{
    static double us[SB_COUNT(kinds)][SIDES][MICRO_REPETITIONS_MAX];
    if (m->is_counting)
        return; /* of both sides together, that says little: see above */
    for (size_t i = 0; i < SB_COUNT(kinds); i++) {
        set_up(&kinds[i]);
        run_one(&kinds[i]);
    }
    for (uint32_t n = 0; n < m->repetitions; n++)
        for (size_t i = 0; i < SB_COUNT(kinds); i++) {
            memset(kinds[i].spent_ns, 0, sizeof(kinds[i].spent_ns));
            for (int h = 0; h < HANDSHAKES; h++)
                run_one(&kinds[i]);
            for (int side = 0; side < SIDES; side++)
                us[i][side][n] = (double)kinds[i].spent_ns[side] / HANDSHAKES / 1000;
        }
    for (size_t i = 0; i < SB_COUNT(kinds); i++) {
        for (int side = 0; side < SIDES; side++) {
            struct micro_sample sample = micro_sample_of(us[i][side], m->repetitions);
            micro_row(m, &(struct micro_row){
                             .name = kinds[i].rows[side], .unit = "us", .sample = &sample});
        }
        tear_down(&kinds[i]);
    }
}

const struct micro_bench micro_handshake = {
    .name = "handshake",
    .what = "full, resumed and 0-RTT handshakes over memory: CPU time of each side",
    .check = check,
    .time = time_all,
};
