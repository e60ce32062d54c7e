/* SPDX-License-Identifier: MIT */
#ifndef SE_LENT_H
#define SE_LENT_H

#include <spate/config.h>
#include <spate/ring.h>

#include "proto/base/compiler.h"
#include "uring/lent.h"

/* Copies and checks the ring that `config` lends, if it does; otherwise `ret` stays.  Returns 0, or
 * -EINVAL or -E2BIG with one line in `error`. */
SB_MUST_USE int se_lent_take(const struct spate_config *config, struct spate_lent_ring *ret,
                             struct spate_error *error);

/* Returns what uring/ needs to know of a ring that se_lent_take() has accepted. */
struct su_lent_config se_lent_to_uring(const struct spate_lent_ring *lent);

/* Explains why a shard could not be made in a lent ring. */
void se_lent_explain(const struct spate_lent_ring *lent, const char *step, int result,
                     struct spate_error *error);

#endif
