/* SPDX-License-Identifier: MIT */
#ifndef CHANNEL_USER_H
#define CHANNEL_USER_H

#include "test/support/spate_world.h"

/* A user of a channel that checks what every result must hold: each tag is answered once and after
 * its command, nothing follows CLOSED of a connection, nothing follows SHUTDOWN.
 *
 * Threads: one per user. */

#define CU_TAGS_MAX  65536
#define CU_HELD_MAX  4096
#define CU_KINDS_MAX (SPATE_EVENT_DATAGRAM_BATCH + 1)

enum cu_tag {
    CU_TAG_UNUSED,
    CU_TAG_ASKED,
    CU_TAG_ANSWERED,
};

struct cu {
    struct spate_channel *channel;
    struct pw *turns;             /* run while a queue is full; NULL: other threads run them */
    uint8_t tags[CU_TAGS_MAX];    /* enum cu_tag */
    int results[CU_TAGS_MAX];     /* of answered commands */
    uint8_t fates[CU_TAGS_MAX];   /* of messages */
    bool acked[CU_TAGS_MAX];      /* of bytes */
    uint64_t places[CU_TAGS_MAX]; /* of lent memory: its offset in the stream */
    bool returned[CU_TAGS_MAX];   /* of lent memory */
    uint64_t next_tag;
    uint64_t asked_count;
    uint64_t answered_count;
    uint64_t kinds[CU_KINDS_MAX]; /* events by kind */
    uint64_t conn_id;             /* of the last CONNECT that succeeded, or of CONNECTED */
    uint64_t stream_id;           /* of the last OPEN that succeeded */
    void *conn_user;              /* of the last event */
    void *stream_user;            /* of the last event of a stream */
    uint64_t bytes_in;            /* in slices */
    uint64_t bytes_placed;        /* in lent memory */
    uint64_t fin_count;
    bool is_lazy;    /* commands are flushed when results are taken, or somebody waits */
    bool is_pattern; /* received bytes are pw_byte(0, offset) */
    bool holds;      /* slices are kept in `held` */
    struct spate_slice held[CU_HELD_MAX];
    uint32_t held_count;
    struct spate_close close;
    char reason[256]; /* of the last CLOSED */
    uint8_t ticket[8192];
    size_t ticket_size;
    bool is_over; /* SHUTDOWN was taken */
    int end_result;
};

/* Makes a channel and its user; owned by the test.  `options` may be NULL. */
struct cu *cu_create(struct spate_shard *shard, const struct spate_channel_options *options);

/* Ends the channel now. */
void cu_destroy(struct cu *u);

/* Returns a new tag, of a command whose call returns `result`; see CU_ASK. */
uint64_t cu_tag(struct cu *u);

/* Records what the call with the last tag returned, and returns it. */
int cu_asked(struct cu *u, int result);

/* Calls a command with a new tag as its last argument. */
#define CU_ASK(u, function, ...) cu_asked((u), function((u)->channel, __VA_ARGS__, cu_tag((u))))

/* Takes the results that there are, once, and returns their number. */
uint32_t cu_take(struct cu *u);

/* Releases the slices that are held. */
void cu_release_all(struct cu *u);

/* pw_byte(0, i): what both sides of a world send. */
#define CU_PATTERN_SIZE 262144
extern uint8_t cu_pattern[CU_PATTERN_SIZE];

/* Makes a world whose server sends back what it gets: see pw_create(). */
struct pw *cu_world(const struct pw_config *config);
/* Makes a user of the client's shard, whose turns the test runs. */
struct cu *cu_user(struct pw *w, const struct spate_channel_options *options);
/* Makes one with a connection. */
struct cu *cu_connected(struct pw *w, const struct spate_channel_options *options);
/* Runs turns and takes results until `*value` is at least `least`. */
void cu_run_until(struct pw *w, struct cu *u, const uint64_t *value, uint64_t least);
/* Runs turns until SHUTDOWN was taken.  All commands have been answered then. */
void cu_run_until_over(struct pw *w, struct cu *u);

/* Fills in options to connect to the server of `w`. */
void cu_options(struct pw *w, struct spate_connect_options *ret);

/* Returns the result of a command that was answered. */
int cu_result(const struct cu *u, uint64_t tag);

#endif
