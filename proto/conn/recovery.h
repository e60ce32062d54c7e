/* SPDX-License-Identifier: MIT */
#ifndef SP_CONN_RECOVERY_H
#define SP_CONN_RECOVERY_H

#include "proto/conn/impl.h"

/* Skips a packet number, if it is time to, and decides when the next one is skipped. */
void sp_conn_skip_number(struct sp_conn *conn);
void sp_conn_on_outcome(struct sp_conn *conn, enum sp_space space,
                        const struct sp_loss_outcome *outcome, uint64_t now_ns);
/* Takes packets of `space` out of flight and frees their frames.  Ends when none is left, or when
 * `*steps`, which counts packets and frames down, is 0. */
void sp_conn_forget_packets(struct sp_conn *conn, enum sp_space space, uint32_t *steps);
void sp_conn_free_frames(struct sp_conn *conn, struct sp_sent_frame *frames);
/* Queues the frames of `count` packets in flight of `space` for retransmission: of those that
 * follow the ones of the last call. */
void sp_conn_retransmit_probed(struct sp_conn *conn, enum sp_space space, uint32_t count);
/* Server: queues all CRYPTO bytes in flight once more, because the client repeats its ClientHello.
 * Does nothing shortly after they left, or SP_FLIGHT_RESENDS_MAX times. */
void sp_conn_resend_flight(struct sp_conn *conn, uint64_t now_ns);
void sp_conn_retransmit_all(struct sp_conn *conn, enum sp_space space,
                            struct sp_sent_frame *frames);

#endif
