/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_PREFETCH_H
#define SP_CONN_PREFETCH_H

#include <stdint.h>

struct sp_conn;
struct sp_open;

/* Ask the processor to fetch what sp_conn_receive() and sp_conn_send() touch of a connection whose
 * turn is soon.  They change nothing, wait for nothing, and are of no use for a connection that was
 * served a moment ago.
 *
 * A host that goes through a list of connections calls the first for the one after the next, and
 * the second for the next one: it reads what the first has fetched. */

/* The connection itself. */
void sp_conn_prefetch(const struct sp_conn *conn);

/* What it points to: its keys, and the stream that is next in the schedule. */
void sp_conn_prefetch_rest(const struct sp_conn *conn);

/* The streams whose bytes are in packets that were opened: for a connection with many. */
void sp_conn_prefetch_streams(const struct sp_conn *conn, const struct sp_open *opens,
                              uint32_t count);

#endif
