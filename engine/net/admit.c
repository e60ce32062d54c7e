/* SPDX-License-Identifier: MIT */
#include "engine/net/admit.h"

/* Unmatched datagrams: those that belong to no connection.
 *
 * Each costs a look-up in the table and at most one answer [RFC9000 17.2.1, 17.2.5.1].  Answers
 * share a token bucket, and each is smaller than the datagram that causes it, so nobody can flood a
 * spoofed address.  Retry has a larger bucket of its own: it is what lets clients in while others
 * flood us. A connection is made for a well-formed Initial packet only, within the budgets of
 * handshakes, connections and memory.  engine/net/budget.c decides whether the client must prove
 * its address first, and who gives way.  It is freed in the same turn if the packet does not
 * authenticate, or begins no ClientHello.
 *
 * At conns_max, without memory, and where nobody listens any more, a client is answered with
 * CONNECTION_REFUSED.  That packet needs no connection: it is written here with the keys of the
 * client's first CID. */

#include <errno.h>
#include <string.h>

#include "crypto/protect.h"
#include "crypto/tls_config.h"
#include "engine/net/handover.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/wire/frame.h"

enum {
    ANSWERS_PER_SECOND = 1000,
    ANSWERS_AT_ONCE = 100,
    RETRIES_PER_SECOND = 50000, /* 1/8 of the bytes that come in, and a few percent of a CPU */
    RETRIES_AT_ONCE = 5000,
    REFUSAL_SIZE_MAX = 128,
};

void se_bucket_init(struct se_bucket *bucket, uint32_t rate, uint32_t burst)
{
    SB_ASSERT(rate > 0 && burst > 0);
    uint64_t interval_ns = SB_S / rate;
    *bucket = (struct se_bucket){.interval_ns = interval_ns, .burst_ns = burst * interval_ns};
}

bool se_bucket_take(struct se_bucket *bucket, uint64_t now_ns)
{
    uint64_t full_at_ns = SB_MAX(bucket->full_at_ns, now_ns) + bucket->interval_ns;
    if (full_at_ns > now_ns + bucket->burst_ns)
        return false;
    bucket->full_at_ns = full_at_ns;
    return true;
}

void se_admit_init(struct se_admit *admit)
{
    se_bucket_init(&admit->answers, ANSWERS_PER_SECOND, ANSWERS_AT_ONCE);
    se_bucket_init(&admit->retries, RETRIES_PER_SECOND, RETRIES_AT_ONCE);
}

/* Takes a token for an answer.  One that finds no slot costs none, and nobody makes it. */
static bool may_answer(struct spate_shard *shard, struct se_bucket *bucket)
{
    return se_shard_has_stray_slot(shard) && se_bucket_take(bucket, shard->now_ns);
}

/* Returns whether the answer leaves. */
static bool answer(const struct se_unmatched *unmatched, const struct sb_writer *w)
{
    SB_ASSERT(!w->failed);
    return se_shard_send_stray(unmatched->port, unmatched->path, w->start, sb_writer_used(w));
}

/* Returns the configuration of the connections that a port accepts. */
static const struct sp_config *config_of(const struct se_port *port)
{
    return se_conn_config(port->shard, port->listener.settings);
}

static void negotiate(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    uint8_t random[SP_NEGOTIATION_RANDOM_SIZE];
    uint8_t packet[SP_NEGOTIATION_SIZE_MAX];
    struct sb_writer w = sb_writer_of(packet, sizeof(packet));
    se_entropy_fill(&shard->entropy, random, sizeof(random));
    sp_negotiation_write(&w, &unmatched->peek, &config_of(unmatched->port)->versions, random);
    shard->counts.own.version_negotiations += answer(unmatched, &w);
}

static void reset(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    uint8_t token[SP_RESET_TOKEN_SIZE];
    uint8_t random[SP_RESET_RANDOM_SIZE];
    uint8_t packet[SP_RESET_SIZE_MAX];
    struct sp_cid cid = sp_cid_of(unmatched->peek.dcid.data, unmatched->peek.dcid.size);
    struct sb_writer w = sb_writer_of(packet, sizeof(packet));
    se_handover_reset_token(shard, &cid, token);
    se_entropy_fill(&shard->entropy, random, sizeof(random));
    sp_reset_write(&w, unmatched->size, token, random);
    shard->counts.own.stateless_resets += answer(unmatched, &w);
}

/* Seals `payload` into an Initial packet, after the header that `w` already holds. */
static void seal(struct sp_key *key, struct sb_writer *w, uint8_t *pn_at, struct sb_bytes payload)
{
    uint8_t *out = sb_writer_room(w, payload.size + SP_TAG_SIZE);
    SB_ASSERT(out == pn_at + 1);
    const struct sp_seal packet = {
        .header = w->start,
        .header_size = (size_t)(out - w->start),
        .parts = &payload,
        .part_count = 1,
        .out = out,
    };
    (void)sc_protect_ops.seal(key, &packet);

    const uint8_t *sample = pn_at + SP_PN_SIZE_MAX;
    uint8_t mask[1][SP_MASK_SIZE];
    sc_protect_ops.masks(key, &sample, 1, mask);
    sp_header_mask(w->start, pn_at, 1, mask[0]);
}

/* Sends an Initial packet with CONNECTION_CLOSE.  The frame is not ack-eliciting, so the datagram
 * needs no padding.  [RFC9000 5.2.2, 10.2.3, 14.1] */
static void refuse(const struct se_unmatched *unmatched, enum sp_err error)
{
    const uint8_t close[] = {0x1c, (uint8_t)error, 0, 0};
    SB_ASSERT((unsigned)error < 0x40); /* a varint of one byte */
    const struct sp_peek *peek = &unmatched->peek;
    struct sp_cid dcid = sp_cid_of(peek->dcid.data, peek->dcid.size);
    struct sp_key *read_key;
    struct sp_key *write_key;
    if (!sc_protect_ops.initial(NULL, peek->version, &dcid, SP_SERVER, &read_key, &write_key))
        return;

    const struct sp_long_header header = {
        .version = peek->version,
        .type = SP_PACKET_INITIAL,
        .dcid = sp_cid_of(peek->scid.data, peek->scid.size),
        .scid = dcid,
        .pn_size = 1,
    };
    uint8_t packet[REFUSAL_SIZE_MAX];
    uint8_t *length_at;
    uint8_t *pn_at;
    struct sb_writer w = sb_writer_of(packet, sizeof(packet));
    sp_header_write_long(&w, &header, &length_at, &pn_at);
    sp_header_set_length(length_at, header.pn_size + sizeof(close) + SP_TAG_SIZE);
    seal(write_key, &w, pn_at, (struct sb_bytes){.data = close, .size = sizeof(close)});
    (void)answer(unmatched, &w); /* it counts as refused, told or not */
    sc_protect_ops.destroy(read_key);
    sc_protect_ops.destroy(write_key);
}

static struct spate_conn *turn_away(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    shard->counts.own.conns_refused++;
    if (may_answer(shard, &shard->admit.answers))
        refuse(unmatched, SP_ERR_CONNECTION_REFUSED);
    return NULL;
}

static void retry(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    const struct sb_bytes *dcid = &unmatched->peek.dcid;
    struct se_retry_args args = {
        .initial = &unmatched->peek,
        .client = &unmatched->path->remote,
        .entropy = &shard->entropy,
    };
    do { /* [RFC9000 17.2.5.1] */
        se_cids_make_retry(shard, &args.scid);
    } while (args.scid.size == dcid->size && memcmp(args.scid.bytes, dcid->data, dcid->size) == 0);
    uint8_t packet[SE_RETRY_SIZE];
    size_t size = se_retry_write(&shard->retry, &args, packet);
    if (size == 0)
        return;
    if (se_shard_send_stray(unmatched->port, unmatched->path, packet, size))
        shard->counts.own.retries_sent++;
}

/* Frees a handshake that gives way to another one.  It may have datagrams that wait. */
static void evict(struct spate_shard *shard, struct se_budget_entry *entry)
{
    struct spate_conn *conn = SB_CONTAINER_OF(entry, struct spate_conn, handshake);
    se_conn_destroy(conn);
    shard->counts.own.handshakes_evicted++;
}

/* Returns whether there is a place for a connection now.  If not, the Initial was handled. */
static bool has_place(struct spate_shard *shard, const struct se_unmatched *unmatched,
                      bool is_proven)
{
    bool lacks_conn = shard->conn_count >= shard->config->conns_max;
    const struct se_newcomer newcomer = {
        .address = &unmatched->path->remote,
        .is_proven = is_proven,
        .lacks_conn = lacks_conn,
        .retry = shard->config->retry,
        .now_ns = shard->now_ns,
    };
    struct se_budget_entry *victim = NULL;
    switch (se_budget_ask(&shard->budget, &newcomer, &victim)) {
    case SE_ADMISSION_ACCEPT:
        return true;
    case SE_ADMISSION_EVICT:
        evict(shard, victim);
        return true;
    case SE_ADMISSION_RETRY:
        if (may_answer(shard, &shard->admit.retries))
            retry(shard, unmatched);
        return false;
    case SE_ADMISSION_DROP:
        break;
    }
    if (lacks_conn)
        return true; /* to be refused */
    shard->counts.own.handshakes_dropped++;
    return false;
}

/* Reads the token of an Initial.  Returns false if the Initial was refused for it: that client
 * would ignore a second Retry.  [RFC9000 8.1.2, 8.1.3] */
static bool read_token(struct spate_shard *shard, const struct se_unmatched *unmatched,
                       struct se_conn_args *args)
{
    struct sp_header header;
    struct sc_token token;
    bool is_read = sp_header_read(unmatched->data, unmatched->size, 0, &header);
    SB_ASSERT(is_read); /* sp_unmatched_classify() has read it */
    switch (se_retry_open(&shard->retry, header.token, &unmatched->path->remote, &unmatched->peek,
                          &token)) {
    case SC_TOKEN_VALID:
        args->token_mark = se_retry_mark_of(header.token);
        args->has_retry = token.kind == SC_TOKEN_RETRY;
        args->original_dcid = token.original_dcid;
        shard->counts.own.tokens_accepted++;
        return true;
    case SC_TOKEN_FOREIGN:
        return true;
    case SC_TOKEN_INVALID:
        break;
    }
    shard->counts.own.tokens_refused++;
    if (may_answer(shard, &shard->admit.answers))
        refuse(unmatched, SP_ERR_INVALID_TOKEN);
    return false;
}

/* A first packet may come to a process that was replaced and ends: it has waited in its socket, or
 * its CID, which the client has chosen, happens to name that process.  The client is not refused:
 * its next one finds the successor. */
static struct spate_conn *leave_to_successor(struct spate_shard *shard)
{
    shard->counts.own.strays_of_others++;
    return NULL;
}

static struct spate_conn *admit(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    const struct spate_listener *listener = &unmatched->port->listener;
    if (se_shutdown_refuses(shard) && se_handover_is_given(shard->handover))
        return leave_to_successor(shard);
    if (!listener->is_open || se_shutdown_refuses(shard))
        return turn_away(shard, unmatched);

    const struct sp_peek *peek = &unmatched->peek;
    struct se_conn_args args = {
        .port = unmatched->port,
        .tls = listener->tls,
        .settings = listener->settings,
        .user = listener->user,
        .role = SP_SERVER,
        .preferred = &listener->preferred,
        .path = *unmatched->path,
        .version = peek->version,
        .client_dcid = sp_cid_of(peek->dcid.data, peek->dcid.size),
        .client_scid = sp_cid_of(peek->scid.data, peek->scid.size),
    };
    if (!read_token(shard, unmatched, &args) || !has_place(shard, unmatched, args.token_mark != 0))
        return NULL;
    struct spate_conn *conn;
    if (se_conn_create(shard, &args, &conn) != 0)
        return turn_away(shard, unmatched);
    /* [RFC9000 8.1.4] From here on, because Initials that come at one time may have one token. That
     * of a Retry leads to one connection anyhow. */
    if (args.token_mark != 0 && !args.has_retry)
        se_retry_use(&shard->retry, args.token_mark);
    return conn;
}

/* Keeps a 0-RTT packet whose Initial may follow.  Returns false for other packets, where 0-RTT is
 * rejected, and under attack. */
static bool keep_zero_rtt(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    const struct spate_listener *listener = &unmatched->port->listener;
    struct sp_header header;
    if (unmatched->port->is_client || !unmatched->peek.is_long || !listener->is_open ||
        !sc_tls_config_accepts_early(listener->tls) || shard->budget.is_retrying ||
        su_bufring_free_count(&shard->bufring) < shard->bufring.slot_count / 2)
        return false;
    if (!sp_versions_has(&config_of(unmatched->port)->versions, unmatched->peek.version) ||
        !sp_header_read(unmatched->data, unmatched->size, 0, &header) ||
        header.type != SP_PACKET_ZERO_RTT || header.dcid.size < SP_INITIAL_DCID_SIZE_MIN)
        return false;
    const struct se_early_item item = {
        .data = unmatched->data,
        .size = (uint32_t)unmatched->size,
        .ecn = unmatched->ecn,
        .path = *unmatched->path,
        .dcid = header.dcid,
        .since_ns = shard->now_ns,
    };
    return se_early_keep(&shard->early, &shard->copies, &item);
}

struct spate_conn *se_admit(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    enum sp_unmatched verdict = SP_UNMATCHED_DROP;
    if (!unmatched->port->is_client)
        verdict = sp_unmatched_classify(unmatched->data, unmatched->size, &unmatched->peek,
                                        &config_of(unmatched->port)->versions);

    switch (verdict) {
    case SP_UNMATCHED_ACCEPT:
        return admit(shard, unmatched);
    case SP_UNMATCHED_NEGOTIATE:
        if (may_answer(shard, &shard->admit.answers))
            negotiate(shard, unmatched);
        return NULL;
    case SP_UNMATCHED_RESET:
        shard->counts.own.unroutable++;
        if (may_answer(shard, &shard->admit.answers))
            reset(shard, unmatched);
        return NULL;
    case SP_UNMATCHED_DROP:
        break;
    }
    if (keep_zero_rtt(shard, unmatched))
        shard->counts.own.zero_rtt_kept++;
    else
        shard->counts.own.unroutable++;
    return NULL;
}
