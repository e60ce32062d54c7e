/* SPDX-License-Identifier: MIT */
#ifndef LOAD_CONTROL_H
#define LOAD_CONTROL_H

#include <sys/socket.h>

#include "bench/load/relay.h"
#include "bench/load/sample.h"

/* The messages between the client's process and that of its own server, over a socket pair.
 *
 *   server -> client   READY, with its address and its certificate to trust; or FAILED
 *   client -> server   SAMPLE
 *   server -> client   SAMPLE, one for each; they wait in the socket until they are read, so
 *                      that a running client need not stop for the answer
 *   client -> server   QUIT
 *
 * The process of a relay answers like a server, with counts of its own.
 *
 * Either side sees the end of the other one's process as the end of the stream.  Both are the
 * same program, so a message is the plain struct. */
enum control_kind {
    CONTROL_READY = 1,
    CONTROL_FAILED,
    CONTROL_SAMPLE,
    CONTROL_QUIT,
};

struct control_message {
    enum control_kind kind;
    socklen_t address_size;
    struct sockaddr_storage address;
    struct sample sample;
    struct relay_counts relay; /* SAMPLE, of a relay */
    char text[4096];           /* READY: certificate in PEM or ""; FAILED: the reason */
};

/* Makes the two ends.  Returns 0 or a negative errno. */
int control_open(int ret[2]);

/* Returns 0 or a negative errno; -EPIPE if the other process is gone. */
int control_send(int fd, const struct control_message *message);

/* Waits at most `timeout_ns` (0: not at all) for a message.
 * Returns 0, -ETIMEDOUT, -EPIPE (the other process is gone), -EINTR, or another errno. */
int control_receive(int fd, struct control_message *ret, uint64_t timeout_ns);

/* Takes what the client's process asks, without waiting.  Returns 1 if it wants a sample, 0 if it
 * asks nothing, or -EPIPE if it is over: then the process that answers ends. */
int control_is_asked(int fd);

/* Returns true if the other process has ended.  Its earlier messages can still be read. */
bool control_is_hung_up(int fd);

#endif
