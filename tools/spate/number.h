/* SPDX-License-Identifier: MIT */
#ifndef SPATE_NUMBER_H
#define SPATE_NUMBER_H

#include <stdbool.h>
#include <stdint.h>

#include <spate/config.h>

/* Reads a whole number of min to max: the whole text, decimal, with one of the suffixes K, M, G
 * (powers of 1000) or Ki, Mi, Gi (of 1024).  *ret is untouched on failure. */
bool number_parse(const char *text, uint64_t min, uint64_t max, uint64_t *ret);

/* Reads names of cipher suites, such as "chacha20-poly1305" or "aes-128-gcm,aes-256-gcm", into
 * SPATE_CIPHER_* bits.  *ret is untouched on failure. */
bool number_parse_ciphers(const char *text, uint32_t *ret);

/* Reads the name of an enum spate_versions: "both", "prefer-2", "begin-2", "only-1", "only-2".
 * *ret is untouched on failure. */
bool number_parse_versions(const char *text, enum spate_versions *ret);

#endif
