/* SPDX-License-Identifier: MIT */
#include "bench/load/messages.h"

#include <string.h>

#include "bench/load/endpoint.h"
#include "bench/load/payload.h"

_Static_assert((MESSAGES_PIECES_MAX - 2) * (uint64_t)PAYLOAD_SIZE >= MESSAGES_SIZE_MAX,
               "the largest message fits");

enum { NUMBER_SIZE = ENDPOINT_HEADER_SIZE };
_Static_assert(MESSAGES_HEAD_SIZE == 3 * NUMBER_SIZE, "three numbers");

void messages_write_head(uint8_t ret[MESSAGES_HEAD_SIZE], const struct messages_head *head)
{
    endpoint_write_header(ret, head->value);
    endpoint_write_header(ret + NUMBER_SIZE, head->number);
    endpoint_write_header(ret + (size_t)2 * NUMBER_SIZE, head->time_ns);
}

bool messages_read_head(const struct spate_message *message, struct messages_head *ret)
{
    uint8_t bytes[MESSAGES_HEAD_SIZE];
    size_t size = 0;
    for (size_t i = 0; i < message->piece_count && size < sizeof(bytes); i++) {
        size_t left = sizeof(bytes) - size;
        size_t part = message->pieces[i].iov_len < left ? message->pieces[i].iov_len : left;
        memcpy(bytes + size, message->pieces[i].iov_base, part);
        size += part;
    }
    if (size < sizeof(bytes))
        return false;
    ret->value = endpoint_read_header(bytes);
    ret->number = endpoint_read_header(bytes + NUMBER_SIZE);
    ret->time_ns = endpoint_read_header(bytes + (size_t)2 * NUMBER_SIZE);
    return true;
}

size_t messages_pieces(const uint8_t *head, uint64_t size, struct iovec ret[MESSAGES_PIECES_MAX])
{
    size_t count = 0;
    if (head != NULL) {
        ret[count++] = (struct iovec){(void *)(uintptr_t)head, MESSAGES_HEAD_SIZE};
        size -= MESSAGES_HEAD_SIZE;
    }
    while (size > 0) {
        size_t part = size < PAYLOAD_SIZE ? (size_t)size : PAYLOAD_SIZE;
        ret[count++] = (struct iovec){(void *)(uintptr_t)payload_region(), part};
        size -= part;
    }
    return count;
}

bool messages_match(const struct spate_message *message, size_t skip)
{
    uint64_t offset = 0;
    for (size_t i = 0; i < message->piece_count; i++) {
        const uint8_t *data = message->pieces[i].iov_base;
        size_t size = message->pieces[i].iov_len;
        size_t left_out = skip < size ? skip : size;
        skip -= left_out;
        if (!payload_matches(offset, data + left_out, size - left_out))
            return false;
        offset += size - left_out;
    }
    return skip == 0;
}

struct spate_messenger_options messages_options(void)
{
    struct spate_messenger_options options;
    spate_messenger_options_init(&options);
    options.message_size_max = MESSAGES_SIZE_MAX;
    return options;
}
