/* SPDX-License-Identifier: MIT */
#ifndef SPATE_LB_FILE_H
#define SPATE_LB_FILE_H

#include <spate/quic_lb.h>

/* The configuration of connection IDs that load balancers can read, from a file with one line:
 *
 *     CONFIG-ID SERVER-ID NONCE-BYTES KEY [length]
 *
 * SERVER-ID has two hexadecimal digits a byte.  KEY has 32, or is "-": server IDs are in clear.
 * "length": the first octet has the length of the connection ID.  Empty lines and lines that begin
 * with # are skipped. */

/* Reads the file.  Returns NULL, or what is wrong: a static string or that of an errno, valid until
 * the next call.  `ret` is untouched then.  The caller wipes it after use.  Ranges are checked by
 * the library. */
const char *lb_file_read(const char *path, struct spate_quic_lb *ret);

#endif
