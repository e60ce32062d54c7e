/* SPDX-License-Identifier: MIT */
#ifndef QS_APP_H
#define QS_APP_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/list.h"
#include "proto/conn/conn.h"
#include "test/sim/clock.h"
#include "test/sim/plan.h"
#include "test/sim/random.h"
#include "test/sim/stream_table.h"
#include "test/sim/trace.h"

/* The application of one side of one connection.  It opens streams, sends bytes that anyone can
 * predict, answers, abandons, reads at its own pace, and closes; and it notices every event
 * that should not have come.
 *
 *   app.c        the connection's events, streams as a whole, closing
 *   app_send.c   lent memory and the sending parts
 *   app_recv.c   slices, credit and the receiving parts
 *   app_lend.c   memory to receive into
 *   app_message.c  messages: DATAGRAM frames
 *
 * What it lends is overwritten and freed as soon as it comes back, so that bytes which
 * the connection still uses are wrong on the wire (and a use after free). */

struct qs_stream {
    struct sb_link ready_link; /* in qs_app.ready: it may have something to send */
    uint64_t id;
    bool is_known; /* opened by either side */
    bool is_closed;
    bool is_cut; /* closed by the connection's end */

    bool has_send;
    bool fin_is_alone; /* the FIN comes in a write without bytes */
    bool fin_is_written;
    bool was_reset;   /* by us */
    bool was_stopped; /* by the peer */
    bool will_reset;
    bool is_resetting; /* in a moment */
    uint64_t send_total;
    uint64_t send_offset;  /* written so far */
    uint64_t pause_offset; /* .. when the last pause began */
    uint64_t pause_until_ns;
    uint64_t reset_at;
    uint64_t reliable_size;     /* of our reset; 0: none */
    bool has_given_up_reliable; /* a write below it came back without being acknowledged */
    uint32_t lent_count;
    uint64_t given_up_count; /* writes that came back without being acknowledged */

    bool has_recv;
    bool fin_seen;
    bool reset_seen;
    bool will_stop;
    bool stop_asked;
    uint64_t stop_at;
    uint64_t recv_offset;
    uint64_t unread; /* received and not given back as credit */
    bool will_lend;
    bool has_lent;         /* no slices come any more */
    bool is_lending_again; /* a timer will lend the next buffer */
    uint32_t target_count; /* lent */
    uint64_t target_end;   /* where lent memory ended last */
};

struct qs_lent {
    uint8_t *data; /* NULL: it came back */
    size_t size;
    uint64_t id;
    uint64_t offset;
};

struct qs_held {
    struct sb_link link;
    struct sb_slice slice;
    uint64_t id;
    uint64_t offset;
    uint64_t until_ns;
};

struct qs_app_message {
    uint8_t *data; /* NULL: it came back */
    uint32_t size;
    uint64_t deadline_ns;
    bool is_out; /* its result is due */
    bool is_copied;
};

struct qs_app {
    struct qs_trace *trace;
    struct qs_clock *clock;
    const char *who;
    enum sp_role role;
    const struct qs_plan *plan;
    const struct qs_app_plan *own; /* of this side */
    const struct qs_app_plan *peer;
    struct qs_random random;
    uint64_t content_key; /* of this connection: sizes and whims of its streams */
    struct sp_conn *conn; /* NULL: not made yet, or freed */
    /* Something was done that the connection may have to send. */
    void (*wake)(void *context);
    void *wake_context;

    bool is_early; /* SP_EVENT_EARLY came */
    bool is_connected;
    bool is_confirmed;
    bool is_closed;
    bool is_drained;
    bool has_asked_close;
    struct sp_close close; /* once is_closed */

    struct qs_stream_table streams;
    struct sb_link ready;
    uint32_t opened[2]; /* bidi, uni; by this side */
    uint32_t opened_by_peer[2];
    uint32_t closed_count;
    bool must_wait[2]; /* for STREAMS_AVAILABLE */
    bool is_opening_later;

    struct qs_lent *lent; /* by tag */
    uint32_t lent_size;
    uint32_t lent_made;
    uint32_t lent_out; /* that have not come back */

    struct sb_link targets; /* memory to receive into */
    struct sb_link held;
    uint64_t held_count;
    uint64_t bytes_received;
    uint64_t unread;
    bool is_reading; /* a tick of the slow reader is due */

    struct qs_app_message *messages; /* by number, which is the tag; NULL: none was sent */
    uint32_t message_next;
    uint32_t messages_out;     /* without a result */
    uint64_t messages_overdue; /* whose deadline had come when they were sent */
    uint64_t messages_acked;
    uint64_t messages_arrived;
    int64_t message_size_min; /* the smallest limit so far */
    uint8_t *arrived;         /* how often a message of the peer has arrived */
    bool waits_for_room;
    bool is_messaging_later; /* a timer will send the next ones */
};

struct qs_app_args {
    struct qs_trace *trace;
    struct qs_clock *clock;
    const char *who;
    enum sp_role role;
    const struct qs_plan *plan;
    uint64_t conn_index; /* equal on both sides */
    void (*wake)(void *context);
    void *wake_context;
};

/* All is borrowed. */
void qs_app_init(struct qs_app *app, const struct qs_app_args *args);
/* Gives back what is still held or lent. */
void qs_app_deinit(struct qs_app *app);

/* Starts the application: the connection exists, and the application's timers are set. */
void qs_app_start(struct qs_app *app, struct sp_conn *conn);

/* Takes the event, with its slice if it has one. */
void qs_app_event(struct qs_app *app, const struct sp_event *event);

/* Opens, writes and closes what there is to. */
void qs_app_work(struct qs_app *app);

/* The connection is about to be destroyed: lent bytes are the application's again. */
void qs_app_conn_gone(struct qs_app *app);

/* All streams of both sides are closed. */
bool qs_app_is_complete(const struct qs_app *app);

/* What `role` sends on stream `id` if nothing stops it. */
uint64_t qs_app_total(const struct qs_app *app, enum sp_role role, uint64_t id);
uint64_t qs_app_hash(const struct qs_app *app, enum sp_role role, uint64_t id, const char *what);

/* Error codes of resets: which side abandoned the stream, and why. */
enum { QS_ERROR_RESET = 0x100, QS_ERROR_STOP = 0x200 };

/* Of app_send.c. */
void qs_app_send_init(struct qs_app *app, struct qs_stream *stream);
void qs_app_send_work(struct qs_app *app);
void qs_app_on_sent(struct qs_app *app, struct qs_stream *stream, const struct sp_event *event);
void qs_app_on_stopped(struct qs_app *app, struct qs_stream *stream, uint64_t error);
void qs_app_forget_lent(struct qs_app *app);

/* Of app_recv.c. */
void qs_app_recv_init(struct qs_app *app, struct qs_stream *stream);
void qs_app_on_data(struct qs_app *app, struct qs_stream *stream, const struct sp_event *event);
void qs_app_on_reset(struct qs_app *app, struct qs_stream *stream, uint64_t error);
/* Bytes of the stream arrived, wherever they are. */
void qs_app_note_received(struct qs_app *app, struct qs_stream *stream, uint64_t offset,
                          uint64_t size, bool fin);
void qs_app_maybe_stop(struct qs_app *app, struct qs_stream *stream);
/* Keeps a slice for a while. */
void qs_app_hold(struct qs_app *app, const struct qs_held *slice);
/* Gives back slices whose time is up; all of them with SB_NEVER. */
void qs_app_release_held(struct qs_app *app, uint64_t now_ns);

/* Of app_message.c. */
void qs_app_message_work(struct qs_app *app);
void qs_app_note_message_size(struct qs_app *app);
void qs_app_on_message(struct qs_app *app, const struct sp_event *event);
void qs_app_on_messages_done(struct qs_app *app, const struct sp_event *event);
bool qs_app_messages_are_done(const struct qs_app *app);
void qs_app_forget_messages(struct qs_app *app);

/* Of app_lend.c. */
void qs_app_lend(struct qs_app *app, struct qs_stream *stream);
void qs_app_on_placed(struct qs_app *app, struct qs_stream *stream, const struct sp_event *event);
void qs_app_forget_targets(struct qs_app *app);

#endif
