/* SPDX-License-Identifier: MIT */
#include "tools/spate/net.h"

#include <arpa/inet.h>
#include <netdb.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

enum { HOST_SIZE = 256 };

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

const char *net_parse(const char *text, struct net_address *ret)
{
    static const char form[] = "is not ADDR:PORT, such as 127.0.0.1:4433 or [::]:4433";
    char host[HOST_SIZE];
    const char *colon = strrchr(text, ':');
    if (colon == NULL || colon == text)
        return form;
    const char *first = text;
    size_t size = (size_t)(colon - text);
    if (text[0] == '[') {
        if (size < 3 || colon[-1] != ']')
            return form;
        first++;
        size -= 2;
    } else if (memchr(text, ':', size) != NULL) {
        return form; /* IPv6 without brackets */
    }
    size_t digits = strlen(colon + 1);
    if (size >= sizeof(host) || digits < 1 || digits > 5 ||
        strspn(colon + 1, "0123456789") != digits || strtoul(colon + 1, NULL, 10) > 65535)
        return form;
    memcpy(host, first, size);
    host[size] = 0;

    struct net_addresses found;
    const char *wrong = net_resolve(host, (uint16_t)strtoul(colon + 1, NULL, 10), &found);
    if (wrong != NULL)
        return wrong;
    *ret = found.items[0];
    return NULL;
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
