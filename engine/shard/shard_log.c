/* SPDX-License-Identifier: MIT */
#include "engine/shard/shard_log.h"

/* What an operator should know of a shard: counters that must not rise, and what to do about it.
 *
 * Nothing on the way of a packet writes lines.  At most ten times a second a turn compares the
 * counters of one table with what it has reported, so that the log costs the same whatever happens,
 * and an attacker who makes something happen a million times makes one line of it. */

#include <inttypes.h>
#include <string.h>

#include "engine/config/log.h"
#include "engine/shard/shard.h"

#define LOOK_NS (100 * SB_MS)

enum source { OF_SHARD, OF_SEND, OF_RECEIVE };

/* The text follows a number: what has happened so often, and then what to do. */
static const struct {
    enum source source;
    enum spate_log_level level;
    size_t offset;
    const char *text;
} subjects[] = {
#define SHARD(name) OF_SHARD, SPATE_LOG_WARNING, offsetof(struct spate_shard_stats, name)
#define INFO(name)  OF_SHARD, SPATE_LOG_INFO, offsetof(struct spate_shard_stats, name)
#define SEND(name)  OF_SEND, SPATE_LOG_WARNING, offsetof(struct su_send_counts, name)
#define RECV(name)  OF_RECEIVE, SPATE_LOG_WARNING, offsetof(struct su_recv_counts, name)
    {RECV(receive_truncated), "datagrams were larger than a receive slot, dropped"},
    {SHARD(receive_dropped), "datagrams were dropped for lack of memory: raise "
                             "memory_bytes_max or receive_slots, or release slices sooner"},
    {SHARD(conns_refused), "connections were refused: conns_max or memory_bytes_max"},
    {SHARD(conns_shed), "connections were closed because memory_bytes_max is reached"},
    {SHARD(handshakes_dropped), "first packets were dropped: handshakes_max"},
    {SHARD(handshakes_evicted), "handshakes gave way to newer ones: handshakes_max"},
    {SHARD(strays_dropped), "datagrams for other shards were dropped"},
    {SHARD(cids_unroutable), "connection IDs were issued that no balancer can read"},
    {SHARD(qlog_dropped), "records of qlog were dropped: raise qlog.ring_bytes or "
                          "one_in"},
    {SEND(send_errors), "datagrams were refused by the kernel"},
    {SEND(gso_fallbacks), "trains were sent as single datagrams: an interface without "
                          "UDP_SEGMENT"},
    {INFO(retries_sent), "clients had to prove their addresses by a Retry packet"},
    {INFO(handshakes_failed), "handshakes failed"},
#undef SHARD
#undef INFO
#undef SEND
#undef RECV
};

/* Subjects whose lines have more than a number. */
enum {
    SUBJECT_TURNS = SB_COUNT(subjects),
    SUBJECT_QLOG,
    SUBJECT_FULL,
    SUBJECT_DROPS,
    SUBJECT_COUNT
};

_Static_assert((int)SUBJECT_COUNT == (int)SE_LOG_SUBJECTS, "a place for each");

void se_shard_log_init(struct spate_shard *shard, const struct spate_log *log)
{
    bool wants_turns = log->write != NULL && log->turn_ns > 0 && log->level >= SPATE_LOG_WARNING;
    shard->log = (struct se_shard_log){
        .log = log,
        .next_ns = log->write != NULL ? 0 : SB_NEVER,
        .turn_ns = wants_turns ? log->turn_ns : SB_NEVER,
    };
}

static struct su_recv_counts received(const struct spate_shard *shard)
{
    struct su_recv_counts counts = shard->counts.recv_closed;
    for (uint64_t left = shard->ports_used; left != 0; left &= left - 1)
        su_recv_counts_add(&counts, &shard->ports[__builtin_ctzll(left)].recv.counts);
    return counts;
}

/* Returns how often a subject has happened since its last line, if another line is due. */
static uint64_t unreported(struct spate_shard *shard, uint32_t subject, uint64_t count)
{
    struct se_shard_log *log = &shard->log;
    if (count == log->seen[subject] || shard->now_ns < log->again_ns[subject])
        return 0;
    uint64_t more = count - log->seen[subject];
    log->seen[subject] = count;
    log->again_ns[subject] = sb_time_add(shard->now_ns, log->log->interval_ns);
    return more;
}

void se_shard_log_turn(struct spate_shard *shard, uint64_t worked_ns)
{
    shard->counts.own.turns_long++;
    shard->log.longest_ns = SB_MAX(shard->log.longest_ns, worked_ns);
}

static void look_at_turns(struct spate_shard *shard)
{
    struct se_shard_log *log = &shard->log;
    uint64_t more = unreported(shard, SUBJECT_TURNS, shard->counts.own.turns_long);
    if (more == 0)
        return;
    se_log_write(log->log, SPATE_LOG_WARNING,
                 "shard %u: %" PRIu64 " turns took longer than %" PRIu64 " ms, the longest %" PRIu64
                 " ms: a handler of the application has run for so long, or the machine lacks CPUs",
                 shard->index, more, log->turn_ns / SB_MS, log->longest_ns / SB_MS);
    log->longest_ns = 0;
}

static void look_at_qlog(struct spate_shard *shard)
{
    int error = 0;
    uint64_t more = unreported(shard, SUBJECT_QLOG, se_qlog_errors(&shard->qlog, &error));
    if (more > 0)
        se_log_write(shard->log.log, SPATE_LOG_WARNING,
                     "shard %u: %" PRIu64 " files of qlog could not be made or written: %s",
                     shard->index, more, strerrordesc_np(error));
}

static void write_full(const struct spate_shard *shard, uint64_t count)
{
    se_log_write(shard->log.log, SPATE_LOG_WARNING,
                 "shard %u: %" PRIu64 " datagrams found the socket's buffer full: raise "
                 "socket_buffer_bytes and net.core.rmem_max, or use more shards",
                 shard->index, count);
}

/* Datagrams that the kernel has dropped since empty ones are refused, which it counts with those
 * that find a buffer full.  Were buffers full meanwhile?  The first time nobody knows since when:
 * the next look does. */
static void look_at_unclear(struct spate_shard *shard, uint64_t count)
{
    struct se_shard_log *log = &shard->log;
    uint64_t overflows;
    if (count == log->seen[SUBJECT_DROPS] || shard->now_ns < log->again_ns[SUBJECT_DROPS])
        return;
    bool is_known = su_socket_overflows(&overflows) == 0;
    bool is_first = is_known && !log->has_overflows;
    bool was_full = !is_known || overflows != log->overflows;
    log->has_overflows = is_known;
    log->overflows = is_known ? overflows : 0;
    if (is_first)
        return;
    uint64_t more = unreported(shard, SUBJECT_DROPS, count);
    if (was_full)
        write_full(shard, more);
    else
        se_log_write(log->log, SPATE_LOG_INFO,
                     "shard %u: %" PRIu64 " empty datagrams were dropped by the kernel",
                     shard->index, more);
}

static void look_at_drops(struct spate_shard *shard, const struct su_recv_counts *receive)
{
    uint64_t more = unreported(shard, SUBJECT_FULL, receive->kernel_drops - receive->drops_unclear);
    if (more > 0)
        write_full(shard, more);
    look_at_unclear(shard, receive->drops_unclear);
}

void se_shard_log_look(struct spate_shard *shard)
{
    struct se_shard_log *log = &shard->log;
    log->next_ns = sb_time_add(shard->now_ns, LOOK_NS);
    const struct su_recv_counts receive = received(shard);
    const void *const sources[] = {
        [OF_SHARD] = &shard->counts.own,
        [OF_SEND] = &shard->send.counts,
        [OF_RECEIVE] = &receive,
    };
    for (uint32_t i = 0; i < SB_COUNT(subjects); i++) {
        uint64_t count;
        memcpy(&count, (const char *)sources[subjects[i].source] + subjects[i].offset,
               sizeof(count));
        uint64_t more = unreported(shard, i, count);
        if (more > 0)
            se_log_write(log->log, subjects[i].level, "shard %u: %" PRIu64 " %s", shard->index,
                         more, subjects[i].text);
    }
    look_at_drops(shard, &receive);
    look_at_turns(shard);
    look_at_qlog(shard);
}

void se_shard_log_failed(const struct spate_shard *shard, int error)
{
    se_log_write(shard->log.log, SPATE_LOG_ERROR, "shard %u: the ring has failed: %s", shard->index,
                 strerrordesc_np(-error));
}
