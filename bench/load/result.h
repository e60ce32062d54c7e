/* SPDX-License-Identifier: MIT */
#ifndef LOAD_RESULT_H
#define LOAD_RESULT_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/engine.h>

#include <spate/histogram.h>
#include "bench/load/relay.h"
#include "bench/load/sample.h"
#include "bench/load/spread.h"

struct idle;
struct soak;
struct versus;
struct versus_bare;

/* What a client hands back.  Everything is of the measured part. */
struct result {
    uint64_t duration_ns;
    uint64_t bytes;    /* payload that has arrived; rr and bidi: both ways */
    uint64_t bytes_up; /* bulk: of `bytes`, what the server got */
    uint64_t requests;
    uint64_t handshakes;
    uint64_t datagrams;        /* messages that have arrived */
    uint64_t datagrams_failed; /* lost, dropped by the receiver, or given up by the sender */
    uint64_t messages;         /* of the scenario: replies, or publications that have arrived */
    uint64_t messages_copied_bytes; /* received bytes that the client's messengers have copied */
    uint64_t handshakes_failed;
    uint64_t handshakes_resumed; /* of `handshakes` */
    uint64_t handshakes_early;   /* of them, those whose 0-RTT was accepted */
    uint64_t unfinished;        /* open loop: meant to start in the measured part, never answered */
    bool is_measured_by_sender; /* bulk up to a foreign server: counted by its acknowledgements */
    bool have_server;
    bool have_relay;
    struct relay_counts relay; /* of the whole run */
    struct sample client[2];   /* at the beginning and at the end */
    struct sample server[2];   /* if have_server */
    char cipher[64];
    uint32_t mtu;
    enum spate_backend backend;
    const char *crypto;          /* what does AES-GCM on this side */
    struct idle *idle;           /* NULL: another scenario */
    struct soak *soak;           /* NULL: another scenario */
    const struct versus *versus; /* NULL: not compared */
    const struct versus_bare *versus_bare;
    struct spate_histogram latency; /* rr: of requests; handshake: of handshakes */
    struct spread conn_bytes;       /* bulk by time: what each connection has moved, .. */
    struct spread stream_bytes;     /* .. and each stream */
    /* handshake: from the beginning to the first byte of an answer */
    struct spate_histogram first_byte;
};

#endif
