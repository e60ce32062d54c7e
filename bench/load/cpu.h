/* SPDX-License-Identifier: MIT */
#ifndef LOAD_CPU_H
#define LOAD_CPU_H

#include <stdbool.h>
#include <stdint.h>

struct failure;

/* The CPU for a process: `wanted`, or for CPU_DEFAULT the first that this process may use and that
 * is not `avoid`; CPU_ANY if it may use only one. */
int cpu_choose(int wanted, int avoid);

/* Binds the calling thread to a CPU; to be called before it allocates anything.
 *
 *   cpu     A number or CPU_ANY, which does nothing.
 *   option  For the error's text: "--server-cpu".
 *
 * Returns false and sets `failure` if the CPU cannot be used. */
bool cpu_pin(int cpu, const char *option, struct failure *failure);

/* Returns the CPU of a shard's thread: those that the process had before it was pinned in turn,
 * without `avoid` if there is another one. */
int cpu_of_shard(uint32_t index, int avoid);

/* Moves the calling thread to a CPU, if that is possible; CPU_ANY leaves it where it is. */
void cpu_move(int cpu);

/* Gives back all CPUs that the process had before the first cpu_pin(). */
void cpu_unpin(void);

#endif
