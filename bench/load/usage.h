/* SPDX-License-Identifier: MIT */
#ifndef LOAD_USAGE_H
#define LOAD_USAGE_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

/* What the CPU counts, where the system lets a process ask for it. */
enum usage_event {
    USAGE_CYCLES,
    USAGE_INSTRUCTIONS,
    USAGE_CACHE_REFERENCES, /* of the last level */
    USAGE_CACHE_MISSES,
    USAGE_EVENT_COUNT,
};

/* What a process has used so far, beside CPU time and memory. */
struct usage {
    uint64_t switches_voluntary; /* context switches: it waited */
    uint64_t switches_forced;    /* .. and others took its CPU */
    uint64_t faults_minor;
    uint64_t faults_major;
    uint64_t heap_used_bytes; /* a present value: handed out by the C library's main arena */
    uint64_t fds;             /* a present value: open file descriptors */
    uint64_t mallocs;         /* calls of malloc(), calloc() and realloc(), OpenSSL's included */
    uint64_t malloc_bytes;    /* .. and what they asked for */
    uint64_t events[USAGE_EVENT_COUNT];
    bool has_event[USAGE_EVENT_COUNT];
    bool has_mallocs;
};

/* The C library's allocations of the process.  malloc_count.c counts; without it `is_on` is false.
 * Relaxed: only the totals are read. */
struct usage_mallocs {
    _Atomic uint64_t count;
    _Atomic uint64_t bytes;
    bool is_on;
};
extern struct usage_mallocs usage_mallocs;

/* The names of enum usage_event in the JSON. */
extern const char *const usage_event_names[USAGE_EVENT_COUNT];

/* Makes the CPU count for this process and the threads that it starts from now on, until
 * usage_close().  Where the system refuses, has_event[] of later samples is false. */
void usage_open(void);
void usage_close(void);

/* Fills in everything.  Costs some microseconds. */
void usage_take(struct usage *ret);

#endif
