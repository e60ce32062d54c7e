/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SERVE_OPTIONS_H
#define SPATE_SERVE_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/config.h>

#include "tools/spate/net.h"

enum { SERVE_NAMES_MAX = 64, SERVE_LISTEN_MAX = 8, SERVE_PREFER_MAX = 2 };

/* The command line of "spate serve". */
struct serve_options {
    struct net_address listen[SERVE_LISTEN_MAX];
    uint32_t listen_count;
    struct net_address prefer[SERVE_PREFER_MAX]; /* where clients are asked to move */
    uint32_t prefer_count;
    const char *root;
    const char *cert; /* NULL: a self-signed certificate is made */
    const char *key;
    const char *cert_out;
    const char *names[SERVE_NAMES_MAX]; /* of the self-signed certificate */
    uint32_t name_count;
    uint32_t ciphers; /* SPATE_CIPHER_* bits; 0: all */
    uint32_t conns_max;
    enum spate_versions versions;
    const char *ticket_keys; /* a file; NULL: random keys */
    const char *quic_lb;     /* a file; NULL: connection IDs are for no load balancer */
    const char *qlog;        /* a folder; NULL: nothing is recorded */
    const char *hand_over;   /* a path; NULL: nobody takes over */
    const char *inherit;     /* the name of sockets that the process was started with; NULL: none */
    uint32_t drain_s;        /* seconds that connections may last after another has taken over */
    uint32_t handshake_s;    /* seconds that a handshake may take */
    const char *writable; /* a folder below the root, "" is the root; NULL: nothing is taken in */
    const char *token;    /* a file; NULL: everybody is served */
    const char *identity; /* a file; NULL: a new self-signed certificate, or `cert` */
    bool serves_cp;       /* the protocol of "spate cp" */
    bool accepts_early;
    bool sends_retry;
    uint32_t days; /* of the self-signed certificate; 0: the default */
    bool lists_folders;
    bool echoes; /* WebTransport */
    bool prints_alt_svc;
    bool is_verbose;
};

/* Returns true, or false and the exit status of the program, after one line on stderr or the help
 * text on stdout. */
bool serve_options_parse(struct serve_options *ret, int argc, char **argv, int *ret_status);

#endif
