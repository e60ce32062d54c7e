/* SPDX-License-Identifier: MIT */
#include "proto/wire/qlog.h"

/* Records of qlog: their encoding, and the frames of packets without their data. */

#include "proto/wire/frame.h"

void sp_qlog_write(struct sp_qlog *qlog, const struct sp_qlog_record *record)
{
    uint8_t bytes[SP_QLOG_RECORD_SIZE_MAX];
    struct sb_writer w = sb_writer_of(bytes, sizeof(bytes));
    SB_ASSERT(record->number_count <= SP_QLOG_NUMBERS_MAX);
    SB_ASSERT(record->text_count <= SP_QLOG_TEXTS_MAX);
    sb_writer_u8(&w, (uint8_t)record->kind);
    sb_writer_u64(&w, qlog->now_ns);
    sb_writer_u8(&w, (uint8_t)record->number_count);
    sb_writer_u8(&w, (uint8_t)record->text_count);
    for (uint32_t i = 0; i < record->number_count; i++)
        sb_writer_varint(&w, SB_MIN(record->numbers[i], SP_QLOG_NONE));
    for (uint32_t i = 0; i < record->text_count; i++) {
        sb_writer_varint(&w, record->texts[i].size);
        if (record->texts[i].size > 0)
            sb_writer_bytes(&w, record->texts[i].data, record->texts[i].size);
    }
    if (!w.failed) /* a peer's transport parameters may be longer than any that we know */
        qlog->write(qlog, bytes, sb_writer_used(&w));
}

void sp_qlog_numbers(struct sp_qlog *qlog, enum sp_qlog_kind kind, const uint64_t *numbers,
                     uint32_t count)
{
    struct sp_qlog_record record = {.kind = kind, .number_count = count};
    SB_ASSERT(count <= SP_QLOG_NUMBERS_MAX);
    memcpy(record.numbers, numbers, count * sizeof(numbers[0]));
    sp_qlog_write(qlog, &record);
}

void sp_qlog_wait(struct sp_qlog *qlog, enum sp_qlog_wait wait)
{
    if (qlog->wait == wait)
        return;
    sp_qlog_numbers(qlog, SP_QLOG_WAIT, (uint64_t[]){qlog->wait, wait}, 2);
    qlog->wait = wait;
}

bool sp_qlog_read(const uint8_t *data, size_t size, struct sp_qlog_record *ret)
{
    struct sb_reader r = sb_reader_of(data, size);
    struct sp_qlog_record record = {.kind = (enum sp_qlog_kind)sb_reader_u8(&r)};
    record.time_ns = sb_reader_u64(&r);
    record.number_count = sb_reader_u8(&r);
    record.text_count = sb_reader_u8(&r);
    if (r.failed || record.kind >= SP_QLOG_KINDS || record.number_count > SP_QLOG_NUMBERS_MAX ||
        record.text_count > SP_QLOG_TEXTS_MAX)
        return false;
    for (uint32_t i = 0; i < record.number_count; i++)
        record.numbers[i] = sb_reader_varint(&r);
    for (uint32_t i = 0; i < record.text_count; i++) {
        record.texts[i].size = (size_t)sb_reader_varint(&r);
        record.texts[i].data = sb_reader_take(&r, record.texts[i].size);
    }
    if (r.failed || sb_reader_left(&r) > 0)
        return false;
    *ret = record;
    return true;
}

/* ---- Frames ---- */

/* The plaintext of a packet, part after part. */
struct walk {
    const struct sb_bytes *parts;
    uint32_t left; /* parts after this one */
    struct sb_reader reader;
};

/* Moves on to the next part that has bytes.  Returns false at the end. */
static bool has_more(struct walk *walk)
{
    while (sb_reader_left(&walk->reader) == 0) {
        if (walk->left == 0)
            return false;
        walk->left--;
        walk->parts++;
        walk->reader = sb_reader_of(walk->parts->data, walk->parts->size);
    }
    return true;
}

static uint64_t left_in_all(const struct walk *walk)
{
    uint64_t bytes = sb_reader_left(&walk->reader);
    for (uint32_t i = 1; i <= walk->left; i++)
        bytes += walk->parts[i].size;
    return bytes;
}

static void skip(struct walk *walk, uint64_t size)
{
    while (size > 0 && has_more(walk)) {
        uint64_t step = SB_MIN(size, (uint64_t)sb_reader_left(&walk->reader));
        (void)sb_reader_take(&walk->reader, step);
        size -= step;
    }
}

static void write_stream(struct sb_writer *w, const uint64_t numbers[4])
{
    sb_writer_u8(w, SP_QLOG_FRAME_STREAM);
    for (uint32_t i = 0; i < 4; i++)
        sb_writer_varint(w, numbers[i]);
}

static bool has_data(uint64_t type)
{
    return (type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM || type == SP_FRAME_CRYPTO ||
           type == SP_FRAME_DATAGRAM || type == SP_FRAME_DATAGRAM_LEN;
}

/* Records a frame that has data, and steps over it.  Returns false if it is malformed. */
static bool add_with_data(struct walk *walk, uint64_t type, struct sb_writer *w)
{
    struct sb_reader *r = &walk->reader;
    bool is_stream = (type & ~(uint64_t)SP_STREAM_FLAGS) == SP_FRAME_STREAM;
    bool has_length = is_stream ? (type & SP_STREAM_LEN) != 0 : type != SP_FRAME_DATAGRAM;
    (void)sb_reader_varint(r);
    uint64_t id = is_stream ? sb_reader_varint(r) : 0;
    bool has_offset = type == SP_FRAME_CRYPTO || (is_stream && (type & SP_STREAM_OFF) != 0);
    uint64_t offset = has_offset ? sb_reader_varint(r) : 0;
    uint64_t size = has_length ? sb_reader_varint(r) : left_in_all(walk);
    if (r->failed || size > left_in_all(walk))
        return false;
    if (is_stream) {
        write_stream(w, (uint64_t[4]){id, offset, size, type & SP_STREAM_FIN});
    } else if (type == SP_FRAME_CRYPTO) {
        sb_writer_u8(w, SP_QLOG_FRAME_CRYPTO);
        sb_writer_varint(w, offset);
        sb_writer_varint(w, size);
    } else {
        sb_writer_u8(w, SP_QLOG_FRAME_DATAGRAM);
        sb_writer_varint(w, size);
    }
    skip(walk, size);
    return true;
}

/* Records any other frame, and steps over it. */
static bool add_other(struct walk *walk, struct sb_writer *w)
{
    const uint8_t *start = walk->reader.at;
    struct sp_frame frame;
    if (sp_frame_read(&walk->reader, SP_PACKET_ONE_RTT, &frame) != SP_OK)
        return false;
    if (frame.type == SP_FRAME_PADDING) {
        sb_writer_u8(w, SP_QLOG_FRAME_PADDING);
        sb_writer_varint(w, frame.padding_size);
        return true;
    }
    size_t size = (size_t)(walk->reader.at - start);
    sb_writer_u8(w, SP_QLOG_FRAME_OTHER);
    sb_writer_varint(w, size);
    sb_writer_bytes(w, start, size);
    return true;
}

size_t sp_qlog_frames(const struct sb_bytes *parts, uint32_t part_count,
                      uint8_t ret[SP_QLOG_FRAMES_SIZE_MAX])
{
    enum { LAST_SIZE = 1 + SB_VARINT_SIZE_MAX };
    if (part_count == 0)
        return 0;
    struct walk walk = {.parts = parts, .left = part_count - 1};
    walk.reader = sb_reader_of(parts->data, parts->size);
    struct sb_writer w = sb_writer_of(ret, SP_QLOG_FRAMES_SIZE_MAX - LAST_SIZE);
    uint64_t omitted_count = 0;
    while (has_more(&walk)) {
        struct sb_writer one = w;
        struct sb_reader peek = walk.reader;
        uint64_t type = sb_reader_varint(&peek);
        bool is_frame = has_data(type) ? add_with_data(&walk, type, &one) : add_other(&walk, &one);
        if (!is_frame)
            break;
        if (one.failed || omitted_count > 0)
            omitted_count++;
        else
            w = one;
    }
    w.end += LAST_SIZE;
    if (omitted_count > 0) {
        sb_writer_u8(&w, SP_QLOG_FRAME_OMITTED);
        sb_writer_varint(&w, omitted_count);
    }
    SB_ASSERT(!w.failed);
    return sb_writer_used(&w);
}

size_t sp_qlog_frame_of_stream(uint64_t id, uint64_t offset, uint64_t size, bool fin,
                               uint8_t ret[SP_QLOG_FRAMES_SIZE_MAX])
{
    struct sb_writer w = sb_writer_of(ret, SP_QLOG_FRAMES_SIZE_MAX);
    write_stream(&w, (uint64_t[4]){id, offset, size, fin});
    return sb_writer_used(&w);
}

bool sp_qlog_next_frame(struct sb_reader *reader, struct sp_qlog_frame *ret)
{
    static const uint8_t counts[] = {
        [SP_QLOG_FRAME_STREAM] = 4,  [SP_QLOG_FRAME_CRYPTO] = 2, [SP_QLOG_FRAME_DATAGRAM] = 1,
        [SP_QLOG_FRAME_PADDING] = 1, [SP_QLOG_FRAME_OTHER] = 1,  [SP_QLOG_FRAME_OMITTED] = 1,
    };
    if (reader->failed || sb_reader_left(reader) == 0)
        return false;
    struct sp_qlog_frame frame = {.kind = (enum sp_qlog_frame_kind)sb_reader_u8(reader)};
    if ((size_t)frame.kind >= SB_COUNT(counts))
        return false;
    for (uint32_t i = 0; i < counts[frame.kind]; i++)
        frame.numbers[i] = sb_reader_varint(reader);
    if (frame.kind == SP_QLOG_FRAME_OTHER) {
        frame.bytes.size = (size_t)frame.numbers[0];
        frame.bytes.data = sb_reader_take(reader, frame.bytes.size);
    }
    if (reader->failed)
        return false;
    *ret = frame;
    return true;
}

/* ---- Addresses ---- */

void sp_qlog_addr(const struct sp_addr *addr, uint8_t ret[SP_QLOG_ADDR_SIZE])
{
    ret[0] = (uint8_t)addr->family;
    memcpy(ret + 1, addr->ip, sizeof(addr->ip));
    sb_store_u16(ret + 1 + sizeof(addr->ip), addr->port);
}

bool sp_qlog_addr_read(struct sb_bytes text, struct sp_addr *ret)
{
    if (text.size != SP_QLOG_ADDR_SIZE)
        return false;
    *ret = (struct sp_addr){.family = text.data[0]};
    memcpy(ret->ip, text.data + 1, sizeof(ret->ip));
    ret->port = sb_load_u16(text.data + 1 + sizeof(ret->ip));
    return true;
}
