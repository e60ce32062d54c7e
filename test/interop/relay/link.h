/* SPDX-License-Identifier: MIT */
#ifndef RELAY_LINK_H
#define RELAY_LINK_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* One direction of an invented path: what happens to each datagram, and when it arrives.  Pure:
 * time and the seed are arguments, so that the same input gives the same output. */

enum { LINK_LIST_MAX = 64 };

/* Zero everywhere: a link that changes nothing.  Shares are of 1,000,000. */
struct link_config {
    uint64_t delay_ns;
    uint64_t jitter_ns;   /* added to the delay: 0 to this */
    uint64_t bits_per_s;  /* of UDP payload; 0: no limit */
    uint64_t queue_bytes; /* that wait for their turn; more is dropped.  0: no limit */
    uint32_t loss_share;
    uint32_t corrupt_share; /* one byte is changed */
    uint32_t duplicate_share;
    uint32_t reorder_share; /* those are held back by reorder_ns */
    uint64_t reorder_ns;
    uint32_t ce_share;            /* of ECN-capable datagrams: marked Congestion Experienced */
    uint64_t ce_queue_bytes;      /* those that find a longer queue are marked too; 0: none */
    bool clears_ecn;              /* all marks are removed */
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
    uint64_t busy_until_ns; /* the last byte of the queue leaves then */
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

/* Passes a datagram of 1 byte or more. */
struct link_verdict link_pass(struct link *link, uint64_t now_ns, size_t size, uint8_t ecn);

/* Reads "delay=15ms,rate=10mbit,queue=30000" and so on into a config, beside what it has.  Returns
 * NULL, or what is wrong: a static string. */
const char *link_parse(const char *text, struct link_config *ret);

/* Reads "750ms", "1s", "20us", "5ns". */
bool link_parse_time(const char *text, uint64_t *ret);

#endif
