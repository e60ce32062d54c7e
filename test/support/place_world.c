/* SPDX-License-Identifier: MIT */
#include "test/support/place_world.h"

#include "test/support/qt.h"

#include <string.h>

uint8_t place_byte(uint64_t offset)
{
    return (uint8_t)(offset * 7 + offset / 251 + 1);
}

struct sp_conn *place_server(struct place_world *world)
{
    return pair_conn(&world->pair, SP_SERVER);
}

void place_check(const struct place_world *world)
{
    for (uint64_t i = 0; i < world->delivered_end; i++)
        assert_int_equal(world->memory[i], place_byte(i));
}

static void on_placed(struct place_world *world, const struct sp_event *event)
{
    assert_true(event->placed.size > 0 || event->placed.fin || event->placed.is_returned);
    if (event->placed.data == NULL)
        assert_true(event->placed.size == 0 && event->placed.fin && !event->placed.is_returned);
    else
        assert_ptr_equal(event->placed.data, world->memory + event->placed.offset);
    assert_true(event->placed.offset + event->placed.size <= world->lent_end);
    /* A bool that was never set is no bool: its byte is compared. */
    assert_memory_equal(&event->placed.is_early, &(bool){false}, sizeof(bool));
    if (event->placed.size > 0)
        assert_int_equal(event->placed.offset, world->delivered_end);
    world->delivered_end += event->placed.size;
    world->placed_count++;
    world->fin |= event->placed.fin;
    world->returned_count += event->placed.is_returned;
    if (event->placed.is_returned)
        world->returned_tag = event->placed.tag;
}

static bool next_event(struct place_world *world, struct sp_event *ret)
{
    memset(ret, 0xff, sizeof(*ret)); /* a field that is not set shows */
    return sp_conn_next_event(place_server(world), ret);
}

void place_pull(struct place_world *world)
{
    struct sp_event event;
    size_t size;
    if (sp_conn_is_closed(place_server(world)))
        (void)pair_flush(&world->pair, SP_SERVER, &size); /* CLOSED waits for it */
    while (next_event(world, &event)) {
        switch (event.kind) {
        case SP_EVENT_STREAM_PLACED:
            assert_false(world->is_closed || world->is_reset);
            on_placed(world, &event);
            break;
        case SP_EVENT_STREAM_DATA:
            assert_int_equal(event.data.offset, world->delivered_end);
            /* After the first lending there are none, until the connection ends. */
            assert_true(world->lent_count == 0 || sp_conn_is_closed(place_server(world)));
            assert_true(world->delivered_end + event.data.slice.size <= PLACE_MEMORY_SIZE);
            if (event.data.slice.size > 0)
                memcpy(world->memory + world->delivered_end, event.data.slice.data,
                       event.data.slice.size);
            world->delivered_end += event.data.slice.size;
            world->sliced_bytes += event.data.slice.size;
            world->slice_count += event.data.slice.size > 0;
            world->fin |= event.data.fin;
            sp_conn_consume(place_server(world), PLACE_ID, event.data.slice.size);
            sb_buffer_unref(event.data.slice.buffer);
            break;
        case SP_EVENT_STREAM_RESET:
            world->is_reset = true;
            break;
        case SP_EVENT_CLOSED:
            world->is_closed = true;
            break;
        default:
            break;
        }
        sp_conn_check(place_server(world));
    }
    place_check(world);
}

void place_begin(struct place_world *world)
{
    place_end(world);
    *world = (struct place_world){.delivered_end = 0};
    pair_init(&world->pair);
    pair_connect(&world->pair);
    static const uint8_t opening[] = {SP_FRAME_STREAM, PLACE_ID};
    pair_inject(&world->pair, SP_SERVER, SP_SPACE_APP, opening, sizeof(opening), PAIR_FAULT_NONE);
    place_pull(world);
    memset(world->memory, 0xaa, sizeof(world->memory));
}

void place_end(struct place_world *world)
{
    pair_deinit(&world->pair);
}

enum sp_result place_lend(struct place_world *world, uint64_t size)
{
    uint64_t at = SB_MAX(world->lent_end, world->delivered_end);
    struct sp_lend args = {
        .data = world->memory + at, .size = size, .tag = 100 + world->lent_count};
    uint64_t offset;
    enum sp_result result = sp_conn_receive_into(place_server(world), PLACE_ID, &args, &offset);
    if (result != SP_DONE)
        return result;
    assert_int_equal(offset, at);
    world->lent_end = at + size;
    world->lent_count++;
    sp_conn_check(place_server(world));
    return SP_DONE;
}

void place_make(struct place_world *world, uint64_t offset, uint64_t size, int how,
                enum pair_fault fault, struct pair_packet *ret)
{
    uint8_t frames[PAIR_DATAGRAM_SIZE_MAX - 100];
    struct sb_writer w = sb_writer_of(frames, sizeof(frames));
    if (how & PLACE_PINGING)
        sb_writer_u8(&w, SP_FRAME_PING);
    sb_writer_u8(&w, (uint8_t)(SP_FRAME_STREAM | SP_STREAM_OFF | (how & (PLACE_FIN | PLACE_LEN))));
    sb_writer_varint(&w, PLACE_ID);
    sb_writer_varint(&w, offset);
    if (how & PLACE_LEN)
        sb_writer_varint(&w, size);
    for (uint64_t i = 0; i < size; i++)
        sb_writer_u8(&w, (uint8_t)(place_byte(offset + i) + ((how & PLACE_LIES) != 0)));
    if (how & PLACE_PADDED)
        sb_writer_u8(&w, SP_FRAME_PADDING);
    assert_false(w.failed);
    pair_make(&world->pair, SP_SERVER, SP_SPACE_APP, frames, sb_writer_used(&w), fault, ret);
}

void place_give(struct place_world *world, const struct pair_packet *packet)
{
    pair_give(&world->pair, SP_SERVER, &packet, 1);
}

void place_give_two(struct place_world *world, const struct pair_packet *a,
                    const struct pair_packet *b)
{
    const struct pair_packet *both[] = {a, b};
    pair_give(&world->pair, SP_SERVER, both, 2);
}

void place_inject(struct place_world *world, uint64_t offset, uint64_t size, int how)
{
    struct pair_packet packet;
    place_make(world, offset, size, how, PAIR_FAULT_NONE, &packet);
    place_give(world, &packet);
}

uint64_t place_copied(struct place_world *world)
{
    return place_server(world)->pieces.copied_bytes;
}
