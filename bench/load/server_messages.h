/* SPDX-License-Identifier: MIT */
#ifndef LOAD_SERVER_MESSAGES_H
#define LOAD_SERVER_MESSAGES_H

/* The server's part of the scenario "messages": it answers requests, and publishes to those who
 * have subscribed.  One for each shard. */

#include <stdbool.h>
#include <stdint.h>

#include <spate/spate.h>

struct message_peer;
struct options;
struct server_messages;

/* Returns NULL without memory.
 *
 *   *payload_in, *payload_out  Bytes that come and go are added to them; they must live as long. */
struct server_messages *server_messages_create(const struct options *o, uint64_t *payload_in,
                                               uint64_t *payload_out);

/* NULL is accepted.  Call it when the engine is destroyed, which frees the messengers. */
void server_messages_destroy(struct server_messages *s);

/* Takes a connection whose ALPN is MESSAGES_ALPN.  Returns NULL without memory. */
struct message_peer *server_messages_accept(struct server_messages *s, struct spate_conn *conn);

/* Handles an event of the peer's connection.  After SPATE_EVENT_CLOSED there is no peer any more.
 */
void server_messages_event(struct message_peer *peer, const struct spate_event *e);

/* Frees a peer whose engine was destroyed before its SPATE_EVENT_CLOSED.  NULL is accepted. */
void server_messages_forget(struct message_peer *peer);

#endif
