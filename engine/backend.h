/* SPDX-License-Identifier: MIT */
#ifndef SE_BACKEND_H
#define SE_BACKEND_H

#include <spate/engine.h>

#include "uring/ring.h"

/* Which back-end an engine gets that asks for `asked`: never SPATE_BACKEND_AUTO.  If AUTO ends at
 * mmsg, `warning` is one line that says why, else it is untouched. */
enum spate_backend se_backend_choose(enum spate_backend asked, struct spate_error *warning);

enum su_backend se_backend_of_ring(enum spate_backend backend);

#endif
