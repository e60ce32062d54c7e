/* SPDX-License-Identifier: MIT */
/* A leak grows with the number of connections; what a heap and tables take until they are as large
 * as the load needs does not.  Both samples are taken under full load, so what is in use at a time
 * is the same in both, but for its variation: below LEAK_BYTES nothing is said. */

#include "bench/load/leaks.h"

#include <inttypes.h>

#include "bench/load/failure.h"
#include "bench/load/result.h"

/* The library keeps about 550 bytes of a closed connection for a while: at most 8,192 times. */
#define LEAK_BYTES          (8 << 20)
#define LEAK_BYTES_PER_CONN 64
#define LEAK_FDS            16

static bool check_side(const char *name, const struct result *r, const struct sample samples[2],
                       struct failure *failure)
{
    const struct usage *a = &samples[0].usage;
    const struct usage *b = &samples[1].usage;
    uint64_t grown =
        b->heap_used_bytes > a->heap_used_bytes ? b->heap_used_bytes - a->heap_used_bytes : 0;
    uint64_t bytes = r->handshakes > 0 ? grown / r->handshakes : grown;
    if (grown > LEAK_BYTES && bytes > LEAK_BYTES_PER_CONN)
        return failure_set(failure,
                           "the %s leaks: its heap has grown by %" PRIu64 " bytes, %" PRIu64
                           " for each of %" PRIu64 " connections",
                           name, grown, bytes, r->handshakes);
    if (b->fds > a->fds + LEAK_FDS)
        return failure_set(failure,
                           "the %s leaks: it has %" PRIu64 " file descriptors, and had %" PRIu64,
                           name, b->fds, a->fds);
    return true;
}

bool leaks_check(const struct result *r, struct failure *failure)
{
    return check_side("client", r, r->client, failure) &&
           (!r->have_server || check_side("server", r, r->server, failure));
}
