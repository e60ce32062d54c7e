/* SPDX-License-Identifier: MIT */
/* Peers that the command line names: whom to trust, and when to try again.
 *
 * Content that is wrong is found out by its hashes, whoever sends it.  Trust is about who learns
 * what we fetch: the fingerprint of each peer is kept at its first use, as "spate cp" does. */

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/spate/close_text.h"
#include "tools/spate/files/known.h"
#include "tools/spate/files/trust.h"
#include "tools/spate/message.h"
#include "tools/spate/swarm/swarm.h"

enum { ALERT_BAD_CERTIFICATE = 42, ALERT_UNKNOWN = 46 };

#define PAUSE_FIRST_NS UINT64_C(500000000)
#define PAUSE_MAX_NS   UINT64_C(8000000000)

static void on_verify(const struct spate_ask *ask, void *user)
{
    struct swarm_target *target = user;
    const struct swarm_options *o = target->swarm->options;
    char fingerprint[FINGERPRINT_SIZE];
    uint8_t alert = ALERT_BAD_CERTIFICATE;
    if (ask->chain_count > 0 && o->token != NULL) { /* which proves more */
        alert = 0;
    } else if (ask->chain_count > 0) {
        const struct trust trust = {
            .command = "swarm",
            .known = target->swarm->known,
            .is_strict = o->is_strict,
            .server = target->named->server,
        };
        known_fingerprint(ask->chain[0].data, ask->chain[0].size, fingerprint);
        alert = trust_check(&trust, fingerprint) ? 0 : ALERT_UNKNOWN;
    }
    target->is_refused = alert != 0;
    (void)spate_shard_answer_verify(ask->shard, ask->conn_id, alert, "not trusted");
}

static bool create_tls(struct swarm_target *target)
{
    static const char *const alpn[] = {SWARM_ALPN};
    struct spate_error error = {""};
    struct spate_tls_options tls;
    spate_tls_options_init(&tls);
    tls.alpn = alpn;
    tls.alpn_count = 1;
    tls.keylog_file = getenv("SSLKEYLOGFILE");
    tls.verify = SPATE_VERIFY_INSTEAD;
    tls.on_verify = on_verify;
    tls.ask_user = target;
    int e = spate_tls_client_create(&tls, &target->tls, &error);
    if (e != 0)
        swarm_say(target->swarm, "%s", message_why(&error, e));
    return e == 0;
}

bool swarm_targets_init(struct swarm *swarm)
{
    const struct swarm_options *o = swarm->options;
    int e = 0;
    if (o->known != NULL)
        (void)snprintf(swarm->known, sizeof(swarm->known), "%s", o->known);
    else if (o->peer_count > 0 && o->token == NULL)
        e = known_default_path(swarm->known, sizeof(swarm->known));
    if (e != 0) {
        swarm_say(swarm, "the file of known servers: %s; use --known", strerror(-e));
        return false;
    }
    for (uint32_t i = 0; i < o->peer_count; i++) {
        struct swarm_target *target = &swarm->targets[i];
        target->swarm = swarm;
        target->named = &o->peers[i];
        target->pause_ns = PAUSE_FIRST_NS;
        const char *wrong =
            net_resolve(target->named->host, target->named->port, &target->addresses);
        if (wrong != NULL)
            swarm_say(swarm, "%s: %s", target->named->server, wrong);
        if (wrong != NULL || !create_tls(target))
            return false;
    }
    return true;
}

void swarm_targets_deinit(struct swarm *swarm)
{
    for (uint32_t i = 0; i < swarm->options->peer_count; i++)
        spate_tls_destroy(swarm->targets[i].tls);
}

/* Tries the next address, or the first one again. */
static void try_next(struct swarm_target *target, uint64_t now_ns)
{
    struct swarm *swarm = target->swarm;
    struct spate_error error = {""};
    struct spate_conn *conn;
    const struct net_address *address =
        &target->addresses.items[target->address_next++ % target->addresses.count];
    int e =
        spate_shard_connect(swarm->shard, (const struct sockaddr *)&address->storage, address->size,
                            target->named->host, target->tls, NULL, &conn, &error);
    target->try_ns = now_ns + target->pause_ns;
    if (e != 0) {
        (void)snprintf(target->why, sizeof(target->why), "%s", message_why(&error, e));
        return;
    }
    target->peer = swarm_peer_create(swarm, conn, target);
    if (target->peer != NULL)
        spate_conn_set_user(conn, target->peer);
    else
        spate_conn_close(conn, SWARM_BUSY, NULL);
}

void swarm_targets_try(struct swarm *swarm, uint64_t now_ns)
{
    for (uint32_t i = 0; i < swarm->options->peer_count; i++) {
        struct swarm_target *target = &swarm->targets[i];
        if (target->peer == NULL && !target->is_given_up && now_ns >= target->try_ns)
            try_next(target, now_ns);
    }
}

void swarm_target_closed(struct swarm_target *target, const struct spate_close *close)
{
    struct swarm *swarm = target->swarm;
    uint64_t code = close->kind == SPATE_CLOSE_APP ? close->error : SWARM_OK;
    if (swarm->is_ending)
        return;
    if (target->is_refused || code == SWARM_OTHER_CONTENT || code == SWARM_NO_TOKEN ||
        code == SWARM_BAD_MESSAGE || code == SWARM_CORRUPT) {
        if (!target->is_given_up && !target->is_refused)
            swarm_say(swarm, "%s: closed %s: %s", target->named->server,
                      close->is_local ? "here" : "by the peer", swarm_code_text(code));
        target->is_given_up = true;
        return;
    }
    close_text(close, target->why, sizeof(target->why));
    target->try_ns = spate_shard_now_ns(swarm->shard) + target->pause_ns;
    if (target->pause_ns < PAUSE_MAX_NS)
        target->pause_ns *= 2;
}
