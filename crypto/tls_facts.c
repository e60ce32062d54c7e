/* SPDX-License-Identifier: MIT */
/* The queue of facts.  Secrets live in a table beside it, at one place each, so that one
 * call wipes them all and none is ever copied about. */

#include "crypto/tls_facts.h"

#include <string.h>

#include <openssl/crypto.h>

#include "proto/base/assert.h"

static struct sc_tls_fact *append(struct sc_tls_facts *facts)
{
    SB_ASSERT(facts->count < SC_TLS_FACTS_MAX);
    uint32_t tail = (facts->head + facts->count) % SC_TLS_FACTS_MAX;
    facts->count++;
    return &facts->queue[tail];
}

void sc_tls_facts_push_crypto(struct sc_tls_facts *facts, enum sp_level level, size_t size)
{
    SB_ASSERT(size <= UINT32_MAX);
    if (facts->count > 0) {
        uint32_t last_index = (facts->head + facts->count - 1) % SC_TLS_FACTS_MAX;
        struct sc_tls_fact *last = &facts->queue[last_index];
        if (last->kind == SP_TLS_CRYPTO && last->level == level) {
            last->size += (uint32_t)size;
            return;
        }
    }
    *append(facts) = (struct sc_tls_fact){
        .kind = SP_TLS_CRYPTO,
        .level = (uint8_t)level,
        .size = (uint32_t)size,
    };
}

void sc_tls_facts_keep_secret(struct sc_tls_facts *facts, enum sp_level level, bool is_write,
                              struct sb_bytes secret)
{
    SB_ASSERT(level < SP_LEVELS);
    SB_ASSERT(secret.size > 0 && secret.size <= SP_SECRET_SIZE_MAX);
    SB_ASSERT(facts->secret_size == 0 || facts->secret_size == secret.size);
    facts->secret_size = (uint8_t)secret.size;
    memcpy(facts->secrets[level][is_write], secret.data, secret.size);
}

void sc_tls_facts_push_secret(struct sc_tls_facts *facts, enum sp_level level, bool is_write)
{
    SB_ASSERT(level < SP_LEVELS && facts->secret_size > 0);
    *append(facts) = (struct sc_tls_fact){
        .kind = SP_TLS_SECRET,
        .level = (uint8_t)level,
        .is_write = is_write,
    };
}

void sc_tls_facts_push(struct sc_tls_facts *facts, enum sp_tls_fact_kind kind, uint8_t alert)
{
    *append(facts) = (struct sc_tls_fact){.kind = (uint8_t)kind, .alert = alert};
}

void sc_tls_facts_settle(struct sc_tls_facts *facts)
{
    if (!facts->is_secret_lent)
        return;
    OPENSSL_cleanse(facts->secrets[facts->lent_level][facts->lent_write], SP_SECRET_SIZE_MAX);
    facts->is_secret_lent = false;
}

void sc_tls_facts_pop(struct sc_tls_facts *facts, struct sp_tls_fact *ret)
{
    SB_ASSERT(!facts->is_secret_lent);
    *ret = (struct sp_tls_fact){.kind = SP_TLS_NONE};
    if (facts->count == 0)
        return;
    const struct sc_tls_fact *fact = &facts->queue[facts->head];
    facts->head = (facts->head + 1) % SC_TLS_FACTS_MAX;
    facts->count--;

    ret->kind = (enum sp_tls_fact_kind)fact->kind;
    ret->level = (enum sp_level)fact->level;
    ret->size = fact->size;
    ret->alert = fact->alert;
    if (ret->kind == SP_TLS_SECRET) {
        ret->is_write = fact->is_write;
        ret->suite = facts->suite;
        ret->secret = (struct sb_bytes){
            .data = facts->secrets[fact->level][fact->is_write],
            .size = facts->secret_size,
        };
        facts->is_secret_lent = true;
        facts->lent_level = fact->level;
        facts->lent_write = fact->is_write;
    }
}

void sc_tls_facts_wipe(struct sc_tls_facts *facts)
{
    OPENSSL_cleanse(facts, sizeof(*facts));
}
