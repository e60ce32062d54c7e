/* SPDX-License-Identifier: MIT */
#ifndef FRAGMENTS_H
#define FRAGMENTS_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/stream/reassembly.h"
#include "test/support/heap.h"
#include "test/support/piece_store.h"

/* A stream that arrives in fragments, each in a receive buffer of its own, and what that keeps in
 * use.  Its bytes tell their offset. */

enum {
    FRAGMENT_SLOT_SIZE = 65536 + 320, /* what a receive buffer pins */
    FRAGMENT_SIZE_MAX = 1400,         /* bytes of a full datagram */
};

struct fragment_slot {
    struct sb_buffer buffer;
    struct sb_slice slice;
    uint8_t data[FRAGMENT_SIZE_MAX];
};

struct fragments {
    struct heap heap;
    struct test_store all;
    struct sp_reassembly reassembly;
    uint64_t slot_count; /* not released yet */
    uint64_t highest;    /* offset that a frame has reached */
    uint32_t steps_max;  /* most steps of one frame */
};

extern struct fragments fragments;

/* Begins anew with an empty stream. */
void fragments_begin(void);

/* Asserts that all memory comes back: a tear-down function of cmocka. */
int fragments_tear_down(void **state);

uint8_t fragments_byte_at(uint64_t offset);

/* Frees a struct fragment_slot: for buffers that a test makes itself. */
void fragments_release(struct sb_buffer *buffer);

/* Takes a frame that comes alone in its buffer, and ends the batch.  Returns whether it was taken.
 */
bool fragments_try(struct sp_reassembly *reassembly, uint64_t offset, uint64_t size);

/* Takes a frame of the stream, and asserts the bound of memory afterwards. */
void fragments_insert(uint64_t offset, uint64_t size);

/* Reads what is there and compares each byte. */
void fragments_read_all(void);

/* Returns what is really in use, whatever the account says. */
uint64_t fragments_used_bytes(void);

/* Asserts that what is in use is within the bound of sp_conn_held_bytes(). */
void fragments_assert_bound(void);

#endif
