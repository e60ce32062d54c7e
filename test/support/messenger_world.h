/* SPDX-License-Identifier: MIT */
#ifndef MESSENGER_WORLD_H
#define MESSENGER_WORLD_H

#include "test/support/spate_world.h"

/* Two real ends with a messenger each, which note what comes out and check every byte. */

enum { MW_SEEN_MAX = 4096 };

struct mw_seen {
    enum spate_message_kind kind;
    enum spate_message_fate fate;
    uint64_t tag;
    uint64_t error;
    uint32_t channel;
    uint32_t number; /* the first four bytes */
    size_t size;
    size_t piece_count;
    bool is_unreliable;
};

struct mw_side {
    struct pw_end *end;
    struct spate_messenger *messenger;
    struct spate_messenger_options options;
    bool replies;  /* to each request, with its own bytes */
    bool keeps;    /* does not release what it receives, but keeps it in `kept` */
    bool is_lazy;  /* what comes out stays in the messenger */
    bool is_plain; /* has no messenger: the test plays it */
    struct mw_seen seen[MW_SEEN_MAX];
    uint32_t seen_count;
    uint32_t counts[SPATE_MESSAGE_ROOM + 1]; /* by kind */
    uint32_t path_count;                     /* addresses of the peer that were validated */
    struct spate_message kept[MW_SEEN_MAX];
    uint32_t kept_count;
    uint32_t released_count; /* of them, from the first one on, by mw_release_oldest() */
    bool has_wrong_bytes;
};

struct mw {
    struct pw *w;
    struct mw_side server;
    struct mw_side client;
    struct spate_conn *conn; /* the client's */
};

/* Bytes of messages: byte i of any message is mw_pattern[i], but the first four are its number. */
extern uint8_t *mw_pattern;
enum { MW_PATTERN_SIZE = 12 << 20 };

void mw_take_all(struct mw_side *side);
struct mw *mw_make(void);
/* The same with engines that `configure` changes, after the changes of mw_make(); NULL: none. */
struct mw *mw_make_with(void (*server)(struct spate_config *config),
                        void (*client)(struct spate_config *config));
void mw_connect_both(struct mw *world);
/* Gives back what `keeps` has kept longest.  Returns false if there is nothing. */
bool mw_release_oldest(struct mw_side *side);
int mw_send_number(struct mw_side *side, uint32_t number, size_t size,
                   const struct spate_message_options *options);
struct spate_messenger_stats mw_stats_of(const struct mw_side *side);
void mw_until(struct mw *world, bool (*is_done)(const struct mw *, uint32_t), uint32_t count);
bool mw_server_has(const struct mw *world, uint32_t count);
bool mw_client_has_back(const struct mw *world, uint32_t count);
bool mw_client_has_replies(const struct mw *world, uint32_t count);
bool mw_client_has_failures(const struct mw *world, uint32_t count);
bool mw_server_has_requests(const struct mw *world, uint32_t count);
bool mw_client_is_closed(const struct mw *world, uint32_t count);
bool mw_server_waits(const struct mw *world, uint32_t count);

#endif
