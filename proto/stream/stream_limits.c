/* SPDX-License-Identifier: MIT */
#include "proto/stream/stream_limits.h"

/* Three small machines: what we say about the peer's limit, what our application waits for, and
 * what we give to the peer.
 *
 * Credit is given in quarters of the window, so that one frame serves many streams.  But a peer
 * that has used all its credit, or says that it is blocked, gets what there is: the streams that it
 * has open may stay open for ever, and less than a quarter may be all that ever comes.  A peer need
 * not send STREAMS_BLOCKED, and we must not wait for it.  [RFC9000 4.6]
 *
 * What can be attacked: STREAMS_BLOCKED costs a MAX_STREAMS only if there is credit, and each
 * stream's credit is given once. */

#include "proto/base/assert.h"

#define STEPS 4 /* a fourth of the window at a time */

/* NO is an event that our own code must not raise in that state. */
#define NO UINT8_MAX

/* clang-format off */
static const uint8_t blocked_next[SP_BLOCKED_STATES][SP_BLOCKED_EVENTS] = {
    /*                    BLOCK            SENT             LOST             RAISE */
    [SP_BLOCKED_NOT]  = {SP_BLOCKED_DUE,  NO,              SP_BLOCKED_NOT,  SP_BLOCKED_NOT},
    [SP_BLOCKED_DUE]  = {SP_BLOCKED_DUE,  SP_BLOCKED_SENT, SP_BLOCKED_DUE,  SP_BLOCKED_NOT},
    [SP_BLOCKED_SENT] = {SP_BLOCKED_SENT, NO,              SP_BLOCKED_NOT,  SP_BLOCKED_NOT},
};

static const uint8_t open_wait_next[SP_OPEN_WAIT_STATES][SP_OPEN_WAIT_EVENTS] = {
    /*                           REFUSE                ROOM                    TAKE */
    [SP_OPEN_WAIT_NONE]      = {SP_OPEN_WAIT_REFUSED, SP_OPEN_WAIT_NONE,      NO},
    [SP_OPEN_WAIT_REFUSED]   = {SP_OPEN_WAIT_REFUSED, SP_OPEN_WAIT_AVAILABLE, NO},
    [SP_OPEN_WAIT_AVAILABLE] = {SP_OPEN_WAIT_REFUSED, SP_OPEN_WAIT_AVAILABLE, SP_OPEN_WAIT_NONE},
};

static const uint8_t grant_next[SP_GRANT_STATES][SP_GRANT_EVENTS] = {
    /*                    BLOCKED          WORTH         SENT           LOST */
    [SP_GRANT_NONE]   = {SP_GRANT_WANTED, SP_GRANT_DUE, NO,            SP_GRANT_DUE},
    [SP_GRANT_WANTED] = {SP_GRANT_WANTED, SP_GRANT_DUE, NO,            SP_GRANT_DUE},
    [SP_GRANT_DUE]    = {SP_GRANT_DUE,    SP_GRANT_DUE, SP_GRANT_NONE, SP_GRANT_DUE},
};
/* clang-format on */

enum sp_blocked sp_blocked_next(enum sp_blocked state, enum sp_blocked_event event)
{
    SB_ASSERT(state < SP_BLOCKED_STATES && event < SP_BLOCKED_EVENTS);
    SB_ASSERT(blocked_next[state][event] != NO);
    return (enum sp_blocked)blocked_next[state][event];
}

enum sp_open_wait sp_open_wait_next(enum sp_open_wait state, enum sp_open_wait_event event)
{
    SB_ASSERT(state < SP_OPEN_WAIT_STATES && event < SP_OPEN_WAIT_EVENTS);
    SB_ASSERT(open_wait_next[state][event] != NO);
    return (enum sp_open_wait)open_wait_next[state][event];
}

enum sp_grant sp_grant_next(enum sp_grant state, enum sp_grant_event event)
{
    SB_ASSERT(state < SP_GRANT_STATES && event < SP_GRANT_EVENTS);
    SB_ASSERT(grant_next[state][event] != NO);
    return (enum sp_grant)grant_next[state][event];
}

void sp_stream_limits_init(struct sp_stream_limits *limits, uint64_t remote_window)
{
    *limits =
        (struct sp_stream_limits){.remote_max = remote_window, .remote_window = remote_window};
}

/* ---- Our streams ---- */

static void block(struct sp_stream_limits *limits)
{
    limits->blocked = sp_blocked_next(limits->blocked, SP_BLOCKED_ON_BLOCK);
}

void sp_stream_limits_on_refused(struct sp_stream_limits *limits, bool may_say)
{
    limits->open_wait = sp_open_wait_next(limits->open_wait, SP_OPEN_WAIT_ON_REFUSE);
    if (may_say && !sp_stream_limits_has_room(limits))
        block(limits);
}

void sp_stream_limits_on_room(struct sp_stream_limits *limits)
{
    if (sp_stream_limits_has_room(limits))
        limits->open_wait = sp_open_wait_next(limits->open_wait, SP_OPEN_WAIT_ON_ROOM);
}

/* [RFC9000 19.11] */
void sp_stream_limits_on_raise(struct sp_stream_limits *limits, uint64_t max)
{
    if (max <= limits->local_max)
        return;
    limits->local_max = max;
    limits->blocked = sp_blocked_next(limits->blocked, SP_BLOCKED_ON_RAISE);
    sp_stream_limits_on_room(limits);
}

void sp_stream_limits_rewind(struct sp_stream_limits *limits)
{
    limits->early_max = limits->local_max;
    limits->local_max = 0;
    limits->blocked = SP_BLOCKED_NOT;
}

void sp_stream_limits_on_blocked_lost(struct sp_stream_limits *limits, uint64_t max)
{
    if (max != limits->local_max)
        return;
    limits->blocked = sp_blocked_next(limits->blocked, SP_BLOCKED_ON_LOST);
    bool is_wanted = limits->open_wait == SP_OPEN_WAIT_REFUSED ||
                     limits->local_opened > limits->local_max; /* of 0-RTT */
    if (is_wanted && !sp_stream_limits_has_room(limits))
        block(limits);
}

/* ---- The peer's streams ---- */

/* Gives credit if it is worth a frame. */
static void review(struct sp_stream_limits *limits)
{
    uint64_t credit = limits->remote_closed + limits->remote_window - limits->remote_max;
    bool is_used_up = limits->remote_opened == limits->remote_max;
    bool is_worth = credit >= SB_MAX(limits->remote_window / STEPS, 1) || is_used_up ||
                    limits->grant == SP_GRANT_WANTED;
    if (credit > 0 && is_worth)
        limits->grant = sp_grant_next(limits->grant, SP_GRANT_ON_WORTH);
}

void sp_stream_limits_on_remote_opened(struct sp_stream_limits *limits, uint64_t opened)
{
    SB_ASSERT(opened >= limits->remote_opened && opened <= limits->remote_max);
    limits->remote_opened = opened;
    review(limits);
}

void sp_stream_limits_on_remote_closed(struct sp_stream_limits *limits)
{
    SB_ASSERT(limits->remote_closed < limits->remote_opened);
    limits->remote_closed++;
    review(limits);
}

void sp_stream_limits_on_remote_blocked(struct sp_stream_limits *limits, uint64_t max)
{
    if (max < limits->remote_max)
        return; /* a higher limit is under way */
    limits->grant = sp_grant_next(limits->grant, SP_GRANT_ON_BLOCKED);
    review(limits);
}

uint64_t sp_stream_limits_grant(struct sp_stream_limits *limits)
{
    SB_ASSERT(limits->grant == SP_GRANT_DUE);
    limits->remote_max = limits->remote_closed + limits->remote_window;
    return limits->remote_max;
}

void sp_stream_limits_on_grant_lost(struct sp_stream_limits *limits, uint64_t max)
{
    if (max == limits->remote_max)
        limits->grant = sp_grant_next(limits->grant, SP_GRANT_ON_LOST);
}

void sp_stream_limits_check(const struct sp_stream_limits *limits)
{
    SB_ASSERT(limits->local_opened <= SB_MAX(limits->local_max, limits->early_max));
    SB_ASSERT(limits->remote_closed <= limits->remote_opened);
    SB_ASSERT(limits->remote_opened <= limits->remote_max);
    SB_ASSERT(limits->remote_max <= limits->remote_closed + limits->remote_window);
    /* A peer that has used up its limit is given what there is. */
    SB_ASSERT(limits->grant == SP_GRANT_DUE || limits->remote_opened < limits->remote_max ||
              limits->remote_max == limits->remote_closed + limits->remote_window);
}
