/* SPDX-License-Identifier: MIT */
#ifndef SPATE_SWARM_SWARM_H
#define SPATE_SWARM_SWARM_H

#include <openssl/evp.h>
#include <sys/queue.h>

#include <spate/spate.h>

#include "tools/spate/files/auth.h"
#include "tools/spate/files/worker.h"
#include "tools/spate/progress.h"
#include "tools/spate/swarm/disk.h"
#include "tools/spate/swarm/options.h"
#include "tools/spate/swarm/picker.h"
#include "tools/spate/swarm/store.h"

/* One run of "spate swarm seed" or "spate swarm fetch": connections (peer.c, target.c), what others
 * ask of us (serve.c), what we ask of others (fetch.c, piece.c), and what is shown (report.c). */

enum {
    SWARM_RUNS_MAX = 32,     /* of one peer at a time */
    SWARM_REQUESTS_MAX = 64, /* streams that a peer may have open */
    SWARM_OUT_SIZE = 4096,   /* of messages that are on their way to a peer */
};

struct swarm;
struct swarm_peer;

/* What the stream_user of an event is. */
enum swarm_stream_kind { SWARM_CONTROL_STREAM, SWARM_REQUEST_STREAM, SWARM_RUN_STREAM };

struct swarm_stream {
    enum swarm_stream_kind kind;
    struct swarm_peer *peer;
    uint64_t id;
};

/* A stream of the peer with one request. */
struct swarm_request {
    struct swarm_stream stream;
    bool is_used;
    bool is_answered;
    struct swarm_reader reader;
};

/* A stream of ours with a request for a run of blocks.  Its answer is their bytes and nothing else,
 * in memory that is lent from the beginning. */
struct swarm_run {
    struct swarm_stream stream;
    LIST_ENTRY(swarm_run) link; /* of its slot; in none when `slot` is -1 */
    bool is_used;
    bool is_lent;
    bool is_open;      /* the stream */
    bool is_cancelled; /* its blocks were given up */
    bool is_copy;      /* end game: `to` is memory of its own */
    bool is_landing;   /* a copy that is complete, and waits until nobody else writes there */
    int slot;
    uint32_t first;
    uint32_t count;
    uint32_t done; /* blocks that are there, from `first` */
    uint32_t size;
    uint32_t got;
    uint64_t late_ns; /* when it is given up */
    uint8_t *to;
    uint8_t message[SWARM_MESSAGE_SIZE_MAX];
};

/* What a slot of the picker has beside its blocks. */
struct swarm_slot {
    LIST_HEAD(, swarm_run) runs;
    uint8_t *memory; /* of the piece: in a mapped file, or `buffer` */
    uint8_t *buffer; /* for pieces in several files; NULL before the first */
    struct swarm *swarm;
    struct files_lane lane;
    struct files_job job; /* the worker hashes `hash_from` to `hash_to`, which are in the piece */
    uint32_t hash_from;
    uint32_t hash_to;
    uint64_t hash_ns;   /* that it took; of the profile */
    uint32_t hashed;    /* blocks from the start of the piece that are in the hash */
    uint32_t round;     /* of the picker's slot, that the hash is of */
    uint32_t lent;      /* runs whose memory is in `memory` */
    uint32_t writing;   /* writes that are on their way */
    uint8_t solo_owner; /* of the picker's slot when it was looked at, if it is_solo */
    uint64_t solo_ns;   /* since when it is, or its last block */
    uint32_t solo_most; /* blocks that were there at a time, while it is_solo */
    EVP_MD_CTX *hash;
};

/* A peer that the command line names. */
struct swarm_target {
    struct swarm *swarm;
    const struct swarm_named *named;
    struct spate_tls *tls;
    struct swarm_peer *peer; /* NULL: not connected */
    struct net_addresses addresses;
    uint32_t address_next;
    uint64_t try_ns;
    uint64_t pause_ns;
    bool is_given_up;
    bool is_refused; /* for a reason that was printed */
    char why[200];
};

/* The life of a peer's connection, in order; from each stage it may be closed. */
enum swarm_peer_stage {
    SWARM_PEER_CONNECTING,
    SWARM_PEER_CONNECTED, /* its HELLO has not come */
    SWARM_PEER_READY,     /* it has proved that it knows the content */
    SWARM_PEER_CLOSING,   /* what it says does not count */
};

struct swarm_peer {
    struct swarm *swarm;
    struct spate_conn *conn;
    struct swarm_target *target; /* NULL: it has connected to us */
    enum swarm_peer_stage stage;
    uint8_t index;
    bool has_control;
    bool is_choking; /* it answers no request */
    bool is_choked;  /* we answer none */
    bool is_told_choked;
    bool is_slow;
    bool is_out; /* `out` is lent */
    bool is_greeted;
    bool has_bitfield;
    bool is_other; /* HELLO has another ID */
    struct swarm_stream control;
    struct swarm_reader reader;
    uint8_t proof[SWARM_PROOF_SIZE];
    uint8_t *have;
    uint32_t have_count;
    uint64_t control_id;
    uint32_t announced; /* entries of the swarm's `log` */
    uint8_t *out;       /* messages on their way; SWARM_OUT_SIZE and a bitfield */
    struct swarm_run runs[SWARM_RUNS_MAX];
    struct swarm_request requests[SWARM_REQUESTS_MAX];
    uint64_t asked_bytes; /* that are on their way to us */
    double rate;          /* bytes per second, from the peer */
    uint64_t window_bytes;
    uint64_t window_ns;
    uint64_t connected_ns;
    uint64_t chokes_ns; /* since when `chokes` are counted */
    uint32_t chokes;
    uint64_t alive_ns; /* the last bytes, or the first request after none */
    uint64_t pause_ns; /* no request before it */
    uint64_t bytes_in;
    uint64_t bytes_out; /* acknowledged */
    uint64_t looked_out;
    uint64_t unchoked_ns;
};

/* Where the CPU time of the shard's thread goes, each bit of it in the innermost stage.  Hashing is
 * the worker's, but for the end of each hash. */
enum swarm_stage {
    SWARM_STAGE_TURN, /* the library: network and cipher */
    SWARM_STAGE_HEADER,
    SWARM_STAGE_DISPATCH,
    SWARM_STAGE_PLACING,
    SWARM_STAGE_HASHING,
    SWARM_STAGE_WRITING,
    SWARM_STAGE_COUNT,
};

struct swarm_profile {
    bool is_on;
    enum swarm_stage stage;
    uint64_t since_ns;
    uint64_t ns[SWARM_STAGE_COUNT];
    uint64_t count[SWARM_STAGE_COUNT];
};

struct swarm {
    const struct swarm_options *options;
    struct meta meta;
    int root;
    struct store store;
    struct picker picker;
    struct disk disk;
    struct files_worker worker;
    struct swarm_slot *slots;
    EVP_MD *digest;
    struct files_token token;
    char known[FILES_PATH_SIZE];
    struct spate_engine *engine;
    struct spate_shard *shard;
    struct spate_tls *tls; /* for those who connect to us */
    bool has_ring;         /* for writes: io_uring */
    bool has_failed;       /* for a reason that was printed */
    bool is_done;
    bool is_ending; /* connections are being closed */
    struct swarm_target targets[SWARM_TARGETS_MAX];
    struct swarm_peer *peers[PICKER_PEERS_MAX];
    uint32_t peer_count;
    uint32_t *log; /* pieces that have become complete, in that order */
    uint32_t log_count;
    uint64_t copy_bytes; /* in memory of copies now */
    uint64_t look_ns;
    uint64_t alive_ns; /* the last block that was new */
    uint64_t start_ns;
    uint64_t end_ns;

    uint64_t bytes_in;
    uint64_t bytes_out;
    uint64_t blocks_in;
    uint64_t blocks_twice; /* that came although they were there */
    uint64_t bytes_copied; /* here: blocks of the end game */
    uint64_t pieces_bad;
    uint64_t pieces_before; /* that were there at the start */
    uint32_t peers_banned;
    uint32_t peers_max;
    uint32_t slots_used_max;

    struct swarm_profile profile;
    struct progress progress;
};

/* ---- peer.c ---- */

/* Makes a peer of a connection.  Returns NULL when there are too many.  When there soon will be,
 * the one that has said nothing for longest is closed: connecting takes no ID and no token. */
struct swarm_peer *swarm_peer_create(struct swarm *swarm, struct spate_conn *conn,
                                     struct swarm_target *target);
void swarm_peer_close(struct swarm_peer *peer, enum swarm_code code);
void swarm_peer_destroy(struct swarm_peer *peer);

/* Closes connections that do not introduce themselves. */
void swarm_peers_look(struct swarm *swarm, uint64_t now_ns);

/* Sends what the peer should know, if the last of it has arrived. */
void swarm_peer_tell(struct swarm_peer *peer);
void swarm_peer_event(struct swarm_peer *peer, struct spate_event *event);
void swarm_event(struct swarm *swarm, struct spate_event *event);

/* ---- target.c ---- */

bool swarm_targets_init(struct swarm *swarm);
void swarm_targets_deinit(struct swarm *swarm);

/* Connects to those whose time has come. */
void swarm_targets_try(struct swarm *swarm, uint64_t now_ns);
void swarm_target_closed(struct swarm_target *target, const struct spate_close *close);

/* ---- serve.c ---- */

void swarm_request_data(struct swarm_request *request, const uint8_t *data, size_t size, bool fin);

/* Chokes and unchokes. */
void swarm_serve_look(struct swarm *swarm, uint64_t now_ns);

/* ---- fetch.c ---- */

/* Asks peers for as much as they deserve. */
void swarm_fetch_fill(struct swarm *swarm);
void swarm_run_event(struct swarm_run *run, struct spate_event *event);

/* Gives up what a peer was asked for. */
void swarm_fetch_cancel(struct swarm_peer *peer);
void swarm_run_cancel(struct swarm_run *run);

/* Notes which peers are slow. */
void swarm_fetch_look(struct swarm *swarm, uint64_t now_ns);

/* Frees the runs of a peer whose connection has ended. */
void swarm_fetch_forget(struct swarm_peer *peer);

/* Takes a run out of its slot. */
void swarm_run_detach(struct swarm_run *run);

/* Frees a run when neither the library nor its piece needs it. */
void swarm_run_release(struct swarm_run *run);

/* ---- piece.c ---- */

bool swarm_pieces_init(struct swarm *swarm);
void swarm_pieces_deinit(struct swarm *swarm);

/* Takes pieces whose memory is there now. */
void swarm_pieces_ready(struct swarm *swarm);

/* Opens a piece for a peer.  Returns false if there is none. */
bool swarm_piece_open(struct swarm_peer *peer);

/* Blocks have come: has them hashed, and verifies the piece when it is complete. */
void swarm_piece_look(struct swarm *swarm, int slot);

/* ---- report.c ---- */

void swarm_report_begin(struct swarm *swarm);
void swarm_report_show(struct swarm *swarm);
void swarm_report_end(struct swarm *swarm, int status);

/* Prints a line, after the progress was removed. */
void swarm_say(struct swarm *swarm, const char *format, ...) __attribute__((format(printf, 2, 3)));

/* Returns the CPU time of the calling thread. */
uint64_t swarm_cpu_ns(void);

/* Begins a stage; returns the one before, for swarm_profile_end(). */
enum swarm_stage swarm_profile_begin(struct swarm *swarm, enum swarm_stage stage);
void swarm_profile_end(struct swarm *swarm, enum swarm_stage before);

/* ---- make.c ---- */

int swarm_make(const struct swarm_options *options);

#endif
