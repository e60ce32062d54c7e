/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_IDENTITY_H
#define SPATE_FILES_IDENTITY_H

#include <spate/spate.h>

#include "tools/spate/files/known.h"

/* A certificate and its key, for a server whose clients know it by its fingerprint. */
struct identity {
    char *cert_pem;
    char *key_pem;    /* the same text, if both are in a file */
    size_t file_size; /* of that text */
};

enum { IDENTITY_DAYS = 3650 }; /* for which one in a file is good, if nobody says something else */

/* Reads both from a file.  One that does not exist is made, for its owner alone.
 *
 *   path     NULL: both are made, and no file keeps them.
 *   options  Names, days and kind of key of new ones.
 *   *ret     identity_close() is due in any case.
 *
 * Returns 0, or a negative errno with `error` filled in. */
int identity_open(struct identity *ret, const char *path,
                  const struct spate_self_signed_options *options, struct spate_error *error);

/* Does nothing for one of zeros. */
void identity_close(struct identity *identity);

/* Prints the fingerprint of the certificate, if there is one: clients can compare it with what they
 * see. */
void identity_print(const struct identity *identity);

#endif
