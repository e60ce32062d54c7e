/* SPDX-License-Identifier: MIT */
/* Runs: requests of ours and the blocks that answer them.
 *
 * A run's memory is lent right after its stream was opened, so its blocks are decrypted where they
 * belong and no slice of it ever comes.  Only one run at a time may write to a block's place: those
 * of the end game have memory of their own, and land when nobody else can write to the place any
 * more.  Nothing is allocated per block; copies of the end game are, within `copy_bytes`. */

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/swarm/swarm.h"

#define MS             UINT64_C(1000000)
#define NS_PER_S       1e9
#define WINDOW_NS      (100 * MS)   /* over which the rate of a peer is measured */
#define SILENT_NS      (2000 * MS)  /* after it a peer that was asked is slow */
#define SOLO_NS        (5000 * MS)  /* without a whole block: a piece of one peer alone goes on */
#define LATE_NS        (2000 * MS)  /* that a run may take at least, */
#define LATE_NS_MAX    (20000 * MS) /* at most, */
#define LATE_RATE      16384.0      /* and at which rate, if the peer's is less or unknown */
#define BUSY_NS        (20 * MS)    /* before the next request to a peer that refused one */
#define COPY_AFTER_MS  150          /* before a block is asked of a second peer, at least */
#define ASKED_MIN      UINT64_C(65536)
#define ASKED_FIRST    UINT64_C(524288)
#define ASKED_MAX      UINT64_C(33554432)
#define RUN_SIZE_MAX   UINT64_C(1048576)
#define PLACED         1 /* the tag of memory; its value says nothing */
#define REQUEST_TAG    2
#define RUNS_PER_PEER  8 /* that its bytes are asked for in, at least */
#define COPY_BYTES_MAX (UINT64_C(4) << 20)

/* Bytes that should be on their way from a peer: what it sends in two windows, or two round trips
 * if they are longer. */
static uint64_t wanted_bytes(const struct swarm_peer *peer)
{
    if (peer->is_slow)
        return SWARM_BLOCK;
    if (peer->rate <= 0)
        return ASKED_FIRST;
    struct spate_conn_stats stats;
    spate_conn_stats(peer->conn, &stats);
    double seconds = 2 * (double)(WINDOW_NS + stats.rtt_smoothed_ns) / NS_PER_S;
    double bytes = peer->rate * seconds;
    return bytes < ASKED_MIN ? ASKED_MIN : bytes > ASKED_MAX ? ASKED_MAX : (uint64_t)bytes;
}

/* ---- Requests ---- */

void swarm_run_detach(struct swarm_run *run)
{
    if (run->slot >= 0)
        LIST_REMOVE(run, link);
    run->slot = -1;
}

void swarm_run_release(struct swarm_run *run)
{
    struct swarm *swarm = run->stream.peer->swarm;
    if (run->is_lent || run->is_landing)
        return;
    if (run->is_copy && run->to != NULL) { /* though the peer does not end its stream */
        swarm->copy_bytes -= run->size;
        free(run->to);
        run->to = NULL;
    }
    if (run->is_open)
        return;
    swarm_run_detach(run);
    run->to = NULL;
    run->is_used = false;
}

/* Gives back the blocks that have not come. */
static void give_back(struct swarm_run *run)
{
    struct swarm_peer *peer = run->stream.peer;
    for (uint32_t i = run->done; run->slot >= 0 && i < run->count; i++)
        picker_block_done(&peer->swarm->picker, (uint32_t)run->slot, run->first + i, peer->index);
    peer->asked_bytes -= run->size - run->got;
    run->got = run->size;
    run->done = run->count;
}

void swarm_run_cancel(struct swarm_run *run)
{
    const struct swarm *swarm = run->stream.peer->swarm;
    if (run->is_cancelled)
        return;
    run->is_cancelled = true;
    if (run->is_open && !swarm->is_ending) /* an engine that was destroyed has no streams */
        (void)spate_stream_stop(run->stream.peer->conn, run->stream.id, SWARM_CANCELLED);
    if (!run->is_lent)
        give_back(run);
}

static bool send_request(struct swarm_run *run, uint32_t piece)
{
    struct swarm_peer *peer = run->stream.peer;
    const uint32_t numbers[] = {piece, run->first * SWARM_BLOCK, run->size};
    size_t size = swarm_message_write(SWARM_REQUEST, numbers, run->message);
    if (spate_stream_open(peer->conn, false, &run->stream.id) != 0)
        return false;
    run->is_open = true;
    (void)spate_stream_set_user(peer->conn, run->stream.id, &run->stream);
    run->is_lent = spate_stream_receive_into(peer->conn, run->stream.id, run->to, run->size, PLACED,
                                             NULL) == 0;
    if (run->is_lent &&
        spate_stream_send(peer->conn, run->stream.id, run->message, size, true, REQUEST_TAG) == 0)
        return true;
    (void)spate_stream_reset(peer->conn, run->stream.id, SWARM_CANCELLED);
    (void)spate_stream_stop(peer->conn, run->stream.id, SWARM_CANCELLED);
    return false;
}

static struct swarm_run *find_run(struct swarm_peer *peer)
{
    for (uint32_t i = 0; i < SWARM_RUNS_MAX; i++) {
        if (!peer->runs[i].is_used)
            return &peer->runs[i];
    }
    return NULL;
}

/* When a run counts as late: after twice the time that all that the peer was asked for takes. */
static uint64_t late_ns(const struct swarm_peer *peer, uint64_t now_ns)
{
    double rate = peer->rate > LATE_RATE ? peer->rate : LATE_RATE;
    uint64_t ns = LATE_NS + (uint64_t)(2 * NS_PER_S * (double)peer->asked_bytes / rate);
    return now_ns + (ns < LATE_NS_MAX ? ns : LATE_NS_MAX);
}

/* Asks for a run.  Returns false if it cannot now; its blocks are missing again then. */
static bool start(struct swarm_peer *peer, struct swarm_run *run, const struct picker_run *picked)
{
    struct swarm *swarm = peer->swarm;
    struct swarm_slot *slot = &swarm->slots[picked->slot];
    uint32_t last = picked->first + picked->count - 1;
    *run = (struct swarm_run){
        .stream = {.kind = SWARM_RUN_STREAM, .peer = peer},
        .is_used = true,
        .is_copy = picked->is_copy,
        .slot = (int)picked->slot,
        .first = picked->first,
        .count = picked->count,
    };
    run->size =
        (picked->count - 1) * SWARM_BLOCK + picker_block_bytes(&swarm->picker, picked->slot, last);
    run->to = slot->memory + (size_t)picked->first * SWARM_BLOCK;
    LIST_INSERT_HEAD(&slot->runs, run, link);
    if (run->is_copy) {
        run->to = malloc(run->size);
        swarm->copy_bytes += run->to != NULL ? run->size : 0;
    }
    uint64_t now_ns = spate_shard_now_ns(swarm->shard);
    if (peer->asked_bytes == 0)
        peer->alive_ns = now_ns;
    peer->asked_bytes += run->size;
    run->late_ns = late_ns(peer, now_ns);
    bool is_sent = run->to != NULL && send_request(run, swarm->picker.slots[run->slot].piece);
    slot->lent += run->is_lent && !run->is_copy;
    if (is_sent)
        return true;
    run->is_cancelled = true;
    if (!run->is_lent)
        give_back(run);
    swarm_run_release(run);
    return false;
}

/* Asks for the next run.  Returns false if there is nothing to ask the peer for. */
static bool ask(struct swarm_peer *peer, uint64_t wanted, uint64_t now_ns)
{
    struct swarm *swarm = peer->swarm;
    struct swarm_run *run = find_run(peer);
    struct picker_run picked;
    uint32_t now_ms = (uint32_t)(now_ns / MS);
    uint64_t size = wanted / RUNS_PER_PEER < RUN_SIZE_MAX ? wanted / RUNS_PER_PEER : RUN_SIZE_MAX;
    uint32_t blocks = size > SWARM_BLOCK ? (uint32_t)(size / SWARM_BLOCK) : 1;
    uint32_t before_ms = now_ms - COPY_AFTER_MS;
    if (swarm->copy_bytes >= COPY_BYTES_MAX)
        before_ms = now_ms - INT32_MAX; /* no copies */
    if (run == NULL ||
        !picker_choose(&swarm->picker, peer->index, peer->have, blocks, now_ms, before_ms, &picked))
        return false;
    return start(peer, run, &picked);
}

static void fill(struct swarm_peer *peer, uint64_t now_ns)
{
    if (peer->have_count == 0 || peer->asked_bytes > ASKED_MAX)
        return;
    uint64_t wanted = wanted_bytes(peer);
    while (peer->asked_bytes < wanted && swarm_piece_open(peer))
        continue;
    while (peer->asked_bytes < wanted && ask(peer, wanted, now_ns))
        continue;
}

/* Slow peers come last: what they have let go of is for others. */
static void fill_all(struct swarm *swarm, uint64_t now_ns, bool is_slow)
{
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        struct swarm_peer *peer = swarm->peers[i];
        if (peer != NULL && peer->stage == SWARM_PEER_READY && !peer->is_choking &&
            peer->is_slow == is_slow && now_ns >= peer->pause_ns)
            fill(peer, now_ns);
    }
}

void swarm_fetch_fill(struct swarm *swarm)
{
    if (swarm->is_done || swarm->has_failed || swarm->is_ending || !swarm->store.is_writable)
        return;
    enum swarm_stage before = swarm_profile_begin(swarm, SWARM_STAGE_PLACING);
    uint64_t now_ns = spate_shard_now_ns(swarm->shard);
    fill_all(swarm, now_ns, false);
    fill_all(swarm, now_ns, true);
    swarm_profile_end(swarm, before);
}

/* ---- Blocks ---- */

static uint32_t bytes_through(const struct swarm_run *run, uint32_t blocks)
{
    return blocks < run->count ? blocks * SWARM_BLOCK : run->size;
}

/* Notes that there is hope: a block has come.  Of a piece that is asked of one peer alone, blocks
 * count once, however often it begins anew. */
static void note_alive(struct swarm *swarm, int slot)
{
    const struct picker_slot *picked = &swarm->picker.slots[slot];
    struct swarm_slot *s = &swarm->slots[slot];
    uint64_t now_ns = spate_shard_now_ns(swarm->shard);
    s->solo_ns = now_ns;
    if (picked->is_solo && picked->there_count <= s->solo_most)
        return;
    if (picked->is_solo)
        s->solo_most = picked->there_count;
    swarm->alive_ns = now_ns;
}

static void block_there(struct swarm *swarm, struct swarm_run *run, uint32_t index)
{
    uint8_t peer = run->stream.peer->index;
    uint32_t block = run->first + index;
    if (picker_block_there(&swarm->picker, (uint32_t)run->slot, block, peer)) {
        swarm->blocks_in++;
        note_alive(swarm, run->slot);
    } else {
        swarm->blocks_twice++;
    }
    picker_block_done(&swarm->picker, (uint32_t)run->slot, block, peer);
}

/* Whether somebody else may still write to a block's place.  If so, that one is told to stop. */
static bool is_taken(const struct swarm *swarm, const struct swarm_run *run, uint32_t block)
{
    struct swarm_run *other;
    LIST_FOREACH(other, &swarm->slots[run->slot].runs, link)
    {
        if (other != run && other->is_lent && !other->is_copy &&
            block >= other->first + other->done && block < other->first + other->count) {
            swarm_run_cancel(other);
            return true;
        }
    }
    return false;
}

/* Copies what is complete to its place, as far as nobody else writes there. */
static void land(struct swarm *swarm, struct swarm_run *run)
{
    struct picker_slot *slot = &swarm->picker.slots[run->slot];
    while (run->done < run->count) {
        uint32_t block = run->first + run->done;
        uint32_t size = bytes_through(run, run->done + 1) - run->done * SWARM_BLOCK;
        if (!slot->blocks[block].is_there) {
            if (is_taken(swarm, run, block))
                break;
            memcpy(swarm->slots[run->slot].memory + (size_t)block * SWARM_BLOCK,
                   run->to + (size_t)run->done * SWARM_BLOCK, size);
            swarm->bytes_copied += size;
        }
        block_there(swarm, run, run->done);
        run->done++;
    }
    run->is_landing = run->done < run->count;
}

/* A place has become free: copies that wait for it may land. */
static void land_all(struct swarm *swarm, int slot)
{
    struct swarm_run *run = LIST_FIRST(&swarm->slots[slot].runs);
    while (run != NULL) {
        struct swarm_run *next = LIST_NEXT(run, link);
        if (run->is_landing) {
            land(swarm, run);
            swarm_run_release(run);
        }
        run = next;
    }
}

static void measure(struct swarm_peer *peer, uint32_t size)
{
    uint64_t now_ns = spate_shard_now_ns(peer->swarm->shard);
    peer->alive_ns = now_ns;
    peer->bytes_in += size;
    peer->window_bytes += size;
    if (peer->window_ns == 0)
        peer->window_ns = now_ns;
    if (now_ns - peer->window_ns < WINDOW_NS)
        return;
    double rate = (double)peer->window_bytes * NS_PER_S / (double)(now_ns - peer->window_ns);
    peer->rate = peer->rate > 0 ? (peer->rate + rate) / 2 : rate;
    peer->window_bytes = 0;
    peer->window_ns = now_ns;
}

static void on_bytes(struct swarm_run *run, uint32_t size)
{
    struct swarm_peer *peer = run->stream.peer;
    struct swarm *swarm = peer->swarm;
    run->got += size;
    peer->asked_bytes -= size;
    swarm->bytes_in += size;
    measure(peer, size);
    if (run->got == run->size && !run->is_cancelled)
        peer->is_slow = false;
    if (run->slot < 0)
        return;
    if (run->is_copy) {
        if (run->got == run->size)
            land(swarm, run);
        return;
    }
    while (run->done < run->count && run->got >= bytes_through(run, run->done + 1)) {
        block_there(swarm, run, run->done);
        run->done++;
    }
}

/* The memory of a run comes back: what has not come is missing. */
static void on_returned(struct swarm_run *run)
{
    struct swarm *swarm = run->stream.peer->swarm;
    run->is_lent = false;
    if (!run->is_landing)
        give_back(run);
    if (run->slot >= 0 && !run->is_copy) {
        swarm->slots[run->slot].lent--;
        land_all(swarm, run->slot);
    }
}

static void on_placed(struct swarm_run *run, const struct spate_event *event)
{
    struct swarm_peer *peer = run->stream.peer;
    struct swarm *swarm = peer->swarm;
    enum swarm_stage before = swarm_profile_begin(swarm, SWARM_STAGE_PLACING);
    bool is_returned = event->u.placed.is_returned;
    int slot = run->slot;
    if (run->is_lent && event->u.placed.size > 0 && run->got < run->size)
        on_bytes(run, (uint32_t)event->u.placed.size);
    bool is_whole = run->got == run->size;
    if (event->u.placed.fin && !is_whole && !run->is_cancelled)
        swarm_peer_close(peer, SWARM_BAD_MESSAGE);
    else if (is_whole && !event->u.placed.fin && run->is_open) /* nothing should follow */
        (void)spate_stream_stop(peer->conn, run->stream.id, SWARM_OK);
    if (is_returned && run->is_lent)
        on_returned(run);
    if (slot >= 0)
        swarm_piece_look(swarm, slot);
    swarm_run_release(run);
    swarm_profile_end(swarm, before);
}

/* A piece that is asked of this peer alone goes to another one. */
static void disown_solo(struct swarm_peer *peer, uint32_t slot)
{
    struct swarm_run *run = LIST_FIRST(&peer->swarm->slots[slot].runs);
    while (run != NULL) {
        struct swarm_run *next = LIST_NEXT(run, link);
        swarm_run_cancel(run);
        run = next;
    }
    peer->is_slow = true;
    picker_disown_slot(&peer->swarm->picker, slot);
}

/* The peer does not answer this one. */
static void on_reset(struct swarm_run *run)
{
    struct swarm_peer *peer = run->stream.peer;
    struct picker *picker = &peer->swarm->picker;
    bool is_refused = !run->is_cancelled;
    peer->pause_ns = spate_shard_now_ns(peer->swarm->shard) + BUSY_NS;
    run->is_cancelled = true;
    if (is_refused && run->slot >= 0 && picker->slots[run->slot].is_solo &&
        picker->slots[run->slot].owner == peer->index)
        disown_solo(peer, (uint32_t)run->slot);
    if (!run->is_lent)
        give_back(run);
}

void swarm_run_event(struct swarm_run *run, struct spate_event *event)
{
    switch (event->kind) {
    case SPATE_EVENT_STREAM_PLACED:
        on_placed(run, event);
        break;
    case SPATE_EVENT_STREAM_DATA: /* bytes that found no memory, at the end of a connection */
        spate_slice_release(run->stream.peer->swarm->shard, &event->u.data.slice);
        break;
    case SPATE_EVENT_STREAM_RESET:
        on_reset(run);
        break;
    case SPATE_EVENT_STREAM_CLOSED:
        run->is_open = false;
        swarm_run_release(run);
        break;
    default:
        break;
    }
}

/* ---- Peers that end or are slow ---- */

void swarm_fetch_cancel(struct swarm_peer *peer)
{
    for (uint32_t i = 0; i < SWARM_RUNS_MAX; i++) {
        if (peer->runs[i].is_used && !peer->runs[i].is_landing)
            swarm_run_cancel(&peer->runs[i]);
    }
    picker_disown(&peer->swarm->picker, peer->index);
}

void swarm_fetch_forget(struct swarm_peer *peer)
{
    for (uint32_t i = 0; i < SWARM_RUNS_MAX; i++) {
        struct swarm_run *run = &peer->runs[i];
        int slot = run->slot;
        if (!run->is_used)
            continue;
        run->is_open = false;
        run->is_landing = false;
        if (run->is_lent)
            on_returned(run);
        give_back(run);
        swarm_run_release(run);
        if (slot >= 0)
            swarm_piece_look(peer->swarm, slot);
    }
    picker_forget(&peer->swarm->picker, peer->index);
}

/* Owners of pieces that nobody else may send: they are judged by whole blocks. */
static void look_at_solo(struct swarm *swarm, uint64_t now_ns)
{
    for (uint32_t i = 0; i < swarm->picker.slot_count; i++) {
        const struct picker_slot *picked = &swarm->picker.slots[i];
        struct swarm_slot *slot = &swarm->slots[i];
        bool is_waiting =
            picked->stage == PICKER_READY && picked->is_solo && picked->owner != PICKER_NOBODY;
        if (!is_waiting || slot->solo_owner != picked->owner) {
            slot->solo_owner = is_waiting ? picked->owner : PICKER_NOBODY;
            slot->solo_ns = now_ns;
        } else if (now_ns - slot->solo_ns >= SOLO_NS && swarm->peers[picked->owner] != NULL) {
            disown_solo(swarm->peers[picked->owner], i);
        }
    }
}

/* Gives up the runs of a peer that are late. */
static void look_at_runs(struct swarm_peer *peer, uint64_t now_ns)
{
    for (uint32_t i = 0; peer->asked_bytes > 0 && i < SWARM_RUNS_MAX; i++) {
        struct swarm_run *run = &peer->runs[i];
        if (!run->is_used || run->is_cancelled || run->got == run->size || now_ns < run->late_ns)
            continue;
        peer->is_slow = true;
        swarm_run_cancel(run);
    }
}

void swarm_fetch_look(struct swarm *swarm, uint64_t now_ns)
{
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++) {
        struct swarm_peer *peer = swarm->peers[i];
        if (peer == NULL || peer->stage == SWARM_PEER_CLOSING)
            continue;
        look_at_runs(peer, now_ns);
        if (peer->asked_bytes == 0 || peer->is_slow || now_ns - peer->alive_ns < SILENT_NS)
            continue;
        peer->is_slow = true;
        peer->rate = 0;
        swarm_fetch_cancel(peer);
    }
    look_at_solo(swarm, now_ns);
}
