/* SPDX-License-Identifier: MIT */
#ifndef ATTACK_REPLAY_WORLD_H
#define ATTACK_REPLAY_WORLD_H

#include "test/support/spate_world.h"

/* A client, and two engines that share the TLS of a server as two shards do:
 *
 *     client ---- relay, which records ---- server
 *                        |
 *     replays, from many addresses of loopback ---- server and other
 */

#define REPLAY_TEXT_SIZE 1000
extern const uint8_t replay_text[REPLAY_TEXT_SIZE]; /* that clients say */

struct replay {
    struct pw *w;
    struct pw_end other; /* a second engine with the server's TLS */
    struct sockaddr_storage other_address;
    struct pw_relay *relay;
    uint8_t ticket[4096];
    size_t ticket_size;
    uint8_t token[256];
    size_t token_size;
    uint32_t zero_rtt_count; /* connections of both servers whose 0-RTT was accepted */
    uint64_t early_bytes;    /* of streams that came in 0-RTT */
    uint64_t server_cpu_ns;

    /* A crowd. */
    bool offers_early;
    bool uses_tickets;
    uint32_t begun_count;
    uint32_t running_count;
    uint32_t resumed_count;
    uint32_t full_count;
    uint32_t failed_count;
};

/* Changes to the configuration of the servers.  Copies of first packets must not be held off by
 * Retry, where this is not about tokens. */
void replay_never_retry(struct spate_config *config);
void replay_always_retry(struct spate_config *config);
/* So that the connection of a copy ends before the next copy, which would be one of its packets. */
void replay_short_handshakes(struct spate_config *config);

/* Owned by the test. */
struct replay *replay_create(void (*change)(struct spate_config *config));

/* What the client does with an event: it keeps tickets and tokens. */
void replay_on_client(struct pw_end *end, struct spate_event *event);

/* One turn of all; the CPU time of the server is added up. */
void replay_turn(struct replay *r);
/* Runs turns until `is_done` returns true. */
void replay_until(struct replay *r, bool (*is_done)(struct replay *r));

/* Begins a connection with the ticket and the token.  Returns NULL without room. */
struct spate_conn *replay_connect_with(struct replay *r, bool through_relay, void *user);
void replay_say(struct spate_conn *conn);
/* A whole handshake, of which the ticket and the token are kept. */
void replay_first(struct replay *r, bool through_relay);
/* Closes a connection, and waits until both sides have forgotten all of them. */
void replay_end(struct replay *r, struct spate_conn *conn);
bool replay_nothing_is_left(struct replay *r);

#endif
