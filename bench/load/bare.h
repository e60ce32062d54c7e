/* SPDX-License-Identifier: MIT */
#ifndef LOAD_BARE_H
#define LOAD_BARE_H

#include <stdbool.h>
#include <stdint.h>

struct failure;
struct options;

/* The cost of a handshake's TLS alone: OpenSSL's TLS 1.3 over memory, without a packet, a
 * socket or a ring.  bench/roofline/ implements it. */
struct bare {
    double server_us; /* CPU of a handshake, from SSL_new() to SSL_free() */
    double client_us;
};

struct bare_setup {
    const struct options *options; /* --cert and --key if given, or a fresh key of the same kind */
    const char *cipher;            /* the name of its TLS suite */
    uint64_t duration_ns;
};

/* Measures on the calling thread, both sides in turns: X25519, certificate verified by the client,
 * ALPN, no tickets, as the load generator's handshakes are.  False with `failure` set if
 * something does not work. */
bool bare_measure(const struct bare_setup *setup, struct bare *ret, struct failure *failure);

#endif
