/* SPDX-License-Identifier: MIT */
/* The short header and the head of a STREAM frame, written and read as the data path does.
 *
 * They are compared with stacks that make objects of packets: a header and a frame
 * are allocated, filled in, written through their type's function, and freed.  Our bytes are
 * checked against those. */

#include <stdlib.h>
#include <string.h>

#include "bench/micro/benches.h"
#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/wire/frame.h"
#include "proto/wire/header.h"

enum { PACKET_SIZE = 1350, PAYLOAD_SIZE = 1200, CID_SIZE = 8, COUNT = 64 };

static struct sp_cid cid;

/* A packet of a transfer: stream 4, at an offset that grows. */
struct packet {
    uint8_t bytes[PACKET_SIZE];
    uint64_t pn;
    uint32_t pn_size;
    struct sp_stream_head head;
};
/* Full packets, whose data runs to their end, and some with a length before the data. */
static struct packet packets[2][COUNT];

/* ---- The reference: objects ---- */

struct object {
    size_t (*write)(const struct object *object, uint8_t *at);
    struct object *next;
    uint64_t number;
    uint64_t offset;
    uint64_t size;
    uint32_t pn_size;
    bool has_length;
    bool fin;
};

static size_t write_number(uint8_t *at, uint64_t number)
{
    size_t size = number < 64 ? 1 : number < 16384 ? 2 : number < 1073741824 ? 4 : 8;
    for (size_t i = size; i-- > 0; number >>= 8)
        at[i] = (uint8_t)number;
    at[0] |= (uint8_t)(size == 1 ? 0 : size == 2 ? 0x40 : size == 4 ? 0x80 : 0xc0);
    return size;
}

static size_t write_header_object(const struct object *object, uint8_t *at)
{
    at[0] = (uint8_t)(0x40 | (object->pn_size - 1));
    memcpy(at + 1, cid.bytes, cid.size);
    for (uint32_t i = 0; i < object->pn_size; i++)
        at[1 + cid.size + i] = (uint8_t)(object->number >> 8 * (object->pn_size - 1 - i));
    return 1 + (size_t)cid.size + object->pn_size;
}

static size_t write_stream_object(const struct object *object, uint8_t *at)
{
    size_t used = 1;
    at[0] = (uint8_t)(8 | (object->offset > 0 ? 4 : 0) | object->has_length << 1 | object->fin);
    used += write_number(at + used, object->number);
    if (object->offset > 0)
        used += write_number(at + used, object->offset);
    if (object->has_length)
        used += write_number(at + used, object->size);
    return used;
}

static struct object *object_create(size_t (*write)(const struct object *, uint8_t *))
{
    struct object *object = calloc(1, sizeof(*object));
    micro_check(object != NULL, "memory");
    object->write = write;
    return object;
}

static size_t write_by_objects(const struct packet *p, uint8_t *at)
{
    struct object *header = object_create(write_header_object);
    struct object *frame = object_create(write_stream_object);
    header->number = p->pn;
    header->pn_size = p->pn_size;
    header->next = frame;
    frame->number = p->head.id;
    frame->offset = p->head.offset;
    frame->size = p->head.size;
    frame->has_length = p->head.has_length;
    frame->fin = p->head.fin;

    size_t used = 0;
    for (struct object *next, *object = header; object != NULL; object = next) {
        next = object->next;
        used += object->write(object, at + used);
        free(object);
    }
    return used;
}

/* ---- Ours: inlined, as in the loops of conn/receive.c and conn/run.c ---- */

static inline __attribute__((always_inline)) size_t write_ours(struct packet *p, uint8_t *at)
{
    struct sb_writer w = sb_writer_of(at, PACKET_SIZE);
    uint8_t *pn_at = NULL;
    const struct sp_short_header header = {.dcid = &cid, .pn = p->pn, .pn_size = p->pn_size};
    sp_header_write_short(&w, &header, &pn_at);
    sp_frame_write_stream_head(&w, &p->head);
    return w.failed ? 0 : sb_writer_used(&w);
}

/* Everything but the keys, in the steps of conn/receive.c: header, CID, packet number, frame. */
static inline __attribute__((always_inline)) bool
read_ours(const struct packet *p, uint64_t next_pn, uint64_t *ret_pn, struct sp_frame *ret_frame)
{
    const uint8_t *data = p->bytes;
    if (!sp_header_is_short(data, PACKET_SIZE, CID_SIZE) ||
        memcmp(data + 1, cid.bytes, CID_SIZE) != 0)
        return false;
    uint32_t pn_size = (data[0] & SP_HEADER_PN_SIZE) + 1u;
    *ret_pn = sp_pn_expand(next_pn, sp_pn_read(data + 1 + CID_SIZE, pn_size), pn_size);
    size_t at = 1 + CID_SIZE + (size_t)pn_size;
    struct sb_reader reader = sb_reader_of(data + at, PACKET_SIZE - at);
    return sp_frame_read(&reader, SP_PACKET_ONE_RTT, ret_frame) == SP_OK;
}

static void check_packet(struct packet *p, uint32_t number, bool has_length)
{
    p->pn = 70000 + number;
    p->pn_size = 2;
    p->head = (struct sp_stream_head){.id = 4,
                                      .offset = UINT64_C(5000000) + number * PAYLOAD_SIZE,
                                      .size = PAYLOAD_SIZE,
                                      .has_length = has_length,
                                      .fin = number % 2 != 0};
    uint8_t want[PACKET_SIZE];
    size_t head_size = write_ours(p, p->bytes);
    size_t size = write_by_objects(p, want);
    micro_check(head_size == size && memcmp(p->bytes, want, size) == 0, "header and frame head");

    uint64_t pn = 0;
    struct sp_frame frame;
    uint64_t data_size = has_length ? PAYLOAD_SIZE : PACKET_SIZE - size;
    micro_check(read_ours(p, p->pn, &pn, &frame), "a packet can be read");
    micro_check(pn == p->pn && frame.stream.id == 4 && frame.stream.offset == p->head.offset &&
                    frame.stream.size == data_size && frame.stream.fin == p->head.fin &&
                    frame.stream.data == p->bytes + size,
                "what was read");
}

static void check(void)
{
    static const uint8_t name[CID_SIZE] = {1, 2, 3, 4, 5, 6, 7, 8};
    cid = sp_cid_of(name, sizeof(name));
    for (uint32_t i = 0; i < COUNT; i++) {
        check_packet(&packets[0][i], i, false);
        check_packet(&packets[1][i], i, true);
    }
}

static void run_write(void *context, uint64_t count)
{
    struct packet *const first = context;
    struct packet *p = first;
    for (uint64_t i = 0; i < count; i++) {
        micro_use(write_ours(p, p->bytes));
        p = p == first + COUNT - 1 ? first : p + 1;
    }
}

static void run_write_objects(void *context, uint64_t count)
{
    struct packet *const first = context;
    struct packet *p = first;
    for (uint64_t i = 0; i < count; i++) {
        micro_use(write_by_objects(p, p->bytes));
        p = p == first + COUNT - 1 ? first : p + 1;
    }
}

static void run_read(void *context, uint64_t count)
{
    const struct packet *const first = context;
    const struct packet *p = first;
    for (uint64_t i = 0; i < count; i++) {
        struct sp_frame frame;
        uint64_t pn = 0;
        if (!read_ours(p, 70000, &pn, &frame))
            break;
        micro_use(pn);
        micro_use_at(&frame);
        p = p == first + COUNT - 1 ? first : p + 1;
    }
}

static void time_all(struct micro *m)
{
    static const struct micro_subject subjects[] = {
        {"short header + STREAM head, write", run_write, packets[0], 1},
        {"short header + STREAM head, read", run_read, packets[0], 1},
        {"the same with a length, write", run_write, packets[1], 1},
        {"the same with a length, read", run_read, packets[1], 1},
        {"the same through objects, write", run_write_objects, packets[1], 1},
    };
    struct micro_sample s[SB_COUNT(subjects)];
    micro_time(m, subjects, SB_COUNT(subjects), s);
    for (size_t i = 0; i < SB_COUNT(subjects); i++)
        micro_row_ns(m, subjects[i].name, &s[i], i < 2 ? MICRO_AT_MOST : MICRO_REPORTED, 6);
}

const struct micro_bench micro_heads = {
    .name = "heads",
    .what = "P3: short header and STREAM frame head, without allocation",
    .check = check,
    .time = time_all,
};
