/* SPDX-License-Identifier: MIT */
#ifndef SC_LIBRARY_H
#define SC_LIBRARY_H

#include <stdbool.h>

#include <openssl/types.h>

/* Returns the library context for a new SSL_CTX: OpenSSL's default provider, with the key schedule
 * of crypto/tls13_kdf.h in the place of its own.  It is made once per process, and stays OpenSSL's
 * until that ends.  Returns NULL, the process's own context, if sc_library_is_plain(NULL) is false
 * now, or without memory; and the context that the thread has as its default, if that is another
 * one.  Threads: as sc_library_is_plain(). */
OSSL_LIB_CTX *sc_library(void);

/* Returns whether `context` (NULL: the process's own) has nothing but OpenSSL's own providers and
 * no default properties, as it is where neither the program nor openssl.cnf has changed it: FIPS,
 * and algorithms of other providers, must go on to work.  Threads: as OSSL_PROVIDER_load(). */
bool sc_library_is_plain(OSSL_LIB_CTX *context);

#endif
