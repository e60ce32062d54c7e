/* SPDX-License-Identifier: MIT */
#ifndef RELAY_FLOWS_H
#define RELAY_FLOWS_H

#include <stdbool.h>
#include <stdint.h>

#include "test/interop/relay/batch.h"

enum { FLOWS_MAX = 4096, FLOWS_DOORS_MAX = 4, FLOWS_VIA_MAX = 8 };

/* An address of the relay that clients send to, and the server behind it. */
struct flows_door {
    struct batch_address listen;
    struct batch_address server;
    int fd;
};

/* One client's address, as a NAT remembers it: what it sends leaves from a socket of its own. */
struct flow {
    struct batch_address client;
    uint32_t door;
    int fd; /* connected to the server; -1: free */
    uint64_t used_ns;
    uint64_t bad_run[2]; /* of the link to the client and to the server */
};

struct flows {
    int poll_fd; /* epoll; data.u32 as flows_key_* below */
    bool gro;
    struct flows_door doors[FLOWS_DOORS_MAX];
    uint32_t door_count;
    struct batch_address via[FLOWS_VIA_MAX]; /* where the sockets to the server are bound */
    uint32_t via_count;                      /* 0: the system chooses */
    uint32_t via_now;
    struct flow items[FLOWS_MAX];
    uint32_t used; /* items beyond were never used */
    uint32_t last; /* the flow of the last flows_find() */
};

/* epoll's data: a door, or FLOWS_DOORS_MAX and the index of a flow. */

/* Opens the doors.  Returns 0 or a negative errno. */
int flows_open(struct flows *flows);
void flows_close(struct flows *flows);

/* Returns the index of the client's flow, which is opened if it is not there.  When all are in use,
 * the one that was silent for longest goes.  Returns a negative errno if no socket can be opened.
 */
int flows_find(struct flows *flows, uint32_t door, const struct batch_address *client,
               uint64_t now_ns);

/* Gives every flow another port, and another address if `with_address`.  What the server sends to
 * the old ones is lost, as behind a NAT.  Returns how many flows have moved. */
uint32_t flows_rebind(struct flows *flows, bool with_address);

#endif
