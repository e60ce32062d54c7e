/* SPDX-License-Identifier: MIT */
/* The dynamic linker finds the functions of the program before those of the C library, so these
 * here serve all of its libraries too.  They hand on to glibc's own under its second names.
 *
 * OpenSSL needs nothing of its own: CRYPTO_malloc() ends in malloc(). */

#include "test/support/allocations.h"

#include <errno.h>
#include <execinfo.h>
#include <malloc.h>
#include <stddef.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

enum { STACKS_MAX = 8, DEPTH_MAX = 24 };

static __thread bool is_counting;
static __thread uint64_t counted;
static __thread void *stacks[STACKS_MAX][DEPTH_MAX];
static __thread int depths[STACKS_MAX];

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);
void __libc_free(void *block);

static void note(void)
{
    if (!is_counting)
        return;
    if (counted < STACKS_MAX) {
        is_counting = false;
        depths[counted] = backtrace(stacks[counted], DEPTH_MAX);
        is_counting = true;
    }
    counted++;
}

void allocations_count(bool is_on)
{
    void *nothing[1];
    (void)backtrace(nothing, 1); /* allocates the first time */
    counted = is_on ? 0 : counted;
    is_counting = is_on;
}

uint64_t allocations_counted(void)
{
    return counted;
}

void allocations_print(void)
{
    is_counting = false;
    for (uint64_t i = 0; i < counted && i < STACKS_MAX; i++) {
        backtrace_symbols_fd(stacks[i], depths[i], STDERR_FILENO);
        (void)!write(STDERR_FILENO, "\n", 1);
    }
}

#pragma GCC visibility push(default)

void *malloc(size_t size)
{
    note();
    return __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    note();
    return __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    note();
    return __libc_realloc(old, size);
}

void *memalign(size_t alignment, size_t size)
{
    note();
    return __libc_memalign(alignment, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *block = memalign(alignment, size);
    if (block == NULL)
        return ENOMEM;
    *ret = block;
    return 0;
}

void free(void *block)
{
    __libc_free(block);
}

void *mmap(void *address, size_t size, int protection, int flags, int fd, off_t offset)
{
    note();
    long result = syscall(SYS_mmap, address, size, protection, flags, fd, offset);
    return (void *)result; /* MAP_FAILED is -1 */
}

#pragma GCC visibility pop
