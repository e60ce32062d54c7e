/* SPDX-License-Identifier: MIT */
#include "tools/spate/swarm/wire.h"

/* A message is its type, up to three numbers of 32 bits, and for two types bytes.  What can be
 * attacked: the count of bytes, which is limited here; that the numbers name something is for those
 * who know the content to check. */

enum { NUMBER_SIZE = 4, BITFIELD_MAX = SWARM_PIECES_MAX / 8 };

enum bytes { NO_BYTES, FIXED_BYTES, COUNTED_BYTES };

static const struct {
    uint8_t number_count;
    enum bytes bytes;
    uint32_t bytes_max;
} shapes[SWARM_TYPE_COUNT] = {
    [SWARM_HELLO] = {1, FIXED_BYTES, SWARM_ID_SIZE + SWARM_PROOF_SIZE},
    [SWARM_BITFIELD] = {1, COUNTED_BYTES, BITFIELD_MAX},
    [SWARM_HAVE] = {1, NO_BYTES, 0},
    [SWARM_CHOKE] = {0, NO_BYTES, 0},
    [SWARM_UNCHOKE] = {0, NO_BYTES, 0},
    [SWARM_REQUEST] = {3, NO_BYTES, 0},
};

static int fail(struct swarm_reader *reader)
{
    reader->has_failed = true;
    return -1;
}

static void take_type(struct swarm_reader *reader, uint8_t type)
{
    bool is_known = type > 0 && type < SWARM_TYPE_COUNT;
    *reader = (struct swarm_reader){.type = type, .has_failed = !is_known};
    reader->field_left = is_known && shapes[type].number_count > 0 ? NUMBER_SIZE : 0;
}

static void take_number_byte(struct swarm_reader *reader, uint8_t byte)
{
    reader->numbers[reader->field] = reader->numbers[reader->field] << 8 | byte;
    if (--reader->field_left > 0)
        return;
    reader->field++;
    if (reader->field < shapes[reader->type].number_count)
        reader->field_left = NUMBER_SIZE;
}

static void end(struct swarm_reader *reader, struct swarm_message *ret)
{
    *ret = (struct swarm_message){
        .type = (enum swarm_type)reader->type,
        .numbers = {reader->numbers[0], reader->numbers[1], reader->numbers[2]},
        .is_last = true,
    };
    reader->type = 0;
}

/* Hands out what is there of a message's bytes. */
static void take_bytes(struct swarm_reader *reader, const uint8_t **data, size_t *size,
                       struct swarm_message *ret)
{
    uint32_t left = reader->bytes_size - reader->bytes_done;
    uint32_t now = *size < left ? (uint32_t)*size : left;
    uint32_t offset = reader->bytes_done;
    const uint8_t *at = *data;
    *data += now;
    *size -= now;
    reader->bytes_done += now;
    bool is_last = now == left;
    uint8_t type = reader->type;
    end(reader, ret);
    if (!is_last)
        reader->type = type;
    ret->data = at;
    ret->size = now;
    ret->offset = offset;
    ret->is_last = is_last;
}

int swarm_reader_next(struct swarm_reader *reader, const uint8_t **data, size_t *size,
                      struct swarm_message *ret)
{
    while (!reader->has_failed && *size > 0) {
        if (reader->in_bytes && reader->type != 0) {
            take_bytes(reader, data, size, ret);
            return 1;
        }
        uint8_t byte = *(*data)++;
        (*size)--;
        if (reader->type == 0)
            take_type(reader, byte);
        else
            take_number_byte(reader, byte);
        if (reader->has_failed)
            break;
        if (reader->field_left > 0)
            continue;
        if (shapes[reader->type].bytes == NO_BYTES) {
            end(reader, ret);
            return 1;
        }
        reader->in_bytes = true;
        reader->bytes_size = shapes[reader->type].bytes == FIXED_BYTES
                                 ? shapes[reader->type].bytes_max
                                 : reader->numbers[0];
        if (reader->bytes_size == 0 || reader->bytes_size > shapes[reader->type].bytes_max)
            return fail(reader);
    }
    return reader->has_failed ? -1 : 0;
}

bool swarm_reader_is_partial(const struct swarm_reader *reader)
{
    return reader->type != 0;
}

size_t swarm_message_write(enum swarm_type type, const uint32_t *numbers, uint8_t *ret)
{
    size_t size = 0;
    ret[size++] = (uint8_t)type;
    for (uint32_t i = 0; i < shapes[type].number_count; i++) {
        for (int shift = 24; shift >= 0; shift -= 8)
            ret[size++] = (uint8_t)(numbers[i] >> shift);
    }
    return size;
}

const char *swarm_code_text(uint64_t code)
{
    static const char *const texts[SWARM_CODE_COUNT] = {
        [SWARM_OK] = "done",
        [SWARM_BAD_MESSAGE] = "a message that is not allowed",
        [SWARM_OTHER_CONTENT] = "another metainfo",
        [SWARM_NO_TOKEN] = "the token is missing or wrong",
        [SWARM_CORRUPT] = "a piece has another hash",
        [SWARM_BUSY] = "too many peers",
        [SWARM_CHOKED] = "choked",
        [SWARM_NOT_HERE] = "a piece that is not there",
        [SWARM_CANCELLED] = "interrupted",
    };
    return code < SWARM_CODE_COUNT ? texts[code] : "an unknown code";
}
