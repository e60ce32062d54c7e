/* SPDX-License-Identifier: MIT */
#ifndef TEST_SUPPORT_FILES_WORLD_H
#define TEST_SUPPORT_FILES_WORLD_H

#include "test/support/qt.h"

#include "tools/spate/files/server_impl.h"

/* The serving side of "spate cp", in a folder of its own, with a library that a test moves by hand:
 * it sends nothing, and says no when it is told to. */

enum { STREAMS_MAX = 1024, CONNS_MAX = 32 };

/* Memory that was lent to receive a stream. */
struct world_place {
    uint8_t *data;
    size_t size;
    uint64_t tag;
};

/* What the library has got of a stream. */
struct world_stream {
    struct spate_conn *conn;
    uint64_t id;
    void *user;
    uint8_t *bytes;
    size_t size;
    bool fin;
    bool is_reset;
    uint64_t error;
    uint64_t received;
    struct world_place places[FILES_LENT_MAX];
    uint32_t place_count;
};

struct spate_conn {
    void *user;
    uint8_t address[16]; /* of IPv6: each is from a site of its own */
    const char *alpn;    /* FILES_ALPN_SHA256; a test may set another one before its first stream */
};

/* A buffer that is lent: it comes back when a test says so. */
struct world_lent {
    struct world_stream *stream;
    uint64_t tag;
    size_t size;
};

struct files_world {
    char path[64];
    int root;
    struct files_server server;
    bool has_server;
    struct spate_conn conns[CONNS_MAX];
    struct world_stream streams[STREAMS_MAX];
    uint32_t stream_count;
    struct world_lent lent[STREAMS_MAX * 32];
    uint32_t lent_count;
    uint64_t lent_bytes;
    uint32_t refusals; /* sends that fail from now on */
    bool takes_memory; /* to receive into; else all bytes come as slices */
};

extern struct files_world *w;

/* For each test: `w` is new, and has CONNS_MAX connections. */
int files_world_set_up(void **state);

/* Checks that all memory has come back. */
int files_world_tear_down(void **state);

struct world_stream *files_world_open_stream(int conn);

/* .. for which there may be no room: its user is NULL then. */
struct world_stream *files_world_try_stream(int conn);

/* Has a connection, which has no stream yet, come from another address. */
void files_world_move(int conn, const uint8_t address[16]);

void files_world_hear(struct world_stream *stream, enum spate_event_kind kind);
void files_world_close_stream(struct world_stream *stream);

/* Bytes of a stream, as a slice; a request and the end. */
void files_world_tell(struct world_stream *stream, const void *data, size_t size, bool fin);
void files_world_ask(struct world_stream *stream, enum files_type type, const char *path,
                     uint64_t size);

/* Gives back all that is lent to be sent. */
void files_world_give_back(bool is_acked);

/* Waits for what the worker has of a stream. */
void files_world_settle(const struct world_stream *stream);
void files_world_make_file(const char *path, size_t size);

#endif
