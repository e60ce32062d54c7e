/* SPDX-License-Identifier: MIT */
#include "test/sim/host.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

#include "proto/base/assert.h"
#include "proto/conn/messages.h"
#include "proto/wire/header.h"
#include "proto/wire/stateless.h"
#include "test/sim/bury.h"
#include "test/sim/retry.h"

enum {
    CONNS_MAX = 256,
    STREAMS_MAX = 8192,
    TRIM_STEPS = 50, /* of all ends */
};

/* A datagram as the connection gets it: in memory of its own, so that overruns are found. */
struct rx_buffer {
    struct sb_buffer base;
    struct qs_host *host;
    struct qs_wire *wire;
};

/* What such a buffer claims to occupy: as much as a receive slot of the engine. */
#define RX_BUFFER_SIZE 65536

/* Empty blocks go back before anything is refused. */
static bool fits(struct qs_host *host, uint64_t size, uint64_t max)
{
    if (host->side->memory_bytes_max == 0 || host->memory_bytes + size <= max)
        return true;
    sb_memory_release(&host->memory);
    return host->memory_bytes + size <= max;
}

/* What is left when the reserve is taken away. */
static uint64_t ordinary_max(const struct qs_host *host)
{
    return host->side->memory_bytes_max / 4 * 3;
}

static bool has_room(void *context, size_t size)
{
    struct qs_host *host = context;
    bool has = fits(host, size, ordinary_max(host));
    host->was_refused |= !has;
    return has;
}

static void *take_memory(void *context, size_t size)
{
    struct qs_host *host = context;
    if (!fits(host, size, host->side->memory_bytes_max)) {
        host->was_refused = true;
        return NULL;
    }
    size_t alignment = sb_memory_alignment(size);
    void *block = aligned_alloc(alignment, (size + alignment - 1) / alignment * alignment);
    if (block != NULL)
        host->memory_bytes += size;
    host->memory_bytes_max = SB_MAX(host->memory_bytes_max, host->memory_bytes);
    return block;
}

static void give_memory(void *context, void *block, size_t size)
{
    struct qs_host *host = context;
    SB_ASSERT(host->memory_bytes >= size);
    host->memory_bytes -= size;
    free(block);
}

void qs_host_init(struct qs_host *host, const struct qs_plan *plan, enum sp_role role,
                  struct qs_clock *clock, struct qs_trace *trace)
{
    *host = (struct qs_host){
        .role = role,
        .plan = plan,
        .side = &plan->side[role],
        .clock = clock,
        .trace = trace,
        .crypto = plan->real_crypto ? qs_crypto_real(plan) : qs_crypto_null(plan),
        .memory = {.take = take_memory, .give = give_memory, .context = host, .has_room = has_room},
    };
    qs_random_init(&host->random, qs_hash(plan->seed, "host", 4) + (uint64_t)role);
    if (host->side->sends_retry || host->side->sends_new_token) {
        uint8_t key[SC_TOKEN_KEY_SIZE];
        qs_random_bytes(&host->random, key, sizeof(key));
        host->tokens = sc_tokens_create(key);
        SB_ASSERT(host->tokens != NULL);
    }
    struct sp_pool_limits limits = {.conns_max = CONNS_MAX, .streams_max = STREAMS_MAX};
    sp_pools_init(&host->pools, &limits, &host->memory);
    if (host->side->memory_bytes_max > 0)
        host->pools.widen_bytes_max = ordinary_max(host) / SP_HELD_BYTES_PER_CREDIT_MAX;
}

void qs_host_deinit(struct qs_host *host)
{
    for (uint32_t i = 0; i < host->end_count; i++)
        qs_end_destroy(host->ends[i]);
    for (uint32_t i = 0; i < host->arrived_count; i++)
        qs_wire_destroy(host->arrived[i]);
    free(host->arrived);
    qs_kept_deinit(&host->kept);
    free(host->ticket);
    sc_tokens_destroy(host->tokens);

    uint64_t used = sp_pools_used(&host->pools);
    if (used > 0) {
        qs_fail(host->trace, "%" PRIu64 " objects of pools are in use at the end", used);
        return; /* the pools would assert it */
    }
    sb_memory_release(&host->memory);
    if (host->memory_bytes > 0)
        qs_fail(host->trace, "%" PRIu64 " bytes are in blocks when all objects are back",
                host->memory_bytes);
    sp_pools_deinit(&host->pools);
    if (host->memory_bytes > 0)
        qs_fail(host->trace, "%" PRIu64 " bytes of memory were not given back", host->memory_bytes);
    if (host->buffer_count > 0)
        qs_fail(host->trace, "%" PRIu64 " receive buffers were not given back", host->buffer_count);
}

void qs_host_share_memory(struct qs_host *host)
{
    uint64_t share_bytes = ordinary_max(host) / SB_MAX(qs_host_live_count(host), 1u);
    bool is_short = host->side->memory_bytes_max > 0 &&
                    host->memory_bytes - host->memory.empty_bytes > ordinary_max(host) / 4 * 3;
    host->pools.share_bytes = is_short ? share_bytes : UINT64_MAX;
    if (host->step_count++ % TRIM_STEPS == 0)
        (void)sb_memory_trim(&host->memory);
    if (!host->was_refused)
        return;
    host->was_refused = false;
    struct qs_end *worst = NULL;
    for (uint32_t i = 0; i < host->end_count; i++) {
        struct qs_end *end = host->ends[i];
        if (end->conn == NULL || sp_conn_is_closed(end->conn) ||
            sp_conn_memory_bytes(end->conn) <= share_bytes)
            continue;
        share_bytes = sp_conn_memory_bytes(end->conn);
        worst = end;
    }
    if (worst != NULL) {
        qs_note(host->trace, "%s holds most of the memory", worst->who);
        sp_conn_close_transport(worst->conn, SP_ERR_INTERNAL, "", host->clock->now_ns);
        qs_end_wake(worst);
    }
}

void qs_host_check_stores(struct qs_host *host)
{
    struct sp_stores sum = {0};
    uint64_t conn_count = 0, message_count = 0, widened_bytes = 0;
    for (uint32_t i = 0; i < host->end_count; i++) {
        const struct sp_conn *conn = host->ends[i]->conn;
        if (conn == NULL)
            continue;
        conn_count++;
        sum.streams.count += conn->stores.streams.count;
        sum.chunks.count += conn->stores.chunks.count;
        sum.ranges.count += conn->stores.ranges.count;
        sum.packets.count += conn->stores.packets.count;
        sum.frames.count += conn->stores.frames.count;
        sum.acks.count += conn->stores.acks.count;
        message_count += conn->messages == NULL ? 0 : conn->messages->store.count;
        widened_bytes += conn->window.size - conn->config->conn_window_bytes;
    }
    const struct sp_pools *pools = &host->pools;
    if (pools->conns.used_count != conn_count)
        return; /* the victims of monkeys take objects as well */
    if (widened_bytes != pools->widened_bytes)
        qs_fail(host->trace, "windows have grown by %" PRIu64 " bytes, and %" PRIu64 " are counted",
                widened_bytes, pools->widened_bytes);
    if (sum.streams.count != pools->streams.used_count ||
        sum.chunks.count != pools->chunks.used_count ||
        sum.ranges.count != pools->ranges.used_count ||
        sum.packets.count != pools->packets.used_count ||
        sum.frames.count != pools->frames.used_count || sum.acks.count != pools->acks.used_count ||
        message_count != pools->messages.used_count)
        qs_fail(host->trace, "objects of the %s's pools belong to no connection",
                host->role == SP_CLIENT ? "client" : "server");
}

void qs_host_reset_token(const struct qs_host *host, const struct sp_cid *cid,
                         uint8_t ret_token[SP_RESET_TOKEN_SIZE])
{
    uint64_t key = qs_hash(host->plan->seed, "reset", 5) + (uint64_t)host->role;
    uint64_t halves[2] = {qs_hash(key, cid->bytes, cid->size), 0};
    halves[1] = qs_mix(halves[0] ^ key);
    memcpy(ret_token, halves, SP_RESET_TOKEN_SIZE);
}

uint32_t qs_host_live_count(const struct qs_host *host)
{
    uint32_t count = 0;
    for (uint32_t i = 0; i < host->end_count; i++)
        count += host->ends[i]->conn != NULL || host->ends[i]->is_buried;
    return count;
}

struct qs_end *qs_host_end_of(const struct qs_host *host, uint64_t conn_index)
{
    for (uint32_t i = 0; i < host->end_count; i++) {
        struct qs_end *end = host->ends[i];
        if (end->conn_index == conn_index && !end->is_stray)
            return end;
    }
    return NULL;
}

static struct qs_end *end_by_cid(const struct qs_host *host, const struct sp_cid *cid)
{
    for (uint32_t i = 0; i < host->end_count; i++) {
        const struct qs_end *end = host->ends[i];
        if ((end->conn != NULL || end->is_buried) && qs_end_has_cid(end, cid))
            return host->ends[i];
    }
    return NULL;
}

/* Finds a client's end by the source CID of its Initials, also one that is gone. */
static const struct qs_end *end_by_first_cid(const struct qs_host *host, const struct sp_cid *cid)
{
    for (uint32_t i = 0; i < host->end_count; i++)
        if (sp_cid_equal(&host->ends[i]->first_cid, cid))
            return host->ends[i];
    return NULL;
}

static void host_add(struct qs_host *host, struct qs_end *end)
{
    SB_ASSERT(host->end_count < QS_ENDS_MAX);
    host->ends[host->end_count++] = end;
    qs_app_start(&end->app, end->conn);
}

void qs_host_connect(struct qs_host *host)
{
    struct qs_end *end = qs_end_create(&(struct qs_end_args){
        .host = host,
        .conn_index = host->serial,
        .serial = host->serial,
        .path = {.local = qs_addr_of(SP_CLIENT), .remote = qs_addr_of(SP_SERVER)},
    });
    if (end == NULL) {
        if (!host->plan->may_lack_memory)
            qs_fail(host->trace, "the client's connection was not made");
        return;
    }
    host->serial++;
    host_add(host, end);
    qs_end_step(end);
}

void qs_host_crash(struct qs_host *host)
{
    for (uint32_t i = 0; i < host->end_count; i++) {
        host->ends[i]->was_dropped = true;
        qs_end_drop_conn(host->ends[i]);
        qs_end_dig_up(host->ends[i]);
    }
}

static void release(struct sb_buffer *buffer)
{
    struct rx_buffer *rx = SB_CONTAINER_OF(buffer, struct rx_buffer, base);
    SB_ASSERT(rx->host->buffer_count > 0);
    rx->host->buffer_count--;
    memset(rx->wire->data, 0xdd, rx->wire->size);
    qs_wire_destroy(rx->wire);
    free(rx);
}

/* The wire becomes the buffer's. */
static struct sp_datagram datagram_of(struct qs_host *host, struct qs_wire *wire)
{
    struct rx_buffer *rx = malloc(sizeof(*rx));
    SB_ASSERT(rx != NULL);
    *rx = (struct rx_buffer){
        .base = {.ref_count = 1, .release = release},
        .host = host,
        .wire = wire,
    };
    /* Of some buffers what waits is copied, of others not. */
    if (host->buffer_count % 3 == 0)
        rx->base.size = RX_BUFFER_SIZE;
    host->buffer_count++;
    return (struct sp_datagram){
        .data = wire->data,
        .size = wire->size,
        .buffer = &rx->base,
        .path = {.local = wire->to, .remote = wire->from},
        .ecn = wire->ecn,
    };
}

static void reply(struct qs_host *host, const struct qs_wire *to, const uint8_t *data, size_t size)
{
    struct qs_wire *wire = qs_wire_create(data, size);
    wire->from = to->to;
    wire->to = to->from;
    qs_link_send(host->out, wire);
}

/* [RFC9000 6.1] */
static void negotiate(struct qs_host *host, const struct qs_wire *wire, const struct sp_peek *peek)
{
    static const uint32_t others[] = {UINT32_C(0x1a2a3a4a), UINT32_C(0x709a50c4)};
    uint8_t out[SP_NEGOTIATION_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    uint8_t random[SP_NEGOTIATION_RANDOM_SIZE];
    qs_random_bytes(&host->random, random, sizeof(random));
    if (host->side->speaks_other_version)
        sp_header_write_version_negotiation(&w, random[0], peek->scid, peek->dcid, others,
                                            SB_COUNT(others));
    else
        sp_negotiation_write(&w, peek, &host->side->config.versions, random);
    SB_ASSERT(!w.failed);
    qs_note(host->trace, "server negotiates the version");
    reply(host, wire, out, sb_writer_used(&w));
}

/* An attacker's Version Negotiation: it lists the version that the client has not tried. */
static void forge_negotiation(struct qs_host *host, const struct qs_wire *wire,
                              const struct sp_peek *peek)
{
    const uint32_t versions[] = {UINT32_C(0x1a2a3a4a),
                                 peek->version == SP_VERSION_1 ? SP_VERSION_2 : SP_VERSION_1};
    uint8_t out[SP_NEGOTIATION_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sp_header_write_version_negotiation(&w, 0, peek->scid, peek->dcid, versions,
                                        SB_COUNT(versions));
    SB_ASSERT(!w.failed);
    qs_note(host->trace, "somebody forges a Version Negotiation");
    host->negotiations_forged++;
    reply(host, wire, out, sb_writer_used(&w));
}

/* [RFC9000 10.3] */
static void send_reset(struct qs_host *host, const struct qs_wire *wire, const struct sp_peek *peek)
{
    if (!host->side->sends_resets || peek->dcid.size > SP_CID_SIZE_MAX)
        return;
    struct sp_cid cid = sp_cid_of(peek->dcid.data, peek->dcid.size);
    uint8_t token[SP_RESET_TOKEN_SIZE];
    qs_host_reset_token(host, &cid, token);
    uint8_t random[SP_RESET_RANDOM_SIZE];
    qs_random_bytes(&host->random, random, sizeof(random));
    uint8_t out[SP_RESET_SIZE_MAX];
    struct sb_writer w = sb_writer_of(out, sizeof(out));
    sp_reset_write(&w, wire->size, token, random);
    SB_ASSERT(!w.failed && sb_writer_used(&w) < wire->size); /* no loop */
    qs_note(host->trace, "server sends a Stateless Reset");
    reply(host, wire, out, sb_writer_used(&w));
}

/* A connection for the client's Initial.  It pairs with the client's end that has this source
 * CID, unless that end has its partner already: then the packet is an old one.  A partner
 * that ended before it was connected is replaced: see replace_partner(). */
static struct qs_end *accept_initial(struct qs_host *host, const struct qs_wire *wire,
                                     const struct sp_header *header)
{
    struct sp_cid original_dcid = {0};
    enum qs_token token = qs_token_open(host, header, &wire->from, &original_dcid);
    if (host->side->sends_retry && token == QS_TOKEN_NONE)
        return NULL;
    const struct qs_end *client = end_by_cid(host->peer, &header->scid);
    const struct qs_end *owner = end_by_first_cid(host->peer, &header->scid);
    uint64_t conn_index = owner != NULL ? owner->conn_index : 0; /* what its 0-RTT says */
    struct qs_end *partner = qs_host_end_of(host, conn_index);
    bool is_free = partner == NULL || (partner->conn == NULL && !partner->app.is_connected);
    bool is_stray = client == NULL || !is_free;
    return qs_end_create(&(struct qs_end_args){
        .host = host,
        .conn_index = conn_index,
        .serial = host->serial++,
        .is_stray = is_stray,
        .path = {.local = wire->to, .remote = wire->from},
        .version = header->version,
        .client_dcid = header->dcid,
        .client_scid = header->scid,
        .has_retry = token == QS_TOKEN_RETRY,
        .is_proven = token == QS_TOKEN_NEW,
        .original_dcid = original_dcid,
    });
}

/* `end` is no garbage, so it takes the place of a partner that ended before it was connected. */
static void replace_partner(struct qs_host *host, const struct qs_end *end)
{
    struct qs_end *before = end->is_stray ? NULL : qs_host_end_of(host, end->conn_index);
    if (before != NULL)
        before->is_stray = true;
}

/* [RFC9000 8.1.2] */
static void send_retry(struct qs_host *host, const struct qs_wire *wire, const struct sp_peek *peek)
{
    uint8_t out[SP_RETRY_SIZE_MAX];
    size_t size = qs_retry_write(host, peek, &wire->from, out);
    qs_note(host->trace, "server sends a Retry");
    reply(host, wire, out, size);
}

static bool is_proven(struct qs_host *host, const struct qs_wire *wire,
                      const struct sp_header *header)
{
    struct sp_cid original_dcid;
    return qs_token_open(host, header, &wire->from, &original_dcid) == QS_TOKEN_NEW;
}

static void route(struct qs_host *host, struct qs_wire *wire);

static void on_initial(struct qs_host *host, struct qs_wire *wire, const struct sp_peek *peek)
{
    struct sp_header header;
    struct qs_end *end = NULL;
    bool is_initial =
        sp_header_read(wire->data, wire->size, host->side->config.cid_size, &header) &&
        header.type == SP_PACKET_INITIAL;
    if (is_initial && host->side->sends_retry && !qs_token_is_from_retry(&header) &&
        !is_proven(host, wire, &header))
        send_retry(host, wire, peek);
    else if (is_initial && host->end_count < QS_ENDS_MAX)
        end = accept_initial(host, wire, &header);
    if (end == NULL) {
        qs_wire_destroy(wire);
        return;
    }
    end->inbox[end->inbox_count++] = datagram_of(host, wire);
    qs_end_receive(end);
    if (!sp_conn_is_authenticated(end->conn)) {
        qs_note(host->trace, "%s was made for garbage", end->who);
        qs_end_destroy(end);
        return;
    }
    replace_partner(host, end);
    host_add(host, end);
    qs_end_step(end);
    /* Each once: one whose connection is gone already is kept again. */
    struct qs_wire *kept;
    for (uint32_t i = 0; i < QS_KEPT_MAX; i++)
        if ((kept = qs_kept_take(&host->kept, &header.dcid)) != NULL)
            route(host, kept);
    if (end->inbox_count > 0) {
        qs_end_receive(end);
        qs_end_step(end);
    }
}

static bool take_reset(struct qs_host *host, const struct qs_wire *wire)
{
    const uint8_t *token = sp_reset_token_in(wire->data, wire->size);
    for (uint32_t i = 0; token != NULL && i < host->end_count; i++) {
        struct qs_end *end = host->ends[i];
        const struct sp_tombstone *tombstone = &end->tombstone;
        if (end->is_buried && tombstone->has_token &&
            memcmp(tombstone->token, token, SP_RESET_TOKEN_SIZE) == 0) {
            qs_note(host->trace, "%s gets a Stateless Reset in its grave", end->who);
            sp_tombstone_on_stateless_reset(&end->tombstone);
            return true;
        }
        if (end->conn == NULL || !qs_end_has_token(end, token))
            continue;
        qs_note(host->trace, "%s gets a Stateless Reset", end->who);
        sp_conn_on_stateless_reset(end->conn, host->clock->now_ns);
        qs_end_step(end);
        return true;
    }
    return false;
}

/* What belongs to no connection. */
static void on_unmatched(struct qs_host *host, struct qs_wire *wire, const struct sp_peek *peek)
{
    enum sp_unmatched verdict = SP_UNMATCHED_DROP;
    if (!take_reset(host, wire) && host->role == SP_SERVER)
        verdict = sp_unmatched_classify(wire->data, wire->size, peek, &host->side->config.versions);
    if (verdict == SP_UNMATCHED_ACCEPT &&
        host->negotiations_forged < host->side->forged_negotiations) {
        forge_negotiation(host, wire, peek);
        qs_wire_destroy(wire);
        return;
    }
    if (verdict == SP_UNMATCHED_ACCEPT && host->side->speaks_other_version)
        verdict = SP_UNMATCHED_NEGOTIATE;

    if (verdict == SP_UNMATCHED_ACCEPT) {
        on_initial(host, wire, peek);
        return;
    }
    if (verdict == SP_UNMATCHED_NEGOTIATE)
        negotiate(host, wire, peek);
    else if (verdict == SP_UNMATCHED_RESET)
        send_reset(host, wire, peek);
    else if (host->side->keeps_early && qs_kept_add(&host->kept, wire))
        return;
    qs_wire_destroy(wire);
}

static void route(struct qs_host *host, struct qs_wire *wire)
{
    struct sp_peek peek;
    if (!sp_peek_read(wire->data, wire->size, host->side->config.cid_size, &peek)) {
        qs_note(host->trace, "datagram %" PRIu64 " cannot be read", wire->number);
        qs_wire_destroy(wire);
        return;
    }
    struct qs_end *end = NULL;
    if (peek.dcid.size <= SP_CID_SIZE_MAX) {
        struct sp_cid cid = sp_cid_of(peek.dcid.data, peek.dcid.size);
        end = end_by_cid(host, &cid);
    }
    if (end == NULL) {
        on_unmatched(host, wire, &peek);
        return;
    }
    if (end->is_buried) {
        qs_end_knock(end, wire);
        qs_wire_destroy(wire);
        return;
    }
    end->inbox[end->inbox_count++] = datagram_of(host, wire);
    if (end->inbox_count == SP_BATCH_MAX) {
        qs_end_receive(end);
        end->has_received = true;
    }
}

/* Reads everything that has arrived: one batch for each connection, as GRO and a ring's
 * completions give them. */
static void turn(void *context, void *argument)
{
    (void)argument;
    struct qs_host *host = context;
    struct qs_wire **arrived = host->arrived;
    uint32_t count = host->arrived_count;
    host->arrived = NULL;
    host->arrived_count = 0;
    host->arrived_size = 0;
    for (uint32_t i = 0; i < count; i++) {
        if (host->trace->has_failed)
            qs_wire_destroy(arrived[i]);
        else
            route(host, arrived[i]);
    }
    free(arrived);
    for (uint32_t i = 0; i < host->end_count && !host->trace->has_failed; i++) {
        struct qs_end *end = host->ends[i];
        if (end->inbox_count > 0)
            qs_end_receive(end);
        else if (!end->has_received || end->conn == NULL)
            continue;
        end->has_received = false;
        qs_end_step(end);
    }
}

void qs_host_deliver(void *context, struct qs_wire *wire)
{
    struct qs_host *host = context;
    const struct qs_side_plan *side = host->side;
    if (side->queue_max > 0 && host->arrived_count >= side->queue_max) {
        qs_note(host->trace, "datagram %" PRIu64 " finds the socket's queue full", wire->number);
        host->overflow_count++;
        qs_wire_destroy(wire);
        return;
    }
    if (host->arrived_count == 0) {
        uint64_t wait_ns = qs_random_below(&host->random, side->batch_ns_max + 1);
        if (host->clock->now_ns < host->plan->faults_end_ns &&
            qs_random_chance(&host->random, side->stall_ppm))
            wait_ns += qs_random_below(&host->random, side->stall_ns + 1);
        qs_clock_at(host->clock, host->clock->now_ns + wait_ns, turn, host, NULL);
    }
    if (host->arrived_count == host->arrived_size) {
        host->arrived_size = 2 * host->arrived_size + 16;
        host->arrived = realloc(host->arrived, host->arrived_size * sizeof(*host->arrived));
        SB_ASSERT(host->arrived != NULL);
    }
    host->arrived[host->arrived_count++] = wire;
}
