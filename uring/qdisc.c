/* SPDX-License-Identifier: MIT */
#include "uring/qdisc.h"

/* Asks rtnetlink for routes and queueing disciplines, without a library.
 *
 * Answers come from the kernel alone: its port is checked, and every length is walked by the macros
 * of <linux/netlink.h>, which compare it with what is left.  A dump of queueing disciplines lists
 * those of one interface in a row, the root first. */

#include <errno.h>
#include <linux/net_tstamp.h>
#include <linux/pkt_sched.h>
#include <linux/rtnetlink.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "proto/base/assert.h"

/* Answers of a dump, at most: each has some hundred queueing disciplines. */
#define ANSWERS_MAX 256
#define ANSWER_SIZE 16384

int su_qdisc_set_txtime(int fd)
{
    const struct sock_txtime txtime = {.clockid = CLOCK_MONOTONIC};
    return setsockopt(fd, SOL_SOCKET, SO_TXTIME, &txtime, sizeof(txtime)) == 0 ? 0 : -errno;
}

int su_qdisc_init(struct su_qdisc *qdisc)
{
    *qdisc = (struct su_qdisc){.fd = socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC, NETLINK_ROUTE)};
    return qdisc->fd >= 0 ? 0 : -errno;
}

void su_qdisc_deinit(struct su_qdisc *qdisc)
{
    if (qdisc->fd >= 0)
        (void)close(qdisc->fd);
    qdisc->fd = -1;
}

/* ---- Questions and answers ---- */

struct request {
    struct nlmsghdr head;
    union {
        struct tcmsg qdisc;
        struct {
            struct rtmsg head;
            uint8_t attributes[2 * RTA_SPACE(sizeof(struct in6_addr))];
        } route;
    };
};

/* Takes one message of an answer. */
typedef void (*take_fn)(const struct nlmsghdr *message, void *context);

static int ask(int fd, const struct request *request)
{
    const struct sockaddr_nl kernel = {.nl_family = AF_NETLINK};
    ssize_t sent = sendto(fd, request, request->head.nlmsg_len, 0, (const struct sockaddr *)&kernel,
                          sizeof(kernel));
    return sent >= 0 ? 0 : -errno;
}

/* Takes the messages of an answer.  1: more will follow; 0, or the errno that it has. */
static int take_all(const void *answer, uint32_t left, take_fn take, void *context)
{
    const struct nlmsghdr *message = answer;
    int more = 1;
    for (; NLMSG_OK(message, left) && more == 1; message = NLMSG_NEXT(message, left)) {
        if (message->nlmsg_type == NLMSG_DONE) {
            more = 0;
        } else if (message->nlmsg_type == NLMSG_ERROR) {
            bool is_whole = message->nlmsg_len >= NLMSG_LENGTH(sizeof(struct nlmsgerr));
            more = is_whole ? ((const struct nlmsgerr *)NLMSG_DATA(message))->error : -EBADMSG;
        } else {
            take(message, context);
            more = (message->nlmsg_flags & NLM_F_MULTI) != 0;
        }
    }
    return SB_MIN(more, 1);
}

/* Reads answers until the last one.  0 or -errno.  The kernel answers while it is asked, so nothing
 * here waits. */
static int read_answers(int fd, take_fn take, void *context)
{
    _Alignas(struct nlmsghdr) uint8_t bytes[ANSWER_SIZE];
    int more = 1;
    for (uint32_t i = 0; more == 1; i++) {
        struct sockaddr_nl from;
        socklen_t from_size = sizeof(from);
        ssize_t size = recvfrom(fd, bytes, sizeof(bytes), MSG_DONTWAIT | MSG_TRUNC,
                                (struct sockaddr *)&from, &from_size);
        if (size < 0)
            return -errno;
        if (size > (ssize_t)sizeof(bytes) || i == ANSWERS_MAX)
            return -EMSGSIZE;
        if (from.nl_pid == 0) /* otherwise another process has written to us */
            more = take_all(bytes, (uint32_t)size, take, context);
    }
    return more;
}

/* Drops what earlier questions have left, asks, and reads. */
static int query(struct su_qdisc *qdisc, const struct request *request, take_fn take, void *context)
{
    if (qdisc->fd < 0)
        return -EBADF;
    char byte;
    while (recv(qdisc->fd, &byte, sizeof(byte), MSG_DONTWAIT) > 0)
        ;
    int error = ask(qdisc->fd, request);
    return error != 0 ? error : read_answers(qdisc->fd, take, context);
}

/* Returns the attribute of that type, or NULL if it is not there or has fewer than `size` bytes. */
static const void *attribute(const struct rtattr *first, uint32_t left, int type, uint32_t size)
{
    for (const struct rtattr *a = first; RTA_OK(a, left); a = RTA_NEXT(a, left))
        if (a->rta_type == type)
            return RTA_PAYLOAD(a) >= size ? RTA_DATA(a) : NULL;
    return NULL;
}

/* ---- Queueing disciplines ---- */

/* The queueing disciplines of an interface have all come. */
static void end_interface(struct su_qdisc_look *look)
{
    look->found |= look->is_mq && look->has_queue && !look->has_other;
    look->is_mq = look->has_queue = look->has_other = false;
}

static void take_qdisc(const struct nlmsghdr *message, void *context)
{
    struct su_qdisc_look *look = context;
    const struct tcmsg *tc = NLMSG_DATA(message);
    if (message->nlmsg_type != RTM_NEWQDISC || message->nlmsg_len < NLMSG_LENGTH(sizeof(*tc)))
        return;
    if (look->index != 0 && tc->tcm_ifindex != look->index)
        return;
    uint32_t left = message->nlmsg_len - (uint32_t)NLMSG_LENGTH(sizeof(*tc));
    const struct rtattr *first = (const void *)((const uint8_t *)tc + NLMSG_ALIGN(sizeof(*tc)));
    const char *kind = attribute(first, left, TCA_KIND, sizeof("fq"));
    if (kind == NULL)
        return;
    if (tc->tcm_ifindex != look->current)
        end_interface(look);
    look->current = tc->tcm_ifindex;
    bool is_fq = memcmp(kind, "fq", sizeof("fq")) == 0;
    if (tc->tcm_parent == TC_H_ROOT) {
        look->is_mq = memcmp(kind, "mq", sizeof("mq")) == 0;
        look->root = TC_H_MAJ(tc->tcm_handle);
        look->found |= is_fq;
    } else if (look->is_mq && TC_H_MAJ(tc->tcm_parent) == look->root) {
        look->has_queue |= is_fq;
        look->has_other |= !is_fq;
    }
}

int su_qdisc_take(const void *answer, uint32_t size, struct su_qdisc_look *look)
{
    int more = take_all(answer, size, take_qdisc, look);
    if (more != 1)
        end_interface(look);
    return more;
}

/* 0 if the interface (0: any) keeps to times, -ENOENT if not, or -errno. */
static int look_at(struct su_qdisc *qdisc, int index)
{
    struct su_qdisc_look look = {.index = index};
    const struct request request = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct tcmsg)),
                 .nlmsg_type = RTM_GETQDISC,
                 .nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP},
        .qdisc = {.tcm_family = AF_UNSPEC},
    };
    int error = query(qdisc, &request, take_qdisc, &look);
    end_interface(&look);
    if (error != 0)
        return error;
    return look.found ? 0 : -ENOENT;
}

int su_qdisc_any_is_timed(void)
{
    struct su_qdisc qdisc;
    int error = su_qdisc_init(&qdisc);
    if (error == 0)
        error = look_at(&qdisc, 0);
    su_qdisc_deinit(&qdisc);
    return error;
}

static bool is_timed(struct su_qdisc *qdisc, int index, uint64_t now_ns)
{
    for (uint32_t i = 0; i < SU_QDISC_KNOWN_COUNT; i++) {
        const struct su_qdisc_known *known = &qdisc->known[i];
        if (known->index == index && now_ns - known->seen_ns < SU_QDISC_KEEP_NS)
            return known->is_timed;
    }
    struct su_qdisc_known *place = &qdisc->known[qdisc->next++ % SU_QDISC_KNOWN_COUNT];
    *place = (struct su_qdisc_known){index, look_at(qdisc, index) == 0, now_ns};
    return place->is_timed;
}

/* ---- Routes ---- */

static void take_route(const struct nlmsghdr *message, void *context)
{
    int *ret_index = context;
    const struct rtmsg *route = NLMSG_DATA(message);
    if (message->nlmsg_type != RTM_NEWROUTE || message->nlmsg_len < NLMSG_LENGTH(sizeof(*route)))
        return;
    uint32_t left = message->nlmsg_len - (uint32_t)NLMSG_LENGTH(sizeof(*route));
    const struct rtattr *first =
        (const void *)((const uint8_t *)route + NLMSG_ALIGN(sizeof(*route)));
    const void *index = attribute(first, left, RTA_OIF, sizeof(*ret_index));
    if (index != NULL)
        memcpy(ret_index, index, sizeof(*ret_index));
}

static void append_address(struct request *request, unsigned short type,
                           const struct su_address *address)
{
    bool is_v4 = address->family == AF_INET;
    uint32_t size = is_v4 ? sizeof(struct in_addr) : sizeof(struct in6_addr);
    const void *data =
        is_v4 ? (const void *)&address->v4.sin_addr : (const void *)&address->v6.sin6_addr;
    const struct rtattr head = {.rta_len = (unsigned short)RTA_LENGTH(size), .rta_type = type};
    uint8_t *at = (uint8_t *)request + NLMSG_ALIGN(request->head.nlmsg_len);
    SB_ASSERT(at + RTA_SPACE(size) <= (uint8_t *)(request + 1));
    memcpy(at, &head, sizeof(head));
    memcpy(at + RTA_LENGTH(0), data, size);
    request->head.nlmsg_len = (uint32_t)(at + RTA_SPACE(size) - (uint8_t *)request);
}

static bool is_any(const struct su_address *address)
{
    if (address->family == AF_INET)
        return address->v4.sin_addr.s_addr == INADDR_ANY;
    return address->family != AF_INET6 || IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

/* Returns the index of the interface by which datagrams leave, 0 if it is not known. */
static int interface_to(struct su_qdisc *qdisc, const struct su_address *source,
                        const struct su_address *destination)
{
    bool is_v4 = destination->family == AF_INET;
    if (!is_v4 && destination->v6.sin6_scope_id != 0)
        return (int)destination->v6.sin6_scope_id;
    struct request request = {
        .head = {.nlmsg_len = NLMSG_LENGTH(sizeof(struct rtmsg)),
                 .nlmsg_type = RTM_GETROUTE,
                 .nlmsg_flags = NLM_F_REQUEST},
        .route = {.head = {.rtm_family = (unsigned char)destination->family,
                           .rtm_dst_len = is_v4 ? 32 : 128}},
    };
    append_address(&request, RTA_DST, destination);
    if (source->family == destination->family && !is_any(source)) {
        request.route.head.rtm_src_len = request.route.head.rtm_dst_len;
        append_address(&request, RTA_SRC, source);
    }
    int index = 0;
    return query(qdisc, &request, take_route, &index) == 0 ? index : 0;
}

bool su_qdisc_route_is_timed(struct su_qdisc *qdisc, const struct su_address *source,
                             const struct su_address *destination, uint64_t now_ns)
{
    if (destination->family != AF_INET && destination->family != AF_INET6)
        return false;
    int index = interface_to(qdisc, source, destination);
    return index != 0 && is_timed(qdisc, index, now_ns);
}
