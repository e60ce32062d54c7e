/* SPDX-License-Identifier: MIT */
#ifndef SE_TLS_H
#define SE_TLS_H

#include <spate/tls.h>

struct sc_tls_config;

/* The configuration that the application's handle stands for: borrowed. */
struct sc_tls_config *se_tls_config(const struct spate_tls *tls);

#endif
