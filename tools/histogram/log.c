/* SPDX-License-Identifier: MIT */
#include "tools/histogram/log.h"

/* [HdrHistogram, AbstractHistogram.encodeIntoByteBuffer(), HistogramLogWriter] A line is
 *
 *     Tag=NAME,start,interval,max,BASE64
 *
 * BASE64: a cookie, a size and a zlib stream, of 40 bytes of head and the counts in ZigZag LEB128,
 * in which a negative number stands for so many zeros.  All numbers are big-endian.  Two
 * significant digits and a lowest value of 1 give the buckets of struct spate_histogram, one by
 * one. */

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "tools/histogram/inflate.h"

#define COOKIE            UINT32_C(0x1c849313)
#define COOKIE_COMPRESSED UINT32_C(0x1c849314)

enum { HEAD_SIZE = 40, DIGITS = 2, BYTES_MAX = HEAD_SIZE + 9 * SPATE_HISTOGRAM_BUCKET_COUNT };

static const char letters[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

static void put(uint8_t *to, uint64_t value, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        to[i] = (uint8_t)(value >> (8 * (size - 1 - i)));
}

static uint64_t get(const uint8_t *from, uint32_t size)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < size; i++)
        value = value << 8 | from[i];
    return value;
}

/* ---- Writing ---- */

static size_t put_number(uint8_t *to, int64_t number)
{
    uint64_t left = ((uint64_t)number << 1) ^ (uint64_t)(number >> 63);
    size_t used = 0;
    while (used < 8 && left >= 0x80) {
        to[used++] = (uint8_t)(left | 0x80);
        left >>= 7;
    }
    to[used++] = (uint8_t)left;
    return used;
}

static size_t encode(const struct spate_histogram *h, uint8_t *to)
{
    size_t used = HEAD_SIZE;
    uint32_t last = h->count == 0 ? 0 : spate_histogram_index(h->max);
    for (uint32_t i = 0; i <= last; i++) {
        int64_t zeros = 0;
        while (i + zeros <= last && h->counts[i + zeros] == 0)
            zeros++;
        used += put_number(to + used, zeros > 0 ? -zeros : (int64_t)h->counts[i]);
        i += zeros > 0 ? (uint32_t)zeros - 1 : 0;
    }
    memset(to, 0, HEAD_SIZE);
    put(to, COOKIE, 4);
    put(to + 4, used - HEAD_SIZE, 4);
    put(to + 12, DIGITS, 4);
    put(to + 16, 1, 8);
    put(to + 24, SPATE_HISTOGRAM_VALUE_MAX, 8);
    put(to + 32, UINT64_C(0x3ff0000000000000), 8); /* 1.0 */
    return used;
}

static void write_base64(FILE *file, const uint8_t *bytes, size_t size)
{
    for (size_t i = 0; i < size; i += 3) {
        uint32_t left = size - i < 3 ? (uint32_t)(size - i) : 3;
        uint32_t word = (uint32_t)bytes[i] << 16;
        word |= left > 1 ? (uint32_t)bytes[i + 1] << 8 : 0;
        word |= left > 2 ? bytes[i + 2] : 0;
        for (uint32_t k = 0; k < 4; k++)
            fputc(k <= left ? letters[word >> (18 - 6 * k) & 63] : '=', file);
    }
}

void histogram_log_begin(FILE *file)
{
    fputs("#[Histogram log format version 1.3]\n"
          "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_"
          "Histogram\"\n",
          file);
}

bool histogram_log_write(FILE *file, const char *tag, const struct spate_histogram *histogram)
{
    uint8_t *plain = malloc(BYTES_MAX);
    uint8_t *packed = malloc(8 + BYTES_MAX + 64);
    bool is_done = plain != NULL && packed != NULL;
    if (is_done) {
        size_t size = histogram_store(plain, encode(histogram, plain), packed + 8);
        put(packed, COOKIE_COMPRESSED, 4);
        put(packed + 4, size, 4);
        if (tag[0] != '\0')
            fprintf(file, "Tag=%s,", tag);
        fprintf(file, "0.000,0.000,%.3f,", (double)histogram->max / 1e6);
        write_base64(file, packed, size + 8);
        fputc('\n', file);
    }
    free(plain);
    free(packed);
    return is_done;
}

/* ---- Reading ---- */

static size_t decode_base64(const char *text, uint8_t *to, size_t size)
{
    uint32_t word = 0, count = 0;
    size_t used = 0;
    for (; *text > ' ' && *text != '='; text++) {
        const char *letter = strchr(letters, *text);
        if (letter == NULL)
            return 0;
        word = word << 6 | (uint32_t)(letter - letters);
        if (++count % 4 != 1) {
            uint32_t bits = 6 - 2 * ((count - 1) % 4);
            if (used == size)
                return 0;
            to[used++] = (uint8_t)(word >> bits);
        }
    }
    return used;
}

static bool get_number(const uint8_t **at, const uint8_t *end, int64_t *ret)
{
    uint64_t value = 0;
    for (uint32_t i = 0; i < 9; i++) {
        if (*at == end)
            return false;
        uint8_t byte = *(*at)++;
        value |= (uint64_t)(i < 8 ? byte & 0x7f : byte) << (7 * i);
        if (i == 8 || byte < 0x80)
            break;
    }
    *ret = (int64_t)(value >> 1) ^ -(int64_t)(value & 1);
    return true;
}

/* How a histogram lays out its counts. */
struct shape {
    uint32_t half_bits; /* of half the buckets of a power of two: SPATE_HISTOGRAM_SUB_BITS here */
    uint32_t unit_bits;
};

static uint64_t middle_of(const struct shape *shape, uint64_t index)
{
    uint64_t octave = index >> shape->half_bits;
    uint64_t shift = (octave > 1 ? octave - 1 : 0) + shape->unit_bits;
    uint64_t sub = octave > 1 ? index - ((octave - 1) << shape->half_bits) : index;
    if (shift >= 40 || sub >= UINT64_C(1) << 22)
        return SPATE_HISTOGRAM_VALUE_MAX;
    return (sub << shift) + (shift > 0 ? UINT64_C(1) << (shift - 1) : 0);
}

static bool decode(const uint8_t *bytes, size_t size, struct spate_histogram *ret)
{
    static const uint64_t powers[] = {2, 20, 200, 2000, 20000, 200000};
    if (size < HEAD_SIZE || get(bytes, 4) != COOKIE || get(bytes + 8, 4) != 0)
        return false;
    uint64_t payload = get(bytes + 4, 4), digits = get(bytes + 12, 4), lowest = get(bytes + 16, 8);
    if (payload > size - HEAD_SIZE || digits > 5 || lowest == 0)
        return false;
    struct shape shape = {.unit_bits = 63 - (uint32_t)__builtin_clzll(lowest)};
    while (UINT64_C(2) << shape.half_bits < powers[digits])
        shape.half_bits++;
    const uint8_t *at = bytes + HEAD_SIZE, *end = at + payload;
    uint64_t index = 0;
    while (at < end) {
        int64_t number;
        if (!get_number(&at, end, &number) || number == INT64_MIN)
            return false;
        if (number > 0)
            spate_histogram_record_many(ret, middle_of(&shape, index), (uint64_t)number);
        index += number < 0 ? (uint64_t)-number : 1;
        if (index > UINT32_MAX)
            return false;
    }
    return true;
}

int histogram_log_read(const char *line, char tag[HISTOGRAM_TAG_SIZE], struct spate_histogram *ret)
{
    tag[0] = '\0';
    if (line[0] == '#' || line[0] == '"' || line[0] == '\n' || line[0] == '\0')
        return 0;
    if (strncmp(line, "Tag=", 4) == 0) {
        size_t size = strcspn(line + 4, ",");
        (void)snprintf(tag, HISTOGRAM_TAG_SIZE, "%.*s", (int)(size < 40 ? size : 40), line + 4);
        for (char *c = tag; *c != '\0'; c++) /* it is printed: no escapes of terminals */
            *c = *c >= ' ' && *c < 0x7f ? *c : '?';
        line += 4 + size + (line[4 + size] == ',');
    }
    for (uint32_t i = 0; i < 3; i++) {
        line = strchr(line, ',');
        if (line == NULL)
            return -1;
        line++;
    }
    size_t room = strlen(line), out_room = 16 * BYTES_MAX;
    uint8_t *packed = malloc(room + 8), *plain = malloc(out_room);
    int result = -1;
    size_t size = packed == NULL ? 0 : decode_base64(line, packed, room + 8);
    if (plain != NULL && size > 8 && get(packed, 4) == COOKIE_COMPRESSED &&
        get(packed + 4, 4) <= size - 8) {
        ptrdiff_t count = histogram_inflate(packed + 8, get(packed + 4, 4), plain, out_room);
        result = count >= 0 && decode(plain, (size_t)count, ret) ? 1 : -1;
    }
    free(packed);
    free(plain);
    return result;
}
