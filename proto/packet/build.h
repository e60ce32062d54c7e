/* SPDX-License-Identifier: MIT */
#ifndef SP_BUILD_H
#define SP_BUILD_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/assert.h"
#include "proto/base/bytes.h"
#include "proto/base/compiler.h"
#include "proto/wire/frame.h"
#include "proto/wire/header.h"
#include "proto/wire/limits.h"
#include "proto/packet/protect.h"
#include "proto/recovery/sent.h"

/* A packet with less room than this for its frames is not begun: it could carry hardly a frame. */
#define SP_BUILD_PAYLOAD_SIZE_MIN 32

/* Any 1-RTT packet can be begun in this: its header, payload and tag.  It is less than three times
 * the smallest datagram of a peer that uses our CIDs of 4 bytes or more, so such a datagram from a
 * new address always allows an answer.  [RFC9000 8.1] */
#define SP_BUILD_PACKET_SIZE_MIN \
    (1 + SP_CID_SIZE_MAX + SP_PN_SIZE_MAX + SP_BUILD_PAYLOAD_SIZE_MIN + SP_TAG_SIZE)

/* A packet under construction.
 *
 * Control frames and the heads of data frames are written into `control`; data stays
 * where it is.  The plaintext is the list of `parts`, alternating between the two,
 * and is read once, by the cipher, when the packet is sealed into its place in
 * the transmit slot.
 *
 *     payload_size = sum of the parts' sizes + the open part's  <=  payload_max
 */
enum { SP_BUILD_PARTS_MAX = 2 * SP_DATA_FRAMES_MAX + 2 };

struct sp_build {
    enum sp_space space;
    struct sp_key *key;
    uint8_t *packet;    /* where the packet goes */
    uint8_t *length_at; /* of a long header; NULL: short */
    uint8_t *pn_at;
    uint64_t pn;
    uint32_t pn_size;
    size_t header_size;
    size_t payload_size;
    size_t payload_max;
    size_t open_from; /* start in `control` of the part that is being written */
    uint32_t part_count;
    uint32_t data_count; /* STREAM and CRYPTO frames */
    bool is_eliciting;
    bool is_in_flight; /* anything but ACK and CONNECTION_CLOSE */
    bool has_ack;
    bool wants_full_datagram; /* pad to SP_DATAGRAM_SIZE_MIN: the packet tests the path */
    struct sp_sent_frame *frames;
    struct sp_sent_frame **frames_tail;
    struct sb_writer control_writer;
    struct sb_bytes parts[SP_BUILD_PARTS_MAX];
    uint8_t control[SP_CONTROL_BYTES_MAX];
};

/* Begins a packet after a header of `header_size` bytes at `packet`, in `room` bytes. */
void sp_build_begin(struct sp_build *build, uint8_t *packet, size_t header_size, size_t room);

/* Payload bytes that are left. */
static inline size_t sp_build_left(const struct sp_build *build)
{
    return build->payload_max - build->payload_size;
}

/* A writer for control frames of at most what is left; commit() or nothing happened. */
static inline struct sb_writer sp_build_writer(const struct sp_build *build)
{
    struct sb_writer writer = build->control_writer;
    size_t left = SB_MIN(sp_build_left(build), sb_writer_left(&writer));
    writer.start = writer.at;
    writer.end = writer.at + left;
    return writer;
}

/* False if the writer failed: nothing is added then. */
SB_MUST_USE static inline bool sp_build_commit(struct sp_build *build,
                                               const struct sb_writer *writer)
{
    if (writer->failed)
        return false;
    SB_ASSERT(writer->start == build->control_writer.at);
    build->payload_size += sb_writer_used(writer);
    build->control_writer.at = writer->at;
    SB_ASSERT(build->payload_size <= build->payload_max);
    return true;
}

/* Ends the part of control bytes that is being written. */
static inline void sp_build_close_part(struct sp_build *build)
{
    size_t used = sb_writer_used(&build->control_writer);
    if (used == build->open_from)
        return;
    SB_ASSERT(build->part_count < SP_BUILD_PARTS_MAX);
    build->parts[build->part_count++] = (struct sb_bytes){.data = build->control + build->open_from,
                                                          .size = used - build->open_from};
    build->open_from = used;
}

/* Room for one more data frame with `head_size` bytes of head, and a byte of its `size` bytes? */
static inline bool sp_build_has_data_room(const struct sp_build *build, size_t head_size,
                                          uint64_t size)
{
    return build->data_count < SP_DATA_FRAMES_MAX &&
           sp_build_left(build) >= head_size + (size != 0) &&
           sb_writer_left(&build->control_writer) >= head_size;
}

/* Adds borrowed bytes; sp_build_has_data_room() said yes. */
static inline void sp_build_data(struct sp_build *build, const uint8_t *data, size_t size)
{
    SB_ASSERT(size <= sp_build_left(build));
    build->data_count++;
    if (size == 0)
        return;
    sp_build_close_part(build);
    SB_ASSERT(build->part_count < SP_BUILD_PARTS_MAX);
    build->parts[build->part_count++] = (struct sb_bytes){.data = data, .size = size};
    build->payload_size += size;
}

/* Adds PADDING of `size` bytes. */
void sp_build_pad(struct sp_build *build, size_t size);

/* Makes a packet that has nothing yet one PING and PADDING, up to its room.  The bytes are written
 * where they will be sealed, because PADDING may be longer than any constant. */
void sp_build_padded_ping(struct sp_build *build);

/* Bytes of the packet when it is sealed. */
static inline size_t sp_build_size(const struct sp_build *build)
{
    return build->header_size + build->payload_size + SP_TAG_SIZE;
}

/* Seals into `packet`; returns how many bytes were copied before: see sp_protect_ops.seal.
 * Header protection is not applied: see struct sp_mask_batch. */
size_t sp_build_seal(struct sp_build *build, const struct sp_protect *protect);

/* What header protection covers of a packet. */
struct sp_masked {
    uint8_t *first; /* the packet's first byte */
    uint8_t *pn_at;
    uint32_t pn_size;
};

/* Packets that were sealed with one key and still lack header protection. */
struct sp_mask_batch {
    struct sp_key *key;
    uint32_t count;
    struct sp_masked packets[SP_TRAIN_COUNT_MAX];
};

/* Adds a sealed packet, applying the batch first if it is full or of another key. */
void sp_mask_batch_add(struct sp_mask_batch *batch, struct sp_key *key,
                       const struct sp_masked *packet, const struct sp_protect *protect);
void sp_mask_batch_apply(struct sp_mask_batch *batch, const struct sp_protect *protect);

#endif
