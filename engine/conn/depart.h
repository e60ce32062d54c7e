/* SPDX-License-Identifier: MIT */
#ifndef SE_DEPART_H
#define SE_DEPART_H

#include <stdbool.h>
#include <stdint.h>

#include "proto/base/time.h"
#include "proto/wire/types.h"
#include "uring/qdisc.h"

struct spate_conn;
struct spate_shard;

/* Times of departure: where the interface of a path has the queueing discipline fq, the kernel
 * holds trains until the pacer's times.
 *
 * Without that a paced connection wakes its shard for each train.  With it trains are made some
 * milliseconds ahead, smaller ones, and leave evenly.  Whether a path has fq is looked up when its
 * pacer holds something back for the first time; most connections never come that far.  A path of
 * which it is not known sends as before. */
struct se_depart {
    bool is_on;          /* the configuration allows it, and some interface has fq, or may have */
    bool is_asked;       /* whether one has */
    uint8_t train_count; /* trains until then */
    struct su_qdisc qdisc;
};

/* What a connection knows of its path in use, and the time before which nothing more may leave. */
struct se_conn_depart {
    uint64_t last_ns;     /* when the last train departs */
    uint32_t path_number; /* of the path that was looked up, plus 1; 0: none */
    bool is_held;         /* the kernel holds trains on that path */
};

/* The longest time for which trains are made ahead. */
#define SE_DEPART_AHEAD_NS (2 * SB_MS)

void se_depart_init(struct se_depart *depart, bool is_wanted);
void se_depart_deinit(struct se_depart *depart);

/* Finds out once whether there is any fq: where the shard begins to listen, for a client when its
 * pacer holds something back for the first time, or soon.  One that sends little need not know.
 * Never fails: without fq `is_on` is false afterwards. */
void se_depart_ask(struct se_depart *depart);

/* Lets `train` be made ahead if the kernel holds trains on the path in use. */
void se_depart_prepare(const struct spate_conn *conn, struct sp_train *train);

/* The connection has nothing to send now.  Looks its path up if the pacer is the reason, and that
 * was not done yet.  Returns true if the kernel holds trains there: then it is worth another try.
 */
bool se_depart_look(struct spate_conn *conn);

#endif
