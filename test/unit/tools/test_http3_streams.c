/* SPDX-License-Identifier: MIT */
/* HTTP/3 of "spate serve" at a library that is not there: streams that come and go in odd ways, and
 * slices that end anywhere. */

#include "test/support/qt.h"

#include <malloc.h>
#include <string.h>
#include <unistd.h>

#include "test/support/h3_world.h"
#include "tools/spate/http3/varint.h"

#define PRIORITY_UPDATE 0xf0700

enum { CONTROL = 2, MANY = 20000, ALL = 1 << 16 };

/* The type of a control stream, and a SETTINGS frame. */
static const uint8_t settings[] = {0, 4, 5, 1, 0x50, 0, 7, 16};

static const char request[] = "\x01\x40\x41\0\0"
                              "\x27\0:method\x03GET"
                              "\x27\0:scheme\x05https"
                              "\x27\x03:authority\x09localhost"
                              "\x25:path\x06/large";

static void begin(void)
{
    static const struct h3_options options;
    h3_begin(&options);
    h3_data(CONTROL, settings, sizeof(settings), false, ALL);
    h3_flush(0);
    h3_ack_all();
}

static void end_well(void)
{
    assert_false(h3_end().is_closed);
}

static void say(uint64_t id, const char *bytes, size_t size)
{
    h3_data(id, (const uint8_t *)bytes, size, false, ALL);
}

static void prioritize(uint64_t id)
{
    uint8_t frame[16];
    uint8_t number[8];
    size_t number_size = varint_write(id, number);
    size_t size = varint_write(PRIORITY_UPDATE, frame);
    size += varint_write(number_size, frame + size);
    memcpy(frame + size, number, number_size);
    h3_data(CONTROL, frame, size + number_size, false, ALL);
}

/* Bytes in use, of the C library's memory; 0 with another one. */
static size_t used_bytes(void)
{
    return mallinfo2().uordblks;
}

static void a_stream_that_said_nothing_leaves_nothing(void **state)
{
    (void)state;
    begin();
    size_t before = used_bytes();
    for (uint64_t i = 0; i < MANY; i++) {
        h3_reset(4 * i);
        prioritize(4 * i);
    }
    size_t after = used_bytes();
    end_well();
    assert_true(after < before + MANY * 8);
}

/* Frames that may come as often as one likes: priorities with a value, without one and with a long
 * one, an unknown frame, one of nothing, MAX_PUSH_ID, GOAWAY. */
static const char frames[] = "\x80\x0f\x07\x00\x07\x28u=3, i"
                             "\x80\x0f\x07\x00\x01\x28"
                             "\x80\x0f\x07\x00\x0b\xc0\0\0\0\0\0\0\x04u=0"
                             "\x80\x0f\x07\x00\x12\x08u=5, i, a=bcdefghi"
                             "\x21\x06grease"
                             "\x21\0"
                             "\x0d\x02\x40\x46"
                             "\x07\x04\x80\0\0\x10";

static void a_control_stream_may_be_cut_anywhere(void **state)
{
    const size_t size = sizeof(frames) - 1;
    (void)state;
    for (size_t cut = 1; cut <= size; cut++) {
        begin();
        h3_data(CONTROL, (const uint8_t *)frames, size, false, cut);
        end_well();
        begin();
        say(CONTROL, frames, cut);
        say(CONTROL, frames + cut, size - cut);
        say(CONTROL, frames, size);
        end_well();
    }
}

static void what_ends_in_the_middle_ends_alone(void **state)
{
    (void)state;
    for (size_t cut = 0; cut < sizeof(settings); cut++) {
        static const struct h3_options options;
        h3_begin(&options);
        say(CONTROL, (const char *)settings, cut);
        h3_reset(CONTROL);
        assert_int_equal(h3_end().is_closed, cut > 0);
    }
    for (size_t cut = 0; cut < sizeof(frames); cut++) {
        begin();
        say(CONTROL, frames, cut);
        h3_data(CONTROL, NULL, 0, true, ALL);
        struct h3_end end = h3_end();
        assert_true(end.is_closed);
        assert_int_equal(end.error, 0x104); /* H3_CLOSED_CRITICAL_STREAM */
    }
}

static void a_file_comes_back_wherever_the_request_is_cut(void **state)
{
    const size_t size = sizeof(request) - 1;
    (void)state;
    for (size_t cut = 1; cut < size; cut++) {
        begin();
        say(0, request, cut);
        h3_flush(0);
        assert_int_equal(h3_written(0), 0);
        say(0, request + cut, size - cut);
        for (int i = 0; i < 20; i++) {
            h3_flush(i % 3 == 0 ? 2 : 0); /* sometimes there is no memory */
            h3_ack(0);
        }
        assert_in_range(h3_written(0), 300000, 301000);
        h3_stop(0);
        h3_reset(0);
        assert_int_equal(h3_written(0), 0); /* it was closed */
        end_well();
    }
}

/* What a priority costs does not depend on how many answers there are, nor any other frame on
 * priorities. */
static void a_priority_is_set_for_its_request_alone(void **state)
{
    static const char urgent[] = "\x80\x0f\x07\x00\x04\x28u=1"; /* of stream 40 */
    enum { REQUESTS = 20 };
    (void)state;
    begin();
    for (uint64_t i = 0; i < REQUESTS; i++)
        say(4 * i, request, sizeof(request) - 1);
    h3_flush(0);
    uint64_t before = h3_priority_count();
    say(CONTROL, "\x21\x06grease\x0d\x01\x05", 11); /* an unknown frame, MAX_PUSH_ID */
    assert_int_equal(h3_priority_count(), before);
    for (size_t i = 0; i < sizeof(urgent) - 1; i++) {
        assert_int_equal(h3_priority_count(), before); /* it is not whole */
        say(CONTROL, &urgent[i], 1);
    }
    assert_int_equal(h3_priority_count(), before + 1);
    for (uint64_t i = 0; i < REQUESTS; i++)
        assert_int_equal(h3_urgency(4 * i), i == 10 ? 1 : 3);
    end_well();
}

/* .. also one that comes before the request: it has it from the beginning. */
static void a_priority_may_come_first(void **state)
{
    (void)state;
    begin();
    say(CONTROL, "\x80\x0f\x07\x00\x04\x08u=6", 9);
    say(8, request, sizeof(request) - 1);
    assert_int_equal(h3_urgency(8), 6);
    end_well();
}

static void the_server_goes_away_more_than_once(void **state)
{
    (void)state;
    begin();
    h3_go_away();
    h3_go_away();
    h3_flush(0);
    say(0, "\1", 1); /* a request that is too late */
    say(8, "\1", 1);
    h3_go_away();
    h3_flush(0);
    h3_ack_all();
    h3_go_away();
    end_well();
}

/* Returns the descriptor that the next file gets. */
static int next_descriptor(void)
{
    int fd = dup(STDIN_FILENO);
    assert_true(fd >= 0);
    (void)close(fd);
    return fd;
}

/* A second signal ends a server at once: its engine is destroyed, and no event comes. */
static void a_server_that_ends_at_once_leaves_nothing(void **state)
{
    static const struct h3_options options = {.echoes = true};
    static const char connect[] = "\x01\x40\x5c\0\0"
                                  "\x27\0:method\x07"
                                  "CONNECT"
                                  "\x27\x02:protocol\x0cwebtransport"
                                  "\x27\0:scheme\x05https"
                                  "\x27\x03:authority\x09localhost"
                                  "\x25:path\x05/echo";
    const int descriptor = next_descriptor();
    size_t before = 0;
    (void)state;
    for (int i = 0; i < 200; i++) {
        h3_begin(&options);
        h3_data(CONTROL, settings, sizeof(settings), false, ALL);
        say(0, connect, sizeof(connect) - 1);
        h3_flush(0);
        say(4, "\x40\x41\0hello", 8); /* a stream of the session, and a datagram */
        assert_int_equal(h3_written(4), 5);
        h3_datagram((const uint8_t *)"\0hi", 3);
        say(8, request, sizeof(request) - 1);
        say(12, request, sizeof(request) / 2);
        h3_flush(0);
        assert_true(h3_written(8) > 0);
        h3_abandon();
        if (i == 20) /* the C library has its caches by then */
            before = used_bytes();
    }
    assert_in_range(used_bytes(), 0, before + 180 * 8);
    assert_int_equal(next_descriptor(), descriptor);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_stream_that_said_nothing_leaves_nothing),
        cmocka_unit_test(a_control_stream_may_be_cut_anywhere),
        cmocka_unit_test(what_ends_in_the_middle_ends_alone),
        cmocka_unit_test(a_file_comes_back_wherever_the_request_is_cut),
        cmocka_unit_test(a_priority_is_set_for_its_request_alone),
        cmocka_unit_test(a_priority_may_come_first),
        cmocka_unit_test(the_server_goes_away_more_than_once),
        cmocka_unit_test(a_server_that_ends_at_once_leaves_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
