/* SPDX-License-Identifier: MIT */
#include "proto/conn/prefetch.h"

/* A shard with a thousand busy connections finds each of them outside of the second-level cache.
 * Without this a visit to one waits for some thirty lines one after the other, as each is needed;
 * with it they come at the same time, while another connection is served. */

#include "proto/base/bytes.h"
#include "proto/conn/schedule.h"
#include "proto/packet/protect.h"
#include "proto/wire/frame.h"

#define KEY_BYTES 256 /* about that of crypto/protect.c */

/* Addresses and no pointers: there may be no object, or a smaller one. */
static void fetch(const void *object, size_t size)
{
    for (size_t at = 0; at < size; at += SB_CACHE_LINE)
        __builtin_prefetch((const void *)((uintptr_t)object + at), 1);
}

void sp_conn_prefetch(const struct sp_conn *conn)
{
    fetch(conn, sizeof(*conn));
}

void sp_conn_prefetch_rest(const struct sp_conn *conn)
{
    fetch(conn->keys.read, KEY_BYTES);
    fetch(conn->keys.write, KEY_BYTES);
    struct sb_link *link = sp_schedule_first(conn);
    if (link != NULL)
        fetch(SB_CONTAINER_OF(link, struct sp_stream, send_link), sizeof(struct sp_stream));
}

/* Packets of a bulk transfer begin with a STREAM frame.  The look-ups do not depend on each other,
 * so the processor waits for all of them at once. */
void sp_conn_prefetch_streams(const struct sp_conn *conn, const struct sp_open *opens,
                              uint32_t count)
{
    uint64_t last = SB_VARINT_NONE;
    for (uint32_t i = 0; i < count; i++) {
        const uint8_t *head = opens[i].head != NULL ? opens[i].head : opens[i].data;
        struct sb_reader r =
            sb_reader_of(head, SB_MIN(opens[i].size, (size_t)SP_STREAM_HEAD_SIZE_MAX));
        uint64_t type = sb_reader_varint(&r);
        uint64_t id = sb_reader_varint(&r);
        if (!opens[i].is_authentic || r.failed || id == last ||
            (type & ~(uint64_t)7) != SP_FRAME_STREAM)
            continue;
        last = id;
        const struct sp_stream *stream = sp_stream_map_find(&conn->streams, id);
        if (stream != NULL)
            fetch(&stream->recv, sizeof(stream->recv));
    }
}
