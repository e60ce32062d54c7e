/* SPDX-License-Identifier: MIT */
#include "engine/pool/core.h"

/* One function, se_pool_run(), does all that time brings; what happens in between (a connection is
 * ready, one has ended, a result was reported) changes state and makes a run due.
 *
 * Two things keep a client from hammering a server that is in trouble.  The back-off of a peer
 * spaces the attempts of its members.  The breaker stops them all, and then lets one attempt, or
 * trials_max pieces of work, find out.  Both forget a trouble only when a connection has lived for
 * SE_POOL_SETTLED_MS or the application has reported a success: a server that accepts and dies is
 * in trouble too.
 *
 * A connection hangs if it owes an answer (bytes are in flight) for hang_ns and no packet comes.
 * The PINGs of its keep-alive make an idle one owe an answer. */

#include "proto/base/assert.h"
#include "proto/base/time.h"

#define SETTLED_NS (SE_POOL_SETTLED_MS * SB_MS)
#define DRAIN_NS   (SE_POOL_DRAIN_MS * SB_MS)
/* A connection that owes an answer for this part of hang_ns gets no more work if others can. */
#define SUSPECT_PART 4

void se_pool_init(struct se_pool *pool, const struct se_pool_config *config,
                  const struct se_pool_ops *ops, void *context)
{
    SB_ASSERT(config->check_ns > 0 && config->hang_ns > 0);
    *pool = (struct se_pool){
        .config = *config,
        .ops = ops,
        .context = context,
        .next_ns = SB_NEVER,
    };
    sb_list_init(&pool->peers);
}

/* Makes a run due at `at_ns`. */
static void wake_at(struct se_pool *pool, uint64_t at_ns)
{
    pool->next_ns = sb_time_min(pool->next_ns, at_ns);
}

void se_pool_add(struct se_pool *pool, struct se_pool_peer *peer, struct se_member *members,
                 uint32_t member_count, uint64_t now_ns)
{
    SB_ASSERT(member_count > 0);
    SB_ASSERT(!pool->is_draining);
    *peer = (struct se_pool_peer){
        .pool = pool,
        .id = ++pool->last_id,
        .drain_ns = SB_NEVER,
        .member_count = member_count,
        .members = members,
    };
    se_breaker_init(&peer->breaker, &pool->config.breaker);
    for (uint32_t i = 0; i < member_count; i++) {
        members[i] = (struct se_member){.peer = peer, .due_ns = now_ns};
        se_backoff_init(&members[i].backoff, pool->config.backoff_ns, pool->config.backoff_ns_max);
    }
    sb_list_init(&peer->link);
    sb_list_push_back(&pool->peers, &peer->link);
    pool->peer_count++;
    wake_at(pool, now_ns);
}

struct se_pool_peer *se_pool_find(const struct se_pool *pool, uint64_t id)
{
    SB_LIST_EACH(link, &pool->peers) {
        struct se_pool_peer *peer = SB_CONTAINER_OF(link, struct se_pool_peer, link);
        if (peer->id == id)
            return peer;
    }
    return NULL;
}

uint32_t se_pool_peer_count(const struct se_pool_peer *peer, enum se_member_state state)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < peer->member_count; i++)
        count += peer->members[i].state == state;
    return count;
}

static uint64_t draw(struct se_pool *pool)
{
    return pool->ops->random(pool->context);
}

/* ---- successes and failures of a peer ---- */

/* A trial has succeeded, or more than that. */
static void on_trial_success(struct se_pool_peer *peer, uint64_t now_ns)
{
    struct se_pool *pool = peer->pool;
    if (!se_breaker_succeed(&peer->breaker))
        return;
    for (uint32_t i = 0; i < peer->member_count; i++) { /* the others follow, not all at once */
        uint64_t pause_ns = se_backoff_scale(draw(pool), pool->config.backoff_ns);
        if (peer->members[i].state != SE_MEMBER_IDLE)
            continue;
        peer->members[i].due_ns = sb_time_add(now_ns, pause_ns);
        wake_at(pool, peer->members[i].due_ns); /* a run may have passed it already */
    }
}

static void on_success(struct se_pool_peer *peer, uint64_t now_ns)
{
    for (uint32_t i = 0; i < peer->member_count; i++)
        se_backoff_reset(&peer->members[i].backoff);
    on_trial_success(peer, now_ns);
}

static void on_failure(struct se_pool_peer *peer, uint64_t now_ns)
{
    struct se_pool *pool = peer->pool;
    if (se_breaker_fail(&peer->breaker, now_ns, draw(pool)))
        pool->counts.breaker_openings++;
    wake_at(pool, now_ns);
}

/* The member has no connection: sets the time of its next attempt. */
static void retire(struct se_member *member, uint64_t now_ns)
{
    struct se_pool_peer *peer = member->peer;
    member->state = SE_MEMBER_IDLE;
    member->handle = NULL;
    member->due_ns = sb_time_add(now_ns, se_backoff_fail(&member->backoff, draw(peer->pool)));
    wake_at(peer->pool, now_ns);
}

/* ---- what time brings ---- */

/* -ENOBUFS and the like are no fault of the peer, but an attempt that fails at once is due again
 * after a pause all the same.  The breaker counts it too: the application sees why there is no
 * connection, and nobody spins. */
static void begin_connect(struct se_member *member, uint64_t now_ns)
{
    struct se_pool_peer *peer = member->peer;
    struct se_pool *pool = peer->pool;
    void *handle = NULL;
    SB_ASSERT(member->state == SE_MEMBER_IDLE);
    pool->counts.connects++;
    if (peer->breaker.state == SE_BREAKER_HALF_OPEN)
        se_breaker_begin(&peer->breaker);
    if (pool->ops->connect(pool->context, member, &handle) != 0) {
        pool->counts.connects_failed++;
        retire(member, now_ns);
        on_failure(peer, now_ns);
        return;
    }
    member->state = SE_MEMBER_CONNECTING;
    member->handle = handle;
}

static void begin_close(struct se_member *member, bool is_fault)
{
    struct se_pool *pool = member->peer->pool;
    member->state = SE_MEMBER_CLOSING;
    pool->ops->close(pool->context, member->handle, is_fault);
}

/* Returns whether a member may begin an attempt.  A half-open breaker allows one at a time, and
 * none while a connection is there that work can try. */
static bool may_connect(const struct se_member *member, uint64_t now_ns)
{
    const struct se_pool_peer *peer = member->peer;
    switch (peer->breaker.state) {
    case SE_BREAKER_CLOSED:
        return now_ns >= member->due_ns;
    case SE_BREAKER_HALF_OPEN:
        return se_breaker_allows(&peer->breaker) &&
               se_pool_peer_count(peer, SE_MEMBER_CONNECTING) == 0 &&
               se_pool_peer_count(peer, SE_MEMBER_READY) == 0;
    case SE_BREAKER_OPEN:
        break;
    }
    return false;
}

/* Returns when to look at a connection again: also when it has lived long enough for a success. */
static uint64_t next_check_ns(const struct se_member *member, uint64_t now_ns)
{
    uint64_t next_ns = sb_time_add(now_ns, member->peer->pool->config.check_ns);
    uint64_t settled_ns = sb_time_add(member->since_ns, SETTLED_NS);
    return now_ns < settled_ns ? sb_time_min(next_ns, settled_ns) : next_ns;
}

/* Looks whether a connection answers.  Returns when to look again; SB_NEVER: it was closed. */
static uint64_t check(struct se_member *member, uint64_t now_ns)
{
    struct se_pool_peer *peer = member->peer;
    struct se_pool *pool = peer->pool;
    struct se_member_load load;
    pool->ops->look(pool->context, member->handle, &load);
    bool has_answered = load.packets_in != member->packets_in;
    member->packets_in = load.packets_in;
    if (has_answered || load.in_flight_bytes == 0 || !load.is_open)
        member->asked_ns = SB_NEVER;
    else if (member->asked_ns == SB_NEVER)
        member->asked_ns = now_ns;
    uint64_t silent_ns = sb_time_since(now_ns, member->asked_ns);
    if (silent_ns >= pool->config.hang_ns) {
        pool->counts.hangs++;
        pool->counts.conns_lost++;
        begin_close(member, true);
        on_failure(peer, now_ns);
        return SB_NEVER;
    }
    bool is_slow = pool->config.rtt_ns_max != 0 && load.rtt_ns > pool->config.rtt_ns_max;
    member->is_suspect = is_slow || silent_ns >= pool->config.hang_ns / SUSPECT_PART;
    if (!member->is_settled && now_ns >= member->since_ns + SETTLED_NS && !member->is_suspect) {
        member->is_settled = true;
        on_success(peer, now_ns);
    }
    return next_check_ns(member, now_ns);
}

/* Closes a connection of a draining peer that is unused, or whose time is up. */
static uint64_t drain_member(struct se_member *member, uint64_t now_ns)
{
    struct se_pool_peer *peer = member->peer;
    struct se_pool *pool = peer->pool;
    struct se_member_load load;
    pool->ops->look(pool->context, member->handle, &load);
    bool is_unused = load.streams == 0 || member->state == SE_MEMBER_CONNECTING;
    if (is_unused || now_ns >= peer->drain_ns) {
        begin_close(member, false);
        return SB_NEVER;
    }
    return sb_time_min(sb_time_add(now_ns, DRAIN_NS), peer->drain_ns);
}

static uint64_t run_member(struct se_member *member, uint64_t now_ns)
{
    struct se_pool_peer *peer = member->peer;
    switch (member->state) {
    case SE_MEMBER_IDLE:
        if (peer->is_draining)
            return SB_NEVER;
        if (may_connect(member, now_ns))
            begin_connect(member, now_ns);
        /* While the breaker is not closed, it says when the next attempt is due. */
        return member->state == SE_MEMBER_IDLE && peer->breaker.state == SE_BREAKER_CLOSED
                   ? member->due_ns
                   : SB_NEVER;
    case SE_MEMBER_CONNECTING:
        return peer->is_draining ? drain_member(member, now_ns) : SB_NEVER;
    case SE_MEMBER_READY: {
        uint64_t next_ns = check(member, now_ns);
        if (!peer->is_draining || member->state != SE_MEMBER_READY)
            return next_ns;
        return sb_time_min(next_ns, drain_member(member, now_ns));
    }
    case SE_MEMBER_CLOSING:
        break;
    }
    return SB_NEVER;
}

/* Without a failure for open_ns a half-open breaker counts a success, if there is a connection: an
 * application that reports nothing is not kept at trials for ever. */
static void run_breaker(struct se_pool_peer *peer, uint64_t now_ns)
{
    bool is_over = peer->breaker.state == SE_BREAKER_HALF_OPEN && now_ns >= peer->breaker.until_ns;
    (void)se_breaker_run(&peer->breaker, now_ns);
    if (is_over && se_pool_peer_count(peer, SE_MEMBER_READY) > 0)
        on_success(peer, now_ns);
}

uint64_t se_pool_run(struct se_pool *pool, uint64_t now_ns)
{
    if (now_ns < pool->next_ns)
        return pool->next_ns;
    uint64_t next_ns = SB_NEVER;
    pool->next_ns = SB_NEVER; /* what happens below may make another run due */
    SB_LIST_EACH(link, &pool->peers) {
        struct se_pool_peer *peer = SB_CONTAINER_OF(link, struct se_pool_peer, link);
        run_breaker(peer, now_ns);
        for (uint32_t i = 0; i < peer->member_count; i++)
            next_ns = sb_time_min(next_ns, run_member(&peer->members[i], now_ns));
        if (!peer->is_draining)
            next_ns = sb_time_min(next_ns, se_breaker_next_ns(&peer->breaker));
    }
    wake_at(pool, next_ns);
    return pool->next_ns;
}

/* ---- what happens ---- */

void se_pool_on_connected(struct se_member *member, uint64_t now_ns)
{
    struct se_pool_peer *peer = member->peer;
    if (member->state != SE_MEMBER_CONNECTING)
        return; /* it is being closed */
    member->state = SE_MEMBER_READY;
    member->since_ns = now_ns;
    member->packets_in = 0;
    member->asked_ns = SB_NEVER;
    member->is_suspect = false;
    member->is_settled = false;
    if (peer->breaker.state == SE_BREAKER_HALF_OPEN)
        on_trial_success(peer, now_ns); /* it has not lived yet: the pauses stay as they are */
    wake_at(peer->pool, now_ns);
}

void se_pool_on_closed(struct se_member *member, bool is_fault, uint64_t now_ns)
{
    struct se_pool_peer *peer = member->peer;
    struct se_pool *pool = peer->pool;
    enum se_member_state before = member->state;
    SB_ASSERT(before != SE_MEMBER_IDLE);
    bool is_early = before == SE_MEMBER_CONNECTING;
    bool was_short = before == SE_MEMBER_READY && now_ns < member->since_ns + SETTLED_NS;
    bool is_ours = before == SE_MEMBER_CLOSING;
    pool->counts.connects_failed += is_early;
    pool->counts.conns_lost += !is_early && !is_ours && is_fault;
    retire(member, now_ns);
    if (!peer->is_draining && !is_ours && (is_early || is_fault || was_short))
        on_failure(peer, now_ns);
}

/* ---- the choice ---- */

/* Returns whether `a` is a better choice than `b`. */
static bool is_better(const struct se_member_load *a, bool a_suspect,
                      const struct se_member_load *b, bool b_suspect)
{
    if (a_suspect != b_suspect)
        return b_suspect;
    if (a->streams != b->streams)
        return a->streams < b->streams;
    return a->rtt_ns < b->rtt_ns;
}

struct se_member *se_pool_acquire(struct se_pool *pool, const struct se_pool_peer *only)
{
    struct se_member *best = NULL;
    struct se_member_load best_load = {0};
    SB_LIST_EACH(link, &pool->peers) {
        struct se_pool_peer *peer = SB_CONTAINER_OF(link, struct se_pool_peer, link);
        if ((only != NULL && peer != only) || peer->is_draining ||
            !se_breaker_allows(&peer->breaker))
            continue;
        for (uint32_t i = 0; i < peer->member_count; i++) {
            struct se_member *member = &peer->members[i];
            struct se_member_load load;
            if (member->state != SE_MEMBER_READY)
                continue;
            pool->ops->look(pool->context, member->handle, &load);
            if (!load.is_open ||
                (pool->config.streams_max != 0 && load.streams >= pool->config.streams_max))
                continue;
            if (best != NULL && !is_better(&load, member->is_suspect, &best_load, best->is_suspect))
                continue;
            best = member;
            best_load = load;
        }
    }
    pool->counts.acquires += best != NULL;
    pool->counts.acquires_failed += best == NULL;
    if (best != NULL)
        se_breaker_begin(&best->peer->breaker);
    return best;
}

void se_pool_report(struct se_member *member, bool is_success, uint64_t now_ns)
{
    if (is_success)
        on_success(member->peer, now_ns);
    else
        on_failure(member->peer, now_ns);
    wake_at(member->peer->pool, now_ns);
}

/* ---- the end ---- */

void se_pool_drain_peer(struct se_pool_peer *peer, uint64_t drain_ns)
{
    peer->is_draining = true;
    peer->drain_ns = drain_ns;
    wake_at(peer->pool, 0);
}

void se_pool_drain(struct se_pool *pool, uint64_t drain_ns)
{
    pool->is_draining = true;
    SB_LIST_EACH(link, &pool->peers)
        se_pool_drain_peer(SB_CONTAINER_OF(link, struct se_pool_peer, link), drain_ns);
}

void se_pool_drain_others(struct se_pool *pool)
{
    pool->is_draining = true;
    SB_LIST_EACH(link, &pool->peers) {
        struct se_pool_peer *peer = SB_CONTAINER_OF(link, struct se_pool_peer, link);
        if (!peer->is_draining)
            se_pool_drain_peer(peer, SB_NEVER);
    }
}

bool se_pool_is_gone(const struct se_pool_peer *peer)
{
    return peer->is_draining && se_pool_peer_count(peer, SE_MEMBER_IDLE) == peer->member_count;
}

void se_pool_remove(struct se_pool_peer *peer)
{
    SB_ASSERT(se_pool_is_gone(peer));
    SB_ASSERT(peer->pool->peer_count > 0);
    peer->pool->peer_count--;
    sb_list_remove(&peer->link);
}

void se_pool_check(const struct se_pool *pool)
{
    uint32_t count = 0;
    SB_LIST_EACH(link, &pool->peers) {
        const struct se_pool_peer *peer = SB_CONTAINER_OF(link, struct se_pool_peer, link);
        const struct se_breaker *breaker = &peer->breaker;
        SB_ASSERT(breaker->failures < breaker->config->failures_max);
        SB_ASSERT(breaker->successes < breaker->config->successes_min);
        SB_ASSERT(breaker->trials <= breaker->config->trials_max);
        SB_ASSERT((breaker->state == SE_BREAKER_CLOSED) == (breaker->until_ns == SB_NEVER));
        SB_ASSERT(!pool->is_draining || peer->is_draining);
        for (uint32_t i = 0; i < peer->member_count; i++)
            SB_ASSERT((peer->members[i].state == SE_MEMBER_IDLE) ==
                      (peer->members[i].handle == NULL));
        count++;
    }
    SB_ASSERT(count == pool->peer_count);
}
