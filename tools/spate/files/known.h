/* SPDX-License-Identifier: MIT */
#ifndef SPATE_FILES_KNOWN_H
#define SPATE_FILES_KNOWN_H

#include <stddef.h>
#include <stdint.h>

/* The servers that were met before, in a file: a line HOST:PORT sha256:HEX for each, of the
 * certificate's SHA-256. */

enum { FINGERPRINT_SIZE = 7 + 64 + 1 };

enum known { KNOWN_SAME, KNOWN_NEW, KNOWN_OTHER };

/* Writes "sha256:" and hexadecimal digits. */
void known_fingerprint(const uint8_t *certificate, size_t size, char ret[FINGERPRINT_SIZE]);

/* Looks a server up by its HOST:PORT, and adds it if it is new.  An IPv6 address has brackets; in
 * files of earlier versions it has none.
 *
 *   *ret   KNOWN_OTHER: it had another fingerprint, and nothing was changed.
 *
 * Returns 0 or a negative errno of the file; `*ret` is untouched then. */
int known_check(const char *path, const char *server, const char *fingerprint, enum known *ret);

/* Looks a server up, and adds nothing.  Otherwise like known_check(). */
int known_look(const char *path, const char *server, const char *fingerprint, enum known *ret);

/* Writes the path of the user's file: below XDG_STATE_HOME, or ~/.local/state.  Makes its folder.
 * Returns 0, or -ENOENT without a home, or a negative errno. */
int known_default_path(char *ret, size_t size);

#endif
