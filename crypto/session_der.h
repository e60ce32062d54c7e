/* SPDX-License-Identifier: MIT */
#ifndef SPATE_CRYPTO_SESSION_DER_H
#define SPATE_CRYPTO_SESSION_DER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Removes the peer's certificate from a session as i2d_SSL_SESSION() has written it.
 *
 *   der    The session; shorter afterwards, in place.
 *   *size  Its bytes before, and afterwards.
 *
 * Returns false with nothing changed if that is no such session, or it has no certificate. */
bool sc_session_der_drop_cert(uint8_t *der, size_t *size);

#endif
