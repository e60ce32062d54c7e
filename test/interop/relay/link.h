/* SPDX-License-Identifier: MIT */
#ifndef RELAY_LINK_H
#define RELAY_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include <spate/histogram.h>
#include "test/interop/relay/link_queue.h"

/* One direction of an invented path: what happens to each datagram, and when it arrives.  Pure:
 * time and the seed are arguments, so that the same input gives the same output.
 *
 *     loss, outage -> size -> policer -> queue -> rate -> delay, jitter -> reordering
 *
 * Both relays are made on it: interop/relay passes UDP payload, relay/ passes IP packets.  A
 * datagram below is what the relay passes, and its size is what that relay counts. */

enum { LINK_LIST_MAX = 64, LINK_BACK_COUNT = 50 };

/* Zero everywhere: a link that changes nothing.  Shares are of 1,000,000. */
struct link_config {
    uint64_t delay_ns;
    uint64_t jitter_ns; /* added to the delay: 0 to this */
    bool keeps_order;   /* no datagram arrives before an earlier one; reordering comes after */
    struct link_rate rate;
    /* The queue before the rate: what does not fit is dropped.  The datagram that is leaving counts
     * until it has left.  0: no limit. */
    uint64_t queue_bytes;
    uint64_t queue_packets;
    uint64_t queue_bdp_share;    /* of bits_per_s * rtt_ns, instead of queue_bytes */
    uint64_t rtt_ns;             /* for queue_bdp_share alone */
    uint64_t policer_bits_per_s; /* what comes faster is dropped and never waits; 0: none */
    uint64_t policer_bytes;      /* .. after a burst of so much */
    uint32_t loss_share;
    /* No more than so many datagrams of a flow in a row are lost or corrupted by their shares; 0:
     * no limit.  Chance alone would now and then take all of a handshake's few probes. */
    uint64_t bad_run_max;
    /* Loss in bursts, by Gilbert and Elliott: for each datagram the link turns bad and good again
     * with these chances, and in a bad state it loses a share. */
    uint32_t bad_begin_share;
    uint32_t bad_end_share;
    uint32_t bad_loss_share;
    uint32_t corrupt_share; /* one byte is changed */
    uint32_t duplicate_share;
    uint32_t reorder_share; /* those are held back by reorder_ns */
    uint64_t reorder_every; /* every nth datagram is; 0: none */
    uint64_t reorder_ns;
    uint32_t ce_share;            /* of ECN-capable datagrams: marked Congestion Experienced */
    uint64_t ce_queue_bytes;      /* those that find a longer queue are marked too; 0: none */
    bool clears_ecn;              /* all marks are removed */
    bool has_l4s;                 /* the caller has the queue, which has a part for L4S */
    uint64_t first;               /* the first datagrams are dropped */
    uint64_t every;               /* every nth datagram is dropped; 0: none */
    uint64_t drop[LINK_LIST_MAX]; /* datagrams that are dropped, counted from 1; ascending */
    uint32_t drop_count;
    uint64_t corrupt[LINK_LIST_MAX]; /* .. and that are changed */
    uint32_t corrupt_count;
    uint64_t outage_ns; /* everything is dropped from here, .. */
    uint64_t outage_length_ns;
    uint64_t outage_period_ns; /* .. and again after each period; 0: once */
    uint64_t size_max;         /* larger datagrams are dropped; 0: no limit */
};

/* Counted by datagrams. */
struct link_counts {
    uint64_t seen;
    uint64_t bytes; /* UDP payload of `seen` */
    uint64_t lost;  /* on purpose, for any reason but the queue and the size */
    uint64_t overflowed;
    uint64_t policed;
    uint64_t oversized;
    uint64_t corrupted;
    uint64_t duplicated;
    uint64_t reordered;
    uint64_t marked;
};

struct link {
    struct link_config config;
    struct link_counts counts;
    uint64_t random;
    uint64_t start_ns;
    uint64_t last_due_ns;  /* with keeps_order */
    uint64_t bad_run;      /* of link_pass() */
    bool is_bad;           /* Gilbert and Elliott's state */
    double policer_tokens; /* bytes */
    uint64_t policer_at_ns;
    struct link_queue queue;
    struct spate_histogram waits; /* in the queue, of what was not dropped */
    /* The longest time in which nothing passed, and until LINK_BACK_COUNT datagrams had passed
     * after it: how long a sender needs after an outage. */
    uint64_t passed_ns; /* when the last one did; 0: none has */
    uint64_t gap_ns;
    uint64_t gap_from_ns;
    uint64_t back_ns; /* from gap_from_ns on */
    uint32_t back_left;
};

/* What happens to a datagram. */
struct link_verdict {
    bool is_dropped;
    bool is_corrupted;
    bool is_duplicated; /* the copy arrives at the same time */
    uint8_t ecn;
    size_t corrupt_at;    /* the byte to change, .. */
    uint8_t corrupt_with; /* .. by XOR with this, which is not 0 */
    uint64_t due_ns;
};

void link_init(struct link *link, const struct link_config *config, uint64_t seed,
               uint64_t start_ns);
/* Also of a link of zeros. */
void link_deinit(struct link *link);

/* Returns whether datagrams that come together may arrive at different times. */
bool link_spreads(const struct link_config *config);

/* Passes a datagram of 1 byte or more.  `bad_run` belongs to its flow, and is 0 at first. */
struct link_verdict link_pass_flow(struct link *link, uint64_t *bad_run, uint64_t now_ns,
                                   size_t size, uint8_t ecn);
/* Takes all datagrams for one flow. */
struct link_verdict link_pass(struct link *link, uint64_t now_ns, size_t size, uint8_t ecn);

/* The keys of link_parse(), for --help. */
#define LINK_USAGE \
    "      delay=15ms        one way\n" \
    "      jitter=2ms        0 to this, added to the delay of each datagram by itself\n" \
    "      order=keep        jitter lets no datagram overtake another\n" \
    "      rate=10mbit       what leaves the queue; steps=10mbit/2s+1mbit/500ms: each for a " \
    "time,\n" \
    "                        again and again; trace=FILE: lines of Mbit/s, each for 100 ms\n" \
    "      queue=30k         bytes that may wait before that rate; queue-packets=5: datagrams;\n" \
    "                        queue-bdp=0.5,rtt=40ms: so much of rate times round trip\n" \
    "      policer=10mbit:50k  what comes faster is dropped, after a burst\n" \
    "      loss=2%           of all datagrams; corrupt=, duplicate=, reorder=, ce= take a share\n" \
    "                        too; bad-run=3: loss and corrupt spare the next of a flow after 3\n" \
    "      bursts=1%:25%:50% chances of a bad time to begin and to end, and the loss in it " \
    "(100%)\n" \
    "      reorder-by=5ms    by how much those are late; reorder-every=7: each seventh is\n" \
    "      first=2           the first 2 datagrams are lost; every=10: each tenth; drop=2+3+7:\n" \
    "                        these\n" \
    "      corrupt-list=1+3  one byte of these is changed\n" \
    "      ce-queue=20k      ECN-capable datagrams are marked behind so many bytes\n" \
    "      ecn=clear         removes all ECN marks\n" \
    "      l4s=on            ip-relay: before the rate is a second queue, for ECT(1), which " \
    "marks\n" \
    "                        after 1 ms; the other is held at 15 ms (RFC 9332)\n" \
    "      mtu=1300          larger datagrams are lost\n" \
    "      outage=5s+2s/10s  nothing passes from 5 s for 2 s, and again every 10 s (without:\n" \
    "                        once)\n"

/* Reads "delay=15ms,rate=10mbit,queue=30000" and so on into a config, beside what it has.  Returns
 * NULL, or what is wrong: a static string. */
const char *link_parse(const char *text, struct link_config *ret);

/* Writes the counts and the waits as members of a JSON object, without its braces. */
void link_print(const struct link *link, FILE *file);

/* Reads "750ms", "1s", "20us", "5ns". */
bool link_parse_time(const char *text, uint64_t *ret);
/* Reads "10mbit" and so on, 1 kbit/s or more. */
bool link_parse_rate(const char *text, uint64_t *ret);

/* Reads "10mbit/2s+100mbit/500ms": each rate and how long it lasts. */
bool link_parse_steps(const char *text, struct link_rate *ret);
/* Reads a file of rates in Mbit/s, one per line; each lasts for 100 ms. */
bool link_read_trace(const char *path, struct link_rate *ret);

#endif
