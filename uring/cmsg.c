/* SPDX-License-Identifier: MIT */
#include "uring/cmsg.h"

/* Control messages, walked and written by hand.
 *
 * The CMSG_ macros trust cmsg_len, and their walk depends on a struct msghdr
 * that is not there for a provided buffer.  Here every length is compared with
 * what is left before it is used, and everything is copied out, so that the
 * buffer may start anywhere. */

#include <errno.h>
#include <netinet/udp.h>
#include <string.h>
#include <time.h>

#include "proto/base/assert.h"
#include "proto/base/time.h"

/* The kernel writes at most one of each; a dual-stack socket gets either TOS or TCLASS, and at most
 * both kinds of packet information. */
_Static_assert(CMSG_SPACE(sizeof(int)) +                        /* UDP_GRO */
                       CMSG_SPACE(sizeof(int)) +                /* IP_TOS or IPV6_TCLASS */
                       CMSG_SPACE(sizeof(struct in_pktinfo)) +  /* IP_PKTINFO */
                       CMSG_SPACE(sizeof(struct in6_pktinfo)) + /* IPV6_PKTINFO */
                       CMSG_SPACE(sizeof(uint32_t)) +           /* SO_RXQ_OVFL */
                       CMSG_SPACE(sizeof(struct timespec))      /* SO_TIMESTAMPNS */
                   <= SU_CONTROL_RECEIVE_SIZE,
               "everything fits at once");
_Static_assert(CMSG_SPACE(sizeof(uint16_t)) + CMSG_SPACE(sizeof(int)) +
                       CMSG_SPACE(sizeof(struct in6_pktinfo)) + CMSG_SPACE(sizeof(uint64_t)) <=
                   SU_CONTROL_SEND_SIZE,
               "UDP_SEGMENT, TOS or TCLASS, the source, and SCM_TXTIME fit at once");

#define ECN_MASK 3 /* the low two bits of TOS and of the traffic class */

/* Copies one message's data out if it has at least `want` bytes. */
static bool data_copy(const uint8_t *data, size_t size, void *ret, size_t want)
{
    if (size < want)
        return false;
    memcpy(ret, data, want);
    return true;
}

static bool read_ip(int type, const uint8_t *data, size_t size, struct su_control *control)
{
    if (type == IP_TOS) {
        uint8_t tos; /* one byte, unlike IPV6_TCLASS */
        if (!data_copy(data, size, &tos, sizeof(tos)))
            return false;
        control->ecn = tos & ECN_MASK;
    } else if (type == IP_PKTINFO) {
        struct in_pktinfo info;
        if (!data_copy(data, size, &info, sizeof(info)))
            return false;
        control->local =
            (struct su_address){.v4 = {.sin_family = AF_INET, .sin_addr = info.ipi_addr}};
    }
    return true;
}

static bool read_ip6(int type, const uint8_t *data, size_t size, struct su_control *control)
{
    if (type == IPV6_TCLASS) {
        int tclass;
        if (!data_copy(data, size, &tclass, sizeof(tclass)))
            return false;
        control->ecn = (uint8_t)(tclass & ECN_MASK);
    } else if (type == IPV6_PKTINFO) {
        struct in6_pktinfo info;
        if (!data_copy(data, size, &info, sizeof(info)))
            return false;
        struct sockaddr_in6 address = {.sin6_family = AF_INET6,
                                       .sin6_addr = info.ipi6_addr,
                                       .sin6_scope_id = info.ipi6_ifindex};
        return su_address_from_kernel(&address, sizeof(address), &control->local) == 0;
    }
    return true;
}

static bool read_socket(int type, const uint8_t *data, size_t size, struct su_control *control)
{
    if (type == SO_RXQ_OVFL) {
        if (!data_copy(data, size, &control->dropped_count, sizeof(control->dropped_count)))
            return false;
        control->has_dropped_count = true;
    } else if (type == SO_TIMESTAMPNS) {
        struct timespec stamp;
        if (!data_copy(data, size, &stamp, sizeof(stamp)))
            return false;
        control->stamp_ns = (uint64_t)stamp.tv_sec * SB_S + (uint64_t)stamp.tv_nsec;
    }
    return true;
}

static bool read_message(const struct cmsghdr *head, const uint8_t *data,
                         struct su_control *control)
{
    size_t size = head->cmsg_len - sizeof(*head);
    if (head->cmsg_level == SOL_IP)
        return read_ip(head->cmsg_type, data, size, control);
    if (head->cmsg_level == SOL_IPV6)
        return read_ip6(head->cmsg_type, data, size, control);

    if (head->cmsg_level == SOL_SOCKET)
        return read_socket(head->cmsg_type, data, size, control);

    if (head->cmsg_level == SOL_UDP && head->cmsg_type == UDP_GRO) {
        int segment_size;
        if (!data_copy(data, size, &segment_size, sizeof(segment_size)) || segment_size <= 0)
            return false;
        control->segment_size = (uint32_t)segment_size;
    }
    return true;
}

int su_cmsg_parse(const uint8_t *control, size_t size, struct su_control *ret)
{
    SB_ASSERT(control != NULL || size == 0);
    struct su_control parsed = {0};

    while (size != 0) {
        struct cmsghdr head;
        if (size < sizeof(head))
            return -EBADMSG;
        memcpy(&head, control, sizeof(head));
        if (head.cmsg_len < sizeof(head) || head.cmsg_len > size)
            return -EBADMSG;
        if (!read_message(&head, control + sizeof(head), &parsed))
            return -EBADMSG;

        size_t step = SB_MIN(CMSG_ALIGN(head.cmsg_len), size); /* the last may lack its padding */
        control += step;
        size -= step;
    }
    *ret = parsed;
    return 0;
}

/* Appends one message and returns the size with it.  Inline, because `size` is a constant of each
 * call: the copies are a few stores then. */
static inline __attribute__((always_inline)) uint32_t append(uint8_t *control, uint32_t used,
                                                             int level, int type, const void *data,
                                                             size_t size)
{
    struct cmsghdr head = {.cmsg_len = CMSG_LEN(size), .cmsg_level = level, .cmsg_type = type};
    SB_ASSERT(used + CMSG_SPACE(size) <= SU_CONTROL_SEND_SIZE);

    memset(control + used, 0, CMSG_SPACE(size));
    memcpy(control + used, &head, sizeof(head));
    memcpy(control + used + sizeof(head), data, size);
    return used + (uint32_t)CMSG_SPACE(size);
}

static bool is_any(const struct su_address *address)
{
    if (address->family == AF_INET)
        return address->v4.sin_addr.s_addr == INADDR_ANY;
    return address->family != AF_INET6 || IN6_IS_ADDR_UNSPECIFIED(&address->v6.sin6_addr);
}

static uint32_t append_source(uint8_t *control, uint32_t used,
                              const struct su_control_request *request)
{
    if (request->socket_family == AF_INET) {
        struct in_pktinfo info = {.ipi_spec_dst = request->source->v4.sin_addr};
        return append(control, used, SOL_IP, IP_PKTINFO, &info, sizeof(info));
    }
    /* An AF_INET6 socket takes the mapped address for an IPv4 packet. */
    struct su_address source = su_address_for_socket(request->source, AF_INET6);
    struct in6_pktinfo info = {.ipi6_addr = source.v6.sin6_addr,
                               .ipi6_ifindex = source.v6.sin6_scope_id};
    return append(control, used, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info));
}

uint32_t su_cmsg_build(uint8_t control[SU_CONTROL_SEND_SIZE],
                       const struct su_control_request *request)
{
    SB_ASSERT(request->ecn <= ECN_MASK);
    uint32_t used = 0;
    int tos = (request->socket_tos & ~ECN_MASK) | request->ecn;

    if (request->segment_size != 0)
        used = append(control, used, SOL_UDP, UDP_SEGMENT, &request->segment_size,
                      sizeof(request->segment_size));
    if (tos != request->socket_tos && request->is_v4)
        used = append(control, used, SOL_IP, IP_TOS, &tos, sizeof(tos));
    else if (tos != request->socket_tos)
        used = append(control, used, SOL_IPV6, IPV6_TCLASS, &tos, sizeof(tos));
    /* A source of the other family would be refused; the path is then wrong and not the packet. */
    if (request->source != NULL && !is_any(request->source) &&
        (request->source->family == AF_INET) == request->is_v4)
        used = append_source(control, used, request);
    if (SB_UNLIKELY(request->depart_ns != 0))
        used = append(control, used, SOL_SOCKET, SCM_TXTIME, &request->depart_ns,
                      sizeof(request->depart_ns));
    return used;
}

uint32_t su_cmsg_write_received(uint8_t control[SU_CONTROL_RECEIVE_SIZE],
                                const struct su_control *received)
{
    SB_ASSERT(received->ecn <= ECN_MASK);
    uint32_t used = 0;
    int segment_size = (int)received->segment_size;
    int tclass = received->ecn;

    if (segment_size != 0)
        used = append(control, used, SOL_UDP, UDP_GRO, &segment_size, sizeof(segment_size));
    if (received->local.family == AF_INET) {
        struct in_pktinfo info = {.ipi_addr = received->local.v4.sin_addr};
        used = append(control, used, SOL_IP, IP_PKTINFO, &info, sizeof(info));
    } else if (received->local.family == AF_INET6) {
        struct in6_pktinfo info = {.ipi6_addr = received->local.v6.sin6_addr,
                                   .ipi6_ifindex = received->local.v6.sin6_scope_id};
        used = append(control, used, SOL_IPV6, IPV6_PKTINFO, &info, sizeof(info));
    }
    return append(control, used, SOL_IPV6, IPV6_TCLASS, &tclass, sizeof(tclass));
}
