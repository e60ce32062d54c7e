/* SPDX-License-Identifier: MIT */
#ifndef QS_TRACE_H
#define QS_TRACE_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/bytes.h"
#include "proto/wire/header.h"
#include "test/sim/clock.h"

/* The record of a run: a hash over every packet that was sent, a readable text of it if
 * wanted, and the first thing that went wrong. */
struct qs_trace {
    const struct qs_clock *clock;
    bool verbose; /* the text goes to stdout */
    uint64_t hash;
    uint64_t packet_count;
    bool has_failed;
    char failure[512];
};

/* A packet in plaintext, as it was sealed or opened. */
struct qs_packet {
    enum sp_packet_type type;
    enum sp_space space;
    uint64_t pn;
    struct sb_bytes header; /* not masked */
    struct sb_bytes payload;
    const uint8_t *sealed_at; /* where the ciphertext went; NULL if opened */
    bool is_forged;           /* not what the connection wanted to say */
};

void qs_trace_init(struct qs_trace *trace, const struct qs_clock *clock, bool verbose);

/* Records that the run has failed.  The first reason is kept; the run stops after this step. */
void qs_fail(struct qs_trace *trace, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* A line of the text. */
void qs_note(const struct qs_trace *trace, const char *format, ...)
    __attribute__((format(printf, 2, 3)));

/* Adds a sent packet to the hash. */
void qs_trace_sent(struct qs_trace *trace, const char *who, const struct qs_packet *packet);

/* Writes a packet with all its frames as a line of the text.  `way` is ">" or "<". */
void qs_trace_packet(const struct qs_trace *trace, const char *who, const char *way,
                     const struct qs_packet *packet);

#endif
