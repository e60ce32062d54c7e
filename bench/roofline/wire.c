/* SPDX-License-Identifier: MIT */
#include "bench/roofline/wire.h"

/* The kernel path, with nothing above it.
 *
 * Slots, socket buffers and the ring's sizes are the engine's defaults, so that neither has an
 * advantage by a smaller footprint in the cache.  The transmit slots are written once: memory
 * that nobody has written is the kernel's zero page, which is always warm.
 *
 * The control socket is polled by the ring: a process that waits in io_uring_enter sees it at
 * once, and one that is busy does not pay for looking. */

#include <errno.h>
#include <poll.h>
#include <string.h>

#include <spate/engine.h>

#include "bench/load/address.h"
#include "bench/load/control.h"
#include "bench/load/failure.h"
#include "bench/load/options.h"
#include "bench/load/sample.h"

enum {
    OP_CONTROL = SU_OP_APP,
    COMPLETIONS_PER_BATCH = 64,
};

static uint32_t power_of_two_from(uint32_t value)
{
    uint32_t power = 1;
    while (power < value)
        power *= 2;
    return power;
}

/* As in engine/shard/shard.c. */
static struct su_ring_config ring_config(const struct spate_config *config)
{
    uint32_t sq_count = power_of_two_from(config->transmit_slots + 2 * SU_RING_FILE_COUNT_MAX);
    uint32_t slots = config->transmit_slots + config->receive_slots;
    return (struct su_ring_config){
        .sq_count = sq_count,
        .cq_count = SB_MAX(4 * sq_count, power_of_two_from(2 * slots)),
        .file_count = SU_RING_FILE_COUNT_MAX,
    };
}

static bool fail(struct failure *failure, const char *step, int error)
{
    return failure_set(failure, "the kernel path: %s: %s", step, strerror(-error));
}

static bool open_ring(struct wire *wire, const struct spate_config *config, struct failure *failure)
{
    const struct su_ring_config ring = ring_config(config);
    const struct su_bufring_config slots = {
        .slot_count = power_of_two_from(config->receive_slots),
    };
    int error = su_ring_init(&wire->ring, &ring);
    if (error != 0)
        return fail(failure, "io_uring", error);
    error = su_bufring_init(&wire->bufring, &wire->ring, &slots);
    if (error != 0)
        return fail(failure, "receive slots", error);
    error = su_send_init(&wire->send, &wire->ring, config->transmit_slots, false);
    if (error != 0)
        return fail(failure, "transmit slots", error);

    struct su_send_slot *slot;
    while ((slot = su_send_take(&wire->send)) != NULL)
        memset(slot->data, 0x5a, SU_TRAIN_SIZE_MAX);
    for (uint32_t i = wire->send.slot_count; i-- > 0;) /* the first goes out first again */
        su_send_abandon(&wire->send, &wire->send.slots[i]);
    wire->send.counts.no_slots = 0;
    return true;
}

static bool local_address(const struct options *o, const struct control_message *server,
                          struct su_address *ret, struct failure *failure)
{
    *ret = (struct su_address){0};
    if (server != NULL) { /* any, of the same family */
        if (server->address.ss_family == AF_INET6)
            ret->v6.sin6_family = AF_INET6;
        else
            ret->v4.sin_family = AF_INET;
        return true;
    }
    struct address_list list;
    if (!address_resolve(o->listen, "--listen", 0, &list, failure))
        return false;
    int error = su_address_from_kernel(&list.items[0].storage, list.items[0].size, ret);
    if (error != 0)
        return fail(failure, "--listen", error);
    su_address_set_port(ret, 0); /* the scenario's may still be there */
    return true;
}

static bool open_socket(struct wire *wire, const struct options *o,
                        const struct control_message *server, uint32_t buffer_bytes,
                        struct failure *failure)
{
    struct su_socket_config config = {
        .receive_bytes = buffer_bytes,
        .send_bytes = buffer_bytes,
    };
    const char *step = "address";
    int error = 0;
    if (!local_address(o, server, &config.local, failure))
        return false;
    if (server != NULL)
        error = su_address_from_kernel(&server->address, server->address_size, &config.peer);
    if (error == 0)
        error = su_socket_open(&wire->socket, &config, &step);
    if (error != 0)
        return fail(failure, step, error);
    error = su_socket_attach(&wire->socket, &wire->ring);
    if (error != 0)
        return fail(failure, "register", error);
    wire->peer = config.peer;
    return true;
}

static bool start(struct wire *wire, struct failure *failure)
{
    int error = su_ring_enable(&wire->ring);
    if (error != 0)
        return fail(failure, "io_uring", error);
    su_recv_init(&wire->recv, &wire->ring, &wire->bufring, &wire->socket, 0);
    error = su_recv_start(&wire->recv);
    return error == 0 || fail(failure, "receive", error);
}

bool wire_open(struct wire *wire, const struct options *o, const struct control_message *server,
               int control, struct failure *failure)
{
    struct spate_config config;
    spate_config_init(&config);
    *wire = (struct wire){.socket = SU_SOCKET_CLOSED, .control = control};
    if (open_ring(wire, &config, failure) &&
        open_socket(wire, o, server, config.socket_buffer_bytes, failure) && start(wire, failure))
        return true;
    wire_close(wire);
    return false;
}

void wire_close(struct wire *wire)
{
    (void)su_ring_stop(&wire->ring);
    su_socket_close(&wire->socket);
    su_send_deinit(&wire->send);
    su_bufring_reclaim(&wire->bufring);
    su_bufring_deinit(&wire->bufring);
    su_ring_deinit(&wire->ring);
}

/* ---- A turn ---- */

static void watch_control(struct wire *wire)
{
    if (wire->control < 0 || wire->is_control_watched || wire->is_control_ready)
        return;
    struct io_uring_sqe *sqe = su_ring_sqe(&wire->ring);
    if (sqe == NULL)
        return;
    /* The client leaves the answers there until it is over. */
    io_uring_prep_poll_add(sqe, wire->control, wire->socket.is_connected ? POLLRDHUP : POLLIN);
    sqe->user_data = su_op_pack((struct su_op){.kind = OP_CONTROL});
    wire->is_control_watched = true;
}

static void on_receive(struct wire *wire, const struct su_completion *completion,
                       wire_receive receive, void *context)
{
    struct su_received received;
    if (su_recv_take(&wire->recv, completion, &received) != 1)
        return;
    if (!wire->socket.is_connected) {
        wire->peer = received.peer;
        wire->local = received.local;
    }
    wire->datagrams_in += su_received_count(&received);
    receive(context, &received);
    sb_buffer_unref(received.buffer);
}

static void on_completion(struct wire *wire, const struct su_completion *completion,
                          wire_receive receive, void *context)
{
    struct su_sent sent;
    switch (completion->op.kind) {
    case SU_OP_RECEIVE:
        on_receive(wire, completion, receive, context);
        break;
    case SU_OP_SEND:
        if (su_send_done(&wire->send, completion, &sent) && sent.error != 0 &&
            wire->send_error == 0)
            wire->send_error = sent.error;
        break;
    case OP_CONTROL:
        wire->is_control_watched = false;
        wire->is_control_ready = true;
        break;
    default:
        break;
    }
}

bool wire_turn(struct wire *wire, uint64_t timeout_ns, wire_receive receive, void *context,
               struct failure *failure)
{
    struct su_completion batch[COMPLETIONS_PER_BATCH];
    uint32_t count;

    watch_control(wire);
    su_send_maintain(&wire->send);
    su_recv_rearm(&wire->recv);
    bool is_quiet = su_ring_queued(&wire->ring) == 0 && !su_ring_needs_enter(&wire->ring);
    if (timeout_ns == 0 && is_quiet)
        return true; /* a spinning turn that need not enter */
    int error =
        timeout_ns == 0 ? su_ring_enter(&wire->ring, 0) : su_ring_wait(&wire->ring, timeout_ns);
    if (error != 0 && error != -EBUSY && error != -EAGAIN)
        return fail(failure, "io_uring_enter", error);
    do {
        count = su_ring_completions(&wire->ring, batch, COMPLETIONS_PER_BATCH);
        for (uint32_t i = 0; i < count; i++)
            on_completion(wire, &batch[i], receive, context);
    } while (count == COMPLETIONS_PER_BATCH);
    return true;
}

bool wire_send(struct wire *wire, struct su_send_slot *slot, uint32_t size, uint32_t segment_size)
{
    const struct su_train train = {
        .socket = &wire->socket,
        .destination = wire->peer,
        .source = wire->local,
        .size = size,
        .segment_size = segment_size,
    };
    return su_send_commit(&wire->send, slot, &train) == 0;
}

/* ---- The control socket ---- */

void wire_sample(const struct wire *wire, struct sample *ret)
{
    sample_usage(ret);
    ret->cpu_user_ns = 0;
    ret->cpu_sys_ns = wire->busy_ns;
    ret->shard.datagrams_in = wire->datagrams_in;
    ret->shard.datagrams_out = wire->send.counts.datagrams_out;
    ret->shard.kernel_drops = wire->recv.counts.kernel_drops;
}

bool wire_say_ready(const struct wire *wire, struct failure *failure)
{
    struct control_message ready = {
        .kind = CONTROL_READY,
        .address_size = su_address_size(&wire->socket.local),
    };
    memcpy(&ready.address, &wire->socket.local, ready.address_size);
    int error = control_send(wire->control, &ready);
    return error == 0 || fail(failure, "the client's process", error);
}

bool wire_obey(struct wire *wire)
{
    struct control_message m;
    wire->is_control_ready = false;
    int status = control_receive(wire->control, &m, 0);
    if (status == -ETIMEDOUT || status == -EINTR)
        return true;
    if (status != 0 || m.kind != CONTROL_SAMPLE)
        return false;
    memset(&m, 0, sizeof(m));
    m.kind = CONTROL_SAMPLE;
    wire_sample(wire, &m.sample);
    return control_send(wire->control, &m) == 0;
}
