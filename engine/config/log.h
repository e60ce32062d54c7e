/* SPDX-License-Identifier: MIT */
#ifndef SE_LOG_H
#define SE_LOG_H

#include <spate/log.h>

#include "proto/base/compiler.h"

/* Takes a program's struct spate_log; NULL makes one that writes nothing.  Returns 0, -EINVAL or
 * -E2BIG, with one line in `error`. */
SB_MUST_USE int se_log_take(const struct spate_log *given, struct spate_log *ret,
                            struct spate_error *error);

/* Writes a line, if `log` wants its level. */
__attribute__((format(printf, 3, 4))) void
se_log_write(const struct spate_log *log, enum spate_log_level level, const char *format, ...);

#endif
