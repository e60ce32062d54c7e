/* SPDX-License-Identifier: MIT */
/* bulk: --streams streams on each of --conns connections, full of data one way; with --direction
 * both, as many in each direction at once.
 *
 * With --bytes each stream has its share, and all is over when the last FIN has come back and all
 * that was sent is acknowledged: a server answers an upload with an empty response, ours behind
 * the upload's end and others perhaps at once.  By time,
 * downloads ask for more than can come, and uploads never end; a stream that does
 * end is followed by another.
 *
 * What counts is what has reached the receiver's application. */

#include "bench/load/client_impl.h"

#include <errno.h>
#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "bench/load/endpoint.h"
#include "bench/load/landing.h"
#include "bench/load/options.h"
#include "bench/load/payload.h"

/* What one download asks for when time is the limit: 18 minutes at 8 Gbit/s. */
#define ENDLESS_BYTES (UINT64_C(1) << 40)

enum {
    TAG_HEADER,
    TAG_PIECE,
};

/* Invariants: moved_bytes <= share_bytes (download); queued_bytes <= share_bytes (upload). */
struct bulk_stream {
    struct client_conn *conn;
    uint64_t id;
    uint64_t share_bytes;
    uint64_t moved_bytes;  /* received */
    uint64_t queued_bytes; /* handed to the library */
    uint64_t ended_bytes;  /* of the streams before this one */
    uint64_t begin_bytes;  /* moved when the measured part began */
    uint32_t lent_count;
    bool is_up;
    bool is_open;
    bool is_answered; /* the server has sent all that it will */
    bool is_done;
    struct landing landing;
    uint8_t header[ENDPOINT_HEADER_SIZE]; /* lent while it is on its way */
};

struct bulk {
    uint32_t stream_count;
    uint32_t done_count;
    bool is_starved; /* -ENOBUFS: try again in the next turn */
    struct bulk_stream streams[];
};

static void fill(struct client *c, struct bulk_stream *s)
{
    struct bulk *b = c->bulk;
    while (s->queued_bytes < s->share_bytes &&
           endpoint_may_lend(s->conn->conn, s->id, s->lent_count)) {
        uint64_t left = s->share_bytes - s->queued_bytes;
        size_t size = left < PAYLOAD_SIZE ? (size_t)left : PAYLOAD_SIZE;
        int status = spate_stream_send(s->conn->conn, s->id, payload_region(), size, size == left,
                                       TAG_PIECE);
        if (status == -ENOBUFS) {
            b->is_starved = true;
            return;
        }
        if (status != 0) {
            (void)client_fail(c, "cannot send on stream %" PRIu64 ": %s", s->id, strerror(-status));
            return;
        }
        s->lent_count++;
        s->queued_bytes += size;
        c->payload_out_bytes += size;
    }
}

static void start(struct client *c, struct bulk_stream *s)
{
    int status = spate_stream_open(s->conn->conn, false, &s->id);
    if (status == -EAGAIN)
        return; /* SPATE_EVENT_STREAMS_AVAILABLE comes back to it */
    if (status == 0)
        status = spate_stream_set_user(s->conn->conn, s->id, s);

    s->is_open = true;
    s->is_answered = false;
    s->moved_bytes = 0;
    s->queued_bytes = 0;
    endpoint_write_header(s->header, s->is_up ? 0 : s->share_bytes);
    bool is_last = !s->is_up || s->share_bytes == 0;
    if (status == 0)
        status = spate_stream_send(s->conn->conn, s->id, s->header, sizeof(s->header), is_last,
                                   TAG_HEADER);
    if (status != 0)
        (void)client_fail(c, "cannot start a stream: %s", strerror(-status));
    else if (s->is_up)
        fill(c, s);
    else if (c->options->app_buffers)
        landing_lend(&s->landing, s->conn->conn, s->id);
}

static void start_pending(struct client *c, const struct client_conn *conn)
{
    struct bulk *b = c->bulk;
    for (uint32_t i = 0; i < b->stream_count && !c->failure->is_set; i++) {
        struct bulk_stream *s = &b->streams[i];
        bool is_pending = !s->is_open && !s->is_done && s->conn->is_open;
        if (is_pending && (conn == NULL || s->conn == conn))
            start(c, s);
    }
}

static bool bulk_open(struct client *c)
{
    const struct options *o = c->options;
    uint64_t conn_count = c->bulk_count;
    bool is_both = o->direction == DIRECTION_BOTH;
    uint64_t count = conn_count * o->streams * (is_both ? 2 : 1);
    struct bulk *b = calloc(1, sizeof(*b) + count * sizeof(b->streams[0]));
    if (b == NULL)
        return client_fail(c, "out of memory");

    b->stream_count = (uint32_t)count; /* the options bound it to 2 * 10^6 */
    for (uint64_t i = 0; i < count; i++) {
        b->streams[i].conn = &c->conns[i % conn_count];
        b->streams[i].is_up = is_both ? i / conn_count % 2 == 1 : o->direction == DIRECTION_UP;
        b->streams[i].share_bytes =
            o->bytes == 0 ? ENDLESS_BYTES : o->bytes / count + (i < o->bytes % count);
    }
    c->bulk = b;
    c->is_waiting = true;
    return true;
}

static void bulk_begin(struct client *c, uint64_t now_ns)
{
    (void)now_ns;
    start_pending(c, NULL);
}

/* Ends the stream if both directions are through, and starts the next one by time. */
static void check_done(struct client *c, struct bulk_stream *s)
{
    struct bulk *b = c->bulk;
    bool is_uploaded = !s->is_up || (s->queued_bytes == s->share_bytes && s->lent_count == 0);
    if (!s->is_answered || !is_uploaded)
        return;

    s->is_open = false;
    if (c->options->bytes == 0) {
        s->ended_bytes += s->share_bytes;
        start(c, s);
    } else {
        s->is_done = true;
        b->done_count++;
    }
}

static void on_fin(struct client *c, struct bulk_stream *s)
{
    uint64_t expected = s->is_up ? 0 : s->share_bytes;

    s->is_answered = true;
    if (s->moved_bytes == expected)
        check_done(c, s);
    else
        (void)client_fail(c, "the server sent %" PRIu64 " bytes instead of %" PRIu64,
                          s->moved_bytes, expected);
}

static void on_sent(struct client *c, struct bulk_stream *s, const struct spate_event *e)
{
    s->lent_count--;
    if (!s->is_open || s->id != e->stream_id)
        return;
    fill(c, s);
    check_done(c, s);
}

/* Bytes have arrived, which were good if they were looked at. */
static void on_bytes(struct client *c, struct bulk_stream *s, uint64_t offset, size_t size,
                     bool is_good, bool fin)
{
    if (!is_good) {
        (void)client_fail(c, "stream %" PRIu64 " differs from the pattern behind byte %" PRIu64,
                          s->id, offset);
        return;
    }
    s->moved_bytes += size;
    if (fin)
        on_fin(c, s);
}

static void on_data(struct client *c, const struct spate_event *e)
{
    struct bulk_stream *s = e->stream_user;
    size_t size = e->u.data.slice.size;
    bool is_good =
        !c->options->verify || payload_matches(e->u.data.offset, e->u.data.slice.data, size);

    if (c->options->app_copies)
        landing_copy(&s->landing, e->u.data.slice.data, size);
    client_release(c, e, size);
    on_bytes(c, s, e->u.data.offset, size, is_good, e->u.data.fin);
}

static void on_batch(struct client *c, const struct spate_event *e)
{
    struct bulk_stream *s = e->stream_user;
    const struct spate_slice *slices = e->u.batch.slices;
    bool is_good = true;
    uint64_t at = e->u.batch.offset;

    for (size_t i = 0; i < e->u.batch.count; i++) {
        is_good &= !c->options->verify || payload_matches(at, slices[i].data, slices[i].size);
        if (c->options->app_copies)
            landing_copy(&s->landing, slices[i].data, slices[i].size);
        at += slices[i].size;
    }
    spate_slices_release(c->shard, slices, e->u.batch.count);
    c->payload_in_bytes += e->u.batch.size_bytes;
    on_bytes(c, s, e->u.batch.offset, e->u.batch.size_bytes, is_good, e->u.batch.fin);
}

static void on_placed(struct client *c, const struct spate_event *e)
{
    struct bulk_stream *s = e->stream_user;
    size_t size = e->u.placed.size;
    bool is_good =
        !c->options->verify || payload_matches(e->u.placed.offset, e->u.placed.data, size);

    c->payload_in_bytes += size;
    landing_on_placed(&s->landing, e);
    on_bytes(c, s, e->u.placed.offset, size, is_good, e->u.placed.fin);
    if (e->u.placed.is_returned && s->is_open)
        landing_lend(&s->landing, s->conn->conn, s->id);
}

static void bulk_on_event(struct client *c, const struct spate_event *e, uint64_t now_ns)
{
    (void)now_ns;
    struct bulk_stream *s = e->stream_user;
    bool is_over = c->phase >= PHASE_CLOSE;

    switch (e->kind) {
    case SPATE_EVENT_STREAM_DATA:
        if (is_over || s == NULL)
            client_release(c, e, 0);
        else
            on_data(c, e);
        break;
    case SPATE_EVENT_STREAM_BATCH:
        if (is_over || s == NULL)
            spate_slices_release(c->shard, e->u.batch.slices, e->u.batch.count);
        else
            on_batch(c, e);
        break;
    case SPATE_EVENT_STREAM_PLACED:
        if (!is_over && s != NULL)
            on_placed(c, e);
        break;
    case SPATE_EVENT_SENT:
        if (!is_over && s != NULL && e->u.sent.tag == TAG_PIECE)
            on_sent(c, s, e);
        break;
    case SPATE_EVENT_STREAM_RESET:
    case SPATE_EVENT_STREAM_STOPPED:
        if (!is_over)
            (void)client_fail(c, "the server has given up stream %" PRIu64 " with code %" PRIu64,
                              e->stream_id, e->u.error);
        break;
    case SPATE_EVENT_STREAMS_AVAILABLE:
        if (c->phase != PHASE_CONNECT && !is_over)
            start_pending(c, e->conn_user);
        break;
    default:
        break;
    }
}

static uint64_t bulk_on_turn(struct client *c, uint64_t now_ns)
{
    struct bulk *b = c->bulk;
    if (!b->is_starved)
        return SPATE_FOREVER;
    b->is_starved = false;
    for (uint32_t i = 0; i < b->stream_count; i++) {
        if (b->streams[i].is_open)
            fill(c, &b->streams[i]);
    }
    return b->is_starved ? now_ns + 1000000 : SPATE_FOREVER;
}

static bool bulk_is_done(const struct client *c)
{
    const struct bulk *b = c->bulk;
    return b->done_count == b->stream_count;
}

/* Returns the bytes that the peer has, or that it has sent. */
static uint64_t moved_bytes(const struct bulk_stream *s)
{
    struct spate_stream_progress progress = {.acked_bytes = 0};
    if (!s->is_up)
        return s->ended_bytes + s->moved_bytes;
    if (s->is_open && spate_stream_progress(s->conn->conn, s->id, &progress) != 0)
        return s->ended_bytes;
    return s->ended_bytes + progress.acked_bytes;
}

/* How evenly connections and streams have shared the measured part.  Stream i is on connection
 * i % bulk_count. */
static void bulk_on_sample(struct client *c, uint32_t index)
{
    struct bulk *b = c->bulk;
    uint64_t conn_count = c->bulk_count;
    for (uint64_t i = 0; index == 0 && i < b->stream_count; i++)
        b->streams[i].begin_bytes = moved_bytes(&b->streams[i]);
    if (index == 0 || c->options->bytes > 0)
        return;
    for (uint64_t conn = 0; conn < conn_count; conn++) {
        uint64_t sum = 0;
        for (uint64_t i = conn; i < b->stream_count; i += conn_count) {
            uint64_t bytes = moved_bytes(&b->streams[i]) - b->streams[i].begin_bytes;
            spread_add(&c->result->stream_bytes, (double)bytes);
            sum += bytes;
        }
        spread_add(&c->result->conn_bytes, (double)sum);
    }
}

/* What the server got: by its own count or, of a foreign one, by its acknowledgements. */
static uint64_t uploaded_bytes(struct client *c)
{
    struct result *r = c->result;
    if (r->have_server)
        return r->server[1].payload_in_bytes - r->server[0].payload_in_bytes;
    if (bulk_is_done(c))
        return c->options->direction == DIRECTION_UP ? c->options->bytes : c->options->bytes / 2;
    r->is_measured_by_sender = true;
    return r->client[1].conns.stream_bytes_acked - r->client[0].conns.stream_bytes_acked;
}

/* The receiver's count and, where its process has a sample and there is no other receiver, its
 * clock. */
static void bulk_finish(struct client *c, uint64_t now_ns)
{
    (void)now_ns;
    struct result *r = c->result;
    uint32_t direction = c->options->direction;

    if (direction != DIRECTION_DOWN)
        r->bytes_up = uploaded_bytes(c);
    r->bytes = r->bytes_up;
    if (direction != DIRECTION_UP)
        r->bytes += r->client[1].payload_in_bytes - r->client[0].payload_in_bytes;
    else if (r->have_server && c->options->bytes == 0)
        r->duration_ns = r->server[1].now_ns - r->server[0].now_ns;
}

static void bulk_close(struct client *c)
{
    struct bulk *b = c->bulk;
    for (uint32_t i = 0; b != NULL && i < b->stream_count; i++)
        landing_free(&b->streams[i].landing);
    free(b);
}

const struct client_ops client_bulk_ops = {
    .keeps_conns = true,
    .open = bulk_open,
    .begin = bulk_begin,
    .on_event = bulk_on_event,
    .on_turn = bulk_on_turn,
    .is_done = bulk_is_done,
    .on_sample = bulk_on_sample,
    .finish = bulk_finish,
    .close = bulk_close,
};
