/* SPDX-License-Identifier: MIT */
#ifndef LOAD_CREW_H
#define LOAD_CREW_H

#include <stdbool.h>
#include <stdint.h>

#include "bench/load/sample.h"

struct crew;
struct failure;
struct options;
struct server;

/* The servers of all shards: the caller's thread runs the first one, and each other one has a
 * thread of its own.  With one shard there is no thread. */

/* Opens --shards servers that share an engine and a listener.
 *
 *   avoid  CPU that the threads leave to the client, or CPU_ANY.  With --server-cpu all stay on
 *          that one.
 *
 * Returns false and sets `failure`, or the crew, which is the caller's until crew_close(). */
bool crew_open(const struct options *o, int avoid, struct crew **ret, struct failure *failure);

/* The server that the caller's thread runs. */
const struct server *crew_first(const struct crew *c);

/* Serves for one turn of the first shard, which waits at most `wait_ns`.  Returns false and sets
 * `failure` when one of the shards can serve no more. */
bool crew_turn(struct crew *c, uint64_t wait_ns, struct failure *failure);

/* What has been received and queued so far. */
uint64_t crew_payload_bytes(const struct crew *c);

/* Of the process, and of each shard.  Waits for the other threads: some microseconds. */
void crew_sample(struct crew *c, struct sample *ret);

/* Closes the connections to all clients, and waits for at most `wait_ns` until that is done. */
void crew_say_goodbye(struct crew *c, uint64_t wait_ns);

/* NULL is accepted. */
void crew_close(struct crew *c);

#endif
