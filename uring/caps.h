/* SPDX-License-Identifier: MIT */
#ifndef SU_CAPS_H
#define SU_CAPS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* What this kernel allows this process to do, found out by trying, with a reason for each "no": too
 * old, forbidden by sysctl or seccomp, memlock, not built in. */

enum su_cap_id {
    /* io_uring */
    SU_CAP_RING,              /* a ring can be made at all */
    SU_CAP_SINGLE_ISSUER,     /* 6.0 */
    SU_CAP_DEFER_TASKRUN,     /* 6.1 */
    SU_CAP_COOP_TASKRUN,      /* 5.19 */
    SU_CAP_SUBMIT_ALL,        /* 5.18 */
    SU_CAP_CQ_SIZE,           /* 5.5 */
    SU_CAP_NO_SQARRAY,        /* 6.6 */
    SU_CAP_EXT_ARG,           /* 5.11 */
    SU_CAP_NO_DROP,           /* 5.5: completions are never lost, only delayed */
    SU_CAP_REGISTERED_FILES,  /* sparse table, 5.19 */
    SU_CAP_REGISTERED_RING,   /* 5.18 */
    SU_CAP_BUFFER_RING,       /* provided-buffer ring, 5.19 */
    SU_CAP_REGISTERED_MEMORY, /* fixed buffers within RLIMIT_MEMLOCK */
    SU_CAP_RECVMSG_MULTISHOT, /* 6.0 */
    SU_CAP_SYNC_CANCEL,       /* 6.0 */
    SU_CAP_MSG_RING,          /* 5.18 */
    SU_CAP_SENDMSG_ZC,        /* 6.1 */
    SU_CAP_SENDMSG_ZC_FIXED,  /* 6.15 */
    SU_CAP_NAPI,              /* 6.9 */
    SU_CAP_MIN_WAIT,          /* 6.12 */
    /* UDP sockets */
    SU_CAP_IPV4,
    SU_CAP_IPV6,
    SU_CAP_DUAL_STACK,
    SU_CAP_UDP_SEGMENT, /* 4.18 */
    SU_CAP_UDP_GRO,     /* 5.0 */
    SU_CAP_RXQ_OVFL,
    SU_CAP_ECN_RECEIVE, /* IP_RECVTOS, and IPV6_RECVTCLASS where there is IPv6 */
    SU_CAP_PKTINFO,
    SU_CAP_MTU_PROBE, /* IP_PMTUDISC_PROBE: never fragment, never obey ICMP */
    SU_CAP_REUSE_PORT,
    SU_CAP_BUSY_POLL,      /* SO_BUSY_POLL above the sysctl needs CAP_NET_ADMIN */
    SU_CAP_BUFFERS_FORCED, /* SO_RCVBUFFORCE: socket buffers above rmem_max */
    SU_CAP_TXTIME,         /* SO_TXTIME: datagrams with times of departure */
    SU_CAP_FQ,             /* an interface whose queueing discipline keeps to these times */
    SU_CAP_STEERING,       /* a program chooses the socket of a shared port: uring/steer.h */
    SU_CAP_STAMPS_IN,      /* when the kernel has received a datagram */
    SU_CAP_STAMPS_OUT,     /* when the kernel has sent one */
    SU_CAP_COUNT,
};

struct su_cap {
    const char *name; /* as in the kernel's headers, for people: "IORING_SETUP_DEFER_TASKRUN" */
    bool have;
    char reason[96]; /* why not, or a remark on a "yes"; may be empty */
};

struct su_caps {
    char kernel[64]; /* release, from uname() */
    struct su_cap cap[SU_CAP_COUNT];
};

/* Tries everything once; takes a few milliseconds and leaves nothing behind.  It cannot fail: what
 * cannot be tried is a "no" with its reason.  Threads: any; two at once are fine. */
void su_caps_probe(struct su_caps *ret);

/* Writes one line on why io_uring cannot be used.  `error` is the negative errno of the failure. */
void su_caps_explain_ring(int error, char *ret, size_t size);

/* Writes the version of the liburing that runs, like "2.9". */
void su_caps_liburing(char *ret, size_t size);

/* The table's rows are caps->cap[0 .. SU_CAP_COUNT - 1], in the order above. */
static inline const struct su_cap *su_caps_at(const struct su_caps *caps, uint32_t index)
{
    return index < SU_CAP_COUNT ? &caps->cap[index] : NULL;
}

static inline bool su_caps_have(const struct su_caps *caps, enum su_cap_id id)
{
    return caps->cap[id].have;
}

#endif
