/* SPDX-License-Identifier: MIT */
#ifndef SE_MESSAGE_HEADER_H
#define SE_MESSAGE_HEADER_H

#include <stddef.h>
#include <stdint.h>

/* The first bytes of a message on a stream: <spate/message.h> describes them for other programs. */
struct se_message_header {
    uint64_t channel;  /* 0: without an order */
    uint64_t sequence; /* in the channel, from 0; 0 and not on the wire without a channel */
};

enum { SE_MESSAGE_HEADER_SIZE_MAX = 16 };

/* Writes a header, whose numbers are below 2^62.  Returns its size. */
size_t se_message_header_write(const struct se_message_header *header,
                               uint8_t ret[SE_MESSAGE_HEADER_SIZE_MAX]);

/* Reads a header from the first `size` bytes of a stream.  Returns its size, or 0 and leaves `*ret`
 * untouched if more bytes are needed. */
size_t se_message_header_read(const uint8_t *data, size_t size, struct se_message_header *ret);

#endif
