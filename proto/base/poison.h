/* SPDX-License-Identifier: MIT */
#ifndef SB_POISON_H
#define SB_POISON_H

#include <stddef.h>

/* Makes AddressSanitizer report every access to these bytes.  The kernel's writes are not
 * instrumented, so a slot that waits for a packet can be poisoned.  A use of a slice after its
 * last unref is found in this way. */

#if defined(__SANITIZE_ADDRESS__)
#define SB_ASAN 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer)
#define SB_ASAN 1
#endif
#endif

#ifdef SB_ASAN
void __asan_poison_memory_region(void const volatile *address, size_t size);
void __asan_unpoison_memory_region(void const volatile *address, size_t size);
#define SB_POISON(address, size)   __asan_poison_memory_region(address, size)
#define SB_UNPOISON(address, size) __asan_unpoison_memory_region(address, size)
#else
#define SB_POISON(address, size)   ((void)(address), (void)(size))
#define SB_UNPOISON(address, size) ((void)(address), (void)(size))
#endif

#endif
