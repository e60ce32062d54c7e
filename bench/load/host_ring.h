/* SPDX-License-Identifier: MIT */
#ifndef LOAD_HOST_RING_H
#define LOAD_HOST_RING_H

#include <stdint.h>

#include <spate/spate.h>

/* An io_uring of the load's own, which it lends to its shard.  Compiled into the program alone: the
 * rest of the load does without liburing. */
struct host_ring;

/* Makes a ring.  Returns 0, or a negative errno. */
int host_ring_open(struct host_ring **ret);

/* What to put into the configuration: valid as long as the ring. */
const struct spate_lent_ring *host_ring_lent(const struct host_ring *ring);

/* Submits, waits until `due_ns`, and hands completions in: a turn follows.  Returns 0, or a
 * negative errno. */
int host_ring_wait(struct host_ring *ring, struct spate_shard *shard, uint64_t due_ns);

/* After the engine was destroyed.  Accepts NULL. */
void host_ring_close(struct host_ring *ring);

#endif
