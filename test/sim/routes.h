/* SPDX-License-Identifier: MIT */
#ifndef QS_ROUTES_H
#define QS_ROUTES_H

#include "test/sim/end.h"

/* The CIDs and reset tokens by which a host finds an end: what the events of its connection say.
 * One that is added twice, or removed without being there, fails the run. */
void qs_end_add_cid(struct qs_end *end, const struct sp_cid *cid);
void qs_end_remove_cid(struct qs_end *end, const struct sp_cid *cid);
void qs_end_add_token(struct qs_end *end, const uint8_t token[SP_RESET_TOKEN_SIZE]);
void qs_end_remove_token(struct qs_end *end, const uint8_t token[SP_RESET_TOKEN_SIZE]);

#endif
