/* SPDX-License-Identifier: MIT */
#ifndef SE_HANDOVER_TALK_H
#define SE_HANDOVER_TALK_H

#include <errno.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/net/handover_wire.h"
#include "proto/base/compiler.h"
#include "uring/pass.h"

struct spate_error;

/* Sends and receives the messages of a hand-over, with one line about what went wrong. */

/* Takes a duplicate of the program's channel.  Returns it, or a negative errno. */
SB_MUST_USE int se_handover_open(int fd, struct spate_error *error);

/* Sends a message with descriptors, which stay the caller's.  Returns 0 or a negative errno:
 * -ECONNRESET if the other end is closed. */
SB_MUST_USE int se_handover_send(int channel, const struct se_handover_message *message,
                                 const int *fds, uint32_t fd_count, struct spate_error *error);

/* Sends a message that is nothing but its kind. */
SB_MUST_USE int se_handover_send_kind(int channel, enum se_handover_kind kind,
                                      struct spate_error *error);

/* Says why this process gives up, if the other one still listens. */
void se_handover_refuse(int channel, const char *reason);

/* Returns whether a result of se_handover_receive() means that nothing has come yet. */
static inline bool se_handover_is_late(int result)
{
    return result == -EAGAIN;
}

/* Waits for a message of a kind until `end_ns`.  Its descriptors are in `fds`, and are the
 * caller's. Returns 0, -EAGAIN, or another negative errno with one line in `error`. */
SB_MUST_USE int se_handover_receive(int channel, enum se_handover_kind kind, uint64_t end_ns,
                                    struct se_handover_message *ret, struct su_pass *fds,
                                    struct spate_error *error);

#endif
