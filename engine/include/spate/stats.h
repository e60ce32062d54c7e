/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STATS_H
#define SPATE_STATS_H

#include <spate/base.h>
#include <spate/counters.h>
#include <spate/engine.h>
#include <spate/histogram.h>

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

/* A field of struct spate_shard_stats or struct spate_conn_stats, for programs that go through the
 * fields by name. */
struct spate_counter {
    const char *name;
    const char *unit;    /* "ns", "bytes", "bytes/s" or "": a plain number */
    uint32_t offset;     /* of its uint64_t in the struct, in bytes */
    bool is_gauge;       /* false: it only rises; true: a present value */
    uint8_t reserved[3]; /* no padding at the end; 0 */
};

/* Writes entries as spate_shard_counters() does, each of `size` bytes, one after the other.  For
 * other languages: programs in C and C++ call spate_shard_counters().  Threads: any. */
SPATE_API size_t spate_shard_counters_sized(struct spate_counter *ret, size_t count_max,
                                            size_t size);

/* Writes the names and places of the fields of struct spate_shard_stats, those that this library
 * has: they may be more than the program was compiled with.  A program that wants these too passes
 * spate_shard_stats_sized() a buffer that ends 8 bytes after the last offset.
 *
 *   ret        Room for `count_max` entries; NULL with a `count_max` of 0.
 *   count_max  Entries to write at most.
 *
 * Returns how many there are.  The strings are static.
 *
 * Threads: any. */
static inline size_t spate_shard_counters(struct spate_counter *ret, size_t count_max)
{
    return spate_shard_counters_sized(ret, count_max, sizeof(*ret));
}

/* Writes entries as spate_conn_counters() does, each of `size` bytes, one after the other.  For
 * other languages: programs in C and C++ call spate_conn_counters().  Threads: any. */
SPATE_API size_t spate_conn_counters_sized(struct spate_counter *ret, size_t count_max,
                                           size_t size);

/* Writes the names and places of the fields of struct spate_conn_stats, those that this library
 * has: they may be more than the program was compiled with.
 *
 *   ret        Room for `count_max` entries; NULL with a `count_max` of 0.
 *   count_max  Entries to write at most.
 *
 * Returns how many there are.  The strings are static.
 *
 * Threads: any. */
static inline size_t spate_conn_counters(struct spate_counter *ret, size_t count_max)
{
    return spate_conn_counters_sized(ret, count_max, sizeof(*ret));
}

/* Returns the name of a histogram of shards, like "receive_ns", or NULL if there are only `index`
 * or fewer: count up from 0.  counters.h explains each.  The string is static.  Threads: any. */
SPATE_API const char *spate_shard_histogram_name(uint32_t index);

/* Returns a histogram of a shard since its start, or NULL if there are only `index` or fewer.
 *
 *   shard  Of an engine that was not destroyed.
 *   index  Of its name: see spate_shard_histogram_name().
 *
 * It lives as long as the shard, which goes on recording: copy it, or add it to one of your own
 * with spate_histogram_add(), before the next turn.
 *
 * Threads: shard. */
SPATE_API const struct spate_histogram *spate_shard_histogram(const struct spate_shard *shard,
                                                              uint32_t index);

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
