/* SPDX-License-Identifier: MIT */
#include "engine/shard/shutdown.h"

/* The end of a shard in order.
 *
 * New connections are refused at once, and so are those that have not finished their handshake: the
 * application does not know them yet, and strangers could otherwise hold up the end.  After a
 * hand-over they may finish, because their clients have nobody else.  The others may finish until
 * the deadline.  Then they are closed.  A shard is done when the last connection
 * has drained, tombstones included, so that a CONNECTION_CLOSE that was lost is sent again.
 *
 * Looking at many connections takes long: a turn looks at VISITS_PER_TURN of them.  Each visit
 * moves the connection to the end of the shard's list, so a walk of visits_left steps sees all. */

#include <errno.h>
#include <string.h>

#include "engine/base/clock.h"
#include "engine/net/handover.h"
#include "engine/shard/shard.h"

enum {
    VISITS_PER_TURN = 256, /* some hundred microseconds */
};

int se_shutdown_args_init(struct se_shutdown_args *ret, uint64_t now_ns, uint64_t timeout_ns,
                          uint64_t error, const char *reason)
{
    if (error > SB_VARINT_MAX)
        return -EINVAL;
    *ret = (struct se_shutdown_args){
        .deadline_ns = sb_time_add(now_ns, timeout_ns),
        .error = error,
    };
    if (reason != NULL) {
        ret->reason_size = (uint32_t)strnlen(reason, sizeof(ret->reason));
        memcpy(ret->reason, reason, ret->reason_size);
    }
    return 0;
}

static void walk_all(struct spate_shard *shard, enum se_shutdown_state state)
{
    shard->shutdown.state = state;
    shard->shutdown.visits_left = shard->conn_count;
}

/* Tasks look at once: what they keep open ends in order, and has no other reason to be looked at
 * before the deadline. */
static void tell_tasks(struct spate_shard *shard)
{
    SB_LIST_EACH(link, &shard->tasks) {
        struct se_task *task = SB_CONTAINER_OF(link, struct se_task, link);
        se_wheel_set(&shard->wheel, &task->timer, shard->now_ns);
    }
}

void se_shutdown_begin(struct spate_shard *shard, const struct se_shutdown_args *args)
{
    bool wants_event = shard->shutdown.args.wants_event || args->wants_event;
    shard->shutdown.args = *args;
    shard->shutdown.args.wants_event = wants_event;
    if (shard->shutdown.state == SE_SHUTDOWN_NONE) {
        walk_all(shard, SE_SHUTDOWN_FINISHING);
        tell_tasks(shard);
    } else if (shard->shutdown.state == SE_SHUTDOWN_DONE) {
        shard->shutdown.state = SE_SHUTDOWN_CLOSING; /* to report it once more */
    }
}

bool se_shutdown_refuses(const struct spate_shard *shard)
{
    enum se_shutdown_state state = shard->shutdown.state;
    if (state == SE_SHUTDOWN_FINISHING)
        return !se_handover_is_given(shard->handover);
    return state != SE_SHUTDOWN_NONE;
}

static void visit(struct spate_shard *shard, struct spate_conn *conn)
{
    const struct se_shutdown *shutdown = &shard->shutdown;
    if (!se_conn_is_announced(conn) && se_shutdown_refuses(shard))
        sp_conn_close_transport(conn->proto, SP_ERR_CONNECTION_REFUSED, "shutting down",
                                shard->now_ns);
    else if (shutdown->state == SE_SHUTDOWN_CLOSING)
        sp_conn_close(conn->proto, shutdown->args.error, shutdown->args.reason,
                      shutdown->args.reason_size, shard->now_ns);
    else
        return;
    se_conn_touch(conn);
}

static SB_NEVER_INLINE bool run(struct spate_shard *shard)
{
    struct se_shutdown *shutdown = &shard->shutdown;
    if (shutdown->state == SE_SHUTDOWN_FINISHING && shutdown->args.deadline_ns <= shard->now_ns)
        walk_all(shard, SE_SHUTDOWN_CLOSING);

    for (uint32_t i = 0; i < VISITS_PER_TURN && shutdown->visits_left > 0; i++) {
        struct sb_link *link = sb_list_pop_front(&shard->all);
        shutdown->visits_left--;
        if (link == NULL)
            continue;
        sb_list_push_back(&shard->all, link);
        visit(shard, SB_CONTAINER_OF(link, struct spate_conn, all_link));
    }
    return shutdown->visits_left > 0;
}

bool se_shutdown_is_begun(const struct spate_shard *shard)
{
    const struct se_shutdown *shutdown = &shard->shutdown;
    return shutdown->state == SE_SHUTDOWN_FINISHING || shutdown->visits_left > 0;
}

bool se_shutdown_run(struct spate_shard *shard)
{
    return SB_UNLIKELY(se_shutdown_is_begun(shard)) && run(shard);
}

/* Returns whether nothing is left to wait for. */
static bool is_complete(const struct spate_shard *shard)
{
    enum se_shutdown_state state = shard->shutdown.state;
    bool is_ending = state == SE_SHUTDOWN_FINISHING || state == SE_SHUTDOWN_CLOSING;
    return is_ending && shard->conn_count == 0 && shard->tombstones.count == 0 &&
           se_handover_linger_end_ns(shard) == SB_NEVER;
}

void se_shutdown_finish(struct spate_shard *shard)
{
    struct se_shutdown *shutdown = &shard->shutdown;
    if (!is_complete(shard))
        return;
    if (shutdown->args.wants_event && !se_events_push_shutdown(&shard->events))
        return; /* no room: after the application has taken some */
    shutdown->state = SE_SHUTDOWN_DONE;
    shutdown->args.wants_event = false;
}

uint64_t se_shutdown_wake_ns(const struct spate_shard *shard)
{
    const struct se_shutdown *shutdown = &shard->shutdown;
    if (shutdown->state == SE_SHUTDOWN_NONE || shutdown->state == SE_SHUTDOWN_DONE)
        return SB_NEVER;
    if (is_complete(shard))
        return 0; /* it began without connections: the end of a turn is all that is missing */
    uint64_t deadline_ns =
        shutdown->state == SE_SHUTDOWN_FINISHING ? shutdown->args.deadline_ns : SB_NEVER;
    return SB_MIN(deadline_ns, se_handover_linger_end_ns(shard));
}
