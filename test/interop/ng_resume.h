/* SPDX-License-Identifier: MIT */
#ifndef INTEROP_NG_RESUME_H
#define INTEROP_NG_RESUME_H

#include "test/interop/ng_tls.h"

/* Resumption and 0-RTT of the ngtcp2 peer.  A client keeps its session in a file:
 *
 *     size of the parameters (4 bytes, big endian) | the server's transport parameters | session
 */

/* Before the session of a server: --early accepts 0-RTT. */
int ng_resume_init_server(struct ng_tls *tls);
int ng_resume_configure_server(struct ng_tls_session *session);
void ng_resume_deinit(struct ng_tls *tls);

/* A client's session with --session: keeps the ticket that comes. */
void ng_resume_watch(struct ng_tls_session *session);

/* Uses the file of --session, if there is one; with --early for 0-RTT too.  Returns 0, or -1 after
 * one line on standard error. */
int ng_resume_begin(struct ng_tls_session *session, ngtcp2_conn *quic);

#endif
