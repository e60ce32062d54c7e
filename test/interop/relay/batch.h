/* SPDX-License-Identifier: MIT */
#ifndef RELAY_BATCH_H
#define RELAY_BATCH_H

#include <netinet/in.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <sys/socket.h>

/* UDP sockets, many trains per system call: recvmmsg() with GRO, sendmmsg() with GSO. */

enum {
    BATCH_TRAINS = 16, /* per recvmmsg(), each of up to BATCH_TRAIN_SIZE bytes */
    BATCH_TRAIN_SIZE = 65536,
    BATCH_SENDS = 64, /* per sendmmsg() */
};

struct batch_address {
    struct sockaddr_storage storage;
    socklen_t size;
};

/* Received: one datagram, or some of one size that the kernel has joined. */
struct batch_train {
    const struct batch_address *from;
    uint8_t *data; /* may be changed; valid until the next batch_receive() */
    size_t size;
    size_t segment_size;
    uint8_t ecn;
};

/* To be sent.  `to` NULL: the socket is connected. */
struct batch_send {
    const struct batch_address *to;
    uint8_t *data;
    size_t size;
    size_t segment_size;
    uint8_t ecn;
};

struct batch;

struct batch *batch_create(void);
void batch_destroy(struct batch *batch);

/* Opens a socket that does not block.  Returns it or a negative errno.
 *
 *   bind_to     Where it is bound.
 *   connect_to  NULL: it is not connected.
 *   gro         The kernel joins received datagrams. */
int batch_socket(const struct batch_address *bind_to, const struct batch_address *connect_to,
                 bool gro);

/* Receives what is there, up to BATCH_TRAINS.  Returns their number. */
size_t batch_receive(struct batch *batch, int fd, struct batch_train *ret);

/* Sends in order.  Returns the number of datagrams that the kernel refused for good.
 *
 *   gso  False: each datagram by itself. */
uint64_t batch_send(struct batch *batch, int fd, const struct batch_send *sends, size_t count,
                    bool gso);

/* Reads "ADDR:PORT", "[V6]:PORT", "ADDR" or "V6".  Returns false if it is none. */
bool batch_parse_address(const char *text, struct batch_address *ret);

/* Writes "127.0.0.1:4433" or "[::1]:4433". */
void batch_format_address(const struct batch_address *address, char ret[64]);

#endif
