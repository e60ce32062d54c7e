/* SPDX-License-Identifier: MIT */
#ifndef SE_BACKEND_H
#define SE_BACKEND_H

#include <spate/engine.h>

#include "uring/ring.h"

/* Writes why a ring could not be made: the limit that is too small, or what forbids it. */
void se_backend_explain(int error, struct spate_error *ret);

/* Writes the warning of an engine that falls back to mmsg for `reason`. */
void se_backend_warn(const struct spate_error *reason, struct spate_error *ret);

enum su_backend se_backend_of_ring(enum spate_backend backend);

#endif
