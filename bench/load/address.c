/* SPDX-License-Identifier: MIT */
#include "bench/load/address.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/failure.h"
#include "bench/load/number.h"

/* Cuts the text at its last colon, and brackets off the host.  Returns false if it has not that
 * shape. */
static bool split(const char *text, char host[ADDRESS_HOST_SIZE], const char **ret_port)
{
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text)
        return false;

    const char *first = text;
    size_t size = (size_t)(colon - text);
    if (text[0] == '[') {
        if (size < 3 || colon[-1] != ']')
            return false;
        first++;
        size -= 2;
    } else if (memchr(text, ':', size) != NULL) {
        return false; /* IPv6 without brackets: which colon is the last? */
    }
    if (size >= ADDRESS_HOST_SIZE)
        return false;
    memcpy(host, first, size);
    host[size] = 0;
    *ret_port = colon + 1;
    return true;
}

static bool parse(const char *text, const char *option, uint16_t port_min,
                  char host[ADDRESS_HOST_SIZE], const char **ret_port, struct failure *failure)
{
    const char *port = NULL;
    uint64_t number = 0;
    if (!split(text, host, &port))
        return failure_set(failure,
                           "%s must be ADDR:PORT, such as 127.0.0.1:4433 or [::1]:4433, not '%s'",
                           option, text);
    if (strspn(port, "0123456789") != strlen(port) || !number_parse_size(port, &number) ||
        number < port_min || number > 65535)
        return failure_set(failure, "%s must have a port from %d to 65535, not '%s'", option,
                           port_min, port);
    *ret_port = port;
    return true;
}

bool address_check(const char *text, const char *option, uint16_t port_min, struct failure *failure)
{
    char host[ADDRESS_HOST_SIZE];
    const char *port;
    return parse(text, option, port_min, host, &port, failure);
}

bool address_resolve(const char *text, const char *option, uint16_t port_min,
                     struct address_list *ret, struct failure *failure)
{
    struct address_list list = {.count = 0};
    const char *port;
    if (!parse(text, option, port_min, list.host, &port, failure))
        return false;

    /* glibc's resolver would wait 5 s twice for each of up to three name servers. */
    (void)setenv("RES_OPTIONS", "timeout:2 attempts:1", 0);
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    int error = getaddrinfo(list.host, port, &hints, &found);
    if (error != 0)
        return failure_set(failure, "%s: the name '%s' does not resolve: %s", option, list.host,
                           gai_strerror(error));

    for (struct addrinfo *a = found; a != NULL && list.count < ADDRESSES_MAX; a = a->ai_next) {
        struct address *item = &list.items[list.count];
        if (a->ai_addrlen > sizeof(item->storage))
            continue;
        memcpy(&item->storage, a->ai_addr, a->ai_addrlen);
        item->size = a->ai_addrlen;
        list.count++;
    }
    freeaddrinfo(found);
    if (list.count == 0)
        return failure_set(failure, "%s: the name '%s' has no IP address", option, list.host);
    *ret = list;
    return true;
}

void address_format(const struct address *address, char ret[ADDRESS_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address_is_v6(address)) {
        struct sockaddr_in6 v6;
        memcpy(&v6, &address->storage, sizeof(v6));
        (void)inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        (void)snprintf(ret, ADDRESS_TEXT_SIZE, "[%s]:%u", host, ntohs(v6.sin6_port));
        return;
    }
    struct sockaddr_in v4;
    memcpy(&v4, &address->storage, sizeof(v4));
    (void)inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
    (void)snprintf(ret, ADDRESS_TEXT_SIZE, "%s:%u", host, ntohs(v4.sin_port));
}

bool address_is_v6(const struct address *address)
{
    return address->storage.ss_family == AF_INET6;
}
