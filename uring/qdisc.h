/* SPDX-License-Identifier: MIT */
#ifndef SU_QDISC_H
#define SU_QDISC_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "uring/address.h"

/* Which interfaces keep to the times of departure that SCM_TXTIME gives to datagrams.
 *
 * The kernel hands the time to the queueing discipline of the interface.  `fq` holds a datagram
 * until then; an interface with several queues has `mq` with an `fq` for each.  Others, also those
 * of loopback and of virtual interfaces, ignore the time: the datagram leaves at once, and too
 * early.  So it depends on the route, which is asked for per destination. */

#define SU_QDISC_KNOWN_COUNT 8
#define SU_QDISC_KEEP_NS     (UINT64_C(10) * 1000000000) /* an administrator may change it */

struct su_qdisc {
    int fd; /* of rtnetlink; -1: none */
    uint32_t next;
    struct su_qdisc_known {
        int index;        /* of an interface; 0: nothing is known here */
        bool is_timed;    /* it keeps to times of departure */
        uint64_t seen_ns; /* when this was looked up */
    } known[SU_QDISC_KNOWN_COUNT];
};

/* 0, or -errno, and then nothing keeps to times: su_qdisc_route_is_timed() says so. */
int su_qdisc_init(struct su_qdisc *qdisc);

/* Accepts one whose su_qdisc_init() failed.  All zero is not one. */
void su_qdisc_deinit(struct su_qdisc *qdisc);

/* Returns whether datagrams from `source` (AF_UNSPEC or "any": the kernel chooses) to `destination`
 * leave by an interface that keeps to times.  False also if that cannot be found out.  Takes about
 * 10 us, and 50 us more if the interface was not looked up in the last 10 s.  Threads: one at a
 * time. */
bool su_qdisc_route_is_timed(struct su_qdisc *qdisc, const struct su_address *source,
                             const struct su_address *destination, uint64_t now_ns);

/* Returns 0 if an interface of this network namespace keeps to times, -ENOENT if none does, or
 * another negative errno if that cannot be found out.  Threads: any. */
SB_MUST_USE int su_qdisc_any_is_timed(void);

/* Lets datagrams of a socket have times of departure, by CLOCK_MONOTONIC.  0 or -errno. */
SB_MUST_USE int su_qdisc_set_txtime(int fd);

/* ---- For qdisc.c and its test ---- */

/* What a dump of queueing disciplines has said so far: all zero but `index` at first. */
struct su_qdisc_look {
    int index;  /* of the interface to look at; 0: any */
    bool found; /* one that keeps to times */
    /* The interface whose queueing disciplines come now. */
    int current;
    uint32_t root; /* handle of its `mq` */
    bool is_mq, has_queue, has_other;
};

/* Takes an answer of the kernel to RTM_GETQDISC, aligned as struct nlmsghdr.  Returns 1 if more
 * will follow, 0 after the last one, or the negative errno that it has. */
int su_qdisc_take(const void *answer, uint32_t size, struct su_qdisc_look *look);

#endif
