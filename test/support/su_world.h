/* SPDX-License-Identifier: MIT */
#ifndef SU_WORLD_H
#define SU_WORLD_H

/* One ring with sockets, a receiver a socket, and transmit slots: the smallest
 * thing that moves datagrams.  It logs every datagram that arrives.  What is made here is owned by
 * the test: test/support/owned.h. */

#include "test/support/owned.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "uring/bufring.h"
#include "uring/recv.h"
#include "uring/ring.h"
#include "uring/send.h"
#include "uring/socket.h"

#define SW_SOCKET_COUNT    4
#define SW_LOG_COUNT       4096
#define SW_LOG_BYTES       (4u << 20)
#define SW_TURN_COUNT_MAX  2000 /* a test that needs more is stuck */
#define SW_TURN_TIMEOUT_NS (20 * SB_MS)

struct sw_datagram {
    uint32_t socket; /* which one it arrived at */
    uint32_t size;
    const uint8_t *bytes;
    struct su_address peer;
    struct su_address local;
    uint8_t ecn;
};

struct sw {
    struct su_ring ring;
    struct su_bufring bufring;
    struct su_send send;
    struct su_socket sockets[SW_SOCKET_COUNT];
    struct su_recv receivers[SW_SOCKET_COUNT];
    uint32_t socket_count;

    struct sw_datagram log[SW_LOG_COUNT];
    uint32_t log_count;
    uint8_t *log_bytes;
    uint32_t log_size;

    struct su_sent last_sent;
    uint32_t sent_count; /* trains that are over */
    uint32_t socket_error_count;
    int socket_error; /* the last one */
    bool is_holding;  /* keep received buffers instead of giving them back */
    struct sb_buffer *held[256];
    uint32_t held_count;
};

struct sw_config {
    uint32_t sq_count;   /* 0: 256 */
    uint32_t cq_count;   /* 0: 1024 */
    uint32_t slot_count; /* of the buffer ring; 0: 16 */
    uint32_t slot_size;  /* of the buffer ring; 0: the default */
    uint32_t depth;      /* of the buffer ring; 0: the default */
    uint32_t send_count; /* 0: 16 */
    bool can_zero_copy;
};

/* The back-end that SPATE_TEST_BACKEND names: each program is run over both. */
static inline enum su_backend sw_backend(void)
{
    const char *name = getenv("SPATE_TEST_BACKEND");
    return name != NULL && strcmp(name, "mmsg") == 0 ? SU_BACKEND_MMSG : SU_BACKEND_IO_URING;
}

/* For tests of what only the kernel's ring does. */
static inline bool sw_is_uring(void)
{
    return sw_backend() == SU_BACKEND_IO_URING;
}

static inline int sw_ring_init(struct su_ring *ring, struct su_ring_config config)
{
    config.backend = sw_backend();
    return su_ring_init(ring, &config);
}

/* Exits with 77 ("skipped") where io_uring is refused. */
static inline void sw_require_ring(void)
{
    struct su_ring ring;
    int error = sw_ring_init(&ring, (struct su_ring_config){.sq_count = 4});
    if (error == -EPERM || error == -ENOSYS) {
        (void)fprintf(stderr, "skipped: io_uring: %s\n", strerror(-error));
        exit(77);
    }
    su_ring_deinit(&ring);
}

static inline void sw_let_go(struct sw *w)
{
    for (uint32_t i = 0; i < w->held_count; i++)
        sb_buffer_unref(w->held[i]);
    w->held_count = 0;
}

/* For owned_add(): a socket closes before its ring, and a ring that is not enabled needs no stop.
 */
static inline void sw_socket_end(void *socket)
{
    su_socket_close(socket);
}

static inline void sw_ring_end(void *object)
{
    struct su_ring *ring = object;
    ring->inject = NULL; /* its context may be gone */
    int error = su_ring_stop(ring);
    su_ring_deinit(ring);
    assert_int_equal(error, 0);
}

static inline void sw_deinit(void *object)
{
    struct sw *w = object;
    sw_let_go(w);
    w->ring.inject = NULL;
    int error = su_ring_stop(&w->ring);
    for (uint32_t i = 0; i < SW_SOCKET_COUNT; i++)
        su_socket_close(&w->sockets[i]);
    su_send_deinit(&w->send);
    uint32_t held_count = w->bufring.held_count; /* by a test that failed: they keep the memory */
    if (held_count == 0)
        su_bufring_deinit(&w->bufring);
    su_ring_deinit(&w->ring);
    assert_int_equal(error, 0);
    assert_int_equal(held_count, 0);
}

static inline struct sw *sw_create(struct sw_config config)
{
    struct sw *w = owned_alloc(sizeof(*w));
    w->log_bytes = owned_alloc(SW_LOG_BYTES);
    (void)owned_add(w, sw_deinit);
    for (uint32_t i = 0; i < SW_SOCKET_COUNT; i++)
        w->sockets[i] = SU_SOCKET_CLOSED;

    struct su_ring_config ring = {
        .sq_count = config.sq_count != 0 ? config.sq_count : 256,
        .cq_count = config.cq_count != 0 ? config.cq_count : 1024,
        .file_count = SW_SOCKET_COUNT,
    };
    struct su_bufring_config bufring = {
        .slot_count = config.slot_count != 0 ? config.slot_count : 16,
        .slot_size = config.slot_size,
        .depth = config.depth,
        .group = 7,
    };
    uint32_t send_count = config.send_count != 0 ? config.send_count : 16;
    assert_int_equal(sw_ring_init(&w->ring, ring), 0);
    assert_int_equal(su_bufring_init(&w->bufring, &w->ring, &bufring), 0);
    assert_int_equal(su_send_init(&w->send, &w->ring, send_count, false), 0);
    if (config.can_zero_copy)
        su_send_begin_zero_copy(&w->send);
    assert_int_equal(su_ring_enable(&w->ring), 0);
    return w;
}

/* Opens a socket with an armed receiver and returns its index. */
static inline uint32_t sw_open(struct sw *w, const struct su_socket_config *config)
{
    uint32_t index = w->socket_count++;
    assert_true(index < SW_SOCKET_COUNT);
    const char *step = "";
    int error = su_socket_open(&w->sockets[index], config, &step);
    if (error != 0)
        fail_msg("%s: %s", step, strerror(-error));
    assert_int_equal(su_socket_attach(&w->sockets[index], &w->ring), 0);
    su_recv_init(&w->receivers[index], &w->ring, &w->bufring, &w->sockets[index], index);
    assert_int_equal(su_recv_start(&w->receivers[index]), 0);
    return index;
}

static inline struct su_address sw_address(const char *text)
{
    struct su_address address;
    assert_int_equal(su_address_parse(text, &address), 0);
    return address;
}

static inline uint32_t sw_open_at(struct sw *w, const char *local)
{
    return sw_open(
        w, &(struct su_socket_config){.local = sw_address(local), .receive_bytes = 4 << 20});
}

static inline void sw_log(struct sw *w, uint32_t socket, const struct su_received *received)
{
    struct su_segments segments = su_segments_of(received);
    uint8_t *bytes;
    uint32_t size;
    while ((bytes = su_segments_next(&segments, &size)) != NULL) {
        assert_true(w->log_count < SW_LOG_COUNT && size <= SW_LOG_BYTES - w->log_size);
        uint8_t *copy = w->log_bytes + w->log_size;
        memcpy(copy, bytes, size);
        w->log_size += size;
        w->log[w->log_count++] = (struct sw_datagram){
            .socket = socket,
            .size = size,
            .bytes = copy,
            .peer = received->peer,
            .local = received->local,
            .ecn = received->ecn,
        };
    }
    if (w->is_holding) {
        assert_true(w->held_count < SB_COUNT(w->held));
        w->held[w->held_count++] = received->buffer;
    } else {
        sb_buffer_unref(received->buffer);
    }
}

static inline void sw_dispatch(struct sw *w, const struct su_completion *completion)
{
    struct su_received received;
    struct su_sent sent;
    uint32_t index = completion->op.index;

    if (completion->op.kind == SU_OP_RECEIVE) {
        assert_true(index < w->socket_count);
        int taken = su_recv_take(&w->receivers[index], completion, &received);
        if (taken == 1)
            sw_log(w, index, &received);
        if (taken < 0) {
            w->socket_error_count++;
            w->socket_error = taken;
        }
    } else if (completion->op.kind == SU_OP_SEND) {
        if (su_send_done(&w->send, completion, &sent)) {
            w->last_sent = sent;
            w->sent_count++;
        }
    }
}

/* Takes what has completed; returns how many completions there were. */
static inline uint32_t sw_take(struct sw *w)
{
    struct su_completion batch[64];
    uint32_t total = 0;
    uint32_t count;
    while ((count = su_ring_completions(&w->ring, batch, SB_COUNT(batch))) != 0) {
        for (uint32_t i = 0; i < count; i++)
            sw_dispatch(w, &batch[i]);
        total += count;
    }
    return total;
}

static inline uint32_t sw_turn(struct sw *w, uint64_t timeout_ns)
{
    for (uint32_t i = 0; i < w->socket_count; i++)
        su_recv_rearm(&w->receivers[i]);
    su_send_maintain(&w->send);
    int error = su_ring_enter(&w->ring, timeout_ns);
    if (error != 0 && error != -EBUSY)
        fail_msg("su_ring_enter: %s", strerror(-error));
    return sw_take(w);
}

/* Turns until `log_count` datagrams and `sent_count` trains are through. */
static inline void sw_until(struct sw *w, uint32_t log_count, uint32_t sent_count)
{
    for (uint32_t i = 0; w->log_count < log_count || w->sent_count < sent_count; i++) {
        if (i == SW_TURN_COUNT_MAX)
            fail_msg("stuck: %u of %u datagrams, %u of %u trains", w->log_count, log_count,
                     w->sent_count, sent_count);
        (void)sw_turn(w, SW_TURN_TIMEOUT_NS);
    }
}

/* Datagram `number`, byte `at`: every place of every datagram looks different. */
static inline uint8_t sw_byte(uint32_t number, uint32_t at)
{
    return (uint8_t)(number * 131 + at * 7 + (at >> 8) * 13);
}

static inline void sw_fill(uint8_t *bytes, uint32_t number, uint32_t size)
{
    for (uint32_t i = 0; i < size; i++)
        bytes[i] = sw_byte(number, i);
}

static inline bool sw_is_filled(const struct sw_datagram *datagram, uint32_t number)
{
    for (uint32_t i = 0; i < datagram->size; i++) {
        if (datagram->bytes[i] != sw_byte(number, i))
            return false;
    }
    return true;
}

/* Takes a slot and fills it with datagrams number `first`, `first + 1`, ... as `train` says. */
static inline struct su_send_slot *sw_prepare(struct sw *w, const struct su_train *train,
                                              uint32_t first)
{
    struct su_send_slot *slot = su_send_take(&w->send);
    assert_non_null(slot);
    for (uint32_t at = 0; at < train->size; at += train->segment_size)
        sw_fill(slot->data + at, first++, SB_MIN(train->segment_size, train->size - at));
    return slot;
}

static inline void sw_commit(struct sw *w, const struct su_train *train, uint32_t first)
{
    struct su_send_slot *slot = sw_prepare(w, train, first);
    assert_int_equal(su_send_commit(&w->send, slot, train), 0);
}

/* Checks the log from datagram `at` on: `count` datagrams, numbered from `first`, as in a train. */
static inline void sw_check_train(const struct sw *w, uint32_t at, const struct su_train *train,
                                  uint32_t first)
{
    for (uint32_t offset = 0; offset < train->size; offset += train->segment_size, at++, first++) {
        assert_true(at < w->log_count);
        assert_int_equal(w->log[at].size, SB_MIN(train->segment_size, train->size - offset));
        assert_int_equal(w->log[at].ecn, train->ecn);
        if (!sw_is_filled(&w->log[at], first))
            fail_msg("datagram %u is not number %u", at, first);
    }
}

#endif
