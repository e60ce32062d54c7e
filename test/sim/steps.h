/* SPDX-License-Identifier: MIT */
#ifndef QS_STEPS_H
#define QS_STEPS_H

#include <stdint.h>

/* Basic blocks of proto/ that were run so far.  A measure of CPU time that does not depend on the
 * machine: the compiler adds a call to each block (-fsanitize-coverage=trace-pc) of the copy of
 * proto/ that the program sim_counted is linked with.  Where proto/ is not built like that it stays
 * 0. */
extern uint64_t qs_steps;

#endif
