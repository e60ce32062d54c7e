/* SPDX-License-Identifier: MIT */
#ifndef PEERS_RUN_H
#define PEERS_RUN_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "bench/load/failure.h"
#include <spate/histogram.h>
#include "bench/peers/plan.h"

/* Shared memory in which the server's process reports to the client's. */
struct run_shared {
    _Atomic uint32_t port;           /* 0 until it listens */
    _Atomic uint64_t received_bytes; /* uploads: payload, written by the server alone */
};

/* What is known at one moment of both processes. */
struct run_sample {
    uint64_t now_ns;
    uint64_t server_cpu_ns;
    uint64_t client_cpu_ns;
    uint64_t bytes;
    uint64_t requests;
};

/* One run: connect, load for the warm-up, then the part that counts, between two samples. */
struct run {
    const struct plan *plan;
    struct run_shared *shared;
    struct failure failure;
    pid_t server;
    char cipher[64];     /* what the handshake has agreed on, set by the stack */
    uint64_t started_ns; /* the load began; 0: not yet */
    bool is_measuring;
    bool is_over;
    uint64_t received_bytes; /* downloads: counted by the stack's client */
    uint64_t requests;
    struct run_sample begin;
    struct run_sample end;
    struct spate_histogram latency;
};

/* A way to move bytes.  Both functions return false with the failure set.
 *
 *   serve  The server's process: listens on a port of 127.0.0.1, publishes it, serves one client
 *          until it is killed or the client is gone.
 *   drive  The client's process: connects to that port, does the work, calls run_turn() often and
 *          returns once it is over. */
struct run_stack {
    const char *name;
    bool (*serve)(const struct plan *plan, struct run_shared *shared, struct failure *failure);
    bool (*drive)(struct run *run);
};

/* To be called when the load begins, and then as often as something has happened. */
void run_turn(struct run *run, uint64_t now_ns);

/* Counts a complete response. */
void run_answer(struct run *run, uint64_t start_ns, uint64_t now_ns);

/* The whole program: two processes, each on its CPU, and the result as JSON on standard output with
 * the names that spate-bench uses.  Returns the exit code, after a line on standard error if it is
 * not 0. */
int run_main(int argc, char **argv, const struct run_stack *stack);

#endif
