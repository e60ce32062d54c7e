/* SPDX-License-Identifier: MIT */
#ifndef SPATE_STATS_H
#define SPATE_STATS_H

#include <spate/base.h>
#include <spate/engine.h>

#ifdef __cplusplus
extern "C" {
#endif

/* What a shard counts since its start. */
struct spate_shard_stats {
    uint64_t turns;
    uint64_t syscalls; /* io_uring_enter calls; with mmsg epoll, recvmmsg, sendmmsg .. */
    uint64_t datagrams_in;
    uint64_t bytes_in; /* UDP payload */
    uint64_t receives; /* completions: GRO puts many datagrams in one */
    uint64_t datagrams_out;
    uint64_t bytes_out;
    uint64_t sends; /* sendmsg requests: one a train */
    uint64_t send_errors;
    uint64_t zero_copies;        /* trains sent without a copy, or meant to be .. */
    uint64_t zero_copies_copied; /* .. but the kernel did copy */
    uint64_t gso_fallbacks;
    uint64_t receive_enobufs; /* the kernel found no free slot; nothing is lost by it */
    uint64_t receive_rearms;
    uint64_t kernel_drops; /* the socket's buffer was full (SO_RXQ_OVFL) */
    uint64_t receive_truncated;
    uint64_t datagrams_copied; /* copied out of a slot because slots ran low .. */
    uint64_t receive_dropped;  /* .. or dropped, because there was no memory for that */
    uint64_t placed_in_bytes;  /* told in memory of spate_stream_receive_into() */
    uint64_t copied_in_bytes;  /* copied by memcpy: in those datagrams, and to that memory */
    uint64_t copied_out_bytes; /* copied by memcpy on the way to the cipher */
    uint64_t unroutable;       /* datagrams for no connection, dropped */
    uint64_t version_negotiations;
    uint64_t stateless_resets;
    uint64_t conns_accepted;
    uint64_t conns_refused;      /* conns_max or memory */
    uint64_t handshakes_dropped; /* handshakes_max */
    uint64_t handshakes_done;
    uint64_t handshakes_failed;
    uint64_t conns_now;
    uint64_t handshakes_now;
    uint64_t memory_bytes_now;
    uint64_t memory_bytes_peak;
    uint64_t memory_blocks; /* taken from the heap so far; steady once it is warm */
    uint64_t packets_lost;  /* of all connections, living and gone, like the rest below */
    uint64_t packets_in;
    uint64_t packets_out;
    uint64_t acks_in;
    uint64_t acks_out;
    uint64_t sleeps;  /* waits in which the shard went to sleep */
    uint64_t spun_ns; /* spent spinning in waits: see spin_ns of spate_config */
};

/* Writes the first `size` bytes of what spate_shard_stats() writes, and zeroes for what this
 * library does not count.  Programs in C and C++ call that one; this is for other languages.
 * Threads: shard. */
SPATE_API void spate_shard_stats_sized(struct spate_shard *shard, struct spate_shard_stats *ret,
                                       size_t size);

/* Writes what the shard has counted so far.  It is compiled into the program, so that an older
 * program gets the fields that it knows; a counter that the library does not have is 0.
 * Threads: shard. */
static inline void spate_shard_stats(struct spate_shard *shard, struct spate_shard_stats *ret)
{
    spate_shard_stats_sized(shard, ret, sizeof(*ret));
}

/* What this kernel and this build can do. */
struct spate_cap {
    const char *name;
    bool have;
    const char *reason; /* of a "no": what denies it, and what would change that */
};

/* Writes entries as spate_caps() does, each of `size` bytes, one after the other.  Programs in C
 * and C++ call that one; this is for other languages.  Threads: any. */
SPATE_API size_t spate_caps_sized(struct spate_cap *ret, size_t count_max, size_t size);

/* Writes up to `count_max` entries and returns how many there are.  The strings live as long
 * as the program.  Probes on the first call.  Threads: any. */
static inline size_t spate_caps(struct spate_cap *ret, size_t count_max)
{
    return spate_caps_sized(ret, count_max, sizeof(*ret));
}

/* A library that this one stands on. */
struct spate_library {
    const char *name;    /* "OpenSSL", "liburing" */
    const char *version; /* of what runs, like "3.5.2" */
    bool is_inside;      /* it was put into libspate when that was built, and updates of the
                            system do not reach it; false: libspate was built for the system's
                            shared library */
    uint8_t reserved[7]; /* no padding at the end; 0 */
};

/* Writes entries as spate_libraries() does, each of `size` bytes, one after the other.  Programs in
 * C and C++ call that one; this is for other languages.  Threads: any. */
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
