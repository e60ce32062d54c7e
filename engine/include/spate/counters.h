/* SPDX-License-Identifier: MIT */
#ifndef SPATE_COUNTERS_H
#define SPATE_COUNTERS_H

/* The fields of struct spate_shard_stats and struct spate_conn_stats, one line each.  All are
 * uint64_t.  The end of a name is its unit: _bytes or _ns; all others are plain numbers.
 *
 * A program can go through the fields by name.  It then also prints those that later versions add:
 *
 *     #define PRINT(kind, name) printf("%s %" PRIu64 "\n", #name, stats.name);
 *     SPATE_SHARD_STATS(PRINT)
 *
 * `kind` names the part of the library that counts.  A program only needs to know GAUGE:
 *
 *     GAUGE  A present value: it rises and falls.
 *     other  A counter: it only rises.  The difference of two readings counts the events between
 *            them.  CONNS is the sum over all connections of the shard, open and closed.
 *
 * A release adds lines at the end of a list, gauges and counters mixed.  This file has no types and
 * no functions. */

/* clang-format off */

#define SPATE_SHARD_STATS(X) \
    /* The loop. */ \
    X(SHARD, turns)                 /* loop iterations */ \
    X(RING, syscalls)               /* io_uring_enter; with mmsg epoll_wait, recvmmsg, sendmmsg */ \
    X(SHARD, sleeps)                /* waits in which the shard went to sleep */ \
    X(SHARD, spun_ns)               /* time spent spinning in waits (spate_config.spin_ns) */ \
    /* Receiving. */ \
    X(SHARD, datagrams_in)          /* UDP datagrams received, for a connection or not */ \
    X(SHARD, bytes_in)              /* UDP payload received */ \
    X(RECEIVE, receives)            /* completed receives; with GRO each brings many datagrams */ \
    X(RECEIVE, receive_enobufs)     /* receives that found no free slot; no datagram is lost */ \
    X(RECEIVE, receive_rearms)      /* multishot receives that had to be started again */ \
    X(RECEIVE, receive_truncated)   /* datagrams larger than a slot, dropped */ \
    X(RECEIVE, kernel_drops)        /* datagrams lost to a full socket buffer, and empty ones */ \
    X(SHARD, datagrams_copied)      /* copied out of a slot because few slots were free */ \
    X(SHARD, receive_dropped)       /* not copied for lack of memory: stream bytes dropped */ \
    X(SHARD, unroutable)            /* datagrams for no connection, dropped */ \
    X(SHARD, version_negotiations)  /* Version Negotiation packets sent */ \
    X(SHARD, stateless_resets)      /* Stateless Resets sent */ \
    /* Sending. */ \
    X(SEND, datagrams_out)          /* UDP datagrams sent */ \
    X(SEND, bytes_out)              /* UDP payload sent */ \
    X(SEND, sends)                  /* sendmsg operations: one per train */ \
    X(SEND, send_errors)            /* datagrams that the kernel refused to send */ \
    X(SEND, gso_fallbacks)          /* trains sent as single datagrams after UDP_SEGMENT failed */ \
    X(SEND, zero_copies)            /* trains sent with SENDMSG_ZC */ \
    X(SEND, zero_copies_copied)     /* of zero_copies: trains that the kernel copied after all */ \
    /* Connections. */ \
    X(SHARD, conns_accepted)        /* connections accepted by a listener */ \
    X(SHARD, conns_refused)         /* connections refused because of conns_max or memory */ \
    X(SHARD, handshakes_dropped)    /* first packets dropped because of handshakes_max */ \
    X(SHARD, handshakes_done)       /* handshakes completed, as client or server */ \
    X(SHARD, handshakes_failed)     /* handshakes that ended before they were complete */ \
    X(CONNS, packets_in)            /* QUIC packets decrypted and processed */ \
    X(CONNS, packets_out)           /* QUIC packets sent */ \
    X(CONNS, packets_lost)          /* sent packets that were declared lost */ \
    X(CONNS, acks_in)               /* ACK frames received */ \
    X(CONNS, acks_out)              /* ACK frames sent */ \
    X(CONNS, placed_in_bytes)       /* bytes reported by SPATE_EVENT_STREAM_PLACED */ \
    X(CONNS, copied_in_bytes)       /* received bytes copied by memcpy, for any reason */ \
    X(CONNS, copied_out_bytes)      /* bytes to send that were copied before encryption */ \
    /* Memory. */ \
    X(MEMORY, allocations)          /* blocks taken so far; constant under a steady load */ \
    /* Present values. */ \
    X(GAUGE, conns_now)             /* connections */ \
    X(GAUGE, handshakes_now)        /* handshakes that count against handshakes_max */ \
    X(GAUGE, memory_bytes_now)      /* memory that counts against memory_bytes_max */ \
    X(GAUGE, memory_bytes_peak)     /* highest memory_bytes_now so far */ \
    /* Clients that are not proven. */ \
    X(SHARD, retries_sent)          /* Retry packets sent (spate_config.retry) */ \
    X(SHARD, tokens_accepted)       /* Retry tokens that proved a client's address */ \
    X(SHARD, tokens_refused)        /* Retry tokens that were expired, used, altered or stolen */ \
    X(SHARD, handshakes_evicted)    /* handshakes that gave way at handshakes_max or conns_max */ \
    X(SHARD, initials_without_hello) /* first packets that began no ClientHello, dropped */ \
    /* Closed connections. */ \
    X(GAUGE, draining_now)          /* closed connections whose late packets are recognised */ \
    X(SHARD, draining_evicted)      /* of those: forgotten early, to make room for newer ones */ \
    /* Memory. */ \
    X(SHARD, conns_shed)            /* closed because memory ran out and they held most of it */ \
    /* Messages (DATAGRAM frames). */ \
    X(CONNS, messages_in)           /* messages received */ \
    X(CONNS, messages_dropped)      /* of messages_in: not delivered, see spate_conn_stats */ \
    X(CONNS, messages_out)          /* messages sent */ \
    /* 0-RTT that came before its Initial. */ \
    X(SHARD, zero_rtt_kept)         /* datagrams kept for it, for 100 ms; else unroutable */ \
    X(SHARD, zero_rtt_used)         /* of zero_rtt_kept: the Initial came in time */ \
    /* Pacing by the kernel. */ \
    X(SEND, trains_timed)           /* of sends: held by the kernel until a time (SO_TXTIME) */ \
    /* Datagrams at the wrong one of the shards that share a port. */ \
    X(SHARD, strays_out)            /* receives passed on to another shard, whole or in part */ \
    X(SHARD, strays_in)             /* receives that another shard has passed on */ \
    X(SHARD, strays_dropped)        /* not passed on: too many waited, or the shard had ended */ \
    /* An application that blocks its shard. */ \
    X(GAUGE, turn_longest_ns)       /* longest time between two waits: spate_shard_busy_ns() */ \
    /* Channels of other threads. */ \
    X(SHARD, channel_commands)      /* commands executed */ \
    X(SHARD, channel_waits)         /* times that an event found results_max others */ \
    /* Connection IDs that load balancers can read (spate_config.quic_lb). */ \
    X(SHARD, cids_unroutable)       /* issued that none can read: no configuration, or no nonce */ \
    X(GAUGE, quic_lb_nonces_left)   /* connection IDs that the configuration still allows */ \
    X(GAUGE, conns_with_old_cids)   /* whose peers have not retired those of the one before */ \
    /* Beside a process that takes over: see spate/hand_over.h. */ \
    X(SHARD, strays_of_others)      /* datagrams of the process before or after: dropped */ \
    /* Queues and the ring. */ \
    X(WAKE, doorbells)              /* times that another thread woke the shard */ \
    X(GAUGE, receive_slots_free)    /* of receive_slots */ \
    X(GAUGE, transmit_slots_free)   /* of transmit_slots */ \
    X(GAUGE, events_now)            /* events that the application has not taken */ \
    /* qlog: see spate/qlog.h. */ \
    X(SHARD, qlog_records)          /* records for files */ \
    X(SHARD, qlog_dropped)          /* records that a full ring has dropped */ \
    X(GAUGE, qlog_errors)           /* files that the system has refused to make or to write */ \
    /* Turns that a host should know of: see spate/log.h. */ \
    X(SHARD, turns_long)            /* turns that took longer than spate_log.turn_ns */

#define SPATE_CONN_STATS(X) \
    /* Receiving. */ \
    X(COUNTER, datagrams_in)           /* UDP datagrams received */ \
    X(COUNTER, bytes_in)               /* UDP payload received */ \
    X(COUNTER, packets_in)             /* QUIC packets decrypted and processed */ \
    X(COUNTER, packets_dropped)        /* duplicate, undecryptable or malformed QUIC packets */ \
    X(COUNTER, packets_duplicate)      /* of packets_dropped: packets that were received before */ \
    X(COUNTER, acks_in)                /* ACK frames received */ \
    /* Sending. */ \
    X(COUNTER, datagrams_out)          /* UDP datagrams sent */ \
    X(COUNTER, bytes_out)              /* UDP payload sent */ \
    X(COUNTER, packets_out)            /* QUIC packets sent */ \
    X(COUNTER, packets_lost)           /* sent packets that were declared lost */ \
    X(COUNTER, packets_spurious)       /* of packets_lost: packets that were acknowledged later */ \
    X(COUNTER, acks_out)               /* ACK frames sent */ \
    X(COUNTER, ptos)                   /* probe timeouts [RFC9002 6.2] */ \
    X(COUNTER, persistent_congestions) /* periods of persistent congestion [RFC9002 7.6] */ \
    X(COUNTER, key_updates)            /* key updates, by either side [RFC9001 6] */ \
    /* Streams. */ \
    X(COUNTER, streams_opened)         /* streams opened, by either side */ \
    X(COUNTER, stream_bytes_in)        /* stream bytes received; each byte counts once */ \
    X(COUNTER, stream_bytes_out)       /* stream bytes sent, retransmissions included */ \
    X(COUNTER, stream_bytes_acked)     /* stream bytes acknowledged by the peer */ \
    X(COUNTER, placed_in_bytes)        /* bytes reported by SPATE_EVENT_STREAM_PLACED */ \
    X(COUNTER, copied_in_bytes)        /* stream bytes copied by memcpy, for any reason */ \
    X(COUNTER, copied_out_bytes)       /* bytes to send that were copied before encryption */ \
    /* Present values. */ \
    X(GAUGE, rtt_smoothed_ns)          /* smoothed round-trip time [RFC9002 5.3] */ \
    X(GAUGE, rtt_min_ns)               /* smallest round-trip time so far */ \
    X(GAUGE, rtt_variance_ns)          /* variation of the round-trip time [RFC9002 5.3] */ \
    X(GAUGE, cwnd_bytes)               /* congestion window [RFC9002 7] */ \
    X(GAUGE, in_flight_bytes)          /* bytes in flight [RFC9002 2] */ \
    /* Later additions. */ \
    X(GAUGE, memory_bytes)             /* its part of memory_bytes_max, TLS and keys left out */ \
    X(GAUGE, datagram_bytes)           /* UDP payload of the largest datagrams sent now */ \
    X(COUNTER, mtu_fallbacks)          /* times that the path ceased to take such datagrams */ \
    /* Messages (DATAGRAM frames) [RFC9221]. */ \
    X(COUNTER, messages_in)            /* messages received */ \
    X(COUNTER, messages_dropped)       /* of messages_in: the queue was full, or memory short */ \
    X(COUNTER, messages_out)           /* messages sent */ \
    X(COUNTER, messages_acked)         /* of messages_out: acknowledged */ \
    X(COUNTER, messages_lost)          /* of messages_out: declared lost, or unknown at the end */ \
    X(COUNTER, messages_expired)       /* messages whose deadline passed before they were sent */ \
    /* Congestion control. */ \
    X(GAUGE, congestion)               /* the controller in use: enum spate_congestion */ \
    X(GAUGE, pacing_rate)              /* bytes per second that leave at most; 0: not paced yet */ \
    /* ACK frequency. */ \
    X(COUNTER, ack_frequencies_in)     /* ACK_FREQUENCY frames received */ \
    X(COUNTER, ack_frequencies_out)    /* ACK_FREQUENCY frames sent */ \
    /* Careful resume [RFC9959]. */ \
    X(GAUGE, resume_phase)             /* of resume_path_ns: enum spate_resume_phase */ \
    /* Why it was waiting: enum spate_wait has the same names in the same order. */ \
    X(WAIT, waited_shard_ns)           /* for its turn */ \
    X(WAIT, waited_idle_ns)            /* with nothing to send */ \
    X(WAIT, waited_application_ns)     /* with nothing to send, and the application held slices */ \
    X(WAIT, waited_ack_delay_ns)       /* with an ACK alone that may wait */ \
    X(WAIT, waited_cwnd_ns)            /* for the congestion window */ \
    X(WAIT, waited_pacer_ns)           /* for the pacer */ \
    X(WAIT, waited_limit_ns)           /* for a rate limit, or room in flight to a peer nearby */ \
    X(WAIT, waited_amplification_ns)   /* for proof of the peer's address */ \
    X(WAIT, waited_conn_credit_ns)     /* for MAX_DATA */ \
    X(WAIT, waited_stream_credit_ns)   /* for MAX_STREAM_DATA */ \
    X(WAIT, waited_key_ns)             /* for the handshake */ \
    X(WAIT, waited_memory_ns)          /* for memory */ \
    X(WAIT, waited_slot_ns)            /* for a transmit slot */ \
    X(WAIT, waited_closed_ns)          /* since it was closed */ \
    X(GAUGE, waits_for)                /* now: enum spate_wait */ \
    X(GAUGE, held_bytes)               /* bytes in slices that the application holds */

/* The histograms of a shard: spate_shard_histogram().  The end of a name is its unit.  The first
 * seven follow a datagram through the shard.  One clock reading serves all of a turn: each 13th
 * turn records one value for each of the stages from open_ns to submit_ns, if it has them; and
 * acknowledge_ns and batch_completions. */
#define SPATE_SHARD_HISTOGRAMS(X) \
    X(receive_ns)        /* the kernel has it -> the shard sees it; with receive_stamps */ \
    X(open_ns)           /* .. -> all packets of the turn are decrypted and processed */ \
    X(deliver_ns)        /* .. -> the application has the events: the turn ends */ \
    X(answer_ns)         /* .. -> the next turn begins, with what the application has queued */ \
    X(seal_ns)           /* a turn begins -> its packets are encrypted */ \
    X(submit_ns)         /* .. -> the kernel has taken them; a turn that sleeps at once: none */ \
    X(acknowledge_ns)    /* a packet is made -> its ACK is seen; the latest of a connection */ \
    X(turn_ns)           /* from one wait to the next, the application's time included */ \
    X(train_datagrams)   /* datagrams per sendmsg */ \
    X(batch_completions) /* completions of a turn that had any */

/* clang-format on */

/* Declares one field. */
#define SPATE_STATS_FIELD(kind, name) uint64_t name;

#endif
