/* SPDX-License-Identifier: MIT */
#ifndef LOAD_ADDRESS_H
#define LOAD_ADDRESS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

struct failure;

#define ADDRESSES_MAX     8
#define ADDRESS_HOST_SIZE 256
#define ADDRESS_TEXT_SIZE 64 /* "[v6 address%scope]:port" */

struct address {
    struct sockaddr_storage storage;
    socklen_t size;
};

/* All that a name stands for, in the order in which to try. */
struct address_list {
    char host[ADDRESS_HOST_SIZE]; /* as written, without brackets and port */
    struct address items[ADDRESSES_MAX];
    uint32_t count; /* 1 to ADDRESSES_MAX */
};

/* Checks the form of what address_resolve() takes.  Returns false, with the failure set, if it is
 * another one. */
bool address_check(const char *text, const char *option, uint16_t port_min,
                   struct failure *failure);

/* Resolves "HOST:PORT", "ADDR:PORT" or "[V6ADDR]:PORT".
 *
 *   option  For the error's text: "--connect".
 *   port_min  0 if port 0 (any free port) is allowed, otherwise 1.
 *
 * Gives up after a few seconds if a name server does not answer.  Returns false and
 * sets `failure` if the text is no address or the name does not resolve. */
bool address_resolve(const char *text, const char *option, uint16_t port_min,
                     struct address_list *ret, struct failure *failure);

/* "127.0.0.1:4433" or "[::1]:4433". */
void address_format(const struct address *address, char ret[ADDRESS_TEXT_SIZE]);

bool address_is_v6(const struct address *address);

#endif
