/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_TRUST_H
#define SPATE_FILES_TRUST_H

#include <stdbool.h>

/* Whether a server is the one that was met before, for commands that keep fingerprints. */
struct trust {
    const char *command; /* its name, for messages */
    const char *known;   /* the file of fingerprints */
    bool is_strict;      /* a server that is not in the file is refused */
    const char *server;  /* HOST:PORT; an IPv6 address is in brackets */
};

/* Looks a fingerprint up, and keeps it if the server is new and is_strict is not set.  Returns
 * whether it is trusted; one line on stderr says why not, or that it is new. */
bool trust_check(const struct trust *trust, const char *fingerprint);

#endif
