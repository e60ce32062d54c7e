/* SPDX-License-Identifier: MIT */
#ifndef SE_PREFER_H
#define SE_PREFER_H

#include "proto/wire/types.h"

struct spate_conn;

/* Client: the server prefers other addresses.  Begins to move to one of them, the one of the family
 * in use if there is one.  Returns false if that is not possible: the connection stays where it is.
 * [RFC9000 9.6.1] */
bool se_prefer_follow(struct spate_conn *conn, const struct sp_preferred *preferred);

/* Returns whether a client whose server is at `now` may be led to `to`.  [RFC9000 21.5.3] */
bool se_prefer_is_allowed(const struct sp_addr *to, const struct sp_addr *now);

#endif
