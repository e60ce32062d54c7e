/* SPDX-License-Identifier: MIT */
#ifndef SIM_ORACLE_BENCH_H
#define SIM_ORACLE_BENCH_H

#include "test/support/qt.h"

#include "proto/wire/frame.h"
#include "proto/wire/header.h"
#include "test/sim/oracle.h"
#include "test/sim/plan.h"

/* What the tests of the oracles share: packets that are written by hand, and what the oracle of the
 * one who sends or receives them says. */

struct bench {
    struct qs_clock clock;
    struct qs_trace trace;
    struct qs_plan plan;
    struct qs_oracle oracle;
    uint8_t payload[4000];
    struct sb_writer w;
    uint64_t next_pn;
    uint8_t first; /* byte of the header: key phase, size of the packet number */
};

/* Asserts that every complaint was expected. */
void bench_end(struct bench *bench);
void bench_begin(struct bench *bench, enum sp_role role);
/* The packet that was written is seen; the next one begins. */
void bench_sees(struct bench *bench, enum sp_packet_type type, bool is_sealed);
void bench_sends(struct bench *bench);
void bench_receives(struct bench *bench);
void bench_is_content(struct bench *bench);
void bench_has_found(struct bench *bench, const char *what);
void bench_write_stream(struct bench *bench, uint64_t id, uint64_t offset, size_t size, bool fin);
void bench_write_ack(struct bench *bench, uint64_t smallest, uint64_t largest);

#endif
