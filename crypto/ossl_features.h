/* SPDX-License-Identifier: MIT */
#ifndef SC_OSSL_FEATURES_H
#define SC_OSSL_FEATURES_H

#include <stdbool.h>
#include <stdint.h>

/* What the OpenSSL that runs can do, found out by asking it: a distribution, a configuration file
 * or a FIPS provider may leave things out. */

struct sc_feature {
    const char *name; /* for people */
    bool have;
    const char *reason; /* of a "no"; empty for a "yes" */
};

enum { SC_FEATURES_COUNT = 9 };

/* Fills in SC_FEATURES_COUNT rows.  Takes less than a millisecond.  Threads: any. */
void sc_features_probe(struct sc_feature *ret);

#endif
