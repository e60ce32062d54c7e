/* SPDX-License-Identifier: MIT */
#ifndef QS_MOVES_H
#define QS_MOVES_H

#include "test/sim/end.h"

/* Clients that move: to other addresses of their own, and to the one that their server prefers. */

/* A client begins to move to `remote` of its server, if that may be, or with NULL to another
 * address of its own. */
void qs_end_move(struct qs_end *end, const struct sp_addr *remote);

struct qs_world;
/* Has all clients move as `plan->moves` says, from now on. */
void qs_moves_begin(struct qs_world *world);

#endif
