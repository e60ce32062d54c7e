/* SPDX-License-Identifier: MIT */
#ifndef PLACE_WORLD_H
#define PLACE_WORLD_H

#include <stdbool.h>
#include <stdint.h>

#include "test/support/conn_pair.h"

/* A server that lends memory for the client's first stream, and hand-made packets of the client. */

enum {
    PLACE_MEMORY_SIZE = 64 * 1024,
    PLACE_ID = 0, /* the client's first stream; the server receives */
    PLACE_FIN = SP_STREAM_FIN,
    PLACE_LEN = SP_STREAM_LEN,
    PLACE_LIES = 1 << 8,    /* other bytes than the stream has */
    PLACE_PADDED = 1 << 9,  /* PADDING after the frame */
    PLACE_PINGING = 1 << 10 /* a PING before it */
};

struct place_world {
    struct conn_pair pair;
    uint8_t memory[PLACE_MEMORY_SIZE]; /* the place of the byte at `offset` is memory[offset] */
    uint64_t lent_count;
    uint64_t lent_end;
    uint64_t delivered_end;
    uint64_t sliced_bytes; /* delivered as slices, not in lent memory */
    uint32_t slice_count;
    uint32_t placed_count; /* events */
    uint32_t returned_count;
    uint64_t returned_tag; /* of the last */
    bool fin;
    bool is_reset;
    bool is_closed;
};

/* What the stream has at `offset`. */
uint8_t place_byte(uint64_t offset);

/* A test has its world in *state, by QT_FIXTURE(place_world, place_end); it is zero before the
 * first call, and each call ends what an earlier one began. */
void place_begin(struct place_world *world);
void place_end(struct place_world *world);
struct sp_conn *place_server(struct place_world *world);

/* Takes all events, and asserts what must hold for each. */
void place_pull(struct place_world *world);
/* Asserts that the delivered bytes are unchanged. */
void place_check(const struct place_world *world);

/* Lends the next `size` bytes of memory. */
enum sp_result place_lend(struct place_world *world, uint64_t size);

/* Makes one packet with one STREAM frame; `how`: bits of the enum above. */
void place_make(struct place_world *world, uint64_t offset, uint64_t size, int how,
                enum pair_fault fault, struct pair_packet *ret);
void place_give(struct place_world *world, const struct pair_packet *packet);
/* In one batch. */
void place_give_two(struct place_world *world, const struct pair_packet *a,
                    const struct pair_packet *b);
/* Makes and gives. */
void place_inject(struct place_world *world, uint64_t offset, uint64_t size, int how);

/* Bytes that were copied to lent memory. */
uint64_t place_copied(struct place_world *world);

#endif
