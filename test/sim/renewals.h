/* SPDX-License-Identifier: MIT */
#ifndef QS_RENEWALS_H
#define QS_RENEWALS_H

struct qs_world;

/* Has hosts replace the CIDs of all their connections, as `plan->renewals` says, from now on. */
void qs_renewals_begin(struct qs_world *world);

#endif
