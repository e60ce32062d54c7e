/* SPDX-License-Identifier: MIT */
#ifndef SB_STEPS_H
#define SB_STEPS_H

#include <stdint.h>

/* Counts the steps of loops whose length a peer can influence, so that a test can hold a claim
 * about their cost.  Only in builds with debug checks: elsewhere SB_STEP() is nothing. */

#ifdef SB_DEBUG
enum { SB_STEPS_ARE_COUNTED = 1 };
/* Steps of this thread so far.  The model needs no call into the C library. */
extern _Thread_local uint64_t sb_steps __attribute__((tls_model("initial-exec")));
#define SB_STEP()        ((void)sb_steps++)
#define SB_STEPS_COUNT() (sb_steps)
#else
enum { SB_STEPS_ARE_COUNTED = 0 };
#define SB_STEP()        ((void)0)
#define SB_STEPS_COUNT() (UINT64_C(0))
#endif

#endif
