/* SPDX-License-Identifier: MIT */
#ifndef LOAD_OPTIONS_H
#define LOAD_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

struct failure;

enum scenario {
    SCENARIO_NONE,
    SCENARIO_BULK,
    SCENARIO_RR,
    SCENARIO_HANDSHAKE,
    SCENARIO_DATAGRAM,
    SCENARIO_MIXED,
    SCENARIO_IDLE,
    SCENARIO_MESSAGES,
    SCENARIO_LIMIT,
    SCENARIO_SERVE, /* the last kind; those below are one of the kinds with options of their own */
    SCENARIO_BIDI,
    SCENARIO_FANIN,
    SCENARIO_FANOUT,
    SCENARIO_PPS,
    SCENARIO_CHURN,
    SCENARIO_LOSS,
    SCENARIO_PRESSURE,
    SCENARIO_SOAK,
    SCENARIO_COUNT,
};

enum direction {
    DIRECTION_DOWN,
    DIRECTION_UP,
    DIRECTION_BOTH, /* bulk alone: as many streams down as up, at once */
};

enum pattern {
    PATTERN_REQUEST,
    PATTERN_PUBLISH,
};

enum arrival_kind {
    ARRIVALS_POISSON,
    ARRIVALS_UNIFORM,
};

#define SPIN_DEFAULT UINT64_MAX /* --spin was not given */

/* Values of the CPU options besides a CPU's number. */
enum {
    CPU_ANY = -1,     /* do not pin */
    CPU_DEFAULT = -2, /* one CPU for each process where there are two */
};

struct options {
    enum scenario scenario; /* what the command line says */
    enum scenario kind;     /* the scenario that does its work: SCENARIO_BULK to SCENARIO_SERVE */
    bool help;
    bool version;

    uint64_t duration_ns; /* of the measured part of a run; 0: until `bytes` are over or a signal */
    uint64_t warmup_ns;
    uint64_t timeout_ns;
    uint64_t bytes; /* 0: by time */
    uint32_t direction;
    uint64_t streams;
    uint64_t conns;
    uint64_t bulk_conns; /* mixed: beside `conns` */
    uint64_t inflight;
    uint64_t request_bytes;
    uint64_t response_bytes;
    uint64_t message_bytes;
    uint32_t pattern;       /* messages: enum pattern */
    bool ordered;           /* messages: in one channel */
    double rate;            /* 0: closed loop; idle: connections are opened as fast as it goes */
    uint64_t keep_alive_ns; /* of the client; 0: none */
    bool bulk;              /* idle: a download beside */
    uint32_t arrivals;
    bool verify;
    bool vs_limit;
    bool vs_bare;
    bool resume;
    bool early;
    bool first_byte;
    uint64_t pause_ns;
    uint64_t runs; /* of which the median counts */
    bool app_buffers;
    bool app_copies;
    bool batches;
    bool leaks;          /* handshake: fail if memory or descriptors grow with the connections */
    double loss_percent; /* of all datagrams, by the relay between client and server */
    double late_percent; /* .. that it delivers late_ns after the others */
    uint64_t late_ns;
    uint64_t delay_ns;     /* of each datagram, one way */
    uint64_t seed;         /* of what the relay chooses */
    uint64_t hold_ns;      /* bulk: what the receiving client holds each slice for */
    uint64_t interval_ns;  /* soak: between two points; 0: a 60th of the duration */
    uint64_t memory_bytes; /* memory_bytes_max of each side; 0: the library's default */
    uint64_t slots;        /* receive_slots and transmit_slots; 0: the library's defaults */
    double burden_percent; /* CPU time that each turn wastes, of what it took */

    uint32_t backend;          /* enum spate_backend */
    uint32_t crypto;           /* enum spate_crypto */
    uint32_t retry;            /* enum spate_retry */
    uint32_t cc;               /* enum spate_congestion */
    uint32_t kernel_pacing;    /* enum spate_kernel_pacing */
    uint32_t profile;          /* enum spate_profile; 0: none */
    uint64_t rate_limit;       /* bytes per second of each connection; 0: none */
    uint64_t shard_rate_limit; /* .. of all of a side */
    uint64_t cc_rate;          /* bytes per second, of a fixed rate */
    const char *listen;
    const char *connect; /* NULL: a server of our own */
    const char *name;
    uint64_t shards;  /* of the server; 0: one per CPU */
    uint64_t sockets; /* of the client; 0: options_sockets() chooses */
    int server_cpu;
    int client_cpu;
    uint64_t mtu;         /* 0: what fits 1500 bytes of IP */
    uint32_t cipher_bits; /* as in spate_tls_options; 0: all */
    const char *cipher;
    bool busy_poll;
    bool epoll;
    bool own_ring;
    bool zero_copy;
    uint64_t spin_us; /* or SPIN_DEFAULT */
    const char *cert;
    const char *key;
    const char *ca;
    bool insecure;
    const char *cert_out;
    const char *reset_key; /* a file */
    const char *server_id; /* hexadecimal; NULL: connection IDs are random */
    const char *lb_key;    /* hexadecimal; NULL: server IDs are in clear */
    const char *keylog;
    const char *qlog;

    const char *json;
    const char *hist;
};

/* Reads the command line.
 *
 *   argv  Texts of *ret point into it.
 *
 * Returns false and sets `failure` for the first thing that is wrong. */
bool options_parse(int argc, char **argv, struct options *ret, struct failure *failure);

/* Returns the number of sockets that the client spreads its connections over: one, or enough of
 * them for the server's shards. */
uint32_t options_sockets(const struct options *o);

/* Returns whether the scenario's result is bytes that have arrived. */
bool options_moves_bytes(const struct options *o);

/* Returns whether it is requests that have been answered, maybe beside bytes. */
bool options_has_requests(const struct options *o);

/* Returns whether datagrams go through a relay. */
bool options_has_relay(const struct options *o);

/* The text of --help. */
void options_print_help(FILE *file);

const char *options_scenario_name(enum scenario scenario);

#endif
