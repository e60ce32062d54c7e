/* SPDX-License-Identifier: MIT */
#ifndef EXAMPLES_NAT_H
#define EXAMPLES_NAT_H

#include <netinet/in.h>
#include <stdint.h>

/* NATs that keep changing, each with one client behind it: a pair of sockets.  The client talks to
 * one, and the other one talks to the server, from one of the local addresses.  What fails ends the
 * program, after it has said why. */
struct nat {
    int inside;
    int outside;               /* connected to the server */
    struct sockaddr_in client; /* once it has sent something */
};

/* Those behind `nats`; they stay where they are. */
struct nat_table {
    struct nat *nats;
    struct sockaddr_in server;
    char **local_addresses; /* as text */
    uint32_t local_count;
    int epoll_fd;
};

void nat_table_init(struct nat_table *ret, struct nat *nats, const struct sockaddr_in *server,
                    char **local_addresses, uint32_t local_count);

/* Makes the NAT of a client, which is to connect to `*ret`. */
void nat_begin(struct nat_table *table, uint32_t index, struct sockaddr_in *ret);

/* Takes another address and port: the server sees the client there from now on. */
void nat_rebind(struct nat_table *table, uint32_t index, uint32_t round);

/* Passes on what has come. */
void nat_pass_all(struct nat_table *table);

#endif
