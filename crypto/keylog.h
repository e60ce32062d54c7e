/* SPDX-License-Identifier: MIT */
#ifndef SC_KEYLOG_H
#define SC_KEYLOG_H

#include "crypto/ossl_error.h"
#include "proto/base/compiler.h"

/* A key log in the format of NSS, which packet analysers read.  It holds the secrets of
 * every connection: with the file one can read, and forge, the traffic. */
struct sc_keylog;

/* Opens `file` to be appended to; a new one gets mode 0600.  0 or a negative errno. */
SB_MUST_USE int sc_keylog_open(const char *file, struct sc_keylog **ret, struct sc_error *error);

/* Appends one line, at once and whole.  Errors are ignored: a full disk must
 * not stop the traffic.  Threads: any. */
void sc_keylog_write(struct sc_keylog *keylog, const char *line);

void sc_keylog_close(struct sc_keylog *keylog); /* NULL is accepted */

#endif
