/* SPDX-License-Identifier: MIT */
#include "bench/roofline/echo.h"

#include <string.h>

#include "bench/load/clock.h"
#include "bench/load/failure.h"
#include <spate/histogram.h>
#include "bench/load/options.h"
#include "bench/roofline/wire.h"

#define WARMUP_NS (50 * NS_PER_MS)
/* How long the kernel sleeps at a time where nothing comes. */
#define WAIT_NS (100 * NS_PER_MS)

struct echo {
    struct wire wire;
    uint64_t seen_count;
};

static void on_receive(void *context, const struct su_received *received)
{
    struct echo *echo = context;
    echo->seen_count += su_received_count(received);
}

/* One datagram, however large a request is. */
static uint32_t datagram_size(uint64_t wanted)
{
    return (uint32_t)SB_MAX(UINT64_C(1), SB_MIN(wanted, (uint64_t)SU_TRAIN_SIZE_MAX));
}

/* There is always a slot: only one datagram is in flight. */
static void send_one(struct echo *echo, uint32_t size)
{
    struct su_send_slot *slot = su_send_take(&echo->wire.send);
    if (slot != NULL && !wire_send(&echo->wire, slot, size, size))
        su_send_abandon(&echo->wire.send, slot);
}

static bool serve(const struct options *o, int control, uint64_t wait_ns, struct failure *failure)
{
    static struct echo echo;
    uint32_t size = datagram_size(o->response_bytes);
    if (!wire_open(&echo.wire, o, NULL, control, failure))
        return false;
    bool is_good = wire_say_ready(&echo.wire, failure);
    uint64_t answered_count = 0;
    while (is_good) {
        is_good = wire_turn(&echo.wire, wait_ns, on_receive, &echo, failure);
        if (echo.seen_count != answered_count)
            send_one(&echo, size);
        answered_count = echo.seen_count;
        if (is_good && echo.wire.is_control_ready && !wire_obey(&echo.wire))
            break;
    }
    wire_close(&echo.wire);
    return is_good;
}

bool echo_serve_blocking(const struct options *o, int control, struct failure *failure)
{
    return serve(o, control, WAIT_NS, failure);
}

bool echo_serve_spinning(const struct options *o, int control, struct failure *failure)
{
    return serve(o, control, 0, failure);
}

/* ---- The client ---- */

/* One round trip, which begins at *now_ns; when it has ended is put there. */
static bool trip(struct echo *echo, const struct limit_setup *setup, uint64_t wait_ns,
                 uint64_t *now_ns, struct failure *failure)
{
    uint64_t seen_count = echo->seen_count;
    uint64_t begin_ns = *now_ns;
    send_one(echo, datagram_size(setup->options->request_bytes));
    do {
        if (!wire_turn(&echo->wire, wait_ns, on_receive, echo, failure))
            return false;
        *now_ns = clock_now_ns();
        if (*setup->stop != 0)
            return failure_set(failure, "interrupted before anything was measured");
        if (echo->wire.is_control_ready)
            return failure_set(failure, "the round trip: the server's process has ended");
        if (*now_ns - begin_ns > setup->options->timeout_ns) /* a filter may swallow it */
            return failure_set(failure, "the round trip: no answer (--timeout)%s%s",
                               echo->wire.send_error != 0 ? ": " : "",
                               echo->wire.send_error != 0 ? strerror(-echo->wire.send_error) : "");
    } while (echo->seen_count == seen_count);
    return true;
}

/* For `duration_ns`, and at least one. */
static bool trips(struct echo *echo, const struct limit_setup *setup, uint64_t duration_ns,
                  uint64_t wait_ns, struct spate_histogram *latency, struct failure *failure)
{
    uint64_t now_ns = clock_now_ns();
    uint64_t end_ns = now_ns + duration_ns;
    do {
        uint64_t begin_ns = now_ns;
        if (!trip(echo, setup, wait_ns, &now_ns, failure))
            return false;
        spate_histogram_record(latency, now_ns - begin_ns);
    } while (now_ns < end_ns);
    return true;
}

bool echo_run(const struct limit_setup *setup, const struct control_message *server, int control,
              bool is_spinning, struct limit_trip *ret, struct failure *failure)
{
    static struct echo echo;
    static struct spate_histogram latency;
    uint64_t wait_ns = is_spinning ? 0 : WAIT_NS;
    echo.seen_count = 0;
    if (!wire_open(&echo.wire, setup->options, server, control, failure))
        return false;
    spate_histogram_init(&latency);
    bool is_good = trips(&echo, setup, WARMUP_NS, wait_ns, &latency, failure);
    spate_histogram_init(&latency);
    if (is_good)
        is_good = trips(&echo, setup, setup->duration_ns, wait_ns, &latency, failure);
    wire_close(&echo.wire);
    if (is_good) {
        ret->p50_us = (double)spate_histogram_percentile(&latency, 50) / 1e3;
        ret->p99_us = (double)spate_histogram_percentile(&latency, 99) / 1e3;
    }
    return is_good;
}
