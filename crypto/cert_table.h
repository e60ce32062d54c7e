/* SPDX-License-Identifier: MIT */
#ifndef SC_CERT_TABLE_H
#define SC_CERT_TABLE_H

#include <stdbool.h>
#include <stddef.h>

#include "crypto/cert.h"

/* Names and the certificate of each, and one for all others.  Made once, then constant and shared;
 * reference counted: to change it, make another one. */
struct sc_cert_table;

struct sc_cert_entry {
    const char *name;     /* as server_name says it; or "*.example.org"; NULL: all others */
    struct sc_cert *cert; /* a reference is taken */
};

/* `*ret` has one reference.  Returns 0, or -EINVAL if a name is none or comes twice, -ENOMEM. */
SB_MUST_USE int sc_cert_table_create(const struct sc_cert_entry *entries, size_t count,
                                     struct sc_cert_table **ret, struct sc_error *error);

/* Threads: any. */
struct sc_cert_table *sc_cert_table_ref(struct sc_cert_table *table);
void sc_cert_table_unref(struct sc_cert_table *table); /* NULL is accepted */

/* The certificate for a name: of the name itself, or of the wildcard that stands for its first
 * label [RFC9525 6.3].  Upper and lower case are equal.  NULL if there is none.  Constant time in
 * the number of names. */
struct sc_cert *sc_cert_table_find(const struct sc_cert_table *table, const char *name);
/* The certificate for all others, or NULL. */
struct sc_cert *sc_cert_table_default(const struct sc_cert_table *table);
/* Whether there is any name. */
bool sc_cert_table_has_names(const struct sc_cert_table *table);
/* Whether the key of one of them is elsewhere. */
bool sc_cert_table_has_remote(const struct sc_cert_table *table);

#endif
