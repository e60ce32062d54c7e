/* SPDX-License-Identifier: MIT */
#ifndef SC_TLS_H
#define SC_TLS_H

#include "crypto/memory.h"
#include "crypto/ossl_error.h"
#include "crypto/tls_config.h"
#include "proto/base/compiler.h"
#include "proto/packet/tls.h"

/* TLS 1.3 by OpenSSL: implements proto/packet/tls.h.  One owner, one thread at a time.
 *
 *     sc_tls_create() -> sc_tls_ops.start() ... sc_tls_ops.destroy()
 *
 * Rules beyond the interface:
 *   - The secret for reading 1-RTT packets is reported right before COMPLETE and never earlier,
 *     although OpenSSL may have it before the peer's Finished is verified: a server must
 *     not even open such packets until then.  [RFC9001 5.7]
 *   - A client that got no ALPN, or no transport parameters, fails before it sends its
 *     Finished, so the server never completes.  [RFC9001 8.1, 8.2]
 *   - After ALERT only bytes(), drop(), destroy() and the getters below do something.
 *
 * Memory, of 64-bit OpenSSL 3.5: 17 KB when made, 45 KB at most while the handshake runs.  A
 * server needs OpenSSL only until the handshake is complete and frees it then: 0.5 KB stay, and the
 * bytes to send until they are acknowledged.  A client keeps 17 KB for the tickets that a server
 * sends after its handshake, until rest(): the connection has been idle for a second. */
extern const struct sp_tls_ops sc_tls_ops;

/* Makes a handshake, which keeps a reference of `config` and copies `server_name`.
 *
 *   server_name   Client: the name or IP address to verify; a name is also sent to the server
 *                 (SNI) [RFC6066 3].  NULL only if the client is insecure.  Server: NULL.
 *   *ret          Owned by the caller until sc_tls_ops.destroy(); untouched on failure.
 *
 * Returns 0, or -EINVAL for a bad name, -ENOMEM. */
SB_MUST_USE int sc_tls_create(struct sc_tls_config *config, const char *server_name,
                              struct sp_tls **ret, struct sc_error *error);

/* As sc_tls_create(), with the memory of what stays after the handshake; NULL: the heap. */
SB_MUST_USE int sc_tls_create_in(struct sc_memory *memory, struct sc_tls_config *config,
                                 const char *server_name, struct sp_tls **ret,
                                 struct sc_error *error);

/* Client, before start(): resumes with a ticket of sp_tls_ops.ticket(), and offers 0-RTT if the
 * ticket allows it and `wants_early`.  Then only the application protocol of the ticket is offered.
 * `ticket` is copied.  Returns 0, or with nothing changed:
 *   -EINVAL  It is no ticket of ours, or cut.
 *   -ESTALE  It has expired, or is for another server name, version or application protocol, or
 *            was given to an insecure configuration and this one is not. */
SB_MUST_USE int sc_tls_resume(struct sp_tls *tls, struct sb_bytes ticket, bool wants_early);
/* The server's encoded transport parameters that 0-RTT keeps to; empty if none is offered. */
struct sb_bytes sc_tls_early_params(const struct sp_tls *tls);
/* Sets the version of QUIC that the connection begins with: tickets of others are not used.
 * [RFC9369 5]  Before start() and sc_tls_resume(). */
void sc_tls_set_version(struct sp_tls *tls, uint32_t version);
/* Whether a ticket was used; valid from COMPLETE on. */
bool sc_tls_is_resumed(const struct sp_tls *tls);

/* What was negotiated.  Valid from COMPLETE until destroy(); before, and after a failed
 * handshake, empty or NULL, but for what the client said.  A server has the protocol
 * with the keys of 0-RTT.  It is a part of the configuration, and a zero follows it. */
struct sb_bytes sc_tls_alpn(const struct sp_tls *tls);
enum sp_suite sc_tls_suite(const struct sp_tls *tls);
const char *sc_tls_group(const struct sp_tls *tls);       /* "x25519"; never NULL */
const char *sc_tls_server_name(const struct sp_tls *tls); /* what the client said; or NULL */
/* The peer's own certificate as DER; size 0 if it gave none. */
struct sb_bytes sc_tls_peer_certificate(const struct sp_tls *tls);

/* A certificate of the peer's chain as DER, the leaf at index 0; size 0 if there is none.  Others
 * than the leaf are kept with `keeps_peer_chain` only. */
struct sb_bytes sc_tls_peer_chain(const struct sp_tls *tls, size_t index);

enum { SC_EXPORT_BYTES_MAX = 8160 }; /* 255 blocks of SHA-256 [RFC5869 2.3] */

/* Derives `size` bytes, which both sides can and nobody else, from the handshake.  [RFC8446 7.5]
 * Valid from COMPLETE on.  Returns 0, or -EINVAL if `label` is empty or has more than 249 bytes or
 * if `size` is 0 or above SC_EXPORT_BYTES_MAX; -ENOTCONN before; -ENOMEM. */
SB_MUST_USE int sc_tls_export(const struct sp_tls *tls, struct sb_bytes label,
                              struct sb_bytes context, uint8_t *ret, size_t size);

/* After ALERT: why, in one line; NULL otherwise. */
const char *sc_tls_error(const struct sp_tls *tls);

#endif
