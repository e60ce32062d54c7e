/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STATS_H
#define SPATE_STATS_H

#include <spate/base.h>
#include <spate/counters.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* The counters of a shard since its start, and its gauges: counters.h explains each field. */
struct spate_shard_stats {
    SPATE_SHARD_STATS(SPATE_STATS_FIELD)
};

/* Writes the first `size` bytes of the statistics, and zeroes for counters that this library does
 * not have.  For other languages: programs in C and C++ call spate_shard_stats().
 * Threads: shard. */
SPATE_API void spate_shard_stats_sized(struct spate_shard *shard, struct spate_shard_stats *ret,
                                       size_t size);

/* Writes the shard's counters and gauges.  The function is compiled into the program, so that an
 * older program gets the fields that it knows; a counter that the library does not have is 0.
 * Threads: shard. */
static inline void spate_shard_stats(struct spate_shard *shard, struct spate_shard_stats *ret)
{
    spate_shard_stats_sized(shard, ret, sizeof(*ret));
}

/* One feature, and whether this kernel and this build have it. */
struct spate_cap {
    const char *name;
    bool have;
    const char *reason; /* for a "no": what denies it, and what would change that */
};

/* Writes entries as spate_caps() does, each of `size` bytes, one after the other.  For other
 * languages: programs in C and C++ call spate_caps().  Threads: any. */
SPATE_API size_t spate_caps_sized(struct spate_cap *ret, size_t count_max, size_t size);

/* Writes up to `count_max` entries and returns how many there are.  The strings live as long
 * as the program.  Probes on the first call.  Threads: any. */
static inline size_t spate_caps(struct spate_cap *ret, size_t count_max)
{
    return spate_caps_sized(ret, count_max, sizeof(*ret));
}

/* A library that Spate uses. */
struct spate_library {
    const char *name;    /* "OpenSSL", "liburing" */
    const char *version; /* the version that runs, like "3.5.2" */
    bool is_inside;      /* true: linked into libspate, so that updates of the system do not reach
                            it; false: libspate uses the system's shared library */
    uint8_t reserved[7]; /* no padding at the end; 0 */
};

/* Writes entries as spate_libraries() does, each of `size` bytes, one after the other.  For other
 * languages: programs in C and C++ call spate_libraries().  Threads: any. */
SPATE_API size_t spate_libraries_sized(struct spate_library *ret, size_t count_max, size_t size);

/* Writes up to `count_max` entries and returns how many there are.  The strings live as long as
 * the program.  Threads: any. */
static inline size_t spate_libraries(struct spate_library *ret, size_t count_max)
{
    return spate_libraries_sized(ret, count_max, sizeof(*ret));
}

#ifdef __cplusplus
}
#endif

#endif
