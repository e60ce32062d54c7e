/* SPDX-License-Identifier: MIT */
#ifndef INTEROP_PEER_OPTIONS_H
#define INTEROP_PEER_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/socket.h>

/* The command line that every peer of the interop tests understands, and the lines that it prints.
 *
 *     PEER client --connect ADDR:PORT [options]
 *     PEER server --listen ADDR:PORT --cert FILE --key FILE [options]
 *
 * ADDR is a number, an IPv6 one in brackets.  A peer prints to standard output
 *
 *     listening ADDR:PORT                          server: ready, with the port that it got
 *     cipher NAME                                  a handshake is complete
 *     stream S bytes N sha256 HEX ok|mismatch      all payload of stream S was received
 *     closed local|remote transport|application CODE
 *
 * and exits with 0 only if every connection ended with an application close and every byte matched.
 * Otherwise it writes one line to standard error. */
struct peer_options {
    bool is_server;
    const char *listen_text; /* ADDR:PORT as they were given */
    const char *connect_text;
    struct sockaddr_storage address;
    socklen_t address_size;

    const char *alpn;
    const char *cipher; /* NULL: all three */
    const char *sni;    /* client: the name to ask for and to verify */
    const char *ca_path;
    bool is_insecure; /* client: take any certificate */
    const char *cert_path;
    const char *key_path;
    const char *keylog_path;

    uint64_t stream_count;     /* client: streams to open */
    uint64_t download_bytes;   /* client: to ask for, on each stream */
    uint64_t upload_bytes;     /* client: to send, on each stream */
    uint64_t window_bytes;     /* initial flow control credit, of a stream and of the connection */
    uint64_t stream_count_max; /* server: streams that the client may have open at once */
    const char *prefer_text;   /* server: ADDR:PORT to which clients are to move, or NULL */
    struct sockaddr_storage preferred;
    socklen_t preferred_size;
    bool sends_retry;     /* server: demand a Retry token of every client */
    uint64_t conn_count;  /* server: exit after so many connections; 0: serve until SIGTERM */
    uint64_t seconds_max; /* give up, with an error, after this long */

    /* Client: the code to close with when all is done.  Server, only if given: close with it once
     * the first stream is finished. */
    uint64_t close_code;
    bool has_close_code;
    const char *session_path; /* client: the file of its session, read and written */
    bool is_early;            /* client: send requests as 0-RTT; server: accept them */
    bool waits_for_close;     /* client: when all is done leave the close to the server */
    bool is_debug;            /* let the stack log to standard error, if it can */
};

/* Fills `ret` from the command line.  Returns 0, or -1 after one line on standard error.  The
 * strings belong to `argv`. */
int peer_options_parse(struct peer_options *ret, int argc, char **argv);

/* Writes one line, with the name of the program in front, to standard error. */
__attribute__((format(printf, 1, 2))) void peer_error(const char *format, ...);

/* Prints the line `listening ADDR:PORT`. */
void peer_print_listening(const struct sockaddr_storage *address);

#endif
