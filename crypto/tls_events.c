/* SPDX-License-Identifier: MIT */
#include "crypto/tls_events.h"

/* The queue of events.  Secrets live in a table beside it, at one place each, so that one
 * call wipes them all and none is ever copied about.  Both are half of what a handshake keeps
 * beside OpenSSL, so they go with it. */

#include <string.h>

#include <openssl/crypto.h>

#include "proto/base/assert.h"

static uint8_t *secret_of(struct sc_tls_events *events, unsigned level, bool is_write)
{
    SB_ASSERT(level > SP_LEVEL_INITIAL && level < SP_LEVELS);
    return events->store->secrets[level - 1][is_write];
}

/* Returns the place of the event after `count` others. */
static struct sc_tls_event *event_at(struct sc_tls_events *events, uint32_t count)
{
    if (events->store == NULL)
        return &events->last;
    return &events->store->queue[(events->head + count) % SC_TLS_EVENTS_MAX];
}

bool sc_tls_events_init(struct sc_tls_events *events)
{
    events->store = OPENSSL_zalloc(sizeof(*events->store));
    return events->store != NULL;
}

static struct sc_tls_event *append(struct sc_tls_events *events)
{
    SB_ASSERT(events->count < (events->store == NULL ? 1 : SC_TLS_EVENTS_MAX));
    return event_at(events, events->count++);
}

void sc_tls_events_push_crypto(struct sc_tls_events *events, enum sp_level level, size_t size)
{
    SB_ASSERT(size <= UINT32_MAX);
    if (events->count > 0) {
        struct sc_tls_event *last = event_at(events, events->count - 1);
        if (last->kind == SP_TLS_CRYPTO && last->level == level) {
            last->size += (uint32_t)size;
            return;
        }
    }
    *append(events) = (struct sc_tls_event){
        .kind = SP_TLS_CRYPTO,
        .level = (uint8_t)level,
        .size = (uint32_t)size,
    };
}

void sc_tls_events_keep_secret(struct sc_tls_events *events, enum sp_level level, bool is_write,
                               enum sp_suite suite, struct sb_bytes secret)
{
    SB_ASSERT(secret.size > 0 && secret.size <= SP_SECRET_SIZE_MAX);
    if (level == SP_LEVEL_EARLY) {
        events->early_suite = suite;
        events->early_size = (uint8_t)secret.size;
    } else {
        SB_ASSERT(events->secret_size == 0 || events->secret_size == secret.size);
        events->suite = suite;
        events->secret_size = (uint8_t)secret.size;
    }
    memcpy(secret_of(events, level, is_write), secret.data, secret.size);
}

void sc_tls_events_push_secret(struct sc_tls_events *events, enum sp_level level, bool is_write)
{
    SB_ASSERT(level < SP_LEVELS);
    *append(events) = (struct sc_tls_event){
        .kind = SP_TLS_SECRET,
        .level = (uint8_t)level,
        .is_write = is_write,
    };
}

void sc_tls_events_push(struct sc_tls_events *events, enum sp_tls_event_kind kind, uint8_t alert)
{
    *append(events) = (struct sc_tls_event){.kind = (uint8_t)kind, .alert = alert};
}

void sc_tls_events_settle(struct sc_tls_events *events)
{
    if (!events->is_secret_lent)
        return;
    OPENSSL_cleanse(secret_of(events, events->lent_level, events->lent_write), SP_SECRET_SIZE_MAX);
    events->is_secret_lent = false;
}

void sc_tls_events_pop(struct sc_tls_events *events, struct sp_tls_event *ret)
{
    SB_ASSERT(!events->is_secret_lent);
    *ret = (struct sp_tls_event){.kind = SP_TLS_NONE};
    if (events->count == 0)
        return;
    const struct sc_tls_event *event = event_at(events, 0);
    events->head = (events->head + 1) % SC_TLS_EVENTS_MAX;
    events->count--;

    ret->kind = (enum sp_tls_event_kind)event->kind;
    ret->level = (enum sp_level)event->level;
    ret->size = event->size;
    ret->alert = event->alert;
    if (ret->kind == SP_TLS_SECRET) {
        ret->is_write = event->is_write;
        bool is_early = event->level == SP_LEVEL_EARLY;
        ret->suite = is_early ? events->early_suite : events->suite;
        ret->secret = (struct sb_bytes){
            .data = secret_of(events, event->level, event->is_write),
            .size = is_early ? events->early_size : events->secret_size,
        };
        events->is_secret_lent = true;
        events->lent_level = event->level;
        events->lent_write = event->is_write;
    }
}

void sc_tls_events_wipe(struct sc_tls_events *events)
{
    struct sc_tls_events_store *store = events->store;
    if (store != NULL)
        OPENSSL_cleanse(store, sizeof(*store));
    OPENSSL_cleanse(events, sizeof(*events));
    events->store = store;
}

void sc_tls_events_end(struct sc_tls_events *events)
{
    SB_ASSERT(events->count == 0 && !events->is_secret_lent);
    OPENSSL_clear_free(events->store, sizeof(*events->store));
    events->store = NULL;
    events->head = 0;
}

void sc_tls_events_deinit(struct sc_tls_events *events)
{
    sc_tls_events_wipe(events);
    OPENSSL_free(events->store);
    events->store = NULL;
}
