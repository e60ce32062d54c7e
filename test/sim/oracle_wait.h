/* SPDX-License-Identifier: MIT */
#ifndef QS_ORACLE_WAIT_H
#define QS_ORACLE_WAIT_H

#include "test/sim/end.h"

/* Liveness.  Called when `end` has taken its events and sent all that it could, and its timer is
 * set.  Fails the run unless the connection has a reason to send nothing, and either the
 * timer of that reason is armed in the connection and in its host, or the event that it waits for
 * can still come. */
void qs_oracle_check_wait(struct qs_end *end);

struct qs_host;

/* Judges again what the last step of each end of `host` waits for.  Called when the network has
 * fallen silent: what an end waited for may have been lost there. */
void qs_oracle_check_waits(struct qs_host *host);

#endif
