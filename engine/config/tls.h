/* SPDX-License-Identifier: MIT */
#ifndef SE_TLS_H
#define SE_TLS_H

#include <spate/tls.h>

#include "engine/config/cert.h"

struct sc_tls_config;

/* The configuration that the application's handle stands for: borrowed. */
struct sc_tls_config *se_tls_config(const struct spate_tls *tls);

/* The application's functions that a handshake of this configuration asks. */
struct se_ask_callback se_tls_on_cert(const struct sc_tls_config *config);
struct se_ask_callback se_tls_on_verify(const struct sc_tls_config *config);

#endif
