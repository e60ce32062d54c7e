/* SPDX-License-Identifier: MIT */
#ifndef QS_NULL_TICKET_H
#define QS_NULL_TICKET_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/bytes.h"

/* The tickets of the null handshake: a hash, a flag, a secret, the server's parameters, and bytes
 * without a meaning. */

enum { QS_TICKET_SECRET_SIZE = 32 };

struct qs_ticket {
    bool allows_early;
    const uint8_t *secret; /* read only: the bytes that are there when it is written */
    struct sb_bytes params;
};

/* Returns the size of a ticket with nothing after its parts. */
size_t qs_ticket_size(const struct qs_ticket *ticket);
/* Writes the parts into `size` random bytes. */
void qs_ticket_write(const struct qs_ticket *ticket, uint8_t *bytes, size_t size);
/* `*ret` points into `bytes`.  False if it is cut or was changed. */
bool qs_ticket_read(struct sb_bytes bytes, struct qs_ticket *ret);

#endif
