/* SPDX-License-Identifier: MIT */
/* Pieces: memory for them, the hash while they come, and the files when they are complete.
 *
 * A block is hashed by a thread of its own as soon as all before it in its piece are there, mostly
 * while it is in a cache that the cores share.  Each slot has one range of blocks with that thread
 * at a time: what comes meanwhile is the next range.  A piece in one file lies in that file's
 * mapping from the start.  One in several files has a buffer, and is written by the ring of the
 * shard when its hash is right: one write per file, all in one submission.  Its slot is not used
 * again before they are done, so a slow disk slows down what is asked for. */

#include <errno.h>
#include <linux/io_uring.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "tools/spate/swarm/swarm.h"

enum { PAGE = 4096 };

struct write {
    struct swarm *swarm;
    uint32_t slot;
    int fd;
    const uint8_t *data;
    uint64_t size;
    uint64_t offset;
    uint32_t file;
};

bool swarm_pieces_init(struct swarm *swarm)
{
    uint64_t fits = swarm->options->memory_bytes / swarm->meta.piece_size;
    uint32_t count = fits < 2 ? 2 : fits > PICKER_SLOTS_MAX ? PICKER_SLOTS_MAX : (uint32_t)fits;
    swarm->digest = EVP_MD_fetch(NULL, "SHA256", NULL);
    files_worker_init(&swarm->worker);
    swarm->slots = calloc(count, sizeof(*swarm->slots));
    swarm->log = calloc((size_t)swarm->meta.piece_count + 1, sizeof(*swarm->log));
    bool is_good = swarm->digest != NULL && swarm->slots != NULL && swarm->log != NULL &&
                   picker_init(&swarm->picker, swarm->meta.total, swarm->meta.piece_size, count);
    for (uint32_t i = 0; is_good && i < count; i++) {
        swarm->slots[i].swarm = swarm;
        LIST_INIT(&swarm->slots[i].runs);
        swarm->slots[i].hash = EVP_MD_CTX_new();
        is_good = swarm->slots[i].hash != NULL;
    }
    return is_good;
}

void swarm_pieces_deinit(struct swarm *swarm)
{
    files_worker_deinit(&swarm->worker);
    for (uint32_t i = 0; swarm->slots != NULL && i < swarm->picker.slot_count; i++) {
        EVP_MD_CTX_free(swarm->slots[i].hash);
        if (swarm->slots[i].buffer != NULL)
            (void)munmap(swarm->slots[i].buffer, swarm->meta.piece_size);
    }
    free(swarm->slots);
    free(swarm->log);
    EVP_MD_free(swarm->digest);
    picker_deinit(&swarm->picker);
}

static void fail(struct swarm *swarm, uint32_t file, int error)
{
    if (!swarm->has_failed)
        swarm_say(swarm, "%s: %s", swarm->meta.files[file].path,
                  error == -ESTALE ? "another program has cut off a file" : strerror(-error));
    swarm->has_failed = true;
}

/* A slot needs its memory no more: pages of a file are the kernel's from now on. */
static void let_go(struct swarm *swarm, uint32_t slot)
{
    struct swarm_slot *s = &swarm->slots[slot];
    if (s->memory != s->buffer) {
        uint8_t *first = s->memory + (PAGE - (uintptr_t)s->memory % PAGE) % PAGE;
        uint8_t *end = s->memory + meta_piece_bytes(&swarm->meta, swarm->picker.slots[slot].piece);
        end -= (uintptr_t)end % PAGE;
        if (end > first)
            (void)madvise(first, (size_t)(end - first), MADV_DONTNEED);
    }
    s->memory = NULL;
}

/* ---- Opening ---- */

/* Slots that a peer may have open: its share, and what it needs for what is on its way. */
static uint32_t slots_allowed(const struct swarm *swarm)
{
    uint32_t ready = 1;
    for (uint32_t i = 0; i < PICKER_PEERS_MAX; i++)
        ready += swarm->peers[i] != NULL && swarm->peers[i]->stage == SWARM_PEER_READY;
    uint32_t share = swarm->picker.slot_count / ready;
    return share < 2 ? 2 : share;
}

/* Gives up a piece that nobody sends, if the peer has others and no slot is free.  Returns whether
 * it has. */
static bool make_room(struct swarm *swarm, const uint8_t *have)
{
    int slot = picker_find_idle(&swarm->picker, have);
    struct swarm_run *run;
    if (slot < 0 || swarm->slots[slot].lane.pending > 0)
        return false;
    LIST_FOREACH(run, &swarm->slots[slot].runs, link)
    {
        if (run->is_lent || run->is_landing)
            return false;
    }
    while ((run = LIST_FIRST(&swarm->slots[slot].runs)) != NULL)
        swarm_run_detach(run); /* only its stream is open */
    let_go(swarm, (uint32_t)slot);
    picker_close(&swarm->picker, (uint32_t)slot);
    return true;
}

bool swarm_piece_open(struct swarm_peer *peer)
{
    struct swarm *swarm = peer->swarm;
    struct picker *picker = &swarm->picker;
    uint32_t owned = 0;
    uint32_t used = 0;
    uint64_t free_bytes = 0;
    for (uint32_t i = 0; i < picker->slot_count; i++) {
        const struct picker_slot *slot = &picker->slots[i];
        if (slot->stage == PICKER_CLOSED)
            continue;
        used++;
        bool is_mine = slot->owner == peer->index;
        owned += is_mine;
        if (is_mine || (slot->owner == PICKER_NOBODY && picker_bit(peer->have, slot->piece)))
            free_bytes += (uint64_t)slot->free_count * SWARM_BLOCK;
    }
    /* A piece ahead: its memory is there when the peer needs it. */
    uint64_t wanted = peer->is_slow ? 1 : (uint64_t)(peer->rate / 10) + swarm->meta.piece_size;
    if (free_bytes >= wanted || owned >= slots_allowed(swarm))
        return false;
    if (used == picker->slot_count && make_room(swarm, peer->have))
        used--;
    int slot = picker_open(picker, peer->index, peer->have);
    if (slot < 0)
        return false;
    if (used + 1 > swarm->slots_used_max)
        swarm->slots_used_max = used + 1;
    swarm->slots[slot].solo_most = 0;
    disk_ask(&swarm->disk, (uint32_t)slot, picker->slots[slot].piece);
    return true;
}

/* Gives a slot its memory.  Returns false without any. */
static bool set_memory(struct swarm *swarm, struct swarm_slot *slot, uint32_t piece)
{
    slot->memory = store_place(&swarm->store, piece);
    if (slot->memory == NULL && slot->buffer == NULL) {
        void *buffer = mmap(NULL, swarm->meta.piece_size, PROT_READ | PROT_WRITE,
                            MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
        slot->buffer = buffer != MAP_FAILED ? buffer : NULL;
    }
    if (slot->memory == NULL)
        slot->memory = slot->buffer;
    return slot->memory != NULL;
}

static uint32_t file_of(const struct swarm *swarm, uint32_t piece)
{
    uint64_t at = (uint64_t)piece * swarm->meta.piece_size;
    struct meta_segment segment = {.file = 0};
    (void)meta_next_segment(&swarm->meta, &at, at + 1, &segment);
    return segment.file;
}

void swarm_pieces_ready(struct swarm *swarm)
{
    struct disk_job job;
    while (disk_take(&swarm->disk, &job)) {
        int e = job.error;
        if (e == 0 && !set_memory(swarm, &swarm->slots[job.slot], job.piece))
            e = -ENOMEM;
        if (e != 0) {
            picker_close(&swarm->picker, job.slot);
            fail(swarm, file_of(swarm, job.piece), e);
            continue;
        }
        picker_ready(&swarm->picker, job.slot);
    }
}

/* ---- Writing ---- */

/* The piece is in its files. */
static void finish(struct swarm *swarm, uint32_t slot)
{
    uint32_t piece = swarm->picker.slots[slot].piece;
    uint32_t file = 0;
    let_go(swarm, slot);
    picker_piece_there(&swarm->picker, slot);
    int e = store_piece_done(&swarm->store, piece, &file);
    if (e != 0)
        fail(swarm, file, e);
    else
        swarm->log[swarm->log_count++] = piece;
    swarm->is_done = swarm->picker.there_count == swarm->picker.piece_count && !swarm->has_failed;
}

static void write_done(struct write *write, int error)
{
    struct swarm *swarm = write->swarm;
    uint32_t slot = write->slot;
    if (error != 0)
        fail(swarm, write->file, error);
    free(write);
    if (--swarm->slots[slot].writing == 0 && !swarm->has_failed)
        finish(swarm, slot);
}

static int submit(struct write *write);

static void on_written(struct spate_shard *shard, void *user, int32_t result, uint32_t flags)
{
    struct write *write = user;
    (void)shard;
    (void)flags;
    int e = result < 0 ? result : result == 0 ? -EIO : 0;
    if (e == 0) {
        write->data += result;
        write->offset += (uint64_t)result;
        write->size -= (uint64_t)result;
        if (write->size > 0)
            e = submit(write);
        if (e == 0 && write->size > 0)
            return;
    }
    write_done(write, e);
}

/* Writes without the ring: where there is none, or it takes nothing more. */
static int write_here(struct write *write)
{
    while (write->size > 0) {
        ssize_t done = pwrite(write->fd, write->data, write->size, (off_t)write->offset);
        if (done < 0 && errno == EINTR)
            continue;
        if (done <= 0)
            return done < 0 ? -errno : -EIO;
        write->data += done;
        write->offset += (uint64_t)done;
        write->size -= (uint64_t)done;
    }
    return 0;
}

/* Returns 0 with the size 0: it is written; 0 with another size: it is on its way. */
static int submit(struct write *write)
{
    const struct io_uring_sqe sqe = {
        .opcode = IORING_OP_WRITE,
        .fd = write->fd,
        .addr = (uintptr_t)write->data,
        .len = (uint32_t)write->size,
        .off = write->offset,
    };
    struct spate_ring_op op = {.sqe = &sqe, .handler = on_written, .user = write};
    struct swarm *swarm = write->swarm;
    int e = swarm->has_ring ? spate_ring_submit(swarm->shard, &op, 1) : -ENOTSUP;
    if (e == 0)
        return 0;
    swarm->has_ring = swarm->has_ring && e != -ENOTSUP;
    return write_here(write);
}

static void write_piece(struct swarm *swarm, uint32_t slot)
{
    const struct meta *meta = &swarm->meta;
    struct swarm_slot *s = &swarm->slots[slot];
    uint64_t start = (uint64_t)swarm->picker.slots[slot].piece * meta->piece_size;
    uint64_t end = start + meta_piece_bytes(meta, swarm->picker.slots[slot].piece);
    struct meta_segment segment;
    s->writing = 1; /* this function */
    for (uint64_t at = start; meta_next_segment(meta, &at, end, &segment);) {
        struct write *write = malloc(sizeof(*write));
        if (write == NULL) {
            fail(swarm, segment.file, -ENOMEM);
            break;
        }
        *write = (struct write){
            .swarm = swarm,
            .slot = slot,
            .fd = swarm->store.files[segment.file].fd,
            .data = s->memory + (at - segment.size - start),
            .size = segment.size,
            .offset = segment.offset,
            .file = segment.file,
        };
        s->writing++;
        int e = submit(write);
        if (e != 0 || write->size == 0)
            write_done(write, e);
    }
    if (--s->writing == 0 && !swarm->has_failed)
        finish(swarm, slot);
}

/* ---- Verifying ---- */

/* Nobody but the peers whose blocks are in the piece can have made it wrong. */
static void on_bad(struct swarm *swarm, uint32_t slot)
{
    uint8_t culprit = picker_piece_bad(&swarm->picker, slot);
    swarm->pieces_bad++;
    struct swarm_peer *peer = culprit != PICKER_NOBODY ? swarm->peers[culprit] : NULL;
    if (peer == NULL || peer->stage == SWARM_PEER_CLOSING)
        return;
    swarm->peers_banned++;
    if (peer->target != NULL)
        swarm_say(swarm, "%s has sent a piece with another hash: it is asked for nothing more",
                  peer->target->named->server);
    if (peer->target != NULL)
        peer->target->is_given_up = true;
    swarm_peer_close(peer, SWARM_CORRUPT);
}

static void hash_blocks(struct files_job *job)
{
    struct swarm_slot *s = (struct swarm_slot *)((char *)job - offsetof(struct swarm_slot, job));
    uint64_t start_ns = s->swarm->profile.is_on ? swarm_cpu_ns() : 0;
    (void)EVP_DigestUpdate(s->hash, s->memory + s->hash_from, s->hash_to - s->hash_from);
    s->hash_ns = s->swarm->profile.is_on ? swarm_cpu_ns() - start_ns : 0;
}

static void blocks_are_hashed(struct files_job *job)
{
    struct swarm_slot *s = (struct swarm_slot *)((char *)job - offsetof(struct swarm_slot, job));
    struct swarm *swarm = s->swarm;
    swarm->profile.ns[SWARM_STAGE_HASHING] += s->hash_ns;
    swarm->profile.count[SWARM_STAGE_HASHING]++;
    swarm_piece_look(swarm, (int)(s - swarm->slots));
}

/* Has those blocks hashed that are next.  Returns false if there are none. */
static bool hash_more(struct swarm *swarm, uint32_t slot)
{
    struct swarm_slot *s = &swarm->slots[slot];
    const struct picker_slot *picked = &swarm->picker.slots[slot];
    if (s->round != picked->round || s->hashed == 0) {
        s->hashed = 0;
        s->round = picked->round;
        (void)EVP_DigestInit_ex2(s->hash, swarm->digest, NULL); /* if not, the hash is wrong */
    }
    uint32_t from = s->hashed;
    uint32_t to = from;
    while (to < picked->block_count && picked->blocks[to].is_there)
        to++;
    if (to == from)
        return false;
    s->hash_from = from * SWARM_BLOCK;
    s->hash_to =
        to < picked->block_count ? to * SWARM_BLOCK : meta_piece_bytes(&swarm->meta, picked->piece);
    s->hashed = to;
    s->job.work = hash_blocks;
    s->job.done = blocks_are_hashed;
    files_worker_add(&swarm->worker, swarm->shard, &s->lane, &s->job);
    return true;
}

/* Ends the runs that the piece does not need any more.  Returns whether no memory of it is lent. */
static bool end_runs(struct swarm *swarm, uint32_t slot)
{
    struct swarm_run *run = LIST_FIRST(&swarm->slots[slot].runs);
    while (run != NULL) {
        struct swarm_run *next = LIST_NEXT(run, link);
        run->is_landing = false;
        swarm_run_cancel(run);
        if (run->is_copy || !run->is_lent)
            swarm_run_detach(run);
        swarm_run_release(run);
        run = next;
    }
    return swarm->slots[slot].lent == 0;
}

void swarm_piece_look(struct swarm *swarm, int slot)
{
    uint32_t index = (uint32_t)slot;
    struct swarm_slot *s = &swarm->slots[index];
    uint8_t digest[EVP_MAX_MD_SIZE];
    enum picker_stage stage = swarm->picker.slots[index].stage;
    bool is_open = stage == PICKER_READY || stage == PICKER_FULL;
    if (!is_open || s->lane.pending > 0 || s->writing > 0 || s->memory == NULL || swarm->is_ending)
        return;
    if (hash_more(swarm, index)) /* it is looked at again after that */
        return;
    if (stage != PICKER_FULL || !end_runs(swarm, index))
        return;
    uint32_t piece = swarm->picker.slots[index].piece;
    if (store_was_cut()) { /* which is no peer's fault */
        fail(swarm, file_of(swarm, piece), -ESTALE);
        return;
    }
    enum swarm_stage before = swarm_profile_begin(swarm, SWARM_STAGE_HASHING);
    bool is_good =
        EVP_DigestFinal_ex(s->hash, digest, NULL) == 1 &&
        memcmp(digest, swarm->meta.hashes + (size_t)piece * META_HASH_SIZE, META_HASH_SIZE) == 0;
    swarm_profile_end(swarm, before);
    before = swarm_profile_begin(swarm, SWARM_STAGE_WRITING);
    if (!is_good)
        on_bad(swarm, index);
    else if (s->memory == s->buffer)
        write_piece(swarm, index);
    else
        finish(swarm, index);
    swarm_profile_end(swarm, before);
}
