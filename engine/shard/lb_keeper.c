/* SPDX-License-Identifier: MIT */
#include "engine/shard/lb_keeper.h"

/* Configurations of connection IDs, one after the other.
 *
 * Each shard has a part of its own, with its share of the nonces.  A new configuration is made for
 * all shards before any gets it.  A key comes once: who takes up an old one would use nonces again
 * [quic-lb 9.6].  All have one length, which short headers do not tell, and the server's octet at
 * one place, which the kernel reads. */

#include <errno.h>
#include <string.h>

#include "crypto/reset.h"
#include "engine/base/entropy.h"
#include "engine/config/config.h"
#include "engine/config/quic_lb.h"
#include "engine/shard/shard.h"
#include "proto/base/assert.h"

_Static_assert(SE_LB_MASK_KEY_SIZE == sizeof(((struct su_steer_byte *)NULL)->key), "one key");

/* No shard has this index. */
#define MASK_INDEX UINT32_MAX

/* Octets of the server that there must be follow server ID and nonce. */
static int check_room(const struct se_lb_keeper *keeper, const struct spate_quic_lb *config,
                      uint32_t shard_count, struct spate_error *error)
{
    uint8_t octets = keeper->has_tag ? 2 : shard_count > 1;
    uint8_t most = (uint8_t)(SB_MIN(SE_LB_TEXT_SIZE_MAX, SP_CID_SIZE_MAX - 1 - octets));
    if (se_quic_lb_text_size(config) <= most)
        return 0;
    se_error_set(error, "quic_lb.server_id_size + nonce_size is %u, must be 5 to %u with %s",
                 se_quic_lb_text_size(config), most,
                 keeper->has_tag ? "hand_over" : "several shards");
    return -EINVAL;
}

static bool has_key(const struct spate_quic_lb *config)
{
    return config->is_encrypted && config->config_id != SPATE_QUIC_LB_UNROUTABLE;
}

static void remember_key(struct se_lb_keeper *keeper, const struct spate_quic_lb *config)
{
    if (has_key(config))
        memcpy(keeper->keys[keeper->key_count++ % SE_LB_KEYS_MAX], config->key,
               sizeof(config->key));
}

static bool knows_key(const struct se_lb_keeper *keeper, const struct spate_quic_lb *config)
{
    uint32_t count = SB_MIN(keeper->key_count, (uint32_t)SE_LB_KEYS_MAX);
    for (uint32_t i = 0; i < count; i++)
        if (memcmp(keeper->keys[i], config->key, sizeof(config->key)) == 0)
            return true;
    return false;
}

static int make_args(const struct spate_quic_lb *config, uint32_t shard_count,
                     struct se_lb_args *ret)
{
    struct se_entropy entropy;
    int result = se_entropy_init(&entropy);
    if (result != 0)
        return result;
    ret->config = *config;
    ret->shard_count = shard_count;
    se_entropy_fill(&entropy, ret->first_nonce, sizeof(ret->first_nonce));
    se_entropy_fill(&entropy, ret->nonce_key, sizeof(ret->nonce_key));
    se_entropy_deinit(&entropy);
    return 0;
}

int se_lb_keeper_open(struct se_lb_keeper *keeper, const struct spate_quic_lb *given,
                      uint32_t shard_count, struct spate_error *error)
{
    struct spate_quic_lb config;
    keeper->args.shard_count = shard_count;
    if (given == NULL)
        return 0;
    int result = se_quic_lb_take(given, &config, error);
    if (result == 0)
        result = check_room(keeper, &config, shard_count, error);
    if (result == 0)
        result = make_args(&config, shard_count, &keeper->args);
    if (result == 0) {
        remember_key(keeper, &config);
        keeper->is_used = true;
    }
    explicit_bzero(&config, sizeof(config));
    return result;
}

void se_lb_keeper_close(struct se_lb_keeper *keeper)
{
    explicit_bzero(keeper, sizeof(*keeper));
}

void se_lb_keeper_set_mask(struct se_lb_keeper *keeper, const uint8_t *reset_key)
{
    uint8_t derived[SC_RESET_KEY_SIZE];
    sc_reset_derive_key(reset_key, MASK_INDEX, derived);
    memcpy(keeper->mask_key, derived, sizeof(keeper->mask_key));
    explicit_bzero(derived, sizeof(derived));
}

struct se_cid_form se_lb_keeper_form(const struct se_lb_keeper *keeper)
{
    return se_cid_form_of(keeper->is_used ? &keeper->args.config : NULL, keeper->args.shard_count,
                          keeper->has_tag, keeper->mask_key);
}

int se_lb_keeper_begin(const struct se_lb_keeper *keeper, struct spate_shard *shard)
{
    struct se_cid_form form = se_lb_keeper_form(keeper);
    struct se_lb *lb = NULL;
    if (keeper->is_used) {
        lb = se_lb_create(&keeper->args, shard->index);
        if (lb == NULL)
            return -ENOMEM;
    }
    se_cids_init(&shard->own_cids, &form, lb);
    return 0;
}

static int check_change(const struct se_lb_keeper *keeper, const struct spate_quic_lb *config,
                        struct spate_error *error)
{
    if (!keeper->is_used) {
        se_error_set(error, "the engine was created without quic_lb");
        return -EINVAL;
    }
    uint8_t size = se_quic_lb_text_size(&keeper->args.config);
    if (se_quic_lb_text_size(config) != size) {
        se_error_set(error, "quic_lb.server_id_size + nonce_size is %u; that of the engine is %u",
                     se_quic_lb_text_size(config), size);
        return -EINVAL;
    }
    if (config->config_id == keeper->args.config.config_id &&
        config->config_id != SPATE_QUIC_LB_UNROUTABLE) {
        se_error_set(error,
                     "quic_lb.config_id is %u, as before: a balancer could not tell them apart",
                     config->config_id);
        return -EEXIST;
    }
    if (has_key(config) && knows_key(keeper, config)) {
        se_error_set(error, "quic_lb.key was used before: nonces would repeat");
        return -EEXIST;
    }
    return 0;
}

static int give_all(const struct se_lb_args *args, struct spate_shard **shards)
{
    struct se_lb *made[SE_SHARDS_MAX];
    for (uint32_t i = 0; i < args->shard_count; i++) {
        made[i] = se_lb_create(args, i);
        if (made[i] != NULL)
            continue;
        while (i > 0)
            se_lb_destroy(made[--i]);
        return -ENOMEM;
    }
    for (uint32_t i = 0; i < args->shard_count; i++)
        se_cids_put(shards[i], made[i]);
    return 0;
}

int se_lb_keeper_change(struct se_lb_keeper *keeper, struct spate_shard **shards,
                        const struct spate_quic_lb *given, struct spate_error *error)
{
    struct spate_quic_lb config;
    struct se_lb_args args = {.shard_count = 0};
    int result = se_quic_lb_take(given, &config, error);
    if (result == 0)
        result = check_change(keeper, &config, error);
    if (result == 0)
        result = make_args(&config, keeper->args.shard_count, &args);
    if (result == 0)
        result = give_all(&args, shards);
    if (result == 0) {
        remember_key(keeper, &config);
        keeper->args = args;
    }
    explicit_bzero(&config, sizeof(config));
    explicit_bzero(&args, sizeof(args));
    return result;
}
