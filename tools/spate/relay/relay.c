/* SPDX-License-Identifier: MIT */
/* `spate relay`: the loop.
 *
 * One thread runs a shard, the device and the core.  The device is read until it is empty or 64
 * packets came, so that neither side waits for the other.  It is not read while all buffers are in
 * use, or while a packet of it waits for room in the queue of its neighbour: then packets wait in
 * the kernel's queue of the device, whose senders notice.  After STALL_NS the packet is dropped,
 * and the device does not wait for that neighbour again before it has taken something: one slow
 * neighbour does not stop the others for long. */

#include <errno.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/random.h>
#include <time.h>

#include "tools/spate/commands.h"
#include "tools/spate/message.h"
#include "tools/spate/relay/node.h"
#include "tools/spate/stop.h"

enum {
    EVENTS_MAX = 256,
    READS_PER_TURN = 64,
    READS_FOR_CONTROL = 4, /* of them are kept for announcements and questions */
};

#define STALL_NS      UINT64_C(20000000)
#define IDLE_NS       UINT64_C(10000000000)
#define TICK_NS_MAX   UINT64_C(50000000)
#define SHUTDOWN_NS   UINT64_C(500000000)
#define MESSAGES_MAX  8192
#define MESSAGE_BYTES (UINT64_C(4) << 20)

static void deliver(void *user, const struct iovec *parts, uint32_t count, size_t size)
{
    struct relay_node *node = user;
    relay_device_write(&node->device, parts, count, size);
}

static bool fail(const char *what, const struct spate_error *error, int e)
{
    message("relay", "%s%s", what,
            error != NULL && error->text[0] != 0 ? error->text : strerror(-e));
    return false;
}

static bool create_engine(struct relay_node *node)
{
    struct spate_error error = {""};
    struct spate_config config;
    spate_config_init(&config);
    config.conns_max = 2 * RELAY_PEERS_MAX; /* handshakes take none of the places */
    config.streams_bidi_max = 0;
    config.streams_uni_max = 1;
    config.message_frame_size_max = 65535;
    config.message_count_max = MESSAGES_MAX;
    config.message_bytes_max = MESSAGE_BYTES;
    config.idle_timeout_ns = IDLE_NS;
    config.receive_slots = 1024; /* packets that are passed on keep them for a round trip */
    config.event_batches = true;
    if (node->options->datagram_size != 0)
        config.datagram_size_max = (uint32_t)node->options->datagram_size;
    int e = spate_engine_create(&config, &node->engine, &error);
    if (e != 0)
        return fail("", &error, e);
    if (spate_engine_warning(node->engine) != NULL)
        message("relay", "%s", spate_engine_warning(node->engine));
    node->shard = spate_engine_shard(node->engine, 0);
    return true;
}

static bool open_device(struct relay_node *node)
{
    const struct relay_options *o = node->options;
    int e = 0;
    node->device.fd = -1;
    if (o->device == RELAY_DEVICE_UDP)
        e = relay_device_open_udp(&node->device, &o->udp_local, &o->udp_remote);
    else if (o->device != RELAY_DEVICE_NONE)
        e = relay_device_open(&node->device, o->device, o->device_name, !o->has_no_trains);
    if (e != 0) {
        message("relay", "%s: %s", o->device_name, strerror(-e));
        return false;
    }
    if (o->device == RELAY_DEVICE_TUN || o->device == RELAY_DEVICE_TAP)
        printf("device %s\n", node->device.name);
    return true;
}

static void on_device(struct spate_shard *shard, void *user, int32_t result, uint32_t flags)
{
    struct relay_node *node = user;
    (void)shard;
    if (result > 0)
        node->device_is_ready = true;
    if (result < 0 && result != -ECANCELED && (flags & SPATE_RING_MORE) == 0)
        node->device_failed = true;
}

static bool create_core(struct relay_node *node)
{
    const struct relay_options *o = node->options;
    uint64_t key;
    if (getrandom(&key, sizeof(key), 0) != sizeof(key) ||
        !relay_packets_init(&node->packets, node->shard, RELAY_SLICES, RELAY_READS) ||
        !relay_core_init(&node->core, &node->packets, 18 * o->beat_ns, key))
        return fail("", NULL, -ENOMEM);
    struct relay_core *core = &node->core;
    node->packets.release = spate_slice_release;
    core->unit = o->unit;
    core->role = o->role;
    core->hops = o->hops;
    core->format = o->device == RELAY_DEVICE_TUN   ? RELAY_FORMAT_IP
                   : o->device == RELAY_DEVICE_TAP ? RELAY_FORMAT_FRAME
                                                   : RELAY_FORMAT_OPAQUE;
    core->device_target = o->device_target;
    core->has_trains = node->device.has_trains;
    core->sequence = (uint32_t)key;
    core->announcement_sequence = (uint32_t)time(NULL) * 16; /* later ones of a new start win */
    core->ops = (struct relay_ops){relay_link_send, relay_link_size_max, deliver, node};
    memcpy(core->own, o->prefixes, sizeof(core->own));
    core->own_count = o->prefix_count;
    for (uint32_t i = 0; i < o->route_count; i++)
        (void)relay_book_add(&core->book, &o->routes[i].prefix, o->routes[i].unit, true);
    return true;
}

static bool start(struct relay_node *node)
{
    const struct relay_options *o = node->options;
    for (uint32_t i = 0; i < o->listen_count; i++) {
        struct spate_error error = {""};
        struct spate_listener *listener;
        struct net_address bound;
        char text[NET_TEXT_SIZE];
        int e = spate_shard_listen(node->shard, (const struct sockaddr *)&o->listen[i].storage,
                                   o->listen[i].size, node->server_tls, NULL, &listener, &error);
        if (e == 0)
            e = spate_listener_address(listener, &bound.storage, &bound.size);
        if (e != 0)
            return fail("--listen: ", &error, e);
        net_format(&bound, text);
        printf("listening at %s\n", text);
    }
    for (uint32_t i = 0; i < o->target_count; i++)
        node->targets[i] = (struct relay_target){.link = -1, .pause_ns = 250000000};
    if (node->device.fd >= 0) {
        int e = spate_ring_watch(node->shard, node->device.fd, POLLIN, true, on_device, node, NULL);
        if (e != 0)
            return fail("device: ", NULL, e);
        node->device_is_ready = true;
    }
    return fflush(stdout) == 0;
}

/* Returns whether there may be more to read at once. */
static bool read_device(struct relay_node *node, uint64_t now_ns)
{
    struct relay_stalled *stalled = &node->core.stalled;
    bool gives_up = stalled->packet != NULL && now_ns >= stalled->since_ns + STALL_NS;
    if (!relay_core_resume(&node->core, gives_up))
        return false;
    for (uint32_t i = 0; i < READS_PER_TURN && node->device_is_ready; i++) {
        if (stalled->packet != NULL || node->packets.free_read_count <= READS_FOR_CONTROL)
            return false;
        struct relay_packet *packet = relay_packet_to_read(&node->packets);
        int size = relay_device_read(&node->device, packet->room, RELAY_PACKET_MAX);
        if (size > 0) {
            packet->size = (size_t)size;
            relay_core_from_device(&node->core, packet, now_ns);
        }
        relay_packet_unref(packet);
        if (size == -EAGAIN)
            node->device_is_ready = false;
        else if (size < 0 && size != -EINTR && size != -ECONNREFUSED && size != -EIO)
            node->device_failed = !fail("device: ", NULL, size);
        if (node->device_failed)
            return false;
    }
    return node->device_is_ready;
}

static void handle_events(struct relay_node *node)
{
    struct spate_event events[EVENTS_MAX];
    uint32_t count = spate_shard_events(node->shard, events, EVENTS_MAX);
    for (uint32_t i = 0; i < count; i++) {
        if (events[i].kind == SPATE_EVENT_SHUTDOWN)
            node->has_ended = true;
        else
            relay_link_event(node, &events[i]);
    }
}

static int run(struct relay_node *node)
{
    const struct relay_options *o = node->options;
    uint64_t tick_ns = o->beat_ns / 4 < TICK_NS_MAX ? o->beat_ns / 4 : TICK_NS_MAX;
    uint64_t due_ns = 0;
    uint64_t wait_ns = 0;
    bool is_ending = false;
    while (!node->has_ended && stop_count() < 2) {
        int e = spate_shard_turn(node->shard, wait_ns);
        if (e < 0) {
            message("relay", "%s", strerror(-e));
            return EXIT_FAILURE;
        }
        handle_events(node);
        uint64_t now_ns = spate_shard_now_ns(node->shard);
        if (node->started_ns == 0)
            node->started_ns = now_ns;
        if (stop_count() > 0 && !is_ending) {
            is_ending = true;
            relay_report(node, now_ns);
            (void)spate_shard_shutdown(node->shard, 0, RELAY_ERROR_NONE, "the unit stops");
        }
        bool has_more = !is_ending && node->device.fd >= 0 && read_device(node, now_ns);
        if (node->device_failed)
            return EXIT_FAILURE;
        if (now_ns >= due_ns && !is_ending) {
            due_ns = now_ns + tick_ns;
            relay_link_tick(node, now_ns);
        }
        if (o->report_ns != 0 && now_ns >= node->report_ns && !is_ending) {
            if (node->report_ns != 0)
                relay_report(node, now_ns);
            node->report_ns = now_ns + o->report_ns;
        }
        uint64_t wake_ns = due_ns;
        const struct relay_stalled *stalled = &node->core.stalled;
        if (stalled->packet != NULL && stalled->since_ns + STALL_NS < wake_ns)
            wake_ns = stalled->since_ns + STALL_NS;
        wait_ns = has_more ? 0 : wake_ns > now_ns ? wake_ns - now_ns : 0;
        if (is_ending)
            wait_ns = SHUTDOWN_NS;
    }
    return EXIT_SUCCESS;
}

int relay_run(int argc, char **argv)
{
    struct relay_options options;
    int status;
    if (!relay_options_parse(&options, argc, argv, &status))
        return status;
    struct relay_node *node = calloc(1, sizeof(*node));
    if (node == NULL) {
        message("relay", "%s", strerror(ENOMEM));
        return EXIT_FAILURE;
    }
    node->options = &options;
    node->device.fd = -1;
    status = EXIT_FAILURE;
    if (relay_trust_create(node) && create_engine(node) && open_device(node) && create_core(node)) {
        stop_watch(node->shard);
        if (start(node))
            status = run(node);
        stop_forget();
    }
    if (node->core.packets != NULL)
        relay_core_deinit(&node->core); /* gives slices back */
    spate_engine_destroy(node->engine);
    relay_packets_deinit(&node->packets);
    relay_device_close(&node->device);
    spate_tls_destroy(node->client_tls);
    spate_tls_destroy(node->server_tls);
    explicit_bzero(&node->token, sizeof(node->token));
    free(node);
    return status;
}
