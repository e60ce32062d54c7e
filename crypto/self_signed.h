/* SPDX-License-Identifier: MIT */
#ifndef SC_SELF_SIGNED_H
#define SC_SELF_SIGNED_H

#include <stddef.h>
#include <stdint.h>

#include "crypto/ossl_error.h"
#include "proto/base/compiler.h"

enum sc_key_type {
    SC_KEY_P256,
    SC_KEY_ED25519,
    SC_KEY_RSA2048,
};

struct sc_self_signed_options {
    enum sc_key_type key_type;
    /* DNS names and IP addresses, all of them in subjectAltName; the first is the subject.
     * None: localhost, 127.0.0.1 and ::1. */
    const char *const *names;
    size_t name_count;
    uint32_t days;         /* of validity; 0: 30; at most SC_SELF_SIGNED_DAYS_MAX */
    int32_t start_in_days; /* the validity's start, in days from now: less than 0 is past */
};

enum {
    SC_SELF_SIGNED_DAYS_MAX = 36500,
    SC_SELF_SIGNED_NAMES_MAX = 1000,
};

/* Makes a key and a certificate signed with it: for servers and clients that have each
 * other's certificate, for experiments, for tests.
 *
 *   *ret_cert_pem, *ret_key_pem   Texts that the caller frees with sc_self_signed_free();
 *                                 untouched on failure.
 *
 * Returns 0, or -EINVAL for a bad name or number, -ENOMEM.  Threads: any. */
SB_MUST_USE int sc_self_signed(const struct sc_self_signed_options *options, char **ret_cert_pem,
                               char **ret_key_pem, struct sc_error *error);

void sc_self_signed_free(char *pem); /* wipes; NULL is accepted */

#endif
