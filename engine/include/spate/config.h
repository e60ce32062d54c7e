/* SPDX-License-Identifier: MIT */
#ifndef SPATE_CONFIG_H
#define SPATE_CONFIG_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include <spate/base.h>
#include <spate/quic_lb.h>

#ifdef __cplusplus
extern "C" {
#endif

struct spate_lent_ring;
struct spate_log;
struct spate_qlog;

/* The configuration of an engine: spate_engine_create() takes it. */

/* How shards talk to the kernel. */
enum spate_backend {
    SPATE_BACKEND_AUTO,     /* io_uring; mmsg where the system or a limit refuses io_uring */
    SPATE_BACKEND_IO_URING, /* io_uring only */
    SPATE_BACKEND_MMSG,     /* epoll, recvmmsg and sendmmsg */
    SPATE_BACKEND_HOST,     /* no sockets: the program moves the datagrams, see spate/io.h */
};

/* Which AES-GCM code encrypts and decrypts packets.  ChaCha20-Poly1305 and TLS always use OpenSSL.
 * The choice changes nothing on the wire. */
enum spate_crypto {
    SPATE_CRYPTO_AUTO,    /* fused where the CPU supports it, otherwise OpenSSL */
    SPATE_CRYPTO_OPENSSL, /* OpenSSL only */
    SPATE_CRYPTO_FUSED,   /* Spate's own code; needs x86-64 with VAES and AVX2 or AVX-512 */
};

/* When a server makes a client prove its address by a Retry packet, before it keeps anything for it
 * or sends it more than 3 times what it got [RFC9000 8.1].  A Retry costs the client a round trip.
 */
enum spate_retry {
    SPATE_RETRY_AUTO,   /* while unproven handshakes take more than a share: see handshakes_max */
    SPATE_RETRY_ALWAYS, /* every client */
    SPATE_RETRY_NEVER,  /* no client */
};

/* Versions of QUIC that an engine speaks: 1 [RFC9000], 2 [RFC9369] or both.  Both sides must have
 * one in common; version_information protects the choice from being forged [RFC9368].  Applications
 * see no difference: version 2 exists so that the network does not rely on version 1. */
enum spate_versions {
    /* Both.  A client begins with version 1 and asks for nothing else; a server uses the version
     * that the client prefers. */
    SPATE_VERSIONS_BOTH,
    /* Both, and version 2 if the other side has it.  A client begins with version 1 and asks to be
     * moved; a server moves the client.  This takes no round trip. */
    SPATE_VERSIONS_PREFER_2,
    /* A client begins with version 2.  A server that lacks it refuses it, which costs a round trip;
     * the client goes on with version 1.  For a server: SPATE_VERSIONS_PREFER_2. */
    SPATE_VERSIONS_BEGIN_2,
    SPATE_VERSIONS_ONLY_1, /* version 1 alone */
    SPATE_VERSIONS_ONLY_2, /* version 2 alone */
};

/* Who keeps to the times at which paced datagrams leave: see "pacing by the kernel" below. */
enum spate_kernel_pacing {
    SPATE_KERNEL_PACING_AUTO, /* the kernel, on paths whose interface has fq; else the shard */
    SPATE_KERNEL_PACING_OFF,  /* the shard */
};

/* How a connection decides how fast to send: see "congestion" below. */
enum spate_congestion {
    SPATE_CONGESTION_CUBIC,   /* CUBIC with HyStart++ [RFC9438, RFC9406] */
    SPATE_CONGESTION_NEWRENO, /* NewReno with HyStart++ [RFC9002 7, RFC9406] */
    SPATE_CONGESTION_FIXED,   /* a fixed rate, for closed networks */
    SPATE_CONGESTION_BBR,     /* BBR, version 3 [draft-ietf-ccwg-bbr] */
    SPATE_CONGESTION_PRAGUE,  /* Prague, for L4S [RFC9330, RFC9331] */
};

/* Whether spate_engine_start() pins its threads to CPUs.  A pinned thread does not move, and the
 * memory of its shard is on the node of its CPU. */
enum spate_pinning {
    SPATE_PINNING_AUTO, /* with `cpus`, or where SPATE_SHARDS_AUTO makes a shard for each CPU */
    SPATE_PINNING_OFF,  /* never; `cpus` is ignored */
    SPATE_PINNING_ON,   /* to `cpus`, or to the CPUs of the affinity mask in turn */
};

/* shard_count: one shard per CPU of the affinity mask of the thread that creates the engine, but no
 * more than its control group allows at a time, and 64.  spate_shards_probe() returns the number.
 *
 * It is not the default: a program that runs its shards itself, or whose handlers expect one
 * thread, was written for one shard.  It is 0 because no library has accepted that before. */
#define SPATE_SHARDS_AUTO 0

/* Kinds of networks: see spate_config_profile(). */
enum spate_profile {
    SPATE_PROFILE_LAN = 1, /* short round trips, few losses, large buffers */
    SPATE_PROFILE_WAN = 2, /* the Internet: long round trips, radio, unknown buffers */
};

#define SPATE_KEY_SIZE 32 /* bytes of token_key and reset_key */

/* Every setting and every limit of an engine, and what happens at the limit.  Each comment ends
 * with the default and the range.  Limits are per shard. */
struct spate_config {
    size_t size; /* sizeof(struct spate_config): spate_config_init() sets it */

    /* Shards, and threads of spate_engine_start().  SPATE_SHARDS_AUTO: one per CPU, see above.
     * Default 1; 0 to 64.  With SPATE_BACKEND_HOST: 1. */
    uint32_t shard_count;
    /* CPUs that spate_engine_start() pins its threads to, shard_count of them; not with
     * SPATE_SHARDS_AUTO.  Default NULL: `pinning` decides alone. */
    const int *cpus;

    /* Default SPATE_BACKEND_AUTO. */
    enum spate_backend backend;
    /* Default SPATE_CRYPTO_AUTO. */
    enum spate_crypto crypto;

    /* Connections at a time.  At the limit a client's first packet is answered with
     * CONNECTION_REFUSED, and spate_shard_connect() returns -ENOBUFS.  A closed connection whose
     * SPATE_EVENT_CLOSED was taken does not count: about 550 bytes of it answer late packets for
     * three probe timeouts, at most 9 s.  Up to 64 + 4 * conns_max of those are kept, but no more
     * than 8,192; then the oldest one goes, and its packets are answered with Stateless Resets.
     * Only a client that closes before the server has answered counts for those probe timeouts.
     * "Memory of a connection" below says what each takes.
     * Default 10,000; 1 to 1,000,000. */
    uint32_t conns_max;
    /* Unfinished handshakes of clients that connect to us.  One is unproven until a Retry token or
     * the client's second flight has proved its address.  At the limit the oldest unproven one
     * gives way to a newcomer, and after those the oldest of an address prefix (IPv4 /24, IPv6 /56)
     * that has more than a quarter of them; but none within its first 250 ms.  Otherwise the
     * newcomer's packet is dropped, and it tries again.  A prefix holds at most an eighth with
     * unproven ones. SPATE_RETRY_AUTO sends Retry beyond that eighth, and to all prefixes from a
     * quarter of this limit on (or of conns_max, or of half the memory) until unproven ones are
     * half as many. Default 1,000; 1 to 1,000,000. */
    uint32_t handshakes_max;
    /* Memory for the state of connections, TLS and routing included.  The slots below, the rings
     * and what is kept of closed connections (see conns_max) are not part of it.  See
     * "memory_bytes_max" below for what happens on the way to the limit.
     * Default 1 GiB; 1 MiB to 64 TiB. */
    uint64_t memory_bytes_max;
    /* Receive buffers of 64 KiB, rounded up to a power of two.  As many as the L2 cache holds
     * circulate, more when they are needed.  A slice of 256 bytes or more keeps its whole buffer
     * until it is released; fewer bytes are copied out, and so are bytes out of order that are less
     * than 1/8 of their buffer.  When fewer than half are free, datagrams are copied out of buffers
     * that hold up to 2 KiB.  When fewer than a quarter are free, they are copied out of all
     * buffers.  The copies count against memory_bytes_max.  When none is free, packets wait in the
     * socket's buffer, and the kernel drops those that do not fit.
     * Default 256; 2 to 32,768. */
    uint32_t receive_slots;
    /* Transmit buffers of 64 KiB: one for each train that the kernel has not taken.  When none is
     * free, all connections of the shard wait to send.  Default 256; 1 to 16,384. */
    uint32_t transmit_slots;
    /* Size that is asked of the kernel for each socket's receive buffer and for its send buffer.
     * Default 4 MiB; 64 KiB to 1 GiB. */
    uint32_t socket_buffer_bytes;

    /* A connection that is idle for so long is closed; the smaller value of both ends counts
     * [RFC9000 10.1].  Default 30 s; 1 ms to 365 days, or 0 for none. */
    uint64_t idle_timeout_ns;
    /* A handshake that takes longer fails.  Default 10 s; 1 ms to 365 days, or 0 for none.
     * With 0 a server still waits at most 10 s for clients whose addresses are not proven. */
    uint64_t handshake_timeout_ns;
    /* The most that an ACK is delayed: max_ack_delay [RFC9000 18.2].
     * Default 25 ms; 0 to 16,383 ms. */
    uint64_t ack_delay_ns_max;
    /* UDP payload bytes of the largest datagrams that we send: a ceiling.  Nobody needs to know the
     * MTU of the path.  A connection begins with 1,200 and searches with probes for what the path
     * takes [RFC9000 14.3, RFC8899]: usual sizes first, the result is within 1/128.  The first one
     * follows the first full datagram, or else the confirmation of the handshake by the peer.  Only
     * a connection that fills its datagrams searches beyond Ethernet's size.  It falls back to
     * 1,200 where the path takes no more, or the interface (EMSGSIZE), and searches again: at once,
     * later after pauses of 1 s to 10 min.  The default is that of jumbo frames (an MTU of 9,000):
     * larger datagrams exist on loopback only, where they make one connection faster and a hundred
     * slower, because the congestion window is at least two datagrams [RFC9002 7.2].  A datagram
     * takes a receive buffer of the receiver if it is not coalesced with others.
     * Default 8,972; 1,200 to 65,507. */
    uint32_t datagram_size_max;
    /* Flow control credit that the peer gets for each stream at the start.  A peer that has used it
     * up waits; one that sends more is closed with FLOW_CONTROL_ERROR [RFC9000 4.1].
     * Default 1 MiB; 1 KiB to 1 EiB, and at most stream_window_bytes_max. */
    uint64_t stream_window_bytes;
    /* The most that this credit grows to, for a peer that would otherwise wait for it: see
     * "windows" below.  At the limit the peer gets one window per round trip. Default 128 MiB; 1
     * KiB to 1 EiB. */
    uint64_t stream_window_bytes_max;
    /* Flow control credit that the peer gets for a whole connection at the start: for the bytes of
     * all streams together that have not been released.  At the limit as for stream_window_bytes.
     * Default 1 MiB; 1 KiB to 1 EiB, and at most conn_window_bytes_max. */
    uint64_t conn_window_bytes;
    /* The most that this credit grows to.  At the limit as for stream_window_bytes_max.
     * Default 128 MiB; 1 KiB to 1 EiB. */
    uint64_t conn_window_bytes_max;
    /* Bidirectional streams that a peer may have open per connection.  At the limit it waits until
     * one is closed; a peer that opens more is closed with STREAM_LIMIT_ERROR [RFC9000 4.6].
     * Default 100; 0 to 1,048,576. */
    uint32_t streams_bidi_max;
    /* Unidirectional streams that a peer may have open per connection.  At the limit as for
     * streams_bidi_max.  Default 100; 0 to 1,048,576. */
    uint32_t streams_uni_max;
    /* Streams of both kinds that we may have open per connection.  The peer may allow fewer.  At
     * the limit spate_stream_open() returns -EAGAIN, and SPATE_EVENT_STREAMS_AVAILABLE follows when
     * one is closed.  Default 1,000; 0 to 1,048,576. */
    uint32_t streams_local_max;
    /* The most that a waiting turn spins before it sleeps: see below.
     * Default 500 us; 0 to SPATE_FOREVER. */
    uint64_t spin_ns;
    /* Spread what is sent over the round trip.  Without it bytes leave in bursts, as ACKs arrive:
     * at most the initial window (10 datagrams) at once, or twice what the last ACKs acknowledged
     * if that is more [RFC9002 7.7].  Default true. */
    bool pacing;
    /* Mark packets ECT(0), so that routers can report congestion without dropping them
     * [RFC9000 13.4].  Default true. */
    bool ecn;
    /* Let the network card read the transmit slots: see below.  Default false. */
    bool zero_copy;
    /* Send many datagrams in one operation (UDP_SEGMENT).  Without it, a capture shows each
     * datagram by itself.  Default true. */
    bool gso;
    uint8_t reserved[4]; /* no padding; ignored */

    /* When clients must prove their address first.  Default SPATE_RETRY_AUTO. */
    enum spate_retry retry;
    /* Seals the tokens of Retry packets.  Give processes that share an address, and a restarted
     * one, the same secret random bytes, so that they accept each other's tokens.  Their clocks may
     * differ by 10 s.  Keys that follow from it rotate every hour.  Default all zero: random for
     * each engine. */
    uint8_t token_key[SPATE_KEY_SIZE];
    uint8_t reserved_2[4]; /* no padding; ignored */

    /* Silence after which a PING is sent, so that the connection is not closed as idle: nothing was
     * received, and nothing that asks for an answer was sent.  It is sent earlier if necessary:
     * after a third of the smaller idle timeout of both ends [RFC9000 10.1.2].  It is sent up to an
     * eighth earlier than that, so that PINGs of many connections leave together.  A connection
     * whose bytes wait for the peer's flow control stays alive without it.  Default 0; 1 ms to 365
     * days, or 0 for none. */
    uint64_t keep_alive_ns;

    /* Key of Stateless Resets: secret random bytes, see below.  Default all zero: random for each
     * engine. */
    uint8_t reset_key[SPATE_KEY_SIZE];

    /* Bytes of the largest DATAGRAM frame that the peer may send: max_datagram_frame_size
     * [RFC9221 3].  Its messages come by SPATE_EVENT_DATAGRAM.  0 allows none, 65,535 whatever fits
     * into a packet.  A peer that sends a larger frame is closed with PROTOCOL_VIOLATION.
     * Default 0; 0 to 65,535. */
    uint32_t message_frame_size_max;
    /* Messages per connection that may wait to be sent, and received ones that may wait until their
     * events are taken.  At the limit spate_conn_datagram_send() returns -EAGAIN, and a message
     * that arrives takes the place of the oldest, which messages_dropped counts.
     * Default 1,024; 1 to 65,536. */
    uint32_t message_count_max;
    /* Bytes in these messages, for each of the two.  At the limit as for message_count_max; a
     * single message may be larger.  Default 1 MiB; 1 KiB to 1 GiB. */
    uint64_t message_bytes_max;

    /* Versions of QUIC, for clients and servers.  Default SPATE_VERSIONS_BOTH. */
    enum spate_versions versions;
    /* Keep the network and peers tolerant: accept packets without the fixed bit and send such to
     * peers that accept them [RFC9287], and offer a reserved version among ours [RFC9368 3].
     * Reserved transport parameters are always sent [RFC9000 18.1].  Default true. */
    bool grease;
    /* Let somebody on the path measure the round trip: the spin bit, on 15 of 16 connections
     * [RFC9000 17.4].  Without it the bit is random.  Default true. */
    bool spin_bit;
    /* Let each side choose how often the other one sends ACKs (draft-ietf-quic-ack-frequency), with
     * peers that know it.  Spate asks for 8 ACKs per congestion window, 12 in slow start, and for
     * one after a quarter of the round trip, on paths that reorder an eighth, but never for a
     * longer delay than the peer's own.  That saves most ACKs after losses, on paths that reorder,
     * and of peers that send one per two packets.  Default true. */
    bool ack_frequency;
    uint8_t reserved_3[1]; /* no padding; ignored */
    /* Packets sent after which a connection updates its keys [RFC9001 6].  It does so in any case
     * before the cipher's limit.  The peer follows.  See spate_conn_update_keys() too.
     * Default 0; 100 to 100,000,000, or 0 for none. */
    uint64_t key_update_packets;
    /* The congestion controller: how fast connections send.  See "congestion" below.
     * Default SPATE_CONGESTION_CUBIC. */
    enum spate_congestion congestion;
    uint8_t reserved_4[4]; /* no padding; ignored */
    /* The rate of SPATE_CONGESTION_FIXED: bytes per second that each connection sends at most,
     * packet heads included.  Default 125,000,000; 1,000 to 125,000,000,000. */
    uint64_t fixed_rate_bytes_per_s;

    /* Server: let clients move to another address of theirs.  Without it they are asked not to
     * (disable_active_migration [RFC9000 18.2]), and Spate's do not.  A client whose NAT has
     * changed its address does not know it, and is followed in any case.  Default true. */
    bool migration;
    /* Client: move to the address that the server prefers, if it names one: see
     * spate_listener_prefer().  SPATE_EVENT_PATH reports it.  Default true. */
    bool follow_preferred;
    /* Deliver received bytes in batches: SPATE_EVENT_STREAM_BATCH in the place of
     * SPATE_EVENT_STREAM_DATA, and SPATE_EVENT_DATAGRAM_BATCH in that of SPATE_EVENT_DATAGRAM.  One
     * event has as many slices as have arrived for a stream, and one call releases them, which
     * takes less CPU time where many packets arrive at once.  Bytes in lent memory are reported as
     * before.  Default false. */
    bool event_batches;
    uint8_t reserved_5[5]; /* no padding; ignored */
    /* Bytes per second that each connection sends at most: see "rate limits" below and
     * spate_conn_set_rate_limit().  Default 0; 1,000 to 125,000,000,000, or 0 for none. */
    uint64_t conn_rate_bytes_per_s_max;
    /* Bytes per second that the connections of each shard send together at most: see
     * spate_shard_set_rate_limit().  Default 0; 1,000 to 125,000,000,000, or 0 for none. */
    uint64_t shard_rate_bytes_per_s_max;
    /* Whether the kernel holds datagrams until they are due: see "pacing by the kernel" below.
     * Default SPATE_KERNEL_PACING_AUTO. */
    enum spate_kernel_pacing kernel_pacing;
    /* Datagrams that a connection sends before the first acknowledgment, of at most 1,472 bytes or
     * two larger ones [RFC9002 7.2].  Default 10; 2 to 1,000. */
    uint32_t initial_window_packets;
    /* The round trip that is assumed until one is measured: it decides after how long the first
     * packets of a handshake are sent again [RFC9002 6.2.2].
     * Default 333 ms; 1 ms to 10 s. */
    uint64_t initial_rtt_ns;
    /* Bytes per second that all connections of the engine send together at most: see
     * spate_engine_set_rate_limit().  Default 0; 1,000 to 125,000,000,000, or 0 for none. */
    uint64_t engine_rate_bytes_per_s_max;
    /* For how long each shard remembers what a path has carried, so that the next connection to
     * that address begins with half of it: see "careful resume" below.
     * Default 0; 1 s to 7 days, or 0 for none. */
    uint64_t resume_path_ns;
    /* Whether spate_engine_start() pins its threads.  Default SPATE_PINNING_AUTO. */
    enum spate_pinning pinning;
    /* Whether another process can take over the listening sockets while this one serves its
     * connections to their end: see <spate/hand_over.h>.  Sockets are opened with SO_REUSEPORT, and
     * connection IDs have a byte that tells the processes apart; with `quic_lb` they are one byte
     * longer for it.  Default false.  Not with SPATE_BACKEND_HOST. */
    bool hand_over;
    uint8_t reserved_6[3]; /* no padding; ignored */
    /* Server: connection IDs that load balancers can read: see <spate/quic_lb.h>.  Copied, and NULL
     * in what spate_engine_config() returns; spate_engine_set_quic_lb() changes it later.  Default
     * NULL: connection IDs are random, of 8 bytes, and with several shards the second byte is the
     * shard's index. */
    const struct spate_quic_lb *quic_lb;
    /* Operations and watched descriptors of the program in a shard's ring at a time: see
     * <spate/ring.h>.  Each takes 48 bytes, beside memory_bytes_max, once there were as many.
     * Default 4,096; 1 to 65,536, or 0 for none. */
    uint32_t operations_max;
    uint8_t reserved_7[4]; /* no padding; ignored */
    /* A ring of the program in which the shard lives: see <spate/ring.h>.  Copied, and NULL in what
     * spate_engine_config() returns.  Default NULL: each shard makes a ring of its own. */
    const struct spate_lent_ring *lent_ring;
    /* Have the kernel stamp each datagram with the time at which it came (SO_TIMESTAMPNS): only
     * then the histogram receive_ns has values.  It costs CPU time in each receive.  Default
     * false. */
    bool receive_stamps;
    uint8_t reserved_8[7]; /* no padding; ignored */
    /* A file in which other processes see the counters and histograms of this engine ("spate stat",
     * <spate/stat_file.h>): a path, at best in /run or /dev/shm.  A file of that name is replaced,
     * and the file is removed with the engine, unless another engine has replaced it; it stays
     * after a crash.  380 KiB per shard, beside memory_bytes_max.  Copied, and NULL in what
     * spate_engine_config() returns.  Default NULL: in the folder that the environment names in
     * SPATE_STAT_DIR, as spate-PID-NUMBER.stat, or none. */
    const char *stat_file;
    /* Files of what happens in connections: see <spate/qlog.h>.  Copied, and NULL in what
     * spate_engine_config() returns.  Default NULL: nothing is recorded. */
    const struct spate_qlog *qlog;
    /* Lines about what an operator should know: see <spate/log.h>.  Copied, and NULL in what
     * spate_engine_config() returns.  Default NULL: none are written. */
    const struct spate_log *log;
};

/* Careful resume [RFC9959]: with resume_path_ns, a shard remembers the capacity and the round trip
 * of up to 1,024 paths, by the address of the peer (not its port) and our own.  A connection notes
 * them when it ends; the next one on the path takes them.  Once its initial window has been
 * acknowledged without loss, and the round trip is between half and ten times the old one, it sends
 * half of the old window over a round trip and goes on from there.  If any of that gets lost, it
 * goes back to half of what got through, and the path is forgotten.
 *
 *   - 90 % of 400 Mbit/s over 100 ms are used after 0.5 s instead of 1.2 s.
 *   - The jump can cost others on a path that has become narrow a queue for a round trip.
 *   - Only one of several connections at once to a host jumps: it has taken the entry.
 *   - It concerns what we send: a server benefits for downloads, a client for uploads.
 *   - With SPATE_CONGESTION_CUBIC and SPATE_CONGESTION_NEWRENO, and `pacing`.
 *   - The table is 72 KiB per shard, beside memory_bytes_max.  At 1,024 paths the oldest of those
 *     that share a place is forgotten.  Nothing of it outlives the engine. */

/* The gauge `resume_phase` of a connection.  The first is for those that had nothing to resume; the
 * last three are ends. */
enum spate_resume_phase {
    SPATE_RESUME_NONE,
    SPATE_RESUME_RECONNAISSANCE, /* looks whether the path is as it was */
    SPATE_RESUME_UNVALIDATED,    /* sends half of the old window */
    SPATE_RESUME_VALIDATING,     /* has sent it */
    SPATE_RESUME_RETREAT,        /* some of it got lost */
    SPATE_RESUME_DECLINED,       /* did not try: another round trip, a loss, nothing to gain */
    SPATE_RESUME_VALIDATED,      /* all of it got through */
    SPATE_RESUME_RETREATED,      /* some of it did not */
};

/* memory_bytes_max is shared by the connections of a shard.  The last 16th of it, or 256 KiB of
 * less than 4 MiB, is a reserve from which handshakes, acknowledgments and closes are served.
 *
 *   - 3/4 used: connections that hold more than an equal share of the memory give their peers no
 *     more credit until they hold less: release slices.  [RFC9000 4]
 *   - 7/8 used, where 48 KiB of an unfinished handshake do not count: new connections are refused
 *     as by conns_max, and conns_refused counts them.  So the last eighth is for the connections
 *     that exist already, and none of them is closed so that a newcomer gets its place.  While one
 *     holds over 16 KiB more than an equal share, newcomers get in up to 3/4 of the reserve.
 *   - The reserve is reached: spate_stream_send(), spate_stream_receive_into() and
 *     spate_stream_open() return -ENOBUFS, and packets that would need memory for their bytes are
 *     dropped.  The connection that holds most is closed with INTERNAL_ERROR, if it holds over
 *     16 KiB more than an equal share, so that the others go on; conns_shed counts them.
 *
 * A connection that waits for memory, or whose peer waits for credit that is held back, is closed
 * with INTERNAL_ERROR after 3 seconds.  SPATE_EVENT_CLOSED reports these closes as local ones.
 * Memory that is no longer needed goes back to the system after a few seconds, and memory_bytes_now
 * follows it.  What OpenSSL frees after a burst of handshakes may stay with the C library, which
 * uses it for the next ones; memory_bytes_now does not count that. */

/* Memory of a connection, of the process and of memory_bytes_max alike, in bytes; for a client and
 * a server, with any `crypto`:
 *
 *     idle for a second, or three probe timeouts if they are longer             8,192 at most
 *     with an open stream: more than that, for each                             1,024 at most
 *     in use: more than idle, for keys and records of packets                   6,144 at most
 *     in use: what is queued to be sent: the application's own memory, and 48 per call
 *     in use: received bytes that wait, or that the application holds           their buffers
 *     a client, from its handshake until it is idle for the first time         16,384 more
 *     a handshake                                                              48 KiB at most
 *
 * The peer's certificate is a part of that, up to 432 bytes: larger ones, and chains that the
 * program wants to keep, take more.  A connection becomes idle when nothing of it is in flight and
 * no packet comes or goes.  Its next packet takes 2 us longer, and the memory for keys again: while
 * there is none, the packet is lost or waits, as above.  A client that was idle ignores the tickets
 * that a server sends later.
 *
 * A shard with many idle connections wakes up at most 30 times a second for all of their timers. */

/* Windows follow the bandwidth-delay product by themselves.  When the application has released more
 * than half of a window within a round trip, the window grows to four times what it has released.
 * So the peer hardly waits for credit while it becomes faster.  A slow reader's window does not
 * grow.  A path of 5 Gbit/s and 100 ms takes 62 MB in flight, which the default of 128 MiB allows.
 *
 * Bytes in small pieces take up to eight times their number in memory.  So windows of connections
 * together grow by an eighth of memory_bytes_max without its reserve, per shard: one connection
 * alone may have 8/9 of that, and n that need more than there is get equal parts.  A window shrinks
 * again when others need the memory, while its bytes are consumed.  With the default of 1 GiB, one
 * connection gets up to 107 MiB, and each of ten 12 MiB. */

/* reset_key lets a server that was restarted end the connections of its former process
 * [RFC9000 10.3].  Their clients' next packet is answered with a Stateless Reset that they
 * recognise, so they get SPATE_CLOSE_STATELESS_RESET at once instead of waiting for their idle
 * timeout.  Keep the key in a file that only the server can read: whoever has it can end
 * connections.  Processes that use one port at the same time must not share it, because each would
 * end the connections of the others.  Each shard derives a key of its own, and packets reach the
 * shard that their connection ID names: a restarted server needs the same shard_count. */

/* spin_ns trades CPU time for latency.  Putting a CPU to sleep and waking it takes microseconds, on
 * a virtual CPU tens of them: longer than a request takes.  A spinning thread sees a packet
 * immediately.
 *
 *   0              A waiting turn sleeps at once.
 *   SPATE_FOREVER  A waiting turn never sleeps.  Use it for a CPU that has no other work.
 *   between        Adaptive: the shard spins where that is cheaper than sleeping, for at most this
 *                  many nanoseconds.  The default is 500,000.
 *
 * An adaptive shard measures the cost of a sleep on this machine.  It does so in the first turn or
 * in spate_engine_start(), which take about a millisecond longer.  It also records the lengths of
 * its waits.  It spins for short waits and sleeps for long ones: busy connections get the latency
 * of SPATE_FOREVER, and an idle shard uses no CPU.  A sleep counts as six times its cost, because a
 * peer may be waiting for the answer.  So a shard whose waits are some tens of microseconds long
 * may use a whole CPU.  Choose a smaller spin_ns where CPU time matters more than latency.  A shard
 * whose CPU is wanted by other threads (pinned to it, or in a container with less than one CPU)
 * detects that and sleeps.
 *
 * The setting applies to spate_shard_turn() and to engine threads.  With io_uring a spinning turn
 * makes no system call to look for packets; with mmsg it makes one per look.  A spinning turn ends
 * like a sleeping one: on completions, when its time is up, by spate_shard_wake() and by
 * spate_shard_post(). */

/* congestion chooses how a connection finds out how fast it may send.  It is a matter of the sender
 * alone: both sides may differ, and so may the connections of an engine (spate_settings_create()).
 *
 *   CUBIC    The default of most systems.  It fills a path until the path drops or marks packets,
 *            and shares it evenly with other CUBIC connections and TCP.  Random loss slows it down.
 *   NEWRENO  The controller of RFC 9002.  A long, fast path takes it long to fill after a loss.
 *   BBR      Measures the bandwidth and the round trip of the path, and sends at that rate.  It
 *            keeps queues short, and up to 2 % of random loss, as radio has it, hardly slow it
 *            down.  A path takes 6.5 KiB more of memory_bytes_max; without those it gets CUBIC.
 *   PRAGUE   For networks with L4S queues [RFC9330]: they mark packets that wait for a millisecond,
 *            and so keep that delay while the path is full.  It marks its packets ECT(1) and reacts
 *            to the share of marked packets [RFC9331]; round trips below 25 ms count as 25 ms after
 *            500 of them, so that near flows leave room for far ones.  It needs `ecn`.  Before the
 *            first mark, after a loss, and after a time without marks it behaves as CUBIC.  A path
 *            gets CUBIC for good where marks do not pass, and where they come after a wait of more
 *            than 3 ms, as from a classic ECN queue: the gauge `congestion` reports it.
 *   FIXED    The rate of fixed_rate_bytes_per_s, whatever gets lost.  Only for networks of your own
 *            in which that rate is free: it starves all others.
 *
 * All have at least two datagrams in flight, begin with ten, and but for PRAGUE react to marks
 * (ecn) as to losses; FIXED reacts only to persistent congestion [RFC9002 7.6].  BBR, FIXED and
 * PRAGUE are paced whatever `pacing` says. */

/* Rate limits hold over any time: at most the limit, and one burst more, in bytes of UDP payload. A
 * burst is what the limit allows in 2 ms, or ten datagrams if that is more.
 *
 *   connection  Bounds what congestion control would do, also with pacing off.
 *   shard       Connections that have something to send take turns, one train each.
 *   engine      Shards borrow from it, each in proportion to its connections that wait; within a
 *               shard as above.
 *
 * ACKs alone and probes are neither held back nor counted, so that a limit does not delay what the
 * peer sends.  A limit that is not set costs nothing. */

/* Pacing by the kernel: on Linux an interface can have the queueing discipline fq (tc qdisc replace
 * dev NAME root fq), which holds a datagram until the time that its socket gives it (SO_TXTIME).
 * Paced connections then hand over trains of a quarter of a millisecond, at least two datagrams,
 * up to 2 ms before they are due.  They leave more evenly, and the shard wakes up less often.
 * ACKs never overtake what is held, so they may be up to 2 ms late.
 *
 * A path is looked up when its pacer first holds something back: its route, and the queueing
 * discipline of that interface.  Loopback and virtual interfaces without fq are paced by the shard,
 * and so is everything of a shard if no interface had fq when it was asked: when the shard began to
 * listen, or when it first sent more than a little.  spate_caps() reports SO_TXTIME and fq; the
 * counter trains_timed counts such trains. */

/* zero_copy sends large trains with SENDMSG_ZC from slots that are registered with the ring.  That
 * saves one copy per byte where the network card can gather and compute checksums.  It costs a
 * second completion per train, and a slot stays busy until the card has read it: configure more
 * transmit_slots.  Where the kernel reports that it copies anyway, as on loopback, the socket
 * returns to ordinary sends after some trains.  It also does so on a kernel without SENDMSG_ZC.
 * The slots count against RLIMIT_MEMLOCK; where that limit is too small, the kernel pins the memory
 * of each train instead. */

/* Fills in the first `size` bytes of the defaults that spate_config_init() describes.  For
 * languages other than C and C++, whose programs call spate_config_init().
 *
 *   config  At least `size` bytes, in any state.
 *   size    Bytes that the program knows: its sizeof(struct spate_config).
 *
 * Threads: any. */
SPATE_API void spate_config_init_sized(struct spate_config *config, size_t size);

/* Fills in the defaults.  It is inline, so that the size is the one that the program was compiled
 * with.
 *
 *   config  In any state; every field is overwritten.
 *
 * Threads: any. */
static inline void spate_config_init(struct spate_config *config)
{
    spate_config_init_sized(config, sizeof(*config));
}

/* Changes the fields of the first `size` bytes that spate_config_profile() names.  For languages
 * other than C and C++.
 *
 *   config   As spate_config_init_sized() has filled it.
 *   size     Bytes that the program knows.
 *   profile  One of the enumerators.
 *
 * Returns 0, or:
 *   -EINVAL  There is no such profile; `config` is untouched.
 *
 * Threads: any. */
SPATE_API int spate_config_profile_sized(struct spate_config *config, size_t size,
                                         enum spate_profile profile);

/* Sets what depends on the kind of network.  Call it after spate_config_init(), and change single
 * fields afterwards.
 *
 *                              SPATE_PROFILE_LAN   SPATE_PROFILE_WAN
 *     congestion               CUBIC               BBR
 *     initial_rtt_ns           5 ms                333 ms
 *     initial_window_packets   64                  10
 *     ack_delay_ns_max         5 ms                25 ms
 *     stream_window_bytes      16 MiB              1 MiB
 *     stream_window_bytes_max  16 MiB              4 MiB
 *     conn_window_bytes        16 MiB              1 MiB
 *     conn_window_bytes_max    256 MiB             32 MiB
 *
 * With both, datagrams begin with 1,200 bytes and grow to what the path takes.
 *
 *   config   Filled by spate_config_init().
 *   profile  One of the enumerators.
 *
 * Returns what spate_config_profile_sized() does.
 *
 * Threads: any. */
static inline int spate_config_profile(struct spate_config *config, enum spate_profile profile)
{
    return spate_config_profile_sized(config, sizeof(*config), profile);
}

/* Returns the name of a congestion controller, such as "cubic", for logs.  A value that this
 * library does not know: "unknown".
 *
 *   congestion  Any value; the gauge `congestion` of spate_conn_stats() is one.
 *
 * The text lives as long as the program.
 *
 * Threads: any. */
SPATE_API const char *spate_congestion_name(enum spate_congestion congestion);

#ifdef __cplusplus
}
#endif

#endif
