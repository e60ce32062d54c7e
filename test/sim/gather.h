/* SPDX-License-Identifier: MIT */
#ifndef QS_GATHER_H
#define QS_GATHER_H

#include "test/sim/host.h"

/* Brings datagrams of one size and path that came one after the other together into one buffer, as
 * GRO does; the last of each may be shorter.  Their references move there. */
void qs_gather(struct qs_host *host, struct sp_datagram *datagrams, uint32_t count);

#endif
