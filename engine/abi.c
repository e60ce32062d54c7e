/* SPDX-License-Identifier: MIT */
/* What must not change while the library is libspate.so.0.
 *
 * Events and slices are handed out in arrays, some of them millions of times a second, so they
 * have no size member: their layout is frozen instead.  A later fact about an event that does
 * not fit into the 56 bytes of its union is reached through a pointer in it.  For structs that may
 * grow see engine/sized.h. */

#include <spate/spate.h>

/* On LP64, which is every 64-bit Linux. */
#if __SIZEOF_POINTER__ == 8
#define FROZEN_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "frozen")
#define FROZEN(type, member, at) _Static_assert(offsetof(type, member) == (at), "frozen")
/* clang-format off */

FROZEN_SIZE(struct spate_error, 256);

FROZEN_SIZE(struct spate_slice, 40);
FROZEN(struct spate_slice, data, 0);
FROZEN(struct spate_slice, size, 8);
FROZEN(struct spate_slice, buffer, 16);
FROZEN(struct spate_slice, conn_ref, 24);
FROZEN(struct spate_slice, stream_id, 32);

FROZEN_SIZE(struct spate_close, 24);
FROZEN(struct spate_close, kind, 0);
FROZEN(struct spate_close, is_local, 4);
FROZEN(struct spate_close, error, 8);
FROZEN(struct spate_close, reason, 16);

FROZEN_SIZE(struct spate_event, 96);
FROZEN_SIZE(((struct spate_event *)0)->u, 56);
FROZEN(struct spate_event, kind, 0);
FROZEN(struct spate_event, conn, 8);
FROZEN(struct spate_event, conn_user, 16);
FROZEN(struct spate_event, stream_id, 24);
FROZEN(struct spate_event, stream_user, 32);
FROZEN(struct spate_event, u, 40);
FROZEN(struct spate_event, u.data.slice, 40);
FROZEN(struct spate_event, u.data.offset, 80);
FROZEN(struct spate_event, u.data.fin, 88);
FROZEN(struct spate_event, u.placed.data, 40);
FROZEN(struct spate_event, u.placed.size, 48);
FROZEN(struct spate_event, u.placed.offset, 56);
FROZEN(struct spate_event, u.placed.tag, 64);
FROZEN(struct spate_event, u.placed.fin, 72);
FROZEN(struct spate_event, u.placed.is_returned, 73);
FROZEN(struct spate_event, u.sent.tag, 40);
FROZEN(struct spate_event, u.sent.size, 48);
FROZEN(struct spate_event, u.sent.is_acked, 56);
FROZEN(struct spate_event, u.error, 40);
FROZEN(struct spate_event, u.is_uni, 40);
FROZEN(struct spate_event, u.close, 40);

/* Where these structs grow, their size comes first. */
FROZEN(struct spate_config, size, 0);
FROZEN(struct spate_tls_options, size, 0);
FROZEN(struct spate_self_signed_options, size, 0);
FROZEN(struct spate_handlers, size, 0);

/* clang-format on */
#endif
