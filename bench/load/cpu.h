/* SPDX-License-Identifier: MIT */
#ifndef LOAD_CPU_H
#define LOAD_CPU_H

#include <stdbool.h>

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

/* Gives back all CPUs that the process had before the first cpu_pin(). */
void cpu_unpin(void);

#endif
