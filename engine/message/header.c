/* SPDX-License-Identifier: MIT */
#include "engine/message/header.h"

#include "proto/base/assert.h"
#include "proto/base/bytes.h"

size_t se_message_header_write(const struct se_message_header *header,
                               uint8_t ret[SE_MESSAGE_HEADER_SIZE_MAX])
{
    uint8_t *at = sb_store_varint(ret, header->channel);
    if (header->channel != 0)
        at = sb_store_varint(at, header->sequence);
    SB_ASSERT(at - ret <= SE_MESSAGE_HEADER_SIZE_MAX);
    return (size_t)(at - ret);
}

size_t se_message_header_read(const uint8_t *data, size_t size, struct se_message_header *ret)
{
    struct sb_reader reader = sb_reader_of(data, size);
    struct se_message_header header = {.channel = sb_reader_varint(&reader)};
    if (header.channel != 0)
        header.sequence = sb_reader_varint(&reader);
    if (reader.failed)
        return 0;
    *ret = header;
    return size - sb_reader_left(&reader);
}
