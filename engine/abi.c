/* SPDX-License-Identifier: MIT */
#include <spate/spate.h>

/* What must not change while the library is libspate.so.0: a change does not compile.
 *
 * Events and slices come in arrays, some of them millions of times per second.  So they have no
 * size member, and their layout is frozen.  If a later field of an event does not fit into the 56
 * bytes of its union, the union will hold a pointer to it.
 *
 * Other structs grow at their end (engine/config/sized.h).  Their fields keep their offsets and
 * sizes, and the last field ends with the struct.  A new field or enumerator gets its line here in
 * the release that adds it; test/unit/engine/test_public_api.py checks that. */

/* On LP64, which is every 64-bit Linux. */
#if __SIZEOF_POINTER__ == 8
#define FROZEN_SIZE(type, bytes) _Static_assert(sizeof(type) == (bytes), "frozen")
#define FROZEN(type, member, at) _Static_assert(offsetof(type, member) == (at), "frozen")
#define FROZEN_FIELD(type, member, at, bytes) \
    _Static_assert(offsetof(type, member) == (at) && sizeof(((type *)0)->member) == (bytes), \
                   "frozen")
#define LAST_FIELD(type, member) \
    _Static_assert(sizeof(type) == offsetof(type, member) + sizeof(((type *)0)->member), \
                   "frozen: this is the end")
#define FROZEN_VALUE(name, value) _Static_assert((name) == (value), "frozen")
/* clang-format off */

FROZEN_SIZE(struct spate_error, 256);

FROZEN_SIZE(struct spate_histogram, 32 + 8 * 4608);
FROZEN_FIELD(struct spate_histogram, count, 0, 8);
FROZEN_FIELD(struct spate_histogram, min, 8, 8);
FROZEN_FIELD(struct spate_histogram, max, 16, 8);
FROZEN_FIELD(struct spate_histogram, sum, 24, 8);
FROZEN_FIELD(struct spate_histogram, counts, 32, 8 * 4608);

FROZEN_SIZE(struct spate_slice, 40);
FROZEN(struct spate_slice, data, 0);
FROZEN(struct spate_slice, size, 8);
FROZEN(struct spate_slice, buffer, 16);
FROZEN(struct spate_slice, conn_ref, 24);
FROZEN(struct spate_slice, stream_id, 32);

FROZEN_SIZE(struct spate_datagram_result, 16);
FROZEN(struct spate_datagram_result, tag, 0);
FROZEN(struct spate_datagram_result, size, 8);
FROZEN(struct spate_datagram_result, fate, 12);

FROZEN_SIZE(struct spate_slot, 16);
FROZEN(struct spate_slot, data, 0);
FROZEN(struct spate_slot, size, 8);

FROZEN_SIZE(struct spate_given, 24);
FROZEN(struct spate_given, size, 0);
FROZEN(struct spate_given, segment_size, 4);
FROZEN(struct spate_given, ecn, 6);
FROZEN(struct spate_given, reserved, 7);
FROZEN(struct spate_given, local, 8);
FROZEN(struct spate_given, peer, 16);

FROZEN_SIZE(struct spate_train, 288);
FROZEN(struct spate_train, data, 0);
FROZEN(struct spate_train, size, 8);
FROZEN(struct spate_train, segment_size, 12);
FROZEN(struct spate_train, ecn, 16);
FROZEN(struct spate_train, reserved, 17);
FROZEN(struct spate_train, local, 24);
FROZEN(struct spate_train, peer, 152);
FROZEN(struct spate_train, id, 280);

FROZEN_SIZE(struct spate_close, 24);
FROZEN(struct spate_close, kind, 0);
FROZEN(struct spate_close, is_local, 4);
FROZEN(struct spate_close, error, 8);
FROZEN(struct spate_close, reason, 16);

FROZEN_SIZE(struct spate_event, 96);
FROZEN_SIZE(((struct spate_event *)0)->u, 56);
FROZEN(struct spate_event, kind, 0); FROZEN(struct spate_event, conn, 8);
FROZEN(struct spate_event, conn_user, 16); FROZEN(struct spate_event, stream_id, 24);
FROZEN(struct spate_event, stream_user, 32); FROZEN(struct spate_event, u, 40);
FROZEN(struct spate_event, u.data.slice, 40); FROZEN(struct spate_event, u.data.offset, 80);
FROZEN(struct spate_event, u.data.fin, 88); FROZEN(struct spate_event, u.data.early, 89);
FROZEN(struct spate_event, u.placed.data, 40); FROZEN(struct spate_event, u.placed.size, 48);
FROZEN(struct spate_event, u.placed.offset, 56); FROZEN(struct spate_event, u.placed.tag, 64);
FROZEN(struct spate_event, u.placed.fin, 72); FROZEN(struct spate_event, u.placed.is_returned, 73);
FROZEN(struct spate_event, u.placed.early, 74); FROZEN(struct spate_event, u.sent.tag, 40);
FROZEN(struct spate_event, u.sent.size, 48); FROZEN(struct spate_event, u.sent.is_acked, 56);
FROZEN(struct spate_event, u.datagram.slice, 40); FROZEN(struct spate_event, u.batch.slices, 40);
FROZEN(struct spate_event, u.batch.count, 48); FROZEN(struct spate_event, u.batch.size_bytes, 56);
FROZEN(struct spate_event, u.batch.offset, 64); FROZEN(struct spate_event, u.batch.fin, 72);
FROZEN(struct spate_event, u.batch.early, 73);
FROZEN(struct spate_event, u.datagrams_sent.results, 40);
FROZEN(struct spate_event, u.datagrams_sent.count, 48);
FROZEN(struct spate_event, u.bytes.data, 40); FROZEN(struct spate_event, u.bytes.size, 48);
FROZEN(struct spate_event, u.error, 40); FROZEN(struct spate_event, u.is_uni, 40);
FROZEN(struct spate_event, u.close, 40);

FROZEN_SIZE(struct spate_ring_op, 32);
FROZEN(struct spate_ring_op, sqe, 0); FROZEN(struct spate_ring_op, handler, 8);
FROZEN(struct spate_ring_op, user, 16); FROZEN(struct spate_ring_op, id, 24);

FROZEN_SIZE(struct spate_result, 128);
FROZEN(struct spate_result, command, 0);
FROZEN(struct spate_result, result, 4);
FROZEN(struct spate_result, tag, 8);
FROZEN(struct spate_result, conn_id, 16);
FROZEN(struct spate_result, event, 24);
FROZEN(struct spate_result, fate, 120);
FROZEN(struct spate_result, reserved, 124);

/* Structs that grow: their size comes first, or goes along with the call. */
FROZEN_FIELD(struct spate_config, size, 0, 8);
FROZEN_FIELD(struct spate_config, shard_count, 8, 4);
FROZEN_FIELD(struct spate_config, cpus, 16, 8);
FROZEN_FIELD(struct spate_config, backend, 24, 4);
FROZEN_FIELD(struct spate_config, crypto, 28, 4);
FROZEN_FIELD(struct spate_config, conns_max, 32, 4);
FROZEN_FIELD(struct spate_config, handshakes_max, 36, 4);
FROZEN_FIELD(struct spate_config, memory_bytes_max, 40, 8);
FROZEN_FIELD(struct spate_config, receive_slots, 48, 4);
FROZEN_FIELD(struct spate_config, transmit_slots, 52, 4);
FROZEN_FIELD(struct spate_config, socket_buffer_bytes, 56, 4);
FROZEN_FIELD(struct spate_config, idle_timeout_ns, 64, 8);
FROZEN_FIELD(struct spate_config, handshake_timeout_ns, 72, 8);
FROZEN_FIELD(struct spate_config, ack_delay_ns_max, 80, 8);
FROZEN_FIELD(struct spate_config, datagram_size_max, 88, 4);
FROZEN_FIELD(struct spate_config, stream_window_bytes, 96, 8);
FROZEN_FIELD(struct spate_config, stream_window_bytes_max, 104, 8);
FROZEN_FIELD(struct spate_config, conn_window_bytes, 112, 8);
FROZEN_FIELD(struct spate_config, conn_window_bytes_max, 120, 8);
FROZEN_FIELD(struct spate_config, streams_bidi_max, 128, 4);
FROZEN_FIELD(struct spate_config, streams_uni_max, 132, 4);
FROZEN_FIELD(struct spate_config, streams_local_max, 136, 4);
FROZEN_FIELD(struct spate_config, spin_ns, 144, 8);
FROZEN_FIELD(struct spate_config, pacing, 152, 1);
FROZEN_FIELD(struct spate_config, ecn, 153, 1);
FROZEN_FIELD(struct spate_config, zero_copy, 154, 1);
FROZEN_FIELD(struct spate_config, gso, 155, 1);
FROZEN_FIELD(struct spate_config, reserved, 156, 4);
FROZEN_FIELD(struct spate_config, retry, 160, 4);
FROZEN_FIELD(struct spate_config, token_key, 164, 32);
FROZEN_FIELD(struct spate_config, reserved_2, 196, 4);
FROZEN_FIELD(struct spate_config, keep_alive_ns, 200, 8);
FROZEN_FIELD(struct spate_config, reset_key, 208, 32);
FROZEN_FIELD(struct spate_config, message_frame_size_max, 240, 4);
FROZEN_FIELD(struct spate_config, message_count_max, 244, 4);
FROZEN_FIELD(struct spate_config, message_bytes_max, 248, 8);
FROZEN_FIELD(struct spate_config, versions, 256, 4);
FROZEN_FIELD(struct spate_config, grease, 260, 1);
FROZEN_FIELD(struct spate_config, spin_bit, 261, 1);
FROZEN_FIELD(struct spate_config, ack_frequency, 262, 1);
FROZEN_FIELD(struct spate_config, reserved_3, 263, 1);
FROZEN_FIELD(struct spate_config, key_update_packets, 264, 8);
FROZEN_FIELD(struct spate_config, congestion, 272, 4);
FROZEN_FIELD(struct spate_config, reserved_4, 276, 4);
FROZEN_FIELD(struct spate_config, fixed_rate_bytes_per_s, 280, 8);
FROZEN_FIELD(struct spate_config, migration, 288, 1);
FROZEN_FIELD(struct spate_config, follow_preferred, 289, 1);
FROZEN_FIELD(struct spate_config, event_batches, 290, 1);
FROZEN_FIELD(struct spate_config, reserved_5, 291, 5);
FROZEN_FIELD(struct spate_config, conn_rate_bytes_per_s_max, 296, 8);
FROZEN_FIELD(struct spate_config, shard_rate_bytes_per_s_max, 304, 8);
FROZEN_FIELD(struct spate_config, kernel_pacing, 312, 4);
FROZEN_FIELD(struct spate_config, initial_window_packets, 316, 4);
FROZEN_FIELD(struct spate_config, initial_rtt_ns, 320, 8);
FROZEN_FIELD(struct spate_config, engine_rate_bytes_per_s_max, 328, 8);
FROZEN_FIELD(struct spate_config, resume_path_ns, 336, 8);
FROZEN_FIELD(struct spate_config, pinning, 344, 4);
FROZEN_FIELD(struct spate_config, hand_over, 348, 1);
FROZEN_FIELD(struct spate_config, reserved_6, 349, 3);
FROZEN_FIELD(struct spate_config, quic_lb, 352, 8);
FROZEN_FIELD(struct spate_config, operations_max, 360, 4);
FROZEN_FIELD(struct spate_config, reserved_7, 364, 4);
FROZEN_FIELD(struct spate_config, lent_ring, 368, 8);
FROZEN_FIELD(struct spate_config, receive_stamps, 376, 1);
FROZEN_FIELD(struct spate_config, reserved_8, 377, 7);
FROZEN_FIELD(struct spate_config, stat_file, 384, 8);
FROZEN_FIELD(struct spate_config, qlog, 392, 8);
FROZEN_FIELD(struct spate_config, log, 400, 8);
LAST_FIELD(struct spate_config, log);

FROZEN_FIELD(struct spate_log, size, 0, 8);
FROZEN_FIELD(struct spate_log, write, 8, 8);
FROZEN_FIELD(struct spate_log, user, 16, 8);
FROZEN_FIELD(struct spate_log, interval_ns, 24, 8);
FROZEN_FIELD(struct spate_log, level, 32, 4);
FROZEN_FIELD(struct spate_log, reserved, 36, 4);
FROZEN_FIELD(struct spate_log, turn_ns, 40, 8);
LAST_FIELD(struct spate_log, turn_ns);
FROZEN_VALUE(SPATE_LOG_ERROR, 1);
FROZEN_VALUE(SPATE_LOG_WARNING, 2);
FROZEN_VALUE(SPATE_LOG_INFO, 3);

FROZEN_FIELD(struct spate_qlog, size, 0, 8);
FROZEN_FIELD(struct spate_qlog, dir, 8, 8);
FROZEN_FIELD(struct spate_qlog, peers, 16, 8);
FROZEN_FIELD(struct spate_qlog, one_in, 24, 4);
FROZEN_FIELD(struct spate_qlog, files_max, 28, 4);
FROZEN_FIELD(struct spate_qlog, file_bytes_max, 32, 8);
FROZEN_FIELD(struct spate_qlog, bytes_max, 40, 8);
FROZEN_FIELD(struct spate_qlog, ring_bytes, 48, 8);
FROZEN_FIELD(struct spate_qlog, udp_datagrams, 56, 1);
FROZEN_FIELD(struct spate_qlog, reserved, 57, 7);
LAST_FIELD(struct spate_qlog, reserved);

FROZEN_FIELD(struct spate_lent_ring, size, 0, 8);
FROZEN_FIELD(struct spate_lent_ring, ring, 8, 8);
FROZEN_FIELD(struct spate_lent_ring, tag_mask, 16, 8);
FROZEN_FIELD(struct spate_lent_ring, tag, 24, 8);
FROZEN_FIELD(struct spate_lent_ring, file_first, 32, 4);
FROZEN_FIELD(struct spate_lent_ring, buffer_group, 36, 2);
FROZEN_FIELD(struct spate_lent_ring, reserved, 38, 2);
LAST_FIELD(struct spate_lent_ring, reserved);

FROZEN_FIELD(struct spate_quic_lb, size, 0, 8);
FROZEN_FIELD(struct spate_quic_lb, config_id, 8, 1);
FROZEN_FIELD(struct spate_quic_lb, server_id_size, 9, 1);
FROZEN_FIELD(struct spate_quic_lb, nonce_size, 10, 1);
FROZEN_FIELD(struct spate_quic_lb, encodes_length, 11, 1);
FROZEN_FIELD(struct spate_quic_lb, is_encrypted, 12, 1);
FROZEN_FIELD(struct spate_quic_lb, server_id, 13, 15);
FROZEN_FIELD(struct spate_quic_lb, key, 28, 16);
FROZEN_FIELD(struct spate_quic_lb, reserved, 44, 4);
LAST_FIELD(struct spate_quic_lb, reserved);
FROZEN_VALUE(SPATE_QUIC_LB_UNROUTABLE, 7);

FROZEN_FIELD(struct spate_channel_options, size, 0, 8);
FROZEN_FIELD(struct spate_channel_options, commands_max, 8, 4);
FROZEN_FIELD(struct spate_channel_options, results_max, 12, 4);
LAST_FIELD(struct spate_channel_options, results_max);

FROZEN_FIELD(struct spate_handlers, size, 0, 8);
FROZEN_FIELD(struct spate_handlers, on_start, 8, 8);
FROZEN_FIELD(struct spate_handlers, on_events, 16, 8);
FROZEN_FIELD(struct spate_handlers, on_stop, 24, 8);
FROZEN_FIELD(struct spate_handlers, user, 32, 8);
FROZEN_FIELD(struct spate_handlers, on_error, 40, 8);
LAST_FIELD(struct spate_handlers, on_error);

FROZEN_FIELD(struct spate_tls_options, size, 0, 8);
FROZEN_FIELD(struct spate_tls_options, cert_file, 8, 8);
FROZEN_FIELD(struct spate_tls_options, key_file, 16, 8);
FROZEN_FIELD(struct spate_tls_options, cert_pem, 24, 8);
FROZEN_FIELD(struct spate_tls_options, key_pem, 32, 8);
FROZEN_FIELD(struct spate_tls_options, ca_file, 40, 8);
FROZEN_FIELD(struct spate_tls_options, ca_pem, 48, 8);
FROZEN_FIELD(struct spate_tls_options, insecure, 56, 1);
FROZEN_FIELD(struct spate_tls_options, client_auth, 60, 4);
FROZEN_FIELD(struct spate_tls_options, alpn, 64, 8);
FROZEN_FIELD(struct spate_tls_options, alpn_count, 72, 8);
FROZEN_FIELD(struct spate_tls_options, ciphers, 80, 4);
FROZEN_FIELD(struct spate_tls_options, keylog_file, 88, 8);
FROZEN_FIELD(struct spate_tls_options, cert, 96, 8);
FROZEN_FIELD(struct spate_tls_options, certs, 104, 8);
FROZEN_FIELD(struct spate_tls_options, cert_count, 112, 8);
FROZEN_FIELD(struct spate_tls_options, unknown_name, 120, 4);
FROZEN_FIELD(struct spate_tls_options, verify, 124, 4);
FROZEN_FIELD(struct spate_tls_options, on_cert, 128, 8);
FROZEN_FIELD(struct spate_tls_options, on_verify, 136, 8);
FROZEN_FIELD(struct spate_tls_options, ask_user, 144, 8);
FROZEN_FIELD(struct spate_tls_options, keep_peer_chain, 152, 1);
FROZEN_FIELD(struct spate_tls_options, reserved, 153, 7);
FROZEN_FIELD(struct spate_tls_options, ticket_keys, 160, 8);
FROZEN_FIELD(struct spate_tls_options, ticket_key_count, 168, 8);
FROZEN_FIELD(struct spate_tls_options, on_early, 176, 8);
FROZEN_FIELD(struct spate_tls_options, early_user, 184, 8);
FROZEN_FIELD(struct spate_tls_options, ticket_count, 192, 4);
FROZEN_FIELD(struct spate_tls_options, ticket_lifetime_s, 196, 4);
FROZEN_FIELD(struct spate_tls_options, early_hellos_max, 200, 4);
FROZEN_FIELD(struct spate_tls_options, early_data, 204, 1);
FROZEN_FIELD(struct spate_tls_options, reserved_2, 205, 3);
FROZEN_FIELD(struct spate_tls_options, verified_life_s, 208, 4);
FROZEN_FIELD(struct spate_tls_options, reserved_3, 212, 4);
LAST_FIELD(struct spate_tls_options, reserved_3);

FROZEN_FIELD(struct spate_connect_options, size, 0, 8);
FROZEN_FIELD(struct spate_connect_options, address, 8, 8);
FROZEN_FIELD(struct spate_connect_options, address_size, 16, 4);
FROZEN_FIELD(struct spate_connect_options, early, 20, 1);
FROZEN_FIELD(struct spate_connect_options, reserved, 21, 3);
FROZEN_FIELD(struct spate_connect_options, server_name, 24, 8);
FROZEN_FIELD(struct spate_connect_options, tls, 32, 8);
FROZEN_FIELD(struct spate_connect_options, user, 40, 8);
FROZEN_FIELD(struct spate_connect_options, ticket, 48, 8);
FROZEN_FIELD(struct spate_connect_options, ticket_size, 56, 8);
FROZEN_FIELD(struct spate_connect_options, token, 64, 8);
FROZEN_FIELD(struct spate_connect_options, token_size, 72, 8);
FROZEN_FIELD(struct spate_connect_options, settings, 80, 8);
FROZEN_FIELD(struct spate_connect_options, socket_group, 88, 4);
FROZEN_FIELD(struct spate_connect_options, reserved_2, 92, 4);
LAST_FIELD(struct spate_connect_options, reserved_2);

FROZEN_FIELD(struct spate_datagram, size, 0, 8);
FROZEN_FIELD(struct spate_datagram, head, 8, 8);
FROZEN_FIELD(struct spate_datagram, head_size, 16, 8);
FROZEN_FIELD(struct spate_datagram, data, 24, 8);
FROZEN_FIELD(struct spate_datagram, data_size, 32, 8);
FROZEN_FIELD(struct spate_datagram, tag, 40, 8);
FROZEN_FIELD(struct spate_datagram, deadline_ns, 48, 8);
FROZEN_FIELD(struct spate_datagram, flags, 56, 4);
FROZEN_FIELD(struct spate_datagram, reserved, 60, 4);
LAST_FIELD(struct spate_datagram, reserved);
FROZEN_FIELD(struct spate_listen_options, size, 0, 8);
FROZEN_FIELD(struct spate_listen_options, address, 8, 8);
FROZEN_FIELD(struct spate_listen_options, address_size, 16, 4);
FROZEN_FIELD(struct spate_listen_options, reserved, 20, 4);
FROZEN_FIELD(struct spate_listen_options, tls, 24, 8);
FROZEN_FIELD(struct spate_listen_options, user, 32, 8);
FROZEN_FIELD(struct spate_listen_options, settings, 40, 8);
FROZEN_FIELD(struct spate_listen_options, fds, 48, 8);
FROZEN_FIELD(struct spate_listen_options, fd_count, 56, 4);
FROZEN_FIELD(struct spate_listen_options, reserved_2, 60, 4);
LAST_FIELD(struct spate_listen_options, reserved_2);

FROZEN_FIELD(struct spate_stream_progress, queued_bytes, 0, 8);
FROZEN_FIELD(struct spate_stream_progress, credit_bytes, 8, 8);
FROZEN_FIELD(struct spate_stream_progress, sent_bytes, 16, 8);
FROZEN_FIELD(struct spate_stream_progress, acked_bytes, 24, 8);
FROZEN_FIELD(struct spate_stream_progress, fin_queued, 32, 1);
FROZEN_FIELD(struct spate_stream_progress, fin_acked, 33, 1);
FROZEN_FIELD(struct spate_stream_progress, reserved, 34, 6);
FROZEN_FIELD(struct spate_stream_progress, wanted_bytes, 40, 8);
LAST_FIELD(struct spate_stream_progress, wanted_bytes);

FROZEN_FIELD(struct spate_cert_options, size, 0, 8);
FROZEN_FIELD(struct spate_cert_options, cert_file, 8, 8);
FROZEN_FIELD(struct spate_cert_options, cert_pem, 16, 8);
FROZEN_FIELD(struct spate_cert_options, key_file, 24, 8);
FROZEN_FIELD(struct spate_cert_options, key_pem, 32, 8);
FROZEN_FIELD(struct spate_cert_options, key_password, 40, 8);
FROZEN_FIELD(struct spate_cert_options, on_sign, 48, 8);
FROZEN_FIELD(struct spate_cert_options, on_sign_user, 56, 8);
LAST_FIELD(struct spate_cert_options, on_sign_user);

FROZEN_FIELD(struct spate_cert_entry, name, 0, 8);
FROZEN_FIELD(struct spate_cert_entry, cert, 8, 8);
FROZEN_SIZE(struct spate_cert_entry, 16);
FROZEN_FIELD(struct spate_der, data, 0, 8);
FROZEN_FIELD(struct spate_der, size, 8, 8);
FROZEN_SIZE(struct spate_der, 16);

FROZEN_FIELD(struct spate_ask, size, 0, 8);
FROZEN_FIELD(struct spate_ask, shard, 8, 8);
FROZEN_FIELD(struct spate_ask, conn_id, 16, 8);
FROZEN_FIELD(struct spate_ask, conn_user, 24, 8);
FROZEN_FIELD(struct spate_ask, server_name, 32, 8);
FROZEN_FIELD(struct spate_ask, alpn, 40, 8);
FROZEN_FIELD(struct spate_ask, schemes, 48, 8);
FROZEN_FIELD(struct spate_ask, scheme_count, 56, 8);
FROZEN_FIELD(struct spate_ask, data, 64, 8);
FROZEN_FIELD(struct spate_ask, data_size, 72, 8);
FROZEN_FIELD(struct spate_ask, chain, 80, 8);
FROZEN_FIELD(struct spate_ask, chain_count, 88, 8);
FROZEN_FIELD(struct spate_ask, chain_error, 96, 8);
FROZEN_FIELD(struct spate_ask, scheme, 104, 2);
FROZEN_FIELD(struct spate_ask, is_server, 106, 1);
FROZEN_FIELD(struct spate_ask, reserved, 107, 5);
LAST_FIELD(struct spate_ask, reserved);

FROZEN_FIELD(struct spate_self_signed_options, size, 0, 8);
FROZEN_FIELD(struct spate_self_signed_options, key_type, 8, 4);
FROZEN_FIELD(struct spate_self_signed_options, names, 16, 8);
FROZEN_FIELD(struct spate_self_signed_options, name_count, 24, 8);
FROZEN_FIELD(struct spate_self_signed_options, days, 32, 4);
FROZEN_FIELD(struct spate_self_signed_options, reserved, 36, 4);
LAST_FIELD(struct spate_self_signed_options, reserved);

FROZEN_FIELD(struct spate_conn_stats, datagrams_in, 0, 8);
FROZEN_FIELD(struct spate_conn_stats, bytes_in, 8, 8);
FROZEN_FIELD(struct spate_conn_stats, packets_in, 16, 8);
FROZEN_FIELD(struct spate_conn_stats, packets_dropped, 24, 8);
FROZEN_FIELD(struct spate_conn_stats, packets_duplicate, 32, 8);
FROZEN_FIELD(struct spate_conn_stats, acks_in, 40, 8);
FROZEN_FIELD(struct spate_conn_stats, datagrams_out, 48, 8);
FROZEN_FIELD(struct spate_conn_stats, bytes_out, 56, 8);
FROZEN_FIELD(struct spate_conn_stats, packets_out, 64, 8);
FROZEN_FIELD(struct spate_conn_stats, packets_lost, 72, 8);
FROZEN_FIELD(struct spate_conn_stats, packets_spurious, 80, 8);
FROZEN_FIELD(struct spate_conn_stats, acks_out, 88, 8);
FROZEN_FIELD(struct spate_conn_stats, ptos, 96, 8);
FROZEN_FIELD(struct spate_conn_stats, persistent_congestions, 104, 8);
FROZEN_FIELD(struct spate_conn_stats, key_updates, 112, 8);
FROZEN_FIELD(struct spate_conn_stats, streams_opened, 120, 8);
FROZEN_FIELD(struct spate_conn_stats, stream_bytes_in, 128, 8);
FROZEN_FIELD(struct spate_conn_stats, stream_bytes_out, 136, 8);
FROZEN_FIELD(struct spate_conn_stats, stream_bytes_acked, 144, 8);
FROZEN_FIELD(struct spate_conn_stats, placed_in_bytes, 152, 8);
FROZEN_FIELD(struct spate_conn_stats, copied_in_bytes, 160, 8);
FROZEN_FIELD(struct spate_conn_stats, copied_out_bytes, 168, 8);
FROZEN_FIELD(struct spate_conn_stats, rtt_smoothed_ns, 176, 8);
FROZEN_FIELD(struct spate_conn_stats, rtt_min_ns, 184, 8);
FROZEN_FIELD(struct spate_conn_stats, rtt_variance_ns, 192, 8);
FROZEN_FIELD(struct spate_conn_stats, cwnd_bytes, 200, 8);
FROZEN_FIELD(struct spate_conn_stats, in_flight_bytes, 208, 8);
FROZEN_FIELD(struct spate_conn_stats, memory_bytes, 216, 8);
FROZEN_FIELD(struct spate_conn_stats, datagram_bytes, 224, 8);
FROZEN_FIELD(struct spate_conn_stats, mtu_fallbacks, 232, 8);
FROZEN_FIELD(struct spate_conn_stats, messages_in, 240, 8);
FROZEN_FIELD(struct spate_conn_stats, messages_dropped, 248, 8);
FROZEN_FIELD(struct spate_conn_stats, messages_out, 256, 8);
FROZEN_FIELD(struct spate_conn_stats, messages_acked, 264, 8);
FROZEN_FIELD(struct spate_conn_stats, messages_lost, 272, 8);
FROZEN_FIELD(struct spate_conn_stats, messages_expired, 280, 8);
FROZEN_FIELD(struct spate_conn_stats, congestion, 288, 8);
FROZEN_FIELD(struct spate_conn_stats, pacing_rate, 296, 8);
FROZEN_FIELD(struct spate_conn_stats, ack_frequencies_in, 304, 8);
FROZEN_FIELD(struct spate_conn_stats, ack_frequencies_out, 312, 8);
FROZEN_FIELD(struct spate_conn_stats, resume_phase, 320, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_shard_ns, 328, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_idle_ns, 336, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_application_ns, 344, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_ack_delay_ns, 352, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_cwnd_ns, 360, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_pacer_ns, 368, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_limit_ns, 376, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_amplification_ns, 384, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_conn_credit_ns, 392, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_stream_credit_ns, 400, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_key_ns, 408, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_memory_ns, 416, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_slot_ns, 424, 8);
FROZEN_FIELD(struct spate_conn_stats, waited_closed_ns, 432, 8);
FROZEN_FIELD(struct spate_conn_stats, waits_for, 440, 8);
FROZEN_FIELD(struct spate_conn_stats, held_bytes, 448, 8);
LAST_FIELD(struct spate_conn_stats, held_bytes);

FROZEN_FIELD(struct spate_shard_stats, turns, 0, 8);
FROZEN_FIELD(struct spate_shard_stats, syscalls, 8, 8);
FROZEN_FIELD(struct spate_shard_stats, sleeps, 16, 8);
FROZEN_FIELD(struct spate_shard_stats, spun_ns, 24, 8);
FROZEN_FIELD(struct spate_shard_stats, datagrams_in, 32, 8);
FROZEN_FIELD(struct spate_shard_stats, bytes_in, 40, 8);
FROZEN_FIELD(struct spate_shard_stats, receives, 48, 8);
FROZEN_FIELD(struct spate_shard_stats, receive_enobufs, 56, 8);
FROZEN_FIELD(struct spate_shard_stats, receive_rearms, 64, 8);
FROZEN_FIELD(struct spate_shard_stats, receive_truncated, 72, 8);
FROZEN_FIELD(struct spate_shard_stats, kernel_drops, 80, 8);
FROZEN_FIELD(struct spate_shard_stats, datagrams_copied, 88, 8);
FROZEN_FIELD(struct spate_shard_stats, receive_dropped, 96, 8);
FROZEN_FIELD(struct spate_shard_stats, unroutable, 104, 8);
FROZEN_FIELD(struct spate_shard_stats, version_negotiations, 112, 8);
FROZEN_FIELD(struct spate_shard_stats, stateless_resets, 120, 8);
FROZEN_FIELD(struct spate_shard_stats, datagrams_out, 128, 8);
FROZEN_FIELD(struct spate_shard_stats, bytes_out, 136, 8);
FROZEN_FIELD(struct spate_shard_stats, sends, 144, 8);
FROZEN_FIELD(struct spate_shard_stats, send_errors, 152, 8);
FROZEN_FIELD(struct spate_shard_stats, gso_fallbacks, 160, 8);
FROZEN_FIELD(struct spate_shard_stats, zero_copies, 168, 8);
FROZEN_FIELD(struct spate_shard_stats, zero_copies_copied, 176, 8);
FROZEN_FIELD(struct spate_shard_stats, conns_accepted, 184, 8);
FROZEN_FIELD(struct spate_shard_stats, conns_refused, 192, 8);
FROZEN_FIELD(struct spate_shard_stats, handshakes_dropped, 200, 8);
FROZEN_FIELD(struct spate_shard_stats, handshakes_done, 208, 8);
FROZEN_FIELD(struct spate_shard_stats, handshakes_failed, 216, 8);
FROZEN_FIELD(struct spate_shard_stats, packets_in, 224, 8);
FROZEN_FIELD(struct spate_shard_stats, packets_out, 232, 8);
FROZEN_FIELD(struct spate_shard_stats, packets_lost, 240, 8);
FROZEN_FIELD(struct spate_shard_stats, acks_in, 248, 8);
FROZEN_FIELD(struct spate_shard_stats, acks_out, 256, 8);
FROZEN_FIELD(struct spate_shard_stats, placed_in_bytes, 264, 8);
FROZEN_FIELD(struct spate_shard_stats, copied_in_bytes, 272, 8);
FROZEN_FIELD(struct spate_shard_stats, copied_out_bytes, 280, 8);
FROZEN_FIELD(struct spate_shard_stats, allocations, 288, 8);
FROZEN_FIELD(struct spate_shard_stats, conns_now, 296, 8);
FROZEN_FIELD(struct spate_shard_stats, handshakes_now, 304, 8);
FROZEN_FIELD(struct spate_shard_stats, memory_bytes_now, 312, 8);
FROZEN_FIELD(struct spate_shard_stats, memory_bytes_peak, 320, 8);
FROZEN_FIELD(struct spate_shard_stats, retries_sent, 328, 8);
FROZEN_FIELD(struct spate_shard_stats, tokens_accepted, 336, 8);
FROZEN_FIELD(struct spate_shard_stats, tokens_refused, 344, 8);
FROZEN_FIELD(struct spate_shard_stats, handshakes_evicted, 352, 8);
FROZEN_FIELD(struct spate_shard_stats, initials_without_hello, 360, 8);
FROZEN_FIELD(struct spate_shard_stats, draining_now, 368, 8);
FROZEN_FIELD(struct spate_shard_stats, draining_evicted, 376, 8);
FROZEN_FIELD(struct spate_shard_stats, conns_shed, 384, 8);
FROZEN_FIELD(struct spate_shard_stats, messages_in, 392, 8);
FROZEN_FIELD(struct spate_shard_stats, messages_dropped, 400, 8);
FROZEN_FIELD(struct spate_shard_stats, messages_out, 408, 8);
FROZEN_FIELD(struct spate_shard_stats, zero_rtt_kept, 416, 8);
FROZEN_FIELD(struct spate_shard_stats, zero_rtt_used, 424, 8);
FROZEN_FIELD(struct spate_shard_stats, trains_timed, 432, 8);
FROZEN_FIELD(struct spate_shard_stats, strays_out, 440, 8);
FROZEN_FIELD(struct spate_shard_stats, strays_in, 448, 8);
FROZEN_FIELD(struct spate_shard_stats, strays_dropped, 456, 8);
FROZEN_FIELD(struct spate_shard_stats, turn_longest_ns, 464, 8);
FROZEN_FIELD(struct spate_shard_stats, channel_commands, 472, 8);
FROZEN_FIELD(struct spate_shard_stats, channel_waits, 480, 8);
FROZEN_FIELD(struct spate_shard_stats, cids_unroutable, 488, 8);
FROZEN_FIELD(struct spate_shard_stats, quic_lb_nonces_left, 496, 8);
FROZEN_FIELD(struct spate_shard_stats, conns_with_old_cids, 504, 8);
FROZEN_FIELD(struct spate_shard_stats, strays_of_others, 512, 8);
FROZEN_FIELD(struct spate_shard_stats, doorbells, 520, 8);
FROZEN_FIELD(struct spate_shard_stats, receive_slots_free, 528, 8);
FROZEN_FIELD(struct spate_shard_stats, transmit_slots_free, 536, 8);
FROZEN_FIELD(struct spate_shard_stats, events_now, 544, 8);
FROZEN_FIELD(struct spate_shard_stats, qlog_records, 552, 8);
FROZEN_FIELD(struct spate_shard_stats, qlog_dropped, 560, 8);
FROZEN_FIELD(struct spate_shard_stats, qlog_errors, 568, 8);
FROZEN_FIELD(struct spate_shard_stats, turns_long, 576, 8);
LAST_FIELD(struct spate_shard_stats, turns_long);

FROZEN_FIELD(struct spate_cap, name, 0, 8);
FROZEN_FIELD(struct spate_cap, have, 8, 1);
FROZEN_FIELD(struct spate_cap, reason, 16, 8);
LAST_FIELD(struct spate_cap, reason);

FROZEN_FIELD(struct spate_library, name, 0, 8);
FROZEN_FIELD(struct spate_library, version, 8, 8);
FROZEN_FIELD(struct spate_library, is_inside, 16, 1);
FROZEN_FIELD(struct spate_library, reserved, 17, 7);
LAST_FIELD(struct spate_library, reserved);

FROZEN_FIELD(struct spate_counter, name, 0, 8);
FROZEN_FIELD(struct spate_counter, unit, 8, 8);
FROZEN_FIELD(struct spate_counter, offset, 16, 4);
FROZEN_FIELD(struct spate_counter, is_gauge, 20, 1);
FROZEN_FIELD(struct spate_counter, reserved, 21, 3);
LAST_FIELD(struct spate_counter, reserved);

FROZEN_FIELD(struct spate_stat_head, magic, 0, 8);
FROZEN_FIELD(struct spate_stat_head, version, 8, 4);
FROZEN_FIELD(struct spate_stat_head, state, 12, 4);
FROZEN_FIELD(struct spate_stat_head, size, 16, 8);
FROZEN_FIELD(struct spate_stat_head, pid, 24, 8);
FROZEN_FIELD(struct spate_stat_head, started_wall_ns, 32, 8);
FROZEN_FIELD(struct spate_stat_head, started_ns, 40, 8);
FROZEN_FIELD(struct spate_stat_head, library, 48, 32);
FROZEN_FIELD(struct spate_stat_head, shard_count, 80, 4);
FROZEN_FIELD(struct spate_stat_head, field_count, 84, 4);
FROZEN_FIELD(struct spate_stat_head, fields_at, 88, 8);
FROZEN_FIELD(struct spate_stat_head, shards_at, 96, 8);
FROZEN_FIELD(struct spate_stat_head, shard_size, 104, 8);
FROZEN_FIELD(struct spate_stat_head, conns_offset, 112, 4);
FROZEN_FIELD(struct spate_stat_head, conns_max, 116, 4);
FROZEN_FIELD(struct spate_stat_head, conn_size, 120, 4);
FROZEN_FIELD(struct spate_stat_head, histogram_sub_bits, 124, 4);
FROZEN_FIELD(struct spate_stat_head, histogram_value_bits, 128, 4);
FROZEN_FIELD(struct spate_stat_head, flags, 132, 4);
LAST_FIELD(struct spate_stat_head, flags);
FROZEN_FIELD(struct spate_stat_field, name, 0, 40);
FROZEN_FIELD(struct spate_stat_field, unit, 40, 12);
FROZEN_FIELD(struct spate_stat_field, kind, 52, 4);
FROZEN_FIELD(struct spate_stat_field, part, 56, 4);
FROZEN_FIELD(struct spate_stat_field, offset, 60, 4);
LAST_FIELD(struct spate_stat_field, offset);
FROZEN_FIELD(struct spate_stat_shard, sequence, 0, 8);
FROZEN_FIELD(struct spate_stat_shard, published_ns, 8, 8);
FROZEN_FIELD(struct spate_stat_shard, conn_count, 16, 8);
FROZEN_FIELD(struct spate_stat_shard, reserved, 24, 8);
LAST_FIELD(struct spate_stat_shard, reserved);
FROZEN_FIELD(struct spate_stat_conn, id, 0, 8);
FROZEN_FIELD(struct spate_stat_conn, recent_bytes, 8, 8);
FROZEN_FIELD(struct spate_stat_conn, peer, 16, 64);
LAST_FIELD(struct spate_stat_conn, peer);
FROZEN_VALUE(SPATE_STAT_RUNNING, 1);
FROZEN_VALUE(SPATE_STAT_ENDED, 2);
FROZEN_VALUE(SPATE_STAT_LOCKED, 1);
FROZEN_VALUE(SPATE_STAT_COUNTER, 1);
FROZEN_VALUE(SPATE_STAT_GAUGE, 2);
FROZEN_VALUE(SPATE_STAT_HISTOGRAM, 3);
FROZEN_VALUE(SPATE_STAT_SHARD, 1);
FROZEN_VALUE(SPATE_STAT_CONN, 2);

/* Enumerators are added with new values. */
FROZEN_VALUE(SPATE_BACKEND_AUTO, 0);
FROZEN_VALUE(SPATE_BACKEND_IO_URING, 1);
FROZEN_VALUE(SPATE_BACKEND_MMSG, 2);
FROZEN_VALUE(SPATE_BACKEND_HOST, 3);
FROZEN_VALUE(SPATE_CRYPTO_AUTO, 0);
FROZEN_VALUE(SPATE_CRYPTO_OPENSSL, 1);
FROZEN_VALUE(SPATE_CRYPTO_FUSED, 2);
FROZEN_VALUE(SPATE_RETRY_AUTO, 0);
FROZEN_VALUE(SPATE_RETRY_ALWAYS, 1);
FROZEN_VALUE(SPATE_RETRY_NEVER, 2);
FROZEN_VALUE(SPATE_VERSIONS_BOTH, 0);
FROZEN_VALUE(SPATE_VERSIONS_PREFER_2, 1);
FROZEN_VALUE(SPATE_VERSIONS_BEGIN_2, 2);
FROZEN_VALUE(SPATE_VERSIONS_ONLY_1, 3);
FROZEN_VALUE(SPATE_VERSIONS_ONLY_2, 4);

FROZEN_VALUE(SPATE_PROFILE_LAN, 1);
FROZEN_VALUE(SPATE_PROFILE_WAN, 2);

FROZEN_VALUE(SPATE_CONGESTION_CUBIC, 0);
FROZEN_VALUE(SPATE_CONGESTION_NEWRENO, 1);
FROZEN_VALUE(SPATE_CONGESTION_FIXED, 2);
FROZEN_VALUE(SPATE_CONGESTION_BBR, 3);
FROZEN_VALUE(SPATE_CONGESTION_PRAGUE, 4);

FROZEN_VALUE(SPATE_RESUME_NONE, 0);
FROZEN_VALUE(SPATE_RESUME_RECONNAISSANCE, 1);
FROZEN_VALUE(SPATE_RESUME_UNVALIDATED, 2);
FROZEN_VALUE(SPATE_RESUME_VALIDATING, 3);
FROZEN_VALUE(SPATE_RESUME_RETREAT, 4);
FROZEN_VALUE(SPATE_RESUME_DECLINED, 5);
FROZEN_VALUE(SPATE_RESUME_VALIDATED, 6);
FROZEN_VALUE(SPATE_RESUME_RETREATED, 7);

FROZEN_VALUE(SPATE_WAIT_SHARD, 0);
FROZEN_VALUE(SPATE_WAIT_IDLE, 1);
FROZEN_VALUE(SPATE_WAIT_APPLICATION, 2);
FROZEN_VALUE(SPATE_WAIT_ACK_DELAY, 3);
FROZEN_VALUE(SPATE_WAIT_CWND, 4);
FROZEN_VALUE(SPATE_WAIT_PACER, 5);
FROZEN_VALUE(SPATE_WAIT_LIMIT, 6);
FROZEN_VALUE(SPATE_WAIT_AMPLIFICATION, 7);
FROZEN_VALUE(SPATE_WAIT_CONN_CREDIT, 8);
FROZEN_VALUE(SPATE_WAIT_STREAM_CREDIT, 9);
FROZEN_VALUE(SPATE_WAIT_KEY, 10);
FROZEN_VALUE(SPATE_WAIT_MEMORY, 11);
FROZEN_VALUE(SPATE_WAIT_SLOT, 12);
FROZEN_VALUE(SPATE_WAIT_CLOSED, 13);

FROZEN_VALUE(SPATE_KERNEL_PACING_AUTO, 0);
FROZEN_VALUE(SPATE_KERNEL_PACING_OFF, 1);

FROZEN_VALUE(SPATE_CLIENT_AUTH_NONE, 0);
FROZEN_VALUE(SPATE_CLIENT_AUTH_OPTIONAL, 1);
FROZEN_VALUE(SPATE_CLIENT_AUTH_REQUIRED, 2);
FROZEN_VALUE(SPATE_UNKNOWN_NAME_DEFAULT, 0);
FROZEN_VALUE(SPATE_UNKNOWN_NAME_REFUSE, 1);
FROZEN_VALUE(SPATE_VERIFY_AFTER_CHAIN, 0);
FROZEN_VALUE(SPATE_VERIFY_INSTEAD, 1);

FROZEN_VALUE(SPATE_CIPHER_AES_128_GCM, 1);
FROZEN_VALUE(SPATE_CIPHER_AES_256_GCM, 2);
FROZEN_VALUE(SPATE_CIPHER_CHACHA20_POLY1305, 4);

FROZEN_VALUE(SPATE_KEY_P256, 0);
FROZEN_VALUE(SPATE_KEY_ED25519, 1);
FROZEN_VALUE(SPATE_KEY_RSA2048, 2);

FROZEN_VALUE(SPATE_EVENT_NONE, 0);
FROZEN_VALUE(SPATE_EVENT_CONNECTED, 1);
FROZEN_VALUE(SPATE_EVENT_STREAM_OPENED, 2);
FROZEN_VALUE(SPATE_EVENT_STREAM_DATA, 3);
FROZEN_VALUE(SPATE_EVENT_STREAM_PLACED, 4);
FROZEN_VALUE(SPATE_EVENT_STREAM_RESET, 5);
FROZEN_VALUE(SPATE_EVENT_STREAM_STOPPED, 6);
FROZEN_VALUE(SPATE_EVENT_SENT, 7);
FROZEN_VALUE(SPATE_EVENT_STREAM_CLOSED, 8);
FROZEN_VALUE(SPATE_EVENT_STREAMS_AVAILABLE, 9);
FROZEN_VALUE(SPATE_EVENT_CLOSED, 10);
FROZEN_VALUE(SPATE_EVENT_SHUTDOWN, 11);
FROZEN_VALUE(SPATE_EVENT_DATAGRAM, 12);
FROZEN_VALUE(SPATE_EVENT_DATAGRAMS_SENT, 13);
FROZEN_VALUE(SPATE_EVENT_DATAGRAM_ROOM, 14);

FROZEN_VALUE(SPATE_EARLY_NONE, 0);
FROZEN_VALUE(SPATE_EARLY_OFFERED, 1);
FROZEN_VALUE(SPATE_EARLY_ACCEPTED, 2);
FROZEN_VALUE(SPATE_EARLY_REJECTED, 3);

FROZEN_VALUE(SPATE_EVENT_PATH, 15);
FROZEN_VALUE(SPATE_EVENT_EARLY, 16);
FROZEN_VALUE(SPATE_EVENT_TICKET, 17);
FROZEN_VALUE(SPATE_EVENT_NEW_TOKEN, 18);
FROZEN_VALUE(SPATE_EVENT_STREAM_BATCH, 19);
FROZEN_VALUE(SPATE_EVENT_DATAGRAM_BATCH, 20);

FROZEN_VALUE(SPATE_PATH_PEER_MOVED, 1);
FROZEN_VALUE(SPATE_PATH_MIGRATED, 2);
FROZEN_VALUE(SPATE_PATH_FAILED, 3);
FROZEN_VALUE(SPATE_PATH_PREFERRED, 4);
FROZEN_VALUE(SPATE_COMMAND_NONE, 0);
FROZEN_VALUE(SPATE_COMMAND_CONNECT, 1);
FROZEN_VALUE(SPATE_COMMAND_CONN_CLOSE, 2);
FROZEN_VALUE(SPATE_COMMAND_OPEN, 3);
FROZEN_VALUE(SPATE_COMMAND_SEND, 4);
FROZEN_VALUE(SPATE_COMMAND_RESET, 5);
FROZEN_VALUE(SPATE_COMMAND_STOP, 6);
FROZEN_VALUE(SPATE_COMMAND_SET_USER, 7);
FROZEN_VALUE(SPATE_COMMAND_DATAGRAM, 8);
FROZEN_VALUE(SPATE_COMMAND_RECEIVE, 9);
FROZEN_VALUE(SPATE_COMMAND_PRIORITY, 10);
FROZEN_VALUE(SPATE_COMMAND_PROGRESS, 11);
FROZEN_VALUE(SPATE_COMMAND_STATS, 12);

FROZEN_VALUE(SPATE_DATAGRAM_ACKED, 1);
FROZEN_VALUE(SPATE_DATAGRAM_LOST, 2);
FROZEN_VALUE(SPATE_DATAGRAM_EXPIRED, 3);
FROZEN_VALUE(SPATE_DATAGRAM_DROPPED, 4);

FROZEN_VALUE(SPATE_DATAGRAM_COPY, 1);
FROZEN_VALUE(SPATE_DATAGRAM_SILENT, 2);

FROZEN_VALUE(SPATE_CLOSE_TRANSPORT, 1);
FROZEN_VALUE(SPATE_CLOSE_APP, 2);
FROZEN_VALUE(SPATE_CLOSE_IDLE, 3);
FROZEN_VALUE(SPATE_CLOSE_HANDSHAKE_TIMEOUT, 4);
FROZEN_VALUE(SPATE_CLOSE_STATELESS_RESET, 5);
FROZEN_VALUE(SPATE_CLOSE_VERSION, 6);
FROZEN_VALUE(SPATE_CLOSE_UNREACHABLE, 7);

FROZEN_VALUE(SPATE_PINNING_AUTO, 0);
FROZEN_VALUE(SPATE_PINNING_OFF, 1);
FROZEN_VALUE(SPATE_PINNING_ON, 2);

FROZEN_VALUE(SPATE_SHARDS_AUTO, 0);
FROZEN_FIELD(struct spate_pool_options, size, 0, 8);
FROZEN_FIELD(struct spate_pool_options, tls, 8, 8);
FROZEN_FIELD(struct spate_pool_options, config, 16, 8);
FROZEN_FIELD(struct spate_pool_options, user, 24, 8);
FROZEN_FIELD(struct spate_pool_options, conns_per_peer, 32, 4);
FROZEN_FIELD(struct spate_pool_options, streams_max, 36, 4);
FROZEN_FIELD(struct spate_pool_options, connect_timeout_ns, 40, 8);
FROZEN_FIELD(struct spate_pool_options, ping_ns, 48, 8);
FROZEN_FIELD(struct spate_pool_options, hang_ns, 56, 8);
FROZEN_FIELD(struct spate_pool_options, rtt_ns_max, 64, 8);
FROZEN_FIELD(struct spate_pool_options, backoff_ns, 72, 8);
FROZEN_FIELD(struct spate_pool_options, backoff_ns_max, 80, 8);
FROZEN_FIELD(struct spate_pool_options, failures_max, 88, 4);
FROZEN_FIELD(struct spate_pool_options, trials_max, 92, 4);
FROZEN_FIELD(struct spate_pool_options, successes_min, 96, 4);
FROZEN_FIELD(struct spate_pool_options, reserved, 100, 4);
FROZEN_FIELD(struct spate_pool_options, open_ns, 104, 8);
FROZEN_FIELD(struct spate_pool_options, open_ns_max, 112, 8);
LAST_FIELD(struct spate_pool_options, open_ns_max);

FROZEN_FIELD(struct spate_pool_peer, size, 0, 8);
FROZEN_FIELD(struct spate_pool_peer, address, 8, 8);
FROZEN_FIELD(struct spate_pool_peer, address_size, 16, 4);
FROZEN_FIELD(struct spate_pool_peer, reserved, 20, 4);
FROZEN_FIELD(struct spate_pool_peer, server_name, 24, 8);
LAST_FIELD(struct spate_pool_peer, server_name);

FROZEN_FIELD(struct spate_pool_stats, peers_now, 0, 8);
FROZEN_FIELD(struct spate_pool_stats, peers_open_now, 8, 8);
FROZEN_FIELD(struct spate_pool_stats, conns_now, 16, 8);
FROZEN_FIELD(struct spate_pool_stats, conns_ready_now, 24, 8);
FROZEN_FIELD(struct spate_pool_stats, connects, 32, 8);
FROZEN_FIELD(struct spate_pool_stats, connects_failed, 40, 8);
FROZEN_FIELD(struct spate_pool_stats, conns_lost, 48, 8);
FROZEN_FIELD(struct spate_pool_stats, hangs, 56, 8);
FROZEN_FIELD(struct spate_pool_stats, acquires, 64, 8);
FROZEN_FIELD(struct spate_pool_stats, acquires_failed, 72, 8);
FROZEN_FIELD(struct spate_pool_stats, breaker_openings, 80, 8);
LAST_FIELD(struct spate_pool_stats, breaker_openings);

FROZEN_FIELD(struct spate_pool_peer_stats, breaker, 0, 4);
FROZEN_FIELD(struct spate_pool_peer_stats, conns_now, 4, 4);
FROZEN_FIELD(struct spate_pool_peer_stats, conns_ready_now, 8, 4);
FROZEN_FIELD(struct spate_pool_peer_stats, is_draining, 12, 4);
FROZEN_FIELD(struct spate_pool_peer_stats, streams_now, 16, 8);
FROZEN_FIELD(struct spate_pool_peer_stats, rtt_ns, 24, 8);
FROZEN_FIELD(struct spate_pool_peer_stats, failures, 32, 8);
FROZEN_FIELD(struct spate_pool_peer_stats, openings, 40, 8);
FROZEN_FIELD(struct spate_pool_peer_stats, next_try_ns, 48, 8);
LAST_FIELD(struct spate_pool_peer_stats, next_try_ns);

FROZEN_VALUE(SPATE_POOL_ANY, 0);
FROZEN_VALUE(SPATE_POOL_CLOSED, 0);
FROZEN_VALUE(SPATE_POOL_OPEN, 1);
FROZEN_VALUE(SPATE_POOL_HALF_OPEN, 2);
FROZEN_FIELD(struct spate_messenger_options, size, 0, 8);
FROZEN_FIELD(struct spate_messenger_options, message_size_max, 8, 8);
FROZEN_FIELD(struct spate_messenger_options, receive_bytes_max, 16, 8);
FROZEN_FIELD(struct spate_messenger_options, send_bytes_max, 24, 8);
FROZEN_FIELD(struct spate_messenger_options, channels_max, 32, 4);
FROZEN_FIELD(struct spate_messenger_options, reserved, 36, 4);
LAST_FIELD(struct spate_messenger_options, reserved);

FROZEN_FIELD(struct spate_message_options, size, 0, 8);
FROZEN_FIELD(struct spate_message_options, tag, 8, 8);
FROZEN_FIELD(struct spate_message_options, deadline_ns, 16, 8);
FROZEN_FIELD(struct spate_message_options, channel, 24, 4);
FROZEN_FIELD(struct spate_message_options, priority, 28, 1);
FROZEN_FIELD(struct spate_message_options, wants_reply, 29, 1);
FROZEN_FIELD(struct spate_message_options, is_unreliable, 30, 1);
FROZEN_FIELD(struct spate_message_options, reserved, 31, 1);
LAST_FIELD(struct spate_message_options, reserved);

FROZEN_FIELD(struct spate_messenger_stats, received, 0, 8);
FROZEN_FIELD(struct spate_messenger_stats, sent, 8, 8);
FROZEN_FIELD(struct spate_messenger_stats, refused, 16, 8);
FROZEN_FIELD(struct spate_messenger_stats, abandoned, 24, 8);
FROZEN_FIELD(struct spate_messenger_stats, bytes_copied, 32, 8);
FROZEN_FIELD(struct spate_messenger_stats, incomplete_now, 40, 8);
FROZEN_FIELD(struct spate_messenger_stats, waiting_now, 48, 8);
FROZEN_FIELD(struct spate_messenger_stats, receive_bytes_now, 56, 8);
FROZEN_FIELD(struct spate_messenger_stats, send_bytes_now, 64, 8);
LAST_FIELD(struct spate_messenger_stats, send_bytes_now);

FROZEN_SIZE(struct spate_message, 72);
FROZEN(struct spate_message, kind, 0);
FROZEN(struct spate_message, fate, 4);
FROZEN(struct spate_message, id, 8);
FROZEN(struct spate_message, tag, 16);
FROZEN(struct spate_message, error, 24);
FROZEN(struct spate_message, pieces, 32);
FROZEN(struct spate_message, piece_count, 40);
FROZEN(struct spate_message, size_bytes, 48);
FROZEN(struct spate_message, channel, 56);
FROZEN(struct spate_message, is_unreliable, 60);
FROZEN(struct spate_message, reserved, 61);
FROZEN(struct spate_message, private_handle, 64);

FROZEN_VALUE(SPATE_MESSAGE_RECEIVED, 1);
FROZEN_VALUE(SPATE_MESSAGE_REQUEST, 2);
FROZEN_VALUE(SPATE_MESSAGE_REPLY, 3);
FROZEN_VALUE(SPATE_MESSAGE_FAILED, 4);
FROZEN_VALUE(SPATE_MESSAGE_SENT, 5);
FROZEN_VALUE(SPATE_MESSAGE_ROOM, 6);
FROZEN_VALUE(SPATE_MESSAGE_ACKED, 1);
FROZEN_VALUE(SPATE_MESSAGE_LOST, 2);
FROZEN_VALUE(SPATE_MESSAGE_CANCELLED, 3);
FROZEN_VALUE(SPATE_MESSAGE_EXPIRED, 4);
FROZEN_VALUE(SPATE_MESSAGE_REFUSED, 5);
FROZEN_VALUE(SPATE_MESSAGE_ERROR_CANCELLED, 0x53500001);
FROZEN_VALUE(SPATE_MESSAGE_ERROR_EXPIRED, 0x53500002);
FROZEN_VALUE(SPATE_MESSAGE_ERROR_BUSY, 0x53500003);
FROZEN_VALUE(SPATE_MESSAGE_ERROR_TOO_LARGE, 0x53500004);
FROZEN_VALUE(SPATE_MESSAGE_ERROR_PROTOCOL, 0x53500005);
FROZEN_VALUE(SPATE_MESSAGE_PIECES_MAX, 255);

FROZEN_VALUE(SPATE_FOREVER, UINT64_MAX);

/* clang-format on */
#endif
