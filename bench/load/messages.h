/* SPDX-License-Identifier: MIT */
#ifndef LOAD_MESSAGES_H
#define LOAD_MESSAGES_H

/* What the client and the server of the scenario "messages" agree on: both have a messenger for
 * each connection (<spate/message.h>).
 *
 *     a request        value: how many bytes the reply shall have; number: from 0 in its
 *                      connection.  The reply is payload alone.
 *     a subscription   a message of the client: value: bytes of a publication; number: how many
 *                      publications may be under way at once; time_ns: 1 if they shall arrive in
 *                      order, or 0
 *     a publication    value: its bytes; number: from 0 at its server; time_ns: of its beginning
 *
 * Each of them begins with a head, and the payload of payload.h follows from its first byte on. */

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/uio.h>

#include <spate/spate.h>

#define MESSAGES_ALPN "spate-messages"

enum {
    MESSAGES_HEAD_SIZE = 24,
    MESSAGES_SIZE_MIN = 32, /* of a request and of a publication */
    MESSAGES_SIZE_MAX = 64 << 20,
    MESSAGES_PIECES_MAX = 66, /* a head, and pieces of the payload region */
    MESSAGES_INFLIGHT_MAX = 10000,
    MESSAGES_CHANNEL = 1, /* of those that shall arrive in order */
};

struct messages_head {
    uint64_t value;
    uint64_t number;
    uint64_t time_ns;
};

void messages_write_head(uint8_t ret[MESSAGES_HEAD_SIZE], const struct messages_head *head);

/* Reads the head of a received message.  Returns false if it is too short. */
bool messages_read_head(const struct spate_message *message, struct messages_head *ret);

/* Writes the pieces of a message of `size` bytes: the head, which may be NULL, and payload.  Copies
 * no payload.
 *
 *   size  At most MESSAGES_SIZE_MAX, and at least the size of the head.
 *
 * Returns how many pieces there are. */
size_t messages_pieces(const uint8_t *head, uint64_t size, struct iovec ret[MESSAGES_PIECES_MAX]);

/* Returns whether what follows the first `skip` bytes is the payload. */
bool messages_match(const struct spate_message *message, size_t skip);

/* How both sides make their messengers. */
struct spate_messenger_options messages_options(void);

#endif
