/* SPDX-License-Identifier: MIT */
#ifndef QS_ORACLE_HELD_H
#define QS_ORACLE_HELD_H

#include "proto/conn/conn.h"
#include "test/sim/trace.h"

/* Fails the run if a connection holds more for the peer's credit than sp_conn_held_bytes() says.
 * The application must not hold a slice whose credit it has given back. */
void qs_oracle_check_held(struct qs_trace *trace, const char *who, const struct sp_conn *conn);

#endif
