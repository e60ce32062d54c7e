/* SPDX-License-Identifier: MIT */
#include "tools/histogram/inflate.h"

/* Decompression for the logs of HdrHistogram, so that the programs need no zlib: canonical Huffman
 * codes, read bit by bit, because such a log is small. */

#include <string.h>

enum { CODE_BITS_MAX = 15, LITERALS = 288, DISTANCES = 30, BLOCK_MAX = 65535 };

struct bits {
    const uint8_t *in;
    size_t size, at;
    uint32_t value, count;
    bool failed;
};

struct output {
    uint8_t *bytes;
    size_t size, used;
};

struct code {
    uint16_t counts[CODE_BITS_MAX + 1]; /* codes of each length */
    uint16_t symbols[LITERALS];         /* in the order of their codes */
};

static uint32_t take_bits(struct bits *b, uint32_t count)
{
    while (b->count < count) {
        if (b->at == b->size) {
            b->failed = true;
            return 0;
        }
        b->value |= (uint32_t)b->in[b->at++] << b->count;
        b->count += 8;
    }
    uint32_t value = b->value & ((UINT32_C(1) << count) - 1);
    b->value >>= count;
    b->count -= count;
    return value;
}

/* Returns false for lengths that need more codes than there are. */
static bool make_code(struct code *code, const uint8_t *lengths, uint32_t count)
{
    uint16_t offsets[CODE_BITS_MAX + 2] = {0};
    int32_t left = 1;
    memset(code, 0, sizeof(*code));
    for (uint32_t i = 0; i < count; i++)
        code->counts[lengths[i]]++;
    for (uint32_t bits = 1; bits <= CODE_BITS_MAX; bits++) {
        left = left * 2 - code->counts[bits];
        if (left < 0)
            return false;
        offsets[bits + 1] = (uint16_t)(offsets[bits] + code->counts[bits]);
    }
    for (uint32_t i = 0; i < count; i++)
        if (lengths[i] != 0)
            code->symbols[offsets[lengths[i]]++] = (uint16_t)i;
    return true;
}

static uint32_t take_symbol(struct bits *b, const struct code *code)
{
    uint32_t value = 0, first = 0, index = 0;
    for (uint32_t bits = 1; bits <= CODE_BITS_MAX && !b->failed; bits++) {
        value |= take_bits(b, 1);
        uint32_t count = code->counts[bits];
        if (value < first + count)
            return code->symbols[index + value - first];
        index += count;
        first = (first + count) << 1;
        value <<= 1;
    }
    b->failed = true;
    return 0;
}

static void put(struct bits *b, struct output *out, uint8_t byte)
{
    if (out->used == out->size)
        b->failed = true;
    else
        out->bytes[out->used++] = byte;
}

static void copy_match(struct bits *b, struct output *out, uint32_t symbol,
                       const struct code *distances)
{
    static const uint16_t bases[29] = {3,  4,  5,  6,   7,   8,   9,   10,  11, 13,
                                       15, 17, 19, 23,  27,  31,  35,  43,  51, 59,
                                       67, 83, 99, 115, 131, 163, 195, 227, 258};
    static const uint8_t extras[29] = {0, 0, 0, 0, 0, 0, 0, 0, 1, 1, 1, 1, 2, 2, 2,
                                       2, 3, 3, 3, 3, 4, 4, 4, 4, 5, 5, 5, 5, 0};
    if (symbol >= 29) {
        b->failed = true;
        return;
    }
    uint32_t size = bases[symbol] + take_bits(b, extras[symbol]);
    uint32_t code = take_symbol(b, distances);
    if (b->failed || code >= DISTANCES) {
        b->failed = true;
        return;
    }
    /* [RFC1951 3.2.5] 1, 2, 3, 4, 5, 7, 9, 13, 17, ... */
    uint32_t extra = code < 4 ? 0 : code / 2 - 1;
    uint32_t base = code < 4 ? code + 1 : ((2 + code % 2) << extra) + 1;
    uint32_t distance = base + take_bits(b, extra);
    if (distance > out->used) {
        b->failed = true;
        return;
    }
    for (uint32_t i = 0; i < size && !b->failed; i++)
        put(b, out, out->bytes[out->used - distance]);
}

static void take_codes(struct bits *b, struct output *out, const struct code *literals,
                       const struct code *distances)
{
    while (!b->failed) {
        uint32_t symbol = take_symbol(b, literals);
        if (symbol < 256)
            put(b, out, (uint8_t)symbol);
        else if (symbol == 256)
            return;
        else
            copy_match(b, out, symbol - 257, distances);
    }
}

static void take_fixed(struct bits *b, struct output *out)
{
    struct code literals, distances;
    uint8_t lengths[LITERALS];
    for (uint32_t i = 0; i < LITERALS; i++)
        lengths[i] = i < 144 ? 8 : i < 256 ? 9 : i < 280 ? 7 : 8;
    bool is_code = make_code(&literals, lengths, LITERALS);
    memset(lengths, 5, DISTANCES);
    is_code = make_code(&distances, lengths, DISTANCES) && is_code;
    b->failed = b->failed || !is_code;
    take_codes(b, out, &literals, &distances);
}

static void take_dynamic(struct bits *b, struct output *out)
{
    static const uint8_t order[19] = {16, 17, 18, 0, 8,  7, 9,  6, 10, 5,
                                      11, 4,  12, 3, 13, 2, 14, 1, 15};
    struct code code, literals, distances;
    uint8_t lengths[LITERALS + 32] = {0};
    uint32_t literal_count = take_bits(b, 5) + 257, distance_count = take_bits(b, 5) + 1;
    uint32_t count = take_bits(b, 4) + 4, used = 0;
    for (uint32_t i = 0; i < count; i++)
        lengths[order[i]] = (uint8_t)take_bits(b, 3);
    if (literal_count > LITERALS || !make_code(&code, lengths, 19)) {
        b->failed = true;
        return;
    }
    memset(lengths, 0, sizeof(lengths));
    while (used < literal_count + distance_count && !b->failed) {
        uint32_t symbol = take_symbol(b, &code), repeat = 1, value = symbol;
        if (symbol == 16) {
            value = used > 0 ? lengths[used - 1] : 0;
            repeat = 3 + take_bits(b, 2);
        } else if (symbol > 16) {
            value = 0;
            repeat = symbol == 17 ? 3 + take_bits(b, 3) : 11 + take_bits(b, 7);
        }
        for (; repeat > 0 && used < literal_count + distance_count; repeat--)
            lengths[used++] = (uint8_t)value;
        b->failed = b->failed || repeat > 0;
    }
    if (!make_code(&literals, lengths, literal_count) ||
        !make_code(&distances, lengths + literal_count, distance_count))
        b->failed = true;
    take_codes(b, out, &literals, &distances);
}

static void take_stored(struct bits *b, struct output *out)
{
    b->value = b->count = 0; /* the rest of the byte */
    uint32_t size = take_bits(b, 16), inverse = take_bits(b, 16);
    b->failed = b->failed || size != (inverse ^ 0xffff);
    for (; size > 0 && !b->failed; size--)
        put(b, out, (uint8_t)take_bits(b, 8));
}

static uint32_t adler32(const uint8_t *bytes, size_t size)
{
    uint32_t a = 1, b = 0;
    for (size_t i = 0; i < size; i++) {
        a = (a + bytes[i]) % 65521;
        b = (b + a) % 65521;
    }
    return b << 16 | a;
}

ptrdiff_t histogram_inflate(const uint8_t *in, size_t in_size, uint8_t *out, size_t out_size)
{
    struct bits b = {.in = in, .size = in_size, .at = 2};
    struct output output = {.bytes = out, .size = out_size};
    bool is_last = false;
    if (in_size < 6 || (in[0] & 15) != 8 || (in[0] << 8 | in[1]) % 31 != 0 || (in[1] & 32) != 0)
        return -1;
    while (!is_last && !b.failed) {
        is_last = take_bits(&b, 1) == 1;
        uint32_t kind = take_bits(&b, 2);
        if (kind == 0)
            take_stored(&b, &output);
        else if (kind == 1)
            take_fixed(&b, &output);
        else if (kind == 2)
            take_dynamic(&b, &output);
        else
            b.failed = true;
    }
    if (b.failed || in_size - b.at < 4)
        return -1;
    const uint8_t *sum = in + b.at;
    uint32_t wanted =
        (uint32_t)sum[0] << 24 | (uint32_t)sum[1] << 16 | (uint32_t)sum[2] << 8 | (uint32_t)sum[3];
    return adler32(out, output.used) == wanted ? (ptrdiff_t)output.used : -1;
}

size_t histogram_store(const uint8_t *in, size_t in_size, uint8_t *out)
{
    size_t used = 0, at = 0;
    out[used++] = 0x78;
    out[used++] = 0x01;
    do {
        size_t size = in_size - at < BLOCK_MAX ? in_size - at : BLOCK_MAX;
        out[used++] = at + size == in_size;
        out[used++] = (uint8_t)size;
        out[used++] = (uint8_t)(size >> 8);
        out[used++] = (uint8_t)~size;
        out[used++] = (uint8_t)(~size >> 8);
        memcpy(out + used, in + at, size);
        used += size;
        at += size;
    } while (at < in_size);
    uint32_t sum = adler32(in, in_size);
    for (uint32_t i = 0; i < 4; i++)
        out[used++] = (uint8_t)(sum >> (24 - 8 * i));
    return used;
}
