/* SPDX-License-Identifier: MIT */
#include "proto/base/steps.h"

#ifdef SB_DEBUG
_Thread_local uint64_t sb_steps;
#endif
