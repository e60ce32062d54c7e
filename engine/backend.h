/* SPDX-License-Identifier: MIT */
#ifndef SE_BACKEND_H
#define SE_BACKEND_H

#include <spate/engine.h>

#include "uring/ring.h"

/* Returns the back-end for a configuration of `asked`: never SPATE_BACKEND_AUTO.  If AUTO falls
 * back to mmsg, writes one line with the reason to `warning`; otherwise leaves it untouched. */
enum spate_backend se_backend_choose(enum spate_backend asked, struct spate_error *warning);

enum su_backend se_backend_of_ring(enum spate_backend backend);

#endif
