/* SPDX-License-Identifier: MIT */
#include "engine/conn/cids.h"

/* Connection IDs.
 *
 * Without a configuration they are random, and with several shards byte 1 is the shard's index, in
 * clear.  If the engine may hand over, byte 1 is that in any case, and byte 2 is the engine's tag.
 * With a configuration [quic-lb 5.4], where the tag is there only if the engine may hand over:
 *
 *     config_id, length or random | server ID | nonce | shard | tag
 *
 * The nonce is a counter: shard i of n takes first + i, first + i + n, first + i + 2n ...  So no
 * two CIDs of an engine are equal, and no nonce is used twice.  Without a key for the whole, the
 * counter is encrypted with a random one: a permutation, so that nonces stay different and do not
 * look related.  When a shard has used its nonces up it issues unroutable CIDs [quic-lb 9.6].
 * Shard and tag are masked by a hash of bytes that are random, or look so: see uring/steer.h.
 *
 * When the configuration changes, the CIDs of all connections are replaced, some per turn.
 * [quic-lb 3.1] */

#include <stdlib.h>
#include <string.h>

#include "crypto/quic_lb.h"
#include "engine/config/config.h"
#include "engine/config/quic_lb.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"
#include "proto/base/bytes.h"

enum {
    RENEWALS_PER_TURN = 64,
    CONFIG_SHIFT = 5,
    LENGTH_MASK = 0x1f,
    COUNTER_SIZE = 8, /* of a nonce, or less: the other bytes are those of the first */
};
_Static_assert(SP_CID_SIZE_MAX - 1 <= LENGTH_MASK, "a length fits");

/* One shard's part of a configuration.
 *
 *     left == 0 || all nonces from `next` on, in steps of `step`, `left` of them, are unused */
struct se_lb {
    uint8_t config_id;
    bool encodes_length;
    uint8_t server_id_size;
    uint8_t nonce_size;
    uint8_t server_id[SPATE_QUIC_LB_SERVER_ID_SIZE_MAX];
    uint8_t first_nonce[18];
    struct sc_lb *cipher; /* NULL: in clear */
    struct sc_lb *nonces; /* in clear: encrypts the counter */
    uint64_t next;
    uint64_t step;
    uint64_t left;
};

/* ---- The form ---- */

struct se_cid_form se_cid_form_of(const struct spate_quic_lb *lb, uint32_t shard_count,
                                  bool has_tag, const uint8_t *mask_key)
{
    struct se_cid_form form = {
        .size = SE_CID_SIZE,
        .has_byte = shard_count > 1 || has_tag,
        .has_shards = shard_count > 1,
        .has_tag = has_tag,
        .byte = {.at = SE_STRAY_CID_AT},
    };
    if (lb == NULL)
        return form;
    form.size = se_quic_lb_cid_size(lb, has_tag);
    form.byte.at = (uint8_t)(1 + se_quic_lb_text_size(lb));
    form.byte.is_masked = true;
    memcpy(form.byte.key, mask_key, sizeof(form.byte.key));
    form.has_byte = form.byte.at < form.size;
    SB_ASSERT(form.size <= SP_CID_SIZE_MAX);
    SB_ASSERT(form.has_byte || (!form.has_shards && !form.has_tag));
    return form;
}

static void name_owner(const struct spate_shard *shard, struct sp_cid *cid)
{
    const struct se_cid_form *form = &shard->own_cids.form;
    uint8_t *own = cid->bytes + form->byte.at;
    uint16_t mask = su_steer_mask(&form->byte, cid->bytes);
    if (form->has_byte)
        own[0] = (uint8_t)(shard->index ^ mask >> 8);
    if (form->has_tag)
        own[1] = (uint8_t)(shard->shared_ports->tag ^ mask);
}

/* ---- A configuration ---- */

/* Returns how many nonces of `size` bytes each of the shards has. */
static uint64_t share_of_nonces(uint8_t size, uint32_t shard_count)
{
    uint64_t all = size < COUNTER_SIZE ? UINT64_C(1) << 8 * size : UINT64_MAX;
    return all / shard_count;
}

struct se_lb *se_lb_create(const struct se_lb_args *args, uint32_t index)
{
    const struct spate_quic_lb *config = &args->config;
    struct se_lb *lb = calloc(1, sizeof(*lb));
    if (lb == NULL)
        return NULL;
    lb->config_id = config->config_id;
    lb->encodes_length = config->encodes_length;
    lb->server_id_size = config->server_id_size;
    lb->nonce_size = config->nonce_size;
    memcpy(lb->server_id, config->server_id, sizeof(lb->server_id));
    memcpy(lb->first_nonce, args->first_nonce, sizeof(lb->first_nonce));
    lb->next = index;
    lb->step = args->shard_count;
    if (lb->config_id == SPATE_QUIC_LB_UNROUTABLE)
        return lb;
    lb->left = share_of_nonces(lb->nonce_size, args->shard_count);
    if (config->is_encrypted)
        lb->cipher = sc_lb_create(config->key, lb->server_id_size, lb->nonce_size);
    else
        lb->nonces = sc_lb_create(args->nonce_key, 0, lb->nonce_size);
    if (lb->cipher != NULL || lb->nonces != NULL)
        return lb;
    se_lb_destroy(lb);
    return NULL;
}

void se_lb_destroy(struct se_lb *lb)
{
    if (lb == NULL)
        return;
    sc_lb_destroy(lb->cipher);
    sc_lb_destroy(lb->nonces);
    free(lb);
}

/* Writes the next nonce.  Big endian; a carry beyond the counter is lost, as it comes back to the
 * first nonce only after all. */
static void take_nonce(struct se_lb *lb, uint8_t *ret)
{
    uint32_t count = SB_MIN(lb->nonce_size, (uint32_t)COUNTER_SIZE);
    uint8_t *last = ret + lb->nonce_size - 1;
    uint64_t sum = lb->next;
    SB_ASSERT(lb->left > 0);
    memcpy(ret, lb->first_nonce, lb->nonce_size);
    for (uint32_t i = 0; i < count; i++) {
        uint32_t byte = *(last - i) + (uint32_t)(sum & 0xff);
        *(last - i) = (uint8_t)byte;
        sum = (sum >> 8) + (byte >> 8);
    }
    lb->next += lb->step;
    lb->left--;
    if (lb->nonces != NULL)
        sc_lb_encrypt(lb->nonces, ret);
}

/* ---- Making one ---- */

/* [quic-lb 3.1, 3.2] */
static void make_unroutable(struct spate_shard *shard, struct sp_cid *ret)
{
    se_entropy_fill(&shard->entropy, ret->bytes, ret->size);
    ret->bytes[0] = (uint8_t)(SPATE_QUIC_LB_UNROUTABLE << CONFIG_SHIFT | (ret->size - 1));
}

static void make_routable(struct spate_shard *shard, struct sp_cid *ret)
{
    struct se_lb *lb = shard->own_cids.lb;
    uint8_t low = (uint8_t)(ret->size - 1);
    if (!lb->encodes_length)
        se_entropy_fill(&shard->entropy, &low, sizeof(low));
    ret->bytes[0] = (uint8_t)(lb->config_id << CONFIG_SHIFT | (low & LENGTH_MASK));
    memcpy(ret->bytes + 1, lb->server_id, lb->server_id_size);
    take_nonce(lb, ret->bytes + 1 + lb->server_id_size);
    if (lb->cipher != NULL)
        sc_lb_encrypt(lb->cipher, ret->bytes + 1);
}

static void name_nobody(struct spate_shard *shard, struct sp_cid *cid)
{
    se_entropy_fill(&shard->entropy, cid->bytes + shard->own_cids.form.byte.at, 2);
}

/* [RFC9000 5.1] CIDs of a connection do not show that they belong together. */
static void make_unnamed(struct spate_shard *shard, bool is_server, struct sp_cid *ret)
{
    const struct se_lb *lb = shard->own_cids.lb;
    if (lb == NULL) {
        se_entropy_fill(&shard->entropy, ret->bytes, ret->size);
    } else if (is_server && lb->left > 0) {
        make_routable(shard, ret);
    } else {
        make_unroutable(shard, ret);
        shard->counts.own.cids_unroutable += is_server;
    }
}

static bool is_known(const struct spate_shard *shard, const struct sp_cid *cid)
{
    return se_table_find(&shard->cids, cid->bytes, cid->size) != SE_TABLE_NONE;
}

void se_cids_make(struct spate_shard *shard, bool is_server, struct sp_cid *ret)
{
    struct sp_cid cid = {.size = shard->own_cids.form.size};
    SB_ASSERT(cid.size > 0 && cid.size <= SP_CID_SIZE_MAX);
    do {
        make_unnamed(shard, is_server, &cid);
        name_owner(shard, &cid);
    } while (is_known(shard, &cid));
    *ret = cid;
}

void se_cids_make_retry(struct spate_shard *shard, struct sp_cid *ret)
{
    if (!shard->own_cids.form.has_tag) {
        se_cids_make(shard, true, ret);
        return;
    }
    struct sp_cid cid = {.size = shard->own_cids.form.size};
    do {
        make_unnamed(shard, true, &cid);
        name_nobody(shard, &cid);
    } while (is_known(shard, &cid));
    *ret = cid;
}

/* One less than there may be leaves room for the first of the next configuration.  In clear there
 * is no spare one, because it would not hide that the client has moved [quic-lb 9]; nor if it would
 * be unroutable [quic-lb 3.2]. */
uint32_t se_cids_count_max(const struct se_cids *cids)
{
    if (cids->lb == NULL)
        return SP_CIDS_MAX;
    return cids->lb->cipher != NULL && cids->lb->left > 0 ? SP_CIDS_MAX - 1 : 1;
}

uint64_t se_cids_nonces_left(const struct se_cids *cids)
{
    return cids->lb != NULL ? cids->lb->left : 0;
}

/* ---- Life, and another configuration ---- */

void se_cids_init(struct se_cids *cids, const struct se_cid_form *form, struct se_lb *lb)
{
    *cids = (struct se_cids){.form = *form, .lb = lb};
}

void se_cids_deinit(struct spate_shard *shard)
{
    se_lb_destroy(shard->own_cids.lb);
    se_lb_destroy(atomic_exchange(&shard->lb_wanted, NULL));
    shard->own_cids.lb = NULL;
}

void se_cids_put(struct spate_shard *shard, struct se_lb *lb)
{
    /* Acquire: what was put before and not taken is freed here. */
    se_lb_destroy(atomic_exchange_explicit(&shard->lb_wanted, lb, memory_order_acq_rel));
    se_shard_call(shard, SE_CALL_QUIC_LB);
}

void se_cids_take(struct spate_shard *shard)
{
    struct se_cids *cids = &shard->own_cids;
    struct se_lb *lb = atomic_exchange_explicit(&shard->lb_wanted, NULL, memory_order_acquire);
    if (lb == NULL)
        return;
    se_lb_destroy(cids->lb);
    cids->lb = lb;
    cids->epoch++;
    cids->renew_at = 0;
    cids->renew_end = shard->slots_made; /* later ones have the new configuration */
}

static void renew(struct spate_shard *shard, struct spate_conn *conn)
{
    if (conn == NULL || !conn->is_server || conn->cid_epoch == shard->own_cids.epoch)
        return;
    conn->cid_epoch = shard->own_cids.epoch;
    sp_conn_renew_cids(conn->proto, se_cids_count_max(&shard->own_cids));
    se_conn_touch(conn);
}

bool se_conn_has_old_cids(const struct spate_conn *conn)
{
    return conn->is_server && !sp_conn_is_closed(conn->proto) &&
           (conn->cid_epoch != conn->shard->own_cids.epoch || sp_conn_has_old_cids(conn->proto));
}

static SB_NEVER_INLINE bool run(struct spate_shard *shard)
{
    struct se_cids *cids = &shard->own_cids;
    uint32_t end = SB_MIN(cids->renew_end, cids->renew_at + RENEWALS_PER_TURN);
    for (; cids->renew_at < end; cids->renew_at++)
        renew(shard, shard->slots[cids->renew_at].conn);
    return cids->renew_at < cids->renew_end;
}

bool se_cids_run(struct spate_shard *shard)
{
    return SB_UNLIKELY(se_cids_is_due(&shard->own_cids)) && run(shard);
}
