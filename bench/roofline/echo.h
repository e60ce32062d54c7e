/* SPDX-License-Identifier: MIT */
#ifndef ROOFLINE_ECHO_H
#define ROOFLINE_ECHO_H

#include <stdbool.h>

#include "bench/load/limit.h"

struct control_message;
struct failure;
struct options;

/* One datagram to the server and one back, one at a time: the floor of a round trip.
 * One io_uring_enter sends and waits for the reply.  When blocking, the process sleeps in it.  When
 * spinning, both sides poll the ring until there is something to complete, and enter then. */

/* The server's processes; see process.h. */
bool echo_serve_blocking(const struct options *o, int control, struct failure *failure);
bool echo_serve_spinning(const struct options *o, int control, struct failure *failure);

/* The client's part: a warm-up, then setup->duration_ns. */
bool echo_run(const struct limit_setup *setup, const struct control_message *server, int control,
              bool is_spinning, struct limit_trip *ret, struct failure *failure);

#endif
