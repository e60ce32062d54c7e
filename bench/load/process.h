/* SPDX-License-Identifier: MIT */
#ifndef LOAD_PROCESS_H
#define LOAD_PROCESS_H

#include <stdbool.h>
#include <sys/types.h>

#include "bench/load/control.h"

struct failure;
struct options;

/* The process of our own server: a fork of this one, made while there is no ring. */
struct server_process {
    pid_t pid;
    int control; /* see control.h */
};

/* The main function of that process: sends READY on `control`, answers messages, and returns when
 * the client sends QUIT or has ended.  If it returns false with `failure` set, FAILED is sent. */
typedef bool (*server_process_work)(const struct options *o, int control, struct failure *failure);

/* The work of a QUIC server. */
bool server_process_serve(const struct options *o, int control, struct failure *failure);

/* Forks the server and waits until it listens.
 *
 *   cpu         The CPU on which it runs, or CPU_ANY.
 *   *ret_ready  Its address and certificate.
 *
 * Returns false and sets `failure` if it does not start; then no process is left. */
bool server_process_start(const struct options *o, server_process_work work, int cpu,
                          struct server_process *ret, struct control_message *ret_ready,
                          struct failure *failure);

/* Ends the server, by force if it does not listen.  If it has died by itself, its reason is put
 * in the place of the one that `failure` has: the client's sight of it is only a
 * consequence. */
void server_process_stop(struct server_process *p, struct failure *failure);

#endif
