/* SPDX-License-Identifier: MIT */
/* A library for LD_PRELOAD that makes one allocation of a program fail.
 *
 *     FAIL_AT=N       which one fails, counted from 1; without it none fails
 *     FAIL_IN=NAME    only calls from the objects whose path has NAME in it count
 *     FAIL_NOT=RANGES calls from these places of libspate.so do not count: FIRST-END,.. in hex
 *     FAIL_FD=FD      one byte is written there when the allocation fails
 *
 * Calls from a shared libcrypto or libssl never count. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* glibc's own names for what this library replaces. */
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
void *__libc_memalign(size_t alignment, size_t size);

#define RANGES_MAX 16

static long fail_at;
static const char *fail_in;
static int fail_fd = -1;
static struct {
    unsigned long first;
    unsigned long end;
} ranges[RANGES_MAX];
static int range_count;
static atomic_long count;
static __thread bool is_inside; /* dladdr() may allocate */

__attribute__((constructor)) static void start(void)
{
    const char *at = getenv("FAIL_AT");
    const char *fd = getenv("FAIL_FD");
    const char *not_there = getenv("FAIL_NOT");
    fail_in = getenv("FAIL_IN");
    fail_fd = fd != NULL ? atoi(fd) : -1;
    while (not_there != NULL && range_count < RANGES_MAX) {
        char *end;
        ranges[range_count].first = strtoul(not_there, &end, 16);
        ranges[range_count].end = *end == '-' ? strtoul(end + 1, &end, 16) : 0;
        range_count++;
        not_there = *end == ',' ? end + 1 : NULL;
    }
    fail_at = at != NULL ? atol(at) : 0;
}

static bool is_counted(const void *caller)
{
    Dl_info info;
    is_inside = true;
    bool is_known = dladdr(caller, &info) != 0 && info.dli_fname != NULL;
    is_inside = false;
    if (!is_known || (fail_in != NULL && strstr(info.dli_fname, fail_in) == NULL) ||
        strstr(info.dli_fname, "libcrypto.so") != NULL ||
        strstr(info.dli_fname, "libssl.so") != NULL)
        return false;
    bool is_ranged = strstr(info.dli_fname, "libspate.so") != NULL;
    unsigned long offset = (unsigned long)((const char *)caller - (const char *)info.dli_fbase);
    for (int i = 0; i < range_count && is_ranged; i++)
        if (offset >= ranges[i].first && offset <= ranges[i].end)
            return false;
    return true;
}

static bool fails(const void *caller)
{
    if (fail_at == 0 || is_inside || !is_counted(caller))
        return false;
    if (atomic_fetch_add(&count, 1) + 1 != fail_at)
        return false;
    if (fail_fd >= 0)
        (void)!write(fail_fd, "!", 1);
    errno = ENOMEM;
    return true;
}

void *malloc(size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_malloc(size);
}

void *calloc(size_t items, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_calloc(items, size);
}

void *realloc(void *old, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **ret, size_t alignment, size_t size)
{
    void *memory = fails(__builtin_return_address(0)) ? NULL : __libc_memalign(alignment, size);
    if (memory == NULL)
        return ENOMEM;
    *ret = memory;
    return 0;
}
