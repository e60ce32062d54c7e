/* SPDX-License-Identifier: MIT */
#include "test/sim/steps.h"

uint64_t qs_steps;

/* Called by each basic block of code that is built to be counted; its name is the compiler's. */
void __sanitizer_cov_trace_pc(void);

__attribute__((visibility("default"))) void __sanitizer_cov_trace_pc(void)
{
    qs_steps++;
}
