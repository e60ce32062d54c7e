/* SPDX-License-Identifier: MIT */
#include "tools/spate/net.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const char *net_resolve(const char *host, uint16_t port, struct net_addresses *ret)
{
    char service[8];
    struct addrinfo hints = {
        .ai_family = AF_UNSPEC, .ai_socktype = SOCK_DGRAM, .ai_flags = AI_NUMERICSERV};
    struct addrinfo *found = NULL;
    (void)snprintf(service, sizeof(service), "%u", port);
    int error = getaddrinfo(host, service, &hints, &found);
    if (error != 0)
        return gai_strerror(error);
    ret->count = 0;
    for (struct addrinfo *a = found; a != NULL && ret->count < NET_ADDRESSES_MAX; a = a->ai_next) {
        struct net_address *item = &ret->items[ret->count];
        if (a->ai_addrlen > sizeof(item->storage))
            continue;
        memset(item, 0, sizeof(*item));
        memcpy(&item->storage, a->ai_addr, a->ai_addrlen);
        item->size = a->ai_addrlen;
        ret->count++;
    }
    freeaddrinfo(found);
    return ret->count == 0 ? "the name has no IP address" : NULL;
}

bool net_split(const char *text, char ret_host[NET_HOST_SIZE], uint16_t *ret_port)
{
    const char *colon = strrchr(text, ':');
    size_t size = colon != NULL ? (size_t)(colon - text) : 0;
    if (size > 0 && text[0] == '[') {
        if (colon[-1] != ']' || size < 3)
            return false;
        text++;
        size -= 2;
    } else if (size > 0 && memchr(text, ':', size) != NULL) {
        return false; /* IPv6 without brackets */
    }
    if (size == 0 || size >= NET_HOST_SIZE)
        return false;
    const size_t digits = strspn(colon + 1, "0123456789");
    const unsigned long port = strtoul(colon + 1, NULL, 10);
    if (digits < 1 || digits > 5 || colon[1 + digits] != 0 || port > UINT16_MAX)
        return false;
    memcpy(ret_host, text, size);
    ret_host[size] = 0;
    *ret_port = (uint16_t)port;
    return true;
}

const char *net_parse(const char *text, struct net_address *ret)
{
    char host[NET_HOST_SIZE];
    uint16_t port;
    struct net_addresses found;
    if (!net_split(text, host, &port))
        return "is not ADDR:PORT, such as 127.0.0.1:4433 or [::]:4433";
    const char *wrong = net_resolve(host, port, &found);
    if (wrong == NULL)
        *ret = found.items[0];
    return wrong;
}

void net_format(const struct net_address *address, char ret[NET_TEXT_SIZE])
{
    char host[INET6_ADDRSTRLEN] = "?";
    if (address->storage.ss_family == AF_INET6) {
        struct sockaddr_in6 v6;
        memcpy(&v6, &address->storage, sizeof(v6));
        (void)inet_ntop(AF_INET6, &v6.sin6_addr, host, sizeof(host));
        (void)snprintf(ret, NET_TEXT_SIZE, "[%s]:%u", host, ntohs(v6.sin6_port));
        return;
    }
    struct sockaddr_in v4;
    memcpy(&v4, &address->storage, sizeof(v4));
    (void)inet_ntop(AF_INET, &v4.sin_addr, host, sizeof(host));
    (void)snprintf(ret, NET_TEXT_SIZE, "%s:%u", host, ntohs(v4.sin_port));
}

void net_format_name(const char *host, uint16_t port, char ret[NET_NAME_SIZE])
{
    bool is_v6 = strchr(host, ':') != NULL;
    (void)snprintf(ret, NET_NAME_SIZE, is_v6 ? "[%s]:%u" : "%s:%u", host, port);
}
