/* SPDX-License-Identifier: MIT */
#ifndef SU_ADDRESS_H
#define SU_ADDRESS_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

#include "proto/base/compiler.h"

/* The address and port of one end of a UDP path.
 *
 * Canonical form, which everything in uring/ hands out and which makes
 * comparing cheap: an IPv4 peer is AF_INET, even on a dual-stack AF_INET6
 * socket (no ::ffff:a.b.c.d outside uring/); scope_id is set for link-local
 * addresses only; the flow label is zero.  AF_UNSPEC (all zero) is "none". */
struct su_address {
    union {
        sa_family_t family;
        struct sockaddr any;
        struct sockaddr_in v4;
        struct sockaddr_in6 v6;
    };
};

/* "[2001:db8::1%4294967295]:65535" and the final zero. */
#define SU_ADDRESS_TEXT_SIZE 72

/* Reads "192.0.2.1:443", "[2001:db8::1]:443", "[fe80::1%3]:443" (a numeric scope); numeric
 * only, nothing is resolved, and the port is not optional.  0, or -EINVAL for anything else.
 * Threads: any. */
SB_MUST_USE int su_address_parse(const char *text, struct su_address *ret);

/* Writes what su_address_parse reads, or "-" for none.  Returns `text`.  Threads: any. */
const char *su_address_format(const struct su_address *address, char text[SU_ADDRESS_TEXT_SIZE]);

/* Takes what the kernel wrote: bounds are checked, a mapped IPv4 address becomes AF_INET.
 * 0, or -EINVAL if `size` is too small for the family or the family is unknown. */
SB_MUST_USE int su_address_from_kernel(const void *name, size_t size, struct su_address *ret);

/* The form that a socket of `family` takes: for AF_INET6 an IPv4 address becomes a mapped one.
 * The result's size is su_address_size() of it.  An IPv6 address for an AF_INET socket stays as
 * it is, and the kernel refuses it (EAFNOSUPPORT). */
struct su_address su_address_for_socket(const struct su_address *address, sa_family_t family);

/* Same family, address, port and scope. */
bool su_address_is_equal(const struct su_address *a, const struct su_address *b);

/* The port in host byte order; 0 for none. */
uint16_t su_address_port(const struct su_address *address);
void su_address_set_port(struct su_address *address, uint16_t port);

/* What the kernel wants as its length; 0 for none. */
static inline socklen_t su_address_size(const struct su_address *address)
{
    if (address->family == AF_INET)
        return sizeof(struct sockaddr_in);
    return address->family == AF_INET6 ? sizeof(struct sockaddr_in6) : 0;
}

#endif
