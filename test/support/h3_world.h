/* SPDX-License-Identifier: MIT */
#ifndef H3_WORLD_H
#define H3_WORLD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* The HTTP/3 of "spate serve" with a library that is not there: its events come from a test, and
 * what is lent to it is checked.  One connection at a time.
 *
 * The files of the server are "file", 3,000 bytes, and "large", 300,000 bytes.
 *
 * It asserts that lent bytes do not change until they come back, that each slice is released once,
 * and that nothing is held after the end. */

struct h3_options {
    bool is_early; /* 0-RTT: the handshake is not complete */
    bool echoes;   /* WebTransport */
};

enum {
    H3_REQUESTS_MAX = 24, /* streams of the client of each kind */
    H3_UNI_MAX = 8,
};

/* What the client hears of the end. */
struct h3_end {
    bool is_closed;
    uint64_t error;
};

void h3_begin(const struct h3_options *options);

/* Closes the connection and looks at what is left. */
struct h3_end h3_end(void);

/* .. or the server ends while the connection lives, and nobody hears of anything. */
void h3_abandon(void);

/* Bytes of a stream of the client, in slices of up to `cut` bytes.  The stream opens, and with it
 * those before it.  Nothing happens after its end, and after the connection was closed. */
void h3_data(uint64_t id, const uint8_t *data, size_t size, bool fin, size_t cut);

/* The client resets its side of the stream, or stops ours. */
void h3_reset(uint64_t id);
void h3_stop(uint64_t id);

/* The client has all that was sent on the stream, or on all of them. */
void h3_ack(uint64_t id);
void h3_ack_all(void);

void h3_datagram(const uint8_t *data, size_t size);

/* A turn: what is to be sent is lent; the next `refused_count` writes find no memory. */
void h3_flush(uint32_t refused_count);

void h3_go_away(void);

/* Bytes that the server has written to a stream, 0 after it was closed. */
size_t h3_written(uint64_t id);

/* The urgency that the server has set for an open stream, and how often it has set one of any. */
uint32_t h3_urgency(uint64_t id);
uint64_t h3_priority_count(void);

#endif
