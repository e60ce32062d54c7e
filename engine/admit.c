/* SPDX-License-Identifier: MIT */
#include "engine/admit.h"

/* Unmatched datagrams: those that belong to no connection.
 *
 * Each costs a look-up in the table and at most one answer.  All answers share a token bucket, and
 * each is smaller than the datagram that causes it, so nobody can flood a spoofed address.
 * A connection is made for a well-formed Initial packet only, within the budgets of handshakes,
 * connections and memory.  It is freed in the same turn if the packet does not authenticate.
 *
 * At conns_max, without memory, and where nobody listens any more, a client is answered with
 * CONNECTION_REFUSED.  That packet
 * needs no connection: it is written here with the keys of the client's first CID. */

#include <errno.h>
#include <string.h>

#include "crypto/protect.h"
#include "crypto/reset.h"
#include "engine/shard.h"
#include "proto/base/assert.h"
#include "proto/wire/frame.h"

enum {
    ANSWERS_PER_SECOND = 1000,
    ANSWERS_AT_ONCE = 100,
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
}

static void answer(const struct se_unmatched *unmatched, const struct sb_writer *w)
{
    SB_ASSERT(!w->failed);
    se_shard_send_stray(unmatched->port, unmatched->path, w->start, sb_writer_used(w));
}

static void negotiate(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    uint8_t random[SP_NEGOTIATION_RANDOM_SIZE];
    uint8_t packet[SP_NEGOTIATION_SIZE_MAX];
    struct sb_writer w = sb_writer_of(packet, sizeof(packet));
    se_entropy_fill(&shard->entropy, random, sizeof(random));
    sp_negotiation_write(&w, &unmatched->peek, random);
    answer(unmatched, &w);
    shard->counts.own.version_negotiations++;
}

static void reset(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    uint8_t token[SP_RESET_TOKEN_SIZE];
    uint8_t random[SP_RESET_RANDOM_SIZE];
    uint8_t packet[SP_RESET_SIZE_MAX];
    struct sp_cid cid = sp_cid_of(unmatched->peek.dcid.data, unmatched->peek.dcid.size);
    struct sb_writer w = sb_writer_of(packet, sizeof(packet));
    sc_reset_token(shard->reset, &cid, token);
    se_entropy_fill(&shard->entropy, random, sizeof(random));
    sp_reset_write(&w, unmatched->size, token, random);
    answer(unmatched, &w);
    shard->counts.own.stateless_resets++;
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
static void refuse(const struct se_unmatched *unmatched)
{
    static const uint8_t close[] = {0x1c, SP_ERR_CONNECTION_REFUSED, 0, 0};
    const struct sp_peek *peek = &unmatched->peek;
    struct sp_cid dcid = sp_cid_of(peek->dcid.data, peek->dcid.size);
    struct sp_key *read_key;
    struct sp_key *write_key;
    if (!sc_protect_ops.initial(NULL, &dcid, SP_SERVER, &read_key, &write_key))
        return;

    const struct sp_long_header header = {
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
    answer(unmatched, &w);
    sc_protect_ops.destroy(read_key);
    sc_protect_ops.destroy(write_key);
}

static struct spate_conn *turn_away(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    shard->counts.own.conns_refused++;
    if (se_bucket_take(&shard->admit.answers, shard->now_ns))
        refuse(unmatched);
    return NULL;
}

static struct spate_conn *admit(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    const struct spate_listener *listener = &unmatched->port->listener;
    if (!listener->is_open || se_shutdown_has_begun(&shard->shutdown))
        return turn_away(shard, unmatched);
    if (shard->handshake_count >= shard->config->handshakes_max) {
        shard->counts.own.handshakes_dropped++;
        return NULL;
    }

    const struct sp_peek *peek = &unmatched->peek;
    const struct se_conn_args args = {
        .port = unmatched->port,
        .tls = listener->tls,
        .user = listener->user,
        .role = SP_SERVER,
        .path = *unmatched->path,
        .client_dcid = sp_cid_of(peek->dcid.data, peek->dcid.size),
        .client_scid = sp_cid_of(peek->scid.data, peek->scid.size),
    };
    struct spate_conn *conn;
    return se_conn_create(shard, &args, &conn) == 0 ? conn : turn_away(shard, unmatched);
}

struct spate_conn *se_admit(struct spate_shard *shard, const struct se_unmatched *unmatched)
{
    enum sp_unmatched verdict = SP_UNMATCHED_DROP;
    if (!unmatched->port->is_client)
        verdict = sp_unmatched_classify(unmatched->data, unmatched->size, &unmatched->peek);

    switch (verdict) {
    case SP_UNMATCHED_ACCEPT:
        return admit(shard, unmatched);
    case SP_UNMATCHED_NEGOTIATE:
        if (se_bucket_take(&shard->admit.answers, shard->now_ns))
            negotiate(shard, unmatched);
        return NULL;
    case SP_UNMATCHED_RESET:
        shard->counts.own.unroutable++;
        if (se_bucket_take(&shard->admit.answers, shard->now_ns))
            reset(shard, unmatched);
        return NULL;
    case SP_UNMATCHED_DROP:
        break;
    }
    shard->counts.own.unroutable++;
    return NULL;
}
