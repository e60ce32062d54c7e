/* SPDX-License-Identifier: MIT */
#ifndef SC_TLS13_KDF_H
#define SC_TLS13_KDF_H

#include <openssl/core.h>

/* "TLS13-KDF" for a provider of OpenSSL: the key schedule of TLS 1.3 with SHA-256 or SHA-384.
 * [RFC8446 7.1]  It takes the parameters of EVP_KDF-TLS13_KDF(7), but all of them in the call of
 * EVP_KDF_derive(): a context keeps none.  What has other hashes or sizes than TLS 1.3 fails. */
extern const OSSL_DISPATCH sc_tls13_kdf_functions[];

#endif
