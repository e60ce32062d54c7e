/* SPDX-License-Identifier: MIT */
#include "proto/conn/schedule.h"

/* Lists of streams by priority.  [RFC9218 4, 10]
 *
 * What can be attacked: a peer may have a say in priorities, as with PRIORITY_UPDATE of HTTP/3, and
 * change them without an end.  A change costs the steps of one insertion.  It moves a stream to the
 * end of its new list, or before one with a higher ID that is served one after the other, so that
 * changes win no turn.  However many streams are most urgent, the others have their share. */

#include "proto/base/assert.h"
#include "proto/base/steps.h"

static const struct sb_link *list_of(const struct sp_conn *conn, uint32_t index)
{
    return index == SP_PRIORITY_FIRST ? &conn->send_list : &conn->priorities->lists[index];
}

static struct sb_link *list_at(struct sp_conn *conn, uint32_t index)
{
    return index == SP_PRIORITY_FIRST ? &conn->send_list : &conn->priorities->lists[index];
}

static uint32_t index_of(const struct sp_stream *stream)
{
    return stream->priority & SP_PRIORITY_LIST;
}

static bool is_incremental(uint32_t index)
{
    return (index & 1) != 0;
}

/* Returns the lists that have streams, a bit each, and forgets those that have none any more. */
static uint32_t ready(const struct sp_conn *conn)
{
    struct sp_priorities *p = conn->priorities;
    for (uint32_t left = p->mask; left != 0; left &= left - 1) {
        SB_STEP();
        uint32_t index = (uint32_t)__builtin_ctz(left);
        if (sb_list_is_empty(list_of(conn, index)))
            p->mask &= ~(1u << index);
    }
    return p->mask;
}

/* Returns the next list after `last` of `lists`, which are not empty, in turns. */
static uint32_t next_in_turn(uint32_t lists, uint32_t last)
{
    uint32_t after = lists & ~((2u << last) - 1);
    return (uint32_t)__builtin_ctz(after != 0 ? after : lists);
}

/* The lead with which a list below has its turn: a datagram of it is paid for. */
static int64_t lead_bytes_max(const struct sp_conn *conn)
{
    return SP_SCHEDULE_SHARE * (int64_t)conn->datagram_size;
}

struct sb_link *sp_priorities_first(const struct sp_conn *conn)
{
    const struct sp_priorities *p = conn->priorities;
    uint32_t lists = ready(conn);
    if (lists == 0)
        return NULL;
    uint32_t below = lists & (lists - 1);
    uint32_t index = (uint32_t)__builtin_ctz(lists);
    if (p->lead_bytes >= lead_bytes_max(conn) && below != 0)
        index = next_in_turn(below, p->lower);
    return sb_list_first(list_of(conn, index));
}

bool sp_priorities_are_shared(const struct sp_conn *conn, const struct sp_stream *stream)
{
    uint32_t index = index_of(stream);
    if ((ready(conn) & ~(1u << index)) != 0)
        return true;
    return is_incremental(index) && stream->send_link.next != list_of(conn, index);
}

void sp_priorities_on_served(struct sp_conn *conn, const struct sp_stream *stream, uint64_t size)
{
    struct sp_priorities *p = conn->priorities;
    uint32_t index = index_of(stream);
    /* The mask is that of the choice: nothing was added since. */
    if (index == (uint32_t)__builtin_ctz(p->mask)) {
        p->lead_bytes = SB_MIN(p->lead_bytes + (int64_t)size, lead_bytes_max(conn));
        return;
    }
    p->lead_bytes -= SP_SCHEDULE_SHARE * (int64_t)size;
    p->lower = index;
}

void sp_priorities_add(struct sp_conn *conn, struct sp_stream *stream)
{
    uint32_t index = index_of(stream);
    struct sb_link *list = list_at(conn, index);
    conn->priorities->mask |= 1u << index;
    if ((stream->priority & SP_PRIORITY_IN_LINE) != 0)
        return; /* it keeps its place */
    sb_list_remove(&stream->send_link);
    struct sb_link *first = sb_list_first(list);
    bool is_before = !is_incremental(index) && first != NULL &&
                     SB_CONTAINER_OF(first, struct sp_stream, send_link)->id > stream->id;
    if (is_before)
        sb_list_push_front(list, &stream->send_link);
    else
        sb_list_push_back(list, &stream->send_link);
    if (!is_incremental(index))
        stream->priority |= SP_PRIORITY_IN_LINE;
}

void sp_priorities_add_lost(struct sp_conn *conn, struct sp_stream *stream)
{
    uint32_t index = index_of(stream);
    conn->priorities->mask |= 1u << index;
    sb_list_remove(&stream->send_link);
    sb_list_push_front(list_at(conn, index), &stream->send_link);
    if (!is_incremental(index))
        stream->priority |= SP_PRIORITY_IN_LINE;
}

/* Makes the lists of all priorities if there are none.  Returns false without memory. */
static bool begin_priorities(struct sp_conn *conn)
{
    if (conn->priorities != NULL)
        return true;
    struct sp_priorities *p = sb_pool_take_ordinary(&conn->pools->priorities);
    if (p == NULL)
        return false;
    *p = (struct sp_priorities){.mask = 1u << SP_PRIORITY_FIRST};
    for (uint32_t i = 0; i < SP_PRIORITIES; i++)
        sb_list_init(&p->lists[i]);
    conn->priorities = p;
    return true;
}

enum sp_result sp_schedule_set_priority(struct sp_conn *conn, struct sp_stream *stream,
                                        uint32_t urgency, bool is_incremental)
{
    if (stream->send.state == SP_SEND_NONE || urgency > SP_URGENCY_MAX)
        return SP_INVALID;
    if (stream->send.state >= SP_SEND_DATA_DONE)
        return SP_GONE;
    uint8_t priority = SP_PRIORITY(urgency, is_incremental);
    if (index_of(stream) == priority)
        return SP_DONE; /* it keeps its place, so that repeating wins and loses nothing */
    if (!begin_priorities(conn))
        return SP_NO_MEMORY;
    sp_schedule_remove(stream);
    stream->priority = priority;
    return SP_DONE;
}

void sp_schedule_deinit(struct sp_conn *conn)
{
    sb_pool_give(&conn->pools->priorities, conn->priorities);
    conn->priorities = NULL;
}

uint64_t sp_schedule_bytes(const struct sp_conn *conn)
{
    return conn->priorities == NULL ? 0 : conn->pools->priorities.object_size;
}

void sp_schedule_check(const struct sp_conn *conn)
{
    for (uint32_t i = 0; conn->priorities != NULL && i < SP_PRIORITIES; i++) {
        const struct sb_link *list = list_of(conn, i);
        SB_ASSERT(sb_list_is_empty(list) || (conn->priorities->mask & 1u << i) != 0);
        for (struct sb_link *link = list->next; link != list; link = link->next) {
            const struct sp_stream *stream = SB_CONTAINER_OF(link, struct sp_stream, send_link);
            bool is_in_line = (stream->priority & SP_PRIORITY_IN_LINE) != 0;
            SB_ASSERT(index_of(stream) == i);
            SB_ASSERT(is_in_line == !is_incremental(i));
        }
    }
}
