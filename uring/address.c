/* SPDX-License-Identifier: MIT */
#include "uring/address.h"

/* Addresses, to and from text and the kernel's structs.  Only numeric text is
 * read: names are resolved by programs, never on a shard's thread. */

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <string.h>

#include "proto/base/assert.h"

/* Reads a decimal number of digits only, up to `max`; the end of the text must follow. */
static bool number_parse(const char *text, uint64_t max, uint32_t *ret)
{
    uint64_t value = 0;
    if (*text == '\0')
        return false;
    for (; *text != '\0'; text++) {
        if (*text < '0' || *text > '9')
            return false;
        value = value * 10 + (uint64_t)(*text - '0');
        if (value > max)
            return false;
    }
    *ret = (uint32_t)value;
    return true;
}

/* `host` is "2001:db8::1" or "fe80::1%3", without brackets; it is changed. */
static int v6_parse(char *host, uint32_t port, struct su_address *ret)
{
    uint32_t scope_id = 0;
    char *percent = strchr(host, '%');
    if (percent != NULL) {
        *percent = '\0';
        if (!number_parse(percent + 1, UINT32_MAX, &scope_id))
            return -EINVAL;
    }

    struct su_address address = {.v6 = {.sin6_family = AF_INET6,
                                        .sin6_port = htons((uint16_t)port),
                                        .sin6_scope_id = scope_id}};
    if (inet_pton(AF_INET6, host, &address.v6.sin6_addr) != 1)
        return -EINVAL;
    return su_address_from_kernel(&address.any, sizeof(address.v6), ret);
}

int su_address_parse(const char *text, struct su_address *ret)
{
    SB_ASSERT(text != NULL && ret != NULL);

    char host[SU_ADDRESS_TEXT_SIZE];
    const char *colon = strrchr(text, ':');
    uint32_t port;
    if (colon == NULL || !number_parse(colon + 1, UINT16_MAX, &port))
        return -EINVAL;
    size_t size = (size_t)(colon - text);
    if (size == 0 || size >= sizeof(host))
        return -EINVAL;
    memcpy(host, text, size);
    host[size] = '\0';

    if (host[0] == '[') {
        if (size < 2 || host[size - 1] != ']')
            return -EINVAL;
        host[size - 1] = '\0';
        return v6_parse(host + 1, port, ret);
    }

    struct su_address address = {.v4 = {.sin_family = AF_INET, .sin_port = htons((uint16_t)port)}};
    if (inet_pton(AF_INET, host, &address.v4.sin_addr) != 1)
        return -EINVAL;
    *ret = address;
    return 0;
}

const char *su_address_format(const struct su_address *address, char text[SU_ADDRESS_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN];
    uint16_t port = su_address_port(address);

    if (address->family == AF_INET &&
        inet_ntop(AF_INET, &address->v4.sin_addr, host, sizeof(host)) != NULL)
        (void)snprintf(text, SU_ADDRESS_TEXT_SIZE, "%s:%u", host, port);
    else if (address->family == AF_INET6 &&
             inet_ntop(AF_INET6, &address->v6.sin6_addr, host, sizeof(host)) != NULL &&
             address->v6.sin6_scope_id != 0)
        (void)snprintf(text, SU_ADDRESS_TEXT_SIZE, "[%s%%%u]:%u", host, address->v6.sin6_scope_id,
                       port);
    else if (address->family == AF_INET6)
        (void)snprintf(text, SU_ADDRESS_TEXT_SIZE, "[%s]:%u", host, port);
    else
        (void)snprintf(text, SU_ADDRESS_TEXT_SIZE, "-");
    return text;
}

int su_address_from_kernel(const void *name, size_t size, struct su_address *ret)
{
    struct su_address address = {0};
    if (size < sizeof(address.family))
        return -EINVAL;
    memcpy(&address.family, name, sizeof(address.family));

    if (address.family == AF_INET && size >= sizeof(address.v4)) {
        struct sockaddr_in v4;
        memcpy(&v4, name, sizeof(v4));
        address.v4.sin_port = v4.sin_port; /* and not sin_zero */
        address.v4.sin_addr = v4.sin_addr;
    } else if (address.family == AF_INET6 && size >= sizeof(address.v6)) {
        struct sockaddr_in6 v6;
        memcpy(&v6, name, sizeof(v6));
        if (IN6_IS_ADDR_V4MAPPED(&v6.sin6_addr)) {
            address.v4.sin_family = AF_INET;
            address.v4.sin_port = v6.sin6_port;
            memcpy(&address.v4.sin_addr, &v6.sin6_addr.s6_addr[12], 4);
        } else {
            address.v6.sin6_port = v6.sin6_port;
            address.v6.sin6_addr = v6.sin6_addr;
            if (IN6_IS_ADDR_LINKLOCAL(&v6.sin6_addr))
                address.v6.sin6_scope_id = v6.sin6_scope_id;
        }
    } else {
        return -EINVAL;
    }
    *ret = address;
    return 0;
}

struct su_address su_address_for_socket(const struct su_address *address, sa_family_t family)
{
    if (family != AF_INET6 || address->family != AF_INET)
        return *address;

    struct su_address mapped = {.v6 = {.sin6_family = AF_INET6, .sin6_port = address->v4.sin_port}};
    mapped.v6.sin6_addr.s6_addr[10] = 0xff;
    mapped.v6.sin6_addr.s6_addr[11] = 0xff;
    memcpy(&mapped.v6.sin6_addr.s6_addr[12], &address->v4.sin_addr, 4);
    return mapped;
}

bool su_address_is_equal(const struct su_address *a, const struct su_address *b)
{
    if (a->family != b->family)
        return false;
    if (a->family == AF_INET)
        return a->v4.sin_port == b->v4.sin_port && a->v4.sin_addr.s_addr == b->v4.sin_addr.s_addr;
    if (a->family == AF_INET6)
        return a->v6.sin6_port == b->v6.sin6_port && a->v6.sin6_scope_id == b->v6.sin6_scope_id &&
               memcmp(&a->v6.sin6_addr, &b->v6.sin6_addr, sizeof(a->v6.sin6_addr)) == 0;
    return true; /* both none */
}

uint16_t su_address_port(const struct su_address *address)
{
    if (address->family == AF_INET)
        return ntohs(address->v4.sin_port);
    return address->family == AF_INET6 ? ntohs(address->v6.sin6_port) : 0;
}

void su_address_set_port(struct su_address *address, uint16_t port)
{
    if (address->family == AF_INET)
        address->v4.sin_port = htons(port);
    else if (address->family == AF_INET6)
        address->v6.sin6_port = htons(port);
}
