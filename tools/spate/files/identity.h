/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_IDENTITY_H
#define SPATE_FILES_IDENTITY_H

#include <spate/spate.h>

#include "tools/spate/files/known.h"

/* A certificate and its key in one file, for a server whose clients know it by its fingerprint. */

/* Reads the file.  One that does not exist is made, for its owner alone.
 *
 *   options   Names and kind of key of a new one.
 *   *ret_pem  The text; secret_free() frees it.
 *
 * Returns 0, or a negative errno with `error` filled in. */
int identity_read(const char *path, const struct spate_self_signed_options *options, char **ret_pem,
                  size_t *ret_size, struct spate_error *error);

/* Writes the fingerprint of the first certificate of a PEM text.  Returns false if there is none.
 */
bool identity_fingerprint(const char *pem, char ret[FINGERPRINT_SIZE]);

#endif
