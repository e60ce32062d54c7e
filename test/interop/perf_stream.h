/* SPDX-License-Identifier: MIT */
#ifndef INTEROP_PERF_STREAM_H
#define INTEROP_PERF_STREAM_H

#include <gnutls/crypto.h>
#include <stdbool.h>
#include <stdint.h>

#include "test/interop/pattern.h"

#define PERF_HEAD_SIZE 8

/* One stream of the QUIC performance protocol, either end, apart from any QUIC stack.
 *
 * The client sends 8 bytes, the number of bytes that it wants back (big endian), then its upload,
 * then FIN.  The server answers with that many bytes and FIN.  All payload is the pattern of
 * pattern.h.
 *
 *     perf_stream_init_client() or perf_stream_init_server()
 *     perf_stream_receive()                            for what arrives, in order
 *     perf_stream_next(), perf_stream_advance()        for what is to be sent
 *     perf_stream_report()                             once `fin_received`
 *     perf_stream_deinit() */
struct perf_stream {
    const struct pattern *pattern;
    uint64_t id;
    bool is_server;

    uint8_t head[PERF_HEAD_SIZE];
    uint32_t head_received; /* server: bytes of the head that have arrived */

    uint64_t send_total; /* with the head of a client; valid if send_known */
    uint64_t sent;       /* bytes of it that the stack has taken: sent <= send_total */
    bool send_known;     /* server: false until the head is complete */
    bool fin_sent;

    uint64_t payload_wanted;   /* client: what it asked for */
    uint64_t payload_received; /* without the head */
    uint64_t mismatch_count;
    bool fin_received;
    gnutls_hash_hd_t hash; /* SHA-256 of the payload received */
    struct hq_file *file;  /* of hq_stream.c, which speaks HTTP/0.9 behind the same functions */
};

/* A run of bytes to send; they stay as they are for as long as the stream and the pattern live. */
struct perf_piece {
    const uint8_t *data;
    uint32_t size;
};

/* Both return 0, or -1 if there is no memory for the hash. */
int perf_stream_init_client(struct perf_stream *s, const struct pattern *pattern, uint64_t id,
                            uint64_t upload_bytes, uint64_t download_bytes);
int perf_stream_init_server(struct perf_stream *s, const struct pattern *pattern, uint64_t id);
void perf_stream_deinit(struct perf_stream *s);

/* Takes the next `size` bytes from the peer; `fin` says that they are the last. */
void perf_stream_receive(struct perf_stream *s, const uint8_t *data, size_t size, bool fin);

/* True if the stack should be offered bytes or a FIN of this stream. */
bool perf_stream_has_more(const struct perf_stream *s);

/* Stores the next piece to send and whether the FIN follows it.  The piece may be empty where only
 * the FIN is left.  Only if perf_stream_has_more(). */
void perf_stream_next(const struct perf_stream *s, struct perf_piece *ret_piece, bool *ret_fin);

/* The stack took the first `size` bytes of the piece, and the FIN if `fin`. */
void perf_stream_advance(struct perf_stream *s, uint64_t size, bool fin);

/* Prints the line of the stream.  Returns whether all that it received is as it should be. */
bool perf_stream_report(struct perf_stream *s);

#endif
