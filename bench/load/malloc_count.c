/* SPDX-License-Identifier: MIT */
/* Counts what the program and its libraries ask of the C library's heap.  glibc lets a program
 * define these functions, and has its own under other names; they stay what does the work, so that
 * free() and the aligned variants need no counterpart here.
 *
 * A part of spate-bench alone, and not of a build with a sanitizer, which has its own heap. */

#include <stddef.h>

#include "bench/load/usage.h"

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *at, size_t size);

void *malloc(size_t size) __attribute__((used, externally_visible));
void *calloc(size_t count, size_t size) __attribute__((used, externally_visible));
void *realloc(void *at, size_t size) __attribute__((used, externally_visible));

static void count(size_t size)
{
    usage_mallocs.is_on = true;
    atomic_fetch_add_explicit(&usage_mallocs.count, 1, memory_order_relaxed);
    atomic_fetch_add_explicit(&usage_mallocs.bytes, size, memory_order_relaxed);
}

void *malloc(size_t size)
{
    count(size);
    return __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    count(items * size); /* where that overflows there is no memory either */
    return __libc_calloc(items, size);
}

void *realloc(void *at, size_t size)
{
    count(size);
    return __libc_realloc(at, size);
}
