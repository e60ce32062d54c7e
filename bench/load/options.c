/* SPDX-License-Identifier: MIT */
/* The command line.  One table has everything about an option: its name, its argument, the
 * bounds, the scenarios, and where the value goes.  The parser, the error messages and --help
 * are made from it.  options_check.c has the rules between options. */

#include "bench/load/options.h"

#include <inttypes.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <spate/engine.h>
#include <spate/tls.h>

#include "bench/load/clock.h"
#include "bench/load/failure.h"
#include "bench/load/number.h"
#include "bench/load/options_impl.h"
#include "bench/load/scenarios.h"

#define FIELD(name) offsetof(struct options, name)

enum {
    CONNS_MAX = 500000,      /* twice that many are the most of a shard; see options_check.c too */
    SOCKETS_FOR_SHARDS = 16, /* of a client: the kernel gives each shard some of them */
};

static const char *const directions[] = {"down", "up", "both", NULL};
static const char *const patterns[] = {"request", "publish", NULL};
static const char *const arrival_kinds[] = {"poisson", "uniform", NULL};
static const char *const backends[] = {
    [SPATE_BACKEND_AUTO] = "auto",
    [SPATE_BACKEND_IO_URING] = "io_uring",
    [SPATE_BACKEND_MMSG] = "mmsg",
    NULL,
};

static const char *const cryptos[] = {
    [SPATE_CRYPTO_AUTO] = "auto",
    [SPATE_CRYPTO_OPENSSL] = "openssl",
    [SPATE_CRYPTO_FUSED] = "fused",
    NULL,
};

static const char *const retries[] = {
    [SPATE_RETRY_AUTO] = "auto",
    [SPATE_RETRY_ALWAYS] = "always",
    [SPATE_RETRY_NEVER] = "never",
    NULL,
};

static const char *const congestions[] = {
    [SPATE_CONGESTION_CUBIC] = "cubic",   [SPATE_CONGESTION_NEWRENO] = "newreno",
    [SPATE_CONGESTION_FIXED] = "fixed",   [SPATE_CONGESTION_BBR] = "bbr",
    [SPATE_CONGESTION_PRAGUE] = "prague", NULL,
};

static const char *const kernel_pacings[] = {
    [SPATE_KERNEL_PACING_AUTO] = "auto",
    [SPATE_KERNEL_PACING_OFF] = "off",
    NULL,
};

static const char *const profiles[] = {
    "none",
    [SPATE_PROFILE_LAN] = "lan",
    [SPATE_PROFILE_WAN] = "wan",
    NULL,
};

const struct option_spec option_specs[] = {
    {"seconds", "S", OPTION_SECONDS, FOR_ALL | FOR_LIMIT, FIELD(duration_ns), 0.01, 86400, NULL,
     "how long to measure (5; with --bytes: no limit; serve: until a signal; limit and with "
     "--vs-limit or --vs-bare: each part of each run, 1)"},
    {"warmup", "S", OPTION_SECONDS, FOR_CLIENTS, FIELD(warmup_ns), 0, 3600, NULL,
     "load before the measured part (0.5; with --bytes: none)"},
    {"bytes", "N", OPTION_SIZE, FOR_BULK, FIELD(bytes), 1, 1e15, NULL,
     "move that many bytes in all, such as 500M, 10G, 1Gi, and measure them all"},
    {"direction", "D", OPTION_CHOICE, FOR_STREAMS | FOR_LIMIT, FIELD(direction), 0, 0, directions,
     "down: the server sends; up: the client sends; both: bulk alone (down)"},
    {"streams", "N", OPTION_NUMBER, FOR_STREAMS, FIELD(streams), 1, 10000, NULL,
     "streams at once on each connection of bulk (1)"},
    {"conns", "N", OPTION_NUMBER, FOR_STREAMS | FOR_RR | FOR_DATAGRAM | FOR_MESSAGES | FOR_IDLE,
     FIELD(conns), 1, CONNS_MAX, NULL,
     "connections (1; idle 1,000, and up to 500,000; others up to 10,000); mixed: of requests"},
    {"bulk-conns", "N", OPTION_NUMBER, FOR_MIXED, FIELD(bulk_conns), 0, 1000, NULL,
     "connections of bulk beside those of requests; 0: none, to compare with (1)"},
    {"inflight", "N", OPTION_NUMBER, FOR_REQUESTS | FOR_HANDSHAKE | FOR_MESSAGES | FOR_IDLE,
     FIELD(inflight), 1, 10000, NULL,
     "requests at once on each connection (1), publications (16) or handshakes at once (16)"},
    {"pattern", "P", OPTION_CHOICE, FOR_MESSAGES, FIELD(pattern), 0, 0, patterns,
     "request: the client asks and the server replies; publish: the server sends each message to "
     "all clients (request)"},
    {"ordered", NULL, OPTION_FLAG, FOR_MESSAGES, FIELD(ordered), 0, 0, NULL,
     "in one channel: each message waits for those before it"},
    {"keep-alive", "S", OPTION_SECONDS, FOR_IDLE, FIELD(keep_alive_ns), 0.001, 3600, NULL,
     "silence after which the client sends a PING (30); the idle timeout of our own is four times "
     "that"},
    {"bulk", NULL, OPTION_FLAG, FOR_IDLE, FIELD(bulk), 0, 0, NULL,
     "a download on the first connection, before the others are opened and beside them"},
    {"request", "N", OPTION_SIZE, FOR_REQUESTS | FOR_LIMIT, FIELD(request_bytes), 8, 67108864, NULL,
     "bytes of a request, with the 8 that ask for the answer (64)"},
    {"response", "N", OPTION_SIZE, FOR_REQUESTS | FOR_LIMIT, FIELD(response_bytes), 0, 1e12, NULL,
     "bytes of a response (64)"},
    {"size", "N", OPTION_SIZE, FOR_DATAGRAM | FOR_MESSAGES, FIELD(message_bytes), 1, 67108864, NULL,
     "bytes of a message (100; messages 1,000, of a request and of its reply, and at least 32)"},
    {"rate", "R", OPTION_DECIMAL, FOR_REQUESTS | FOR_DATAGRAM | FOR_IDLE, FIELD(rate), 1, 1e8, NULL,
     "open loop: start R requests a second in all, however fast the answers come, and count "
     "latency from when each was meant to start; datagram: send R messages a second in all; "
     "idle: open R connections a second"},
    {"arrivals", "A", OPTION_CHOICE, FOR_REQUESTS, FIELD(arrivals), 0, 0, arrival_kinds,
     "of --rate: poisson or uniform (poisson)"},
    {"vs-limit", NULL, OPTION_FLAG, FOR_BULK | FOR_RR, FIELD(vs_limit), 0, 0, NULL,
     "compare with the limit of the machine, in turns"},
    {"vs-bare", NULL, OPTION_FLAG, FOR_HANDSHAKE, FIELD(vs_bare), 0, 0, NULL,
     "compare with bare TLS handshakes over memory, in turns"},
    {"resume", NULL, OPTION_FLAG, FOR_HANDSHAKE | FOR_SERVE, FIELD(resume), 0, 0, NULL,
     "resume the session of the first connection; serve: give a ticket to each connection"},
    {"early", NULL, OPTION_FLAG, FOR_HANDSHAKE | FOR_SERVE, FIELD(early), 0, 0, NULL,
     "--resume and --first-byte, with the request in 0-RTT; serve: accept 0-RTT"},
    {"first-byte", NULL, OPTION_FLAG, FOR_HANDSHAKE, FIELD(first_byte), 0, 0, NULL,
     "ask for 64 bytes as soon as that may be sent, and measure until the first one comes"},
    {"pause", "S", OPTION_SECONDS, FOR_HANDSHAKE, FIELD(pause_ns), 0, 10, NULL,
     "let the server rest that long before the next handshake (0)"},
    {"runs", "N", OPTION_NUMBER, FOR_CLIENTS | FOR_LIMIT, FIELD(runs), 1, 99, NULL,
     "how many runs, of which the median counts; needs --vs-limit or --vs-bare (5)"},
    {"verify", NULL, OPTION_FLAG, FOR_ALL, FIELD(verify), 0, 0, NULL,
     "compare every received byte with the pattern that spate-bench sends"},
    {"app-buffers", NULL, OPTION_FLAG, FOR_BULK | FOR_SERVE, FIELD(app_buffers), 0, 0, NULL,
     "receive straight into memory of the receiving application instead of slices"},
    {"app-copies", NULL, OPTION_FLAG, FOR_BULK | FOR_SERVE, FIELD(app_copies), 0, 0, NULL,
     "the receiving application copies slices to memory of its own, for comparison"},
    {"batches", NULL, OPTION_FLAG, FOR_BULK | FOR_DATAGRAM | FOR_SERVE, FIELD(batches), 0, 0, NULL,
     "take received bytes in batches: one event with many slices"},
    {"backend", "B", OPTION_CHOICE, FOR_ALL, FIELD(backend), 0, 0, backends,
     "io_uring; mmsg: epoll, recvmmsg and sendmmsg; auto: io_uring if it is allowed (auto)"},
    {"listen", "ADDR:PORT", OPTION_TEXT, FOR_ALL | FOR_LIMIT, FIELD(listen), 0, 0, NULL,
     "where the server listens (127.0.0.1:0; serve: must be given)"},
    {"connect", "ADDR:PORT", OPTION_TEXT, FOR_CLIENTS, FIELD(connect), 0, 0, NULL,
     "be the client alone, of that server"},
    {"name", "NAME", OPTION_TEXT, FOR_CLIENTS, FIELD(name), 0, 0, NULL,
     "the name to ask for and to find in the certificate (that of --connect)"},
    {"shards", "N", OPTION_NUMBER, FOR_ALL, FIELD(shards), 0, 64, NULL,
     "shards of the server, each with a thread and a CPU; 0: one per CPU (1)"},
    {"sockets", "N", OPTION_NUMBER, FOR_CLIENTS, FIELD(sockets), 1, 48, NULL,
     "sockets of the client; the connections of each reach one shard (1; with --shards 16)"},
    {"server-cpu", "N|any", OPTION_CPU, FOR_ALL | FOR_LIMIT, FIELD(server_cpu), 0, 4095, NULL,
     "CPU of the server (the first, if there are two)"},
    {"client-cpu", "N|any", OPTION_CPU, FOR_CLIENTS | FOR_LIMIT, FIELD(client_cpu), 0, 4095, NULL,
     "CPU of the client (the second, if there are two)"},
    {"mtu", "N", OPTION_NUMBER, FOR_ALL | FOR_LIMIT, FIELD(mtu), 1200, 65507, NULL,
     "at most so many bytes of UDP payload in a datagram (what fits 1500 bytes of IP: 1472, over "
     "IPv6 1452; the library's own default is 8972)"},
    {"busy-poll", NULL, OPTION_FLAG, FOR_ALL, FIELD(busy_poll), 0, 0, NULL,
     "never sleep: spin for packets, both sides, each on its CPU"},
    {"epoll", NULL, OPTION_FLAG, FOR_ALL, FIELD(epoll), 0, 0, NULL,
     "wait in an epoll of the program's own, not in the library's turn, both sides"},
    {"own-ring", NULL, OPTION_FLAG, FOR_ALL, FIELD(own_ring), 0, 0, NULL,
     "wait in an io_uring of the program's own, which it lends to the library, both sides"},
    {"spin", "US", OPTION_NUMBER, FOR_ALL, FIELD(spin_us), 0, 1000000, NULL,
     "spin for at most that many microseconds before sleeping, less where it does not pay; 0 "
     "sleeps at once (500, the library's default)"},
    {"zero-copy", NULL, OPTION_FLAG, FOR_ALL, FIELD(zero_copy), 0, 0, NULL,
     "send without a copy where the network card and the kernel can (not on loopback)"},
    {"cipher", "NAME", OPTION_CIPHER, FOR_ALL | FOR_LIMIT, FIELD(cipher), 0, 0, NULL,
     "aes-128-gcm, aes-256-gcm or chacha20-poly1305 (what the TLS library prefers)"},
    {"crypto", "C", OPTION_CHOICE, FOR_ALL | FOR_LIMIT, FIELD(crypto), 0, 0, cryptos,
     "what does AES-GCM: openssl; fused: our own; auto: fused, where the CPU has VAES (auto)"},
    {"retry", "R", OPTION_CHOICE, FOR_ALL, FIELD(retry), 0, 0, retries,
     "whom the server makes prove its address first: always; never; auto: clients beyond a share "
     "of "
     "the unfinished handshakes (auto)"},
    {"cc", "NAME", OPTION_CHOICE, FOR_ALL, FIELD(cc), 0, 0, congestions,
     "the congestion controller of what is sent: cubic, newreno, bbr, prague, or fixed at "
     "--cc-rate (cubic)"},
    {"profile", "NAME", OPTION_CHOICE, FOR_ALL, FIELD(profile), 0, 0, profiles,
     "settings for a kind of network, --cc included: lan, wan or none (none)"},
    {"cc-rate", "N", OPTION_SIZE, FOR_ALL, FIELD(cc_rate), 1000, 1.25e11, NULL,
     "bytes a second that --cc fixed sends on each connection (125M)"},
    {"kernel-pacing", "K", OPTION_CHOICE, FOR_ALL, FIELD(kernel_pacing), 0, 0, kernel_pacings,
     "auto: the kernel keeps to the times of paced datagrams where the interface has fq; off: the "
     "shard does (auto)"},
    {"rate-limit", "N", OPTION_SIZE, FOR_ALL, FIELD(rate_limit), 1000, 1.25e11, NULL,
     "bytes a second that each connection sends at most (no limit)"},
    {"shard-rate-limit", "N", OPTION_SIZE, FOR_ALL, FIELD(shard_rate_limit), 1000, 1.25e11, NULL,
     "bytes a second that all connections of a side send at most (no limit)"},
    {"cert", "FILE", OPTION_TEXT, FOR_ALL, FIELD(cert), 0, 0, NULL,
     "PEM certificate chain of the server, or with --connect of the client (a fresh "
     "self-signed one)"},
    {"key", "FILE", OPTION_TEXT, FOR_ALL, FIELD(key), 0, 0, NULL, "PEM key of --cert"},
    {"ca", "FILE", OPTION_TEXT, FOR_CLIENTS, FIELD(ca), 0, 0, NULL,
     "PEM certificates to trust (the server's own; with --connect the system's store)"},
    {"insecure", NULL, OPTION_FLAG, FOR_CLIENTS, FIELD(insecure), 0, 0, NULL,
     "do not verify the server's certificate"},
    {"loss", "PERCENT", OPTION_DECIMAL, FOR_RELAYED, FIELD(loss_percent), 0, 50, NULL,
     "a relay between both sides loses so many of all datagrams (0; loss 1)"},
    {"late", "PERCENT", OPTION_DECIMAL, FOR_RELAYED, FIELD(late_percent), 0, 50, NULL,
     "the relay delivers so many of them later than others (0)"},
    {"late-by", "S", OPTION_SECONDS, FOR_RELAYED, FIELD(late_ns), 0, 1, NULL,
     "by how much those are late (0.003)"},
    {"delay", "S", OPTION_SECONDS, FOR_RELAYED, FIELD(delay_ns), 0, 1, NULL,
     "the relay delays each datagram, one way (0; loss 0.005)"},
    {"seed", "N", OPTION_NUMBER, FOR_RELAYED, FIELD(seed), 0, 1e15, NULL,
     "of what the relay chooses (1)"},
    {"memory", "N", OPTION_SIZE, FOR_ALL, FIELD(memory_bytes), 1048576, 1e15, NULL,
     "memory for the state of connections, of each side (1Gi; pressure 16Mi)"},
    {"slots", "N", OPTION_NUMBER, FOR_ALL, FIELD(slots), 2, 16384, NULL,
     "receive and transmit buffers of 64 KiB, of each side (256; pressure 16)"},
    {"hold", "S", OPTION_SECONDS, FOR_BULK, FIELD(hold_ns), 0, 10, NULL,
     "the receiving client holds each slice for so long (0; pressure 0.002)"},
    {"leaks", NULL, OPTION_FLAG, FOR_HANDSHAKE, FIELD(leaks), 0, 0, NULL,
     "fail if memory or descriptors grow with the number of connections (churn)"},
    {"interval", "S", OPTION_SECONDS, FOR_SOAK, FIELD(interval_ns), 0.05, 3600, NULL,
     "time between two points (a 60th of the duration)"},
    {"burden", "PERCENT", OPTION_DECIMAL, FOR_ALL, FIELD(burden_percent), 0, 1000, NULL,
     "waste so much of the time that each turn takes, both sides: a slowdown to try comparisons "
     "with (0)"},
    {"cert-out", "FILE", OPTION_TEXT, FOR_SERVE, FIELD(cert_out), 0, 0, NULL,
     "write the fresh self-signed certificate there, for --ca of clients"},
    {"reset-key", "FILE", OPTION_TEXT, FOR_SERVE, FIELD(reset_key), 0, 0, NULL,
     "32 secret random bytes: a server that is started again with them ends the connections of "
     "the former one at once"},
    {"server-id", "HEX", OPTION_TEXT, FOR_ALL, FIELD(server_id), 0, 0, NULL,
     "connection IDs that load balancers can read, with this server ID of 1 to 12 bytes and a "
     "nonce "
     "up to 16 bytes together"},
    {"lb-key", "HEX", OPTION_TEXT, FOR_ALL, FIELD(lb_key), 0, 0, NULL,
     "encrypt them with this key of 16 bytes"},
    {"keylog", "FILE", OPTION_TEXT, FOR_ALL, FIELD(keylog), 0, 0, NULL,
     "append TLS secrets, so that Wireshark can decrypt a capture"},
    {"qlog", "FOLDER", OPTION_TEXT, FOR_ALL, FIELD(qlog), 0, 0, NULL,
     "write what happens in each connection to a file there, for qvis and other viewers"},
    {"timeout", "S", OPTION_SECONDS, FOR_CLIENTS | FOR_LIMIT, FIELD(timeout_ns), 0.1, 3600, NULL,
     "give up when nothing has moved for that long (5; idle 30)"},
    {"json", "FILE", OPTION_TEXT, FOR_ALL | FOR_LIMIT, FIELD(json), 0, 0, NULL,
     "write the results as one JSON object; - is standard output, without the table"},
    {"hist", "FILE", OPTION_TEXT, FOR_REQUESTS | FOR_HANDSHAKE, FIELD(hist), 0, 0, NULL,
     "write the latencies as a percentile file for the HdrHistogram plotter"},
    {"help", NULL, OPTION_FLAG, FOR_ALL | FOR_LIMIT, FIELD(help), 0, 0, NULL, "print this"},
    {"version", NULL, OPTION_FLAG, FOR_ALL | FOR_LIMIT, FIELD(version), 0, 0, NULL,
     "print the version"},
};
const uint32_t option_spec_count = sizeof(option_specs) / sizeof(option_specs[0]);
_Static_assert(sizeof(option_specs) / sizeof(option_specs[0]) <= OPTIONS_MAX, "each has a flag");

static const struct {
    const char *name;
    uint32_t bit;
} ciphers[] = {
    {"aes-128-gcm", SPATE_CIPHER_AES_128_GCM},
    {"aes-256-gcm", SPATE_CIPHER_AES_256_GCM},
    {"chacha20-poly1305", SPATE_CIPHER_CHACHA20_POLY1305},
};

const char *options_scenario_name(enum scenario scenario)
{
    return scenario_specs[scenario].name;
}

int option_find(const char *name, size_t name_size)
{
    for (uint32_t i = 0; i < option_spec_count; i++) {
        if (strlen(option_specs[i].name) == name_size &&
            memcmp(option_specs[i].name, name, name_size) == 0)
            return (int)i;
    }
    return -1;
}

static void *field_of(struct options *o, const struct option_spec *spec)
{
    return (char *)o + spec->offset;
}

static bool fail_range(const struct option_spec *spec, const char *what, const char *value,
                       struct failure *failure)
{
    return failure_set(failure, "--%s must be %s from %.12g to %.12g, not '%s'", spec->name, what,
                       spec->min, spec->max, value);
}

static bool parse_number(const struct option_spec *spec, const char *value, struct options *o,
                         struct failure *failure)
{
    bool is_size = spec->kind == OPTION_SIZE;
    uint64_t number = 0;
    bool is_good = number_parse_size(value, &number);
    if (is_good && !is_size) /* a plain count takes no unit */
        is_good = strspn(value, "0123456789") == strlen(value);
    if (!is_good || (double)number < spec->min || (double)number > spec->max) {
        char min[32];
        char max[32];
        number_format_size(min, sizeof(min), (uint64_t)spec->min);
        number_format_size(max, sizeof(max), (uint64_t)spec->max);
        return is_size ? failure_set(failure,
                                     "--%s must be a size from %s to %s, such as 1500 or 10M, "
                                     "not '%s'",
                                     spec->name, min, max, value)
                       : fail_range(spec, "a number", value, failure);
    }
    *(uint64_t *)field_of(o, spec) = number;
    return true;
}

static bool parse_decimal(const struct option_spec *spec, const char *value, struct options *o,
                          struct failure *failure)
{
    bool is_time = spec->kind == OPTION_SECONDS;
    double number = 0;
    if (!number_parse_decimal(value, &number) || number < spec->min || number > spec->max)
        return fail_range(spec, is_time ? "seconds" : "a number", value, failure);
    if (is_time)
        *(uint64_t *)field_of(o, spec) = (uint64_t)(number * (double)NS_PER_S);
    else
        *(double *)field_of(o, spec) = number;
    return true;
}

static bool parse_choice(const struct option_spec *spec, const char *value, struct options *o,
                         struct failure *failure)
{
    for (uint32_t i = 0; spec->choices[i] != NULL; i++) {
        if (strcmp(value, spec->choices[i]) == 0) {
            *(uint32_t *)field_of(o, spec) = i;
            return true;
        }
    }
    char names[64] = "";
    for (uint32_t i = 0; spec->choices[i] != NULL; i++) {
        const char *joint = i == 0 ? "" : spec->choices[i + 1] == NULL ? " or " : ", ";
        size_t used = strlen(names);
        (void)snprintf(names + used, sizeof(names) - used, "%s%s", joint, spec->choices[i]);
    }
    return failure_set(failure, "--%s must be %s, not '%s'", spec->name, names, value);
}

static bool parse_cpu(const struct option_spec *spec, const char *value, struct options *o,
                      struct failure *failure)
{
    uint64_t number = 0;
    bool is_any = strcmp(value, "any") == 0;
    if (!is_any && (!number_parse_size(value, &number) || (double)number > spec->max))
        return failure_set(failure, "--%s must be the number of a CPU or 'any', not '%s'",
                           spec->name, value);
    *(int *)field_of(o, spec) = is_any ? CPU_ANY : (int)number;
    return true;
}

static bool parse_cipher(const char *value, struct options *o, struct failure *failure)
{
    for (uint32_t i = 0; i < sizeof(ciphers) / sizeof(ciphers[0]); i++) {
        if (strcmp(value, ciphers[i].name) == 0) {
            o->cipher = ciphers[i].name;
            o->cipher_bits = ciphers[i].bit;
            return true;
        }
    }
    return failure_set(
        failure, "--cipher must be aes-128-gcm, aes-256-gcm or chacha20-poly1305, not '%s'", value);
}

static bool parse_value(const struct option_spec *spec, const char *value, struct options *o,
                        struct failure *failure)
{
    switch (spec->kind) {
    case OPTION_FLAG:
        *(bool *)field_of(o, spec) = true;
        return true;
    case OPTION_NUMBER:
    case OPTION_SIZE:
        return parse_number(spec, value, o, failure);
    case OPTION_SECONDS:
    case OPTION_DECIMAL:
        return parse_decimal(spec, value, o, failure);
    case OPTION_CHOICE:
        return parse_choice(spec, value, o, failure);
    case OPTION_CPU:
        return parse_cpu(spec, value, o, failure);
    case OPTION_CIPHER:
        return parse_cipher(value, o, failure);
    case OPTION_TEXT:
        break;
    }
    if (value[0] == 0)
        return failure_set(failure, "--%s must be %s, not nothing", spec->name, spec->argument);
    *(const char **)field_of(o, spec) = value;
    return true;
}

static bool parse_scenario(const char *word, struct options *o, struct failure *failure)
{
    if (o->scenario != SCENARIO_NONE)
        return failure_set(failure, "'%s' is one word too many: the scenario is %s already", word,
                           options_scenario_name(o->scenario));
    o->scenario = scenario_find(word);
    o->kind = scenario_specs[o->scenario].kind;
    if (o->scenario == SCENARIO_NONE) {
        char names[256];
        scenario_names(names, sizeof(names));
        return failure_set(failure, "no scenario '%s': it must be %s; see spate-bench --help", word,
                           names);
    }
    return true;
}

/* Sets what the scenario presets and the command line does not have. */
static bool apply_presets(struct options *o, const struct options_given *given,
                          struct failure *failure)
{
    const struct scenario_spec *scenario = &scenario_specs[o->scenario];
    for (uint32_t i = 0; i < SCENARIO_PRESETS_MAX && scenario->presets[i].option != NULL; i++) {
        const char *name = scenario->presets[i].option;
        int index = option_find(name, strlen(name));
        if (given->has[index])
            continue;
        if (!parse_value(&option_specs[index], scenario->presets[i].value, o, failure))
            return false;
    }
    return true;
}

/* Parses one option at argv[*at], with its value after '=' or in the next word.  Moves *at to
 * the last word that it took. */
static bool parse_option(int argc, char **argv, int *at, struct options *o,
                         struct options_given *given, struct failure *failure)
{
    const char *name = argv[*at] + 2;
    size_t name_size = strcspn(name, "=");
    const char *value = name[name_size] == '=' ? name + name_size + 1 : NULL;
    int index = option_find(name, name_size);
    if (index < 0)
        return options_fail_unknown(name, name_size, failure);

    const struct option_spec *spec = &option_specs[index];
    if (spec->kind == OPTION_FLAG && value != NULL)
        return failure_set(failure, "--%s takes no value", spec->name);
    if (spec->kind != OPTION_FLAG && value == NULL) {
        if (*at + 1 >= argc)
            return failure_set(failure, "a value is missing after --%s: %s", spec->name,
                               spec->argument);
        value = argv[++*at];
    }
    given->has[index] = true;
    return parse_value(spec, value, o, failure);
}

bool options_moves_bytes(const struct options *o)
{
    return o->kind == SCENARIO_BULK || o->kind == SCENARIO_DATAGRAM || o->kind == SCENARIO_MIXED ||
           o->kind == SCENARIO_SERVE;
}

bool options_has_requests(const struct options *o)
{
    return o->kind == SCENARIO_RR || o->kind == SCENARIO_MIXED;
}

bool options_has_relay(const struct options *o)
{
    return o->loss_percent > 0 || o->late_percent > 0 || o->delay_ns > 0;
}

uint32_t options_sockets(const struct options *o)
{
    return o->sockets > 0 ? (uint32_t)o->sockets : o->shards == 1 ? 1 : SOCKETS_FOR_SHARDS;
}

bool options_parse(int argc, char **argv, struct options *ret, struct failure *failure)
{
    struct options o = {
        .server_cpu = CPU_DEFAULT,
        .client_cpu = CPU_DEFAULT,
        .shards = 1,
        .streams = 1,
        .bulk_conns = 1,
        .request_bytes = 64,
        .response_bytes = 64,
        .message_bytes = 100,
        .timeout_ns = 5 * NS_PER_S,
        .runs = 5,
        .late_ns = 3 * NS_PER_MS,
        .seed = 1,
        .spin_us = SPIN_DEFAULT,
    };
    struct options_given given = {.has = {false}};

    for (int i = 1; i < argc; i++) {
        bool is_good = false;
        if (strcmp(argv[i], "-h") == 0)
            is_good = o.help = true;
        else if (strncmp(argv[i], "--", 2) == 0 && argv[i][2] != 0)
            is_good = parse_option(argc, argv, &i, &o, &given, failure);
        else if (argv[i][0] == '-')
            return failure_set(failure, "unknown option %s; see spate-bench --help", argv[i]);
        else
            is_good = parse_scenario(argv[i], &o, failure);
        if (!is_good)
            return false;
    }
    if (!o.help && !o.version &&
        (!apply_presets(&o, &given, failure) || !options_check(&o, &given, failure)))
        return false;
    *ret = o;
    return true;
}
