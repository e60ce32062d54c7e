/* SPDX-License-Identifier: MIT */
/* The server's side of a monkey's connection, and what it costs.
 *
 * Everything that belongs to the connection is measured around its calls: objects and bytes of the
 * shared pools as the difference that a call makes, receive buffers by a count of each, steps by
 * the counter of steps.h. */

#include "test/sim/victim.h"

#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/base/compiler.h"
#include "proto/base/time.h"
#include "proto/conn/impl.h"
#include "test/sim/steps.h"

enum {
    STRAY_OBJECTS_MAX = 8,
    TRAINS_MAX = 1000,   /* in one turn */
    CHECK_INTERVAL = 64, /* calls from one sp_conn_check() to the next */
    BUFFER_BYTES = 2048, /* that a datagram takes where it waits: as in engine/base/buffers.c */
    UNWIND_STEPS = 2048, /* of a turn: as in engine/shard/shard.h */
    /* Datagrams from which on a victim's answers are compared with what it got: the flights of the
     * handshake and the probes of the path come first. */
    ANSWERED_MIN = 10,
};

struct buffer {
    struct sb_buffer base;
    struct qs_victim *victim;
    size_t size;
    uint8_t data[];
};

/* ---- What the connection asks of its host ---- */

static void host_random(void *context, void *out, size_t size)
{
    struct qs_victim *v = context;
    qs_random_bytes(&v->random, out, size);
}

static void host_reset_token(void *context, const struct sp_cid *cid,
                             uint8_t ret_token[SP_RESET_TOKEN_SIZE])
{
    const struct qs_victim *v = context;
    qs_host_reset_token(v->host, cid, ret_token);
}

static void host_make_cid(void *context, size_t size, struct sp_cid *ret)
{
    uint8_t bytes[SP_CID_SIZE_MAX];
    host_random(context, bytes, size);
    *ret = sp_cid_of(bytes, size);
}

static struct sp_tls *host_make_tls(void *context)
{
    struct qs_victim *v = context;
    const struct qs_crypto *crypto = &v->host->crypto;
    return crypto->make_tls(crypto, SP_SERVER, qs_random_next(&v->random));
}

/* ---- Measures ---- */

/* One call into the connection: begun, then ended, which charges its cost. */
struct call {
    uint64_t steps;
    uint64_t objects;
    uint64_t bytes;
};

static uint64_t pools_bytes(const struct sp_pools *p)
{
    const struct sb_pool *pools[] = {&p->conns,  &p->handshakes, &p->streams,    &p->chunks,
                                     &p->pieces, &p->lent,       &p->ranges,     &p->packets,
                                     &p->frames, &p->paths,      &p->validations};
    uint64_t bytes = 0;
    for (size_t i = 0; i < SB_COUNT(pools); i++)
        bytes += (uint64_t)pools[i]->used_count * pools[i]->object_size;
    return bytes;
}

static struct call call_begin(const struct qs_victim *v)
{
    return (struct call){
        .steps = qs_steps,
        .objects = sp_pools_used(&v->host->pools),
        .bytes = pools_bytes(&v->host->pools),
    };
}

/* Turns `call` into what it cost; objects that came back count as none. */
static void call_end(struct qs_victim *v, struct call *call)
{
    uint64_t objects = sp_pools_used(&v->host->pools);
    v->object_count += objects - call->objects;
    v->pool_bytes += pools_bytes(&v->host->pools) - call->bytes;
    call->objects = objects > call->objects ? objects - call->objects : 0;
    call->steps = qs_steps - call->steps;
}

/* A call that takes no datagram. */
static void call_end_alone(struct qs_victim *v, struct call *call)
{
    call_end(v, call);
    v->report->call_steps_max = SB_MAX(v->report->call_steps_max, call->steps);
}

static void note_memory(struct qs_victim *v)
{
    struct qs_monkey_report *r = v->report;
    r->pinned_bytes_max = SB_MAX(r->pinned_bytes_max, v->pinned_bytes);
    r->pool_bytes_max = SB_MAX(r->pool_bytes_max, v->pool_bytes);
    if (v->conn == NULL)
        return;
    /* Credit of streams is bounded by their number. */
    const struct sp_pools *pools = &v->host->pools;
    uint64_t free_bytes =
        pools->conns.object_size + pools->handshakes.object_size +
        v->conn->stores.streams.count * (pools->streams.object_size + SP_HELD_BYTES_PER_STREAM_MAX);
    uint64_t bytes = v->pinned_bytes + v->pool_bytes;
    uint64_t percent = (bytes - SB_MIN(bytes, free_bytes)) * 100 / v->conn->window.size;
    r->held_percent_max = SB_MAX(r->held_percent_max, percent);
}

/* ---- Turns ---- */

static void pull_events(struct qs_victim *v)
{
    struct sp_event event;
    bool any = true;
    while (any) {
        struct call call = call_begin(v);
        any = sp_conn_next_event(v->conn, &event);
        if (any)
            qs_victim_event(v, &event);
        call_end_alone(v, &call);
    }
}

/* Releases what an ended connection holds, a turn's part in each call. */
static void unwind(struct qs_victim *v)
{
    for (bool is_done = false; !is_done;) {
        uint32_t steps = UNWIND_STEPS;
        struct call call = call_begin(v);
        is_done = sp_conn_unwind(v->conn, &steps);
        call_end_alone(v, &call);
    }
}

/* Every place has an address and a port of its own. */
static struct sp_addr addr_of_place(uint32_t place)
{
    struct sp_addr addr = qs_addr_of(SP_CLIENT);
    addr.ip[1] = (uint8_t)(place >> 8);
    addr.ip[2] = (uint8_t)place;
    addr.port = (uint16_t)(addr.port + place % 4);
    return addr;
}

static uint32_t place_of(const struct sp_addr *addr)
{
    return (uint32_t)addr->ip[1] << 8 | addr->ip[2];
}

static void send_all(struct qs_victim *v)
{
    uint8_t data[2048];
    for (uint32_t i = 0;; i++) {
        struct sp_train train = {.data = data, .capacity = sizeof(data), .count_max = 1};
        struct sp_stats before, after;
        struct call call = call_begin(v);
        sp_conn_stats(v->conn, &before);
        uint32_t count = sp_conn_send(v->conn, &train, v->host->clock->now_ns);
        sp_conn_stats(v->conn, &after);
        call_end_alone(v, &call);
        if (count == 0)
            return;
        v->sent_count += after.stream_bytes_out == before.stream_bytes_out;
        if (i == TRAINS_MAX) {
            qs_fail(v->host->trace, "%s sends without an end", v->who);
            return;
        }
        if (v->is_connected)
            qs_oracle_path_first_is_valid(&v->paths);
        qs_oracle_path_out(&v->paths, &train.path.remote, train.size);
        v->answer(v->context, place_of(&train.path.remote), train.data, train.size);
    }
}

static void on_time(void *context, void *argument);

static void set_timer(struct qs_victim *v)
{
    uint64_t now_ns = v->host->clock->now_ns;
    uint64_t deadline_ns = sp_conn_deadline_ns(v->conn);
    deadline_ns = SB_MIN(deadline_ns, qs_victim_app_deadline_ns(v));
    if (!qs_spins_note(&v->spins, deadline_ns <= now_ns, 0))
        qs_fail(v->host->trace, "%s wants its deadline again and again", v->who);
    if (deadline_ns == SB_NEVER || deadline_ns >= v->timer_ns)
        return;
    v->timer_ns = SB_MAX(deadline_ns, now_ns);
    qs_clock_at(v->host->clock, v->timer_ns, on_time, v, NULL);
}

/* Probes are no answers: a victim whose monkey is silent sends them for a while. */
static void note_answers(struct qs_victim *v)
{
    uint64_t answers = v->sent_count - SB_MIN(v->sent_count, 2 * v->conn->stats.ptos);
    if (v->received_count < ANSWERED_MIN)
        return;
    struct qs_monkey_report *r = v->report;
    uint64_t *most = v->paths.count > 1 ? &r->moving_answers_percent_max : &r->answers_percent_max;
    *most = SB_MAX(*most, answers * 100 / v->received_count);
}

/* Lets the connection do all that it wants. */
static void step(struct qs_victim *v)
{
    struct call call = call_begin(v);
    qs_victim_work(v);
    call_end_alone(v, &call);
    unwind(v);
    pull_events(v);
    send_all(v);
    unwind(v);
    pull_events(v);
    note_answers(v);
    if (v->call_count++ % CHECK_INTERVAL == 0)
        sp_conn_check(v->conn);
    note_memory(v);
    if (v->is_drained)
        qs_victim_end(v);
    else
        set_timer(v);
}

static void on_time(void *context, void *argument)
{
    (void)argument;
    struct qs_victim *v = context;
    uint64_t now_ns = v->host->clock->now_ns;
    if (v->conn == NULL || v->timer_ns > now_ns)
        return;
    v->timer_ns = SB_NEVER;
    if (sp_conn_deadline_ns(v->conn) <= now_ns) {
        struct call call = call_begin(v);
        sp_conn_on_deadline(v->conn, now_ns);
        call_end_alone(v, &call);
    }
    step(v);
}

static void release(struct sb_buffer *base)
{
    struct buffer *buffer = SB_CONTAINER_OF(base, struct buffer, base);
    SB_ASSERT(buffer->victim->pinned_bytes >= BUFFER_BYTES);
    buffer->victim->pinned_bytes -= BUFFER_BYTES;
    memset(buffer->data, 0xdd, buffer->size);
    free(buffer);
}

static struct sp_datagram datagram_of(struct qs_victim *v, const struct qs_victim_datagram *from)
{
    const uint8_t *data = from->data;
    size_t size = from->size;
    const struct sp_addr remote = addr_of_place(from->place);
    qs_oracle_path_in(&v->paths, &remote, size);
    if (from->proves) {
        const struct sp_addr proven = addr_of_place(from->proven);
        qs_oracle_path_is_valid(&v->paths, &proven);
    }
    struct buffer *buffer = malloc(sizeof(*buffer) + size);
    SB_ASSERT(buffer != NULL);
    *buffer = (struct buffer){.base = {.ref_count = 1, .release = release, .size = BUFFER_BYTES},
                              .victim = v,
                              .size = size};
    memcpy(buffer->data, data, size);
    v->pinned_bytes += BUFFER_BYTES;
    return (struct sp_datagram){
        .data = buffer->data,
        .size = size,
        .buffer = &buffer->base,
        .path = {.local = qs_addr_of(SP_SERVER), .remote = remote},
    };
}

void qs_victim_receive(struct qs_victim *v, enum hostile_kind kind,
                       const struct qs_victim_datagram *datagrams, uint32_t count)
{
    SB_ASSERT(count > 0 && count <= SP_BATCH_MAX);
    if (v->conn == NULL)
        return;
    struct sp_datagram batch[SP_BATCH_MAX];
    for (uint32_t i = 0; i < count; i++)
        batch[i] = datagram_of(v, &datagrams[i]);
    uint64_t keys = v->conn->keys.read_phase;
    struct call call = call_begin(v);
    sp_conn_receive(v->conn, batch, count, v->host->clock->now_ns);
    sp_pools_compact(&v->host->pools, false);
    call_end(v, &call);
    keys = v->conn->keys.read_phase - keys;
    for (uint32_t i = 0; i < count; i++)
        sb_buffer_unref(batch[i].buffer);

    struct qs_monkey_report *r = v->report;
    struct qs_monkey_cost *cost = &r->costs[kind];
    cost->datagram_count += count;
    cost->steps += call.steps;
    cost->steps_max = SB_MAX(cost->steps_max, call.steps / count);
    r->objects_max = SB_MAX(r->objects_max, call.objects / count);
    r->keys_max = SB_MAX(r->keys_max, (keys + count - 1) / count);
    v->received_count += count;
    step(v);
}

bool qs_victim_start(struct qs_victim *v, const uint8_t *data, size_t size)
{
    struct qs_host *host = v->host;
    struct sp_header header;
    if (!sp_header_read(data, size, host->side->config.cid_size, &header))
        return false;
    v->timer_ns = SB_NEVER;
    qs_oracle_path_init(&v->paths, host->trace, v->who);
    qs_stream_table_init(&v->streams, sizeof(struct qs_victim_stream));
    if (host->plan->monkeys.meddles)
        (void)qs_random_next(&host->random);
    struct sp_conn_args args = {
        .role = SP_SERVER,
        .config = &host->side->config,
        .pools = &host->pools,
        .protect = host->crypto.protect,
        .tls_ops = host->crypto.tls_ops,
        .host = {host_random, host_reset_token, host_make_cid, host_make_tls, v},
        .path = {.local = qs_addr_of(SP_SERVER), .remote = qs_addr_of(SP_CLIENT)},
        .version = header.version,
        .client_dcid = header.dcid,
        .client_scid = header.scid,
    };
    struct call call = call_begin(v);
    v->conn = sp_conn_create(&args, host->clock->now_ns);
    call_end(v, &call);
    return v->conn != NULL;
}

void qs_victim_end(struct qs_victim *v)
{
    for (bool is_done = v->conn == NULL; !is_done;) {
        uint32_t steps = UNWIND_STEPS;
        struct call call = call_begin(v);
        is_done = sp_conn_destroy_some(v->conn, &steps);
        call_end_alone(v, &call);
    }
    v->conn = NULL;
    struct call call = call_begin(v);
    qs_victim_app_end(v); /* slices that it holds may be copies */
    call_end_alone(v, &call);
    /* A page that another connection has drained may come back in a call of this one, and the other
     * way round.  qs_host_deinit() checks that all have come back in the end. */
    if ((int64_t)v->object_count > STRAY_OBJECTS_MAX)
        qs_fail(v->host->trace, "%s leaves %" PRIu64 " objects in pools", v->who, v->object_count);
    if (v->pinned_bytes > 0)
        qs_fail(v->host->trace, "%s leaves %" PRIu64 " bytes of receive buffers", v->who,
                v->pinned_bytes);
    qs_oracle_path_deinit(&v->paths);
}
