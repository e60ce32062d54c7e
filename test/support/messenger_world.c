/* SPDX-License-Identifier: MIT */
#include "test/support/messenger_world.h"

#include <stdlib.h>

#define MS UINT64_C(1000000)

uint8_t *mw_pattern;

static void check_bytes(struct mw_side *side, const struct spate_message *message,
                        struct mw_seen *seen)
{
    uint8_t head[4] = {0};
    size_t at = 0;
    for (size_t i = 0; i < message->piece_count; i++) {
        const uint8_t *data = message->pieces[i].iov_base;
        for (size_t k = 0; k < message->pieces[i].iov_len && at < 4; k++)
            head[at++] = data[k];
    }
    memcpy(&seen->number, head, sizeof(head));
    at = 0;
    for (size_t i = 0; i < message->piece_count; i++) {
        const uint8_t *data = message->pieces[i].iov_base;
        size_t size = message->pieces[i].iov_len;
        size_t skip = at < 4 ? 4 - at : 0;
        if (size > skip && memcmp(data + skip, mw_pattern + at + skip, size - skip) != 0)
            side->has_wrong_bytes = true;
        at += size;
    }
    assert_int_equal(at, message->size_bytes);
}

/* The bytes live as long as the test: it may end before they are sent. */
static void reply_to(struct mw_side *side, const struct spate_message *message)
{
    uint8_t *bytes = owned_alloc(message->size_bytes + 1);
    size_t at = 0;
    for (size_t i = 0; i < message->piece_count; i++) {
        memcpy(bytes + at, message->pieces[i].iov_base, message->pieces[i].iov_len);
        at += message->pieces[i].iov_len;
    }
    const struct iovec piece = {bytes, at};
    (void)spate_message_reply(side->messenger, message->id, &piece, 1, 0);
}

void mw_take_all(struct mw_side *side)
{
    struct spate_message message;
    while (spate_messenger_next(side->messenger, &message)) {
        assert_true(side->seen_count < MW_SEEN_MAX);
        struct mw_seen *seen = &side->seen[side->seen_count++];
        *seen = (struct mw_seen){
            .kind = message.kind,
            .fate = message.fate,
            .tag = message.tag,
            .error = message.error,
            .channel = message.channel,
            .size = message.size_bytes,
            .piece_count = message.piece_count,
            .is_unreliable = message.is_unreliable,
        };
        side->counts[message.kind]++;
        check_bytes(side, &message, seen);
        if (message.kind == SPATE_MESSAGE_REQUEST && side->replies)
            reply_to(side, &message);
        if (side->keeps && message.private_handle != NULL)
            side->kept[side->kept_count++] = message;
        else
            spate_message_release(side->messenger, &message);
    }
}

static void on_event(struct pw_end *end, struct spate_event *event)
{
    struct mw_side *side = end->context;
    if (event->kind == SPATE_EVENT_CONNECTED && !side->is_plain)
        assert_int_equal(
            spate_messenger_create(event->conn, &side->options, &side->messenger, NULL), 0);
    if (event->kind == SPATE_EVENT_PATH)
        side->path_count += event->u.path != SPATE_PATH_FAILED;
    if (side->messenger == NULL || !spate_messenger_event(side->messenger, event)) {
        pw_default(end, event);
        return;
    }
    if (!side->is_lazy)
        mw_take_all(side);
}

static void (*change_server)(struct spate_config *config);
static void (*change_client)(struct spate_config *config);

static void configure(struct spate_config *config)
{
    config->message_frame_size_max = 65535;
    config->idle_timeout_ns = 10000 * MS;
}

static void configure_server(struct spate_config *config)
{
    configure(config);
    if (change_server != NULL)
        change_server(config);
}

static void configure_client(struct spate_config *config)
{
    configure(config);
    if (change_client != NULL)
        change_client(config);
}

static void world_deinit(void *object)
{
    struct mw *world = object;
    spate_messenger_destroy(world->client.messenger);
    spate_messenger_destroy(world->server.messenger);
}

static void side_init(struct mw_side *side, struct pw_end *end)
{
    side->end = end;
    spate_messenger_options_init(&side->options);
    end->on_event = on_event;
    end->context = side;
}

struct mw *mw_make(void)
{
    return mw_make_with(NULL, NULL);
}

struct mw *mw_make_with(void (*server)(struct spate_config *config),
                        void (*client)(struct spate_config *config))
{
    change_server = server;
    change_client = client;
    if (mw_pattern == NULL) {
        mw_pattern = malloc(MW_PATTERN_SIZE);
        assert_non_null(mw_pattern);
        for (size_t i = 0; i < MW_PATTERN_SIZE; i++)
            mw_pattern[i] = pw_byte(7, i);
    }
    struct mw *world = owned_alloc(sizeof(*world));
    world->w =
        pw_create(&(struct pw_config){.server = configure_server, .client = configure_client});
    side_init(&world->server, &world->w->server);
    side_init(&world->client, &world->w->client);
    (void)owned_add(world, world_deinit);
    return world;
}

void mw_connect_both(struct mw *world)
{
    world->conn = pw_connected(world->w);
}

bool mw_release_oldest(struct mw_side *side)
{
    if (side->released_count == side->kept_count)
        return false;
    spate_message_release(side->messenger, &side->kept[side->released_count++]);
    return true;
}

/* Sends a message whose first bytes are `number`. */
int mw_send_number(struct mw_side *side, uint32_t number, size_t size,
                   const struct spate_message_options *options)
{
    static uint32_t numbers[MW_SEEN_MAX];
    assert_true(number < MW_SEEN_MAX && size >= 4 && size <= MW_PATTERN_SIZE);
    numbers[number] = number;
    const struct iovec pieces[] = {{&numbers[number], 4}, {mw_pattern + 4, size - 4}};
    return spate_message_send(side->messenger, pieces, 2, options, NULL);
}

struct spate_messenger_stats mw_stats_of(const struct mw_side *side)
{
    struct spate_messenger_stats stats;
    spate_messenger_stats(side->messenger, &stats);
    return stats;
}

static void say_why(const struct mw *world)
{
    const struct mw_side *sides[] = {&world->server, &world->client};
    for (uint32_t i = 0; i < 2; i++) {
        struct spate_messenger_stats stats = {0};
        if (sides[i]->messenger != NULL)
            stats = mw_stats_of(sides[i]);
        print_message(
            "%s: %u received, %u requests, %u replies, %u failed, %u sent; now %llu "
            "incomplete, %llu waiting, %llu bytes in, %llu out, %llu refused\n",
            i == 0 ? "server" : "client", sides[i]->counts[SPATE_MESSAGE_RECEIVED],
            sides[i]->counts[SPATE_MESSAGE_REQUEST], sides[i]->counts[SPATE_MESSAGE_REPLY],
            sides[i]->counts[SPATE_MESSAGE_FAILED], sides[i]->counts[SPATE_MESSAGE_SENT],
            (unsigned long long)stats.incomplete_now, (unsigned long long)stats.waiting_now,
            (unsigned long long)stats.receive_bytes_now, (unsigned long long)stats.send_bytes_now,
            (unsigned long long)stats.refused);
    }
    fail_msg("it did not happen");
}

void mw_until(struct mw *world, bool (*is_done)(const struct mw *, uint32_t), uint32_t count)
{
    uint64_t end_ns = pw_now_ns() + PW_PATIENCE_NS;
    while (!is_done(world, count)) {
        pw_turn(world->w);
        if (pw_now_ns() > end_ns)
            say_why(world);
    }
    assert_false(world->server.has_wrong_bytes);
    assert_false(world->client.has_wrong_bytes);
}

bool mw_server_has(const struct mw *world, uint32_t count)
{
    return world->server.counts[SPATE_MESSAGE_RECEIVED] >= count;
}

bool mw_client_has_back(const struct mw *world, uint32_t count)
{
    return world->client.counts[SPATE_MESSAGE_SENT] >= count;
}

bool mw_client_has_replies(const struct mw *world, uint32_t count)
{
    return world->client.counts[SPATE_MESSAGE_REPLY] >= count;
}

bool mw_client_has_failures(const struct mw *world, uint32_t count)
{
    return world->client.counts[SPATE_MESSAGE_FAILED] >= count;
}

bool mw_server_has_requests(const struct mw *world, uint32_t count)
{
    return world->server.counts[SPATE_MESSAGE_REQUEST] >= count;
}

bool mw_client_is_closed(const struct mw *world, uint32_t count)
{
    return world->w->client.closed_count >= count;
}

bool mw_server_waits(const struct mw *world, uint32_t count)
{
    return mw_stats_of(&world->server).waiting_now >= count;
}
