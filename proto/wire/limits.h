/* SPDX-License-Identifier: MIT */
#ifndef SP_LIMITS_H
#define SP_LIMITS_H

#include "proto/base/time.h"

/* Every bound of proto/ that the configuration does not set, each with its reason.
 * What happens at a bound stands beside it. */

enum {
    /* Ranges of received packet numbers that are remembered per space, and sent in one ACK where it
     * has room for them: enough for a path of 10 Gbit/s on which a tenth comes 2 ms late, or a
     * flight of 2,500 packets that loses every tenth.  At the bound the oldest range is forgotten:
     * its packets are then treated as duplicates.  [RFC9000 13.2.3] */
    SP_ACK_RANGES_MAX = 256,

    /* Bytes of CRYPTO data a level may have out of order; RFC 9000 asks for at
     * least 4,096.  Beyond: CRYPTO_BUFFER_EXCEEDED.  [RFC9000 7.5]  Large enough
     * for a certificate chain that arrives backwards. */
    SP_CRYPTO_BUFFER_BYTES_MAX = 65536,

    /* Bytes of CRYPTO data that are kept out of order before the handshake has proved anything
     * about the peer: more than any first flight that is in common use.  Beyond: the packet is
     * dropped, so that a larger one must arrive in order.  At least 4,096.  [RFC9000 7.5] */
    SP_CRYPTO_INITIAL_BYTES_MAX = 8192,

    /* Pieces of out-of-order data that one connection may hold: one for each 1,024 bytes of its
     * largest window, which is what datagrams of 1,200 bytes bring after a loss.  At least 65,536,
     * so that a small window may come in smaller datagrams; at most what 1 GiB of window takes.
     * Fewer than 256 bytes take no piece of their own, so credit bounds them too.  Beyond: the
     * packet that brought one more is dropped and not acknowledged. */
    SP_REASSEMBLY_BYTES_PER_PIECE = 1024,
    SP_REASSEMBLY_PIECES_MIN = 65536,
    SP_REASSEMBLY_PIECES_MAX = 1 << 20,

    /* Pieces beyond those, for bytes that can be handed out at once.  Without them a full
     * store would refuse the very bytes that would empty it. */
    SP_REASSEMBLY_PIECES_RESERVE = 64,

    /* Bytes that a connection holds for a byte of credit that the peer has used, and for a stream:
     * see sp_conn_held_bytes().  No decision depends on them: tests hold the code to them.  A page
     * stays until all of it has been read, so each stream may keep one or two. */
    SP_HELD_BYTES_PER_CREDIT_MAX = 8,
    SP_HELD_BYTES_PER_STREAM_MAX = 1024,

    /* Steps that the STREAM and CRYPTO frames of one packet may take among received pieces: a
     * visit to a piece is one, a new page 16.  Enough for 16 frames deep among all pieces of a
     * connection, each with a new page.  Beyond: the packet is dropped and not acknowledged,
     * unless its frames continue what was handed out. */
    SP_REASSEMBLY_STEPS_MAX = 1024,

    /* Buffers that the application may have lent to one stream: one is being filled while the
     * next ones wait, and for each packet they are walked.  Beyond: SP_AGAIN. */
    SP_LENT_BUFFERS_MAX = 8,

    /* Bytes of plaintext below which a packet is opened in place and copied into lent memory:
     * reading its head first would cost more than the copy. */
    SP_PLACE_SIZE_MIN = 256,

    /* ACK frames of one packet that are handled, and blocks of sent packets that those after the
     * first may pass over: a sender needs one frame per packet, and each may walk over all packets
     * in flight.  Beyond: the packet is dropped and not acknowledged. */
    SP_ACK_FRAMES_PER_PACKET_MAX = 16,
    SP_ACK_WALK_PER_PACKET_MAX = 1024,

    /* CIDs of the peer that we keep, and CIDs of ours that we give out, at a time:
     * enough for a path change, few enough to walk. Beyond: CONNECTION_ID_LIMIT. */
    SP_CIDS_MAX = 4,

    /* RETIRE_CONNECTION_ID frames that may wait to be sent or acknowledged.  Beyond:
     * CONNECTION_ID_LIMIT.  [RFC9000 5.1.2] */
    SP_RETIRED_CIDS_MAX = 16,

    /* ACK-only packets that are remembered per space: no window limits them, and a peer that
     * acknowledges none would make us remember all.  Beyond: they are sent and forgotten. */
    SP_ACKS_SENT_MAX = 256,

    /* Paths of a connection at a time: the one in use, the one that was used before it while its
     * packets are in flight, and two that are being validated.  Beyond: what comes by another path
     * is handled, but the connection does not follow it.  [RFC9000 9.3] */
    SP_PATHS_MAX = 4,

    /* PATH_CHALLENGEs that wait for their PATH_RESPONSE.  Beyond: the oldest is dropped, because
     * the peer sends a new one each time, and may not remember all of them.  [RFC9000 8.2.2] */
    SP_PATH_RESPONSES_MAX = 4,

    /* Packets kept while their keys are still missing.  Beyond: dropped, the peer
     * sends them again.  [RFC9001 5.7] */
    SP_UNDECRYPTABLE_MAX = 8,

    /* Bytes of a NEW_TOKEN token that a client keeps and uses, and that a server makes at most.
     * With it an Initial has half of its datagram for frames still.  Beyond: ignored.
     * [RFC9000 8.1.3] */
    SP_NEW_TOKEN_SIZE_MAX = 512,

    /* Bytes of the most urgent streams for each byte of those below.  Less would cost what is
     * urgent more than a sixteenth; with more, a stream that waits looks dead to its reader. */
    SP_SCHEDULE_SHARE = 16,

    /* Times that a server answers a repeated ClientHello with its whole flight: a client that lost
     * it once may lose it again.  Beyond: the PTO alone sends it.  [RFC9002 6.2.3] */
    SP_FLIGHT_RESENDS_MAX = 3,

    /* Streams whose STREAM_DATA_BLOCKED is sent again when a connection has been quiet: one frame
     * keeps the connection alive, and a peer that has forgotten one credit may have forgotten
     * some.  Beyond: the others wait for their turn in the next round.  [RFC9000 4.1] */
    SP_BLOCKED_RESENDS_MAX = 16,

    /* Datagrams of more than 1,200 bytes that may be lost while smaller ones come through.  Beyond:
     * 1,200 bytes, until a probe shows that the path takes more.  More than chance takes, and few
     * enough for a sender that has two packets in flight.  [RFC9000 14.3] */
    SP_PMTU_HOLE_LOSSES = 6,

    /* Probes that decide then: a large one, and a small one after it. */
    SP_PMTU_HOLE_PROBES = 2,

    /* Pieces of reset or stopped streams that are freed per packet, or per event of the end: about
     * the time of an ordinary packet, and more than a packet can bring to one stream. */
    SP_DISCARDS_PER_PACKET = 64,

    /* The same per frame that discards some, so that a peer cannot discard faster than we free
     * what takes a frame to bring. */
    SP_DISCARDS_PER_FRAME = 2,

    /* The same per millisecond in which the timer runs: about the time of a few packets. */
    SP_DISCARDS_PER_TIMER = 256,

    /* Steps that releasing a stream counts for, where a packet or a frame in flight is one step:
     * about its cost beside theirs. */
    SP_UNWIND_STREAM_STEPS = 4,

    /* Steps for what every connection has: its keys and its TLS object. */
    SP_UNWIND_CONN_STEPS = 200,

    /* Bytes that an application should have queued on a stream at least: some trains. */
    SP_WANTED_BYTES_MIN = 65536,

    /* Datagrams in a train: what one UDP_SEGMENT send takes. */
    SP_TRAIN_COUNT_MAX = 64,

    /* Bytes of frame heads and control frames in one packet.  What does not fit
     * goes into the next packet. */
    SP_CONTROL_BYTES_MAX = 1280,

    /* STREAM and CRYPTO frames in one packet: bounds its scatter list.  So many that small messages
     * fill a packet of 1,472 bytes: each is two frames, a header and at least a few bytes. */
    SP_DATA_FRAMES_MAX = 64,

    /* Bytes of a reason phrase that are kept and sent. */
    SP_REASON_SIZE_MAX = 128,

    /* Bytes for frames that an Initial should have beside a Retry token.  A token that leaves less
     * in a datagram of 1200 bytes makes the datagrams of the handshake longer, up to
     * SP_PMTU_UNPROVED_MAX. */
    SP_RETRY_ROOM_BYTES = 256,

    /* Bytes for frames below which a Retry token is too long for our datagrams.  Such a Retry is
     * dropped. */
    SP_RETRY_ROOM_BYTES_MIN = 64,

    /* Datagrams opened together: one GRO buffer. */
    SP_BATCH_MAX = 64,

    /* Times that the PTO is doubled: 2^10 times a PTO is later than any idle timeout. */
    SP_PTO_BACKOFF_MAX = 10,

    /* Packets per block of the sent-packet list; a power of two. */
    SP_SENT_BLOCK_PACKETS = 32,

    /* Packet threshold before a packet counts as lost.  [RFC9002 6.1.1] */
    SP_LOSS_PACKET_THRESHOLD = 3,

    /* Packet numbers of the application space before one is chosen that is skipped: short
     * connections have none. */
    SP_SKIP_FIRST = 64,

    /* The first skipped number is one of SP_SKIP_SPAN_MIN, and each next one of twice as many: so
     * early that a peer cannot open a large window by ACKs of what it has not got, and then so
     * rarely that nobody sees the cost. */
    SP_SKIP_SPAN_MIN = 64,
    SP_SKIP_SPAN_MAX = 32768,
};

/* The peer's max_ack_delay, as far as it counts for the time that a connection closes or drains:
 * ten times the default.  Beyond: a packet of the peer may find the connection forgotten and be
 * answered with a Stateless Reset.  [RFC9000 10.2] */
#define SP_END_ACK_DELAY_NS_MAX (250 * SB_MS)

/* A PTO, as far as it counts for that time: that of a path via a satellite whose round trip
 * varies a lot.  Beyond: as for SP_END_ACK_DELAY_NS_MAX. */
#define SP_END_PTO_NS_MAX (3 * SB_S)

/* For how long after that time a first CONNECTION_CLOSE may still wait for the host, which has no
 * room for a datagram; no longer than the idle timeout, when the peer has ended by itself.  As long
 * as that is by default. */
#define SP_END_UNSENT_NS_MAX (30 * SB_S)

/* The longest PTO that doubling makes of a shorter one, in a confirmed connection: as long may it
 * take after an outage until something is sent. */
#define SP_PTO_NS_MAX (2 * SB_S)

#endif
