/* SPDX-License-Identifier: MIT */
#ifndef SPATE_HEAP_H
#define SPATE_HEAP_H

#include <stdint.h>

/* Gives free pages of the heap back to the system after many handshakes.  What a handshake needs
 * and frees lies between what stays of connections, so malloc() keeps those pages: 9 to 13 MB
 * beside 10,000 connections.
 *
 * It is done once for many, when no handshake has ended for a while: connections have become idle
 * then, and the pages are not needed again at once. */
struct heap {
    uint32_t handshakes; /* since it was done */
    uint64_t last_ns;    /* when the last of them ended */
};

/* Notes the end of a handshake. */
void heap_note(struct heap *heap, uint64_t now_ns);

/* Does it if it is time.  Returns how long to wait before the next call, in ns; UINT64_MAX: until
 * after the next heap_note(). */
uint64_t heap_look(struct heap *heap, uint64_t now_ns);

#endif
