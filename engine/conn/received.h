/* SPDX-License-Identifier: MIT */
#ifndef SE_RECEIVED_H
#define SE_RECEIVED_H

struct sp_event;
struct spate_conn;

/* Queues the events of received bytes, which the application gets as slices.  There is room for one
 * event. */

/* SP_EVENT_STREAM_DATA: as STREAM_DATA, or as a STREAM_BATCH. */
void se_received_push_data(struct spate_conn *conn, const struct sp_event *reported);
void se_received_push_data_batch(struct spate_conn *conn, const struct sp_event *reported);

/* SP_EVENT_MESSAGE: as DATAGRAM, or as a DATAGRAM_BATCH. */
void se_received_push_message(struct spate_conn *conn, const struct sp_event *reported);
void se_received_push_message_batch(struct spate_conn *conn, const struct sp_event *reported);

#endif
