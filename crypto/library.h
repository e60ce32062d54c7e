/* SPDX-License-Identifier: MIT */
#ifndef SC_LIBRARY_H
#define SC_LIBRARY_H

#include <stdbool.h>

#include <openssl/types.h>

/* Returns the library context for SSL_CTX: OpenSSL's default provider, with the key schedule of
 * crypto/tls13_kdf.h in the place of its own.  Returns NULL, the process's own context, if
 * sc_library_is_plain(NULL) is false or without memory.  Decided once per process, by the first
 * call.  The context stays OpenSSL's until the process ends.  Threads: any. */
OSSL_LIB_CTX *sc_library(void);

/* Returns whether `context` (NULL: the process's own) has nothing but OpenSSL's own providers and
 * no default properties, as it is where neither the program nor openssl.cnf has changed it: FIPS,
 * and algorithms of other providers, must go on to work.  Threads: as OSSL_PROVIDER_load(). */
bool sc_library_is_plain(OSSL_LIB_CTX *context);

#endif
