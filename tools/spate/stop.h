/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STOP_H
#define SPATE_STOP_H

#include <stdbool.h>

struct spate_shard;

/* SIGINT and SIGTERM end the program in order: the handler sets a flag and ends the shard's wait.
 * SIGPIPE is ignored. */

/* Installs the handler.  `shard` is woken by signals until stop_forget(). */
void stop_watch(struct spate_shard *shard);
void stop_forget(void);

/* Catches SIGHUP too, after stop_watch(). */
void stop_watch_hangup(void);

/* Returns true once after a SIGHUP. */
bool stop_take_hangup(void);

/* Returns the number of SIGINT and SIGTERM so far. */
int stop_count(void);

#endif
