/* SPDX-License-Identifier: MIT */
#ifndef LOAD_RELAY_H
#define LOAD_RELAY_H

#include <stdbool.h>
#include <stdint.h>

struct failure;
struct options;

/* Datagrams, of both directions. */
struct relay_counts {
    uint64_t passed;
    uint64_t lost;  /* on purpose */
    uint64_t late;  /* on purpose; of `passed` */
    uint64_t spilt; /* for lack of room: in the relay's queue or in a socket's buffer */
};

/* The work of a process between client and server: loses datagrams and delivers others late, by
 * the options loss_percent, late_percent, late_ns, delay_ns and seed.  See server_process_start().
 *
 *   o->connect  The server's address: every client that the relay hears has a socket to it. */
bool relay_process_serve(const struct options *o, int control, struct failure *failure);

#endif
