/* SPDX-License-Identifier: MIT */
#ifndef ROOFLINE_WIRE_H
#define ROOFLINE_WIRE_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

#include "uring/bufring.h"
#include "uring/recv.h"
#include "uring/ring.h"
#include "uring/send.h"
#include "uring/socket.h"

struct control_message;
struct failure;
struct options;
struct sample;

/* One end of the kernel path: the ring, the slots and the socket of a shard, set up as the
 * engine sets them up by default, and nothing above.  The server's end listens, the client's
 * is connected to it, as in the engine.
 *
 *     wire_open .. wire_turn, again and again .. wire_close        all by one thread */
struct wire {
    struct su_ring ring;
    struct su_bufring bufring;
    struct su_send send;
    struct su_recv recv;
    struct su_socket socket;
    struct su_address peer;  /* AF_UNSPEC: nobody has been heard yet */
    struct su_address local; /* where the peer was heard */
    uint64_t datagrams_in;
    uint64_t busy_ns; /* CPU time of the turns that count; the user's to add to */

    int control;             /* the other process; looked at through the ring */
    bool is_control_ready;   /* server: it has said something, or is gone; client: it is gone */
    bool is_control_watched; /* a poll is in flight */

    int send_error; /* the first that a send met, negative errno */
};

/* What a turn brings; borrowed until the function returns. */
typedef void (*wire_receive)(void *context, const struct su_received *received);

/* Opens an end.  False with `failure` set, and nothing left open.
 *
 *   server   Connect there; NULL: listen where the options say, on a port of the kernel's choice.
 *   control  The socket to the other process; -1: none. */
bool wire_open(struct wire *wire, const struct options *o, const struct control_message *server,
               int control, struct failure *failure);

void wire_close(struct wire *wire);

/* Hands down what is queued, waits up to `timeout_ns` for a completion, and takes all.  `receive`
 * is called for each buffer that came.  False if the ring has failed. */
bool wire_turn(struct wire *wire, uint64_t timeout_ns, wire_receive receive, void *context,
               struct failure *failure);

/* Queues a train of `size` bytes in a slot that su_send_take() gave, to the peer. */
bool wire_send(struct wire *wire, struct su_send_slot *slot, uint32_t size, uint32_t segment_size);

/* The clock, busy_ns as the CPU time, and the counts so far. */
void wire_sample(const struct wire *wire, struct sample *ret);

/* The server's side of the control socket: says READY with the address. */
bool wire_say_ready(const struct wire *wire, struct failure *failure);
/* Answers what has come on it.  False when it is over: QUIT, or the client is gone. */
bool wire_obey(struct wire *wire);

#endif
