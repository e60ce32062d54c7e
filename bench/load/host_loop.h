/* SPDX-License-Identifier: MIT */
#ifndef LOAD_HOST_LOOP_H
#define LOAD_HOST_LOOP_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

/* How a process of the load waits: in the library's turn or, as a program with a loop of its own
 * does, in an epoll that polls the shard's descriptor. */
struct host_loop {
    bool is_epoll;
    bool is_open; /* there is `epoll_fd` */
    int epoll_fd;
};

/* Waits and runs a turn.  Returns what spate_shard_turn() does, or a negative errno of epoll. */
int host_loop_turn(struct host_loop *loop, struct spate_shard *shard, uint64_t wait_ns);

void host_loop_close(struct host_loop *loop);

#endif
