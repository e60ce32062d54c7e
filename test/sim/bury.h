/* SPDX-License-Identifier: MIT */
#ifndef QS_BURY_H
#define QS_BURY_H

#include <stdbool.h>

#include "test/sim/end.h"
#include "test/sim/net.h"

/* The time after the end of a connection. */

/* Makes the end's tombstone, if its connection may be buried and this end is among those that do
 * it.  Returns true if it did: the connection is to be dropped. */
bool qs_end_bury(struct qs_end *end);

/* Forgets the tombstone, if there is one. */
void qs_end_dig_up(struct qs_end *end);

/* A datagram comes to the tombstone.  The wire stays the caller's. */
void qs_end_knock(struct qs_end *end, const struct qs_wire *wire);

#endif
