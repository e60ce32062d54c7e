/* SPDX-License-Identifier: MIT */
/* Input: two bytes of options, then what a client does: see operations below.
 *
 * It is done twice: with slices as long as the client's writes, and with slices of 1 to 32 bytes.
 * h3_world.h says what is asserted each time.  Where slices end must not decide how the connection
 * ends; only after a request may it, as bytes behind one that is answered are not read. */

#include "test/support/fuzz.h"
#include "test/support/h3_world.h"

/* The lower bits of a byte: an operation.  The upper ones: a stream. */
enum operation {
    DATA, /* a byte with a size follows, and the bytes */
    DATA_FIN,
    RESET,
    STOP,
    ACK,
    FLUSH, /* the number of the stream is that of writes that are refused */
    FLUSH_AND_ACK,
    OTHER, /* the number of the stream says what */
};

static uint64_t id_of(unsigned number)
{
    return number < H3_UNI_MAX ? 2 + 4 * (uint64_t)number : 4 * (uint64_t)(number - H3_UNI_MAX);
}

/* Of the stream that the server writes to. */
static uint64_t out_id_of(unsigned number)
{
    return number < H3_UNI_MAX ? 3 + 4 * (uint64_t)number : id_of(number);
}

static void do_other(unsigned number, const uint8_t *data, size_t size)
{
    if (number == 0)
        h3_go_away();
    else if (number == 1)
        h3_datagram(data, size);
    else
        h3_ack_all();
}

static struct h3_end play(const uint8_t *data, size_t size, const struct h3_options *options,
                          size_t cut, bool *ret_has_requests)
{
    h3_begin(options);
    *ret_has_requests = false;
    for (size_t at = 0; at < size;) {
        const enum operation operation = data[at] & 7;
        const unsigned number = data[at++] >> 3;
        size_t count = 0;
        if (operation == DATA || operation == DATA_FIN || (operation == OTHER && number == 1)) {
            count = at < size ? data[at++] : 0;
            if (count > size - at)
                count = size - at;
        }
        uint8_t *copy = fuzz_copy(data + at, count);
        at += count;
        if (operation == DATA || operation == DATA_FIN) {
            *ret_has_requests = *ret_has_requests || number >= H3_UNI_MAX;
            h3_data(id_of(number), copy, count, operation == DATA_FIN, cut);
        } else if (operation == RESET)
            h3_reset(id_of(number));
        else if (operation == STOP)
            h3_stop(out_id_of(number));
        else if (operation == ACK)
            h3_ack(out_id_of(number));
        else if (operation == OTHER)
            do_other(number, copy, count);
        else
            h3_flush(operation == FLUSH ? number : 0);
        if (operation == FLUSH_AND_ACK)
            h3_ack_all();
        free(copy);
    }
    h3_flush(0);
    return h3_end();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size < 2)
        return 0;
    const struct h3_options options = {.echoes = (data[0] & 1) != 0,
                                       .is_early = (data[0] & 2) != 0};
    bool has_requests;
    struct h3_end whole = play(data + 2, size - 2, &options, 255, &has_requests);
    struct h3_end cuts = play(data + 2, size - 2, &options, data[1] % 32 + 1, &has_requests);
    SB_ASSERT(has_requests || (whole.is_closed == cuts.is_closed && whole.error == cuts.error));
    return 0;
}
