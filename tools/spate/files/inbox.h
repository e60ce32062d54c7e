/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_INBOX_H
#define SPATE_FILES_INBOX_H

#include "tools/spate/files/share.h"
#include "tools/spate/files/wire.h"

/* Cuts the bytes of a stream into messages.  One that lies in one slice is read where it is; a part
 * of one is kept here until the rest comes. */
struct files_inbox {
    uint8_t *data; /* NULL, or room for the largest message */
    size_t size;
    struct files_share *share; /* of the connection; NULL: nobody counts */
};

/* Takes one message from the front of `*data`, which is moved on by what was taken.
 *
 *   *ret  Untouched unless 1 is returned.  Valid until the next call, and as long as `*data`.
 *
 * Returns 1; 0 if all bytes were taken and more are needed; -ENOMEM; or another
 * negative number: that is no message. */
int files_inbox_take(struct files_inbox *inbox, const uint8_t **data, size_t *size,
                     struct files_message *ret);

/* Returns whether a message is incomplete. */
bool files_inbox_is_partial(const struct files_inbox *inbox);

void files_inbox_deinit(struct files_inbox *inbox);

#endif
