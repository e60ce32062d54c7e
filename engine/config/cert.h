/* SPDX-License-Identifier: MIT */
#ifndef SE_CERT_H
#define SE_CERT_H

#include <spate/cert.h>

#include "proto/base/compiler.h"

struct sc_cert;
struct sc_cert_entry;

/* A function of the application with its pointer; NULL: none. */
struct se_ask_callback {
    spate_ask_function function;
    void *user;
};

/* What the application's handle stands for: borrowed. */
struct sc_cert *se_cert_inner(const struct spate_cert *cert);
struct se_ask_callback se_cert_on_sign(const struct sc_cert *cert);

/* Translates entries; the caller frees them with free().  Returns 0 or -ENOMEM. */
SB_MUST_USE int se_cert_entries(const struct spate_cert_entry *entries, size_t count,
                                struct sc_cert_entry **ret);

#endif
