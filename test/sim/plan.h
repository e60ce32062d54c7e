/* SPDX-License-Identifier: MIT */
#ifndef QS_PLAN_H
#define QS_PLAN_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "proto/base/time.h"
#include "proto/conn/conn.h"
#include "test/sim/null_protect.h"
#include "test/sim/null_tls.h"

/* Everything that decides a run, apart from the code.  A scenario fills one by hand, the
 * swarm fills one from its seed.  Chances are in parts per million. */

enum { QS_SIDES = 2 }; /* indexed by enum sp_role */

/* Memory with which a host can make a connection and send its first packets: a block of 64 KiB for
 * the connection and one for its handshake fit into the three quarters that are no reserve.  With
 * BBR there is a third, for its model. */
enum { QS_MEMORY_BYTES_MIN = 176000, QS_MEMORY_BYTES_MIN_BBR = 264000 };

/* The longest pause before memory is lent again. */
#define QS_LEND_PAUSE_NS_MAX (20 * SB_MS)

/* From `at_ns` of the run on the bottleneck has this rate. */
struct qs_rate_step {
    uint64_t at_ns;
    uint64_t bytes_per_s;
};

/* One direction of the network, named after its sender.  Datagrams are damaged until
 * `faults_end_ns` of the run. */
struct qs_path_plan {
    uint64_t delay_ns;
    uint64_t jitter_ns; /* added, uniform; what it overtakes is kept in order */
    uint32_t loss_ppm;
    /* Bursts of loss (Gilbert and Elliott): the chance per datagram that one begins, that it ends,
     * and that a datagram in it gets lost. */
    uint32_t burst_begin_ppm;
    uint32_t burst_end_ppm;
    uint32_t burst_loss_ppm;
    uint32_t drop_first; /* the first datagram to drop, counted from 1; 0: none */
    uint32_t drop_count;
    uint32_t late_nth; /* this datagram comes `late_ns` later; 0: none */
    uint64_t late_ns;
    uint64_t initial_late_ns; /* datagrams that begin with an Initial come so much later */
    uint32_t reorder_ppm;     /* comes `reorder_ns` at most later, overtaken by others */
    uint64_t reorder_ns;
    uint64_t reorder_ns_min; /* and this much at least; below reorder_ns + 1 */
    uint32_t reorder_every;  /* instead of reorder_ppm: each so many datagrams one; 0: by chance */
    uint32_t duplicate_ppm;
    uint32_t corrupt_ppm;
    uint32_t truncate_ppm;
    uint32_t version_nth;                  /* this datagram's version field is changed; 0: none */
    uint32_t mark_ppm;                     /* ECT becomes CE */
    bool bleaches_ecn;                     /* the field is cleared */
    bool drops_ecn;                        /* what is marked gets lost */
    uint64_t rate_bytes_per_s;             /* of a bottleneck; 0: none */
    uint64_t queue_bytes;                  /* bytes that may wait at the bottleneck */
    bool has_l4s;                          /* it has a queue for L4S too, of the same bytes */
    uint64_t mark_bytes;                   /* waiting bytes from which on it marks CE; 0: never */
    const struct qs_rate_step *rate_steps; /* NULL: it keeps its rate */
    uint32_t rate_step_count;
    uint64_t rate_period_ns;      /* the steps are repeated after it; 0: they are not */
    uint64_t policer_bytes_per_s; /* drops what exceeds a rate, without a queue; 0: none */
    uint64_t policer_bytes;       /* that may exceed it */
    size_t mtu;                   /* UDP payload that passes; 0: any */
    uint64_t mtu_from_ns;         /* any passes before */
    size_t mtu_then;              /* what passes from mtu_then_from_ns on, instead of `mtu` */
    uint64_t mtu_then_from_ns;    /* 0: never */
    uint64_t blackhole_from_ns;   /* nothing passes from this time on */
    uint64_t blackhole_until_ns;  /* end of that, possibly after the faults' end */
};

enum qs_close_when {
    QS_CLOSE_NEVER,     /* the idle timeout ends it, or the other side */
    QS_CLOSE_WHEN_DONE, /* all streams of both sides are closed */
    QS_CLOSE_AT,        /* at close_at_ns, whatever is going on */
};

enum { QS_BATCH_MAX = 32 };

struct qs_app_plan {
    uint32_t bidi_count; /* streams that this side opens in all */
    uint32_t uni_count;
    uint64_t bytes_min; /* that this side sends on a stream, whichever side opened it */
    uint64_t bytes_max;
    uint32_t write_bytes_max; /* in one write */
    uint32_t writes_max;      /* writes lent at a time, per stream */
    uint64_t pause_bytes;     /* of a stream, after which nothing is written for pause_ns */
    uint64_t pause_ns;        /* 0: there are no pauses */
    uint32_t reset_ppm;       /* streams that it abandons halfway */
    uint64_t reset_ns;        /* longest time from the last byte written to the reset */
    uint32_t reset_at_ppm;    /* .. of those: with a reliable size, in part made smaller later */
    uint32_t stop_ppm;        /* streams that it asks the peer to abandon */
    uint64_t stop_at_max;     /* most bytes received before that; 0: halfway */
    uint32_t hold_ppm;        /* slices that are kept for a while */
    uint64_t hold_ns;
    uint32_t prioritize_ppm; /* writes before which the stream gets another priority */
    uint32_t lend_ppm;       /* streams for which it lends memory to receive into */
    uint64_t lend_bytes_max; /* largest buffer that it lends */
    uint32_t lends_max;      /* buffers lent at a time, up to SP_LENT_BUFFERS_MAX */
    uint32_t lend_pause_ppm; /* how often no buffer is lent for a while */
    uint32_t message_count;  /* messages that this side sends in all */
    uint32_t message_size_max;
    uint32_t message_burst;       /* sent at a time, at least 1 */
    uint64_t message_ns;          /* time between two bursts */
    uint64_t message_deadline_ns; /* longest time to be sent in; 0: any */
    uint32_t message_copy_ppm;    /* messages that are copied, not lent */
    uint32_t message_silent_ppm;  /* of those: without a result */
    uint64_t read_bytes;          /* credit given back each time */
    uint64_t read_ns;             /* time between two of those; 0: all at once */
    enum qs_close_when close_when;
    uint64_t close_at_ns;
    uint64_t close_error;
    uint32_t batch_max; /* slices that it takes with an event that brings one, up to QS_BATCH_MAX */
};

/* One side: its transport, its stand-in for the ring, its application. */
struct qs_side_plan {
    struct sp_config config;
    uint64_t batch_ns_max;       /* datagrams wait at most this long to be read together */
    uint64_t timer_slack_ns_max; /* deadlines are met at most this late */
    uint32_t socket_full_ppm;    /* sends that are delayed */
    uint64_t socket_full_ns;     /* longest delay of such a send */
    uint32_t train_count_max;
    uint64_t ahead_ns;          /* trains are held until they are due, for so long; 0: not at all */
    bool forgets_departures;    /* they are not held in fact: the path's interface ignores that */
    size_t interface_size_max;  /* larger datagrams are refused, as with EMSGSIZE; 0: none */
    uint64_t interface_from_ns; /* any are taken before */
    uint32_t stall_ppm;         /* reads that are delayed, by at most stall_ns */
    uint64_t stall_ns;
    uint32_t queue_max;        /* datagrams that the socket keeps meanwhile; 0: any number */
    uint64_t memory_bytes_max; /* of all its pools; 0: any amount */
    bool resumes_paths;        /* its later connections resume what the earlier have measured */
    bool sends_resets;         /* answers unknown packets with a Stateless Reset */
    bool sends_new_token;      /* server: gives each client a token for its next connection */
    bool has_preferred;        /* server: has an address to which it wants its clients to move */
    bool sends_retry;          /* server: demands a token of every client */
    bool keeps_early;          /* server: keeps 0-RTT that comes before its Initial */
    bool speaks_other_version; /* server: answers version 1 with Version Negotiation */
    /* Server: somebody on the way answers so many of the client's first Initials, in its place,
     * with a Version Negotiation that lists the other version that we know. */
    uint32_t forged_negotiations;
    bool drops_first_close; /* its first CONNECTION_CLOSE gets lost */
    uint32_t cid_count_max; /* that its peers have at a time; 0: any number */
    uint64_t crash_at_ns;   /* loses all its connections then; 0: never */
    struct qs_app_plan app;
};

/* A packet that breaks the protocol: the first one of `type` from number `pn_min` on that `role`
 * sends with enough room gets these frames instead of its own, and PADDING. */
struct qs_forgery {
    bool is_wanted;
    enum sp_role role;
    enum sp_packet_type type;
    uint64_t pn_min;
    uint8_t frames[256];
    size_t size;
};

/* Hostile clients beside the others: see monkey.h.  No count: none. */
struct qs_monkeys_plan {
    uint32_t count;
    uint32_t datagrams_max; /* that one of them sends, at least 1 */
    uint64_t start_ns_max;  /* when the last one begins */
    bool meddles;           /* the canary: a victim takes a random number of its host */
};

/* How the connections of one side must end.  TRANSPORT and APP with their error. */
struct qs_expect {
    enum sp_close_kind kind; /* NONE: no matter how */
    uint64_t error;
};

/* Moves of every client to other addresses of its own, once the first handshakes are over: each to
 * one where it was not before. */
struct qs_moves_plan {
    uint32_t count; /* 0: none */
    uint64_t at_ns;
    uint64_t every_ns;
    uint32_t dead_ppm; /* addresses from which nothing passes */
    size_t mtu_max;    /* .. and from the others 1,200 to so many bytes, the same in both
                          directions; 0: any */
};

/* The server replaces the CIDs of all its connections: see renewals.h. */
struct qs_renewals_plan {
    uint32_t count; /* 0: never */
    uint64_t at_ns;
    uint64_t every_ns;
    bool clients_too;
};

/* An attacker who sees the client's 1-RTT packets, and sends copies from an address of its own.  It
 * gets what the server sends there, and answers nothing. */
struct qs_copier_plan {
    uint32_t copy_ppm;   /* packets that are copied; 0: there is no attacker */
    uint64_t race_ns;    /* the copy comes before the original, by at most this */
    uint32_t forged_ppm; /* copies that are altered: a spoofed source */
    bool has_many;       /* each copy comes from another address */
    bool goes_elsewhere; /* copies go to the address that the server prefers, all of them */
};

struct qs_meter;

struct qs_plan {
    char name[64];
    struct qs_meter *meter; /* borrowed; NULL: nothing is measured */
    const char *note;       /* said at the beginning of the text; or NULL */
    uint64_t seed;
    bool verbose;
    const char *qlog_folder; /* for a file of qlog per end, borrowed; NULL: none */
    bool real_crypto;
    bool needs_null;     /* means nothing with the real handshake */
    uint32_t conn_count; /* connections that the client opens */
    uint64_t conn_interval_ns;
    /* The client's connections after the first use the tickets and tokens that it has got, once. */
    bool resumes;
    bool wants_early; /* with 0-RTT, where the ticket allows it */
    /* The server's configuration for the connections after the first. */
    bool has_later;
    struct sp_config later;
    struct qs_path_plan path[QS_SIDES];
    struct qs_side_plan side[QS_SIDES];
    struct qs_tls_plan tls;
    struct qs_null_plan protect;
    struct {
        uint64_t at_ns;    /* after the handshakes the client's NAT forgets it */
        uint64_t every_ns; /* .. and again */
        uint32_t count;    /* in all; 0: never */
        bool changes_ip;   /* and not the port alone */
    } rebind;
    struct qs_moves_plan moves;
    struct qs_renewals_plan renewals;
    struct qs_copier_plan copier;
    uint64_t faults_end_ns;
    uint64_t work_ns;      /* all streams are done at most this long after the faults' end */
    bool must_complete;    /* every byte of every stream must get through */
    bool may_time_out;     /* ends by timeouts are no failure */
    bool may_lack_memory;  /* ends for lack of memory are no failure */
    bool may_send_nothing; /* the client may end before its first packet */
    struct qs_expect expect[QS_SIDES];
    uint64_t lost_max;             /* datagrams that may get lost; 0: any number */
    uint64_t rtt_ns_max[QS_SIDES]; /* the smoothed round trip that an end may have at last; 0: any
                                    */
    uint64_t datagram_bytes_min[QS_SIDES]; /* the size that an end's datagrams must have at last */
    uint64_t over_ns;       /* everything is freed by this time; 0: the latest allowed time */
    bool opens_all;         /* there is a key for every packet that comes */
    bool keeps_all;         /* only duplicate packets are dropped */
    bool delivers_messages; /* every message arrives */
    bool has_no_ptos;       /* what is in flight is acknowledged before a PTO fires */
    bool judges_control;    /* in the end both sides know all of each other's CIDs */
    struct qs_forgery forgery;
    struct qs_monkeys_plan monkeys;
    uint32_t version;             /* that connections which complete must have; 0: any */
    uint32_t resumed_min;         /* connections that must have been resumed, .. */
    uint32_t accepted_min;        /* .. whose 0-RTT must have been accepted, .. */
    uint32_t rejected_min;        /* .. and rejected */
    uint32_t kept_min;            /* 0-RTT datagrams that must have come before their Initials */
    uint32_t migrated_min;        /* moves of clients that must have succeeded */
    uint32_t retired_min;         /* CIDs that clients must have retired */
    uint32_t preferred_min;       /* .. to the address that the server prefers */
    uint32_t proven_min;          /* .. that a token of NEW_TOKEN must have proved */
    uint64_t key_updates_min;     /* that both sides together must have made */
    uint64_t ack_frequencies_min; /* frames that both sides together must have received */
    uint64_t resets_at_min;  /* with a reliable size, that both sides together must have read */
    uint32_t check_interval; /* sp_conn_check() on every n-th step; 0: never */
    bool lies_to_the_reader; /* the canary: the application expects other bytes */
    bool forgets_timers;     /* the canary: the host drops timers of its connections */
};

/* A quiet network of 20 ms round trip, two streams that carry some ten thousand
 * bytes each way, and a client that closes when all is done. */
void qs_plan_init(struct qs_plan *plan, uint64_t seed);

/* For both sides: bytes on a stream; timeouts; faults for 10 s and more time for the probe timeouts
 * that they cause; the end to expect. */
void qs_plan_set_bytes(struct qs_plan *plan, uint64_t min, uint64_t max);
void qs_plan_set_timeouts(struct qs_plan *plan, uint64_t handshake_ns, uint64_t idle_ns);
void qs_plan_set_faults(struct qs_plan *plan);
void qs_plan_set_loss(struct qs_plan *plan, uint32_t percent); /* and set_faults() */
void qs_plan_expect(struct qs_plan *plan, enum sp_close_kind kind, uint64_t error);

/* Returns the time from credit that is given to the next that can be: a round trip, and what both
 * ends add. */
uint64_t qs_plan_round_ns(const struct qs_plan *plan);

/* Returns how long the peer of `role` may take to lend memory for all that comes on one connection,
 * on average. */
uint64_t qs_plan_lend_ns(const struct qs_plan *plan, int role);

/* Returns how long the credit of slow readers and small windows may take for all bytes of a
 * connection, after the faults' end and with nothing else in the way. */
uint64_t qs_plan_credit_ns(const struct qs_plan *plan);

/* Returns the time by which everything must be freed, closing and draining included. */
uint64_t qs_plan_end_ns(const struct qs_plan *plan);

#endif
