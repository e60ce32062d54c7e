/* SPDX-License-Identifier: MIT */
#ifndef PEERS_PLAN_H
#define PEERS_PLAN_H

#include <stdbool.h>
#include <stdint.h>

struct failure;

/* The 8 bytes in front of a request: how many bytes of answer it asks for, big endian, as in the
 * performance protocol of QUIC. */
#define PLAN_HEADER_SIZE 8

/* What all uploads and downloads carry, again and again. */
#define PLAN_PAYLOAD_SIZE ((uint64_t)1 << 20)

/* In flight at once, and the bytes of all of it: a peer that writes all it has before it reads
 * again must not fill both socket buffers, or it would wait for itself. */
#define PLAN_INFLIGHT_MAX       1000
#define PLAN_INFLIGHT_BYTES_MAX ((uint64_t)1 << 20)

/* The work of one run, the same for every peer; the names are those of spate-bench:
 *
 *     PROGRAM bulk [--direction down|up] [options]
 *     PROGRAM rr [--inflight N] [--request N] [--response N] [options]
 *
 * Options: --seconds S, --bytes N (and no more than --seconds), --warmup S, --server-cpu N,
 * --client-cpu N, --cert FILE, --key FILE, and
 * --mtu N (over UDP) or --plain (over TCP: without TLS). */
struct plan {
    bool is_rr;
    bool is_up;
    bool is_plain;
    uint64_t inflight;
    uint64_t request_bytes; /* with the header */
    uint64_t response_bytes;
    uint64_t duration_ns; /* of the measured part */
    uint64_t warmup_ns;
    uint64_t mtu; /* bytes of UDP payload in a full datagram */
    int server_cpu;
    int client_cpu;
    uint64_t bytes;           /* bulk: ends after so many; 0: by the time alone */
    uint64_t window_bytes;    /* ngtcp2's credit; 0: what is best on loopback */
    const char *address;      /* of the server, IPv4; NULL: 127.0.0.1 */
    const char *server_netns; /* the network namespace that the server enters, or NULL */
    const char *cert;
    const char *key;
};

/* Fills `ret` from the command line; its strings belong to `argv`.  Returns false and sets
 * `failure` if it is not as above. */
bool plan_parse(struct plan *ret, int argc, char **argv, struct failure *failure);

/* PLAN_PAYLOAD_SIZE bytes that stay as they are. */
const uint8_t *plan_payload(void);

/* Writes the request, `plan->request_bytes` or of bulk PLAN_HEADER_SIZE bytes of it, that asks for
 * `response_bytes`; `ret` must have room for them. */
void plan_write_request(const struct plan *plan, uint64_t response_bytes, uint8_t *ret);

/* What the header asks for. */
uint64_t plan_read_header(const uint8_t header[PLAN_HEADER_SIZE]);

#endif
