/* SPDX-License-Identifier: MIT */
#ifndef OTHER_CLIENT_H
#define OTHER_CLIENT_H

#include "test/support/spate_world.h"

/* A client in a process of its own, so that what it takes is not taken for the server's. */

/* Bytes of a process, and of its shard's budget. */
struct memory_reading {
    int64_t resident_bytes; /* without what the C library keeps for later */
    int64_t counted_bytes;  /* memory_bytes_now */
};

struct memory_reading memory_read(const struct pw_end *end);

/* Forks.  The new process has an engine, which `config_of` has changed, and calls `run` with the
 * client of a world whose server is that of `w`; `run` must not return before it has done all that
 * the test wants.  The process ends with the test. */
void other_client_start(const struct pw *w, void (*config_of)(struct spate_config *config),
                        void (*run)(struct pw *w, const int *fds), const int *fds);

#endif
