/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_SERVER_H
#define SPATE_FILES_SERVER_H

#include "tools/spate/files/auth.h"
#include "tools/spate/files/source.h"
#include "tools/spate/files/target.h"

/* The serving side of "spate cp": connections with a protocol that files_speaks() knows. */
struct files_server {
    struct files_core core;
    struct files_beneath beneath;
    uint64_t kept_left; /* for streams, parts, and what has come in part; a session has its share */
    const char *writable; /* a path below the root, "" is the root; NULL: nothing is taken in */
    const struct files_token *token; /* NULL: everybody is served */
    bool is_verbose;
    LIST_HEAD(, files_target) targets;
    SLIST_HEAD(, files_sessions) blocks; /* of sessions, as many as there were at a time */
    SLIST_HEAD(, files_session) unused;  /* .. those without a connection */
    struct share_sources sources;
};

/* `root` is the caller's. */
void files_server_init(struct files_server *ret, struct spate_shard *shard, int root);
void files_server_stop(struct files_server *server); /* before the shard is destroyed */
void files_server_deinit(struct files_server *server);

/* Takes a connection that has the protocol, at its first event.  Its events have a conn_user from
 * then on, until the last one. */
void files_server_accept(struct files_server *server, struct spate_conn *conn);

/* Handles an event of a connection that was taken.  Releases its slice. */
void files_server_event(struct files_server *server, struct spate_event *event);

/* Goes on with what waits for memory.  Call it once after the events of each turn: a folder is
 * looked for anew then, as it may have become another one.  Returns true if something still waits.
 */
bool files_server_retry(struct files_server *server);

#endif
