/* SPDX-License-Identifier: MIT */
#ifndef LOSSY_RELAY_H
#define LOSSY_RELAY_H

#include <stdint.h>
#include <sys/socket.h>

/* A network between one client's socket and a server that loses datagrams, in a thread of its
 * own: both ways, each on its own, by a seed. */

struct lossy_relay;

struct lossy_relay_config {
    struct sockaddr_storage server;
    socklen_t server_size;
    uint32_t loss_per_thousand;
    uint64_t seed;
};

/* Starts it, or fails the test; owned by the test (test/support/owned.h). */
struct lossy_relay *lossy_relay_start(const struct lossy_relay_config *config);

/* Where the client is to connect to. */
struct sockaddr_storage lossy_relay_address(const struct lossy_relay *relay, socklen_t *ret_size);

/* As a NAT that has forgotten the flow: from now on the server sees another port.  What it has sent
 * to the old one is lost.  Threads: the test's. */
void lossy_relay_rebind(struct lossy_relay *relay);

/* How many datagrams were lost on purpose.  Threads: any. */
uint64_t lossy_relay_lost(const struct lossy_relay *relay);

#endif
