/* SPDX-License-Identifier: MIT */
#ifndef LOAD_HOST_LOOP_H
#define LOAD_HOST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

struct host_ring;

/* How a process of the load waits: in the library's turn or, as a program with a loop of its own
 * does, in an epoll that polls the shard's descriptor, or in an io_uring that it lends. */
struct host_loop {
    bool is_epoll;
    struct host_ring *ring; /* NULL: none */
    bool is_open;           /* there is `epoll_fd` */
    int epoll_fd;
};

/* Makes the ring, if that is how the loop waits, before the engine.  Returns 0, or a negative
 * errno.
 */
int host_loop_open(struct host_loop *loop, bool has_ring);

/* The ring for the engine, or NULL. */
const struct spate_lent_ring *host_loop_lent(const struct host_loop *loop);

/* Waits and runs a turn.  Returns what spate_shard_turn() does, or a negative errno of epoll. */
int host_loop_turn(struct host_loop *loop, struct spate_shard *shard, uint64_t wait_ns);

/* After the engine was destroyed. */
void host_loop_close(struct host_loop *loop);

#endif
