/* SPDX-License-Identifier: MIT */
#ifndef SP_ACK_REQUEST_H
#define SP_ACK_REQUEST_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/compiler.h"
#include "proto/recovery/loss.h"
#include "proto/wire/frame.h"

/* What we ask of the peer's ACKs by ACK_FREQUENCY frames.  [ack-frequency 4]
 *
 * Usage order:  init()  ->  enable() with the peer's parameters  ->  for each ACK frame:
 * update(); while it is due: write(), which is followed by on_acked() or on_lost(). */

/* Where the newest frame stands.  At most one is in flight. */
enum sp_ack_request_state {
    SP_ACK_REQUEST_OFF,     /* the peer does not understand ACK_FREQUENCY frames, or not yet */
    SP_ACK_REQUEST_SETTLED, /* it was acknowledged, or there was none */
    SP_ACK_REQUEST_DUE,     /* a newer one is to be sent */
    SP_ACK_REQUEST_SENT,    /* it is in flight */
    SP_ACK_REQUEST_STATES,
};

enum sp_ack_request_event {
    SP_ACK_REQUEST_ON_ENABLE,
    SP_ACK_REQUEST_ON_CHANGE, /* other ACKs are wanted */
    SP_ACK_REQUEST_ON_SENT,
    SP_ACK_REQUEST_ON_ACKED, /* the newest frame was acknowledged */
    SP_ACK_REQUEST_ON_LOST,  /* the newest frame was lost */
    SP_ACK_REQUEST_EVENTS,
};

struct sp_ack_request {
    enum sp_ack_request_state state;
    uint32_t delay_us_min; /* min_ack_delay of the peer */
    uint32_t delay_us_max; /* max_ack_delay of its transport parameters */
    /* Of the newest frame; before the first one what RFC 9000 recommends. */
    uint32_t count; /* ack-eliciting packets per ACK */
    uint32_t delay_us;
    uint32_t reorder_threshold;
    uint64_t next_sequence; /* frames made so far */
};

/* Returns the next state.  Asserts that the pair can occur. */
enum sp_ack_request_state sp_ack_request_next(enum sp_ack_request_state state,
                                              enum sp_ack_request_event event);

void sp_ack_request_init(struct sp_ack_request *request);

/* The peer understands the frames.  Delays: its min_ack_delay and max_ack_delay, the first no
 * larger than the second, which is below 2^14 ms.  [ack-frequency 3] */
void sp_ack_request_enable(struct sp_ack_request *request, uint64_t delay_us_min,
                           uint64_t delay_us_max);

static inline bool sp_ack_request_is_enabled(const struct sp_ack_request *request)
{
    return request->state != SP_ACK_REQUEST_OFF;
}

static inline bool sp_ack_request_is_due(const struct sp_ack_request *request)
{
    return request->state == SP_ACK_REQUEST_DUE;
}

/* Compares what was asked for with what the path needs now.  Call it after an ACK frame. */
void sp_ack_request_update(struct sp_ack_request *request, const struct sp_loss_path *path);

/* Makes the next frame, which is due.  Call on_sent() if it is really sent. */
void sp_ack_request_write(const struct sp_ack_request *request, const struct sp_loss_path *path,
                          struct sp_frame_ack_frequency *ret);

/* The frame that write() has made leaves.  Until it is acknowledged the PTO allows for the longest
 * delay that the peer may have in force.  [ack-frequency 7] */
void sp_ack_request_on_sent(struct sp_ack_request *request,
                            const struct sp_frame_ack_frequency *frame, struct sp_loss *loss);
/* A frame was acknowledged or lost.  Only the newest counts. */
void sp_ack_request_on_acked(struct sp_ack_request *request, uint64_t sequence,
                             struct sp_loss *loss);
void sp_ack_request_on_lost(struct sp_ack_request *request, uint64_t sequence);

#endif
