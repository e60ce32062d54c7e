/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_SCHEDULE_H
#define SP_CONN_SCHEDULE_H

#include "proto/conn/impl.h"

/* Which of the streams that have something to send is next.  [RFC9218 10]
 *
 * A connection whose streams all have the priority that streams begin with has one list,
 * conn->send_list, and serves it round robin.  The first other priority makes an object with a list
 * for each of the 16.  The most urgent list that has streams is served; of one urgency the
 * streams that are not incremental come first, one after the other; incremental ones take turns.
 *
 * So that nobody starves, and what is retransmitted of a stream that nobody hurries comes some day,
 * the lists below the most urgent one have a share, and take turns in it:
 *
 *     bytes of the lists below = bytes of the most urgent list / SP_SCHEDULE_SHARE
 *
 * Choosing looks at 16 lists at most, however many streams there are. */

enum { SP_PRIORITIES = 16 };

/* A priority in one byte: the index of its list, and whether a stream of a list that is not
 * incremental is in it. */
#define SP_PRIORITY(urgency, is_incremental) ((uint8_t)((urgency) << 1 | (is_incremental)))
#define SP_PRIORITY_FIRST                    SP_PRIORITY(SP_URGENCY_FIRST, true)
#define SP_PRIORITY_LIST                     0x0f
#define SP_PRIORITY_IN_LINE                  0x10

struct sp_priorities {
    struct sb_link lists[SP_PRIORITIES]; /* that of SP_PRIORITY_FIRST is conn->send_list */
    uint32_t mask;                       /* lists that may have streams */
    uint32_t lower;                      /* the list below that had the last turn */
    int64_t lead_bytes; /* sent by the most urgent list, less SP_SCHEDULE_SHARE times those below */
};

/* The general case of sp_schedule_first(). */
struct sb_link *sp_priorities_first(const struct sp_conn *conn);
bool sp_priorities_are_shared(const struct sp_conn *conn, const struct sp_stream *stream);
void sp_priorities_add(struct sp_conn *conn, struct sp_stream *stream);
void sp_priorities_add_lost(struct sp_conn *conn, struct sp_stream *stream);
void sp_priorities_on_served(struct sp_conn *conn, const struct sp_stream *stream, uint64_t size);

/* Returns the send_link of the stream to serve, or NULL if none has anything to send.  The result
 * is the same until a stream is served, added or removed. */
static inline struct sb_link *sp_schedule_first(const struct sp_conn *conn)
{
    if (SB_LIKELY(conn->priorities == NULL))
        return sb_list_first(&conn->send_list);
    return sp_priorities_first(conn);
}

/* Returns whether others wait for a turn while `stream`, the first, is served. */
static inline bool sp_schedule_is_shared(const struct sp_conn *conn, const struct sp_stream *stream)
{
    if (SB_LIKELY(conn->priorities == NULL))
        return stream->send_link.next != &conn->send_list;
    return sp_priorities_are_shared(conn, stream);
}

/* Puts a stream where it waits for its turn.  An incremental one goes to the end of its list, so
 * that they send round robin. */
static inline void sp_schedule_add(struct sp_conn *conn, struct sp_stream *stream)
{
    if (SB_UNLIKELY(conn->priorities != NULL)) {
        sp_priorities_add(conn, stream);
        return;
    }
    sb_list_remove(&stream->send_link);
    sb_list_push_back(&conn->send_list, &stream->send_link);
}

/* Puts a stream with lost bytes before the others of its priority: its reader waits for them. */
static inline void sp_schedule_add_lost(struct sp_conn *conn, struct sp_stream *stream)
{
    if (SB_UNLIKELY(conn->priorities != NULL)) {
        sp_priorities_add_lost(conn, stream);
        return;
    }
    sb_list_remove(&stream->send_link);
    sb_list_push_front(&conn->send_list, &stream->send_link);
}

/* Takes a stream out of the schedule, or of the list in which it waits for credit. */
static inline void sp_schedule_remove(struct sp_stream *stream)
{
    sb_list_remove(&stream->send_link);
    stream->priority &= SP_PRIORITY_LIST;
}

/* The first stream had its turn and sent `size` bytes.  It is to be added or removed afterwards. */
static inline void sp_schedule_on_served(struct sp_conn *conn, const struct sp_stream *stream,
                                         uint64_t size)
{
    if (SB_UNLIKELY(conn->priorities != NULL))
        sp_priorities_on_served(conn, stream, size);
}

/* Does the work of sp_conn_stream_set_priority().  If the priority changes, takes the stream out of
 * the list that it is in: the caller schedules it again. */
SB_MUST_USE enum sp_result sp_schedule_set_priority(struct sp_conn *conn, struct sp_stream *stream,
                                                    uint32_t urgency, bool is_incremental);
/* Frees them; the streams are gone. */
void sp_schedule_deinit(struct sp_conn *conn);
/* Returns the bytes of sp_conn_memory_bytes() that they take. */
uint64_t sp_schedule_bytes(const struct sp_conn *conn);
/* Asserts the above by walking the lists. */
void sp_schedule_check(const struct sp_conn *conn);

#endif
