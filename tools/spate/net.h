/* SPDX-License-Identifier: MIT */
#ifndef SPATE_NET_H
#define SPATE_NET_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

enum { NET_ADDRESSES_MAX = 8, NET_TEXT_SIZE = 64, NET_NAME_SIZE = 272, NET_HOST_SIZE = 256 };

struct net_address {
    struct sockaddr_storage storage;
    socklen_t size;
};

/* All addresses of a host, in the order in which to try them. */
struct net_addresses {
    struct net_address items[NET_ADDRESSES_MAX];
    uint32_t count;
};

/* Resolves a name, or an address as text.  Returns NULL, or why it does not: a static string. */
const char *net_resolve(const char *host, uint16_t port, struct net_addresses *ret);

/* Reads "HOST:PORT" or "[V6ADDR]:PORT", and looks nothing up.  The port is 0 to 65535, and the host
 * has no brackets.  Returns false for anything else. */
bool net_split(const char *text, char ret_host[NET_HOST_SIZE], uint16_t *ret_port);

/* Reads "ADDR:PORT", "[V6ADDR]:PORT" or "HOST:PORT".  Returns NULL, or what is wrong: a static
 * string. */
const char *net_parse(const char *text, struct net_address *ret);

/* Writes "127.0.0.1:4433" or "[::1]:4433". */
void net_format(const struct net_address *address, char ret[NET_TEXT_SIZE]);

/* Writes "HOST:PORT", with brackets around an IPv6 address. */
void net_format_name(const char *host, uint16_t port, char ret[NET_NAME_SIZE]);

#endif
