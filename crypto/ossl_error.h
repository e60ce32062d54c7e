/* SPDX-License-Identifier: MIT */
#ifndef SC_OSSL_ERROR_H
#define SC_OSSL_ERROR_H

/* One clear line for a person: what is wrong. */
struct sc_error {
    char text[256];
};

/* Fills in `error`, unless it is NULL, and returns `code`.  What is too long is cut; control
 * characters, which file names may have, become '?': it stays one line. */
int sc_error_set(struct sc_error *error, int code, const char *format, ...)
    __attribute__((format(printf, 3, 4)));

/* Takes everything off this thread's OpenSSL error queue.  Returns the reason of the first
 * entry, which is the closest to the cause; never NULL, and
 * valid until the next call of this thread. */
const char *sc_ossl_reason(void);

/* Returns the version of the OpenSSL that runs, like "3.5.2"; static. */
const char *sc_ossl_version(void);

#endif
