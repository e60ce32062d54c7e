/* SPDX-License-Identifier: MIT */
#ifndef QS_END_H
#define QS_END_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/conn/conn.h"
#include "proto/conn/tombstone.h"
#include "test/sim/app.h"
#include "test/sim/oracle.h"
#include "test/sim/oracle_path.h"
#include "test/sim/qlog.h"
#include "test/sim/random.h"
#include "test/sim/tap.h"

struct qs_host;

enum { QS_END_CIDS_MAX = 32 };

/* One end of one connection: the connection, its application, what watches it, and
 * where it stands in its host.  It outlives its connection until the run is over. */
struct qs_end {
    struct qs_host *host;
    char who[16];
    uint64_t conn_index;  /* equal on both sides */
    bool is_stray;        /* a server's connection that no client's is waiting for */
    bool was_dropped;     /* made for garbage, or crashed */
    struct sp_conn *conn; /* NULL: freed */
    struct sp_path path;
    struct qs_tap tap;
    struct qs_oracle oracle;
    struct qs_oracle_path paths; /* server */
    struct qs_qlog *qlog;        /* what `conn` records; NULL: nothing */
    uint32_t path_counts[4];     /* SP_EVENT_PATH, by enum sp_path_change */
    struct qs_app app;
    struct qs_random random; /* of the connection: TLS, CIDs */
    uint32_t version;        /* of QUIC */
    struct sp_stats stats;   /* as they were at its end */
    enum sp_early_state early;
    bool was_resumed;
    bool is_proven;      /* server: by a token of NEW_TOKEN */
    struct sp_tls *made; /* client: until the connection takes it */

    struct sp_cid cids[QS_END_CIDS_MAX];
    uint32_t cid_count;
    struct sp_cid first_cid; /* stays when the end is gone: old packets name it */
    uint8_t tokens[QS_END_CIDS_MAX][SP_RESET_TOKEN_SIZE];
    uint32_t token_count;

    struct sp_datagram inbox[SP_BATCH_MAX];
    uint32_t inbox_count;
    bool has_dropped_close;

    struct sp_tombstone tombstone; /* of a closed connection, while is_buried */
    bool is_buried;
    bool has_died; /* it was decided whether it is buried */
    bool is_never_buried;
    uint64_t answer_count; /* datagrams of the tombstone */
    uint64_t answer_elsewhere_count;

    uint32_t move_count;    /* client: so often it has tried to move */
    uint32_t retired_count; /* CIDs of it that are gone, while it was open */

    bool has_received; /* a full inbox, in this turn: a step is due */

    uint64_t timer_ns;      /* when the clock will look at the deadline; SB_NEVER: not */
    uint64_t full_until_ns; /* the socket takes nothing before */
    uint64_t depart_ns;     /* of the last train: no other one may overtake it */
    bool must_wake;         /* a step is due */
    bool waits_for_tls;     /* for the answer to SP_EVENT_TLS_WAIT */
    struct qs_spins spins;
    uint64_t step_count;

    bool was_last;             /* the last train says that nothing follows */
    uint32_t last_train_count; /* the size of the train that sp_conn_send() left empty last */
    struct sp_send_wait wait;  /* as of the last step */
    uint64_t timer_count;      /* timers that were set */
};

struct qs_end_args {
    struct qs_host *host;
    uint64_t conn_index;
    uint64_t serial; /* in this host */
    bool is_stray;
    struct sp_path path;
    uint32_t version;          /* server */
    struct sp_cid client_dcid; /* server */
    struct sp_cid client_scid;
    bool has_retry; /* server: see struct sp_conn_args */
    bool is_proven; /* server: by a token of NEW_TOKEN */
    struct sp_cid original_dcid;
};

/* Makes an end and its connection.  NULL if the connection could not be made. */
struct qs_end *qs_end_create(const struct qs_end_args *args);
/* NULL is accepted. */
void qs_end_destroy(struct qs_end *end);

/* Takes what is in the inbox as one batch, and its references. */
void qs_end_receive(struct qs_end *end);

/* Pulls events, lets the application work, sends, and sets the timer. */
void qs_end_step(struct qs_end *end);

/* Has the end step soon. */
void qs_end_wake(struct qs_end *end);

/* Destroys the connection at once, whatever its state. */
void qs_end_drop_conn(struct qs_end *end);

bool qs_end_has_cid(const struct qs_end *end, const struct sp_cid *cid);
bool qs_end_has_token(const struct qs_end *end, const uint8_t token[SP_RESET_TOKEN_SIZE]);

#endif
