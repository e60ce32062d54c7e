/* SPDX-License-Identifier: MIT */
/* HTTP/3 of "spate serve" at a library that is not there, and clients that do anything: good bytes
 * and bad ones, cut anywhere, with resets and ends between.  h3_world.h says what must hold.  A
 * seed gives one run, always; a failure prints it.
 *
 *     test_http3_random [SEEDS [FIRST-SEED]] */

#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "proto/base/assert.h"
#include "test/support/h3_world.h"
#include "tools/spate/http3/varint.h"

enum { SEEDS = 3000, STEPS_MAX = 120, PART_MAX = 128, CONTROL = 2, ENCODER = 6, DECODER = 10 };

struct part {
    const char *bytes;
    size_t size;
};

#define PART(text) {.bytes = (text), .size = sizeof(text) - 1}

/* What a stream of the client begins with. */
static const struct part requests[] = {
    PART("\x01@@\x00\x00'\x00:method\x03GET'\x00:scheme\x05https'\x03:authority\x09localhost%:"
         "path\x05/file"), /* a file */
    PART("\x01@R\x00\x00'\x00:method\x03GET'\x00:scheme\x05https'\x03:authority\x09localhost%:"
         "path\x06/large'\x01priority\x06u=1, i"), /* a large one, urgent */
    PART("\x01@Q\x00\x00'\x00:method\x04HEAD'\x00:scheme\x05https'\x03:authority\x09localhost%:"
         "path\x05/none%range\x09"
         "bytes=5-9"), /* one that is not there */
    PART("!\x01x\x01@S\x00\x00'\x00:method\x04POST'\x00:scheme\x05https'\x03:"
         "authority\x09localhost%:path\x05/file'\x07"
         "content-length\x01"
         "4\x00\x04"
         "body\x01\x06\x00\x00!a\x01"
         "b"), /* a body and trailers */
    PART("\x01@A\x05\x00'\x00:method\x03GET'\x00:scheme\x05https'\x03:authority\x09localhost%:"
         "path\x05/file\x80"), /* a field of the table */
    PART("\x01@\x5c\x00\x00'\x00:method\x07"
         "CONNECT'\x02:protocol\x0cwebtransport'\x00:scheme\x05https'\x03:authority\x09localhost%:"
         "path\x05/echo"), /* WebTransport */
    PART("@A\x00hello"),   /* a stream of it */
    PART("\x00\x01x"),     /* a body without a request: the last one, for the rude */
};

/* The type of a control stream, and SETTINGS: with a table, or with WebTransport. */
static const struct part settings[] = {
    PART("\x00\x04\x05\x01\x50\x00\x07\x10"),
    PART("\x00\x04\x09\x08\x01"
         "3\x01\xab`7B\x01"),
};

/* Instructions of a table, behind the type of their stream.  [RFC9204 4.3] */
static const struct part encoder = PART("\x02?\xe1\x1fJcustom-key\x05value\xd1\x82\x1c"
                                        "d\x81\x01x\x02");

/* A request that is being sent, or was. */
struct request {
    uint8_t bytes[PART_MAX];
    size_t size;
    size_t sent;
};

static struct request sending[H3_REQUESTS_MAX];
static uint64_t state;
static bool goes_away; /* the server may */
static bool is_rude;   /* it breaks the rules, so that the connection ends */
static unsigned long seed;

static uint64_t below(uint64_t end)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return state % end;
}

static bool is_one_in(uint64_t count)
{
    return below(count) == 0;
}

static bool is_rude_in(uint64_t count)
{
    return is_one_in(count) && is_rude;
}

static void flip_some(uint8_t *bytes, size_t size)
{
    if (size > 0 && is_rude_in(40))
        bytes[below(size)] ^= (uint8_t)(1u << below(8));
}

/* Bytes of a stream of the client's own, in slices of some size. */
static void say(uint64_t id, const void *data, size_t size)
{
    uint8_t bytes[PART_MAX];
    memcpy(bytes, data, size);
    flip_some(bytes, size);
    h3_data(id, bytes, size, is_rude_in(300), 1 + below(is_one_in(2) ? 4 : PART_MAX));
}

static void say_frame(uint64_t kind, uint64_t number, const char *text)
{
    uint8_t bytes[PART_MAX];
    uint8_t digits[8];
    size_t digits_size = varint_write(number, digits);
    size_t size = varint_write(kind, bytes);
    size += varint_write(digits_size + strlen(text), bytes + size);
    memcpy(bytes + size, digits, digits_size);
    memcpy(bytes + size + digits_size, text, strlen(text));
    say(CONTROL, bytes, size + digits_size + strlen(text));
}

static void say_priority(void)
{
    static const char *const values[] = {"", "u=0", "u=7, i", "i", "u=3;a=1", "a=bcdefghijklmnop"};
    say_frame(0xf0700, 4 * below(H3_REQUESTS_MAX + is_rude), values[below(6)]);
}

static void send_request(void)
{
    const uint64_t number = below(H3_REQUESTS_MAX);
    struct request *request = &sending[number];
    if (request->size == 0) {
        const size_t count = sizeof(requests) / sizeof(requests[0]) - (is_rude ? 0 : 1);
        const struct part *part = &requests[below(count)];
        memcpy(request->bytes, part->bytes, part->size);
        request->size = part->size;
        flip_some(request->bytes, request->size);
    }
    size_t left = request->size - request->sent;
    size_t part = is_one_in(2) ? left : below(left + 1);
    bool fin = part == left ? is_one_in(2) : is_rude_in(50);
    h3_data(4 * number, request->bytes + request->sent, part, fin, 1 + below(PART_MAX));
    request->sent += part;
}

static void say_to_decoder(void)
{
    static const uint8_t instructions[] = {0x01, 0x41, 0x44, 0x80, 0x84, 0x7f, 0x80, 0x01};
    say(DECODER, instructions + below(5), 1 + below(3));
}

static void step(void)
{
    switch (below(16)) {
    case 0:
        say_priority();
        break;
    case 1:
        say_frame(is_rude ? below(0x60) : 0x21 + 0x1f * below(9), below(70), "grease");
        break;
    case 2:
        say_frame(is_one_in(2) ? 0x0d : 0x07, is_rude ? below(4) : 4, "");
        break;
    case 3:
        say(ENCODER, encoder.bytes + 1, encoder.size - 1);
        break;
    case 4:
        if (is_rude_in(10))
            say_to_decoder();
        else
            say(DECODER, "\x48", 1); /* a stream is cancelled */
        break;
    case 5:
        h3_reset(is_rude_in(20) ? 2 + 4 * below(H3_UNI_MAX) : 4 * below(H3_REQUESTS_MAX));
        break;
    case 6:
        h3_stop(is_rude_in(20) ? 3 + 4 * below(H3_UNI_MAX) : 4 * below(H3_REQUESTS_MAX));
        break;
    case 7:
        h3_ack(is_one_in(4) ? 3 + 4 * below(3) : 4 * below(H3_REQUESTS_MAX));
        break;
    case 8:
        h3_ack_all();
        break;
    case 9:
    case 10:
        h3_flush((uint32_t)below(4));
        break;
    case 11:
        if (goes_away)
            h3_go_away();
        break;
    case 12:
        h3_datagram((const uint8_t *)"\0hello", below(7));
        break;
    default:
        send_request();
    }
}

/* Returns whether the client has closed the connection, not the server. */
static bool run(void)
{
    const struct h3_options options = {.echoes = is_one_in(3), .is_early = is_one_in(5)};
    const struct part *part = &settings[options.echoes];
    is_rude = is_one_in(2);
    goes_away = is_one_in(4);
    memset(sending, 0, sizeof(sending));
    h3_begin(&options);
    h3_data(CONTROL, (const uint8_t *)part->bytes, part->size, false, 1 + below(PART_MAX));
    say(ENCODER, encoder.bytes, encoder.size);
    say(DECODER, "\3", 1);
    for (uint64_t left = 1 + below(STEPS_MAX); left > 0; left--)
        step();
    return !h3_end().is_closed;
}

static void on_signal(int number)
{
    dprintf(STDERR_FILENO, "not ok - seed %lu\n", seed);
    signal(number, SIG_DFL);
    raise(number);
}

int main(int argc, char **argv)
{
    static const int numbers[] = {SIGILL, SIGTRAP, SIGABRT, SIGSEGV, SIGBUS, SIGFPE};
    unsigned long count = argc > 1 ? strtoul(argv[1], NULL, 10) : SEEDS;
    unsigned long first = argc > 2 ? strtoul(argv[2], NULL, 10) : 1;
    unsigned long whole_count = 0;
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        signal(numbers[i], on_signal);
    for (seed = first; seed < first + count; seed++) {
        state = seed * UINT64_C(0x9e3779b97f4a7c15) | 1;
        for (int i = 0; i < 8; i++)
            (void)below(2);
        whole_count += run();
    }
    /* If most ended early, not much was tried; of a few seeds that says nothing. */
    bool is_good = count < SEEDS || whole_count >= count / 3;
    printf("%s - %lu clients, %lu of them to the end\n", is_good ? "ok" : "not ok", count,
           whole_count);
    return is_good ? 0 : 1;
}
