/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_CP_OPTIONS_H
#define SPATE_FILES_CP_OPTIONS_H

#include <stdbool.h>
#include <stdint.h>

#include "tools/spate/files/wire.h"
#include "tools/spate/net.h"

enum cp_hash { CP_HASH_ANY, CP_HASH_GMAC, CP_HASH_SHA256 };
enum cp_profile { CP_PROFILE_AUTO, CP_PROFILE_LAN, CP_PROFILE_WAN };

/* The command lines of "spate cp" and "spate sync". */
struct cp_options {
    const char *command; /* "cp" or "sync" */
    bool is_sync;
    bool is_push; /* to the server; else from it */
    char host[256];
    uint16_t port;
    char server[NET_NAME_SIZE]; /* host and port, for messages */
    const char **sources; /* local paths, or paths of the server; freed by cp_options_deinit() */
    uint32_t source_count;
    const char *target; /* a local folder, or a folder of the server, "" is its root */
    bool is_recursive;
    bool deletes;
    const char *ca;
    const char *known;       /* a file; NULL: the user's */
    const char *fingerprint; /* of the server; NULL: as `known` says */
    bool is_strict;          /* unknown servers are refused */
    const char *token;       /* a file */
    const char *tickets;     /* a file */
    const char *server_name; /* in the place of the host, for its certificate */
    enum cp_profile profile;
    enum cp_hash hash; /* of items; any: that of the server, GMAC if it has both */
    uint32_t streams;  /* 0: adapts */
    uint64_t memory_bytes;
    uint64_t timeout_ns;
    bool is_quiet;
    bool is_json;
};

/* Returns true, or false and the exit status of the program, after one line on stderr or the help
 * text on stdout. */
bool cp_options_parse(struct cp_options *ret, bool is_sync, int argc, char **argv, int *ret_status);

void cp_options_deinit(struct cp_options *options);

#endif
