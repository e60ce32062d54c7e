/* SPDX-License-Identifier: MIT */
#ifndef LOAD_OPTIONS_IMPL_H
#define LOAD_OPTIONS_IMPL_H

/* Shared by options.c, options_check.c and scenarios.c; no other file includes it. */

#include <stddef.h>

#include "bench/load/options.h"

enum option_kind {
    OPTION_FLAG,    /* bool */
    OPTION_NUMBER,  /* uint64_t */
    OPTION_SIZE,    /* uint64_t, may have a unit */
    OPTION_SECONDS, /* uint64_t nanoseconds */
    OPTION_DECIMAL, /* double */
    OPTION_CHOICE,  /* uint32_t, index of choices[] */
    OPTION_CPU,     /* int */
    OPTION_CIPHER,  /* const char *, and sets cipher_bits */
    OPTION_TEXT,    /* const char * */
};

/* The kinds of scenarios that an option is for, or single scenarios of them. */
enum {
    FOR_BULK = 1 << SCENARIO_BULK,
    FOR_RR = 1 << SCENARIO_RR,
    FOR_HANDSHAKE = 1 << SCENARIO_HANDSHAKE,
    FOR_DATAGRAM = 1 << SCENARIO_DATAGRAM,
    FOR_MIXED = 1 << SCENARIO_MIXED,
    FOR_IDLE = 1 << SCENARIO_IDLE,
    FOR_MESSAGES = 1 << SCENARIO_MESSAGES,
    FOR_LIMIT = 1 << SCENARIO_LIMIT,
    FOR_SERVE = 1 << SCENARIO_SERVE,
    FOR_SOAK = 1 << SCENARIO_SOAK,
    FOR_CLIENTS =
        FOR_BULK | FOR_RR | FOR_HANDSHAKE | FOR_DATAGRAM | FOR_MIXED | FOR_IDLE | FOR_MESSAGES,
    FOR_REQUESTS = FOR_RR | FOR_MIXED,
    FOR_STREAMS = FOR_BULK | FOR_MIXED,
    FOR_RELAYED = FOR_BULK | FOR_RR | FOR_HANDSHAKE | FOR_DATAGRAM | FOR_MIXED | FOR_MESSAGES,
    FOR_ALL = FOR_CLIENTS | FOR_SERVE, /* what speaks QUIC */
};

struct option_spec {
    const char *name;
    const char *argument; /* what --help calls the value; NULL: none */
    enum option_kind kind;
    uint32_t scenarios;
    size_t offset; /* in struct options */
    double min;
    double max;
    const char *const *choices; /* two or more, and a NULL */
    const char *help;           /* with the default in parentheses */
};

extern const struct option_spec option_specs[];
extern const uint32_t option_spec_count;

enum { OPTIONS_MAX = 128 };

/* Which options were on the command line: an element for each of option_specs[]. */
struct options_given {
    bool has[OPTIONS_MAX];
};

/* The index of an option, or -1. */
int option_find(const char *name, size_t name_size);

/* Sets the failure for a name that no option has; returns false. */
bool options_fail_unknown(const char *name, size_t name_size, struct failure *failure);

/* Sets defaults that depend on other options, and refuses what makes no sense together.
 * Options that `given` has and presets of the scenario are set already. */
bool options_check(struct options *o, const struct options_given *given, struct failure *failure);

#endif
