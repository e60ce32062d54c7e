/* SPDX-License-Identifier: MIT */
#ifndef LOAD_LIMIT_H
#define LOAD_LIMIT_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

struct failure;
struct options;

/* The limit of the machine, with which results are compared: what the kernel alone and the
 * cipher alone allow.  bench/roofline/ implements it; all other files of this folder use only
 * the public API.
 *
 *     cost of a datagram on a side = the kernel's CPU time + sealing or opening it
 *     limit_gbps                   = payload bits of a datagram / the larger of both costs
 *     limit_cpu_s_per_gb           = both sides' cost / payload bytes of a datagram
 *
 * Payload is what is left for bytes of a stream in a full datagram: see
 * limit_payload_bytes().  So these figures compare with gbps and cpu_s_per_gb of bulk. */

struct limit_trip {
    double p50_us;
    double p99_us;
};

struct limit {
    char cipher[64];   /* the name of its TLS suite */
    uint32_t mtu;      /* bytes of a datagram */
    uint32_t segments; /* datagrams of a train */
    uint32_t payload;  /* bytes of a stream in a datagram */
    double send_ns;    /* the kernel's CPU time per datagram */
    double receive_ns;
    double kernel_gbps; /* payload bits that came through the kernel alone */
    double kernel_lost; /* datagrams that the receiver's socket had no room for */
    double seal_ns;     /* the cipher's time per datagram */
    double open_ns;
    double gbps;                /* the limit */
    double cpu_s_per_gb;        /* CPU time of both sides at the limit */
    double kernel_cpu_s_per_gb; /* CPU time of both sides without the cipher */
    struct limit_trip blocking; /* round trip; both sides sleep while they wait */
    struct limit_trip spinning; /* round trip; both sides spin */
};

/* What to measure. */
enum {
    LIMIT_BULK = 1, /* the kernel path and the cipher */
    LIMIT_TRIP = 2, /* the round trips */
};

struct limit_setup {
    const struct options *options; /* direction, mtu, cipher, CPUs, where the server listens */
    const volatile sig_atomic_t *stop;
    uint64_t duration_ns; /* of each part */
    uint32_t parts;
    const char *cipher; /* as spate_conn_cipher() names it; NULL: that of the options, or AES-128 */
};

/* Measures.  Numbers of parts that were not asked for are NaN.  False with `failure` set if
 * something does not work.  Forks a process: no ring may be open. */
bool limit_measure(const struct limit_setup *setup, struct limit *ret, struct failure *failure);

/* Fills in gbps, cpu_s_per_gb and kernel_cpu_s_per_gb from the costs. */
void limit_derive(struct limit *limit);

/* Bytes of one stream in a datagram of `mtu` bytes: without the short header with a CID of 8 bytes
 * and a packet number of 2, the tag, and the head of a STREAM frame that has an offset
 * beyond 1 GiB and no length. */
uint32_t limit_payload_bytes(uint32_t mtu);

#endif
