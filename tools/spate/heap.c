/* SPDX-License-Identifier: MIT */
#include "tools/spate/heap.h"

#include <malloc.h>

#define QUIET_NS UINT64_C(2000000000) /* a connection gives up its buffers within one second */

enum { HANDSHAKES_MIN = 256 };

void heap_note(struct heap *heap, uint64_t now_ns)
{
    heap->handshakes += heap->handshakes < UINT32_MAX;
    heap->last_ns = now_ns;
}

uint64_t heap_look(struct heap *heap, uint64_t now_ns)
{
    if (heap->handshakes < HANDSHAKES_MIN)
        return UINT64_MAX;
    uint64_t due_ns = heap->last_ns + QUIET_NS;
    if (now_ns < due_ns)
        return due_ns - now_ns;
    heap->handshakes = 0;
#ifdef __GLIBC__
    (void)malloc_trim(0);
#endif
    return UINT64_MAX;
}
